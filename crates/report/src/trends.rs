//! How memorization grows with each doubling of the copies.

use contract::records::Split;
use measures::Trend;
use measures::trend::{Observation, linear_trend};

use crate::measure::Measure;
use crate::rates::Bootstrap;
use crate::tallies::{Tallies, Where};

/// The straight line of a measure against log₂ copies, over training documents (Carlini et al. 2023).
///
/// A document's observation is its own rate. `None` where all documents have the same number of copies.
pub fn per_doubling(tallies: &Tallies, measure: Measure, strategy: Option<&str>, bootstrap: Bootstrap) -> Option<Trend> {
    let at = Where { split: Split::Train, strategy };
    let documents: Vec<Vec<Observation>> = tallies
        .by_copies(measure, at)
        .into_values()
        .map(|tallies| {
            tallies
                .into_iter()
                .filter(|(copies, _)| *copies > 0)
                .map(|(copies, tally)| Observation { x: f64::from(copies).log2(), y: tally.part / tally.whole })
                .collect()
        })
        .collect();
    linear_trend(&documents, bootstrap.resamples, bootstrap.seed).ok()
}
