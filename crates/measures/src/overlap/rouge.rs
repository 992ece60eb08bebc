use super::words::words;

/// ROUGE-L of a generation against a reference text: F1 over the longest common subsequence of [`words`].
///
/// With LCS the length of that subsequence, precision is LCS / words of the candidate, recall LCS / words of
/// the reference, and their harmonic mean is 2 · LCS / (words of both). Between 0 and 1, without unit,
/// symmetric; 0 where either text has no word. Source: Lin 2004, with β = 1 and the whole text as one
/// sequence.
pub fn rouge_l(candidate: &str, reference: &str) -> f64 {
    let (candidate, reference) = (words(candidate), words(reference));
    if candidate.is_empty() || reference.is_empty() {
        return 0.0;
    }
    let common = longest_common_subsequence(&candidate, &reference);
    2.0 * common as f64 / (candidate.len() + reference.len()) as f64
}

/// The length in tokens of the longest sequence that occurs in both slices in order, gaps allowed.
///
/// 0 if either is empty. Takes time in proportion to the product of the lengths.
pub fn longest_common_subsequence<T: Eq>(left: &[T], right: &[T]) -> usize {
    // `lengths[j]` is the answer for the part of `left` read so far and `right[..j]`.
    let mut lengths = vec![0; right.len() + 1];
    for left_token in left {
        let mut diagonal = 0;
        for (index, right_token) in right.iter().enumerate() {
            let above = lengths[index + 1];
            lengths[index + 1] = if left_token == right_token {
                diagonal + 1
            } else {
                above.max(lengths[index])
            };
            diagonal = above;
        }
    }
    lengths[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rouge_l_is_f1_over_the_longest_common_subsequence() {
        let cases = [
            // Lin's example: three of four words in order, on both sides: 2·3/8.
            ("Police kill the gunman.", "police killed the gunman", 0.75),
            // LCS "a c d": precision 3/3, recall 3/5, F1 = 2·3/8.
            ("a c d", "a b c d e", 0.75),
            // The same words in reverse share a subsequence of one: 2·1/6.
            ("one two three", "three two one", 1.0 / 3.0),
            ("same text", "Same, text!", 1.0),
            ("", "", 0.0),
            ("word", "...", 0.0),
        ];
        for (candidate, reference, expected) in cases {
            assert_eq!(
                rouge_l(candidate, reference),
                expected,
                "{candidate:?} {reference:?}"
            );
        }
    }

    #[test]
    fn subsequence_may_skip_on_both_sides() {
        // The textbook pair: B C B A (or B D A B) is the longest, 4.
        assert_eq!(longest_common_subsequence(b"ABCBDAB", b"BDCABA"), 4);
        assert_eq!(longest_common_subsequence::<u8>(b"", b"A"), 0);
    }
}
