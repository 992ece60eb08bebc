//! Intervals of a difference: of two independent figures, and of two on the same documents.

use super::rate::require_parts_within_wholes;
use super::{CONFIDENCE_95, Interval, Tally, mean_interval, ratio};
use crate::distribution::student_t_97_5;
use crate::error::{MeasureError, Result, require_count, require_same_length};

/// Documents that [`paired_difference`] needs.
///
/// Coverage at 15 documents: 96.9% with one sample a document, over all tables of four probabilities; 96.5% with 2 to 10 samples.
pub const MIN_DOCUMENTS_PAIRED: usize = 15;

/// The 95% interval of first − second, two figures measured independently, each with its 95% interval.
///
/// From d − √((p₁ − l₁)² + (u₂ − p₂)²) to d + √((u₁ − p₁)² + (p₂ − l₂)²), with p the figures, d = p₁ − p₂, and l, u the
/// ends of their intervals: the method of variance estimates recovery. With Wilson's intervals it is
/// [`newcombe_difference`](super::newcombe_difference). In the figures' unit. Source: Zou and Donner 2008.
pub fn mover_difference(first: (f64, Interval), second: (f64, Interval)) -> Interval {
    let ((first, around_first), (second, around_second)) = (first, second);
    let difference = first - second;
    Interval {
        low: difference - (first - around_first.low).hypot(around_second.high - second),
        high: difference + (around_first.high - first).hypot(second - around_second.low),
    }
}

/// The 95% interval of the difference of two rates on the same documents, first − second.
///
/// The adjusted interval of Bonett and Price at an effective number of pairs. For a document with rates a and b, a pair of one
/// sample of each side is discordant with probability a(1 − b) for the first and b(1 − a) for the second; over the documents these come
/// to q₁ and q₂ with q₁ − q₂ = d, the difference of the rates. With n pairs the interval is
/// d̃ ± 1.96 √((q̃₁ + q̃₂ − d̃²) / (n + 2)), q̃ = (n q + 1)/(n + 2), d̃ = q̃₁ − q̃₂, held to −1 and 1. With one sample
/// a document n is the number of documents, and this is the published interval. With several it is (q₁ + q₂ − d²)/V · (1.96/t)², held
/// between the numbers of documents and of samples (with parts that are no whole numbers, shares, only from below): V is the variance of the difference with documents as clusters (linearised where
/// wholes differ), t the 97.5% quantile of Student's t with documents − 1 degrees of freedom. Never of width 0. Documents without
/// samples on either side do not count.
///
/// Sources: Bonett and Price 2012; effective numbers as in [`clustered_rate`](super::clustered_rate).
///
/// # Errors
/// As [`ratio`] for either side; also if a part is negative or exceeds its whole, or there are fewer than
/// [`MIN_DOCUMENTS_PAIRED`] documents.
pub fn paired_difference(pairs: &[(Tally, Tally)]) -> Result<Interval> {
    let (first, second): (Vec<Tally>, Vec<Tally>) = pairs
        .iter()
        .copied()
        .filter(|(first, second)| first.whole > 0.0 || second.whole > 0.0)
        .unzip();
    let linearised = Linearised::of(&first, &second)?;
    require_parts_within_wholes(&first)?;
    require_parts_within_wholes(&second)?;
    require_count("documents", first.len(), MIN_DOCUMENTS_PAIRED)?;
    let documents = first.len() as f64;
    let difference = linearised.difference;
    let discordant = linearised.discordant.max(difference.abs());
    let (for_first, for_second) = (
        f64::midpoint(discordant, difference),
        f64::midpoint(discordant, -difference),
    );
    let one_sample = first.iter().chain(&second).all(|tally| tally.whole == 1.0);
    let pairs = if one_sample {
        documents
    } else {
        let quantile = student_t_97_5(documents - 1.0);
        let is_count = |tally: &Tally| tally.part.fract() == 0.0 && tally.whole.fract() == 0.0;
        // Shares (of characters) have no number of samples that would bound what they are worth.
        let most = if first.iter().chain(&second).all(is_count) {
            wholes(&first).min(wholes(&second)).max(documents)
        } else {
            f64::INFINITY
        };
        let largest = discordant - difference.powi(2);
        let effective = if largest > 0.0 {
            largest / linearised.variance * (CONFIDENCE_95 / quantile).powi(2)
        } else {
            documents
        };
        let effective = effective.clamp(documents, most);
        if effective.is_finite() {
            effective
        } else {
            documents
        }
    };
    let adjusted = |share: f64| (pairs * share + 1.0) / (pairs + 2.0);
    let centre = adjusted(for_first) - adjusted(for_second);
    let variance = adjusted(for_first) + adjusted(for_second) - centre.powi(2);
    let reach = CONFIDENCE_95 * (variance / (pairs + 2.0)).sqrt();
    Ok(Interval {
        low: (centre - reach).max(-1.0),
        high: (centre + reach).min(1.0),
    })
}

/// The 95% interval of the difference of two means on the same documents, first − second, values in any unit.
///
/// [`mean_interval`] of the documents' differences; where wholes differ, of the linearised differences (part₁ − r₁ whole₁)/Σ whole₁ −
/// (part₂ − r₂ whole₂)/Σ whole₂, r the ratio of each side.
///
/// # Errors
/// As [`ratio`] for either side and as [`mean_interval`].
pub fn paired_mean_difference(pairs: &[(Tally, Tally)]) -> Result<Interval> {
    let (first, second): (Vec<Tally>, Vec<Tally>) = pairs
        .iter()
        .copied()
        .filter(|(first, second)| first.whole > 0.0 || second.whole > 0.0)
        .unzip();
    let linearised = Linearised::of(&first, &second)?;
    let count = linearised.residuals.len() as f64;
    let differences: Vec<Tally> = linearised
        .residuals
        .iter()
        .map(|residual| Tally::new(linearised.difference + residual * count, 1.0))
        .collect();
    mean_interval(&differences).map_err(|error| match error {
        MeasureError::NoVariation { .. } => MeasureError::NoVariation {
            what: "differences of documents",
        },
        other => other,
    })
}

/// The difference of two ratios over the same documents, to first order in what each document contributes.
struct Linearised {
    /// First − second.
    difference: f64,
    /// What each document adds to the error of the difference.
    residuals: Vec<f64>,
    /// Variance of the difference, documents as clusters.
    variance: f64,
    /// Probability that a pair of samples, one of each side, is discordant.
    discordant: f64,
}

impl Linearised {
    fn of(first: &[Tally], second: &[Tally]) -> Result<Self> {
        require_same_length(("first", first.len()), ("second", second.len()))?;
        let (first_ratio, second_ratio) = (ratio(first)?, ratio(second)?);
        require_count("documents", first.len(), 2)?;
        let (first_sum, second_sum) = (wholes(first), wholes(second));
        let count = first.len() as f64;
        let pairs = || first.iter().zip(second);
        let residuals: Vec<f64> = pairs()
            .map(|(first, second)| {
                (first.part - first_ratio * first.whole) / first_sum
                    - (second.part - second_ratio * second.whole) / second_sum
            })
            .collect();
        let squares: f64 = residuals.iter().map(|residual| residual.powi(2)).sum();
        let own = |tally: &Tally| {
            if tally.whole > 0.0 {
                tally.part / tally.whole
            } else {
                0.0
            }
        };
        let discordant = pairs()
            .map(|(first, second)| {
                let (a, b) = (own(first), own(second));
                let weight = f64::midpoint(first.whole / first_sum, second.whole / second_sum);
                weight * (a * (1.0 - b) + b * (1.0 - a))
            })
            .sum();
        Ok(Self {
            difference: first_ratio - second_ratio,
            residuals,
            variance: count / (count - 1.0) * squares,
            discordant,
        })
    }
}

fn wholes(tallies: &[Tally]) -> f64 {
    tallies.iter().map(|tally| tally.whole).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::{newcombe_difference, wilson};

    fn assert_close(found: Interval, low: f64, high: f64) {
        let close = (found.low - low).abs() < 1e-5 && (found.high - high).abs() < 1e-5;
        assert!(close, "expected {low} to {high}, found {found:?}");
    }

    /// One sample a document: so many of each of (1, 1), (1, 0), (0, 1), (0, 0).
    fn table(counts: [usize; 4]) -> Vec<(Tally, Tally)> {
        let kinds = [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)];
        kinds
            .iter()
            .zip(counts)
            .flat_map(|(&(first, second), count)| {
                std::iter::repeat_n((Tally::new(first, 1.0), Tally::new(second, 1.0)), count)
            })
            .collect()
    }

    #[test]
    fn mover_with_wilsons_intervals_is_newcombes() {
        let first = (0.8, wilson(56, 70).unwrap());
        let second = (0.6, wilson(48, 80).unwrap());
        let expected = newcombe_difference((56, 70), (48, 80)).unwrap();
        assert_close(mover_difference(first, second), expected.low, expected.high);
    }

    #[test]
    fn one_sample_a_document_has_bonett_and_prices_interval() {
        // 6 and 1 discordant of 20: q̃ = 7/22 and 2/22, d̃ = 5/22, variance 9/22 − 25/484 = 173/484, over 22.
        let reach = 1.959_964 * (173.0_f64 / 484.0 / 22.0).sqrt();
        assert_close(
            paired_difference(&table([5, 6, 1, 8])).unwrap(),
            5.0 / 22.0 - reach,
            5.0 / 22.0 + reach,
        );
        // Nothing discordant of 20: ± 1.96 √(2/22/22).
        let reach = 1.959_964 * (2.0_f64 / 484.0).sqrt();
        assert_close(paired_difference(&table([8, 0, 0, 12])).unwrap(), -reach, reach);
        // All discordant of 20: q̃ = 21/22 and 1/22, d̃ = 20/22, variance 1 − 400/484.
        let reach = 1.959_964 * (84.0_f64 / 484.0 / 22.0).sqrt();
        assert_close(
            paired_difference(&table([0, 20, 0, 0])).unwrap(),
            20.0 / 22.0 - reach,
            1.0,
        );
    }

    #[test]
    fn samples_that_agree_count_as_one_document() {
        let single = table([5, 6, 1, 8]);
        let repeated: Vec<(Tally, Tally)> = single
            .iter()
            .map(|(first, second)| {
                (
                    Tally::new(first.part * 7.0, 7.0),
                    Tally::new(second.part * 7.0, 7.0),
                )
            })
            .collect();
        assert_eq!(paired_difference(&repeated), paired_difference(&single));
    }

    #[test]
    fn several_samples_narrow_the_interval_as_far_as_documents_agree() {
        // Every document 5 of 10 against 2 of 10: no variance between documents, 200 pairs, q₁ = ½ · .8 = .4, q₂ = .2 · ½ = .1.
        let pairs = [(Tally::new(5.0, 10.0), Tally::new(2.0, 10.0)); 20];
        let (q1, q2) = (81.0 / 202.0, 21.0 / 202.0);
        let reach = 1.959_964 * f64::sqrt((q1 + q2 - (q1 - q2) * (q1 - q2)) / 202.0);
        assert_close(
            paired_difference(&pairs).unwrap(),
            q1 - q2 - reach,
            q1 - q2 + reach,
        );
    }

    #[test]
    fn wholes_may_differ_and_be_missing() {
        let mut pairs = table([5, 6, 1, 8]);
        let expected = paired_difference(&pairs);
        pairs.push((Tally::new(0.0, 0.0), Tally::new(0.0, 0.0)));
        assert_eq!(paired_difference(&pairs), expected);
        assert!(paired_difference(&pairs[..5]).is_err());
        assert!(paired_difference(&[(Tally::new(3.0, 2.0), Tally::new(0.0, 1.0)); 20]).is_err());
        assert!(paired_difference(&[]).is_err());
    }

    #[test]
    fn paired_means_have_the_interval_of_their_differences() {
        let values: Vec<f64> = (0..15).map(|index| f64::from(index * 7 % 15)).collect();
        let pairs: Vec<(Tally, Tally)> = values
            .iter()
            .map(|&value| {
                (
                    Tally::new(100.0 + value, 1.0),
                    Tally::new(90.0 + 2.0 * value, 1.0),
                )
            })
            .collect();
        let differences: Vec<Tally> = values
            .iter()
            .map(|&value| Tally::new(10.0 - value, 1.0))
            .collect();
        let (found, expected) = (
            paired_mean_difference(&pairs).unwrap(),
            mean_interval(&differences).unwrap(),
        );
        assert_close(found, expected.low, expected.high);
        assert_eq!(
            paired_mean_difference(&[(Tally::new(3.0, 1.0), Tally::new(1.0, 1.0)); 12]),
            Err(MeasureError::NoVariation {
                what: "differences of documents"
            })
        );
    }
}
