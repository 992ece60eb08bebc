use std::cmp::Reverse;
use std::ops::Range;

use crate::corpus::Corpus;
use crate::{IndexError, Match};

/// Follows every document; the tokens of the corpus are numbered from 1.
const SEPARATOR: i32 = 0;

/// Stands for a token that the corpus does not hold, and matches nothing.
const UNKNOWN: i32 = -1;

/// Finds the passages of a token sequence that stand anywhere in a corpus of token sequences.
///
/// What [`ExactIndex`](crate::ExactIndex) is for characters; its answers count tokens. Takes eight bytes of memory per token
/// of the corpus.
pub struct TokenIndex {
    corpus: Corpus<i32>,
    /// The distinct tokens of the corpus, ascending. libsais wants symbols without gaps, and takes memory per symbol.
    vocabulary: Vec<u32>,
}

impl TokenIndex {
    /// Indexes `documents`. Any token id is allowed.
    ///
    /// # Errors
    /// [`IndexError::CorpusTooLarge`] from 2³¹ tokens on, [`IndexError::SuffixArray`] if memory does not suffice.
    pub fn build(documents: &[&[u32]]) -> Result<Self, IndexError> {
        let mut vocabulary: Vec<u32> = documents.iter().copied().flatten().copied().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let renumbered = documents
            .iter()
            .map(|document| document.iter().map(|&token| number(&vocabulary, token)));
        let corpus = Corpus::build(renumbered, SEPARATOR)?;
        Ok(Self { corpus, vocabulary })
    }

    /// The longest passage of `tokens` that stands anywhere in the corpus; `None` if they have no token in common. Of
    /// several the first in `tokens`, and its first place in the first document that holds it.
    pub fn longest_match(&self, tokens: &[u32]) -> Option<Match> {
        let query = self.renumber(tokens);
        let longest = self
            .maximal_spans(&query)
            .into_iter()
            .min_by_key(|span| Reverse(span.len()))?;
        self.locate(&query, longest)
    }

    /// All passages of `tokens` with at least `minimum_tokens` that stand anywhere in the corpus, by their place in
    /// `tokens`. Only maximal ones: none lies within another, though they may overlap.
    pub fn matches_at_least(&self, tokens: &[u32], minimum_tokens: usize) -> Vec<Match> {
        let query = self.renumber(tokens);
        self.maximal_spans(&query)
            .into_iter()
            .filter(|span| span.len() >= minimum_tokens)
            .filter_map(|span| self.locate(&query, span))
            .collect()
    }

    /// The first `limit` documents that hold `sequence`, ascending. Every document holds the empty sequence.
    pub fn documents_containing(&self, sequence: &[u32], limit: usize) -> Vec<usize> {
        self.corpus.documents_containing(&self.renumber(sequence), limit)
    }

    fn renumber(&self, tokens: &[u32]) -> Vec<i32> {
        tokens
            .iter()
            .map(|&token| number(&self.vocabulary, token))
            .collect()
    }

    fn maximal_spans(&self, query: &[i32]) -> Vec<Range<usize>> {
        let boundaries: Vec<usize> = (0..=query.len()).collect();
        self.corpus.maximal_spans(query, &boundaries)
    }

    fn locate(&self, query: &[i32], span: Range<usize>) -> Option<Match> {
        let occurrence = self.corpus.first_occurrence(&query[span.clone()])?;
        let document_start = occurrence.position - occurrence.document_start;
        Some(Match {
            in_document: document_start..document_start + span.len(),
            document: occurrence.document,
            in_text: span,
        })
    }
}

/// The place of `token` in the ascending `vocabulary`, from 1.
fn number(vocabulary: &[u32], token: u32) -> i32 {
    vocabulary
        .binary_search(&token)
        .map_or(UNKNOWN, |place| place as i32 + 1)
}
