//! Stage 2: a model tuned on a training set, every parameter, the output head alone, or a low-rank update.
//!
//! [`tune`] is the whole stage. It reads rows from `train.parquet` ([`Rows`]), makes what the mode says trainable
//! ([`modes`]), steps with [`AdamW`] along a [`schedule`], and writes `metrics.parquet` and two checkpoint folders: the last, and
//! the best by held-out loss. Its state
//! is saved now and then, so that a run killed at any moment resumes and ends with the same weights, bit for bit on the
//! same machine: the order of rows and the dropout of a step follow from seed and step alone.
//!
//! ```no_run
//! use std::path::Path;
//!
//! # fn main() -> Result<(), contract::Error> {
//! let stage = contract::StageArguments {
//!     config: "data/runs/demo/cells/4m-full-3e-4-bucketed-s0/tuner.toml".into(),
//!     out: "data/runs/demo/cells/4m-full-3e-4-bucketed-s0".into(),
//!     seed: None,
//!     threads: None,
//!     force: false,
//!     overrides: Vec::new(),
//! };
//! println!("{}", tuner::tune(&stage, Path::new("data/runs/demo/corpus/bucketed-s0"))?);
//! # Ok(())
//! # }
//! ```

mod checkpoints;
mod device_cross_entropy;
mod difference;
mod evaluation;
mod gradient_overlap;
mod gradients;
mod head_loss;
mod hidden_states;
mod memory;
mod merge;
pub mod modes;
mod ngrams;
mod optimizer;
mod outcome;
mod pass_limits;
mod private_gradients;
mod rows;
mod scalar;
pub mod schedule;
mod speed;
mod state;
mod training;
mod training_text;
mod working_weights;

use std::path::Path;

use causal_lm::resolve;
use contract::pipeline::Tuning;
use contract::records::{TrainingInstance, TrainingMetric};
use contract::{Error, Provenance, StageArguments, files, parquet};
use xxhash_rust::xxh3::xxh3_64;

pub use device_cross_entropy::DevicePredictions;
pub use difference::{Difference, DifferenceArguments, difference};
pub use gradient_overlap::{GradientArguments, GradientOverlaps, gradient_overlaps};
pub use gradients::Gradients;
pub use merge::{MergeArguments, Merged, merge};
pub use optimizer::AdamW;
pub use outcome::Outcome;
pub use rows::{Batch, Document, Rows};
pub use speed::{MeasuredSpeed, SpeedArguments, measure_speed};

use checkpoints::CheckpointFolders;
use modes::Prepared;
use training::{Run, Trainer};

/// Tunes the one model, mode and learning rate of the pipeline file on the training set in `corpus`.
///
/// # Errors
/// [`Error::Configuration`] for settings that fit no cell or model, [`Error::Input`] for files that cannot be used,
/// [`Error::Run`] for a loss that is no number, [`Error::Output`] where results cannot be written.
pub fn tune(stage: &StageArguments, corpus: &Path) -> Result<Outcome, Error> {
    let pipeline = stage.pipeline()?;
    let (model, mode, learning_rate) = pipeline.single_cell()?;
    let seed = stage.seed(&pipeline);
    let (train, held_out) = (corpus.join("train.parquet"), corpus.join("heldout.parquet"));
    let other = (mode.other_share > 0.0).then(|| corpus.join("other.parquet"));
    // What `auto` means here is part of what was done.
    let tuning = Tuning {
        precision: resolve(
            pipeline.tuning.precision,
            torch_device::device(&pipeline.tuning.device)?,
        ),
        ..pipeline.tuning.clone()
    };
    let mut provenance = Provenance::new("tuner")
        .with_configuration(&(&model.architecture, mode, &tuning))?
        .with_seed(seed)
        .with_input("train.parquet", &train)?
        .with_input("heldout.parquet", &held_out)?;
    if let Some(path) = &model.path {
        provenance = provenance.with_input("model", &pipeline.resolve(path))?;
    }
    if let Some(other) = &other {
        provenance = provenance.with_input("other.parquet", other)?;
    }
    let (metrics, work) = (stage.out.join("metrics.parquet"), stage.out.join("training"));
    let checkpoints = CheckpointFolders::of_cell(&stage.out);
    if !stage.force && checkpoints.are_there(&tuning) && provenance.is_done(&[&metrics]) {
        remove(&work)?;
        tracing::info!("{} is up to date", stage.out.display());
        return Ok(Outcome::up_to_date(&stage.out));
    }

    tch::set_num_threads(stage.threads() as i32);
    let instances: Vec<TrainingInstance> = parquet::read_all(&train)?;
    let other = other.as_deref().map(other_text).transpose()?.unwrap_or_default();
    let choosing = evaluation::choosing(parquet::read_all(&held_out)?);
    let may_choose = choosing.len();
    let held_out = evaluation::sample(choosing, tuning.evaluate_documents);
    if instances.is_empty() {
        return Err(Error::input(
            &train,
            "expected at least one training instance, found none",
        ));
    }

    let prepared = Prepared::new(&pipeline, model, mode, seed, &work, &instances)?;
    let run = Run {
        tuning: &tuning,
        mode,
        learning_rate,
        seed,
        corpus,
        work: &work,
        checkpoints: &checkpoints,
        noise_key: noise_key(&provenance),
    };
    let mut trainer = Trainer::new(prepared, &run, &instances, &other, &held_out)?;
    // Checkpoints of a run that is stopped are not taken for those of a finished one with other settings.
    files::remove_if_present(&metrics)?;
    let recorded = trainer.run(&work.join("state.safetensors"), &provenance)?;
    write_metrics(&metrics, &provenance, &recorded)?;
    remove(&work)?;
    let evaluated = (held_out.len(), may_choose);
    Ok(Outcome::new(&stage.out, &recorded, &trainer, evaluated))
}

/// Text of another kind to be learned beside the training set.
fn other_text(file: &Path) -> Result<Vec<TrainingInstance>, Error> {
    let other: Vec<TrainingInstance> = parquet::read_all(file)?;
    if other.is_empty() {
        return Err(Error::input(
            file,
            "mode.other_share: expected documents of corpus.other beyond the corpus.max_other that are scored, found none. Name more text \
             there, or score fewer",
        ));
    }
    Ok(other)
}

/// A digest of settings and inputs.
fn noise_key(provenance: &Provenance) -> u64 {
    let inputs = provenance.inputs.iter().flat_map(|(role, digest)| [role, digest]);
    let facts: Vec<&str> = std::iter::once(&provenance.configuration)
        .chain(inputs)
        .map(String::as_str)
        .collect();
    xxh3_64(facts.join("\n").as_bytes())
}

/// Removes what only an unfinished run needs.
fn remove(work: &Path) -> Result<(), Error> {
    if work.exists() {
        std::fs::remove_dir_all(work).map_err(|error| Error::output(work, error))?;
    }
    Ok(())
}

fn write_metrics(
    destination: &Path,
    provenance: &Provenance,
    metrics: &[TrainingMetric],
) -> Result<(), Error> {
    parquet::write_all(destination, provenance, metrics)
}
