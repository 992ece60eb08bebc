//! Tests: how improbable is a difference if there is none?
//!
//! Every p-value here is one-sided, for "the first exceeds the second" or "better than guessing", between 0 and 1, and holds its level:
//! without an effect it is at most α with probability at most α. Where one sentence rests on several tests, [`holm`]
//! corrects them together.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::distribution::{binomial_upper_tail, gamma_upper_tail, ln_binomial, normal_upper_tail};
use crate::error::{MeasureError, Result, require, require_count, require_scores, require_share};
use crate::interval::{MIN_RESAMPLES, Tally, require_parts_within_wholes};

/// Documents that differ up to which [`paired_exceeds`] goes through all choices of signs: 2¹⁴ of them.
const MAX_ENUMERATED: usize = 14;

/// Steps up to which [`auc_exceeds`] counts all divisions into members and non-members.
const MAX_COUNTING_STEPS: usize = 10_000_000;

/// The p-value that the first of two rates on the same documents exceeds the second.
///
/// With one sample a document on either side it is McNemar's exact test: with b documents where only the first has a hit and c where
/// only the second has, P(X ≥ b), X binomial with b + c trials at ½. With several samples it is the sign-flip permutation test:
/// a document's difference is (rate₁ − rate₂) · ½(whole₁ + whole₂), and the p-value is the share of choices of signs with a sum at
/// least as large as the one found; all choices where at most 14 documents differ, else (1 + hits)/(1 + resamples) over
/// random ones (ChaCha8, seeded). A document without samples on one side has no difference. 1 where no document differs. However much the
/// samples of a document agree, the level holds: documents are the units.
///
/// Sources: McNemar 1947; Fisher 1935; Phipson and Smyth 2010 for (1 + hits).
///
/// # Errors
/// If a part is negative or exceeds its whole, there are no pairs, or signs are drawn and `resamples` is below
/// [`MIN_RESAMPLES`].
pub fn paired_exceeds(pairs: &[(Tally, Tally)], resamples: usize, seed: u64) -> Result<f64> {
    require_count("pairs", pairs.len(), 1)?;
    for &(first, second) in pairs {
        require_parts_within_wholes(&[first, second])?;
    }
    let one_sample = pairs
        .iter()
        .all(|(first, second)| [first, second].into_iter().all(is_one_sample));
    let differences: Vec<f64> = pairs
        .iter()
        .filter(|(first, second)| first.whole > 0.0 && second.whole > 0.0)
        .map(|(first, second)| {
            (first.part / first.whole - second.part / second.whole) * f64::midpoint(first.whole, second.whole)
        })
        .filter(|difference| *difference != 0.0)
        .collect();
    if one_sample {
        let for_first = differences.iter().filter(|difference| **difference > 0.0).count();
        return Ok(binomial_upper_tail(
            for_first as u64,
            differences.len() as u64,
            0.5,
        ));
    }
    sign_flip(&differences, resamples, seed)
}

fn is_one_sample(tally: &Tally) -> bool {
    tally.whole == 1.0 && (tally.part == 0.0 || tally.part == 1.0)
}

fn sign_flip(differences: &[f64], resamples: usize, seed: u64) -> Result<f64> {
    let found: f64 = differences.iter().sum();
    // Sums that are equal in exact arithmetic must count as equal.
    let rounding = 1e-9 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let reaches = |sum: f64| sum >= found - rounding;
    if differences.len() <= MAX_ENUMERATED {
        let choices = 1_u32 << differences.len();
        let hits = (0..choices)
            .filter(|choice| {
                let signed = differences.iter().enumerate().map(|(index, difference)| {
                    if choice >> index & 1 == 1 {
                        -difference
                    } else {
                        *difference
                    }
                });
                reaches(signed.sum())
            })
            .count();
        return Ok(hits as f64 / f64::from(choices));
    }
    require_count("resamples", resamples, MIN_RESAMPLES)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let hits = (0..resamples)
        .filter(|_| {
            let signed = differences.iter().map(|difference| {
                if random.random::<bool>() {
                    -difference
                } else {
                    *difference
                }
            });
            reaches(signed.sum())
        })
        .count();
    Ok((1 + hits) as f64 / (1 + resamples) as f64)
}

/// The p-value that the first of two independent rates exceeds the second: Fisher's exact test, one-sided.
///
/// With k₁ of n₁ and k₂ of n₂: P(X ≥ k₁), X hypergeometric, the successes of n₁ drawn without replacement from n₁ + n₂ trials with
/// k₁ + k₂ successes. One trial a document. Source: Fisher 1935.
///
/// # Errors
/// If either has no trials, or fewer than successes.
pub fn exceeds_p_value(
    (first_successes, first_trials): (u64, u64),
    (second_successes, second_trials): (u64, u64),
) -> Result<f64> {
    for (successes, trials) in [(first_successes, first_trials), (second_successes, second_trials)] {
        if trials == 0 || successes > trials {
            return Err(MeasureError::TooFew {
                what: "trials",
                needed: successes.max(1) as usize,
                found: trials as usize,
            });
        }
    }
    let (successes, trials) = (first_successes + second_successes, first_trials + second_trials);
    let all = ln_binomial(trials, successes);
    let most = successes.min(first_trials);
    let tail: f64 = (first_successes..=most)
        .filter(|drawn| successes - drawn <= second_trials)
        .map(|drawn| {
            (ln_binomial(first_trials, drawn) + ln_binomial(second_trials, successes - drawn) - all).exp()
        })
        .sum();
    Ok(tail.min(1.0))
}

/// Holm's adjusted p-values, in the order given: each may be compared with α, and the probability of any false claim among them is
/// at most α.
///
/// The i-th smallest of m is max over j ≤ i of (m − j + 1) p₍ⱼ₎, at most 1. Holds whatever the tests have in common. Source:
/// Holm 1979.
///
/// # Errors
/// If a p-value is not between 0 and 1.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>> {
    p_values
        .iter()
        .try_for_each(|&p_value| require_share("p_value", p_value))?;
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (place, index) in order.into_iter().enumerate() {
        let multiplied = p_values[index] * (p_values.len() - place) as f64;
        largest = largest.max(multiplied).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// The p-value that members have lower scores than non-members, an [`auc`](crate::membership::auc) over ½: the Mann–Whitney test,
/// one-sided.
///
/// Exact where it can be counted in ten million steps (2 · (documents · members)² at most: 33 a side, 4 against 550): the share of
/// all divisions of these scores into sides of these sizes that have an AUC at least as large, ties included. Else the normal
/// approximation with the variance corrected for ties and a continuity correction. Sources: Mann and Whitney 1947; ties:
/// Lehmann 1975.
///
/// # Errors
/// If either side is empty or holds a NaN.
pub fn auc_exceeds(members: &[f64], non_members: &[f64]) -> Result<f64> {
    require_scores("members", members)?;
    require_scores("non_members", non_members)?;
    // −0 and 0 are one score.
    let mut scores: Vec<(f64, bool)> = members
        .iter()
        .map(|&score| (score + 0.0, true))
        .chain(non_members.iter().map(|&score| (score + 0.0, false)))
        .collect();
    scores.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut doubled_ranks = Vec::with_capacity(scores.len());
    let (mut rank_sum, mut tie_term) = (0, 0.0);
    for ties in scores.chunk_by(|left, right| left.0 == right.0) {
        let before = doubled_ranks.len();
        // Twice the mean of ranks before + 1 to before + ties.
        let doubled_rank = 2 * before + ties.len() + 1;
        doubled_ranks.extend(std::iter::repeat_n(doubled_rank, ties.len()));
        rank_sum += doubled_rank * ties.iter().filter(|(_, member)| *member).count();
        tie_term += (ties.len() as f64).powi(3) - ties.len() as f64;
    }
    let (m, n) = (members.len() as f64, non_members.len() as f64);
    let steps = scores
        .len()
        .saturating_mul(members.len())
        .saturating_pow(2)
        .saturating_mul(2);
    if steps <= MAX_COUNTING_STEPS {
        return Ok(share_of_low_rank_sums(&doubled_ranks, members.len(), rank_sum));
    }
    let total = m + n;
    let variance = m * n / 12.0 * (total + 1.0 - tie_term / (total * (total - 1.0)));
    if variance <= 0.0 {
        return Ok(1.0);
    }
    let below_expected = m * (total + 1.0) / 2.0 - rank_sum as f64 / 2.0;
    Ok(normal_upper_tail((below_expected - 0.5) / variance.sqrt()))
}

/// The share of all choices of so many ranks whose sum is at most this one.
fn share_of_low_rank_sums(ranks: &[usize], chosen: usize, sum: usize) -> f64 {
    // ways[count][total]: how many choices of `count` ranks come to `total`; totals over `sum` are counted together.
    let mut ways = vec![vec![0.0; sum + 2]; chosen + 1];
    ways[0][0] = 1.0;
    for (seen, &rank) in ranks.iter().enumerate() {
        for count in (1..=chosen.min(seen + 1)).rev() {
            let (fewer, these) = ways.split_at_mut(count);
            for (total, &choices) in fewer[count - 1].iter().enumerate() {
                these[0][(total + rank).min(sum + 1)] += choices;
            }
        }
    }
    let low: f64 = ways[chosen][..=sum].iter().sum();
    low / (low + ways[chosen][sum + 1])
}

/// The p-value that canaries are exposed: Fisher's combination of their ranks, corrected for the references that they share.
///
/// Without an effect a canary's rank among its references is uniform, and rank/(R + 1) = 2^(−exposure) is its p-value, R the number of
/// references ([`exposure`](crate::exposure::exposure)). Fisher's statistic 2 ln 2 Σ exposure then has mean 2m for m canaries. The
/// canaries are ranked among the same references, so their ranks hang together, and its variance is 4m(1 + m/R), not 4m. So the
/// statistic ÷ (1 + m/R) is held against χ² with 2m/(1 + m/R) degrees of freedom (Brown 1975). Ties have mean ranks, which
/// moves exposures towards 1 bit: less than chance at the top. Canaries of several formats, each with references of its own: give the
/// smallest number of references, which errs to the safe side.
///
/// # Errors
/// If there are no canaries or references, or an exposure is not between 0 and log₂(references + 1).
pub fn exposure_exceeds(exposures_bits: &[f64], references: usize) -> Result<f64> {
    require_count("exposures_bits", exposures_bits.len(), 1)?;
    let highest = crate::exposure::highest_exposure(references)?;
    for &bits in exposures_bits {
        require(
            (-1e-9..=highest + 1e-9).contains(&bits),
            "exposure",
            "between 0 and log2(references + 1)",
            bits,
        )?;
    }
    let canaries = exposures_bits.len() as f64;
    let nats = std::f64::consts::LN_2 * exposures_bits.iter().sum::<f64>();
    let inflation = 1.0 + canaries / references as f64;
    Ok(gamma_upper_tail(canaries / inflation, nats / inflation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: Result<f64>, expected: f64) {
        let found = found.unwrap();
        assert!(
            (found - expected).abs() < 1e-10,
            "expected {expected}, found {found}"
        );
    }

    fn pair(first: f64, second: f64, samples: f64) -> (Tally, Tally) {
        (Tally::new(first, samples), Tally::new(second, samples))
    }

    #[test]
    fn one_sample_a_document_is_mcnemars_exact_test() {
        let pairs = |first: usize, second: usize, neither: usize| {
            let mut pairs = vec![pair(1.0, 0.0, 1.0); first];
            pairs.extend(vec![pair(0.0, 1.0, 1.0); second]);
            pairs.extend(vec![pair(0.0, 0.0, 1.0); neither]);
            pairs
        };
        // P(X ≥ 5 of 6) = (6 + 1) / 64; P(X ≥ 3 of 3) = 1/8; nothing discordant: 1.
        assert_close(paired_exceeds(&pairs(5, 1, 9), 0, 0), 7.0 / 64.0);
        assert_close(paired_exceeds(&pairs(3, 0, 0), 0, 0), 0.125);
        assert_close(paired_exceeds(&pairs(0, 3, 4), 0, 0), 1.0);
        assert_close(paired_exceeds(&pairs(0, 0, 4), 0, 0), 1.0);
        assert!(paired_exceeds(&[], 0, 0).is_err());
    }

    #[test]
    fn several_samples_flip_signs_of_documents() {
        // Differences 4, 2, −1: sums at least 5 of 4±2±1 …: 7, 5 of eight choices.
        let pairs = [
            pair(4.0, 0.0, 5.0),
            pair(3.0, 1.0, 5.0),
            pair(0.0, 1.0, 5.0),
            pair(2.0, 2.0, 5.0),
        ];
        assert_close(paired_exceeds(&pairs, 0, 0), 2.0 / 8.0);
        // A thousand samples of one document that agree are one sign.
        assert_close(paired_exceeds(&[pair(1000.0, 0.0, 1000.0)], 0, 0), 0.5);
        // No samples on one side: no difference.
        assert_close(
            paired_exceeds(&[(Tally::new(3.0, 5.0), Tally::new(0.0, 0.0))], 0, 0),
            1.0,
        );
        // Twenty equal differences of one sign: 1 of 2²⁰, so no random choice reaches it.
        let many = vec![pair(2.0, 1.0, 5.0); 20];
        assert_close(paired_exceeds(&many, 999, 1), 0.001);
        assert_eq!(paired_exceeds(&many, 999, 1), paired_exceeds(&many, 999, 1));
        assert!(paired_exceeds(&many, 10, 1).is_err());
        assert!(paired_exceeds(&[pair(6.0, 0.0, 5.0)], 99, 0).is_err());
    }

    #[test]
    fn independent_rates_have_fishers_test() {
        // Tea: 3 of 4 against 1 of 4: (16 + 1) / 70.
        assert_close(exceeds_p_value((3, 4), (1, 4)), 17.0 / 70.0);
        assert_close(exceeds_p_value((4, 4), (0, 4)), 1.0 / 70.0);
        assert_close(exceeds_p_value((0, 4), (4, 4)), 1.0);
        assert_close(exceeds_p_value((0, 9), (0, 3)), 1.0);
        // 2 of 2 against 1 of 3: C(2,2) C(3,1) / C(5,3).
        assert_close(exceeds_p_value((2, 2), (1, 3)), 0.3);
        assert!(exceeds_p_value((2, 1), (0, 1)).is_err());
        assert!(exceeds_p_value((0, 1), (0, 0)).is_err());
    }

    #[test]
    fn holm_multiplies_by_what_is_left() {
        // .01 · 4, .02 · 3 = .06, .03 · 2 = .06, .5 · 1.
        let found = holm(&[0.5, 0.01, 0.03, 0.02]).unwrap();
        for (found, expected) in found.iter().zip([0.5, 0.04, 0.06, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(holm(&[0.6, 0.7]), Ok(vec![1.0, 1.0]));
        assert_eq!(holm(&[]), Ok(vec![]));
        assert!(holm(&[f64::NAN]).is_err());
    }

    #[test]
    fn small_sides_have_the_exact_mann_whitney_test() {
        // Perfect separation of 3 and 3: 1 of 20; one exchange: 2 of 20; reversed: 1.
        assert_close(auc_exceeds(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.05);
        assert_close(auc_exceeds(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]), 0.1);
        assert_close(auc_exceeds(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]), 1.0);
        // Ties: of the six pairs of {1, 1, 2, 2} only {1, 1} is as low.
        assert_close(auc_exceeds(&[1.0, 1.0], &[2.0, 2.0]), 1.0 / 6.0);
        assert_close(auc_exceeds(&[1.0; 5], &[1.0; 7]), 1.0);
        assert_close(auc_exceeds(&[0.0], &[-0.0]), 1.0);
        assert!(auc_exceeds(&[], &[1.0]).is_err());
    }

    #[test]
    fn many_scores_have_the_normal_approximation() {
        // 200 against 200, every member just above its non-member but for a shift of 20 places: compared with z by hand.
        let members: Vec<f64> = (0..200).map(f64::from).collect();
        let others: Vec<f64> = (0..200).map(|index| f64::from(index) + 20.5).collect();
        // Pairs won: Σ over non-members of the members below: min(200, index + 21): Σ 21..=199 + 21 · 200 = 19690 + 4200.
        let won = f64::from((21..=199).sum::<i32>()) + 21.0 * 200.0;
        let z = (won - 20_000.0 - 0.5) / (200.0_f64 * 200.0 * 401.0 / 12.0).sqrt();
        assert_close(auc_exceeds(&members, &others), normal_upper_tail(z));
        assert_close(auc_exceeds(&[1.0; 200], &[1.0; 200]), 1.0);
    }

    #[test]
    fn exposures_are_combined() {
        // One canary with many references: 2^(−3) to within its correction; rank 1 of 8 among 2²⁰ − 1.
        let found = exposure_exceeds(&[3.0], (1 << 20) - 1).unwrap();
        assert!((found - 0.125).abs() < 1e-5, "{found}");
        // Two, −ln p = 4 ln 2 together: e^(−x)(1 + x) = (1 + 2.7726)/16.
        let found = exposure_exceeds(&[3.0, 1.0], (1 << 20) - 1).unwrap();
        assert!(
            (found - (1.0 + 4.0 * std::f64::consts::LN_2) / 16.0).abs() < 1e-5,
            "{found}"
        );
        // Shared references make the same exposures less telling.
        assert!(exposure_exceeds(&[5.0; 8], 40).unwrap() > exposure_exceeds(&[5.0; 8], 4_000).unwrap());
        assert!(exposure_exceeds(&[], 40).is_err());
        assert!(exposure_exceeds(&[f64::NAN], 40).is_err());
        assert!(exposure_exceeds(&[6.0], 40).is_err());
    }
}
