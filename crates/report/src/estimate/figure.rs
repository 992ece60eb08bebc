//! A figure, how sure it is, and what it rests on.

use std::fmt;

use measures::interval::{
    binomial_mid_p, bounded_mean_interval, clustered_rate, mean_interval, over_runs, ratio, wilson,
};
use measures::{Interval, Tally};

use super::measure::Kind;

/// How intervals are drawn where a formula does not give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Resamples of the documents.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// How a 95% interval was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntervalKind {
    /// Exact binomial with the mid-P correction: shares of 0 and 1, and true-positive rates.
    Exact,
    /// Wilson's score interval: one observation a document.
    Wilson,
    /// Wilson's with the effective number of documents: several observations a document.
    Clustered,
    /// Of a mean over documents.
    Mean,
    /// Student's over training runs.
    Runs,
    /// DeLong's on the logit scale.
    DeLong,
    /// Of the mean difference on the same documents.
    Paired,
    /// Of a difference of two figures, from the interval of each.
    Mover,
    /// Percentiles over resamples of training and held-out documents.
    Bootstrap,
}

/// The name in `summary.parquet`.
impl fmt::Display for IntervalKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Exact => "exact",
            Self::Wilson => "wilson",
            Self::Clustered => "clustered",
            Self::Mean => "mean",
            Self::Runs => "runs",
            Self::DeLong => "delong",
            Self::Paired => "paired",
            Self::Mover => "mover",
            Self::Bootstrap => "bootstrap",
        })
    }
}

/// A 95% interval and how it was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// Its ends, in the unit of the figure.
    pub ends: Interval,
    /// How it was made.
    pub kind: IntervalKind,
}

/// What the units are that an interval is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitOf {
    /// Documents.
    Documents,
    /// Generations.
    Generations,
    /// Planted canaries.
    Canaries,
    /// Training runs.
    Runs,
    /// Rows of a log.
    Evaluations,
}

/// The name in `summary.parquet`, and on the page.
impl fmt::Display for UnitOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Documents => "documents",
            Self::Generations => "generations",
            Self::Canaries => "canaries",
            Self::Runs => "runs",
            Self::Evaluations => "evaluations",
        })
    }
}

/// A figure, how sure it is, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure, in the measure's unit.
    pub value: f64,
    /// Its 95% interval; none where too little was observed for one.
    pub interval: Option<Confidence>,
    /// Whether the figure is a lower bound.
    pub at_least: bool,
    /// How many of `observations` it is true of; none for figures that are no shares.
    pub k: Option<f64>,
    /// Observations: generations, documents.
    pub observations: usize,
    /// Units that the interval is about.
    pub n: usize,
    /// What these are.
    pub n_of: UnitOf,
}

impl Estimate {
    /// A figure for which no interval is given.
    pub fn exact(value: f64, n: usize, n_of: UnitOf) -> Self {
        Self {
            value,
            interval: None,
            at_least: false,
            k: None,
            observations: n,
            n,
            n_of,
        }
    }

    /// So many of so many independent units.
    pub fn share(k: usize, n: usize, n_of: UnitOf) -> Option<Self> {
        (n > 0).then(|| Self {
            value: k as f64 / n as f64,
            interval: share_interval(k, n),
            at_least: false,
            k: Some(k as f64),
            observations: n,
            n,
            n_of,
        })
    }

    /// The figure of some documents; `None` for none. `bounds`: the ends of a mean's range, where it has any.
    pub fn of_documents(documents: &[Tally], kind: Kind, bounds: Option<(f64, f64)>) -> Option<Self> {
        let mean = ratio(documents).ok()?;
        let n = documents.len();
        let part: f64 = documents.iter().map(|tally| tally.part).sum();
        let whole: f64 = documents.iter().map(|tally| tally.whole).sum();
        let confidence = |kind: IntervalKind| move |ends: Interval| Confidence { ends, kind };
        let interval = match kind {
            Kind::Rate if is_once(documents) => share_interval(part as usize, n),
            Kind::Rate => clustered_rate(documents)
                .ok()
                .map(confidence(IntervalKind::Clustered)),
            Kind::Mean => match bounds.filter(|(_, high)| high.is_finite()) {
                Some(bounds) => bounded_mean_interval(documents, bounds),
                None => mean_interval(documents),
            }
            .ok()
            .map(confidence(IntervalKind::Mean)),
            Kind::Count => None,
        };
        Some(Self {
            value: if kind == Kind::Count { part } else { mean },
            interval,
            at_least: false,
            k: (kind != Kind::Mean).then_some(part),
            observations: if kind == Kind::Mean { n } else { whole as usize },
            n,
            n_of: UnitOf::Documents,
        })
    }

    /// The figure of several training runs, each with its own; the runs are its units. The interval is Student's over the runs;
    /// where all runs agree, that of all their documents together.
    ///
    /// `bounds` are the ends of the measure's range.
    pub fn of_runs(runs: &[Self], bounds: Option<(f64, f64)>) -> Option<Self> {
        let (first, further) = runs.split_first()?;
        if further.is_empty() {
            return Some(*first);
        }
        let values: Vec<f64> = runs.iter().map(|run| run.value).collect();
        let k: Option<f64> = runs.iter().map(|run| run.k).sum();
        let observations = runs.iter().map(|run| run.observations).sum();
        let documents: usize = runs.iter().map(|run| run.n).sum();
        let value = values.iter().sum::<f64>() / values.len() as f64;
        let over = over_runs(&values, bounds).ok().map(|ends| Confidence {
            ends,
            kind: IntervalKind::Runs,
        });
        let interval = over.or_else(|| match (k, first.interval) {
            (Some(_), Some(_)) => share_interval((value * documents as f64).round() as usize, documents),
            _ => None,
        });
        Some(Self {
            value,
            interval,
            at_least: runs.iter().any(|run| run.at_least),
            k,
            observations,
            n: runs.len(),
            n_of: UnitOf::Runs,
        })
    }

    /// The figure and the ends of its interval under a rising function; no count is left.
    #[must_use]
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self {
            value: function(self.value),
            interval: self.interval.map(|confidence| Confidence {
                ends: Interval {
                    low: function(confidence.ends.low),
                    high: function(confidence.ends.high),
                },
                ..confidence
            }),
            ..self
        }
    }

    /// Ends of the interval.
    pub fn ends(&self) -> Option<Interval> {
        self.interval.map(|confidence| confidence.ends)
    }
}

/// Whether each document was observed once, to be so or not.
pub fn is_once(documents: &[Tally]) -> bool {
    documents
        .iter()
        .all(|tally| tally.whole == 1.0 && (tally.part == 0.0 || tally.part == 1.0))
}

/// The interval of a share of independent units: Wilson's, and the exact one at 0 and 1, where there are enough units for it.
fn share_interval(k: usize, n: usize) -> Option<Confidence> {
    let is_extreme = k == 0 || k == n;
    let (k, n) = (k as u64, n as u64);
    if is_extreme && let Ok(ends) = binomial_mid_p(k, n) {
        return Some(Confidence {
            ends,
            kind: IntervalKind::Exact,
        });
    }
    let ends = wilson(k, n).ok()?;
    Some(Confidence {
        ends,
        kind: IntervalKind::Wilson,
    })
}
