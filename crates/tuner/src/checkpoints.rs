//! Checkpoints beside the last: which are kept, and which one is the result.

use std::fs;
use std::path::{Path, PathBuf};

use contract::pipeline::Tuning;
use contract::records::{Split, TrainingMetric};
use contract::{Error, files::Unfinished};

use crate::modes::Prepared;
use crate::state::Standing;

/// The folder of kept checkpoints, `step-00000120` and so on, and the rule by which they are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
    keep_last: usize,
    keep_best: bool,
    restore_best: bool,
    patience: usize,
    /// Steps of the checkpoints that are there, in order.
    steps: Vec<usize>,
    best: Option<usize>,
}

impl Kept {
    pub(crate) fn new(folder: &Path, tuning: &Tuning) -> Self {
        Self {
            folder: folder.to_path_buf(),
            keep_last: tuning.keep_last,
            keep_best: tuning.keep_best || tuning.restore_best,
            restore_best: tuning.restore_best,
            patience: tuning.patience,
            steps: Vec::new(),
            best: None,
        }
    }

    /// Removes what does not belong to the run as it stands: checkpoints of other settings, or of steps that are yet to come.
    pub(crate) fn take_over(&mut self, standing: &Standing) -> Result<(), Error> {
        self.best = best(standing);
        self.steps = self
            .folders()
            .iter()
            .filter_map(|folder| step_of(folder))
            .filter(|&step| step <= standing.step)
            .collect();
        self.steps.sort_unstable();
        self.remove_others()
    }

    /// Writes the checkpoint of an evaluated step, if the rule keeps it, and removes those that it no longer keeps.
    pub(crate) fn consider(&mut self, standing: &Standing, prepared: &mut Prepared) -> Result<(), Error> {
        let step = standing.step;
        self.best = best(standing);
        let is_best = self.best == Some(step);
        if self.keep_last == 0 && !(self.keep_best && is_best) {
            return Ok(());
        }
        let folder = Unfinished::folder(&self.path(step))?;
        prepared.write(folder.path())?;
        folder.finish()?;
        self.steps.retain(|&kept| kept != step);
        self.steps.push(step);
        self.remove_others()
    }

    /// Whether there was no better loss in as many evaluations as are waited for.
    pub(crate) fn is_out_of_patience(&self, standing: &Standing) -> bool {
        let since = held_out(standing)
            .filter(|row| Some(row.step as usize) > self.best)
            .count();
        self.patience > 0 && since >= self.patience
    }

    /// The newest checkpoint that is there.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        self.steps.last().map(|&step| self.path(step))
    }

    /// Leaves the result: the weights as they stand, or those of the best evaluation.
    pub(crate) fn write_final(&self, prepared: &mut Prepared, destination: &Path) -> Result<(), Error> {
        let folder = Unfinished::folder(destination)?;
        match self.best.filter(|_| self.restore_best) {
            Some(step) => {
                tracing::info!("the result is that of step {step}, which has the best held-out loss");
                copy(&self.path(step), folder.path())?;
            }
            None => {
                if self.restore_best {
                    tracing::warn!(
                        "tuning.restore_best: nothing was held out, so that the result is the last step's"
                    );
                }
                prepared.write(folder.path())?;
            }
        }
        folder.finish()
    }

    fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("step-{step:08}"))
    }

    /// What lies beside one another there, unfinished folders too.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.is_dir()).collect()
    }

    fn remove_others(&mut self) -> Result<(), Error> {
        let newest = self.steps.len().saturating_sub(self.keep_last);
        let (best, keep_best) = (self.best, self.keep_best);
        let mut place = 0;
        self.steps.retain(|&step| {
            place += 1;
            place > newest || keep_best && best == Some(step)
        });
        if !self.folder.exists() {
            return Ok(());
        }
        let wanted: Vec<PathBuf> = self.steps.iter().map(|&step| self.path(step)).collect();
        for folder in self.folders().iter().filter(|folder| !wanted.contains(folder)) {
            fs::remove_dir_all(folder).map_err(|error| Error::output(folder, error))?;
        }
        if wanted.is_empty() {
            fs::remove_dir_all(&self.folder).map_err(|error| Error::output(&self.folder, error))?;
        }
        Ok(())
    }
}

/// The step that a folder is named for.
fn step_of(folder: &Path) -> Option<usize> {
    folder.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

fn held_out(standing: &Standing) -> impl Iterator<Item = &TrainingMetric> {
    standing.metrics.iter().filter(|row| row.split == Split::Heldout)
}

/// The step with the lowest held-out loss, the earliest of equals. The untrained model is not among them.
fn best(standing: &Standing) -> Option<usize> {
    held_out(standing)
        .filter(|row| row.step > 0)
        .min_by(|first, second| first.loss.total_cmp(&second.loss))
        .map(|row| row.step as usize)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(from).map_err(|error| Error::input(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::input(from, error))?;
        let target = to.join(entry.file_name());
        fs::copy(entry.path(), &target).map_err(|error| Error::output(&target, error))?;
    }
    Ok(())
}
