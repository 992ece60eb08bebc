use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Interval, wilson_of_share};
use crate::error::{Result, require, require_count, require_finite};

/// The smallest number of resamples of a bootstrap: with 40 the outer 2.5% are one resample. 1,000 are usual.
pub const MIN_RESAMPLES: usize = 40;

/// What one document contributes to a rate or a ratio: a part and the whole it is measured by.
///
/// Samples that plagiarise and samples drawn; matched characters and generated characters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// The numerator.
    pub part: f64,
    /// The denominator, 0 or more.
    pub whole: f64,
}

impl Tally {
    /// A part and its whole.
    pub fn new(part: f64, whole: f64) -> Self {
        Self { part, whole }
    }
}

/// The ratio of sums over documents: Σ part / Σ whole, in the unit of part ÷ whole.
///
/// A document weighs by its whole; this is not the mean of the documents' own ratios.
///
/// # Errors
/// If a part or whole is not finite, a whole is negative, or the wholes sum to 0.
pub fn ratio(documents: &[Tally]) -> Result<f64> {
    let mut sum = Tally::new(0.0, 0.0);
    for document in documents {
        require_finite("part", document.part)?;
        require(
            document.whole >= 0.0 && document.whole.is_finite(),
            "whole",
            "0 or more",
            document.whole,
        )?;
        sum = Tally::new(sum.part + document.part, sum.whole + document.whole);
    }
    require(sum.whole > 0.0, "sum of wholes", "above 0", sum.whole)?;
    Ok(sum.part / sum.whole)
}

/// The 95% bootstrap interval of [`ratio`], resampling documents.
///
/// Each resample draws as many documents as there are, with replacement (ChaCha8, seeded), and forms the
/// ratio of its sums; the interval runs from the 2.5th to the 97.5th percentile of these, interpolated
/// linearly. A resample whose wholes sum to 0 has no ratio and is left out. The same seed gives the same
/// interval. Source: Efron 1979, percentile method.
///
/// If every document has the same ratio the interval has width 0, which for a rate of 0 is wrong: see
/// [`bootstrap_rate`].
///
/// # Errors
/// As [`ratio`]; also with fewer than two documents (nothing between them to measure) or fewer than
/// [`MIN_RESAMPLES`] resamples.
pub fn bootstrap_ratio(documents: &[Tally], resamples: usize, seed: u64) -> Result<Interval> {
    ratio(documents)?;
    percentile_interval(documents.len(), resamples, seed, |drawn| {
        let part: f64 = drawn.iter().map(|&index| documents[index].part).sum();
        let whole: f64 = drawn.iter().map(|&index| documents[index].whole).sum();
        (whole > 0.0).then(|| part / whole)
    })
}

/// The 95% interval of a rate with several samples per document: [`bootstrap_ratio`], except where the rate
/// is 0 or 1.
///
/// There every resample has the same rate, and the bootstrap would claim certainty; the interval is then
/// Wilson's with one trial per document that has samples, as if the samples of a document were one.
///
/// # Errors
/// As [`bootstrap_ratio`]; also if a part is negative or exceeds its whole.
pub fn bootstrap_rate(documents: &[Tally], resamples: usize, seed: u64) -> Result<Interval> {
    for document in documents {
        let within = (0.0..=document.whole).contains(&document.part);
        require(within, "part", "between 0 and its whole", document.part)?;
    }
    let interval = bootstrap_ratio(documents, resamples, seed)?;
    let rate = ratio(documents)?;
    if rate > 0.0 && rate < 1.0 {
        return Ok(interval);
    }
    let sampled = documents.iter().filter(|document| document.whole > 0.0).count();
    Ok(wilson_of_share(rate, sampled as f64))
}

/// The mean of all values of all documents: Σ values / number of values, in the values' unit.
///
/// A document weighs by the number of its values.
///
/// # Errors
/// If there are no values or one is not finite.
pub fn mean<G: AsRef<[f64]>>(documents: &[G]) -> Result<f64> {
    require_count(
        "values",
        documents.iter().map(|values| values.as_ref().len()).sum(),
        1,
    )?;
    ratio(&tallies(documents))
}

/// The 95% bootstrap interval of [`mean`], resampling documents; how, is said at [`bootstrap_ratio`].
///
/// # Errors
/// As [`mean`]; also with fewer than two documents or fewer than [`MIN_RESAMPLES`] resamples.
pub fn bootstrap_mean<G: AsRef<[f64]>>(documents: &[G], resamples: usize, seed: u64) -> Result<Interval> {
    mean(documents)?;
    bootstrap_ratio(&tallies(documents), resamples, seed)
}

fn tallies<G: AsRef<[f64]>>(documents: &[G]) -> Vec<Tally> {
    let tally = |values: &[f64]| Tally::new(values.iter().sum(), values.len() as f64);
    documents.iter().map(|values| tally(values.as_ref())).collect()
}

/// The middle 95% of a statistic over resamples of `count` documents.
///
/// `statistic` gets the indices drawn, and answers `None` where it is undefined for them.
pub(crate) fn percentile_interval(
    count: usize,
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Result<Interval> {
    require_count("documents", count, 2)?;
    require_count("resamples", resamples, MIN_RESAMPLES)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = vec![0; count];
    let mut values = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        drawn.fill_with(|| random.random_range(0..count));
        values.extend(statistic(&drawn));
    }
    require_count("resamples with a value", values.len(), 1)?;
    values.sort_by(f64::total_cmp);
    Ok(Interval {
        low: percentile(&values, 0.025),
        high: percentile(&values, 0.975),
    })
}

/// The value at a share of the way through sorted values, interpolated linearly between neighbours.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + position.fract() * (above - below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESAMPLES: usize = 1_000;

    #[test]
    fn percentiles_are_interpolated() {
        // Position .025 · 4 = .1 between the first two of five, .975 · 4 = 3.9 between the last two.
        let sorted = [0.0, 10.0, 20.0, 30.0, 50.0];
        assert!((percentile(&sorted, 0.025) - 1.0).abs() < 1e-12);
        assert!((percentile(&sorted, 0.975) - 48.0).abs() < 1e-12);
        assert_eq!(percentile(&[7.0], 0.975), 7.0);
    }

    #[test]
    fn long_documents_weigh_more_in_a_ratio() {
        // (50 + 0) / (100 + 400) = 0.1; the mean of ½ and 0 would be ¼.
        assert_eq!(ratio(&[Tally::new(50.0, 100.0), Tally::new(0.0, 400.0)]), Ok(0.1));
        // (1 + 2 + 6) / 3.
        assert_eq!(mean(&[vec![1.0, 2.0], vec![6.0]]), Ok(3.0));
    }

    #[test]
    fn two_documents_resample_to_three_means() {
        // Means 0, ½ and 1 come with probabilities ¼, ½, ¼: both outer 2.5% lie well inside the outer
        // quarters.
        let interval = bootstrap_mean(&[[0.0], [1.0]], RESAMPLES, 7).unwrap();
        assert_eq!(interval, Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn bootstrap_agrees_with_the_normal_theory_it_approaches() {
        // 100 documents of one value, half 0 and half 1: ½ ± 1.96 · √(¼ / 100) = .402 to .598.
        let documents: Vec<[f64; 1]> = (0..100).map(|index| [f64::from(index % 2)]).collect();
        let interval = bootstrap_mean(&documents, 4_000, 1).unwrap();
        assert!(
            (interval.low - 0.402).abs() < 0.015 && (interval.high - 0.598).abs() < 0.015,
            "{interval:?}"
        );
        // Ten equal samples in each document add no information: the same interval, not one of a third the
        // width.
        let repeated: Vec<[f64; 10]> = documents.iter().map(|[value]| [*value; 10]).collect();
        assert_eq!(bootstrap_mean(&repeated, 4_000, 1).unwrap(), interval);
    }

    #[test]
    fn the_seed_decides_the_interval() {
        let documents: Vec<[f64; 1]> = (0..30).map(|index| [f64::from(index * index)]).collect();
        let interval = |seed| bootstrap_mean(&documents, RESAMPLES, seed).unwrap();
        assert_eq!(interval(3), interval(3));
        assert_ne!(interval(3), interval(4));
    }

    #[test]
    fn a_rate_of_zero_is_not_certain() {
        let documents = [Tally::new(0.0, 10.0); 10];
        assert_eq!(
            bootstrap_ratio(&documents, RESAMPLES, 0),
            Ok(Interval { low: 0.0, high: 0.0 })
        );
        // Wilson for 0 of 10 documents: up to 3.8415 / 13.8415.
        let interval = bootstrap_rate(&documents, RESAMPLES, 0).unwrap();
        assert!(
            interval.low == 0.0 && (interval.high - 0.27753).abs() < 5e-6,
            "{interval:?}"
        );
        // In between it is the bootstrap's.
        let documents = [Tally::new(3.0, 10.0), Tally::new(0.0, 10.0), Tally::new(1.0, 5.0)];
        assert_eq!(
            bootstrap_rate(&documents, RESAMPLES, 0),
            bootstrap_ratio(&documents, RESAMPLES, 0)
        );
    }

    #[test]
    fn too_little_to_resample_is_an_error() {
        let one = [Tally::new(1.0, 2.0)];
        let two = [one[0]; 2];
        assert!(bootstrap_ratio(&one, RESAMPLES, 0).is_err());
        assert!(bootstrap_ratio(&two, MIN_RESAMPLES - 1, 0).is_err());
        assert!(bootstrap_ratio(&[Tally::new(0.0, 0.0); 2], RESAMPLES, 0).is_err());
        assert!(bootstrap_ratio(&[Tally::new(f64::NAN, 1.0); 2], RESAMPLES, 0).is_err());
        assert!(bootstrap_rate(&[Tally::new(3.0, 2.0); 2], RESAMPLES, 0).is_err());
        assert!(mean::<[f64; 0]>(&[[], []]).is_err());
    }
}
