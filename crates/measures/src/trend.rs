//! Does memorization rise with copies, or with parameters, and how steeply?
//!
//! Carlini et al. 2023 fit straight lines against the logarithm of either; here x is log₂ copies or log₁₀
//! parameters, so that a slope reads "per doubling" or "per tenfold size".

use crate::error::{MeasureError, Result, require_finite};
use crate::interval::{Interval, percentile_interval};

/// One observation of one document: memorization `y` at `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// log₂ of the copies, or log₁₀ of the model's parameters.
    pub x: f64,
    /// The document's memorization there, by any measure.
    pub y: f64,
}

/// A straight line y = intercept + slope · x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// The rise of y per unit of x: per doubling of the copies, per tenfold parameters.
    pub slope: f64,
    /// y at x = 0: one copy.
    pub intercept: f64,
    /// The 95% interval of the slope.
    pub slope_interval: Interval,
}

/// The least-squares line through all observations of all documents, with a bootstrap interval of its slope.
///
/// slope = Σ (x − x̄)(y − ȳ) / Σ (x − x̄)². A group holds what was observed of one document: once at its own
/// number of copies, or once per model. The interval is 95%, by resampling documents (percentile method,
/// ChaCha8, seeded), because the observations of a document are not independent. A resample whose
/// observations all share one x has no slope and is left out.
///
/// # Errors
/// If an x or y is not finite (log₂ of no copies), all observations share one x, there are fewer than two
/// documents, or fewer resamples than a bootstrap needs.
pub fn linear_trend<G: AsRef<[Observation]>>(documents: &[G], resamples: usize, seed: u64) -> Result<Trend> {
    let observations: Vec<Observation> = documents.iter().flat_map(AsRef::as_ref).copied().collect();
    for observation in &observations {
        require_finite("x", observation.x)?;
        require_finite("y", observation.y)?;
    }
    let Some(&first) = observations.first() else {
        return Err(MeasureError::TooFew {
            what: "observations",
            needed: 2,
            found: 0,
        });
    };
    // Sums of squares lose digits far from 0, so everything is measured from the first observation.
    let moments: Vec<Moments> = documents
        .iter()
        .map(|document| Moments::of(document.as_ref(), first))
        .collect();
    let total = moments.iter().copied().fold(Moments::default(), Moments::plus);
    let Some(slope) = total.slope() else {
        return Err(MeasureError::TooFew {
            what: "different values of x",
            needed: 2,
            found: 1,
        });
    };
    let slope_interval = percentile_interval(documents.len(), resamples, seed, |drawn| {
        drawn
            .iter()
            .map(|&index| moments[index])
            .fold(Moments::default(), Moments::plus)
            .slope()
    })?;
    let intercept = first.y + total.y / total.count - slope * (first.x + total.x / total.count);
    Ok(Trend {
        slope,
        intercept,
        slope_interval,
    })
}

/// The sums from which a least-squares slope is made.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Moments {
    fn of(observations: &[Observation], origin: Observation) -> Self {
        observations
            .iter()
            .map(|observation| {
                let (x, y) = (observation.x - origin.x, observation.y - origin.y);
                Self {
                    count: 1.0,
                    x,
                    y,
                    xx: x * x,
                    xy: x * y,
                }
            })
            .fold(Self::default(), Self::plus)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            x: self.x + other.x,
            y: self.y + other.y,
            xx: self.xx + other.xx,
            xy: self.xy + other.xy,
        }
    }

    /// None where x does not vary by more than rounding.
    fn slope(self) -> Option<f64> {
        let spread = self.count * self.xx - self.x * self.x;
        let varies = spread > 1e-12 * self.count * self.xx;
        varies.then(|| (self.count * self.xy - self.x * self.y) / spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> Observation {
        Observation { x, y }
    }

    #[test]
    fn slope_and_intercept_are_least_squares() {
        // x̄ = 1, ȳ = 2; Σ(x−x̄)(y−ȳ) = (−1)(−1) + 0 + (1)(2) = 3 over Σ(x−x̄)² = 2.
        let documents = [[at(0.0, 1.0)], [at(1.0, 1.0)], [at(2.0, 4.0)]];
        let trend = linear_trend(&documents, 1_000, 0).unwrap();
        assert_eq!((trend.slope, trend.intercept), (1.5, 0.5));
        assert!(trend.slope_interval.contains(1.5), "{trend:?}");
        // Two of the points alone have the slopes 0 (first two), 1½ and 3 (last two).
        assert_eq!(trend.slope_interval, Interval { low: 0.0, high: 3.0 });
    }

    #[test]
    fn points_on_a_line_leave_no_doubt() {
        let documents: Vec<[Observation; 2]> = (0..10)
            .map(|index| {
                [
                    at(9.0, 2.0),
                    at(9.0 + f64::from(index), 2.0 - 0.5 * f64::from(index)),
                ]
            })
            .collect();
        let trend = linear_trend(&documents, 1_000, 0).unwrap();
        assert!(
            (trend.slope + 0.5).abs() < 1e-12 && (trend.intercept - 6.5).abs() < 1e-12,
            "{trend:?}"
        );
        assert!(trend.slope_interval.width() < 1e-12, "{trend:?}");
    }

    #[test]
    fn a_line_needs_two_places() {
        let errors = [
            linear_trend::<[Observation; 1]>(&[], 1_000, 0),
            linear_trend(&[[at(1.0, 0.0)], [at(1.0, 1.0)]], 1_000, 0),
            linear_trend(&[[at(0.0, 0.0), at(1.0, 1.0)]], 1_000, 0),
            linear_trend(&[[at(0.0_f64.log2(), 0.0)], [at(1.0, 1.0)]], 1_000, 0),
        ];
        for error in errors {
            assert!(error.is_err(), "{error:?}");
        }
    }
}
