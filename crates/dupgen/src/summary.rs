//! What a run did, as a small table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::ingest::Reason;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both results were there already, made from the same files, settings and seed.
    UpToDate {
        /// The folder they are in.
        folder: PathBuf,
    },
    /// Both results were written.
    Done(Summary),
}

/// The numbers of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files read.
    pub files: usize,
    /// Documents that stand in them, usable or not.
    pub read: usize,
    /// Documents left out, by reason. With the held-out and the training documents they add up to those read.
    pub left_out: BTreeMap<Reason, usize>,
    /// Documents whose identity got a number, because another text had it.
    pub renamed: usize,
    /// The first document that was skipped, and why.
    pub first_skipped: Option<String>,
    /// Held-out documents.
    pub held_out: usize,
    /// Reference strings for the canaries.
    pub references: usize,
    /// The training set, by number of copies.
    pub training: BTreeMap<u32, Bucket>,
}

/// What stands in the training set with one number of copies.
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
        writeln!(
            formatter,
            "{:<12}{} documents in {} files",
            "read", self.read, self.files
        )?;
        for (reason, documents) in &self.left_out {
            writeln!(formatter, "{:<12}{documents} {reason}", "left out")?;
        }
        if let Some(first) = &self.first_skipped {
            writeln!(formatter, "{:<12}{first}", "  the first")?;
        }
        if self.renamed > 0 {
            writeln!(
                formatter,
                "{:<12}{} documents whose identity another one had",
                "numbered", self.renamed
            )?;
        }
        writeln!(
            formatter,
            "{:<12}{} documents, {} canary references",
            "held out", self.held_out, self.references
        )?;
        let (documents, instances) = (self.training_documents(), self.instances());
        writeln!(
            formatter,
            "{:<12}{documents} documents, {instances} instances with canaries",
            "training"
        )?;
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
        Ok(())
    }
}
