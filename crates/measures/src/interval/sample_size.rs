use super::CONFIDENCE_95;
use crate::error::{Result, require, require_share};

/// The standard normal deviate below which 80% lie.
const POWER_80: f64 = 0.841_621_233_572_914_3;

/// How many independent samples of each of two rates it takes to tell them apart: two-sided at 95%, with 80%
/// power.
///
/// n = (z √(2 p̄ (1 − p̄)) + z' √(p₁(1 − p₁) + p₂(1 − p₂)))² / (p₁ − p₂)², rounded up, where p̄ is the mean
/// of the rates, z = 1.96 and z' = 0.84. A whole number as a float, at least 1; infinite for equal rates.
/// Source: Fleiss et al. 2003, without continuity correction.
///
/// # Errors
/// If a rate is not between 0 and 1.
pub fn samples_to_separate(first_rate: f64, second_rate: f64) -> Result<f64> {
    require_share("first_rate", first_rate)?;
    require_share("second_rate", second_rate)?;
    if first_rate == second_rate {
        return Ok(f64::INFINITY);
    }
    let variance = |rate: f64| rate * (1.0 - rate);
    let if_equal = (2.0 * variance(f64::midpoint(first_rate, second_rate))).sqrt();
    let if_different = (variance(first_rate) + variance(second_rate)).sqrt();
    let reach = CONFIDENCE_95 * if_equal + POWER_80 * if_different;
    Ok((reach / (first_rate - second_rate)).powi(2).ceil().max(1.0))
}

/// How many independent samples it takes for the [`wilson`](super::wilson()) interval of a rate to be no
/// wider than this.
///
/// The least n with 2 z √(n p(1 − p) + z²/4) / (n + z²) ≤ width, which is a quadratic in n; p the expected
/// rate (½ is the worst case) and z = 1.96. A whole number as a float, at least 1.
///
/// # Errors
/// If the rate is not between 0 and 1, or the width not above 0 and at most 1.
pub fn samples_for_width(rate: f64, width: f64) -> Result<f64> {
    require_share("rate", rate)?;
    require(width > 0.0 && width <= 1.0, "width", "above 0, at most 1", width)?;
    let z_squared = CONFIDENCE_95 * CONFIDENCE_95;
    // h²(n + z²)² = z²(n p(1 − p) + z²/4) with h half the width, sorted by powers of n: a n² + b n + c = 0.
    let quadratic = (width / 2.0).powi(2);
    let linear = z_squared * (2.0 * quadratic - rate * (1.0 - rate));
    let constant = z_squared * z_squared * (quadratic - 0.25);
    // The constant is at most 0, so exactly one root is not negative.
    let root = (linear * linear - 4.0 * quadratic * constant).sqrt();
    Ok(((root - linear) / (2.0 * quadratic)).ceil().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_separate_two_rates() {
        let cases = [
            // z √.255 = .98973, z' √.25 = .42081; (1.41054 / .1)² = 198.96.
            (0.1, 0.2, 199.0),
            (0.2, 0.1, 199.0),
            // p̄ = ½: z √.5 = 1.38590, z' · 0 = 0; 1.3859² = 1.92.
            (0.0, 1.0, 2.0),
            (0.3, 0.3, f64::INFINITY),
        ];
        for (first, second, expected) in cases {
            assert_eq!(
                samples_to_separate(first, second),
                Ok(expected),
                "{first} {second}"
            );
        }
        assert!(samples_to_separate(0.5, 1.5).is_err());
        assert!(samples_to_separate(f64::NAN, 0.5).is_err());
    }

    #[test]
    fn samples_that_narrow_an_interval() {
        let cases = [
            // At ½ the width is z / √(n + z²): n = z² / .1² − z² = 384.15 − 3.84 = 380.3.
            (0.5, 0.1, 381.0),
            // At 0 it is z² / (n + z²): n = 3.84146 / .05 − 3.84146 = 72.99.
            (0.0, 0.05, 73.0),
            (1.0, 0.05, 73.0),
            (0.5, 1.0, 1.0),
        ];
        for (rate, width, expected) in cases {
            assert_eq!(samples_for_width(rate, width), Ok(expected), "{rate} {width}");
        }
        assert!(samples_for_width(0.5, 0.0).is_err());
        assert!(samples_for_width(-0.1, 0.1).is_err());
    }
}
