//! Generate, then rank (Carlini et al. 2021): who has no document to prompt with lets the model write from nothing, drops what it
//! wrote twice, and looks first at what a score says is memorized.

use std::collections::BTreeSet;
use std::fmt;

use contract::records::{PromptForm, Verdict};
use measures::membership;

use super::figure::{Estimate, UnitOf};
use super::measure::MIN_COMMON_CHARS;
use crate::read::{JudgedSample, RankScores};

/// How many of the best ranked are looked at.
pub const LOOKED_AT: [usize; 2] = [10, 50];

/// What generations are ranked by; lower means more likely memorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ranking {
    /// Loss under the model itself.
    Perplexity,
    /// Loss less the untuned model's.
    Reference,
    /// Loss ÷ zlib bytes.
    Zlib,
    /// Loss ÷ loss in lower case.
    LowerCase,
}

impl Ranking {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Perplexity, Self::Reference, Self::Zlib, Self::LowerCase];

    fn score(self, scores: &RankScores) -> Option<f64> {
        let loss = scores.loss?;
        match self {
            Self::Perplexity => Some(loss),
            Self::Reference => membership::reference_difference(loss, scores.reference_loss?).ok(),
            Self::Zlib => membership::zlib_ratio(scores.nats?, scores.zlib_bytes?).ok(),
            Self::LowerCase => membership::lower_case_ratio(loss, scores.lower_case_loss?).ok(),
        }
    }
}

/// The name in `summary.parquet`.
impl fmt::Display for Ranking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Perplexity => "perplexity",
            Self::Reference => "reference",
            Self::Zlib => "zlib",
            Self::LowerCase => "lower_case",
        })
    }
}

/// How many of the best ranked repeat training text.
#[derive(Debug, Clone, PartialEq)]
pub struct Precision {
    /// What they were ranked by; none: all, unranked.
    pub ranking: Option<Ranking>,
    /// How many were looked at.
    pub looked_at: usize,
    /// The share of them that repeats training text, with its interval.
    pub share: Estimate,
}

/// Precision of every ranking of what one strategy wrote from nothing. Empty where it wrote nothing, or too little to rank.
pub fn precisions<'a>(samples: impl IntoIterator<Item = &'a JudgedSample>) -> Vec<Precision> {
    let mut seen = BTreeSet::new();
    let distinct: Vec<&JudgedSample> = samples
        .into_iter()
        .filter(|sample| sample.form == PromptForm::Nothing && seen.insert(sample.generation.as_str()))
        .collect();
    let mut precisions = Vec::new();
    precisions.extend(precision(None, &distinct));
    for ranking in Ranking::ALL {
        let mut ranked: Vec<(f64, &JudgedSample)> = distinct
            .iter()
            .filter_map(|sample| Some((ranking.score(&sample.rank)?, *sample)))
            .collect();
        ranked.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.id.cmp(&right.1.id)));
        for most in LOOKED_AT.into_iter().filter(|&most| most < ranked.len()) {
            let best: Vec<&JudgedSample> = ranked[..most].iter().map(|(_, sample)| *sample).collect();
            precisions.extend(precision(Some(ranking), &best));
        }
    }
    precisions
}

fn precision(ranking: Option<Ranking>, samples: &[&JudgedSample]) -> Option<Precision> {
    let repeats = samples
        .iter()
        .filter(|sample| repeats_training_text(sample))
        .count();
    Some(Precision {
        ranking,
        looked_at: samples.len(),
        share: Estimate::share(repeats, samples.len(), UnitOf::Generations)?,
    })
}

fn repeats_training_text(sample: &JudgedSample) -> bool {
    sample.verdict.verdict != Verdict::None || sample.verdict.longest_match_chars >= MIN_COMMON_CHARS
}
