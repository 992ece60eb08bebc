//! The checkpoints that a run leaves: the last, the best by held-out loss, and the newest few of those evaluated.

use std::fs;
use std::path::{Path, PathBuf};

use contract::files::AtomicFile;
use contract::pipeline::Tuning;
use contract::records::{Split, TrainingMetric};
use contract::{Error, seal};

use crate::modes::Prepared;
use crate::state::TrainState;

/// Where the checkpoints of a cell lie below its folder.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointFolders {
    /// That of the last step.
    pub(crate) last: PathBuf,
    /// That of the step with the best held-out loss.
    pub(crate) best: PathBuf,
    /// Folder of the newest few, `step-00000120` and so on.
    pub(crate) newest: PathBuf,
}

impl CheckpointFolders {
    pub(crate) fn of_cell(cell: &Path) -> Self {
        Self {
            last: cell.join("checkpoint"),
            best: cell.join("best").join("checkpoint"),
            newest: cell.join("checkpoints"),
        }
    }

    /// Whether everything is there that these settings leave, as it was written.
    pub(crate) fn are_there(&self, tuning: &Tuning) -> bool {
        let newest = tuning.keep_last == 0 || self.newest.is_dir();
        newest && seal::is_whole_model(&self.last) && seal::is_whole_model(&self.best)
    }
}

/// Writes checkpoints, and removes those that are no longer wanted.
#[derive(Debug)]
pub(crate) struct CheckpointStore {
    folders: CheckpointFolders,
    keep_last: usize,
    restore_best: bool,
    patience: usize,
    /// Steps of the newest checkpoints that are there, in order.
    steps: Vec<usize>,
}

impl CheckpointStore {
    pub(crate) fn new(folders: &CheckpointFolders, tuning: &Tuning) -> Self {
        Self {
            folders: folders.clone(),
            keep_last: tuning.keep_last,
            restore_best: tuning.restore_best,
            patience: tuning.patience,
            steps: Vec::new(),
        }
    }

    /// Removes what does not belong to the run as it is resumed: checkpoints of other settings, or of steps that are yet to come.
    pub(crate) fn resume(&mut self, state: &TrainState) -> Result<(), Error> {
        self.steps = self
            .newest_folders()
            .iter()
            .filter_map(|folder| step_of(folder))
            .filter(|&step| step <= state.step)
            .collect();
        self.steps.sort_unstable();
        self.remove_others()
    }

    /// Writes the checkpoint of an evaluated step, if any are kept, and removes those that are then too many.
    pub(crate) fn keep(&mut self, state: &TrainState, prepared: &mut Prepared) -> Result<(), Error> {
        if self.keep_last == 0 {
            return Ok(());
        }
        let step = state.step;
        write(prepared, &self.path(step))?;
        self.steps.retain(|&kept| kept != step);
        self.steps.push(step);
        self.remove_others()
    }

    /// Writes the weights as they are as the best.
    pub(crate) fn write_best(&self, prepared: &mut Prepared) -> Result<(), Error> {
        write(prepared, &self.folders.best)
    }

    /// Leaves the last checkpoint: the weights as they are, or with `restore_best` the best once more. Where no loss chose a best,
    /// the last is the best too.
    pub(crate) fn write_last(&self, state: &TrainState, prepared: &mut Prepared) -> Result<(), Error> {
        let CheckpointFolders { last, best, .. } = &self.folders;
        match best_step(state) {
            Some(step) if self.restore_best => {
                tracing::info!("tuning.restore_best: the last checkpoint is that of step {step}, the best");
                copy(best, last, prepared)
            }
            Some(_) => write(prepared, last),
            None => {
                write(prepared, last)?;
                copy(last, best, prepared)
            }
        }
    }

    /// Whether there was no better loss in as many evaluations as are waited for. The untuned model's is not among them: a loss
    /// that first rises may still fall.
    pub(crate) fn is_out_of_patience(&self, state: &TrainState) -> bool {
        let after_steps = || held_out(state).filter(|row| row.step > 0);
        let best = step_of_lowest(after_steps());
        let since = after_steps().filter(|row| Some(row.step as usize) > best).count();
        self.patience > 0 && since >= self.patience
    }

    /// Where the best is.
    pub(crate) fn best(&self) -> &Path {
        &self.folders.best
    }

    /// The newest checkpoint that is there.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        self.steps.last().map(|&step| self.path(step))
    }

    fn path(&self, step: usize) -> PathBuf {
        self.folders.newest.join(format!("step-{step:08}"))
    }

    /// What lies beside one another there, unfinished folders too.
    fn newest_folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folders.newest).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.is_dir()).collect()
    }

    fn remove_others(&mut self) -> Result<(), Error> {
        let too_many = self.steps.len().saturating_sub(self.keep_last);
        self.steps.drain(..too_many);
        let folder = &self.folders.newest;
        if !folder.exists() {
            return Ok(());
        }
        let wanted: Vec<PathBuf> = self.steps.iter().map(|&step| self.path(step)).collect();
        for other in self
            .newest_folders()
            .iter()
            .filter(|other| !wanted.contains(other))
        {
            fs::remove_dir_all(other).map_err(|error| Error::output(other, error))?;
        }
        if wanted.is_empty() {
            fs::remove_dir_all(folder).map_err(|error| Error::output(folder, error))?;
        }
        Ok(())
    }
}

/// The step with the lowest held-out loss, the earliest of equals; 0 is the untuned model. `None` where nothing was evaluated.
pub(crate) fn best_step(state: &TrainState) -> Option<usize> {
    step_of_lowest(held_out(state))
}

fn held_out(state: &TrainState) -> impl Iterator<Item = &TrainingMetric> {
    state.metrics.iter().filter(|row| row.split == Split::Heldout)
}

fn step_of_lowest<'a>(rows: impl Iterator<Item = &'a TrainingMetric>) -> Option<usize> {
    rows.min_by(|first, second| first.loss.total_cmp(&second.loss))
        .map(|row| row.step as usize)
}

/// The step that a folder is named for.
fn step_of(folder: &Path) -> Option<usize> {
    folder.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

fn write(prepared: &mut Prepared, destination: &Path) -> Result<(), Error> {
    let folder = AtomicFile::create_folder(destination)?;
    prepared.write(folder.path())?;
    seal::write_checksums(folder.path())?;
    folder.commit()
}

/// Writes a checkpoint once more, in another place.
fn copy(from: &Path, destination: &Path, prepared: &Prepared) -> Result<(), Error> {
    let folder = AtomicFile::create_folder(destination)?;
    let entries = fs::read_dir(from).map_err(|error| Error::input(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::input(from, error))?;
        let target = folder.path().join(entry.file_name());
        fs::copy(entry.path(), &target).map_err(|error| Error::output(&target, error))?;
    }
    // The way to its base is another from there.
    prepared.rename_base(folder.path())?;
    seal::write_checksums(folder.path())?;
    folder.commit()
}
