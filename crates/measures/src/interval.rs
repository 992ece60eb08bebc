//! How sure is a figure? Confidence intervals, all at 95%, and the number of samples that a comparison takes.
//!
//! | figure | interval | smallest number |
//! |---|---|---|
//! | rate, one sample a document | [`wilson`] | 1 |
//! | rate where the exact binomial is wanted (TPR at a threshold) | [`binomial_mid_p`] | [`MIN_TRIALS_MID_P`] |
//! | rate, several samples a document | [`clustered_rate`] | [`MIN_DOCUMENTS_CLUSTERED_RATE`] |
//! | mean or ratio of values within bounds (ROUGE-L) | [`bounded_mean_interval`] | [`MIN_DOCUMENTS_BOUNDED_MEAN`] |
//! | mean or ratio of other values (nats) | [`mean_interval`] | [`MIN_DOCUMENTS_MEAN`] |
//! | mean over training runs | [`over_runs`] | [`MIN_RUNS`] |
//! | difference of independent figures | [`mover_difference`] | as its parts |
//! | difference of rates on the same documents | [`paired_difference`] | [`MIN_DOCUMENTS_PAIRED`] |
//! | difference of means on the same documents | [`paired_mean_difference`] | [`MIN_DOCUMENTS_MEAN`] |
//! | any statistic of resampled documents | [`joint_bootstrap`](crate::tradeoff::joint_bootstrap) | [`MIN_DOCUMENTS_BOOTSTRAP`](crate::tradeoff::MIN_DOCUMENTS_BOOTSTRAP) |
//!
//! Several samples of one document go together: documents are the units of every interval here.

pub use bootstrap::{MIN_RESAMPLES, Tally, bootstrap_mean, bootstrap_rate, bootstrap_ratio, mean, ratio};
pub use difference::{MIN_DOCUMENTS_PAIRED, mover_difference, paired_difference, paired_mean_difference};
pub use mean::{
    MIN_DOCUMENTS_BOUNDED_MEAN, MIN_DOCUMENTS_MEAN, MIN_RUNS, bounded_mean_interval, mean_interval, over_runs,
};
pub use rate::{MIN_DOCUMENTS_CLUSTERED_RATE, MIN_TRIALS_MID_P, binomial_mid_p, clustered_rate};
pub use sample_size::{samples_for_width, samples_to_separate};
pub use wilson::{newcombe_difference, wilson};

pub(crate) use bootstrap::percentile;
pub(crate) use rate::require_parts_within_wholes;
pub(crate) use wilson::wilson_of_share;

mod bootstrap;
mod difference;
mod mean;
mod rate;
mod sample_size;
mod wilson;

/// The standard normal deviate that leaves 2.5% on either side: 95% intervals reach this many standard
/// errors.
pub const CONFIDENCE_95: f64 = 1.959_963_984_540_054;

/// The two ends of a 95% confidence interval, in the unit of the figure it stands beside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end, not below the lower one.
    pub high: f64,
}

impl Interval {
    /// Is the value between the ends, or on one of them?
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// high − low, 0 and up.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

#[cfg(test)]
mod tests {
    use super::Interval;

    #[test]
    fn ends_belong_to_the_interval() {
        let interval = Interval {
            low: -0.25,
            high: 0.5,
        };
        assert_eq!(interval.width(), 0.75);
        for (value, inside) in [
            (-0.25, true),
            (0.0, true),
            (0.5, true),
            (0.51, false),
            (f64::NAN, false),
        ] {
            assert_eq!(interval.contains(value), inside, "{value}");
        }
    }
}
