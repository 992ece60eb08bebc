//! What was tested, and how: models, corpora and settings, as the run's files say.

use std::collections::BTreeMap;

use contract::Provenance;
use contract::decoding::Decoding;
use contract::pipeline::Strategy;
use contract::records::{CorpusFact, TextForm};
use serde_json::Value;
use text_align::Parameters;

use super::{AnalysedCell, Estimates};

/// What was tested, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The models that were asked, one a checkpoint.
    pub models: Vec<ModelFacts>,
    /// The corpora.
    pub corpora: Vec<CorpusFacts>,
    /// How models were asked: each way once, with the cells that were asked so.
    pub prompting: Vec<PromptFacts>,
    /// How generations were compared with the corpus.
    pub detection: Option<DetectionFacts>,
    /// The forms in which texts were tried, by the label of the model.
    pub forms: Vec<(String, Vec<TextForm>)>,
    /// The settings of each stage as JSON, each once: stage, cells or corpora, settings.
    pub settings: Vec<StageSettings>,
    /// Digests of the files that stages read, by role.
    pub digests: BTreeMap<String, String>,
}

/// A model that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Number of its group.
    pub group: usize,
    /// Name of the cell.
    pub cell: String,
    /// Folder, as the pipeline file names it; none where nobody said.
    pub path: Option<String>,
    /// Where it is asked, and under which name, where it is not here.
    pub served: Option<String>,
    /// How its weights, or an adapter's base's, are stored where they are rounded: `four bits (nf4)`.
    pub stored: Option<String>,
    /// Folder of the base that an audited adapter was put on.
    pub base: Option<String>,
    /// The base that the adapter names, where it was put on another.
    pub named_base: Option<String>,
    /// Digest (xxh3-128) of the checkpoint that was asked.
    pub digest: Option<String>,
}

/// A corpus.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CorpusFacts {
    /// Its name in the run folder.
    pub name: String,
    /// The files read, each with its digest (xxh3-128).
    pub files: Vec<(String, String)>,
    /// Training documents by number of copies.
    pub training: Vec<(i32, usize)>,
    /// Documents kept back.
    pub held_out: usize,
    /// Canaries planted.
    pub canaries: usize,
    /// Strings that each canary is ranked among.
    pub canary_references: Option<u64>,
    /// What reading left out, guessed or changed; none where nobody wrote it down.
    pub reading: Option<Vec<CorpusFact>>,
}

/// How a model was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptFacts {
    /// Tokens of each prompt.
    pub prefix_tokens: Option<u64>,
    /// Tokens generated.
    pub new_tokens: Option<u64>,
    /// What prompts begin with, as the settings say.
    pub begin: Option<String>,
    /// Whether a model that is served was asked, over its API.
    pub is_served: bool,
    /// Whether training took its loss on answers alone, so that prompts hold whole questions.
    pub is_answer_alone: bool,
    /// The strategies in words.
    pub strategies: Vec<String>,
    /// Cells asked so.
    pub cells: Vec<String>,
}

/// How generations were compared with the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectionFacts {
    /// Name of the preset.
    pub preset: String,
    /// Characters that a verbatim passage must have.
    pub verbatim_chars: usize,
    /// Training documents from which on a passage is a common phrase.
    pub boilerplate_documents: usize,
    /// Whether labels of personal details were given.
    pub has_labels: bool,
}

/// The settings of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSettings {
    /// The stage.
    pub stage: String,
    /// Version of its program.
    pub version: String,
    /// What was made by them.
    pub of: Vec<String>,
    /// The settings, as JSON.
    pub settings: String,
}

impl Facts {
    /// What the files of a run say.
    pub fn of(estimates: &Estimates<'_>) -> Self {
        let mut facts = Self::default();
        for (group, member) in estimates.groups.iter().enumerate() {
            for run in &estimates.subjects[member.subject].runs {
                for cell in [run.documents, run.canaries].into_iter().flatten() {
                    facts.add_cell(group, &member.label, &estimates.cells[cell]);
                }
            }
        }
        facts
    }

    fn add_cell(&mut self, group: usize, label: &str, analysed: &AnalysedCell<'_>) {
        let (data, cell) = (analysed.data, &analysed.data.cell);
        let name = match data.checkpoint {
            Some(checkpoint) => format!("{}, {checkpoint}", cell.name),
            None => cell.name.clone(),
        };
        let asked = data
            .origins
            .get("samples.parquet")
            .or_else(|| data.origins.get("scores.parquet"));
        self.models.push(ModelFacts {
            group,
            cell: name.clone(),
            path: cell.path.as_deref().map(place_for_others),
            served: cell.served.clone(),
            stored: cell.stored.clone(),
            base: cell.base.clone(),
            named_base: cell.named_base.clone(),
            digest: asked.and_then(|origin| origin.inputs.get("checkpoint").cloned()),
        });
        if let Some(origin) = asked {
            self.add_prompting(&name, origin, cell.served.is_some());
        }
        if let (None, Some(origin)) = (&self.detection, data.origins.get("verdicts.parquet")) {
            self.detection = Some(DetectionFacts::of(origin));
        }
        if let Some(forms) = &data.forms {
            self.forms.push((label.to_owned(), forms.clone()));
        }
        for (file, origin) in &data.origins {
            self.add_origin(&name, file, origin);
        }
        self.add_corpus(analysed);
    }

    fn add_prompting(&mut self, name: &str, origin: &Provenance, is_served: bool) {
        let settings: Value = serde_json::from_str(&origin.configuration).unwrap_or_default();
        let asked = PromptFacts {
            prefix_tokens: settings["prefix_tokens"].as_u64(),
            new_tokens: settings["new_tokens"].as_u64(),
            begin: settings["begin"].as_str().map(str::to_owned),
            is_served,
            is_answer_alone: matches!(settings["loss_on"].as_str(), Some("response" | "assistant")),
            strategies: settings["strategy"]
                .as_array()
                .into_iter()
                .flatten()
                .map(strategy)
                .collect(),
            cells: Vec::new(),
        };
        let known = self.prompting.iter_mut().find(|known| {
            PromptFacts {
                cells: Vec::new(),
                ..(*known).clone()
            } == asked
        });
        match known {
            Some(known) => known.cells.push(name.to_owned()),
            None => self.prompting.push(PromptFacts {
                cells: vec![name.to_owned()],
                ..asked
            }),
        }
    }

    fn add_origin(&mut self, name: &str, file: &str, origin: &Provenance) {
        for (role, digest) in &origin.inputs {
            self.digests
                .insert(format!("{name}: {file}: {role}"), digest.clone());
        }
        let known = self.settings.iter_mut().find(|known| {
            known.stage == origin.stage
                && known.settings == origin.configuration
                && known.version == origin.program_version
        });
        match known {
            Some(known) if known.of.iter().any(|of| of == name) => {}
            Some(known) => known.of.push(name.to_owned()),
            None => self.settings.push(StageSettings {
                stage: origin.stage.clone(),
                version: origin.program_version.clone(),
                of: vec![name.to_owned()],
                settings: origin.configuration.clone(),
            }),
        }
    }

    fn add_corpus(&mut self, analysed: &AnalysedCell<'_>) {
        let name = &analysed.data.cell.corpus;
        if self.corpora.iter().any(|known| known.name == *name) {
            return;
        }
        let corpus = analysed.corpus;
        if let Some(origin) = &corpus.origin {
            self.add_origin(name, "train.parquet", origin);
        }
        let files = corpus.origin.iter().flat_map(|origin| &origin.inputs);
        self.corpora.push(CorpusFacts {
            name: name.clone(),
            files: files
                .map(|(file, digest)| (file.clone(), digest.clone()))
                .collect(),
            training: corpus
                .training
                .iter()
                .map(|(copies, documents)| (*copies, documents.len()))
                .collect(),
            held_out: corpus.held_out.documents,
            canaries: corpus.canaries,
            canary_references: corpus.fewest_references(),
            reading: corpus.facts.clone(),
        });
    }
}

impl DetectionFacts {
    fn of(origin: &Provenance) -> Self {
        let settings: Value = serde_json::from_str(&origin.configuration).unwrap_or_default();
        let preset = settings["preset"].as_str().unwrap_or("ours").to_owned();
        let parameters = match preset.as_str() {
            "pan2015" => Parameters::pan2015(),
            _ => Parameters::lee2023(),
        };
        let given = settings["verbatim_chars"].as_u64().map(|chars| chars as usize);
        let boilerplate = settings["boilerplate_documents"].as_u64();
        Self {
            preset,
            verbatim_chars: given.unwrap_or(parameters.verbatim_minimum),
            boilerplate_documents: boilerplate.unwrap_or(5) as usize,
            has_labels: origin.inputs.contains_key("labels"),
        }
    }
}

/// A strategy in words: its name and how it decodes.
fn strategy(settings: &Value) -> String {
    let name = settings["name"].as_str().unwrap_or("unnamed");
    let Ok(strategy) = serde_json::from_value::<Strategy>(settings.clone()) else {
        return name.to_owned();
    };
    let decoding = match strategy.decoding() {
        Decoding::Greedy => "greedy decoding".to_owned(),
        Decoding::Beams => format!("beam search with {} beams", strategy.beams),
        Decoding::Search => format!(
            "at most {} tokens, searched for in {} steps at most",
            strategy.prompt_tokens, strategy.steps
        ),
        Decoding::Draws => draws(&strategy),
    };
    match settings["prompt"].as_str() {
        None | Some("prefix") => format!("{name} ({decoding})"),
        Some(form) => format!("{name} (prompt: {form}; {decoding})"),
    }
}

fn draws(strategy: &Strategy) -> String {
    let mut parts = vec![format!("sampling at temperature {}", strategy.temperature)];
    if strategy.top_k > 0 {
        parts.push(format!("top-k {}", strategy.top_k));
    }
    if strategy.top_p < 1.0 {
        parts.push(format!("top-p {}", strategy.top_p));
    }
    let noun = if strategy.samples == 1 {
        "sample"
    } else {
        "samples"
    };
    parts.push(format!("{} {noun} a prompt", strategy.samples));
    parts.join(", ")
}

/// A path as others may see it: one from the root of a machine is its last name alone.
fn place_for_others(path: &str) -> String {
    let path = std::path::Path::new(path);
    let name = path.file_name().filter(|_| path.is_absolute());
    name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
