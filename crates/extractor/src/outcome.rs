//! What a person reads when extraction has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{CoursePoint, Split};

use crate::details::Ranked;
use crate::documents::Remarks;
use crate::generation::Drawn;
use crate::prompts::Skipped;
use crate::scoring::LeftOut;

/// How extraction went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    folder: PathBuf,
    end: End,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
enum End {
    UpToDate,
    /// So many parts were put together.
    Merged(usize),
    Done(Box<Figures>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) last: Asked,
    pub(crate) best: Option<Asked>,
    pub(crate) best_is_last: bool,
    pub(crate) skipped: Skipped,
    pub(crate) remarks: Remarks,
    pub(crate) left_out: LeftOut,
    pub(crate) course: Vec<CoursePoint>,
}

/// What one checkpoint gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// Generations by split and strategy.
    generations: BTreeMap<(Split, String), usize>,
    tokens: usize,
    seconds: f64,
    scored: usize,
    ranked: Ranked,
}

impl Asked {
    pub(crate) fn new(drawn: &Drawn, scored: usize, ranked: Ranked) -> Self {
        let mut generations = BTreeMap::new();
        for sample in &drawn.samples {
            *generations
                .entry((sample.split, sample.strategy.clone()))
                .or_default() += 1;
        }
        let lengths = drawn.samples.iter().map(|sample| sample.generated_tokens.len());
        Self {
            generations,
            tokens: lengths.sum(),
            seconds: drawn.seconds,
            scored,
            ranked,
        }
    }
}

impl Outcome {
    pub(crate) fn up_to_date(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            end: End::UpToDate,
        }
    }

    pub(crate) fn merged(folder: &Path, parts: usize) -> Self {
        Self {
            folder: folder.to_path_buf(),
            end: End::Merged(parts),
        }
    }

    pub(crate) fn new(folder: &Path, figures: Figures) -> Self {
        Self {
            folder: folder.to_path_buf(),
            end: End::Done(Box::new(figures)),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        let figures = match &self.end {
            End::UpToDate => return write!(formatter, "extractor: {folder} is up to date"),
            End::Merged(parts) => {
                return write!(formatter, "extractor: {parts} parts put together in {folder}");
            }
            End::Done(figures) => figures,
        };
        for ((split, strategy), count) in &figures.last.generations {
            let source = match split {
                Split::Train => "training prompts",
                Split::Heldout => "held-out prompts",
                Split::None => "no prompt",
            };
            writeln!(formatter, "  {count:>7} generations  {source:<17} {strategy}")?;
        }
        for line in lines(figures) {
            writeln!(formatter, "  {line}")?;
        }
        write_course(formatter, &figures.course)?;
        write!(formatter, "extractor: {}", figures.last)?;
        match &figures.best {
            Some(best) => write!(
                formatter,
                "; of the checkpoint with the best held-out loss {best}"
            ),
            None if figures.best_is_last => {
                write!(
                    formatter,
                    "; the checkpoint with the best held-out loss is the last"
                )
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = self.tokens as f64 / self.seconds.max(1e-9);
        write!(
            formatter,
            "{} generations of {} tokens in {:.0} s ({speed:.0} a second), {} rows of scores",
            self.generations.values().sum::<usize>(),
            self.tokens,
            self.seconds,
            self.scored
        )
    }
}

/// What was cut, skipped, left out, and read in a way that one may not expect.
fn lines(figures: &Figures) -> Vec<String> {
    let Figures {
        skipped,
        remarks,
        left_out,
        ..
    } = figures;
    let mut lines = Vec::new();
    if remarks.cut_training + remarks.cut_held_out > 0 {
        lines.push(format!(
            "{:>7} training documents and {} held-out ones cut at {} tokens, where training ended: what follows is neither asked \
             for nor scored",
            remarks.cut_training, remarks.cut_held_out, remarks.most_tokens
        ));
    }
    if left_out.secrets > 0 {
        lines.push(format!(
            "{:>7} canaries and references without a score of their secret: training did not read it to its end or took no loss on \
             it, or its form of the text does not have it",
            left_out.secrets
        ));
    }
    if remarks.cut_canaries > 0 {
        lines.push(format!(
            "{:>7} canaries and references cut there too",
            remarks.cut_canaries
        ));
    }
    if remarks.cut_other > 0 {
        lines.push(format!(
            "{:>7} documents of other text scored up to there",
            remarks.cut_other
        ));
    }
    if remarks.with_special_tokens > 0 {
        lines.push(format!(
            "{:>7} documents hold special tokens ({}) written in their text: read as such, as in training",
            remarks.with_special_tokens,
            remarks.special_tokens.join(", ")
        ));
    }
    if remarks.several_answers > 0 {
        lines.push(format!(
            "{:>7} conversations have several answers of the assistant: prompts ask for the longest of each alone",
            remarks.several_answers
        ));
    }
    if remarks.begin_alike > 0 {
        lines.push(format!(
            "{:>7} of {} documents begin as others do, in up to {} tokens: prompts and prefixes are counted behind them",
            remarks.begin_alike, remarks.documents, remarks.shared_tokens
        ));
    }
    if let Some((written, decoded)) = &remarks.decoded_example {
        lines.push(format!(
            "{:>7} of {} documents read differently from how they are written (tokenizer: {written:?} becomes {decoded:?}): \
             generations are compared with what it gives back, in decoded.parquet",
            remarks.decoded, remarks.documents
        ));
    }
    for (count, what) in [
        (
            skipped.too_short,
            "documents skipped: too short for half a prompt and 50 characters behind it",
        ),
        (
            skipped.too_long,
            "prompts skipped: they leave no room in the model's context",
        ),
        (
            skipped.shortened,
            "prompts shorter than extraction.prefix_tokens: their documents have too little text behind it to count as repeated",
        ),
        (
            left_out.documents,
            "documents and canaries not scored: training took no loss on what it read of them",
        ),
        (
            left_out.not_chosen,
            "documents not scored: extraction.scored_documents asks for no more",
        ),
        (
            left_out.continuations,
            "continuations not scored: they hold tokens of the prompt part, on which training took no loss",
        ),
        (
            left_out.not_extractable,
            "documents too short for 50 tokens behind any scored prefix: nothing is said of their extractability",
        ),
    ] {
        if count > 0 {
            lines.push(format!("{count:>7} {what}"));
        }
    }
    lines.extend(figures.last.ranked.lines());
    lines
}

fn write_course(formatter: &mut fmt::Formatter<'_>, course: &[CoursePoint]) -> fmt::Result {
    if !course.is_empty() {
        writeln!(
            formatter,
            "  {:<16} {:<8} {:>6} {:>7} {:>6} {:>12}",
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
        writeln!(
            formatter,
            "  {:<16} {split:<8} {:>6} {:>7.3} {:>6} {:>12}",
            point.checkpoint,
            point.copies,
            point.loss,
            percent(point.exact_memorization),
            percent(point.extractable)
        )?;
    }
    Ok(())
}
