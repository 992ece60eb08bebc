use std::collections::HashMap;
use std::hash::Hash;

/// The longest n-gram that [`bleu`] counts.
const LONGEST_ORDER: usize = 4;

/// Sentence BLEU of a candidate against one reference, over n-grams of 1 to 4 tokens.
///
/// BLEU = min(1, exp(1 − r/c)) · (p₁ p₂ p₃ p₄)^¼, where c and r are the lengths of candidate and reference,
/// and pₙ is the clipped share of the candidate's n-grams that stand in the reference. For n ≥ 2 one is added
/// to both counts of the share (Lin and Och 2004), so that a short text without a common 4-gram does not
/// become 0 and equal texts stay at 1, however short. Tokens are the caller's: token ids for a
/// continuation, [`words`](super::words()) for text.
///
/// Between 0 and 1, without unit; not symmetric. 0 where no token is shared, so also where either side is
/// empty. Source: Papineni et al. 2002.
pub fn bleu<T: Eq + Hash>(candidate: &[T], reference: &[T]) -> f64 {
    let mut log_precisions = 0.0;
    for order in 1..=LONGEST_ORDER {
        let (matches, total) = clipped_matches(candidate, reference, order);
        if order == 1 && matches == 0 {
            return 0.0;
        }
        let added = usize::from(order > 1);
        log_precisions += ((matches + added) as f64 / (total + added) as f64).ln();
    }
    let log_brevity = (1.0 - reference.len() as f64 / candidate.len() as f64).min(0.0);
    (log_brevity + log_precisions / LONGEST_ORDER as f64).exp()
}

/// How many n-grams of the candidate find an unused equal in the reference, and how many there are.
fn clipped_matches<T: Eq + Hash>(candidate: &[T], reference: &[T], order: usize) -> (usize, usize) {
    let mut unused: HashMap<&[T], usize> = HashMap::new();
    for gram in reference.windows(order) {
        *unused.entry(gram).or_default() += 1;
    }
    let mut matches = 0;
    for gram in candidate.windows(order) {
        if let Some(count) = unused.get_mut(gram).filter(|count| **count > 0) {
            *count -= 1;
            matches += 1;
        }
    }
    (matches, candidate.windows(order).len())
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    #[test]
    fn bleu_follows_the_formula() {
        let cases = [
            // Matches 5/6, 3/5, 1/4, 0/3; smoothed 5/6 · 4/6 · 2/5 · 1/4 = 1/18; equal lengths.
            (
                "the cat sat on the mat",
                "the cat is on the mat",
                (1.0_f64 / 18.0).powf(0.25),
            ),
            // Clipping: of four "the" only two are in the reference: 2/4 · (1+0)/(1+3) · 1/3 · 1/2 = 1/48.
            ("the the the the", "the cat the mat", (1.0_f64 / 48.0).powf(0.25)),
            // All n-grams right, half as long as the reference: only the brevity penalty, exp(1 − 4/2).
            ("a b", "a b c d", (-1.0_f64).exp()),
            // Twice as long as the reference: 2/4 · (1+1)/(3+1) · 1/3 · 1/2 = 1/24, and no bonus for length.
            ("a b c d", "a b", (1.0_f64 / 24.0).powf(0.25)),
            ("a b c d e", "a b c d e", 1.0),
            ("a", "a", 1.0),
            ("a b", "c d", 0.0),
            ("", "a", 0.0),
            ("a", "", 0.0),
            ("", "", 0.0),
        ];
        for (candidate, reference, expected) in cases {
            let found = bleu(&words(candidate), &words(reference));
            assert!(
                (found - expected).abs() < 1e-12,
                "{candidate:?} {reference:?}: {found}"
            );
        }
    }

    #[test]
    fn token_ids_are_tokens_too() {
        assert!((bleu(&[464, 3797, 318], &[464, 3797, 318]) - 1.0).abs() < 1e-12);
    }
}
