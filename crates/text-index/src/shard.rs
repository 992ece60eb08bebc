//! A part of a corpus: whole documents joined into one text under a suffix array.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::character_counts::CharacterCounts;
use crate::section::Section;
use crate::suffix_array::SuffixArray;
use crate::symbol::Symbol;
use crate::{IndexError, Place};

/// Symbols of the documents of a shard, a separator after each.
pub(crate) struct JoinedText<S> {
    pub(crate) text: Vec<S>,
    /// Where each document begins.
    pub(crate) starts: Vec<u32>,
}

impl<S> Default for JoinedText<S> {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            starts: Vec::new(),
        }
    }
}

pub(crate) struct Shard<S> {
    pub(crate) suffixes: SuffixArray<S>,
    /// Where each document begins in the joined text. Strictly increasing: a separator follows
    /// every document.
    pub(crate) starts: Section<u32>,
    pub(crate) counts: CharacterCounts,
    /// Number of the first document in the whole corpus.
    pub(crate) first_document: usize,
}

impl<S: Symbol> Shard<S> {
    pub(crate) fn build(joined: JoinedText<S>, first_document: usize) -> Result<Self, IndexError> {
        let counts = CharacterCounts::of(&joined.text);
        Ok(Self {
            suffixes: SuffixArray::build(joined.text)?,
            starts: joined.starts.into(),
            counts,
            first_document,
        })
    }

    /// Says that much of it is about to be looked at.
    pub(crate) fn prefetch(&self) {
        let suffixes = &self.suffixes;
        suffixes.text.prefetch();
        suffixes.positions.prefetch();
        suffixes.first_in_block.prefetch();
        suffixes.sampled_keys.prefetch();
        self.starts.prefetch();
        self.counts.before_stride.prefetch();
    }

    /// Numbers of its documents in the whole corpus.
    pub(crate) fn documents(&self) -> Range<usize> {
        self.first_document..self.first_document + self.starts.len()
    }

    /// Where the document `local` (numbered from 0 in this shard) occurs in the joined text,
    /// without its separator.
    pub(crate) fn span(&self, local: usize) -> Range<usize> {
        let next = self.starts.get(local + 1).map(|&start| start as usize);
        self.starts[local] as usize..next.unwrap_or(self.suffixes.text.len()) - 1
    }

    /// The document, numbered from 0 in this shard, that holds the symbol at `position`.
    pub(crate) fn document_at(&self, position: usize) -> usize {
        self.starts.partition_point(|&start| start as usize <= position) - 1
    }

    /// Symbols of the joined text as a place in a document.
    pub(crate) fn place(&self, symbols: Range<usize>) -> Place {
        let local = self.document_at(symbols.start);
        let before = |position| self.counts.before(&self.suffixes.text, position);
        let document_start = before(self.starts[local] as usize);
        Place {
            document: self.first_document + local,
            in_document: before(symbols.start) - document_start..before(symbols.end) - document_start,
        }
    }

    /// Where `pattern` first occurs.
    pub(crate) fn first_place(&self, pattern: &[S]) -> Option<Place> {
        let position = self.suffixes.first_position(pattern)?;
        Some(self.place(position..position + pattern.len()))
    }

    /// The first `limit` places where `pattern` occurs.
    pub(crate) fn places(&self, pattern: &[S], limit: usize) -> Vec<Place> {
        let mut first = BinaryHeap::new();
        for position in self.suffixes.positions(pattern) {
            if first.len() < limit {
                first.push(position);
            } else if first.peek().is_some_and(|&last| position < last) {
                first.pop();
                first.push(position);
            }
        }
        let positions = first.into_sorted_vec().into_iter();
        positions
            .map(|position| self.place(position..position + pattern.len()))
            .collect()
    }

    /// The first `limit` documents that hold the non-empty `pattern`, ascending, numbered in the
    /// whole corpus.
    pub(crate) fn documents_containing(&self, pattern: &[S], limit: usize) -> Vec<usize> {
        let mut lowest = std::collections::BTreeSet::new();
        let mut too_far = usize::MAX; // the last of `limit` documents begins here
        for position in self.suffixes.positions(pattern) {
            if position >= too_far {
                continue;
            }
            lowest.insert(self.document_at(position));
            if lowest.len() > limit {
                lowest.pop_last();
            }
            if lowest.len() == limit
                && let Some(&document) = lowest.last()
            {
                too_far = self.starts[document] as usize;
            }
        }
        lowest
            .into_iter()
            .map(|local| self.first_document + local)
            .collect()
    }

    /// How many documents hold the non-empty `pattern`; counting stops at `cap`.
    pub(crate) fn document_frequency(&self, pattern: &[S], cap: usize) -> usize {
        let mut documents = std::collections::HashSet::new();
        for position in self.suffixes.positions(pattern) {
            if documents.len() >= cap {
                break;
            }
            documents.insert(self.document_at(position));
        }
        documents.len()
    }
}
