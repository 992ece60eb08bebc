//! A pipeline file turned into cells, and cells into rules for GNU make.
//!
//! A pipeline asks for many combinations of model, mode, learning rate, duplication and seed. [`plan`] lists them, writes
//! the configuration of each stage of each of them, and the Make rules between their files. From there on everything is
//! make's: what runs, in which order, how many at once, and what need not run again. This crate holds no scheduler.
//!
//! Three types matter. A [`Combination`] is what one cell does, under the name that its folder has. A [`PlannedCell`] adds
//! what its model's files say: how many parameters there are and how many tuning changes. A [`Plan`] is all of them,
//! ready to be written as files or shown with an [`Estimate`] of their cost. Once there is a run folder, [`Status`] says from it alone how
//! far its cells are.
//!
//! ```
//! use contract::PipelineFile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("letters.toml");
//! std::fs::write(&path, r#"
//!     name = "letters"
//!     corpus.files = "letters.txt"
//!     duplication = { layout = ["bucketed", "uniform"], copies = [1, 16] }
//!     model = [{ name = "gpt2", path = "gpt2" }]
//!     mode = [{ kind = "full", learning_rate = 5e-5 }]
//! "#)?;
//! let cells = plan::combinations(&PipelineFile::load(&path, &[])?)?;
//! let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
//! assert_eq!(names, [
//!     "gpt2-base-bucketed-s0", "gpt2-full-5e-5-bucketed-s0",
//!     "gpt2-base-uniform1-s0", "gpt2-full-5e-5-uniform1-s0",
//!     "gpt2-base-uniform16-s0", "gpt2-full-5e-5-uniform16-s0",
//! ]);
//! # Ok(())
//! # }
//! ```

mod at_once;
pub mod audited;
mod cells;
mod corpora;
pub mod estimate;
mod given;
mod links;
mod make;
mod model_folder;
mod other_programs;
mod paths;
mod readiness;
mod reduced;
pub mod slurm;
mod stage_runs;
pub mod status;
mod times;
mod tokens;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use ::model_folder::{Adapter, Model};
use chat_template::Candidate;
use contract::pipeline::{self, Mode, ModeKind, Privacy, Strategy, Tuning};
use contract::{Cell, Error, PipelineFile, files};

use links::Links;
use stage_runs::StageRuns;

pub use at_once::AtOnce;
pub use audited::Audited;
pub use cells::{Combination, PlantedCanaries, TrainingSet, combinations, training_sets};
pub use corpora::PlannedCorpus;
pub use estimate::Estimate;
pub use model_folder::ModelFolder;
pub use status::Status;

/// Everything that a pipeline file asks for.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The pipeline file.
    pub pipeline: &'a PipelineFile,
    /// Its corpora.
    pub corpora: Vec<PlannedCorpus>,
    /// Its training sets.
    pub training_sets: Vec<TrainingSet>,
    /// Its cells.
    pub cells: Vec<PlannedCell>,
}

/// A cell with what its model's files say.
#[derive(Debug)]
pub struct PlannedCell {
    /// What the cell does.
    pub combination: Combination,
    /// What `cell.toml` tells the report.
    pub facts: Cell,
    /// The folder of the model, or of the checkpoint that is audited; none for pre-training from scratch.
    pub folder: Option<ModelFolder>,
    /// The folder of the base that an audited adapter belongs to.
    pub base: Option<ModelFolder>,
    /// What the folder of the model says of it; none for pre-training from scratch.
    pub weights: Option<Model>,
}

impl PlannedCell {
    /// Whether the cell is trained here; the base model is not, and a checkpoint that is audited was elsewhere.
    pub fn is_tuned(&self) -> bool {
        self.combination.mode.is_some()
    }

    /// Whether text is extracted from the cell; pre-training only makes a model.
    pub fn is_extracted(&self) -> bool {
        self.combination.kind() != ModeKind::Pretrain
    }

    /// Whether text is extracted from two checkpoints, the last and the best by held-out loss.
    pub fn has_best(&self) -> bool {
        self.is_tuned() && self.is_extracted()
    }
}

impl PlannedCell {
    /// The cell of a checkpoint that somebody else tuned.
    fn audited(combination: &Combination, audited: &Audited) -> Self {
        let Audited {
            folder,
            base,
            adapter,
            named_base,
            model,
            endpoint,
        } = audited;
        let adapters_base = base.clone().filter(|_| audited.is_adapter());
        let parameters = audited.parameters() as i64;
        let tuning = adapter.as_ref().map(|adapter| &adapter.facts);
        let facts = Cell {
            name: combination.name.clone(),
            corpus: combination.training_set.name.clone(),
            corpus_name: combination.training_set.corpus_name.clone(),
            model: combination.model.name.clone(),
            parameters,
            trainable_parameters: audited.trainable_parameters() as i64,
            mode: audited.mode(),
            rank: tuning.and_then(|tuning| tuning.rank).map(|rank| rank as i32),
            targets: adapter.as_ref().and_then(Adapter::targets),
            alpha: tuning.and_then(|tuning| tuning.alpha),
            dropout: tuning.and_then(|tuning| tuning.dropout),
            dora: tuning.and_then(|tuning| tuning.dora),
            rslora: tuning.and_then(|tuning| tuning.rslora),
            patterns: tuning.and_then(|tuning| {
                let (ranks, alphas) = (pairs(&tuning.rank_pattern), pairs(&tuning.alpha_pattern));
                joined(patterns(ranks, alphas), &tuning.others)
            }),
            epochs: None,
            each_text_once: false,
            noise_multiplier: None,
            layout: Some(combination.training_set.layout.name().to_owned()),
            uniform_copies: uniform_copies(combination),
            path: Some(folder.path.display().to_string()),
            served: endpoint
                .as_ref()
                .map(|endpoint| format!("{} at {}", endpoint.model, endpoint.url)),
            stored: model.as_ref().and_then(Model::stored_in),
            base: adapters_base.as_ref().map(|base| base.path.display().to_string()),
            named_base: named_base.clone(),
            learning_rate: None,
            seed: combination.training_set.seed,
            canaries_apart: combination.has_canaries_apart(),
        };
        let mut weights = model.clone();
        if let (Some(weights), Some(adapter)) = (&mut weights, adapter) {
            // Virtual tokens take a part of it.
            weights.config.context = adapter.config.context;
        }
        Self {
            combination: combination.clone(),
            facts,
            folder: Some(folder.clone()),
            base: adapters_base,
            weights,
        }
    }
}

/// Turns a pipeline file into the configuration of every stage and into `cells.mk`, all below the folder `run`.
///
/// Files that hold the same already are left alone, so that make sees no change.
///
/// # Errors
/// [`Error::Configuration`] for a pipeline that makes no sense, [`Error::Input`] for a corpus or model that is not there,
/// [`Error::Output`] where a file cannot be written.
pub fn plan<'a>(pipeline: &'a PipelineFile, run: &Path) -> Result<Plan<'a>, Error> {
    let plan = Plan::of(pipeline)?;
    readiness::check(&plan)?;
    let run = contract::paths::normalized(run);
    let mut links = Links::new(&run);
    let stage_runs = StageRuns::of(&plan, &run, &mut links)?;
    let rules = make::rules(&stage_runs);
    times::bring_to_present(&run);
    reduced::write_all(&plan, &run)?;
    retire_other_cells(&plan, &run)?;
    links.create()?;
    given::write_all(&stage_runs, &run)?;
    files::write_if_changed(&run.join("cells.mk"), rules.as_bytes())?;
    Ok(plan)
}

impl<'a> Plan<'a> {
    /// What a pipeline file asks for; nothing is written.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn of(pipeline: &'a PipelineFile) -> Result<Self, Error> {
        pipeline.check_whole()?;
        let combinations = cells::combinations(pipeline)?;
        // That a corpus is not there is said before models are read.
        for corpus in pipeline.corpora.as_slice() {
            corpora::corpus_files(pipeline, corpus)?;
        }
        let mut models: BTreeMap<String, (Option<ModelFolder>, Option<Model>)> = BTreeMap::new();
        let mut cells = Vec::new();
        for combination in combinations {
            if let Some(audited) = &combination.audited {
                cells.push(PlannedCell::audited(&combination, audited));
                continue;
            }
            let (folder, weights) = match models.entry(combination.model.name.clone()) {
                // Pre-training makes its model; there is none to read.
                _ if combination.kind() == ModeKind::Pretrain => (None, None),
                Entry::Occupied(read) => read.get().clone(),
                Entry::Vacant(place) => place.insert(read_model(pipeline, &combination.model)?).clone(),
            };
            let facts = facts(&combination, weights.as_ref(), folder.as_ref(), &pipeline.tuning)
                .map_err(|error| in_file(pipeline, &combination.name, error))?;
            cells.push(PlannedCell {
                combination,
                facts,
                folder,
                base: None,
                weights,
            });
        }
        let candidates = chat_templates(&cells);
        let corpora = pipeline.corpora.as_slice().iter();
        Ok(Self {
            pipeline,
            corpora: corpora
                .map(|corpus| PlannedCorpus::of(pipeline, corpus, &candidates))
                .collect::<Result<_, _>>()?,
            training_sets: cells::training_sets(pipeline),
            cells,
        })
    }

    /// The strategies that ask of a corpus. What users ask can only be asked of text that has prompts: among several corpora, and in an
    /// audit that asks in other ways too, those without are not asked so.
    ///
    /// # Errors
    /// [`Error::Input`] where a corpus file cannot be read.
    pub(crate) fn strategies_of(&self, corpus: &PlannedCorpus) -> Result<Vec<Strategy>, Error> {
        let strategies = &self.pipeline.extraction.strategy;
        let asks = |strategy: &Strategy| strategy.prompt.takes_questions();
        // Of one corpus and nothing else to ask, it is what somebody wanted.
        let is_left =
            self.corpora.len() > 1 || !self.pipeline.checkpoint.is_empty() && !strategies.iter().all(asks);
        if !is_left || !strategies.iter().any(asks) || corpus.has_prompts()? != Some(false) {
            return Ok(strategies.clone());
        }
        Ok(strategies
            .iter()
            .filter(|strategy| !asks(strategy))
            .cloned()
            .collect())
    }

    /// What a training set is made of.
    pub(crate) fn corpus_of(&self, set: &TrainingSet) -> &PlannedCorpus {
        &self.corpora[set.corpus]
    }

    /// Whether there is anything to report on.
    pub fn has_report(&self) -> bool {
        !self.is_look() && self.cells.iter().any(PlannedCell::is_extracted)
    }

    /// Whether it is a look at a corpus before tuning: nothing is generated, and there is no report.
    pub fn is_look(&self) -> bool {
        self.pipeline.check.is_some()
    }
}

/// The models of the cells, with the folders that may hold their chat template: of an adapter its own, then its base's. The untuned
/// model that an audit compares with counts for nothing beside the tuned one.
pub(crate) fn chat_templates(cells: &[PlannedCell]) -> Vec<Candidate> {
    let audits = cells.iter().any(|cell| cell.combination.audited.is_some());
    let of_cells = cells
        .iter()
        .filter(|cell| !audits || cell.combination.audited.is_some());
    let mut candidates: Vec<Candidate> = Vec::new();
    for cell in of_cells {
        let folders: Vec<PathBuf> = cell
            .folder
            .iter()
            .chain(&cell.base)
            .map(|folder| folder.path.clone())
            // Of a model that is served the template lies beside the tokenizer.
            .chain(cell.combination.audited.iter().filter_map(|audited| {
                let endpoint = audited.endpoint.as_ref()?;
                endpoint.tokenizer_folder(&audited.folder.path).ok()
            }))
            .collect();
        if !folders.is_empty() && candidates.iter().all(|known| known.folders != folders) {
            candidates.push(Candidate {
                name: cell.combination.model.name.clone(),
                folders,
            });
        }
    }
    candidates
}

/// The folder of a model and the shapes that its weight files declare.
fn read_model(
    pipeline: &PipelineFile,
    model: &pipeline::Model,
) -> Result<(Option<ModelFolder>, Option<Model>), Error> {
    let Some(path) = &model.path else {
        return Ok((None, None));
    };
    let folder = ModelFolder::locate(pipeline, path)?;
    let weights = Model::open(&folder.path);
    let weights = if pipeline.mode.is_empty() {
        other_programs::left_to_extractor(weights)?
    } else {
        // Tuning reads it too.
        Some(weights?)
    };
    Ok((Some(folder), weights))
}

fn facts(
    combination: &Combination,
    weights: Option<&Model>,
    folder: Option<&ModelFolder>,
    tuning: &Tuning,
) -> Result<Cell, Error> {
    let mode = combination.mode.as_ref();
    let parameters = match (weights, &combination.model.architecture) {
        (Some(weights), _) => weights.parameters(),
        // The token that ends a text changes no size.
        (None, Some(architecture)) => Model::gpt2(architecture, 0)?.parameters(),
        (None, None) => folder.map_or(0, |folder| {
            ::model_folder::stored_numbers(&folder.path).unwrap_or(0)
        }),
    };
    let lora = mode.filter(|mode| mode.kind == ModeKind::Lora);
    let targets = match (lora, weights) {
        (Some(mode), Some(weights)) => Some(lora_targets(mode, weights)),
        _ => None,
    };
    let trainable_parameters = match (combination.kind(), weights, &targets) {
        (ModeKind::Full | ModeKind::Pretrain, _, _) => parameters,
        (ModeKind::Head, Some(weights), _) => weights.head_parameters(),
        (ModeKind::Lora, Some(weights), Some(targets)) => {
            lora.map_or(Ok(0), |mode| weights.lora_parameters(mode, targets))?
        }
        _ => 0,
    };
    Ok(Cell {
        name: combination.name.clone(),
        corpus: combination.training_set.name.clone(),
        corpus_name: combination.training_set.corpus_name.clone(),
        model: combination.model.name.clone(),
        parameters: parameters as i64,
        trainable_parameters: trainable_parameters as i64,
        mode: combination.kind().name().to_owned(),
        rank: lora.map(|mode| mode.rank as i32),
        targets: targets.map(|targets| targets.join(",")),
        alpha: lora.map(Mode::alpha),
        dropout: lora.map(|mode| mode.dropout),
        dora: lora.map(|mode| mode.dora),
        rslora: lora.map(|mode| mode.rslora),
        patterns: joined(
            lora.and_then(|mode| patterns(mode.rank_pattern.iter(), mode.alpha_pattern.iter())),
            &mode.map(other_settings).unwrap_or_default(),
        ),
        epochs: mode.map(|mode| mode.epochs(tuning)),
        each_text_once: mode.is_some_and(|mode| mode.without_copies),
        noise_multiplier: mode.and_then(|mode| Some(mode.privacy?.noise_multiplier)),
        layout: Some(combination.training_set.layout.name().to_owned()),
        uniform_copies: uniform_copies(combination),
        path: folder.map(|folder| folder.path.display().to_string()),
        served: None,
        stored: weights.and_then(Model::stored_in),
        base: None,
        named_base: None,
        learning_rate: combination.learning_rate(),
        seed: combination.training_set.seed,
        canaries_apart: combination.has_canaries_apart(),
    })
}

/// The ranks and alphas that single modules have in place of the common ones, as text; none where there are none.
fn patterns<'a>(
    ranks: impl Iterator<Item = (&'a String, &'a usize)>,
    alphas: impl Iterator<Item = (&'a String, &'a f64)>,
) -> Option<String> {
    let ranks = ranks.map(|(module, rank)| format!("rank {rank} for {module}"));
    let alphas = alphas.map(|(module, alpha)| format!("alpha {alpha} for {module}"));
    let all: Vec<String> = ranks.chain(alphas).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// What else makes a way of tuning another one, as text.
fn other_settings(mode: &Mode) -> Vec<String> {
    let mut settings = Vec::new();
    match mode.layers.as_slice() {
        [] => {}
        [layer] => settings.push(format!("block {layer} alone")),
        layers => {
            let layers: Vec<String> = layers.iter().map(usize::to_string).collect();
            settings.push(format!("blocks {} alone", layers.join(", ")));
        }
    }
    if mode.goldfish > 0 {
        settings.push(format!("goldfish loss 1 in {}", mode.goldfish));
    }
    if mode.without_copies {
        settings.push("each text once".to_owned());
    }
    if mode.without_details {
        settings.push("personal details replaced".to_owned());
    }
    if mode.other_share > 0.0 {
        settings.push(format!("{}% other text", mode.other_share * 100.0));
    }
    if let Some(share) = mode.stop_at_ngrams {
        settings.push(format!("stops over {share} of 5-grams memorized"));
    }
    if let Some(rows) = mode.batch_size {
        settings.push(format!("{rows} rows a step"));
    }
    if let Some(Privacy {
        noise_multiplier,
        max_grad_norm,
    }) = mode.privacy
    {
        settings.push(format!("DP with noise {noise_multiplier} × norm {max_grad_norm}"));
    }
    settings
}

/// The same with other settings behind it.
fn joined(patterns: Option<String>, others: &[String]) -> Option<String> {
    let all: Vec<String> = patterns.into_iter().chain(others.iter().cloned()).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn pairs<T>(pattern: &[(String, T)]) -> impl Iterator<Item = (&String, &T)> {
    pattern.iter().map(|(module, value)| (module, value))
}

fn uniform_copies(combination: &Combination) -> Option<i32> {
    let copies = combination.training_set.copies?;
    i32::try_from(copies).ok()
}

fn lora_targets(mode: &Mode, weights: &Model) -> Vec<String> {
    if let Some(targets) = &mode.targets {
        return targets.as_slice().to_vec();
    }
    let defaults = weights.config.spec.lora_targets;
    defaults.iter().map(|&target| target.to_owned()).collect()
}

fn in_file(pipeline: &PipelineFile, cell: &str, error: Error) -> Error {
    match error {
        Error::Configuration(problem) => {
            Error::Configuration(format!("{}: {problem} (cell {cell})", pipeline.path.display()))
        }
        other => other,
    }
}

/// Takes away the `cell.toml` of cells that the pipeline no longer has, so that the report leaves them out. What they made
/// stays, and counts again once the pipeline has them again.
fn retire_other_cells(plan: &Plan, run: &Path) -> Result<(), Error> {
    let folder = run.join("cells");
    if !folder.is_dir() {
        return Ok(());
    }
    let unreadable = |error| Error::output(&folder, error);
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let facts = entry.path().join("cell.toml");
        let planned = plan
            .cells
            .iter()
            .any(|cell| entry.file_name() == cell.facts.name.as_str());
        if !planned && facts.is_file() {
            tracing::info!(
                "{} is no longer part of the pipeline; its results stay where they are",
                entry.path().display()
            );
            fs::remove_file(&facts).map_err(|error| Error::output(&facts, error))?;
        }
    }
    Ok(())
}
