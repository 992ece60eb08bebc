//! Differential privacy: what was promised, and what canaries that a coin put in or left out show of it.

use std::collections::BTreeMap;

use contract::records::{DocumentKind, Split};
use measures::privacy::{CanaryAudit, canary_audit, gaussian_epsilon, gaussian_mu};

use super::AnalysedCell;
use crate::read::{CellData, DocumentScore};

/// The δ at which every ε is given.
pub const DELTA: f64 = 1e-5;

/// The ε of a text with so many copies, at [`DELTA`]; none where tuning was not private, or happened elsewhere.
///
/// Each pass uses a text `copies` times, at worst all in one step. The worst case is what a promise is made of: copies that fall into
/// different steps cost less.
pub fn stated_epsilon(cell: &CellData, copies: i32) -> Option<f64> {
    let logged = cell.metrics.iter().flatten().map(|metric| metric.epoch);
    let epochs = logged.fold(cell.cell.epochs?, f64::max);
    // Passes that were broken off may have begun with any row.
    let passes = epochs.ceil().max(1.0) as usize;
    let mu = gaussian_mu(cell.cell.noise_multiplier?, &vec![f64::from(copies); passes]).ok()?;
    gaussian_epsilon(mu, DELTA).ok()
}

/// The lower bound on ε, at [`DELTA`], that a cell's canaries by coin flip show; none where it has too few.
///
/// A canary's score is its log-perplexity, −Σ ln p over its tokens, as for exposure: all are drawn alike, so that nothing about them has to be
/// calibrated.
pub fn audit(cell: &AnalysedCell<'_>) -> Option<CanaryAudit> {
    // By their names, which owe nothing to the coins.
    let canaries: BTreeMap<&str, (f64, bool)> = coin_canaries(cell)
        .map(|score| (score.doc_id.as_str(), (score.nats, score.split == Split::Train)))
        .collect();
    canary_audit(&canaries.into_values().collect::<Vec<_>>(), DELTA).ok()
}

fn coin_canaries<'a>(cell: &'a AnalysedCell<'_>) -> impl Iterator<Item = &'a DocumentScore> {
    let scores = cell.data.scores.iter().flatten();
    scores.filter(|score| score.kind == DocumentKind::CoinCanary && score.is_of_whole_text())
}
