//! A suffix array: the positions of a text, in the order of the suffixes that begin there.
//!
//! All occurrences of a pattern are neighbours in that order, so binary search finds them (Manber and Myers, "Suffix
//! arrays", 1990). libsais sorts the suffixes in linear time.

use std::ops::Range;

use libsais::{LIBSAIS_I32_OUTPUT_MAXIMUM_SIZE, LibsaisError, SuffixArrayConstruction};

use crate::IndexError;

/// What a text is made of: bytes, or token ids renumbered without gaps from 0.
pub(crate) trait Symbol: Copy + Ord {
    /// The positions of `text` in suffix order. `text` is left as it was.
    fn sort_suffixes(text: &mut [Self]) -> Result<Vec<i32>, LibsaisError>;
}

impl Symbol for u8 {
    fn sort_suffixes(text: &mut [Self]) -> Result<Vec<i32>, LibsaisError> {
        let construction = SuffixArrayConstruction::for_text(text)
            .in_owned_buffer32()
            .single_threaded();
        Ok(construction.run()?.into_vec())
    }
}

impl Symbol for i32 {
    fn sort_suffixes(text: &mut [Self]) -> Result<Vec<i32>, LibsaisError> {
        let construction = SuffixArrayConstruction::for_text_mut(text)
            .in_owned_buffer32()
            .single_threaded();
        Ok(construction.run()?.into_vec())
    }
}

/// How many neighbours in suffix order share one entry of [`SuffixArray::first_in_block`].
const BLOCK: usize = 256;

pub(crate) struct SuffixArray<S> {
    text: Vec<S>,
    /// Positions of `text`, in suffix order.
    positions: Vec<i32>,
    /// The smallest of each [`BLOCK`] positions: the first occurrence of a frequent pattern without a walk over all of them.
    first_in_block: Vec<i32>,
}

impl<S: Symbol> SuffixArray<S> {
    pub(crate) fn build(mut text: Vec<S>) -> Result<Self, IndexError> {
        let maximum = LIBSAIS_I32_OUTPUT_MAXIMUM_SIZE;
        if text.len() > maximum {
            return Err(IndexError::CorpusTooLarge {
                found: text.len(),
                maximum,
            });
        }
        let positions = if text.is_empty() {
            Vec::new()
        } else {
            S::sort_suffixes(&mut text)?
        };
        let first_in_block = positions
            .chunks(BLOCK)
            .filter_map(|block| block.iter().min().copied())
            .collect();
        Ok(Self {
            text,
            positions,
            first_in_block,
        })
    }

    pub(crate) fn text(&self) -> &[S] {
        &self.text
    }

    /// Length of the longest prefix of `query` that occurs in the text.
    ///
    /// The search closes in on the place where `query` would be inserted; its longest prefix is shared with one of the two
    /// neighbours of that place. What both ends of the remaining interval share with `query`, everything between them
    /// shares too, and is not compared again.
    pub(crate) fn longest_prefix(&self, query: &[S]) -> usize {
        let (mut low, mut high) = (0, self.positions.len());
        let (mut shared_below, mut shared_above) = (0, 0);
        while low < high {
            let middle = low.midpoint(high);
            let known = shared_below.min(shared_above);
            let suffix = &self.text[self.positions[middle] as usize..];
            let shared = known + common_prefix(&suffix[known..], &query[known..]);
            if suffix[shared..].first() < query[shared..].first() {
                (low, shared_below) = (middle + 1, shared);
            } else {
                (high, shared_above) = (middle, shared);
            }
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

    /// Where the suffixes that begin with `pattern` stand in suffix order.
    fn ranks(&self, pattern: &[S]) -> Range<usize> {
        let prefix = |position: i32| {
            let suffix = &self.text[position as usize..];
            &suffix[..suffix.len().min(pattern.len())]
        };
        let start = self
            .positions
            .partition_point(|&position| prefix(position) < pattern);
        let length = self.positions[start..].partition_point(|&position| prefix(position) == pattern);
        start..start + length
    }
}

fn common_prefix<S: Symbol>(left: &[S], right: &[S]) -> usize {
    left.iter()
        .zip(right)
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
    fn the_first_position_is_right_with_and_without_whole_blocks() {
        // 2,000 repetitions of "ab" with one "b" in front: "ab" occurs 2,000 times, first at 1; "ba" first at 0.
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
        // Shorter patterns than the longest possible run: the last "ab"s have no room, the first still is 1.
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
