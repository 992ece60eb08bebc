//! The pipeline file cut down for each stage of each cell: only the tables that the stage reads, one model, one mode, one
//! learning rate, one seed. Make compares their times, so a change in the pipeline file reruns only what it touches.

use std::fs;
use std::path::{Path, PathBuf};

use chat_template::{ChatTemplate, Choice, NAMES, SpecialTokens, common_template};
use contract::paths::{normalized, relative};
use contract::pipeline::{
    Canaries, Check, Corpus, Detection, Duplication, Extraction, Layout, LossOn, Mode, Model, OneOrMany,
    Reporting, Rows, Strategy, Tuning,
};
use contract::{Error, PipelineFile, files, seal};
use serde::Serialize;

use crate::model_folder::ModelFolder;
use crate::stage_runs::check_folder;
use crate::{Plan, PlannedCell, PlantedCanaries, TrainingSet};

const NOTE: &str =
    "# Written by plan from the pipeline file. Edit that one: what is changed here is lost.\n\n";

/// The tables of a pipeline file that one stage reads; the others are left out, not written with defaults.
#[derive(Default, Serialize)]
struct Reduced<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    seeds: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    corpus: Option<Corpus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplication: Option<Duplication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canaries: Option<Canaries>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model: Vec<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<[&'a Mode; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuning: Option<TuningPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extraction: Option<Extraction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detection: Option<Detection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Reporting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a Check>,
}

/// `[tuning]` whole, or what decides how much of a text is learned.
#[derive(Serialize)]
#[serde(untagged)]
enum TuningPart<'a> {
    Whole(&'a Tuning),
    Rows {
        context: usize,
        rows: Rows,
        loss_on: LossOn,
    },
}

/// Writes every stage's file below the run folder, leaving alone those that hold the same already.
///
/// # Errors
/// [`Error::Output`] where one cannot be written.
pub(crate) fn write_all(plan: &Plan, run: &Path) -> Result<(), Error> {
    for set in &plan.training_sets {
        let folder = Folder::create(plan.pipeline, run.join("corpus").join(&set.name))?;
        folder.write("dupgen.toml", &dupgen(plan, set, &folder)?)?;
    }
    let strategies = plan
        .corpora
        .iter()
        .map(|corpus| plan.strategies_of(corpus))
        .collect::<Result<Vec<_>, _>>()?;
    for cell in &plan.cells {
        let strategies = &strategies[cell.combination.training_set.corpus];
        let folder = Folder::create(plan.pipeline, run.join("cells").join(&cell.facts.name))?;
        let facts = seal::sealed_text(&cell.facts.to_toml()?);
        files::write_if_changed(&folder.path.join("cell.toml"), facts.as_bytes())?;
        if cell.is_tuned() {
            folder.write("tuner.toml", &tuner(plan.pipeline, cell, &folder)?)?;
        }
        if cell.is_extracted() {
            folder.write(
                "extractor.toml",
                &extractor(plan.pipeline, cell, strategies, &folder),
            )?;
            if !plan.is_look() {
                folder.write("plagiarism.toml", &plagiarism(plan.pipeline, cell, &folder))?;
            }
        }
    }
    if plan.is_look() {
        for set in &plan.training_sets {
            let folder = Folder::create(plan.pipeline, run.join(check_folder(plan, set)))?;
            folder.write("check.toml", &check(plan, set))?;
        }
    }
    if plan.has_report() {
        let folder = Folder::create(plan.pipeline, run.join("report"))?;
        folder.write("report.toml", &report(plan.pipeline))?;
    }
    Ok(())
}

fn dupgen<'a>(plan: &Plan<'a>, set: &'a TrainingSet, folder: &Folder) -> Result<Reduced<'a>, Error> {
    let pipeline = plan.pipeline;
    let corpus = &plan.corpus_of(set).settings;
    let files = corpus
        .files
        .as_slice()
        .iter()
        .map(|file| folder.rebased(file))
        .collect();
    let beside = |files: &Option<OneOrMany<String>>| {
        files.as_ref().map(|files| {
            let files = files.as_slice().iter();
            OneOrMany::Many(files.map(|file| folder.rebased(file)).collect())
        })
    };
    let duplication = match set.layout {
        Layout::Bucketed | Layout::Found => pipeline.duplication.clone(),
        // Shares belong to numbers of copies within one set.
        Layout::Uniform => Duplication {
            copies: set.copies.into_iter().collect(),
            shares: Vec::new(),
            ..pipeline.duplication.clone()
        },
    };
    let canaries = match set.canaries {
        PlantedCanaries::Among | PlantedCanaries::Apart => pipeline.canaries.clone(),
        PlantedCanaries::None => Canaries {
            per_copies: 0,
            coin_flips: 0,
            ..pipeline.canaries.clone()
        },
    };
    let canaries = Canaries {
        manifest: canaries.manifest.as_ref().map(|file| folder.rebased(file)),
        ..canaries
    };
    // Their tokenizers say which documents are cut, and whether a canary can be learned. Packed rows cut nothing, and without
    // canaries another model is then no reason to make the corpus again.
    let tokenizers = if pipeline.tuning.rows == Rows::Documents || canaries.are_planted() {
        pipeline.model.as_slice()
    } else {
        &[]
    };
    // Where it is told of no model, it is told where their chat template is.
    let chat_template = match &corpus.chat_template {
        Some(place) => Some(folder.rebased(place)),
        None if tokenizers.is_empty() => chat_template_folder(plan, corpus)?,
        None => None,
    };
    let Tuning {
        context,
        rows,
        loss_on,
        ..
    } = pipeline.tuning;
    Ok(Reduced {
        name: &set.name,
        seeds: std::slice::from_ref(&set.seed),
        corpus: Some(Corpus {
            files: OneOrMany::Many(files),
            held_out_files: beside(&corpus.held_out_files),
            other: beside(&corpus.other),
            chat_template,
            ..corpus.clone()
        }),
        duplication: Some(Duplication {
            layout: OneOrMany::One(set.layout),
            ..duplication
        }),
        canaries: Some(canaries),
        model: tokenizers
            .iter()
            .map(|model| folder.model(model))
            .collect::<Result<_, _>>()?,
        tuning: Some(TuningPart::Rows {
            context,
            rows,
            loss_on,
        }),
        ..Reduced::default()
    })
}

/// The folder whose chat template renders conversations; none where no model has one, or not all the same.
fn chat_template_folder(plan: &Plan, corpus: &Corpus) -> Result<Option<String>, Error> {
    let candidates = crate::chat_templates(&plan.cells);
    let absolute = |folder: &Path| {
        let absolute = std::path::absolute(folder).map_err(|error| Error::input(folder, error))?;
        Ok(Some(absolute.to_string_lossy().into_owned()))
    };
    let folders = || candidates.iter().flat_map(|candidate| &candidate.folders);
    let template = corpus.template.as_deref();
    if template.is_some_and(|name| NAMES.contains(&name)) {
        // A named template writes the model's own BOS and EOS.
        for folder in folders() {
            if SpecialTokens::of_folder(folder)? != SpecialTokens::default() {
                return absolute(folder);
            }
        }
        return Ok(None);
    }
    let Choice::One(_) = common_template(&candidates)? else {
        return Ok(None);
    };
    for folder in folders() {
        if ChatTemplate::of_folder(folder)?.is_some() {
            return absolute(folder);
        }
    }
    Ok(None)
}

fn tuner<'a>(
    pipeline: &'a PipelineFile,
    cell: &'a PlannedCell,
    folder: &Folder,
) -> Result<Reduced<'a>, Error> {
    Ok(Reduced {
        model: vec![folder.model(&cell.combination.model)?],
        mode: cell.combination.mode.as_ref().map(|mode| [mode]),
        tuning: Some(TuningPart::Whole(&pipeline.tuning)),
        ..of_cell(cell)
    })
}

fn extractor<'a>(
    pipeline: &'a PipelineFile,
    cell: &'a PlannedCell,
    strategies: &[Strategy],
    folder: &Folder,
) -> Reduced<'a> {
    let prompt_file = pipeline
        .extraction
        .prompt_file
        .as_ref()
        .map(|file| folder.rebased(file));
    let (context, loss_on) = cell.combination.trained_tokens;
    Reduced {
        extraction: Some(Extraction {
            prompt_file,
            context,
            loss_on: Some(loss_on),
            strategy: strategies.to_vec(),
            ..pipeline.extraction.clone()
        }),
        ..of_cell(cell)
    }
}

fn plagiarism<'a>(pipeline: &'a PipelineFile, cell: &'a PlannedCell, folder: &Folder) -> Reduced<'a> {
    let rebased = |path: &Option<String>| path.as_ref().map(|path| folder.rebased(path));
    Reduced {
        detection: Some(Detection {
            encoder: rebased(&pipeline.detection.encoder),
            classifier: rebased(&pipeline.detection.classifier),
            personal_details: rebased(&pipeline.detection.personal_details),
            ..pipeline.detection.clone()
        }),
        ..of_cell(cell)
    }
}

fn report(pipeline: &PipelineFile) -> Reduced<'_> {
    Reduced {
        name: &pipeline.name,
        description: &pipeline.description,
        seeds: &pipeline.seeds,
        report: Some(&pipeline.report),
        ..Reduced::default()
    }
}

/// A look before tuning is told how many tokens of a text training reads and which of them carry loss, as the extractor is.
fn check<'a>(plan: &'a Plan, set: &'a TrainingSet) -> Reduced<'a> {
    let mut cells = plan.cells.iter();
    let cell = cells.find(|cell| cell.facts.corpus == set.name);
    let (asked, loss_on) = match cell {
        Some(cell) => cell.combination.trained_tokens,
        None => plan.pipeline.trained_tokens(),
    };
    let own = cell
        .and_then(|cell| cell.weights.as_ref())
        .map(|model| model.config.context);
    let context = match (asked, own) {
        (Some(asked), Some(own)) => Some(asked.min(own)),
        (asked, own) => asked.or(own),
    };
    Reduced {
        name: &plan.pipeline.name,
        description: &plan.pipeline.description,
        seeds: std::slice::from_ref(&set.seed),
        extraction: Some(Extraction {
            prompt_file: None,
            context,
            loss_on: Some(loss_on),
            ..plan.pipeline.extraction.clone()
        }),
        check: plan.pipeline.check.as_ref(),
        ..Reduced::default()
    }
}

fn of_cell(cell: &PlannedCell) -> Reduced<'_> {
    Reduced {
        name: &cell.facts.name,
        seeds: std::slice::from_ref(&cell.facts.seed),
        ..Reduced::default()
    }
}

/// A folder that files are written to, and the one that paths of the pipeline file start from.
struct Folder<'a> {
    path: PathBuf,
    /// Both without links, so that `..` in a path written here leads where it seems to.
    real: PathBuf,
    beside_pipeline: PathBuf,
    pipeline: &'a PipelineFile,
}

impl<'a> Folder<'a> {
    fn create(pipeline: &'a PipelineFile, path: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&path).map_err(|error| Error::output(&path, error))?;
        let real = path.canonicalize().map_err(|error| Error::output(&path, error))?;
        let start = normalized(&pipeline.resolve("."));
        let beside_pipeline = start
            .canonicalize()
            .map_err(|error| Error::input(&start, error))?;
        Ok(Self {
            path,
            real,
            beside_pipeline,
            pipeline,
        })
    }

    fn write(&self, name: &str, content: &Reduced) -> Result<(), Error> {
        let text = toml::to_string(content)
            .map_err(|error| Error::Run(format!("{name}: settings without a TOML form: {error}")))?;
        let text = seal::sealed_text(&format!("{NOTE}{text}"));
        files::write_if_changed(&self.path.join(name), text.as_bytes())
    }

    /// A path of the pipeline file as it must stand in a file of this folder.
    fn rebased(&self, path: &str) -> String {
        if Path::new(path).is_absolute() {
            return path.to_owned();
        }
        relative(&self.real, &self.beside_pipeline.join(path))
            .to_string_lossy()
            .into_owned()
    }

    /// A model whose path leads to its folder from here; a hub name becomes the folder in the cache.
    fn model(&self, model: &Model) -> Result<Model, Error> {
        let path = match &model.path {
            Some(path) if Path::new(path).is_relative() && !self.pipeline.resolve(path).is_dir() => Some(
                ModelFolder::locate(self.pipeline, path)?
                    .path
                    .to_string_lossy()
                    .into_owned(),
            ),
            path => path.as_ref().map(|path| self.rebased(path)),
        };
        Ok(Model {
            path,
            ..model.clone()
        })
    }
}
