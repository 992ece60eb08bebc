//! Intervals of one rate: of documents, and of several samples a document.

use super::wilson::rate;
use super::{CONFIDENCE_95, Interval, Tally, ratio, wilson_of_share};
use crate::distribution::{binomial_mid_p_upper_tail, student_t_97_5};
use crate::error::{Result, require, require_count};

/// Trials that [`binomial_mid_p`] needs: 10 trials cover 96.7% on average over rates from 2 to 98%, fewer cover over 97% (five
/// 97.8%, one 99.8%).
pub const MIN_TRIALS_MID_P: u64 = 10;

/// Documents that [`clustered_rate`] needs where they have several samples.
///
/// Coverage at 10 documents, rates from 2 to 98%, correlation of a document's samples from .01 to .95: 95 to 98% with 2 samples a
/// document, 95 to 97% with 5, 94 to 97% with 10, 92 to 96% with 50. Rates under 10% with correlations over .3, where most hits come from few documents: 94
/// to 97% with up to 10 samples a document, but 85 to 92% with 50.
pub const MIN_DOCUMENTS_CLUSTERED_RATE: usize = 10;

/// The exact binomial interval with the mid-P correction, 95%, of the rate successes / trials.
///
/// The lower end is the rate r with P(X > k | r) + ½ P(X = k | r) = 2.5%, the upper end the one with
/// P(X < k | r) + ½ P(X = k | r) = 2.5%, X binomial with n trials. With no success the lower end is 0, with n the upper
/// end is 1; the other end stays two-sided, at 2.5%: 1 − 0.05^(1/n) for no success. Within 0 and 1 and never of
/// width 0. Without the correction (Clopper and Pearson 1934) few trials cover 97 to 99%. Source: Lancaster 1961.
///
/// # Errors
/// With fewer than [`MIN_TRIALS_MID_P`] trials, or fewer than successes.
pub fn binomial_mid_p(successes: u64, trials: u64) -> Result<Interval> {
    rate(successes, trials)?;
    require_count("trials", trials as usize, MIN_TRIALS_MID_P as usize)?;
    Ok(mid_p_interval(successes, trials))
}

fn mid_p_interval(successes: u64, trials: u64) -> Interval {
    let share = successes as f64 / trials as f64;
    // The tail grows with the rate. 60 halvings leave 1e-18.
    let rate_with_tail = |tail: f64| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if binomial_mid_p_upper_tail(successes, trials, middle) < tail {
                low = middle;
            } else {
                high = middle;
            }
        }
        f64::midpoint(low, high)
    };
    Interval {
        low: if successes == 0 {
            0.0
        } else {
            rate_with_tail(0.025).min(share)
        },
        high: if successes == trials {
            1.0
        } else {
            rate_with_tail(0.975).max(share)
        },
    }
}

/// The 95% interval of a rate with several samples a document: Wilson's at the effective number of samples.
///
/// The rate is p = Σ part / Σ whole over d documents with samples. The variance of that ratio, documents as clusters, is
/// V = d/(d − 1) · Σ (part − p · whole)² / (Σ whole)², so the samples are worth p(1 − p)/V independent ones. That number is
/// multiplied by (1.96/t)², t the 97.5% quantile of Student's t with d − 1 degrees of freedom, because V is estimated from d
/// documents; then it is held between the effective number of documents, (Σ whole)² / Σ whole², which it would be
/// if all samples of a document agreed, and Σ whole. At a rate of 0 or 1 it is the effective number of documents.
/// With one sample a document the interval is [`wilson`](super::wilson()).
///
/// Within 0 and 1, never of width 0. Documents without samples do not count. Sources: Korn and Graubard 1998; Dean and
/// Pagano 2015.
///
/// # Errors
/// As [`ratio`]; also if a part is negative or exceeds its whole, or there are several samples a document and fewer than
/// [`MIN_DOCUMENTS_CLUSTERED_RATE`] documents.
pub fn clustered_rate(documents: &[Tally]) -> Result<Interval> {
    let rate = ratio(documents)?;
    require_parts_within_wholes(documents)?;
    let sampled: Vec<Tally> = documents
        .iter()
        .copied()
        .filter(|document| document.whole > 0.0)
        .collect();
    if sampled.iter().all(|document| document.whole == 1.0) {
        return Ok(wilson_of_share(rate, sampled.len() as f64));
    }
    require_count("documents", sampled.len(), MIN_DOCUMENTS_CLUSTERED_RATE)?;
    Ok(wilson_of_share(
        rate,
        effective_samples(&sampled, rate, sum_of_wholes(&sampled)),
    ))
}

/// How many independent samples those of the documents are worth, held between the effective number of documents and `most`; see
/// [`clustered_rate`]. Wholes above 0, two documents at least.
pub(super) fn effective_samples(documents: &[Tally], rate: f64, most: f64) -> f64 {
    let effective_documents = effective_documents(documents);
    let binomial_variance = rate * (1.0 - rate);
    if binomial_variance == 0.0 {
        return effective_documents;
    }
    let quantile = student_t_97_5(documents.len() as f64 - 1.0);
    let effective = binomial_variance / ratio_variance(documents, rate) * (CONFIDENCE_95 / quantile).powi(2);
    // A variance of 0 leaves infinity, which is held to the most. Wholes below 1 must not turn the ends round.
    effective.clamp(effective_documents, most.max(effective_documents))
}

/// The number of equally long documents that a mean weighted by these wholes is worth: (Σ whole)² / Σ whole² (Kish 1965).
pub(super) fn effective_documents(documents: &[Tally]) -> f64 {
    sum_of_wholes(documents).powi(2)
        / documents
            .iter()
            .map(|document| document.whole.powi(2))
            .sum::<f64>()
}

fn sum_of_wholes(documents: &[Tally]) -> f64 {
    documents.iter().map(|document| document.whole).sum()
}

/// The variance of Σ part / Σ whole with documents as clusters, by linearisation.
pub(super) fn ratio_variance(documents: &[Tally], ratio: f64) -> f64 {
    let count = documents.len() as f64;
    let squares: f64 = documents
        .iter()
        .map(|document| (document.part - ratio * document.whole).powi(2))
        .sum();
    count / (count - 1.0) * squares / sum_of_wholes(documents).powi(2)
}

pub(crate) fn require_parts_within_wholes(documents: &[Tally]) -> Result<()> {
    documents.iter().try_for_each(|document| {
        let within = (0.0..=document.whole).contains(&document.part);
        require(within, "part", "between 0 and its whole", document.part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::wilson;

    fn assert_close(found: Interval, low: f64, high: f64) {
        let close = (found.low - low).abs() < 1e-6 && (found.high - high).abs() < 1e-6;
        assert!(close, "expected {low} to {high}, found {found:?}");
    }

    #[test]
    fn mid_p_interval_solves_its_equations() {
        // Nothing in n: ½ (1 − r)ⁿ = .025, so r = 1 − .05^(1/n); of one trial .95.
        assert_close(mid_p_interval(0, 1), 0.0, 0.95);
        assert_close(binomial_mid_p(0, 10).unwrap(), 0.0, 1.0 - 0.05_f64.powf(0.1));
        assert_close(binomial_mid_p(10, 10).unwrap(), 0.05_f64.powf(0.1), 1.0);
        // One of two: r² + ½ · 2r(1 − r) = r, so r = .025; and by symmetry .975.
        assert_close(mid_p_interval(1, 2), 0.025, 0.975);
        assert!(binomial_mid_p(0, 0).is_err());
        assert!(binomial_mid_p(12, 11).is_err());
        assert!(binomial_mid_p(3, 9).is_err());
    }

    #[test]
    fn mid_p_interval_is_narrower_than_clopper_pearsons_and_holds_the_rate() {
        // Clopper and Pearson's for 4 of 10: .12155 to .73762.
        let interval = binomial_mid_p(4, 10).unwrap();
        assert!(interval.low > 0.12155 && interval.high < 0.73762, "{interval:?}");
        for (successes, trials) in [(1, 100_000), (50_000, 100_000), (99_999, 100_000), (7, 10)] {
            let interval = binomial_mid_p(successes, trials).unwrap();
            assert!(interval.contains(successes as f64 / trials as f64) && interval.width() > 0.0);
        }
    }

    #[test]
    fn one_sample_a_document_has_wilsons_interval() {
        let documents: Vec<Tally> = (0..40)
            .map(|index| Tally::new(f64::from(u8::from(index < 3)), 1.0))
            .collect();
        assert_eq!(clustered_rate(&documents), wilson(3, 40));
        assert_eq!(clustered_rate(&documents[..2]), wilson(2, 2));
    }

    #[test]
    fn samples_that_agree_count_as_one_document() {
        // Half of 10 documents always, half never: V = 10/9 · 10 · 2.5²·4/4 … = worth fewer than 10, held at 10.
        let documents: Vec<Tally> = (0..10)
            .map(|index| Tally::new(f64::from(index % 2) * 5.0, 5.0))
            .collect();
        assert_eq!(clustered_rate(&documents), wilson(5, 10));
        // None at all, or all: as many trials as documents.
        assert_eq!(clustered_rate(&[Tally::new(0.0, 7.0); 10]), wilson(0, 10));
        assert_eq!(clustered_rate(&[Tally::new(7.0, 7.0); 10]), wilson(10, 10));
    }

    #[test]
    fn documents_that_agree_count_with_all_their_samples() {
        // Every document gives 2 of 5: no variance between them, so 50 samples.
        assert_eq!(clustered_rate(&[Tally::new(2.0, 5.0); 10]), wilson(20, 50));
    }

    #[test]
    fn effective_samples_follow_the_spread_of_documents() {
        // Ten documents of 10 samples, half with 4, half with 6: p = ½, residuals ±1, V = 10/9 · 10 / 100² = 1/900. ¼ · 900 =
        // 225 samples, times (1.959964/2.262157)² = .750678: 168.9, held at the 100 there are.
        let documents: Vec<Tally> = (0..10)
            .map(|index| Tally::new(4.0 + f64::from(index % 2) * 2.0, 10.0))
            .collect();
        assert_eq!(clustered_rate(&documents), wilson(50, 100));
        // Half with 2, half with 8: residuals ±3, V = 1/100; 25 · .750678 = 18.76695 samples.
        let documents: Vec<Tally> = (0..10)
            .map(|index| Tally::new(2.0 + f64::from(index % 2) * 6.0, 10.0))
            .collect();
        let found = clustered_rate(&documents).unwrap();
        let reach = 1.959_964 / (18.766_95_f64 + 3.841_459).sqrt() / 2.0;
        assert_close(found, 0.5 - reach, 0.5 + reach);
    }

    #[test]
    fn documents_without_samples_do_not_count() {
        let mut documents = vec![Tally::new(0.0, 7.0); 10];
        documents.push(Tally::new(0.0, 0.0));
        assert_eq!(clustered_rate(&documents), wilson(0, 10));
        assert!(clustered_rate(&documents[2..]).is_err());
        assert!(clustered_rate(&[Tally::new(3.0, 2.0); 10]).is_err());
        assert!(clustered_rate(&[]).is_err());
    }
}
