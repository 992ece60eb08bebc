//! Propensity: does a model give back training text when nobody forces it to?

use crate::error::{Result, require_share};

/// The propensity to memorize: ½ (1 + (f_p − f_c) / (f_p + f_c)), f_p the rate with ordinary prompts, f_c with prompts that force recall (a
/// document's own prefix).
///
/// Between 0, where text comes out only when it is forced, and 1, where it comes out only unforced; ½ where both rates are equal. Without
/// unit. `None` where both rates are 0: nothing comes out, so there is no propensity. Source: arXiv 2606.06286.
///
/// # Errors
/// If a rate is not between 0 and 1.
pub fn propensity(ordinary_rate: f64, forced_rate: f64) -> Result<Option<f64>> {
    require_share("ordinary_rate", ordinary_rate)?;
    require_share("forced_rate", forced_rate)?;
    let sum = ordinary_rate + forced_rate;
    Ok((sum > 0.0).then(|| 0.5 * (1.0 + (ordinary_rate - forced_rate) / sum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propensity_compares_ordinary_with_forced_recall() {
        let cases = [
            (0.0, 0.4, Some(0.0)),
            (0.4, 0.0, Some(1.0)),
            (0.3, 0.3, Some(0.5)),
            // ½ (1 − .4/.6) = 1/6.
            (0.1, 0.5, Some(1.0 / 6.0)),
            (0.0, 0.0, None),
        ];
        for (ordinary, forced, expected) in cases {
            let found = propensity(ordinary, forced).unwrap();
            let close = match (found, expected) {
                (Some(found), Some(expected)) => f64::abs(found - expected) < 1e-12,
                (found, expected) => found == expected,
            };
            assert!(close, "{ordinary} {forced}: {found:?}");
        }
        assert!(propensity(1.1, 0.0).is_err());
        assert!(propensity(0.0, f64::NAN).is_err());
    }
}
