//! What a run did, as a small table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use corpus_files::{Guess, PassedOver};

use crate::cut::Cut;
use crate::facts::unused_column;
use crate::left_out::Reason;

/// Most files that are named one by one.
const MAX_NAMED: usize = 8;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The results were there already, made from the same files, settings and seed.
    UpToDate {
        /// The folder they are in.
        folder: PathBuf,
    },
    /// The results were written.
    Done(Box<Summary>),
}

/// The numbers of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files read.
    pub files: usize,
    /// Documents in them, usable or not.
    pub read: usize,
    /// Documents left out, by reason. With `copies_found`, the held-out, the other and the training documents they
    /// add up to those read.
    pub left_out: BTreeMap<Reason, usize>,
    /// Layout `found`: documents whose text occurred before, counted as copies of the first.
    pub copies_found: usize,
    /// Those of them that are the same up to white space, case and normal form alone.
    pub variants_found: usize,
    /// Documents whose identity got a number, because another text had it.
    pub renamed: usize,
    /// The first document that was skipped, and why.
    pub first_skipped: Option<String>,
    /// Documents in which half a surrogate pair became U+FFFD.
    pub replaced: usize,
    /// What columns were recognised as, with the documents that it is true of.
    pub recognised: Vec<(String, usize)>,
    /// Columns beside the prompt that are not asked for, and the documents of a file that have a value there.
    pub unused: Vec<(&'static str, usize)>,
    /// Files in named folders that are no part of the corpus.
    pub passed_over: Vec<PassedOver>,
    /// What was settled that the settings leave open, with the name of the file; without it, about all of them.
    pub guesses: Vec<(Option<String>, Guess)>,
    /// Held-out documents.
    pub held_out: usize,
    /// Those of them that choose checkpoint and learning rate.
    pub validation: usize,
    /// Held-out documents with at least half of their 8-grams of words in one training document.
    pub near_duplicates: usize,
    /// Held-out documents of fewer than eight words, which have no such share.
    pub not_compared: usize,
    /// Held-out documents of the training side, which this seed does not train on.
    pub withheld: usize,
    /// Documents of other text, which are only scored.
    pub other: usize,
    /// Reference strings for the canaries, over all formats.
    pub references: usize,
    /// Formats of canaries.
    pub formats: usize,
    /// Canaries that a coin put in or left out.
    pub coin_flips: usize,
    /// Those that it put in.
    pub coins_in: usize,
    /// The training set, by number of copies.
    pub training: BTreeMap<u32, Bucket>,
    /// What `tuning.context` cuts off, with each tokenizer; empty where rows are packed.
    pub cuts: Vec<Cut>,
    /// Models for which that is not known, since they have no tokenizer yet.
    pub without_tokenizer: Vec<String>,
}

/// What the training set has with one number of copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Different documents.
    pub documents: usize,
    /// Different canaries.
    pub canaries: usize,
}

impl Summary {
    /// Different documents in the training set, without canaries.
    pub fn training_documents(&self) -> usize {
        self.training.values().map(|bucket| bucket.documents).sum()
    }

    /// Different canaries in the training set.
    pub fn canaries(&self) -> usize {
        self.training.values().map(|bucket| bucket.canaries).sum()
    }

    /// Rows of the training set.
    pub fn instances(&self) -> usize {
        self.training
            .iter()
            .map(|(&copies, bucket)| bucket.instances(copies))
            .sum()
    }
}

impl Bucket {
    fn instances(self, copies: u32) -> usize {
        (self.documents + self.canaries) * copies as usize
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate { folder } => write!(
                formatter,
                "{} is up to date (--force makes it again)",
                folder.display()
            ),
            Self::Done(summary) => summary.fmt(formatter),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, text: String| writeln!(formatter, "{label:<16}{text}");
        line("read", format!("{} documents in {} files", self.read, self.files))?;
        for (reason, documents) in &self.left_out {
            line("left out", format!("{documents} {reason}"))?;
        }
        if let Some(first) = &self.first_skipped {
            line("  the first", first.clone())?;
        }
        self.reading_lines(&mut line)?;
        if self.copies_found > 0 {
            let (copies, variants) = (self.copies_found, self.variants_found);
            line(
                "copies",
                format!(
                    "{copies} documents are copies of an earlier one, {variants} of them up to white space, case and normal form"
                ),
            )?;
        }
        if self.renamed > 0 {
            line(
                "numbered",
                format!("{} documents whose identity another one had", self.renamed),
            )?;
        }
        self.held_out_lines(&mut line)?;
        for cut in &self.cuts {
            for text in cut.lines() {
                line("cut", text)?;
            }
        }
        for model in &self.without_tokenizer {
            line(
                "cut",
                format!("not counted for {model}, which has no tokenizer.json yet"),
            )?;
        }
        write!(
            formatter,
            "{:>10}{:>12}{:>12}{:>12}",
            "copies", "documents", "canaries", "instances"
        )?;
        for (&copies, bucket) in &self.training {
            let Bucket { documents, canaries } = *bucket;
            write!(
                formatter,
                "\n{copies:>10}{documents:>12}{canaries:>12}{:>12}",
                bucket.instances(copies)
            )?;
        }
        let (documents, instances) = (self.training_documents(), self.instances());
        let canaries = match self.canaries() {
            0 => String::new(),
            canaries => format!(" and {canaries} canaries"),
        };
        write!(
            formatter,
            "\ndupgen: {instances} instances to train on, of {documents} documents{canaries}; {} documents held out",
            self.held_out
        )?;
        Ok(())
    }
}

impl Summary {
    /// What the printed summary says of the files, line by line.
    fn reading_lines(&self, line: &mut impl FnMut(&str, String) -> fmt::Result) -> fmt::Result {
        for passed in self.passed_over.iter().take(MAX_NAMED) {
            line(
                "passed over",
                format!("{}: {}", passed.path.display(), passed.explanation),
            )?;
        }
        if self.passed_over.len() > MAX_NAMED {
            let more = self.passed_over.len() - MAX_NAMED;
            line("passed over", format!("{more} more, see corpus.parquet"))?;
        }
        for (file, guess) in self.guesses.iter().take(MAX_NAMED) {
            let of = file.as_ref().map_or(String::new(), |file| format!("{file}: "));
            line("guessed", format!("{of}{}: {}", guess.what, guess.taken))?;
        }
        if self.guesses.len() > MAX_NAMED {
            let more = self.guesses.len() - MAX_NAMED;
            line("guessed", format!("{more} more, see corpus.parquet"))?;
        }
        for (how, documents) in &self.recognised {
            line("recognised", format!("{documents} documents as {how}"))?;
        }
        for (column, documents) in &self.unused {
            line(
                "not in the text",
                format!("in {documents} documents, {}", unused_column(column)),
            )?;
        }
        if self.replaced > 0 {
            line(
                "replaced",
                format!(
                    "in {} documents half a surrogate pair became U+FFFD",
                    self.replaced
                ),
            )?;
        }
        Ok(())
    }

    /// What the printed summary says of `heldout.parquet`, line by line.
    fn held_out_lines(&self, line: &mut impl FnMut(&str, String) -> fmt::Result) -> fmt::Result {
        let (held_out, validation) = (self.held_out, self.validation);
        line(
            "held out",
            format!(
                "{held_out} documents, {validation} for validation and {} for test",
                held_out - validation
            ),
        )?;
        if self.withheld > 0 {
            line(
                "withheld",
                format!(
                    "{} of them, which other seeds train on (duplication.trained_share)",
                    self.withheld
                ),
            )?;
        }
        if held_out > 0 {
            line(
                "near-duplicates",
                format!(
                    "{} held-out documents share half of their 8-grams of words with a training document, or quote one",
                    self.near_duplicates
                ),
            )?;
        }
        if self.not_compared > 0 {
            line(
                "not compared",
                format!("{} held-out documents have fewer than 8 words", self.not_compared),
            )?;
        }
        if self.other > 0 {
            line(
                "other text",
                format!("{} documents, which are only scored", self.other),
            )?;
        }
        if self.formats > 0 {
            line(
                "canaries",
                format!(
                    "{} in {} formats, {} canary references",
                    self.canaries() - self.coins_in,
                    self.formats,
                    self.references
                ),
            )?;
        }
        if self.coin_flips > 0 {
            line(
                "coin flips",
                format!("{} of {} canaries planted once", self.coins_in, self.coin_flips),
            )?;
        }
        Ok(())
    }
}
