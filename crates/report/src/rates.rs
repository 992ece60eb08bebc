//! From tallies to a figure with its interval, and from two figures to what may be said of them.

use measures::interval::{bootstrap_rate, bootstrap_ratio, ratio, wilson};
use measures::{Interval, Tally};

use crate::measure::Kind;

/// How intervals are drawn where a formula does not give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Resamples of the documents.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// A figure, how sure it is, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure, in the measure's unit.
    pub value: f64,
    /// Its 95% interval; none where too little was observed for one.
    pub interval: Option<Interval>,
    /// Samples (or tokens' sequences, or characters' texts) observed.
    pub observations: usize,
    /// Documents they belong to.
    pub documents: usize,
}

impl Estimate {
    /// The figure of some documents: Wilson's interval for a rate with one sample per document, the bootstrap over
    /// documents for everything else. `None` for no documents.
    pub fn of(documents: &[Tally], kind: Kind, bootstrap: Bootstrap) -> Option<Self> {
        let value = ratio(documents).ok()?;
        let once = documents
            .iter()
            .all(|tally| tally.whole == 1.0 && (tally.part == 0.0 || tally.part == 1.0));
        let interval = match kind {
            Kind::Rate if once => {
                let successes = documents.iter().filter(|tally| tally.part == 1.0).count();
                wilson(successes as u64, documents.len() as u64)
            }
            Kind::Rate => bootstrap_rate(documents, bootstrap.resamples, bootstrap.seed),
            Kind::Mean => bootstrap_ratio(documents, bootstrap.resamples, bootstrap.seed),
        };
        // Documents that all agree leave a resample no choice; that is no certainty.
        let interval = interval
            .ok()
            .filter(|interval| kind == Kind::Rate || interval.width() > 0.0);
        let observations = match kind {
            Kind::Rate => documents.iter().map(|tally| tally.whole).sum::<f64>() as usize,
            Kind::Mean => documents.len(),
        };
        Some(Self {
            value,
            interval,
            observations,
            documents: documents.len(),
        })
    }

    /// Whether a document contributed one sample only, so that a rate of samples is a rate of documents.
    pub fn is_of_documents(&self) -> bool {
        self.observations == self.documents
    }

    /// The figure and the ends of its interval under a rising function.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self {
            value: function(self.value),
            interval: self.interval.map(|ends| Interval {
                low: function(ends.low),
                high: function(ends.high),
            }),
            ..self
        }
    }

    /// The same under one that has no value everywhere; `None` where it has none at the figure or an end.
    pub fn try_map(self, function: impl Fn(f64) -> Option<f64>) -> Option<Self> {
        let value = function(self.value)?;
        let interval = match self.interval {
            Some(ends) => Some(Interval {
                low: function(ends.low)?,
                high: function(ends.high)?,
            }),
            None => None,
        };
        Some(Self {
            value,
            interval,
            ..self
        })
    }
}

/// The 95% interval of first − second, two figures measured independently, from the interval of each.
///
/// d − √((p₁ − l₁)² + (u₂ − p₂)²) to d + √((u₁ − p₁)² + (p₂ − l₂)²): with Wilson's intervals this is Newcombe's (1998,
/// method 10), with any others the method of variance estimates recovery (Zou and Donner 2008).
pub fn difference(first: &Estimate, second: &Estimate) -> Option<Interval> {
    let (around_first, around_second) = (first.interval?, second.interval?);
    let difference = first.value - second.value;
    Some(Interval {
        low: difference - (first.value - around_first.low).hypot(around_second.high - second.value),
        high: difference + (around_first.high - first.value).hypot(second.value - around_second.low),
    })
}

/// Whether the first figure lies over the second by more than chance: the interval of their difference lies over 0.
pub fn exceeds(first: &Estimate, second: &Estimate) -> bool {
    difference(first, second).is_some_and(|interval| interval.low > 0.0)
}

#[cfg(test)]
mod tests {
    use measures::interval::newcombe_difference;

    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap {
        resamples: 200,
        seed: 1,
    };

    fn rate(successes: usize, trials: usize) -> Estimate {
        let tallies: Vec<Tally> = (0..trials)
            .map(|trial| Tally::new(f64::from(u8::from(trial < successes)), 1.0))
            .collect();
        Estimate::of(&tallies, Kind::Rate, BOOTSTRAP).unwrap()
    }

    #[test]
    fn one_sample_per_document_has_wilsons_interval() {
        let found = rate(3, 40);
        assert_eq!(found.value, 0.075);
        assert_eq!(found.interval, Some(wilson(3, 40).unwrap()));
        assert!(found.is_of_documents());
        assert_eq!((found.observations, found.documents), (40, 40));
    }

    #[test]
    fn several_samples_per_document_are_resampled_together() {
        // 7 + 0 + 1 of 10 + 10 + 10.
        let tallies = [
            Tally::new(7.0, 10.0),
            Tally::new(0.0, 10.0),
            Tally::new(1.0, 10.0),
        ];
        let found = Estimate::of(&tallies, Kind::Rate, BOOTSTRAP).unwrap();
        assert_eq!(found.value, 8.0 / 30.0);
        assert_eq!(found.interval, Some(bootstrap_rate(&tallies, 200, 1).unwrap()));
        assert_eq!((found.observations, found.documents), (30, 3));
        assert!(!found.is_of_documents());
    }

    #[test]
    fn difference_of_rates_is_newcombes() {
        for ((first, trials), (second, others)) in
            [((16, 40), (0, 40)), ((3, 40), (1, 35)), ((0, 9), (0, 12))]
        {
            let found = difference(&rate(first, trials), &rate(second, others)).unwrap();
            let expected =
                newcombe_difference((first as u64, trials as u64), (second as u64, others as u64)).unwrap();
            assert!((found.low - expected.low).abs() < 1e-12 && (found.high - expected.high).abs() < 1e-12);
        }
        assert!(exceeds(&rate(16, 40), &rate(0, 40)));
        // Newcombe's interval of 2/40 − 0/40 runs from −0.04 up.
        assert!(!exceeds(&rate(2, 40), &rate(0, 40)));
    }

    #[test]
    fn nothing_has_no_estimate_and_one_document_no_bootstrap() {
        assert_eq!(Estimate::of(&[], Kind::Rate, BOOTSTRAP), None);
        assert_eq!(
            Estimate::of(&[Tally::new(3.0, 7.0)], Kind::Mean, BOOTSTRAP)
                .unwrap()
                .interval,
            None
        );
    }
}
