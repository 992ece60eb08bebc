//! Canaries: how far does a planted secret stand out from the secrets that might have been planted?

use crate::error::{Result, require, require_count, require_scores};

/// Exposure of a canary: log₂ |R| − log₂ rank, by its exact rank among reference strings.
///
/// Scores are losses or log-perplexities: lower is likelier. R holds the canary and the references, strings
/// of its format that were never planted, so |R| = references + 1. The rank is 1 + the number of references
/// with a lower score + half the number with an equal one (the average rank of ties).
///
/// In bits, between 0 (every reference is likelier) and [`highest_exposure`] (none is as likely). The baseline
/// is not 0: a canary without effect has a random rank, and its exposure has the mean log₂ e = 1.44 for many
/// references. A model that gives every string the same score yields log₂(2|R| / (|R| + 1)), just under 1.
/// Source: Carlini et al. 2019.
///
/// Some programs fit a distribution to the references' scores instead and take the logarithm of its
/// lower tail; the tail of a well memorized canary underflows and they report 0. A rank cannot underflow.
///
/// # Errors
/// If there is no reference or a score is NaN.
pub fn exposure(canary_score: f64, reference_scores: &[f64]) -> Result<f64> {
    require(!canary_score.is_nan(), "canary_score", "a number", canary_score)?;
    require_scores("reference_scores", reference_scores)?;
    let lower = reference_scores
        .iter()
        .filter(|&&score| score < canary_score)
        .count();
    let equal = reference_scores
        .iter()
        .filter(|&&score| score == canary_score)
        .count();
    let rank = 1.0 + lower as f64 + equal as f64 / 2.0;
    Ok(((reference_scores.len() + 1) as f64).log2() - rank.log2())
}

/// The most bits of exposure that so many references can show: log₂(references + 1).
///
/// A canary that reaches it may be exposed further than the references can tell.
///
/// # Errors
/// If there is no reference.
pub fn highest_exposure(references: usize) -> Result<f64> {
    require_count("references", references, 1)?;
    Ok(((references + 1) as f64).log2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_is_the_bits_by_which_the_canary_leads() {
        let references = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let cases = [
            // First of eight: log₂ 8 − log₂ 1.
            (1.0, 3.0),
            // Fourth of eight: log₂ 8 − log₂ 4.
            (4.5, 1.0),
            // Last of eight.
            (9.0, 0.0),
            // Ties with the first reference: rank 1.5.
            (2.0, 3.0 - 1.5_f64.log2()),
        ];
        for (canary, expected) in cases {
            assert_eq!(exposure(canary, &references), Ok(expected), "{canary}");
        }
        assert_eq!(highest_exposure(references.len()), Ok(3.0));
    }

    #[test]
    fn a_canary_far_below_its_references_does_not_underflow() {
        // Forty deviations below the mean a fitted tail is exp(−800) and vanishes; the rank is 1 of 1,024.
        let references: Vec<f64> = (0..1_023).map(|index| 400.0 + f64::from(index % 7)).collect();
        assert_eq!(exposure(0.01, &references), Ok(10.0));
    }

    #[test]
    fn an_indifferent_model_exposes_less_than_a_bit() {
        // Rank (8 + 1) / 2 of 8: log₂(16/9).
        assert_eq!(exposure(1.0, &[1.0; 7]), Ok(3.0 - 4.5_f64.log2()));
    }

    #[test]
    fn without_references_or_with_nan_there_is_no_rank() {
        assert!(exposure(1.0, &[]).is_err());
        assert!(exposure(f64::NAN, &[1.0]).is_err());
        assert!(exposure(1.0, &[f64::NAN]).is_err());
        assert!(highest_exposure(0).is_err());
    }
}
