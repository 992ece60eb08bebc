//! How memorization grows with each doubling of the copies, and with each tenfold size of the model.

use std::collections::BTreeMap;

use contract::records::Split;
use measures::Trend;
use measures::trend::{Observation, linear_trend};

use crate::measure::Measure;
use crate::rates::Bootstrap;
use crate::tallies::{Tallies, Where};

/// The straight line of a measure against log₂ copies, over training documents (Carlini et al. 2023).
///
/// A document's observation is its own rate. `None` where all documents have the same number of copies.
pub fn per_doubling(
    tallies: &Tallies,
    measure: Measure,
    strategy: Option<&str>,
    bootstrap: Bootstrap,
) -> Option<Trend> {
    let at = Where {
        split: Split::Train,
        strategy,
    };
    let documents: Vec<Vec<Observation>> = tallies
        .by_copies(measure, at)
        .into_values()
        .map(|tallies| {
            tallies
                .into_iter()
                .filter(|(copies, _)| *copies > 0)
                .map(|(copies, tally)| Observation {
                    x: f64::from(copies).log2(),
                    y: tally.part / tally.whole,
                })
                .collect()
        })
        .collect();
    linear_trend(&documents, bootstrap.resamples, bootstrap.seed).ok()
}

/// The straight line of a measure against log₁₀ parameters, over training documents with so many copies (none: all).
///
/// `models` are the parameters of each model with what it was measured to do. A document is observed once per model.
/// `None` where all models have the same size.
pub fn per_tenfold_size(
    models: &[(i64, &Tallies)],
    measure: Measure,
    strategy: Option<&str>,
    copies: Option<i32>,
    bootstrap: Bootstrap,
) -> Option<Trend> {
    let at = Where {
        split: Split::Train,
        strategy,
    };
    let mut documents: BTreeMap<&str, Vec<Observation>> = BTreeMap::new();
    for (parameters, tallies) in models.iter().filter(|(parameters, _)| *parameters > 0) {
        for (document, found) in tallies.by_copies(measure, at) {
            let observations = found
                .into_iter()
                .filter(|(found, _)| copies.is_none_or(|copies| copies == *found))
                .map(|(_, tally)| Observation {
                    x: (*parameters as f64).log10(),
                    y: tally.part / tally.whole,
                });
            documents.entry(document).or_default().extend(observations);
        }
    }
    let documents: Vec<Vec<Observation>> = documents.into_values().collect();
    linear_trend(&documents, bootstrap.resamples, bootstrap.seed).ok()
}
