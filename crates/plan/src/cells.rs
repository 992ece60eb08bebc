//! The combinations of a pipeline file: its training sets, and a named cell for each model, mode, learning rate and set.

use std::collections::BTreeSet;

use crate::audited::Audited;
use crate::model_folder::ModelFolder;
use contract::pipeline::{Duplication, Layout, LossOn, Mode, ModeKind, Model, OneOrMany, Pipeline};
use contract::{Error, PipelineFile};

/// One training set: a layout of copies under a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingSet {
    /// Name of its folder under `corpus/`: `bucketed-s0`, `uniform16-s0`, `bucketed-canaries-s0`; where the corpus has a name,
    /// `letters-bucketed-s0`.
    pub name: String,
    /// Which of the pipeline's corpora it is made of.
    pub corpus: usize,
    /// The name of that corpus, where it has one.
    pub corpus_name: Option<String>,
    /// Layout of copies.
    pub layout: Layout,
    /// `uniform` only: copies of every document.
    pub copies: Option<u32>,
    /// Which canaries it has.
    pub canaries: PlantedCanaries,
    /// Seed of split, copies and order.
    pub seed: u64,
}

/// The canaries of a training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedCanaries {
    /// None: none are asked for, or they have a set of their own.
    None,
    /// Among the documents whose rates are reported.
    Among,
    /// In a set of their own, made beside one without any (`canaries.apart`).
    Apart,
}

/// What one cell does.
#[derive(Debug, Clone)]
pub struct Combination {
    /// Name of the cell, unique in the run.
    pub name: String,
    /// The model.
    pub model: Model,
    /// The way of tuning, with the one learning rate of this cell; none for the base model.
    pub mode: Option<Mode>,
    /// The checkpoint that somebody else tuned, in place of a mode.
    pub audited: Option<Audited>,
    /// The training set.
    pub training_set: TrainingSet,
    /// How many tokens of a text training read, the BOS included (none: as many as the model can), and which it took loss on.
    /// The untuned model is asked and scored as those tuned from it.
    pub trained_tokens: (Option<usize>, LossOn),
}

impl Combination {
    /// The kind of tuning; [`ModeKind::Base`] for none.
    pub fn kind(&self) -> ModeKind {
        match (&self.mode, &self.audited) {
            (Some(mode), _) => mode.kind,
            (None, Some(_)) => ModeKind::Tuned,
            (None, None) => ModeKind::Base,
        }
    }

    /// Whether its training set is the one that canaries have to themselves.
    pub fn has_canaries_apart(&self) -> bool {
        self.training_set.canaries == PlantedCanaries::Apart
    }

    /// The learning rate; none for the base model.
    pub fn learning_rate(&self) -> Option<f64> {
        self.mode
            .as_ref()
            .and_then(|mode| mode.learning_rate.as_slice().first().copied())
    }
}

/// The training sets of a pipeline: of every corpus every layout (uniform once for each number of copies) under every seed; with
/// canaries apart, each once without and once with them.
pub fn training_sets(pipeline: &Pipeline) -> Vec<TrainingSet> {
    let kinds: &[(&str, PlantedCanaries)] = match (pipeline.canaries.are_planted(), pipeline.canaries.apart) {
        (false, _) => &[("", PlantedCanaries::None)],
        (true, false) => &[("", PlantedCanaries::Among)],
        (true, true) => &[("", PlantedCanaries::None), ("-canaries", PlantedCanaries::Apart)],
    };
    let mut sets: Vec<TrainingSet> = Vec::new();
    for (corpus, settings) in pipeline.corpora.as_slice().iter().enumerate() {
        let prefix = settings
            .name
            .as_ref()
            .map(|name| format!("{name}-"))
            .unwrap_or_default();
        for &seed in &pipeline.seeds {
            for (name, layout, copies) in layouts(&pipeline.duplication) {
                for &(suffix, canaries) in kinds {
                    let set = TrainingSet {
                        name: format!("{prefix}{name}{suffix}-s{seed}"),
                        corpus,
                        corpus_name: settings.name.clone(),
                        layout,
                        copies,
                        canaries,
                        seed,
                    };
                    if !sets.contains(&set) {
                        sets.push(set);
                    }
                }
            }
        }
    }
    sets
}

fn layouts(duplication: &Duplication) -> Vec<(String, Layout, Option<u32>)> {
    let of = |layout: &Layout| match layout {
        Layout::Bucketed => vec![("bucketed".to_owned(), Layout::Bucketed, None)],
        Layout::Found => vec![("found".to_owned(), Layout::Found, None)],
        Layout::Uniform => duplication
            .copies
            .iter()
            .map(|&copies| (format!("uniform{copies}"), Layout::Uniform, Some(copies)))
            .collect(),
    };
    duplication.layout.as_slice().iter().flat_map(of).collect()
}

/// The cells of a pipeline: each model untuned (the control) and under each mode and learning rate, on each training set.
/// Pre-training alone has no control. A checkpoint that somebody else tuned has one where its base is known.
///
/// # Errors
/// [`Error::Configuration`] where there is no model (a look before tuning needs none) or seed, a name cannot be a folder's, or two cells are the same;
/// [`Error::Input`] where a checkpoint cannot be found.
pub fn combinations(pipeline: &PipelineFile) -> Result<Vec<Combination>, Error> {
    let wrong = |problem: String| Error::Configuration(format!("{}: {problem}", pipeline.path.display()));
    if pipeline.model.is_empty() && pipeline.checkpoint.is_empty() && pipeline.check.is_none() {
        return Err(wrong(
            "model: expected at least one [[model]] to tune, or one [[checkpoint]] to audit, with a name and a path"
                .to_owned(),
        ));
    }
    if pipeline.seeds.is_empty() {
        return Err(wrong("seeds: expected at least one".to_owned()));
    }
    let modes = || pipeline.mode.iter().filter(|mode| mode.kind != ModeKind::Base);
    let is_pretraining = |mode: &Mode| mode.kind == ModeKind::Pretrain;
    let pretraining_alone = modes().next().is_some() && modes().all(is_pretraining);
    if !pretraining_alone && modes().any(is_pretraining) {
        return Err(wrong(
            "mode: pre-training makes a model to tune, so it needs a pipeline file of its own".to_owned(),
        ));
    }
    let sets = training_sets(pipeline);
    let mut cells = Vec::new();
    for model in &pipeline.model {
        check_model(model, pretraining_alone).map_err(wrong)?;
        let runs = named_runs(&modes_for(model, &pipeline.mode)).map_err(wrong)?;
        for training_set in &sets {
            let base = (!pretraining_alone).then(|| ("base".to_owned(), None));
            let tuned = runs.iter().map(|(name, mode)| (name.clone(), Some(mode.clone())));
            cells.extend(base.into_iter().chain(tuned).map(|(run, mode)| Combination {
                name: format!("{}-{run}-{}", model.name, training_set.name),
                model: model.clone(),
                mode,
                audited: None,
                training_set: training_set.clone(),
                trained_tokens: pipeline.trained_tokens(),
            }));
        }
    }
    for checkpoint in &pipeline.checkpoint {
        let model = Model {
            name: checkpoint.name.clone(),
            path: Some(checkpoint.path.clone()),
            architecture: None,
        };
        check_model(&model, false).map_err(|problem| wrong(problem.replace("model", "checkpoint")))?;
        let audited = Audited::locate(pipeline, checkpoint)?;
        let extraction = &pipeline.extraction;
        let trained_tokens = (
            extraction.context.or(checkpoint.context),
            extraction.loss_on.or(checkpoint.loss_on).unwrap_or(LossOn::Text),
        );
        for training_set in &sets {
            let of_checkpoint = of_checkpoint(&model, &audited, training_set, trained_tokens)?;
            if pipeline.check.is_some() {
                // It is the model before tuning; what it was made from has no part in it.
                cells.extend(of_checkpoint.into_iter().last().map(|cell| Combination {
                    name: format!("{}-base-{}", model.name, training_set.name),
                    ..cell
                }));
            } else {
                cells.extend(of_checkpoint);
            }
        }
    }
    let mut names = BTreeSet::new();
    match cells.iter().find(|cell| !names.insert(cell.name.as_str())) {
        Some(repeated) => Err(wrong(format!(
            "two cells would be named {}; give each [[model]] a name of its own",
            repeated.name
        ))),
        None => Ok(cells),
    }
}

/// The cell of a checkpoint, and before it that of its base.
fn of_checkpoint(
    model: &Model,
    audited: &Audited,
    training_set: &TrainingSet,
    trained_tokens: (Option<usize>, LossOn),
) -> Result<Vec<Combination>, Error> {
    let cell = |run: &str, path: String, audited: Option<&Audited>| Combination {
        name: format!("{}-{run}-{}", model.name, training_set.name),
        model: Model {
            path: Some(path),
            ..model.clone()
        },
        mode: None,
        audited: audited.cloned(),
        training_set: training_set.clone(),
        trained_tokens,
    };
    let whole = |folder: &ModelFolder| {
        let whole = folder.path.canonicalize();
        whole
            .map(|path| path.to_string_lossy().into_owned())
            .map_err(|error| Error::input(&folder.path, error))
    };
    let mut cells = Vec::new();
    if let Some(base) = &audited.base {
        cells.push(cell("base", whole(base)?, None));
    }
    cells.push(cell("tuned", whole(&audited.folder)?, Some(audited)));
    Ok(cells)
}

fn check_model(model: &Model, pretraining_alone: bool) -> Result<(), String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "._+-".contains(character);
    if model.name.is_empty() || !model.name.chars().all(fits) || model.name.starts_with(['-', '.']) {
        return Err(format!(
            "model.name: \"{}\" cannot name a folder: expected letters, digits and . _ + -, beginning with a letter or digit",
            model.name
        ));
    }
    if model.path.is_none() && !pretraining_alone {
        return Err(format!(
            "model \"{}\": path is missing; only pre-training goes without",
            model.name
        ));
    }
    if model.architecture.is_none() && pretraining_alone {
        return Err(format!(
            "model \"{}\": pre-training needs [model.architecture]",
            model.name
        ));
    }
    Ok(())
}

/// The modes that a model is tuned in. Which other models are too is not theirs to say.
fn modes_for(model: &Model, modes: &[Mode]) -> Vec<Mode> {
    let is_for = |mode: &&Mode| {
        let named = mode.models.as_ref();
        named.is_none_or(|names| names.as_slice().contains(&model.name))
    };
    let alone = |mode: &Mode| Mode {
        models: None,
        ..mode.clone()
    };
    modes.iter().filter(is_for).map(alone).collect()
}

/// Each mode under each of its learning rates, named by kind, rank and rate, and further only by what tells it from a run
/// that would have the same name.
fn named_runs(modes: &[Mode]) -> Result<Vec<(String, Mode)>, String> {
    let single: Vec<Mode> = modes
        .iter()
        .filter(|mode| mode.kind != ModeKind::Base)
        .flat_map(|mode| {
            let with = |&rate: &f64| Mode {
                learning_rate: OneOrMany::One(rate),
                ..mode.clone()
            };
            mode.learning_rate.as_slice().iter().map(with)
        })
        .collect();
    let short: Vec<(String, String)> = single.iter().map(|mode| (label(mode), rate(mode))).collect();
    let name = |position: usize| {
        let own = qualifiers(&single[position]);
        let namesakes =
            (0..single.len()).filter(|&other| other != position && short[other] == short[position]);
        let namesakes: Vec<Vec<String>> = namesakes.map(|other| qualifiers(&single[other])).collect();
        let telling = own
            .iter()
            .enumerate()
            .filter(|(part, text)| !text.is_empty() && namesakes.iter().any(|other| other[*part] != **text))
            .map(|(_, text)| text.as_str());
        let (label, rate) = &short[position];
        std::iter::once(label.as_str())
            .chain(telling)
            .chain([rate.as_str()])
            .collect::<Vec<_>>()
            .join("-")
    };
    let names: Vec<String> = (0..single.len()).map(name).collect();
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(repeated) => Err(format!("mode: {repeated} occurs twice")),
        None => Ok(names.into_iter().zip(single).collect()),
    }
}

fn label(mode: &Mode) -> String {
    let kind = match mode.kind {
        ModeKind::Lora => format!("lora{}", mode.rank),
        kind => kind.name().to_owned(),
    };
    // Always: what a cell promises must not be taken for another's.
    let noise = mode
        .privacy
        .map(|privacy| format!("-noise{}-norm{}", privacy.noise_multiplier, privacy.max_grad_norm));
    kind + &noise.unwrap_or_default()
}

fn rate(mode: &Mode) -> String {
    mode.learning_rate
        .as_slice()
        .first()
        .map(|rate| format!("{rate:e}"))
        .unwrap_or_default()
}

/// A pattern table in few letters: its numbers.
fn patterns<Number: std::fmt::Display>(
    patterns: &std::collections::BTreeMap<String, Number>,
    what: &str,
) -> String {
    let numbers: Vec<String> = patterns.values().map(Number::to_string).collect();
    if numbers.is_empty() {
        String::new()
    } else {
        format!("{what}s{}", numbers.join("+"))
    }
}

/// What may tell two runs of the same kind, rank and rate apart; empty where it is the default.
fn qualifiers(mode: &Mode) -> Vec<String> {
    let targets = mode
        .targets
        .as_ref()
        .map(|targets| targets.as_slice().join("+"))
        .unwrap_or_default();
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || "._+-".contains(character) {
            character
        } else {
            '_'
        }
    };
    vec![
        targets.chars().map(safe).collect(),
        if mode.dora {
            "dora".to_owned()
        } else {
            String::new()
        },
        if mode.rslora {
            "rslora".to_owned()
        } else {
            String::new()
        },
        patterns(&mode.rank_pattern, "rank"),
        patterns(&mode.alpha_pattern, "alpha"),
        mode.alpha
            .map(|alpha| format!("alpha{alpha}"))
            .unwrap_or_default(),
        if mode.dropout > 0.0 {
            format!("dropout{}", mode.dropout)
        } else {
            String::new()
        },
        if mode.layers.is_empty() {
            String::new()
        } else {
            let layers: Vec<String> = mode.layers.iter().map(usize::to_string).collect();
            format!("layers{}", layers.join("+"))
        },
        if mode.goldfish > 0 {
            format!("goldfish{}", mode.goldfish)
        } else {
            String::new()
        },
        if mode.without_copies {
            "without-copies".to_owned()
        } else {
            String::new()
        },
        if mode.without_details {
            "without-details".to_owned()
        } else {
            String::new()
        },
        if mode.other_share > 0.0 {
            format!("other{}", mode.other_share)
        } else {
            String::new()
        },
        mode.stop_at_ngrams
            .map(|share| format!("ngrams{share}"))
            .unwrap_or_default(),
        mode.epochs
            .map(|epochs| format!("epochs{epochs}"))
            .unwrap_or_default(),
        mode.batch_size
            .map(|rows| format!("rows{rows}"))
            .unwrap_or_default(),
    ]
}
