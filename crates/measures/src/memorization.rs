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
/// 1 − k / L for a text of L tokens, where k is the smallest number of leading tokens after which every further
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

/// The most tokens in a row that are the model's first choice after all before them: greedy decoding from the beginning of such a run writes
/// the rest of it. Between 0 and the number of tokens.
pub fn longest_run(argmax_hits: &[bool]) -> usize {
    argmax_hits
        .split(|&hit| !hit)
        .map(<[bool]>::len)
        .max()
        .unwrap_or(0)
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

/// Exact memorization by place in the document: of its tokens in order, divided into `parts` runs as equal as can be, the share of
/// each run that is the model's first choice; `None` for a run without tokens.
///
/// Token t of L belongs to run ⌊t · parts / L⌋. Between 0 and 1. As measured along a document: this project's.
///
/// # Errors
/// If there are no tokens or no parts.
pub fn exact_memorization_by_place(argmax_hits: &[bool], parts: usize) -> Result<Vec<Option<f64>>> {
    require_count("argmax_hits", argmax_hits.len(), 1)?;
    require_count("parts", parts, 1)?;
    let mut runs = vec![(0_u32, 0_u32); parts];
    for (place, &hit) in argmax_hits.iter().enumerate() {
        let (hits, tokens) = &mut runs[place * parts / argmax_hits.len()];
        *hits += u32::from(hit);
        *tokens += 1;
    }
    let share = |(hits, tokens): (u32, u32)| (tokens > 0).then(|| f64::from(hits) / f64::from(tokens));
    Ok(runs.into_iter().map(share).collect())
}

/// The adversarial compression ratio: tokens of a text ÷ tokens of the shortest known prompt that makes the model give it, greedily.
///
/// Over 1 the text counts as memorized: the prompt says less than it. A search that found no shorter prompt proves nothing. Above 0,
/// without unit. Source: Schwarzschild et al. 2024.
///
/// # Errors
/// If the text or the prompt has no tokens.
pub fn compression_ratio(text_tokens: usize, prompt_tokens: usize) -> Result<f64> {
    require_count("text_tokens", text_tokens, 1)?;
    require_count("prompt_tokens", prompt_tokens, 1)?;
    Ok(text_tokens as f64 / prompt_tokens as f64)
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
    fn longest_run_counts_hits_in_a_row() {
        for (pattern, expected) in [
            ("", 0),
            ("-", 0),
            ("+", 1),
            ("-++-+++-+-", 3),
            ("++++-", 4),
            ("-++++", 4),
        ] {
            assert_eq!(longest_run(&hits(pattern)), expected, "{pattern}");
        }
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

    #[test]
    fn places_divide_a_document_evenly() {
        // Tokens 0 to 6 in three runs: ⌊3t/7⌋ is 0 for 0, 1, 2, then 1 for 3, 4 and 2 for 5, 6.
        let hits = [true, false, false, true, true, false, true];
        let third = 1.0 / 3.0;
        assert_eq!(
            exact_memorization_by_place(&hits, 3),
            Ok(vec![Some(third), Some(1.0), Some(0.5)])
        );
        // Of two tokens in three runs the last run has none: ⌊3 · 1 / 2⌋ is 1.
        assert_eq!(
            exact_memorization_by_place(&[true, false], 3),
            Ok(vec![Some(1.0), Some(0.0), None])
        );
        assert!(exact_memorization_by_place(&[], 3).is_err());
        assert!(exact_memorization_by_place(&hits, 0).is_err());
    }

    #[test]
    fn a_text_longer_than_its_prompt_is_compressed() {
        assert_eq!(compression_ratio(50, 8), Ok(6.25));
        assert_eq!(compression_ratio(4, 8), Ok(0.5));
        assert!(compression_ratio(4, 0).is_err());
    }
}
