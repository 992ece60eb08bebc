//! Exposure of the planted canaries among the strings of their format that were never planted.

use contract::records::DocumentKind;
use measures::exposure::{exposure, highest_exposure};

use crate::scores::DocumentScore;

/// The exposure of each canary, in bits, in the order of the scores.
///
/// A string's score is its log-perplexity, −Σ ln p over all of its tokens (Carlini et al. 2019), with as short a prefix
/// as it was scored with.
pub fn exposures(scores: &[DocumentScore]) -> Vec<(&DocumentScore, f64)> {
    let references: Vec<f64> = shortest_prefix(scores, DocumentKind::CanaryReference)
        .map(|score| score.nats)
        .collect();
    shortest_prefix(scores, DocumentKind::Canary)
        .filter_map(|canary| Some((canary, exposure(canary.nats, &references).ok()?)))
        .collect()
}

/// How many strings the canaries are ranked among.
pub fn references(scores: &[DocumentScore]) -> usize {
    shortest_prefix(scores, DocumentKind::CanaryReference).count()
}

/// The mean exposure of a canary without effect: Σ log₂ (|R| / rank) / |R| over all ranks, |R| = references + 1.
///
/// In bits; log₂ e = 1.44 for many references.
pub fn chance(references: usize) -> Option<f64> {
    let highest = highest_exposure(references).ok()?;
    let ranks = references + 1;
    let mean_log_rank = (1..=ranks).map(|rank| (rank as f64).log2()).sum::<f64>() / ranks as f64;
    Some(highest - mean_log_rank)
}

fn shortest_prefix(scores: &[DocumentScore], kind: DocumentKind) -> impl Iterator<Item = &DocumentScore> {
    let shortest = scores
        .iter()
        .filter(move |score| score.kind == kind)
        .map(|score| score.prefix_tokens)
        .min();
    scores
        .iter()
        .filter(move |score| score.kind == kind && Some(score.prefix_tokens) == shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_mean_over_all_ranks() {
        // Three references, |R| = 4: log₂ 4/1, 4/2, 4/3, 4/4 = 2, 1, 0.415, 0.
        let expected = (2.0 + 1.0 + (4.0_f64 / 3.0).log2()) / 4.0;
        assert!((chance(3).unwrap() - expected).abs() < 1e-12);
        assert!((chance(4096).unwrap() - std::f64::consts::LOG2_E).abs() < 0.01);
        assert_eq!(chance(0), None);
    }
}
