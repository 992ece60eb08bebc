//! Documents joined into one text under a suffix array, with a separator that no query can hold.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::IndexError;
use crate::suffix_array::{SuffixArray, Symbol};

pub(crate) struct Corpus<S> {
    suffixes: SuffixArray<S>,
    /// Where each document begins in the joined text. Strictly increasing: a separator follows every document.
    starts: Vec<usize>,
}

/// Where a pattern stands in the corpus.
pub(crate) struct Occurrence {
    pub(crate) document: usize,
    /// First symbol of the document, in the joined text.
    pub(crate) document_start: usize,
    /// First symbol of the pattern, in the joined text.
    pub(crate) position: usize,
}

impl<S: Symbol> Corpus<S> {
    /// `separator` must differ from every symbol of every document and query, or matches run across documents.
    pub(crate) fn build<D>(documents: impl IntoIterator<Item = D>, separator: S) -> Result<Self, IndexError>
    where
        D: IntoIterator<Item = S>,
    {
        let mut text = Vec::new();
        let mut starts = Vec::new();
        for document in documents {
            starts.push(text.len());
            text.extend(document);
            text.push(separator);
        }
        Ok(Self {
            suffixes: SuffixArray::build(text)?,
            starts,
        })
    }

    /// The joined text.
    pub(crate) fn text(&self) -> &[S] {
        self.suffixes.text()
    }

    /// The maximal spans of `query` that occur in the corpus, by their start: none lies within another, and none can be
    /// made longer. Spans begin and end at `boundaries` (ascending, from 0 to the length of `query`).
    ///
    /// How far an occurring span can reach never falls from one start to the next, because the rest of a string that
    /// occurs, occurs. So the next start that reaches further is found by galloping, and a text that was copied whole
    /// costs a logarithmic number of searches, not one per character.
    pub(crate) fn maximal_spans(&self, query: &[S], boundaries: &[usize]) -> Vec<Range<usize>> {
        // Boundaries are named by their index from here on.
        let reach = |start: usize| {
            let end = boundaries[start] + self.suffixes.longest_prefix(&query[boundaries[start]..]);
            boundaries.partition_point(|&boundary| boundary <= end) - 1
        };
        let last = boundaries.len() - 1;
        let mut spans = Vec::new();
        let (mut start, mut end) = (0, reach(0));
        loop {
            if start < end {
                spans.push(boundaries[start]..boundaries[end]);
            }
            if end == last {
                return spans;
            }
            (start, end) = first_beyond(start, end, last, reach);
        }
    }

    /// The first occurrence of `pattern`: lowest document, lowest offset.
    pub(crate) fn first_occurrence(&self, pattern: &[S]) -> Option<Occurrence> {
        let position = self.suffixes.first_position(pattern)?;
        let document = self.document_at(position);
        Some(Occurrence {
            document,
            document_start: self.starts[document],
            position,
        })
    }

    /// The first `limit` documents that hold `pattern`, ascending. Every document holds the empty pattern.
    pub(crate) fn documents_containing(&self, pattern: &[S], limit: usize) -> Vec<usize> {
        if pattern.is_empty() || limit == 0 {
            return (0..self.starts.len().min(limit)).collect();
        }
        let mut lowest = BTreeSet::new();
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
                too_far = self.starts[document];
            }
        }
        lowest.into_iter().collect()
    }

    fn document_at(&self, position: usize) -> usize {
        self.starts.partition_point(|&start| start <= position) - 1
    }
}

/// The first index after `start` that reaches further than `end`, and how far it reaches. `reach` does not fall,
/// `reach(start)` is `end`, and `reach(last)` is `last`, further than `end`.
fn first_beyond(start: usize, end: usize, last: usize, reach: impl Fn(usize) -> usize) -> (usize, usize) {
    let mut within = start;
    let mut step = 1;
    let (mut beyond, mut beyond_reach) = loop {
        let probe = (start + step).min(last);
        let probe_reach = reach(probe);
        if probe_reach > end {
            break (probe, probe_reach);
        }
        within = probe;
        step *= 2;
    };
    while beyond - within > 1 {
        let probe = within.midpoint(beyond);
        let probe_reach = reach(probe);
        if probe_reach > end {
            (beyond, beyond_reach) = (probe, probe_reach);
        } else {
            within = probe;
        }
    }
    (beyond, beyond_reach)
}
