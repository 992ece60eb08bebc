//! The control: what the same generations share with text that no model was trained on.

use crate::error::{Result, require, require_count, require_share};

/// A control's rate, carried over from as many characters of never-trained text as there are to as many as the training text has.
///
/// 1 − (1 − r)^(T/H), r the rate with H characters of never-trained text, T the characters of the training text: the chance of a
/// match with any of T/H texts of that size, were they independent. A generation has the more chances to match, the more text it
/// is matched with; without this a small held-out set makes a low baseline. Equal to r where T = H. Between 0 and 1, without unit.
/// This project's.
///
/// # Errors
/// If the rate is not between 0 and 1, or a text has no characters.
pub fn carried_over(rate: f64, training_chars: f64, held_out_chars: f64) -> Result<f64> {
    require_share("rate", rate)?;
    for (what, chars) in [
        ("training_chars", training_chars),
        ("held_out_chars", held_out_chars),
    ] {
        require(chars > 0.0 && chars.is_finite(), what, "above 0", chars)?;
    }
    if training_chars == held_out_chars {
        return Ok(rate);
    }
    // 1 − (1 − r)^x without losing a small r to rounding.
    Ok(-((-rate).ln_1p() * (training_chars / held_out_chars)).exp_m1())
}

/// The risk that the control's upper bound lies under its true rate, in [`exceeds_carried_over`].
const RISK_OF_BOUND: f64 = 0.001;

/// One-sided p-value that `k` of `n` exceed a control of `control_k` of `control_n` that is carried over to so many `times` the
/// text.
///
/// min(1, γ + P(Binomial(n, u) ≥ k)), u the control's upper bound at confidence 1 − γ (Clopper and Pearson 1934), carried over,
/// γ = 0.001: the largest p-value over the control's confidence set, plus the risk that this set misses (Berger and Boos 1994). It
/// holds its level whatever the control's true rate is; the observations are independent of each other.
///
/// # Errors
/// If there are no observations, fewer than successes, or `times` is not above 0.
pub fn exceeds_carried_over(
    (k, n): (usize, usize),
    (control_k, control_n): (usize, usize),
    times: f64,
) -> Result<f64> {
    require_count("observations", n, k.max(1))?;
    require_count("observations of the control", control_n, control_k.max(1))?;
    if k == 0 {
        return Ok(1.0);
    }
    let bound = upper_bound(control_k, control_n);
    let bound = carried_over(bound, times, 1.0)?;
    Ok((RISK_OF_BOUND + at_least(k, n, bound)).min(1.0))
}

/// The rate at which so few successes or fewer have the probability [`RISK_OF_BOUND`].
fn upper_bound(k: usize, n: usize) -> f64 {
    if k == n {
        return 1.0;
    }
    let (mut low, mut high) = (k as f64 / n as f64, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        // P(at most k) = 1 − P(at least k + 1).
        if 1.0 - at_least(k + 1, n, middle) > RISK_OF_BOUND {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// P(Binomial(n, p) ≥ k).
fn at_least(k: usize, n: usize, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    let (log_p, log_q) = (p.ln(), (-p).ln_1p());
    // ln C(n, i) p^i q^(n − i), built up from i = 0.
    let mut log_term = n as f64 * log_q;
    let mut sum = 0.0;
    for i in 0..=n {
        if i >= k {
            sum += log_term.exp();
        }
        log_term += ((n - i) as f64 / (i + 1) as f64).ln() + log_p - log_q;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeding_a_carried_control_is_unlikely_by_chance() {
        // Control 0 of 10: (1 − u)^10 = .001, u = .4988; 10 of 10 at .4988: .4988^10 = .00095.
        let found = exceeds_carried_over((10, 10), (0, 10), 1.0).unwrap();
        assert!((found - (0.001 + 0.000_955)).abs() < 2e-5, "{found}");
        // Twice the text: u = 1 − .5012² = .7488, .7488^10 = .0554.
        let found = exceeds_carried_over((10, 10), (0, 10), 2.0).unwrap();
        assert!((found - 0.0564).abs() < 2e-4, "{found}");
        assert_eq!(exceeds_carried_over((0, 10), (0, 10), 1.0), Ok(1.0));
        assert_eq!(exceeds_carried_over((3, 10), (10, 10), 1.0), Ok(1.0));
        assert!(exceeds_carried_over((3, 2), (0, 10), 1.0).is_err());
        assert!(exceeds_carried_over((1, 2), (0, 10), 0.0).is_err());
    }

    #[test]
    fn a_rate_grows_with_the_text_it_is_matched_with() {
        // Twice the text: 1 − .9² = .19. Half of it: 1 − √.81 = .1. Three times: 1 − .5³ = .875.
        for (rate, training, held_out, expected) in [
            (0.1, 200.0, 100.0, 0.19),
            (0.19, 50.0, 100.0, 0.1),
            (0.5, 300.0, 100.0, 0.875),
            (0.3, 70.0, 70.0, 0.3),
            (0.0, 900.0, 1.0, 0.0),
            (1.0, 900.0, 1.0, 1.0),
        ] {
            let found = carried_over(rate, training, held_out).unwrap();
            assert!(
                (found - expected).abs() < 1e-12,
                "{rate} {training} {held_out}: {found}"
            );
        }
        assert!(carried_over(1.5, 1.0, 1.0).is_err());
        assert!(carried_over(0.5, 1.0, 0.0).is_err());
        assert!(carried_over(0.5, 0.0, 1.0).is_err());
    }
}
