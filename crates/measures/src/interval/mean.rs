//! Intervals of a mean: over documents, and over training runs.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::bootstrap::percentile;
use super::rate::{effective_documents, effective_samples, ratio_variance};
use super::{Interval, Tally, ratio, wilson_of_share};
use crate::distribution::student_t_97_5;
use crate::error::{MeasureError, Result, require, require_count, require_finite};

/// Documents that [`mean_interval`] needs.
///
/// Coverage at 12 documents: 95.7% for normal values, 96.7% for uniform, 93.4% for exponential, 93.2% for gamma(2) values.
pub const MIN_DOCUMENTS_MEAN: usize = 12;

/// Documents that [`bounded_mean_interval`] needs.
///
/// Coverage at 15 documents: 93 to 97% for beta values with means from 10 to 90% of the range, from nearly equal to nearly 0 and 1, and
/// for values that are 0 in half to nine tenths of the documents. Means under 15% of values of which most are nearly, but not quite,
/// 0 cover less: 93% where the values' correlation is under .3, 80 to 90% above, up to 30 documents.
pub const MIN_DOCUMENTS_BOUNDED_MEAN: usize = 15;

/// Training runs that [`over_runs`] needs.
pub const MIN_RUNS: usize = 2;

/// Resamples of [`mean_interval`], and their seed: the interval depends on the documents alone.
const RESAMPLES: usize = 2_000;
const SEED: u64 = 0;

/// The largest share of resamples without variance: more of them than lie outside an end of the interval, and that end is unknown.
const MAX_SHARE_WITHOUT_VARIANCE: f64 = 0.025;

/// A spread this much smaller than the values is the rounding of equal values.
const ROUNDING: f64 = 1e-12;

/// The 95% interval of [`ratio`], Σ part / Σ whole, of values without bounds: of a mean over documents where every whole is 1, of
/// tokens where a whole is a document's tokens.
///
/// The standard error is that of the linearised ratio, s = √(d/(d − 1) · Σ (part − r · whole)²) / Σ whole over d documents.
/// Each of 2,000 resamples of the documents (ChaCha8, seed 0) gives t* = (r* − r)/s*. The interval runs from r − s · q(97.5%) to
/// r − s · q(2.5%), each q half-way between the quantile of t* (bootstrap-t, which reaches further on the side of a skewed distribution's tail)
/// and that of Student's t with (Σ whole)²/Σ whole² − 1 degrees of freedom (d − 1 where all wholes are equal; 1 at least): alone, the first covers too much for values without tails, the second too
/// little for skewed ones. In the unit of part ÷ whole. Documents whose whole is 0 do not count. Sources: Efron and Tibshirani 1993,
/// chapter 12; Hesterberg 2015; the half-way is this project's, chosen by simulation.
///
/// # Errors
/// As [`ratio`]; also with fewer than [`MIN_DOCUMENTS_MEAN`] documents, and [`MeasureError::NoVariation`] where all documents agree, or
/// all but so few that over 2.5% of the resamples hold none of these: nothing then says how far another document might lie.
pub fn mean_interval(documents: &[Tally]) -> Result<Interval> {
    let value = ratio(documents)?;
    let counted = counted(documents, MIN_DOCUMENTS_MEAN)?;
    let error = ratio_variance(&counted, value).sqrt();
    if !varies(error, value) {
        return Err(NO_VARIATION);
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut drawn = counted.clone();
    let mut studentised = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn.fill_with(|| counted[random.random_range(0..counted.len())]);
        let resampled = ratio(&drawn)?;
        let error = ratio_variance(&drawn, resampled).sqrt();
        if varies(error, resampled) {
            studentised.push((resampled - value) / error);
        }
    }
    let without_variance = (RESAMPLES - studentised.len()) as f64;
    if without_variance > MAX_SHARE_WITHOUT_VARIANCE * RESAMPLES as f64 {
        return Err(NO_VARIATION);
    }
    studentised.sort_by(f64::total_cmp);
    let student = student_t_97_5((effective_documents(&counted) - 1.0).max(1.0));
    let above = f64::midpoint(percentile(&studentised, 0.975), student);
    let below = f64::midpoint(percentile(&studentised, 0.025), -student);
    Ok(Interval {
        low: value - error * above.max(0.0),
        high: value - error * below.min(0.0),
    })
}

/// The 95% interval of [`ratio`], Σ part / Σ whole, of values within bounds: ROUGE-L, a share of characters, a cosine.
///
/// Wilson's interval of the share (r − low)/(high − low) at the effective number of documents, share · (1 − share)/V · (1.96/t)², V the
/// variance of the ratio with documents as clusters (as in [`mean_interval`]) on that scale, t the 97.5% quantile of Student's t with d − 1
/// degrees of freedom; at least (Σ whole)²/Σ whole², as no values within bounds vary more than 0 and 1. So it stays within the bounds, leans
/// away from the nearer one as skewed values do, and has a width where all documents lie on one bound. In the unit of part ÷
/// whole. Documents whose whole is 0 do not count. Sources: Wilson 1927; the effective number as in
/// [`clustered_rate`](super::clustered_rate).
///
/// # Errors
/// As [`ratio`]; also with fewer than [`MIN_DOCUMENTS_BOUNDED_MEAN`] documents, if a document's part ÷ whole is out of bounds, and
/// [`MeasureError::NoVariation`] where all documents agree between the bounds.
pub fn bounded_mean_interval(documents: &[Tally], (low, high): (f64, f64)) -> Result<Interval> {
    require_finite("low bound", low)?;
    require(
        high > low && high.is_finite(),
        "high bound",
        "above the low one",
        high,
    )?;
    let value = ratio(documents)?;
    let counted = counted(documents, MIN_DOCUMENTS_BOUNDED_MEAN)?;
    let scaled = |value: f64| (value - low) / (high - low);
    let mut shares = Vec::with_capacity(counted.len());
    for document in counted {
        let share = scaled(document.part / document.whole);
        require(
            (-ROUNDING..=1.0 + ROUNDING).contains(&share),
            "part / whole",
            "within the bounds",
            document.part / document.whole,
        )?;
        shares.push(Tally::new(share * document.whole, document.whole));
    }
    let share = scaled(value).clamp(0.0, 1.0);
    let error = ratio_variance(&shares, share).sqrt();
    let at_bound = share <= ROUNDING || share >= 1.0 - ROUNDING;
    if !varies(error, share) && !at_bound {
        return Err(NO_VARIATION);
    }
    let interval = wilson_of_share(share, effective_samples(&shares, share, f64::INFINITY));
    Ok(Interval {
        low: low + interval.low * (high - low),
        high: low + interval.high * (high - low),
    })
}

const NO_VARIATION: MeasureError = MeasureError::NoVariation { what: "documents" };

/// The documents whose whole is not 0, so many at least.
fn counted(documents: &[Tally], needed: usize) -> Result<Vec<Tally>> {
    let counted: Vec<Tally> = documents
        .iter()
        .copied()
        .filter(|document| document.whole > 0.0)
        .collect();
    require_count("documents", counted.len(), needed)?;
    Ok(counted)
}

/// The 95% interval of the mean over training runs: mean ± t · s / √runs, t the 97.5% quantile of Student's t with runs − 1
/// degrees of freedom, s the sample standard deviation of the runs' values.
///
/// The runs (seeds) are the units: each value is already an average over its run's documents, so the spread of the values holds
/// what documents and runs contribute, as far as the runs' documents were drawn anew. Two runs reach 12.7, three 4.3, five 2.8
/// standard errors. In the unit of the values; `bounds` are the least and the greatest value that there can be (0 and 1 for a
/// rate), and the ends are held to them. Source: Student 1908.
///
/// # Errors
/// With fewer than [`MIN_RUNS`] values, or one that is not finite; [`MeasureError::NoVariation`] where all are equal.
pub fn over_runs(values: &[f64], bounds: Option<(f64, f64)>) -> Result<Interval> {
    require_count("training runs", values.len(), MIN_RUNS)?;
    values
        .iter()
        .try_for_each(|&value| require_finite("value of a training run", value))?;
    let runs = values.len() as f64;
    let mean = values.iter().sum::<f64>() / runs;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (runs - 1.0) / runs).sqrt();
    if !varies(error, mean) {
        return Err(MeasureError::NoVariation {
            what: "training runs",
        });
    }
    let reach = student_t_97_5(runs - 1.0) * error;
    let (low, high) = bounds.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    Ok(Interval {
        low: (mean - reach).max(low),
        high: (mean + reach).min(high),
    })
}

/// Whether a standard error is more than rounding beside its value.
fn varies(error: f64, value: f64) -> bool {
    error > ROUNDING * value.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(values: impl IntoIterator<Item = f64>) -> Vec<Tally> {
        values.into_iter().map(|value| Tally::new(value, 1.0)).collect()
    }

    #[test]
    fn many_documents_have_the_interval_of_the_normal_theory() {
        // 0 and 1 in turn, 400 times: ½ ± 1.96 · √(¼ · 400/399 / 400) = ½ ± .0491.
        let interval = mean_interval(&means((0..400).map(|index| f64::from(index % 2)))).unwrap();
        assert!((interval.low - 0.4509).abs() < 0.004, "{interval:?}");
        assert!((interval.high - 0.5491).abs() < 0.004, "{interval:?}");
    }

    #[test]
    fn a_skewed_mean_reaches_further_to_the_side_of_its_tail() {
        let interval = mean_interval(&means((1..=12).map(|index| f64::from(index * index * index)))).unwrap();
        // 12 · 13²· 12 / 4 / 12: the sum of the first twelve cubes is 78² = 6084, their mean 507.
        assert!(interval.contains(507.0));
        assert!(
            interval.high - 507.0 > 1.3 * (507.0 - interval.low),
            "{interval:?}"
        );
    }

    #[test]
    fn equal_ratios_of_documents_of_different_lengths_do_not_vary() {
        let documents: Vec<Tally> = (1..=20)
            .map(|tokens| Tally::new(0.3 * f64::from(tokens), tokens.into()))
            .collect();
        assert_eq!(
            mean_interval(&documents),
            Err(MeasureError::NoVariation { what: "documents" })
        );
        // A document without tokens neither counts nor harms.
        let mut documents = means((0..12).map(f64::from));
        let interval = mean_interval(&documents);
        documents.push(Tally::new(0.0, 0.0));
        assert_eq!(mean_interval(&documents), interval);
        assert!(mean_interval(&means([1.0, 2.0])).is_err());
        assert!(mean_interval(&means((0..12).map(f64::from).chain([f64::NAN]))).is_err());
    }

    #[test]
    fn too_few_documents_that_differ_have_no_interval() {
        // Three of 20 differ: .85²⁰ = 3.9% of resamples hold none of them; four: .8²⁰ = 1.2%.
        let documents = |differing: usize| means((0..20).map(|index| f64::from(u8::from(index < differing))));
        assert!(matches!(
            mean_interval(&documents(3)),
            Err(MeasureError::NoVariation { .. })
        ));
        assert!(mean_interval(&documents(4)).unwrap().contains(0.2));
    }

    #[test]
    fn bounded_means_have_wilsons_interval_at_their_effective_number() {
        // 20 values, half .4, half .6: V = 20/19 · .01/20 = 1/1900, ¼/V = 475, times (1.959964/2.093024)² = .876898: 416.53.
        let documents = means((0..20).map(|index| if index % 2 == 0 { 0.4 } else { 0.6 }));
        let found = bounded_mean_interval(&documents, (0.0, 1.0)).unwrap();
        let reach = 1.959_964 / (416.527_f64 + 3.841_459).sqrt() / 2.0;
        assert!(
            (found.low - (0.5 - reach)).abs() < 1e-5 && (found.high - (0.5 + reach)).abs() < 1e-5,
            "{found:?}"
        );
        // The same as a cosine between −1 and 1.
        let cosines = means((0..20).map(|index| if index % 2 == 0 { -0.2 } else { 0.2 }));
        let scaled = bounded_mean_interval(&cosines, (-1.0, 1.0)).unwrap();
        assert!(
            (scaled.low + 2.0 * reach).abs() < 1e-5 && (scaled.high - 2.0 * reach).abs() < 1e-5,
            "{scaled:?}"
        );
        // All on a bound: as many trials as documents. All agreed elsewhere: nothing is known.
        let zeros = bounded_mean_interval(&means([0.0; 20]), (0.0, 1.0)).unwrap();
        assert_eq!(zeros, crate::interval::wilson(0, 20).unwrap());
        assert_eq!(
            bounded_mean_interval(&means([0.3; 20]), (0.0, 1.0)),
            Err(MeasureError::NoVariation { what: "documents" })
        );
        assert!(bounded_mean_interval(&means([1.2; 20]), (0.0, 1.0)).is_err());
        assert!(bounded_mean_interval(&means([0.2; 20]), (1.0, 1.0)).is_err());
        assert!(bounded_mean_interval(&means([0.2; 14]), (0.0, 1.0)).is_err());
    }

    #[test]
    fn runs_have_students_interval() {
        // Mean 3, s = 1, standard error 1/√3, t with 2 degrees of freedom 4.302653.
        let interval = over_runs(&[2.0, 3.0, 4.0], None).unwrap();
        assert!(
            (interval.low - (3.0 - 4.302_653 / 3.0_f64.sqrt())).abs() < 1e-5,
            "{interval:?}"
        );
        assert!(
            (interval.high - (3.0 + 4.302_653 / 3.0_f64.sqrt())).abs() < 1e-5,
            "{interval:?}"
        );
        // Rates are held to 0 and 1: ½ ± 12.7 · .1.
        assert_eq!(
            over_runs(&[0.4, 0.6], Some((0.0, 1.0))),
            Ok(Interval { low: 0.0, high: 1.0 })
        );
        assert_eq!(
            over_runs(&[0.3, 0.3, 0.3], None),
            Err(MeasureError::NoVariation {
                what: "training runs"
            })
        );
        assert!(over_runs(&[0.3], None).is_err());
        assert!(over_runs(&[0.3, f64::NAN], None).is_err());
    }
}
