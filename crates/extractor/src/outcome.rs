//! What a person reads when extraction has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{CoursePoint, Split};

use crate::generation::Drawn;
use crate::prompts::Skipped;

/// How extraction went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    folder: PathBuf,
    figures: Option<Figures>,
}

#[derive(Debug, Clone, PartialEq)]
struct Figures {
    /// Generations by split and strategy.
    generations: BTreeMap<(Split, String), usize>,
    tokens: usize,
    seconds: f64,
    scored: usize,
    skipped: Skipped,
    course: Vec<CoursePoint>,
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
        drawn: &Drawn,
        scored: usize,
        skipped: Skipped,
        course: Vec<CoursePoint>,
    ) -> Self {
        let mut generations = BTreeMap::new();
        for sample in &drawn.samples {
            *generations
                .entry((sample.split, sample.strategy.clone()))
                .or_default() += 1;
        }
        let tokens = drawn
            .samples
            .iter()
            .map(|sample| sample.generated_tokens.len())
            .sum();
        let figures = Figures {
            generations,
            tokens,
            seconds: drawn.seconds,
            scored,
            skipped,
            course,
        };
        Self {
            folder: folder.to_path_buf(),
            figures: Some(figures),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Figures {
            generations,
            tokens,
            seconds,
            scored,
            skipped,
            course,
        }) = &self.figures
        else {
            return write!(formatter, "extractor: {} is up to date", self.folder.display());
        };
        let speed = *tokens as f64 / seconds.max(1e-9);
        write!(
            formatter,
            "extractor: {}: {tokens} tokens in {seconds:.0} s ({speed:.0} a second)",
            self.folder.display()
        )?;
        for ((split, strategy), count) in generations {
            let source = match split {
                Split::Train => "training prompts",
                Split::Heldout => "held-out prompts",
                Split::None => "no prompt",
            };
            write!(formatter, "\n  {count:>7} generations  {source:<17} {strategy}")?;
        }
        write!(formatter, "\n  {scored:>7} continuations scored")?;
        if skipped.too_short > 0 {
            write!(
                formatter,
                "\n  {:>7} documents skipped: no longer than the prompt",
                skipped.too_short
            )?;
        }
        if !course.is_empty() {
            write!(
                formatter,
                "\n  {:<16} {:<8} {:>6} {:>7} {:>6} {:>12}",
                "checkpoint", "split", "copies", "loss", "exact", "extractable"
            )?;
        }
        for point in course {
            let percent =
                |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.0}%", 100.0 * share));
            let split = if point.split == Split::Train {
                "train"
            } else {
                "heldout"
            };
            write!(
                formatter,
                "\n  {:<16} {split:<8} {:>6} {:>7.3} {:>6} {:>12}",
                point.checkpoint,
                point.copies,
                point.loss,
                percent(point.exact_memorization),
                percent(point.extractable)
            )?;
        }
        Ok(())
    }
}
