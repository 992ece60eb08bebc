//! What a person reads when tuning has ended.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{Split, TrainingMetric};

/// How tuning went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    folder: PathBuf,
    figures: Option<Figures>,
}

#[derive(Debug, Clone, PartialEq)]
struct Figures {
    trainable: usize,
    steps: i64,
    tokens: i64,
    seconds: f64,
    train_loss: Option<f64>,
    held_out: Option<HeldOut>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct HeldOut {
    first: f64,
    best: f64,
    last: f64,
}

impl Outcome {
    pub(crate) fn up_to_date(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            figures: None,
        }
    }

    pub(crate) fn new(folder: &Path, metrics: &[TrainingMetric], trainable: usize) -> Self {
        let losses = |split| {
            metrics
                .iter()
                .filter(move |row| row.split == split)
                .map(|row| row.loss)
        };
        let held_out = losses(Split::Heldout)
            .next()
            .zip(losses(Split::Heldout).next_back())
            .map(|(first, last)| HeldOut {
                first,
                best: losses(Split::Heldout).fold(f64::INFINITY, f64::min),
                last,
            });
        let last = metrics.last();
        let figures = Figures {
            trainable,
            steps: last.map_or(0, |row| row.step),
            tokens: last.map_or(0, |row| row.tokens),
            seconds: last.map_or(0.0, |row| row.seconds),
            train_loss: losses(Split::Train).next_back(),
            held_out,
        };
        Self {
            folder: folder.to_path_buf(),
            figures: Some(figures),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(figures) = &self.figures else {
            return write!(formatter, "tuner: {} is up to date", self.folder.display());
        };
        let Figures {
            trainable,
            steps,
            tokens,
            seconds,
            train_loss,
            held_out,
        } = figures;
        write!(
            formatter,
            "tuner: {}: {trainable} parameters, {steps} steps, {tokens} tokens in {seconds:.0} s",
            self.folder.display()
        )?;
        if let Some(loss) = train_loss {
            write!(formatter, "\n  training loss  {loss:.3} nats per token")?;
        }
        if let Some(HeldOut { first, best, last }) = held_out {
            write!(
                formatter,
                "\n  held-out loss  {first:.3} before, {best:.3} at best, {last:.3} at the end"
            )?;
        }
        Ok(())
    }
}
