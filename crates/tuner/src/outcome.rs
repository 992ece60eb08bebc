//! What a person reads when tuning has ended.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{Split, TrainingMetric};

use crate::training::{CutDocuments, Trainer};
use crate::training_text::TextChanges;

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
    cut: Option<CutDocuments>,
    /// Training documents in whose text special tokens are written out, and all of them.
    special: (usize, usize),
    changes: TextChanges,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct HeldOut {
    first: f64,
    best: f64,
    best_step: i64,
    last: f64,
    /// Documents that it is the loss of, and all that might choose.
    documents: (usize, usize),
}

impl Outcome {
    pub(crate) fn up_to_date(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            figures: None,
        }
    }

    pub(crate) fn new(
        folder: &Path,
        metrics: &[TrainingMetric],
        trainer: &Trainer,
        documents: (usize, usize),
    ) -> Self {
        let of = |split| metrics.iter().filter(move |row| row.split == split);
        let evaluations: Vec<&TrainingMetric> = of(Split::Heldout).collect();
        let best = evaluations
            .iter()
            .min_by(|first, second| first.loss.total_cmp(&second.loss));
        let held_out = match (evaluations.first(), best, evaluations.last()) {
            (Some(first), Some(best), Some(last)) => Some(HeldOut {
                first: first.loss,
                best: best.loss,
                best_step: best.step,
                last: last.loss,
                documents,
            }),
            _ => None,
        };
        let last = metrics.last();
        let figures = Figures {
            trainable: trainer.trainable_count(),
            steps: last.map_or(0, |row| row.step),
            tokens: last.map_or(0, |row| row.tokens),
            seconds: last.map_or(0.0, |row| row.seconds),
            train_loss: of(Split::Train).next_back().map(|row| row.loss),
            held_out,
            cut: trainer.cut(),
            special: trainer.special(),
            changes: trainer.changes(),
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
            cut,
            special: (special, documents),
            changes,
        } = figures;
        if let Some(cut) = cut {
            writeln!(formatter, "{cut}")?;
        }
        if *special > 0 {
            writeln!(
                formatter,
                "  special tokens {special} of {documents} training documents have some written out in their text, and were read so"
            )?;
        }
        write!(formatter, "{changes}")?;
        write!(
            formatter,
            "tuner: {trainable} parameters trained in {steps} steps over {tokens} tokens in {seconds:.0} s"
        )?;
        if let Some(loss) = train_loss {
            write!(formatter, "; training loss {loss:.3} nats per token at the end")?;
        }
        match held_out {
            Some(held_out) => write!(formatter, "; held-out loss {held_out}"),
            None => write!(
                formatter,
                "; no held-out document can choose, so that best/checkpoint is the last"
            ),
        }
    }
}

impl fmt::Display for HeldOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            best,
            best_step,
            last,
            documents: (measured, all),
        } = self;
        write!(
            formatter,
            "{first:.3} before, {best:.3} at best ({}), {last:.3} at the end, on ",
            match best_step {
                0 => "before tuning".to_owned(),
                step => format!("step {step}"),
            }
        )?;
        if measured == all {
            write!(formatter, "{all} document{}", if *all == 1 { "" } else { "s" })
        } else {
            write!(
                formatter,
                "{measured} of {all} documents (tuning.evaluate_documents)"
            )
        }
    }
}

impl fmt::Display for CutDocuments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            context,
            training: (training, training_all),
            held_out: (held_out, held_out_all),
        } = self;
        write!(
            formatter,
            "  cut            {training} of {training_all} training documents at tuning.context = {context} tokens"
        )?;
        if *held_out_all > 0 {
            write!(
                formatter,
                ", and {held_out} of those {held_out_all} held-out documents"
            )?;
        }
        Ok(())
    }
}
