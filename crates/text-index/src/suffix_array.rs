//! A suffix array: the positions of a text, in the order of the suffixes that begin there.
//!
//! All occurrences of a pattern are neighbours in that order, so binary search finds them (Manber
//! and Myers, "Suffix arrays", 1990). libsais sorts the suffixes in linear time.

use std::ops::Range;

use crate::IndexError;
use crate::section::Section;
use crate::symbol::{Filler, Symbol};

/// How many neighbours in suffix order share one entry of [`SuffixArray::first_in_block`].
pub(crate) const BLOCK: usize = 256;

/// Distance in suffix order of the suffixes whose keys are sampled.
pub(crate) const STEP: usize = 64;

pub(crate) struct SuffixArray<S> {
    pub(crate) text: Section<S>,
    /// Positions of `text`, in suffix order.
    pub(crate) positions: Section<i32>,
    /// The smallest of each [`BLOCK`] positions: the first occurrence of a frequent pattern without
    /// a walk over all of them.
    pub(crate) first_in_block: Section<i32>,
    /// [`Symbol::key`] of every [`STEP`]-th suffix. Side by side they cost binary search few cache
    /// misses, where each look at a suffix itself costs two.
    pub(crate) sampled_keys: Section<u128>,
}

impl<S: Symbol> SuffixArray<S> {
    /// `text` has at most [`libsais::LIBSAIS_I32_OUTPUT_MAXIMUM_SIZE`] symbols.
    pub(crate) fn build(mut text: Vec<S>) -> Result<Self, IndexError> {
        let positions = if text.is_empty() {
            Vec::new()
        } else {
            S::sort_suffixes(&mut text)?
        };
        let first_in_block: Vec<i32> = positions
            .chunks(BLOCK)
            .filter_map(|block| block.iter().min().copied())
            .collect();
        let sampled_keys: Vec<u128> = positions
            .iter()
            .step_by(STEP)
            .map(|&position| S::key(&text[position as usize..], Filler::Lowest))
            .collect();
        Ok(Self {
            text: text.into(),
            positions: positions.into(),
            first_in_block: first_in_block.into(),
            sampled_keys: sampled_keys.into(),
        })
    }

    /// Length of the longest prefix of `query` that occurs in the text.
    ///
    /// The search closes in on the place where `query` would be inserted; its longest prefix is
    /// shared with one of the two neighbours of that place. What both ends of the remaining
    /// interval share with `query`, everything between them shares too, and is not compared again.
    pub(crate) fn longest_prefix(&self, query: &[S]) -> usize {
        let (text, positions): (&[S], &[i32]) = (&self.text, &self.positions);
        let suffix = |rank: usize| &text[positions[rank] as usize..];

        let key = S::key(query, Filler::Lowest);
        let Range { start, end } = self.between_sampled_keys(key, key);
        let (mut low, mut high) = (start, end);
        let (mut shared_below, mut shared_above) = (0, 0);
        while low < high {
            let middle = low.midpoint(high);
            let known = shared_below.min(shared_above);
            let suffix = suffix(middle);
            let shared = known + common_prefix(&suffix[known..], &query[known..]);
            if suffix[shared..].first() < query[shared..].first() {
                (low, shared_below) = (middle + 1, shared);
            } else {
                (high, shared_above) = (middle, shared);
            }
        }
        // The neighbours outside of the sampled keys have not been looked at.
        if low == start && low > 0 {
            shared_below = common_prefix(suffix(low - 1), query);
        }
        if low == end && low < positions.len() {
            shared_above = common_prefix(suffix(low), query);
        }
        shared_below.max(shared_above)
    }

    /// The first position at which `pattern` occurs.
    pub(crate) fn first_position(&self, pattern: &[S]) -> Option<usize> {
        let ranks = self.ranks(pattern);
        let blocks = ranks.start.div_ceil(BLOCK)..ranks.end / BLOCK;
        let first = if blocks.is_empty() {
            self.positions[ranks].iter().min()
        } else {
            let before = &self.positions[ranks.start..blocks.start * BLOCK];
            let after = &self.positions[blocks.end * BLOCK..ranks.end];
            before
                .iter()
                .chain(&self.first_in_block[blocks])
                .chain(after)
                .min()
        };
        first.map(|&position| position as usize)
    }

    /// Every position at which `pattern` occurs, in suffix order.
    pub(crate) fn positions(&self, pattern: &[S]) -> impl Iterator<Item = usize> {
        self.positions[self.ranks(pattern)]
            .iter()
            .map(|&position| position as usize)
    }

    /// Where the suffixes that begin with `pattern` occur in suffix order.
    fn ranks(&self, pattern: &[S]) -> Range<usize> {
        let text: &[S] = &self.text;
        let prefix = |position: i32| {
            let suffix = &text[position as usize..];
            &suffix[..suffix.len().min(pattern.len())]
        };
        let around =
            self.between_sampled_keys(S::key(pattern, Filler::Lowest), S::key(pattern, Filler::Highest));
        let positions = &self.positions[around.clone()];
        let below = positions.partition_point(|&position| prefix(position) < pattern);
        let length = positions[below..].partition_point(|&position| prefix(position) == pattern);
        let start = around.start + below;
        start..start + length
    }

    /// The ranks between which every suffix with a key from `lowest` to `highest` occurs; whatever
    /// occurs before them has a smaller key or is smaller, and whatever occurs after them has a
    /// larger key.
    fn between_sampled_keys(&self, lowest: u128, highest: u128) -> Range<usize> {
        let sampled_keys: &[u128] = &self.sampled_keys;
        let before = sampled_keys.partition_point(|&key| key < lowest);
        let after = before + sampled_keys[before..].partition_point(|&key| key <= highest);
        before.saturating_sub(1) * STEP..(after * STEP).min(self.positions.len())
    }
}

/// How many symbols `left` and `right` share from their beginning.
pub(crate) fn common_prefix<S: Symbol>(left: &[S], right: &[S]) -> usize {
    /// Compared at once, which for long passages is many times faster.
    const CHUNK: usize = 64;
    let length = left.len().min(right.len());
    let (left, right) = (&left[..length], &right[..length]);
    let equal_chunks = left
        .chunks_exact(CHUNK)
        .zip(right.chunks_exact(CHUNK))
        .take_while(|(left, right)| left == right)
        .count();
    let known = equal_chunks * CHUNK;
    known
        + left[known..]
            .iter()
            .zip(&right[known..])
            .take_while(|(left, right)| left == right)
            .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_is_found_on_either_side_of_the_insertion_point() {
        let array = SuffixArray::build(b"banana".to_vec()).unwrap();
        // In suffix order: a, ana, anana, banana, na, nana.
        for (query, expected) in [
            ("", 0),
            ("x", 0),
            ("anax", 3),    // after "ana", before "anana"
            ("anaa", 3),    // the same, seen from the other side
            ("bananas", 6), // longer than the whole text
            ("nanb", 3),    // after every suffix
            ("Ananas", 0),  // before every suffix
        ] {
            assert_eq!(array.longest_prefix(query.as_bytes()), expected, "{query}");
        }
    }

    #[test]
    fn sampled_keys_leave_no_neighbour_out() {
        // 4,000 suffixes, so 63 sampled keys; every prefix of every suffix, changed at its end, is
        // looked up.
        let text: String = (0..1_000).fold(String::new(), |text, number| {
            text + &format!("{:04}", number * 7 % 1_000)
        });
        let array = SuffixArray::build(text.clone().into_bytes()).unwrap();
        for start in 0..text.len() {
            for length in [1, 3, 7, 8, 9, 20] {
                let passage = &text[start..text.len().min(start + length)];
                for query in [format!("{passage}/"), format!("{passage}:"), passage.to_owned()] {
                    let expected = (0..=query.len())
                        .rev()
                        .find(|&length| text.contains(&query[..length]));
                    assert_eq!(Some(array.longest_prefix(query.as_bytes())), expected, "{query}");
                }
                assert_eq!(
                    array.first_position(passage.as_bytes()),
                    text.find(passage),
                    "{passage}"
                );
            }
        }
    }

    #[test]
    fn the_first_position_is_right_with_and_without_whole_blocks() {
        // 2,000 repetitions of "ab" with one "b" in front: "ab" occurs 2,000 times, first at 1;
        // "ba" first at 0.
        let text = format!("b{}", "ab".repeat(2_000));
        let array = SuffixArray::build(text.into_bytes()).unwrap();
        for (pattern, expected) in [
            ("ab", Some(1)),
            ("ba", Some(0)),
            ("b", Some(0)),
            ("bb", None),
            ("c", None),
        ] {
            assert_eq!(array.first_position(pattern.as_bytes()), expected, "{pattern}");
        }
        // Shorter patterns than the longest possible run: the last "ab"s have no room, the first
        // still is 1.
        assert_eq!(array.first_position("ab".repeat(1_900).as_bytes()), Some(1));
        assert_eq!(array.first_position("ab".repeat(2_001).as_bytes()), None);
    }

    #[test]
    fn an_empty_text_answers() {
        let array = SuffixArray::<i32>::build(Vec::new()).unwrap();
        assert_eq!(array.longest_prefix(&[1, 2]), 0);
        assert_eq!(array.first_position(&[1]), None);
    }
}
