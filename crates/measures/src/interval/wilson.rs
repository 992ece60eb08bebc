use super::{CONFIDENCE_95, Interval};
use crate::error::{MeasureError, Result};

/// Wilson's score interval, 95%, of the rate successes / trials.
///
/// (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with p the rate, n the trials and z = 1.96. Always
/// within 0 and 1 and never of width 0: no success in n trials still allows a rate of z²/(n + z²). The trials
/// must be independent; for several samples per document see [`bootstrap_rate`](super::bootstrap_rate).
/// Source: Wilson 1927.
///
/// # Errors
/// If there are no trials, or fewer than successes.
pub fn wilson(successes: u64, trials: u64) -> Result<Interval> {
    Ok(wilson_of_share(rate(successes, trials)?, trials as f64))
}

/// Newcombe's interval, 95%, of the difference of two independent rates, first − second.
///
/// From d − √((p₁ − l₁)² + (u₂ − p₂)²) to d + √((u₁ − p₁)² + (p₂ − l₂)²), with p the rates, d = p₁ − p₂, and
/// l, u the ends of their Wilson intervals. Within −1 and 1; the rates are told apart at 95% where 0 lies
/// outside. Source: Newcombe 1998, method 10.
///
/// # Errors
/// If either has no trials, or fewer than successes.
pub fn newcombe_difference(
    (first_successes, first_trials): (u64, u64),
    (second_successes, second_trials): (u64, u64),
) -> Result<Interval> {
    let first = rate(first_successes, first_trials)?;
    let second = rate(second_successes, second_trials)?;
    let around_first = wilson_of_share(first, first_trials as f64);
    let around_second = wilson_of_share(second, second_trials as f64);
    let difference = first - second;
    Ok(Interval {
        low: difference - (first - around_first.low).hypot(around_second.high - second),
        high: difference + (around_first.high - first).hypot(second - around_second.low),
    })
}

/// Wilson's interval for a share that need not be a count: `share` within 0 and 1, `trials` above 0.
pub(crate) fn wilson_of_share(share: f64, trials: f64) -> Interval {
    let z_squared = CONFIDENCE_95 * CONFIDENCE_95;
    let centre = trials * share + z_squared / 2.0;
    let reach = CONFIDENCE_95 * (trials * share * (1.0 - share) + z_squared / 4.0).sqrt();
    // Rounding must not push the ends past 0, 1 or, at a share of 0 or 1, the share itself.
    Interval {
        low: ((centre - reach) / (trials + z_squared)).clamp(0.0, share),
        high: ((centre + reach) / (trials + z_squared)).clamp(share, 1.0),
    }
}

pub(super) fn rate(successes: u64, trials: u64) -> Result<f64> {
    if trials == 0 || trials < successes {
        let needed = successes.max(1) as usize;
        return Err(MeasureError::TooFew {
            what: "trials",
            needed,
            found: trials as usize,
        });
    }
    Ok(successes as f64 / trials as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: Interval, low: f64, high: f64) {
        let close = (found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5;
        assert!(close, "expected {low} to {high}, found {found:?}");
    }

    #[test]
    fn wilson_interval() {
        // z² = 3.841459. Nothing found: 0 to 3.841459 / 13.841459.
        assert_close(wilson(0, 10).unwrap(), 0.0, 0.27753);
        // Half: ½ ± 1.959964 · √(2.5 + .960365) / 13.841459 = ½ ± .263407.
        assert_close(wilson(5, 10).unwrap(), 0.23659, 0.76341);
        // Everything: 10 / 13.841459 to 1.
        assert_close(wilson(10, 10).unwrap(), 0.72247, 1.0);
        // The ends at 0 and 1 are exact; unguarded, rounding moves the upper one for 15 of 15, 16 of 16 and
        // so on.
        for trials in 1..30 {
            assert_eq!(wilson(0, trials).unwrap().low, 0.0, "{trials}");
            assert_eq!(wilson(trials, trials).unwrap().high, 1.0, "{trials}");
        }
        assert!(wilson(0, 0).is_err());
        assert!(wilson(2, 1).is_err());
    }

    #[test]
    fn difference_of_rates() {
        // Newcombe's table II: 56/70 − 48/80. The parts: .8 in [.6918, .8770], .6 in [.4905, .7004], so
        // .2 − √(.1082² + .1004²) = .0524 and .2 + √(.0770² + .1095²) = .3339.
        assert_close(newcombe_difference((56, 70), (48, 80)).unwrap(), 0.0524, 0.3339);
        assert!(newcombe_difference((1, 2), (0, 0)).is_err());
    }
}
