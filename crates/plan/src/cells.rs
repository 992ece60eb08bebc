//! The combinations of a pipeline file: its training sets, and a named cell for each model, mode, learning rate and set.

use std::collections::BTreeSet;

use contract::pipeline::{Duplication, Layout, Mode, ModeKind, Model, OneOrMany, Pipeline};
use contract::{Error, PipelineFile};

/// One training set: a layout of copies under a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingSet {
    /// Name of its folder under `corpus/`: `bucketed-s0`, `uniform16-s0`.
    pub name: String,
    /// Layout of copies.
    pub layout: Layout,
    /// `uniform` only: copies of every document.
    pub copies: Option<u32>,
    /// Seed of split, copies and order.
    pub seed: u64,
}

/// What one cell does.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// Name of the cell, unique in the run.
    pub name: String,
    /// The model.
    pub model: Model,
    /// The way of tuning, with the one learning rate of this cell; none for the base model.
    pub mode: Option<Mode>,
    /// The training set.
    pub training_set: TrainingSet,
}

impl Combination {
    /// The kind of tuning; [`ModeKind::Base`] for none.
    pub fn kind(&self) -> ModeKind {
        self.mode.as_ref().map_or(ModeKind::Base, |mode| mode.kind)
    }

    /// The learning rate; none for the base model.
    pub fn learning_rate(&self) -> Option<f64> {
        self.mode
            .as_ref()
            .and_then(|mode| mode.learning_rate.as_slice().first().copied())
    }
}

/// The training sets of a pipeline: every layout (uniform once for each number of copies) under every seed.
pub fn training_sets(pipeline: &Pipeline) -> Vec<TrainingSet> {
    let mut sets: Vec<TrainingSet> = Vec::new();
    for &seed in &pipeline.seeds {
        for (name, layout, copies) in layouts(&pipeline.duplication) {
            let set = TrainingSet {
                name: format!("{name}-s{seed}"),
                layout,
                copies,
                seed,
            };
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
    }
    sets
}

fn layouts(duplication: &Duplication) -> Vec<(String, Layout, Option<u32>)> {
    let of = |layout: &Layout| match layout {
        Layout::Bucketed => vec![("bucketed".to_owned(), Layout::Bucketed, None)],
        Layout::Uniform => duplication
            .copies
            .iter()
            .map(|&copies| (format!("uniform{copies}"), Layout::Uniform, Some(copies)))
            .collect(),
    };
    duplication.layout.as_slice().iter().flat_map(of).collect()
}

/// The cells of a pipeline: each model untuned (the control) and under each mode and learning rate, on each training set.
/// Pre-training alone has no control.
///
/// # Errors
/// [`Error::Configuration`] where there is no model or seed, a name cannot be a folder's, or two cells are the same.
pub fn combinations(pipeline: &PipelineFile) -> Result<Vec<Combination>, Error> {
    let wrong = |problem: String| Error::Configuration(format!("{}: {problem}", pipeline.path.display()));
    if pipeline.model.is_empty() {
        return Err(wrong(
            "model: expected at least one [[model]] with a name and a path".to_owned(),
        ));
    }
    if pipeline.seeds.is_empty() {
        return Err(wrong("seeds: expected at least one".to_owned()));
    }
    let runs = named_runs(&pipeline.mode).map_err(wrong)?;
    let pretraining_alone = !runs.is_empty() && runs.iter().all(|(_, mode)| mode.kind == ModeKind::Pretrain);
    if !pretraining_alone && runs.iter().any(|(_, mode)| mode.kind == ModeKind::Pretrain) {
        return Err(wrong(
            "mode: pre-training makes a model to tune, so it needs a pipeline file of its own".to_owned(),
        ));
    }
    let sets = training_sets(pipeline);
    let mut cells = Vec::new();
    for model in &pipeline.model {
        check_model(model, pretraining_alone).map_err(wrong)?;
        for training_set in &sets {
            let base = (!pretraining_alone).then(|| ("base".to_owned(), None));
            let tuned = runs.iter().map(|(name, mode)| (name.clone(), Some(mode.clone())));
            cells.extend(base.into_iter().chain(tuned).map(|(run, mode)| Combination {
                name: format!("{}-{run}-{}", model.name, training_set.name),
                model: model.clone(),
                mode,
                training_set: training_set.clone(),
            }));
        }
    }
    let mut names = BTreeSet::new();
    match cells.iter().find(|cell| !names.insert(cell.name.as_str())) {
        Some(twin) => Err(wrong(format!(
            "two cells would be named {}; give each [[model]] a name of its own",
            twin.name
        ))),
        None => Ok(cells),
    }
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
        let twins = (0..single.len()).filter(|&other| other != position && short[other] == short[position]);
        let twins: Vec<Vec<String>> = twins.map(|other| qualifiers(&single[other])).collect();
        let telling = own
            .iter()
            .enumerate()
            .filter(|(part, text)| !text.is_empty() && twins.iter().any(|twin| twin[*part] != **text))
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
        Some(twin) => Err(format!("mode: {twin} stands there twice")),
        None => Ok(names.into_iter().zip(single).collect()),
    }
}

fn label(mode: &Mode) -> String {
    match mode.kind {
        ModeKind::Lora => format!("lora{}", mode.rank),
        kind => kind.name().to_owned(),
    }
}

fn rate(mode: &Mode) -> String {
    mode.learning_rate
        .as_slice()
        .first()
        .map(|rate| format!("{rate:e}"))
        .unwrap_or_default()
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
        mode.alpha
            .map(|alpha| format!("alpha{alpha}"))
            .unwrap_or_default(),
        if mode.dropout > 0.0 {
            format!("dropout{}", mode.dropout)
        } else {
            String::new()
        },
        mode.epochs
            .map(|epochs| format!("epochs{epochs}"))
            .unwrap_or_default(),
    ]
}
