//! (n, p)-discoverable extraction: would n samples contain the true continuation with probability p?
//!
//! Source of every formula here: Hayes et al. 2024. The probability of a continuation,
//! p_z = ∏ (probability of its tokens under the sampling scheme), is known from one teacher-forced pass, so
//! nothing need be sampled. It is often far below the smallest number that a float can hold, so it travels as
//! its natural logarithm, and −∞ is a continuation that the scheme cannot draw.

use std::f64::consts::LN_2;

use crate::error::{Result, require, require_count, require_log_probabilities};

/// The probabilities p at which the curve over n is reported.
pub const DISCOVERY_PROBABILITIES: [f64; 3] = [0.1, 0.5, 0.9];

/// Two numbers of samples this close, relatively, are the same: logarithms carry rounding, and exactly
/// reached bounds must count as reached.
const ROUNDING: f64 = 1e-12;

/// ln p_z: the natural logarithm of the probability that the sampling scheme draws exactly this continuation.
///
/// The sum of its tokens' log-probabilities under the scheme (temperature, top-k and top-p applied, the rest
/// re-normalised). Between −∞ and 0, in nats.
///
/// # Errors
/// If there are no tokens, or a log-probability is NaN or positive by more than the rounding of a 32-bit
/// softmax.
pub fn log_sequence_probability(scheme_logprobs: &[f32]) -> Result<f64> {
    require_log_probabilities("scheme_logprobs", scheme_logprobs)?;
    Ok(scheme_logprobs
        .iter()
        .map(|&logprob| f64::from(logprob))
        .sum::<f64>()
        .min(0.0))
}

/// The probability that at least one of n independent samples is the continuation: 1 − (1 − p_z)ⁿ.
///
/// Between 0 and 1; 0 for no samples. Accurate for every p_z, also where 1 − p_z rounds to 1.
///
/// # Errors
/// If `log_p_z` is NaN or positive.
pub fn probability_after(log_p_z: f64, samples: u64) -> Result<f64> {
    require_log_probability(log_p_z)?;
    if samples == 0 {
        return Ok(0.0);
    }
    Ok(-(samples as f64 * log_one_minus_exp(log_p_z)).exp_m1())
}

/// The least number of samples that contain the continuation with probability at least p: ln(1 − p) /
/// ln(1 − p_z), rounded up, at least 1.
///
/// A whole number as a float, because it may exceed every integer type; infinite where no number suffices
/// (p_z = 0, or p = 1 without p_z = 1) or where it is beyond 10³⁰⁸.
///
/// # Errors
/// If `log_p_z` is NaN or positive, or p is not above 0 and at most 1.
pub fn samples_needed(log_p_z: f64, probability: f64) -> Result<f64> {
    require_log_probability(log_p_z)?;
    let in_domain = probability > 0.0 && probability <= 1.0;
    require(in_domain, "probability", "above 0, at most 1", probability)?;
    if log_p_z == 0.0 {
        return Ok(1.0);
    }
    let needed = (-probability).ln_1p() / log_one_minus_exp(log_p_z);
    let nearest = needed.round();
    let reached = (needed - nearest).abs() <= ROUNDING * needed;
    Ok(if reached { nearest } else { needed.ceil() })
}

/// Is the continuation (n, p)-discoverable? True iff 1 − (1 − p_z)ⁿ ≥ p, decided as n ≥ [`samples_needed`].
///
/// # Errors
/// As [`samples_needed`].
pub fn is_discoverable(log_p_z: f64, samples: u64, probability: f64) -> Result<bool> {
    Ok(samples as f64 >= samples_needed(log_p_z, probability)?)
}

/// The share of continuations that are (n, p)-discoverable: one point of the curve over n. Between 0 and 1.
///
/// # Errors
/// If there are no continuations; otherwise as [`samples_needed`].
pub fn discoverable_rate(log_p_zs: &[f64], samples: u64, probability: f64) -> Result<f64> {
    require_count("log_p_zs", log_p_zs.len(), 1)?;
    let mut discoverable = 0_usize;
    for &log_p_z in log_p_zs {
        discoverable += usize::from(is_discoverable(log_p_z, samples, probability)?);
    }
    Ok(discoverable as f64 / log_p_zs.len() as f64)
}

fn require_log_probability(log_p_z: f64) -> Result<()> {
    require(log_p_z <= 0.0, "log_p_z", "a log-probability, at most 0", log_p_z)
}

/// ln(1 − eˣ) for x ≤ 0, by whichever of two forms keeps its digits (Mächler 2012).
fn log_one_minus_exp(x: f64) -> f64 {
    if x > -LN_2 {
        (-x.exp_m1()).ln()
    } else {
        (-x.exp()).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        found == expected || ((found - expected) / expected).abs() < 1e-12
    }

    #[test]
    fn log_probabilities_add_up() {
        // ½ · ¼ · ⅛ = 2⁻⁶.
        let logprobs = [0.5_f32, 0.25, 0.125].map(f32::ln);
        assert!((log_sequence_probability(&logprobs).unwrap() - -6.0 * LN_2).abs() < 1e-6);
        // One filtered token, and the scheme cannot draw the continuation.
        assert_eq!(
            log_sequence_probability(&[-0.1, f32::NEG_INFINITY]),
            Ok(f64::NEG_INFINITY)
        );
        // A certain token may come out of a softmax a rounding error above 0.
        assert_eq!(log_sequence_probability(&[1e-7]), Ok(0.0));
        for bad in [&[][..], &[f32::NAN], &[-1.0, 0.1]] {
            assert!(log_sequence_probability(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn probability_after_n_samples() {
        let cases = [
            // 1 − ½² = ¾, 1 − ½³ = ⅞.
            (0.5_f64.ln(), 2, 0.75),
            (0.5_f64.ln(), 3, 0.875),
            // 1 − 0.9² = 0.19.
            (0.1_f64.ln(), 2, 0.19),
            // So small that 1 − p_z rounds to 1: n · p_z, less a term of 1e-54.
            (1e-30_f64.ln(), 1_000, 1e-27),
            (f64::NEG_INFINITY, u64::MAX, 0.0),
            (0.0, 1, 1.0),
            (0.0, 0, 0.0),
            (f64::NEG_INFINITY, 0, 0.0),
        ];
        for (log_p_z, samples, expected) in cases {
            let found = probability_after(log_p_z, samples).unwrap();
            assert!(close(found, expected), "{log_p_z} {samples}: {found}");
        }
        assert!(probability_after(0.1, 1).is_err());
        assert!(probability_after(f64::NAN, 1).is_err());
    }

    #[test]
    fn samples_needed_for_a_probability() {
        let cases = [
            // Reached exactly: 1 − ½¹ = ½, 1 − ½³ = ⅞.
            (0.5_f64.ln(), 0.5, 1.0),
            (0.5_f64.ln(), 0.875, 3.0),
            // ln ½ / ln 0.9 = 6.58: six samples give .469, seven .522.
            (0.1_f64.ln(), 0.5, 7.0),
            // ln ½ / ln 0.1 = 0.30: one sample is more than enough, none is not.
            (0.9_f64.ln(), 0.5, 1.0),
            // −ln(1 − ½) / 1e-30 = ln 2 · 10³⁰.
            (1e-30_f64.ln(), 0.5, LN_2 * 1e30),
            // Nearly as many as a float can count, ln 2 · e⁷⁰⁰, and more than that.
            (-700.0, 0.5, LN_2 * 700.0_f64.exp()),
            (-800.0, 0.5, f64::INFINITY),
            (f64::NEG_INFINITY, 0.1, f64::INFINITY),
            (0.0, 0.1, 1.0),
            (0.0, 1.0, 1.0),
            (0.5_f64.ln(), 1.0, f64::INFINITY),
        ];
        for (log_p_z, probability, expected) in cases {
            let found = samples_needed(log_p_z, probability).unwrap();
            assert!(close(found, expected), "{log_p_z} {probability}: {found}");
        }
        for probability in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(samples_needed(-1.0, probability).is_err(), "{probability}");
        }
    }

    #[test]
    fn discoverable_is_having_enough_samples() {
        // Seven samples are needed at p_z = 0.1 and p = ½ (above).
        let log_p_z = 0.1_f64.ln();
        assert_eq!(is_discoverable(log_p_z, 6, 0.5), Ok(false));
        assert_eq!(is_discoverable(log_p_z, 7, 0.5), Ok(true));
        // Of p_z = 1, 0.1, 1e-30 and 0 seven samples discover two.
        let log_p_zs = [0.0, log_p_z, 1e-30_f64.ln(), f64::NEG_INFINITY];
        assert_eq!(discoverable_rate(&log_p_zs, 7, 0.5), Ok(0.5));
        assert!(discoverable_rate(&[], 7, 0.5).is_err());
    }
}
