//! Where training stands, saved so that a killed run goes on.

use std::path::Path;

use causal_lm::weights;
use contract::records::TrainingMetric;
use contract::{Error, Provenance, files::AtomicFile};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use crate::AdamW;
use crate::checkpoints::best_step;

/// Name of the one fact in the file's header.
const PROGRESS: &str = "progress";

/// What a run has done so far, beside its tensors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TrainState {
    /// Optimizer steps done.
    pub(crate) step: usize,
    /// Tokens read.
    pub(crate) tokens: i64,
    /// Seconds of training, over all runs.
    pub(crate) seconds: f64,
    /// Sum of reported losses, their number, and tokens read since the last row of metrics.
    pub(crate) since_logged: (f64, usize, usize),
    /// Rows of metrics.
    pub(crate) metrics: Vec<TrainingMetric>,
    /// Whether it ended early.
    pub(crate) stopped: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    provenance: Provenance,
    state: TrainState,
}

/// Saves weights, moments and what was done as one file, whole or not at all.
pub(crate) fn save(
    path: &Path,
    provenance: &Provenance,
    state: &TrainState,
    optimizer: &AdamW,
) -> Result<(), Error> {
    let saved = Saved {
        provenance: provenance.clone(),
        state: state.clone(),
    };
    let saved = serde_json::to_string(&saved).map_err(|error| Error::output(path, error))?;
    let file = AtomicFile::create(path)?;
    weights::write(file.path(), &optimizer.state(), &[(PROGRESS, &saved)])?;
    file.commit()
}

/// Takes over a saved state of this very work; without one, training begins anew. So it does where `best`, the checkpoint of an
/// earlier step than the state's, is gone: nothing else holds those weights.
pub(crate) fn resume(
    path: &Path,
    provenance: &Provenance,
    best: &Path,
    optimizer: &mut AdamW,
    device: Device,
) -> Result<TrainState, Error> {
    if !path.exists() {
        return Ok(TrainState::default());
    }
    let saved = weights::metadata(path).map_err(removable)?.remove(PROGRESS);
    let saved: Option<Saved> = saved.and_then(|saved| serde_json::from_str(&saved).ok());
    let Some(saved) = saved.filter(|saved| saved.provenance.same_work(provenance)) else {
        tracing::info!("the saved state belongs to other settings or inputs; training begins anew");
        return begin_anew(path);
    };
    if best_step(&saved.state).is_some_and(|step| step < saved.state.step) && !best.is_dir() {
        tracing::info!("{} is gone; training begins anew", best.display());
        return begin_anew(path);
    }
    let tensors = weights::read(path, Kind::Float, device).map_err(removable)?;
    optimizer.restore(tensors, saved.state.step).map_err(|problem| {
        Error::input(
            path,
            format!("does not fit this model: {problem}. Remove it to begin anew"),
        )
    })?;
    tracing::info!("resuming after step {}", saved.state.step);
    Ok(saved.state)
}

/// A state that cannot be used stands in the way until somebody decides that what it holds may be lost.
fn removable(error: causal_lm::Error) -> Error {
    match Error::from(error) {
        Error::Input { file, problem } => Error::Input {
            problem: format!("{problem}. Remove it: training then begins anew"),
            file,
        },
        other => other,
    }
}

/// The saved state goes before the best checkpoint that belongs to it is written over.
fn begin_anew(saved: &Path) -> Result<TrainState, Error> {
    std::fs::remove_file(saved).map_err(|error| Error::output(saved, error))?;
    Ok(TrainState::default())
}
