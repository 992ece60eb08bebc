use std::ops::Range;

/// A run of tokens that occurs in two slices: `left[left_start..][..length] ==
/// right[right_start..][..length]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommonSubstring {
    /// 0-based start in the left slice.
    pub left_start: usize,
    /// 0-based start in the right slice.
    pub right_start: usize,
    /// Number of tokens; 0 if nothing is shared, and then both starts are 0.
    pub length: usize,
}

/// The longest run of consecutive tokens that occurs in both slices; of several the first of the left slice,
/// then the first of the right.
///
/// Takes time in proportion to the product of the lengths: it is for a generation against its own document.
/// Against a whole corpus use a suffix array.
pub fn longest_common_substring<T: Eq>(left: &[T], right: &[T]) -> CommonSubstring {
    let mut longest = CommonSubstring::default();
    // `lengths[j]` is the length of the common run that ends in the last token read of `left` and `right[j -
    // 1]`.
    let mut lengths = vec![0; right.len() + 1];
    for (left_index, left_token) in left.iter().enumerate() {
        let mut diagonal = 0;
        for (right_index, right_token) in right.iter().enumerate() {
            let length = if left_token == right_token {
                diagonal + 1
            } else {
                0
            };
            diagonal = std::mem::replace(&mut lengths[right_index + 1], length);
            if length > longest.length {
                longest = CommonSubstring {
                    left_start: left_index + 1 - length,
                    right_start: right_index + 1 - length,
                    length,
                };
            }
        }
    }
    longest
}

/// How many positions lie in at least one of the half-open spans: the matched characters of a generation,
/// each counted once however many passages it is part of.
///
/// Divided by the generation's length this is its copied share, and summed over generations a
/// [`Tally`](crate::Tally) of it. Empty and reversed spans cover nothing; 0 without spans.
pub fn covered_length(spans: &[Range<usize>]) -> usize {
    let mut spans: Vec<&Range<usize>> = spans.iter().collect();
    spans.sort_unstable_by_key(|span| span.start);
    let mut covered = 0;
    let mut reached = 0;
    for span in spans {
        covered += span.end.saturating_sub(span.start.max(reached));
        reached = reached.max(span.end);
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_run_is_found_where_it_first_occurs() {
        let cases = [
            ("xabcdy", "zzabcdzz", (1, 2, 4)),
            // "ab" and "cd" tie: the first of the left slice wins, at its first place in the right one.
            ("ab-cd", "cd+ab+ab", (0, 3, 2)),
            ("abc", "abc", (0, 0, 3)),
            ("abc", "xyz", (0, 0, 0)),
            ("", "abc", (0, 0, 0)),
        ];
        for (left, right, (left_start, right_start, length)) in cases {
            assert_eq!(
                longest_common_substring(left.as_bytes(), right.as_bytes()),
                CommonSubstring {
                    left_start,
                    right_start,
                    length
                },
                "{left:?} {right:?}"
            );
        }
    }

    #[test]
    fn overlapping_spans_count_once() {
        // 0–10 and 5–12 cover 12 positions, 20–25 five more, and 21–23 lies inside.
        assert_eq!(covered_length(&[5..12, 20..25, 0..10, 21..23]), 17);
        assert_eq!(covered_length(&[3..3, 9..9]), 0);
        assert_eq!(covered_length(&[]), 0);
    }
}
