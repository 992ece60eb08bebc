//! Exact reproduction, read off one teacher-forced pass.
//!
//! The input is one truth value per token of the text that should come: was it the model's first choice
//! there, given everything before it?

use std::hash::Hash;

use crate::error::{Result, require_count};
use crate::overlap::bleu;

/// A continuation over this BLEU counts as approximately memorized (Ippolito et al. 2022).
pub const APPROXIMATE_MEMORIZATION_BLEU: f64 = 0.75;

/// Exact memorization: the share of tokens that are the model's first choice.
///
/// hits / tokens, between 0 and 1, without unit. Source: Tirumala et al. 2022.
///
/// # Errors
/// If there are no tokens.
pub fn exact_memorization(argmax_hits: &[bool]) -> Result<f64> {
    require_count("argmax_hits", argmax_hits.len(), 1)?;
    let hits = argmax_hits.iter().filter(|&&hit| hit).count();
    Ok(hits as f64 / argmax_hits.len() as f64)
}

/// Extraction strength: how little of a text the model must be given to finish it by itself.
///
/// 1 − k / L for a text of L tokens, where k is the least number of leading tokens after which every further
/// token is the model's first choice. Between 0 (even the last token is wrong: k = L) and 1 (nothing need be
/// given), without unit. Source: Carlini et al. 2021 as a ratio in Wang et al. 2025.
///
/// A program in circulation searches k only up to L − 1 and so gives 1/L to a text whose last token is
/// wrong; the formula gives 0.
///
/// # Errors
/// If there are no tokens.
pub fn extraction_strength(argmax_hits: &[bool]) -> Result<f64> {
    require_count("argmax_hits", argmax_hits.len(), 1)?;
    let finished_alone = argmax_hits.iter().rev().take_while(|&&hit| hit).count();
    Ok(finished_alone as f64 / argmax_hits.len() as f64)
}

/// Is the continuation extractable from the prefix before it? That is: does greedy decoding give all of it?
///
/// True iff every token is the model's first choice. One teacher-forced pass decides it, because as long as
/// greedy decoding is right it has read exactly the true tokens. With a prefix of k tokens and 50 tokens of
/// continuation this is the k-extractability of Carlini et al. 2023.
///
/// # Errors
/// If there are no tokens.
pub fn k_extractable(argmax_hits: &[bool]) -> Result<bool> {
    require_count("argmax_hits", argmax_hits.len(), 1)?;
    Ok(argmax_hits.iter().all(|&hit| hit))
}

/// Is a generated continuation approximately the true one? True iff their [`bleu`], with the smoothing
/// stated there, exceeds [`APPROXIMATE_MEMORIZATION_BLEU`].
///
/// The tokens compared are the caller's: the model's own token ids, in this project. False where either side
/// is empty. Source: Ippolito et al. 2022, who compare continuations of 50 tokens.
pub fn approximately_memorized<T: Eq + Hash>(generation: &[T], truth: &[T]) -> bool {
    bleu(generation, truth) > APPROXIMATE_MEMORIZATION_BLEU
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` is a hit, `-` a miss.
    fn hits(pattern: &str) -> Vec<bool> {
        pattern.chars().map(|character| character == '+').collect()
    }

    #[test]
    fn exact_memorization_counts_hits() {
        for (pattern, expected) in [("++-+", 0.75), ("----", 0.0), ("+", 1.0)] {
            assert_eq!(exact_memorization(&hits(pattern)), Ok(expected), "{pattern}");
        }
        assert!(exact_memorization(&[]).is_err());
    }

    #[test]
    fn extraction_strength_counts_the_tail() {
        let cases = [
            // k = 3 of 5 tokens must be given: 1 − 3/5.
            ("+--++", 0.4),
            // The last token is wrong: k = 5, and not 1/5.
            ("++++-", 0.0),
            ("+++++", 1.0),
            ("-", 0.0),
        ];
        for (pattern, expected) in cases {
            assert_eq!(extraction_strength(&hits(pattern)), Ok(expected), "{pattern}");
        }
        assert!(extraction_strength(&[]).is_err());
    }

    #[test]
    fn one_miss_stops_greedy_decoding() {
        for (pattern, expected) in [("+++", true), ("+-+", false), ("-", false)] {
            assert_eq!(k_extractable(&hits(pattern)), Ok(expected), "{pattern}");
        }
        assert!(k_extractable(&[]).is_err());
    }

    #[test]
    fn a_few_wrong_tokens_are_still_approximate() {
        let truth: Vec<u32> = (0..50).collect();
        let mut generation = truth.clone();
        // One wrong token in the middle of 50 costs n n-grams of order n:
        // 49/50 · 48/50 · 46/49 (+1: 45+1, 48+1) · 44/48 = .8096…, to the power ¼ = .949.
        generation[25] = 999;
        assert!(approximately_memorized(&generation, &truth));
        // Every fifth wrong: 40/50 · 31/50 · 21/49 · 11/48 = .0487, to the power ¼ = .470.
        (0..50).step_by(5).for_each(|index| generation[index] = 999);
        assert!(!approximately_memorized(&generation, &truth));
        assert!(!approximately_memorized(&[], &truth));
    }
}
