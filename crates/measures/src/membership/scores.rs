use crate::error::{Result, require, require_log_probabilities, require_same_length};

/// The share of a document's tokens that [`min_k`] and [`min_k_plus_plus`] look at by default: k = 20%.
pub const MIN_K_SHARE: f64 = 0.2;

/// Mean loss of a document: −(1/T) Σ ln p(token), over its T scored tokens.
///
/// In nats per token, 0 and up; infinite where a token is impossible. As a membership score: Yeom et al.
/// 2018.
///
/// # Errors
/// If there are no tokens, or a log-probability is NaN or positive.
pub fn loss(logprobs: &[f32]) -> Result<f64> {
    require_log_probabilities("logprobs", logprobs)?;
    Ok(-mean(logprobs.iter().map(|&logprob| f64::from(logprob))).min(0.0))
}

/// Loss under the tuned model less loss under a reference, the base model: what tuning did to this document.
///
/// In nats per token, any sign. Source: Carlini et al. 2021; as a calibrated score Watson et al. 2022.
///
/// # Errors
/// If either loss is NaN or infinite.
pub fn reference_difference(loss: f64, reference_loss: f64) -> Result<f64> {
    require_loss("loss", loss)?;
    require_loss("reference_loss", reference_loss)?;
    Ok(loss - reference_loss)
}

/// Total loss of a document ÷ the bytes of its text compressed by zlib: low where a text is likely without being simple.
///
/// −Σ ln p(token) over all scored tokens, ÷ bytes: nats per compressed byte, 0 and up. The bytes must be those of the scored text. The
/// mean loss ÷ bytes, which is also in use, mostly ranks texts by length. Source: Carlini et al. 2021.
///
/// # Errors
/// If the loss is not finite, or there are no bytes.
pub fn zlib_ratio(total_nats: f64, zlib_bytes: u64) -> Result<f64> {
    require_loss("total_nats", total_nats)?;
    require(zlib_bytes > 0, "zlib_bytes", "at least 1", zlib_bytes as f64)?;
    Ok(total_nats / zlib_bytes as f64)
}

/// Loss of a document ÷ loss of the same text in lower case: low where the model knows this very spelling.
///
/// Without unit, 0 and up. Source: Carlini et al. 2021.
///
/// # Errors
/// If a loss is not finite or the lower-case text has none (0: it is certain).
pub fn lower_case_ratio(loss: f64, lower_case_loss: f64) -> Result<f64> {
    ratio(loss, "lower_case_loss", lower_case_loss)
}

/// Loss of a document ÷ loss of the same tokens behind other documents that are known not to be members: low where a memorized text
/// is predicted worse behind them.
///
/// Without unit, 0 and up. The inverse of the source's ratio of log-likelihoods, so that lower = member. Source: ReCaLL, Xie et al. 2024.
///
/// # Errors
/// If a loss is not finite or that behind other documents is none (0: it is certain).
pub fn conditional_ratio(loss: f64, conditional_loss: f64) -> Result<f64> {
    ratio(loss, "conditional_loss", conditional_loss)
}

/// Min-K%: the mean surprise of a document's least likely tokens, −mean of the lowest share of
/// log-probabilities.
///
/// The share of the T tokens is rounded down, but at least one token is taken. In nats per token, 0 and up.
/// The sign is turned against the source's, so that lower = member. Source: Shi et al. 2024.
///
/// # Errors
/// If there are no tokens, a log-probability is NaN or positive, or the share is not above 0 and at most 1.
pub fn min_k(logprobs: &[f32], share: f64) -> Result<f64> {
    require_log_probabilities("logprobs", logprobs)?;
    let values = logprobs
        .iter()
        .map(|&logprob| f64::from(logprob).min(0.0))
        .collect();
    Ok(-mean_of_lowest(values, share)?)
}

/// Min-K%++: as [`min_k`], with each token's log-probability first standardised over the vocabulary.
///
/// z = (ln p(token) − μ) / σ, where μ and σ are mean and deviation of the log-probability over the vocabulary
/// at that position, weighted by probability. The score is −mean of the lowest share of z; without unit, any
/// sign, lower = member (the sign is turned against the source's). Source: Zhang et al. 2024.
///
/// σ = 0, a distribution without spread, has to be survived: a token of probability p contributes
/// p·(ln p − μ)² to σ², so |z| ≤ p^(−½) holds for every true distribution. z is held to that bound, and where
/// σ is 0 a token at the mean has z = 0.
///
/// # Errors
/// If there are no tokens, the three lists differ in length, a log-probability is NaN or positive, a mean is
/// not finite, a deviation is negative or not finite, or the share is not above 0 and at most 1.
pub fn min_k_plus_plus(logprobs: &[f32], vocab_mean: &[f32], vocab_std: &[f32], share: f64) -> Result<f64> {
    require_log_probabilities("logprobs", logprobs)?;
    require_same_length(("logprobs", logprobs.len()), ("vocab_mean", vocab_mean.len()))?;
    require_same_length(("logprobs", logprobs.len()), ("vocab_std", vocab_std.len()))?;
    let mut standardised = Vec::with_capacity(logprobs.len());
    for ((&logprob, &mean), &deviation) in logprobs.iter().zip(vocab_mean).zip(vocab_std) {
        require(mean.is_finite(), "vocab_mean", "a finite number", mean.into())?;
        let valid = deviation >= 0.0 && deviation.is_finite();
        require(valid, "vocab_std", "a deviation, 0 or more", deviation.into())?;
        standardised.push(standardise(logprob.into(), mean.into(), deviation.into()));
    }
    Ok(-mean_of_lowest(standardised, share)?)
}

fn standardise(logprob: f64, mean: f64, deviation: f64) -> f64 {
    let bound = (-logprob / 2.0).exp();
    let smallest_deviation = f64::from(f32::EPSILON);
    ((logprob - mean) / deviation.max(smallest_deviation)).clamp(-bound, bound)
}

fn mean_of_lowest(mut values: Vec<f64>, share: f64) -> Result<f64> {
    require(share > 0.0 && share <= 1.0, "share", "above 0, at most 1", share)?;
    let count = ((values.len() as f64 * share) as usize).max(1);
    values.sort_by(f64::total_cmp);
    Ok(mean(values.into_iter().take(count)))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// A loss ÷ another, which has to be something.
fn ratio(loss: f64, what: &'static str, other: f64) -> Result<f64> {
    require_loss("loss", loss)?;
    require_loss(what, other)?;
    require(other > 0.0, what, "above 0", other)?;
    Ok(loss / other)
}

fn require_loss(what: &'static str, loss: f64) -> Result<()> {
    require(
        loss.is_finite() && loss >= 0.0,
        what,
        "a finite loss, 0 or more",
        loss,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGPROBS: [f32; 10] = [-1.0, -2.0, -0.5, -8.0, -1.5, -4.0, -1.0, -0.5, -0.5, -1.0];

    #[test]
    fn loss_is_the_mean_surprise() {
        // The ten values add up to −20.
        assert_eq!(loss(&LOGPROBS), Ok(2.0));
        assert_eq!(loss(&[-1.0, f32::NEG_INFINITY]), Ok(f64::INFINITY));
        assert!(loss(&[]).is_err());
        assert!(loss(&[f32::NAN]).is_err());
    }

    #[test]
    fn calibrated_losses() {
        // 2.0 nats after tuning, 3.5 before.
        assert_eq!(reference_difference(2.0, 3.5), Ok(-1.5));
        // 48 nats altogether, 64 bytes.
        assert_eq!(zlib_ratio(48.0, 64), Ok(0.75));
        // 2.0 nats as written, 2.5 in lower case.
        assert_eq!(lower_case_ratio(2.0, 2.5), Ok(0.8));
    }

    #[test]
    fn calibration_needs_something_to_divide_by() {
        assert!(zlib_ratio(2.0, 0).is_err());
        assert!(lower_case_ratio(2.0, 0.0).is_err());
        assert!(reference_difference(f64::INFINITY, f64::INFINITY).is_err());
        assert!(reference_difference(f64::NAN, 1.0).is_err());
    }

    #[test]
    fn min_k_averages_the_least_likely_tokens() {
        let cases = [
            // Two of ten: −8 and −4.
            (MIN_K_SHARE, 6.0),
            // Three of ten: −8, −4, −2.
            (0.3, 14.0 / 3.0),
            // Less than a token is still one.
            (0.05, 8.0),
            // All of them: the loss.
            (1.0, 2.0),
        ];
        for (share, expected) in cases {
            assert_eq!(min_k(&LOGPROBS, share), Ok(expected), "{share}");
        }
        for share in [0.0, -0.2, 1.1, f64::NAN] {
            assert!(min_k(&LOGPROBS, share).is_err(), "{share}");
        }
        assert!(min_k(&[], MIN_K_SHARE).is_err());
    }

    #[test]
    fn min_k_plus_plus_standardises_first() {
        // z: (−1+2)/1 = 1, (−4+2)/2 = −1, (−3+1)/4 = −½, (−2+2)/1 = 0, (−6+2)/1 = −4.
        let logprobs = [-1.0, -4.0, -3.0, -2.0, -6.0];
        let means = [-2.0, -2.0, -1.0, -2.0, -2.0];
        let deviations = [1.0, 2.0, 4.0, 1.0, 1.0];
        // The lowest one of five is −4, the lowest two are −4 and −1.
        assert_eq!(min_k_plus_plus(&logprobs, &means, &deviations, 0.2), Ok(4.0));
        assert_eq!(min_k_plus_plus(&logprobs, &means, &deviations, 0.4), Ok(2.5));
    }

    #[test]
    fn a_distribution_without_spread_has_a_finite_score() {
        // The certain token is at the mean: z = 0.
        assert_eq!(min_k_plus_plus(&[0.0], &[0.0], &[0.0], 1.0), Ok(0.0));
        // A token of probability e⁻¹⁰ beside a deviation that rounded to 0: z is held at −e⁵.
        assert_eq!(min_k_plus_plus(&[-10.0], &[0.0], &[0.0], 1.0), Ok(5.0_f64.exp()));
    }

    #[test]
    fn min_k_plus_plus_needs_lists_that_pair_up() {
        assert!(min_k_plus_plus(&[-1.0, -1.0], &[-1.0], &[1.0, 1.0], 0.2).is_err());
        assert!(min_k_plus_plus(&[-1.0], &[-1.0], &[1.0, 1.0], 0.2).is_err());
        assert!(min_k_plus_plus(&[-1.0], &[f32::NAN], &[1.0], 0.2).is_err());
        assert!(min_k_plus_plus(&[-1.0], &[-1.0], &[-1.0], 0.2).is_err());
    }
}
