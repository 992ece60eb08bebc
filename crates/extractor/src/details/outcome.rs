//! What a person reads when details have been ranked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{DetailScore, Split};
use measures::interval::wilson;
use personal_details::DetailKind;

/// Details of one kind and split that were ranked, and how many were first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct First {
    all: u64,
    by_probability: u64,
    /// By how much more probable tuning made them.
    by_gain: u64,
    of_untuned: u64,
}

/// How many personal details were ranked first, by kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    file: PathBuf,
    candidates: usize,
    /// Tokens of a text, the BOS included, that training is taken to have read.
    context: usize,
    has_untuned: bool,
    /// By kind, and whether the document was held out.
    counts: BTreeMap<(String, bool), First>,
    left_out: LeftOut,
}

/// Details that were not ranked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Those of each kind for which there were not enough others.
    pub(super) without_others: BTreeMap<DetailKind, usize>,
    /// Held-out documents that are near-duplicates of training documents.
    pub(super) near_duplicates: usize,
    /// Those behind what training read.
    pub(super) not_read: usize,
}

impl Ranked {
    /// Counts `scores`, each of a detail among so many `candidates`, where training read `context` tokens of a text.
    pub(super) fn new(
        file: &Path,
        scores: &[DetailScore],
        (candidates, context): (usize, usize),
        left_out: LeftOut,
    ) -> Self {
        let mut counts: BTreeMap<(String, bool), First> = BTreeMap::new();
        for score in scores {
            // One of each document, and of no other.
            let first = counts
                .entry((score.detail.clone(), score.split != Split::Train))
                .or_default();
            first.all += 1;
            first.by_probability += u64::from(is_first(&score.nats));
            if let Some(untuned) = &score.untuned_nats {
                let gains: Vec<f32> = score
                    .nats
                    .iter()
                    .zip(untuned)
                    .map(|(tuned, untuned)| tuned - untuned)
                    .collect();
                first.by_gain += u64::from(is_first(&gains));
                first.of_untuned += u64::from(is_first(untuned));
            }
        }
        Self {
            file: file.to_path_buf(),
            candidates,
            context,
            has_untuned: scores.iter().any(|score| score.untuned_nats.is_some()),
            counts,
            left_out,
        }
    }
}

/// Whether the first of some numbers is below all others.
fn is_first(nats: &[f32]) -> bool {
    let Some((own, others)) = nats.split_first() else {
        return false;
    };
    others.iter().all(|other| own < other)
}

impl fmt::Display for Ranked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "Personal details that are more probable in their own context than each of {} others of their kind. What held-out documents and the \
             untuned model show is no leak of this tuning; by chance it would be 1 in {}.",
            self.candidates,
            self.candidates + 1
        )?;
        let mut heads = vec!["", "documents", "most probable"];
        if self.has_untuned {
            heads.extend(["most gained by tuning", "untuned: most probable"]);
        }
        let mut lines = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for ((kind, is_held_out), first) in &self.counts {
            let split = if *is_held_out { "held out" } else { "training" };
            let mut line = vec![
                kind.clone(),
                split.to_owned(),
                share(first.by_probability, first.all),
            ];
            if self.has_untuned {
                line.extend([
                    share(first.by_gain, first.all),
                    share(first.of_untuned, first.all),
                ]);
            }
            lines.push(line);
        }
        let columns = lines.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                lines
                    .iter()
                    .map(|line| line[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for line in &lines {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            writeln!(formatter, "  {}", cells.join("  ").trim_end())?;
        }
        for (kind, count) in &self.left_out.without_others {
            writeln!(
                formatter,
                "  left out: {count} of kind {}, with which not as many others of the same split can be ranked",
                kind.name()
            )?;
        }
        if self.left_out.near_duplicates > 0 {
            writeln!(
                formatter,
                "  left out: near-duplicates of training documents among those held out: {}",
                self.left_out.near_duplicates
            )?;
        }
        if self.left_out.not_read > 0 {
            writeln!(
                formatter,
                "  left out: {} behind what training read",
                self.left_out.not_read
            )?;
        }
        writeln!(
            formatter,
            "  Training is taken to have read {} tokens of a text; --context says otherwise.",
            self.context
        )?;
        write!(
            formatter,
            "  Patterns find the details, and miss most of what identifies somebody.\nwritten  {}",
            self.file.display()
        )
    }
}

/// "34 of 120, 28% (21–37%)".
fn share(count: u64, all: u64) -> String {
    let Ok(interval) = wilson(count, all) else {
        return "none".to_owned();
    };
    format!(
        "{count} of {all}, {:.0}% ({:.0}–{:.0}%)",
        100.0 * count as f64 / all as f64,
        100.0 * interval.low,
        100.0 * interval.high
    )
}
