//! How sure is a figure? Confidence intervals, all at 95%, and the number of samples that a comparison takes.
//!
//! Which to use: [`wilson`] for a rate with one sample per document; [`bootstrap_rate`],
//! [`bootstrap_ratio`] and [`bootstrap_mean`] where a document contributes several values, because those
//! go together and must be resampled together; [`newcombe_difference`] for two rates side by side.

pub use bootstrap::{FEWEST_RESAMPLES, Tally, bootstrap_mean, bootstrap_rate, bootstrap_ratio, mean, ratio};
pub use sample_size::{samples_for_width, samples_to_separate};
pub use wilson::{newcombe_difference, wilson};

pub(crate) use bootstrap::percentile_interval;
pub(crate) use wilson::wilson_of_share;

mod bootstrap;
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
