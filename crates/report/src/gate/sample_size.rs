//! How many units it takes until an interval lies on one side of a limit.

use measures::Interval;

/// Two-sided 95% quantile of the standard normal distribution.
const Z: f64 = 1.959_963_985;

/// Units at which the interval of a figure ends at the limit, if the figure stays as it is; none where it is at the limit, where none
/// would do.
///
/// `interval` is that of `units` units now, `value` the figure in its middle. Wilson's interval of a share p ends at L where
/// (p − L)² = z² L (1 − L) / m, since it inverts the score test (Wilson 1927); the exact one of no success, mid-P corrected, where
/// (1 − L)^m = 5%. The units of clustered data count as many independent ones as their interval says. Other intervals are taken
/// to shrink with the root of the units.
pub(super) fn units_needed(
    value: f64,
    interval: Interval,
    limit: f64,
    units: i64,
    is_share: bool,
) -> Option<u64> {
    let distance = (limit - value).abs();
    let end = if value < limit {
        interval.high
    } else {
        interval.low
    };
    if distance <= f64::EPSILON || end == value {
        return None;
    }
    let independent = |at: f64| {
        if is_share && value == 0.0 {
            0.05_f64.ln() / (1.0 - at).ln()
        } else if is_share {
            Z * Z * at * (1.0 - at) / ((at - value) * (at - value))
        } else {
            1.0 / ((at - value) * (at - value))
        }
    };
    let needed = units as f64 * independent(limit) / independent(end);
    // A limit of 0 or less, or of 1, is reached by no share.
    (needed.is_finite() && needed > 0.0).then(|| needed.ceil() as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use measures::interval::{binomial_mid_p, wilson};

    use super::{Interval, units_needed};

    /// 0.05^(1/298) = 0.98999…, 0.05^(1/299) = 0.99003…: 299 without one decide for a limit of 1%.
    #[test]
    fn no_success_needs_what_the_exact_interval_needs() {
        let now = binomial_mid_p(0, 100).unwrap();
        assert_eq!(units_needed(0.0, now, 0.01, 100, true), Some(299));
        assert!(binomial_mid_p(0, 298).unwrap().high > 0.01);
        assert!(binomial_mid_p(0, 299).unwrap().high <= 0.01);
    }

    /// Of 5% at a limit of 10%: (0.05)² = z² · 0.09 / m, m = 138.3. Above it at 5%: 10% of (0.05)² = z² · 0.0475 / m, m = 73.0.
    #[test]
    fn a_share_needs_what_wilsons_interval_needs() {
        assert_eq!(
            units_needed(0.05, wilson(2, 40).unwrap(), 0.1, 40, true),
            Some(139)
        );
        assert!(wilson(7, 140).unwrap().high <= 0.1);
        assert!(wilson(6, 120).unwrap().high > 0.1);
        assert_eq!(
            units_needed(0.1, wilson(4, 40).unwrap(), 0.05, 40, true),
            Some(73)
        );
        assert!(wilson(8, 80).unwrap().low > 0.05);
        assert!(wilson(7, 70).unwrap().low <= 0.05);
    }

    /// Twenty samples of ten documents that are alike within each have the interval of ten: z² · 0.21 / 0.01 = 80.67 independent ones
    /// are then twice as many samples.
    #[test]
    fn clustered_units_count_by_their_interval() {
        let of_ten = wilson(2, 10).unwrap();
        let of_twenty = wilson(4, 20).unwrap();
        assert_eq!(units_needed(0.2, of_ten, 0.3, 20, true), Some(162));
        assert_eq!(units_needed(0.2, of_twenty, 0.3, 20, true), Some(81));
    }

    /// An interval of ±2 at 100 units is one of ±1 at 400.
    #[test]
    fn other_intervals_shrink_with_the_root() {
        let now = Interval { low: 3.0, high: 7.0 };
        assert_eq!(units_needed(5.0, now, 6.0, 100, false), Some(400));
        assert_eq!(units_needed(5.0, now, 5.0, 100, false), None);
        assert_eq!(units_needed(5.0, now, 4.0, 100, false), Some(400));
    }
}
