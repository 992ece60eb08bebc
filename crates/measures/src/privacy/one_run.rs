//! A lower bound on ε from one training run, by canaries that a coin put in or left out.

use crate::distribution::binomial_upper_tail;
use crate::error::{Result, require, require_count};

/// Canaries that [`canary_audit`] needs.
pub const MIN_CANARIES: usize = 20;

/// With what confidence an ε is bounded.
pub const CONFIDENCE: f64 = 0.95;

/// Fewest guesses that a bound is tried with.
const MIN_GUESSES: usize = 10;

/// The largest probability that somebody who sees what an (ε, δ)-differentially private program made gets so many guesses right.
///
/// A fair coin of its own decided for each of `canaries` whether it was used; of `guesses` of them it is guessed, the others are passed over.
/// With X binomial of `guesses` trials at e^ε / (1 + e^ε): P(X ≥ correct) + 2 · canaries · δ · max over i of (P(X ≥ correct − i) − P(X ≥ correct)) / i.
/// Between 0 and 1. Source: Steinke, Nasr and Jagielski 2023, theorem 5.2.
///
/// # Errors
/// If there are more guesses than canaries or more right than guessed, ε is below 0, or δ not between 0 and 1.
pub fn canary_p_value(
    canaries: usize,
    guesses: usize,
    correct: usize,
    epsilon: f64,
    delta: f64,
) -> Result<f64> {
    require_count("canaries", canaries, guesses)?;
    require_count("guesses", guesses, correct)?;
    require(epsilon >= 0.0, "epsilon", "a number of at least 0", epsilon)?;
    require(
        (0.0..=1.0).contains(&delta),
        "delta",
        "a number between 0 and 1",
        delta,
    )?;
    let right = 1.0 / (1.0 + (-epsilon).exp());
    let tail = |successes: usize| binomial_upper_tail(successes as u64, guesses as u64, right);
    let reached = tail(correct);
    let steepest = (1..=correct)
        .map(|fewer| (tail(correct - fewer) - reached) / fewer as f64)
        .fold(0.0, f64::max);
    Ok((reached + 2.0 * canaries as f64 * delta * steepest).min(1.0))
}

/// The largest ε that so many right guesses rule out: below it they would have a [`canary_p_value`] of at most `level`.
///
/// 0 and up, in nats; 0 where they rule out nothing. To a relative 1e-12.
///
/// # Errors
/// Those of [`canary_p_value`].
pub fn canary_epsilon(
    canaries: usize,
    guesses: usize,
    correct: usize,
    delta: f64,
    level: f64,
) -> Result<f64> {
    let is_ruled_out =
        |epsilon: f64| Ok(canary_p_value(canaries, guesses, correct, epsilon, delta)? <= level);
    if !is_ruled_out(0.0)? {
        return Ok(0.0);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while is_ruled_out(high)? {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-12 * high {
        let middle = f64::midpoint(low, high);
        if is_ruled_out(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// What guesses about canaries show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CanaryAudit {
    /// ε is at least this, with a confidence of [`CONFIDENCE`].
    pub epsilon: f64,
    /// Canaries that were guessed about for it.
    pub guesses: usize,
    /// Right guesses among them.
    pub correct: usize,
    /// All canaries.
    pub canaries: usize,
    /// The most that could have been shown: by the best number of guesses, all of them right.
    pub highest: f64,
}

/// A lower bound on ε, at this δ, from the scores of canaries, lower = more likely used.
///
/// Each canary comes with whether a fair coin of its own put it in. Half of the guesses are "used", for the lowest scores, half "not
/// used", for the highest; guesses are tried for all canaries, a half of them, a quarter and so on down to 10, and the best bound is given, each at a level of 5% ÷
/// the number of tries (Bonferroni). Canaries must be in an order that owes nothing to the coins (that of their names): it decides
/// between equal scores.
///
/// # Errors
/// If there are fewer than [`MIN_CANARIES`], a score is NaN, or δ not between 0 and 1.
pub fn canary_audit(canaries: &[(f64, bool)], delta: f64) -> Result<CanaryAudit> {
    require_count("canaries", canaries.len(), MIN_CANARIES)?;
    for &(score, _) in canaries {
        require(!score.is_nan(), "score", "a number", score)?;
    }
    let mut ranked = canaries.to_vec();
    ranked.sort_by(|(first, _), (second, _)| first.total_cmp(second));
    let sides: Vec<usize> = std::iter::successors(Some(ranked.len() / 2), |side| Some(side / 2))
        .take_while(|side| 2 * side >= MIN_GUESSES)
        .collect();
    let level = (1.0 - CONFIDENCE) / sides.len() as f64;
    let (mut best, mut highest): (Option<CanaryAudit>, f64) = (None, 0.0);
    for side in sides {
        let (used, unused) = (&ranked[..side], &ranked[ranked.len() - side..]);
        let right = used.iter().filter(|(_, is_used)| *is_used).count()
            + unused.iter().filter(|(_, is_used)| !is_used).count();
        let bound = |correct| canary_epsilon(ranked.len(), 2 * side, correct, delta, level);
        highest = highest.max(bound(2 * side)?);
        let audit = CanaryAudit {
            epsilon: bound(right)?,
            guesses: 2 * side,
            correct: right,
            canaries: ranked.len(),
            highest,
        };
        if best.is_none_or(|best| audit.epsilon > best.epsilon) {
            best = Some(audit);
        }
    }
    best.map(|best| CanaryAudit { highest, ..best })
        .ok_or(crate::MeasureError::NoVariation { what: "canaries" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_by_hand() {
        // ε = 0: a coin. Three of three: ⅛. Two of three: 4/8.
        assert!((canary_p_value(3, 3, 3, 0.0, 0.0).unwrap() - 0.125).abs() < 1e-12);
        assert!((canary_p_value(3, 3, 2, 0.0, 0.0).unwrap() - 0.5).abs() < 1e-12);
        // ε = ln 3: right with ¾. Three of three: 27/64.
        assert!((canary_p_value(3, 3, 3, 3.0_f64.ln(), 0.0).unwrap() - 27.0 / 64.0).abs() < 1e-12);
        // δ = 0.01: P(X ≥ 3 − i) − P(X ≥ 3) is 3/8, 6/8, 7/8: by i 0.375, 0.375, 0.29. ⅛ + 2 · 3 · 0.01 · 0.375.
        assert!((canary_p_value(3, 3, 3, 0.0, 0.01).unwrap() - (0.125 + 0.0225)).abs() < 1e-12);
        assert!(canary_p_value(3, 4, 3, 0.0, 0.0).is_err());
        assert!(canary_p_value(4, 3, 4, 0.0, 0.0).is_err());
        assert!(canary_p_value(4, 3, 2, f64::NAN, 0.0).is_err());
    }

    /// Bounds worked out with scipy's binomial distribution from the theorem.
    #[test]
    fn bounds_are_those_of_the_theorem() {
        let cases = [
            (100, 100, 80, 1e-5, 0.05, 0.958_086),
            (1000, 200, 190, 1e-5, 0.05, 2.393_618),
            (256, 64, 64, 0.0, 0.01, 2.595_510),
            (256, 256, 140, 1e-5, 0.05, 0.0),
            (40, 40, 40, 1e-5, 0.016_666_7, 2.225_696),
        ];
        for (canaries, guesses, correct, delta, level, expected) in cases {
            let found = canary_epsilon(canaries, guesses, correct, delta, level).unwrap();
            assert!(
                (found - expected).abs() < 1e-4,
                "{canaries} {guesses} {correct}: {found}"
            );
        }
        // Without mistakes and δ, the level is the probability of that many right guesses: e^ε / (1 + e^ε) = level^(1/guesses).
        let right: f64 = 0.05_f64.powf(1.0 / 50.0);
        let expected = (right / (1.0 - right)).ln();
        assert!((canary_epsilon(50, 50, 50, 0.0, 0.05).unwrap() - expected).abs() < 1e-4);
    }

    #[test]
    fn an_audit_guesses_at_both_ends() {
        // Forty canaries; the ten likeliest were used, the ten least likely not, between them it is as the coin fell.
        let canaries: Vec<(f64, bool)> = (0..40)
            .map(|rank| {
                let is_used = if rank < 10 {
                    true
                } else if rank < 30 {
                    rank % 2 == 0
                } else {
                    false
                };
                (f64::from(rank), is_used)
            })
            .collect();
        let audit = canary_audit(&canaries, 0.0).unwrap();
        assert_eq!((audit.guesses, audit.correct), (20, 20));
        // Sides of 20, 10 and 5 were tried.
        let expected = canary_epsilon(40, 20, 20, 0.0, 0.05 / 3.0).unwrap();
        assert_eq!(audit.epsilon, expected);
        // With all of forty right more would have been shown.
        assert_eq!(
            audit.highest,
            canary_epsilon(40, 40, 40, 0.0, 0.05 / 3.0).unwrap()
        );

        let reversed: Vec<(f64, bool)> = canaries.iter().map(|&(score, used)| (score, !used)).collect();
        assert_eq!(canary_audit(&reversed, 0.0).unwrap().epsilon, 0.0);
        assert!(canary_audit(&canaries[..19], 0.0).is_err());
        assert!(canary_audit(&vec![(f64::NAN, true); 40], 0.0).is_err());
    }

    /// Equal scores are ordered by their names alone, which owe nothing to the coins: nothing is learned from them.
    #[test]
    fn equal_scores_show_nothing() {
        let canaries: Vec<(f64, bool)> = (0..200).map(|number| (1.0, number * 7919 % 13 < 6)).collect();
        assert_eq!(canary_audit(&canaries, 1e-5).unwrap().epsilon, 0.0);
    }
}
