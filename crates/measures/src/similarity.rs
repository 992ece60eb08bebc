//! The relaxed comparison: sentences that say the same in other words, by the cosine of their vectors.

use crate::error::{Result, require_count, require_finite, require_same_length, require_scores};

/// The cut-offs at which rates of relaxed similarity are reported. None of them is canonical.
pub const SIMILARITY_THRESHOLDS: [f64; 3] = [0.7, 0.8, 0.9];

/// The largest cosine between a sentence of a generation and a sentence of a source.
///
/// max over pairs of u·v / (‖u‖ ‖v‖), between −1 and 1, without unit. Vectors need not be normalised; a zero
/// vector, a sentence without content, has cosine 0 with everything.
///
/// # Errors
/// If either side has no sentence, the vectors differ in dimension, or one holds a NaN or an infinity.
pub fn largest_cosine<V: AsRef<[f32]>>(generation: &[V], source: &[V]) -> Result<f64> {
    require_count("sentences of the generation", generation.len(), 1)?;
    require_count("sentences of the source", source.len(), 1)?;
    let mut largest = -1.0_f64;
    for left in generation {
        for right in source {
            largest = largest.max(cosine(left.as_ref(), right.as_ref())?);
        }
    }
    Ok(largest)
}

/// The share of scores that reach a threshold: count(score ≥ threshold) / count, between 0 and 1.
///
/// # Errors
/// If there is no score or one is NaN.
pub fn share_reaching(scores: &[f64], threshold: f64) -> Result<f64> {
    require_scores("scores", scores)?;
    let reaching = scores.iter().filter(|&&score| score >= threshold).count();
    Ok(reaching as f64 / scores.len() as f64)
}

fn cosine(left: &[f32], right: &[f32]) -> Result<f64> {
    require_same_length(
        ("dimensions of the generation", left.len()),
        ("dimensions of the source", right.len()),
    )?;
    let norms = dot(left, left).sqrt() * dot(right, right).sqrt();
    require_finite("norm of a sentence vector", norms)?;
    Ok(if norms > 0.0 {
        (dot(left, right) / norms).clamp(-1.0, 1.0)
    } else {
        0.0
    })
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(&left, &right)| f64::from(left) * f64::from(right))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeasureError;

    #[test]
    fn the_closest_pair_of_sentences_counts() {
        // (3, 4)·(4, 3) = 24 over norms 5 · 5; the other pair is orthogonal.
        assert_eq!(
            largest_cosine(&[[3.0, 4.0]], &[[-4.0, 3.0], [4.0, 3.0]]),
            Ok(24.0 / 25.0)
        );
        // All pairs point away: the largest is still negative.
        assert_eq!(largest_cosine(&[[1.0, 0.0]], &[[-2.0, 0.0]]), Ok(-1.0));
        assert_eq!(largest_cosine(&[[0.0, 0.0]], &[[1.0, 0.0]]), Ok(0.0));
    }

    #[test]
    fn vectors_must_exist_and_agree() {
        assert!(matches!(
            largest_cosine::<[f32; 1]>(&[], &[[1.0]]),
            Err(MeasureError::TooFew { .. })
        ));
        assert!(matches!(
            largest_cosine(&[vec![1.0]], &[vec![1.0, 2.0]]),
            Err(MeasureError::LengthMismatch {
                left_length: 1,
                right_length: 2,
                ..
            })
        ));
    }

    #[test]
    fn a_vector_that_is_no_number_has_no_cosine() {
        for broken in [f32::NAN, f32::INFINITY] {
            assert!(matches!(
                largest_cosine(&[[broken, 1.0]], &[[1.0, 0.0]]),
                Err(MeasureError::OutOfRange { .. })
            ));
        }
    }

    #[test]
    fn a_score_on_the_threshold_reaches_it() {
        let scores = [0.65, 0.8, 0.85, 0.95];
        // 3, 3 and 1 of 4 scores reach .7, .8 and .9.
        assert_eq!(
            SIMILARITY_THRESHOLDS.map(|t| share_reaching(&scores, t).unwrap()),
            [0.75, 0.75, 0.25]
        );
        assert!(share_reaching(&[], 0.8).is_err());
    }
}
