use std::cmp::Reverse;
use std::ops::Range;

use crate::character_counts::CharacterCounts;
use crate::corpus::Corpus;
use crate::{IndexError, Match};

/// Follows every document. No UTF-8 text holds this byte, so no match crosses it.
const SEPARATOR: u8 = 0xFF;

/// Finds the passages of a text that stand anywhere in a corpus, letter for letter.
///
/// Nothing is normalised: case, white space and the composition of characters count. Takes five bytes of memory per byte of
/// corpus.
pub struct ExactIndex {
    corpus: Corpus<u8>,
    characters: CharacterCounts,
}

impl ExactIndex {
    /// Indexes `documents`, in time linear in their length.
    ///
    /// # Errors
    /// [`IndexError::CorpusTooLarge`] from 2 GiB on, [`IndexError::SuffixArray`] if memory does not suffice.
    pub fn build(documents: &[&str]) -> Result<Self, IndexError> {
        let corpus = Corpus::build(documents.iter().map(|document| document.bytes()), SEPARATOR)?;
        let characters = CharacterCounts::of(corpus.text());
        Ok(Self { corpus, characters })
    }

    /// The longest passage of `text`, in characters, that stands anywhere in the corpus; `None` if they have no character
    /// in common. Of several the first in `text`, and its first place in the first document that holds it.
    pub fn longest_match(&self, text: &str) -> Option<Match> {
        let characters = CharacterCounts::of(text.as_bytes());
        let length = |span: &Range<usize>| text[span.clone()].chars().count();
        let longest = self
            .maximal_spans(text)
            .into_iter()
            .min_by_key(|span| Reverse(length(span)))?;
        self.locate(text, &characters, longest)
    }

    /// All passages of `text` with at least `minimum_characters` that stand anywhere in the corpus, by their place in
    /// `text`. Only maximal ones: none lies within another, though they may overlap. Each comes with its first place in
    /// the first document that holds it; [`Self::documents_containing`] tells the others.
    pub fn matches_at_least(&self, text: &str, minimum_characters: usize) -> Vec<Match> {
        let characters = CharacterCounts::of(text.as_bytes());
        self.maximal_spans(text)
            .into_iter()
            .filter(|span| text[span.clone()].chars().count() >= minimum_characters)
            .filter_map(|span| self.locate(text, &characters, span))
            .collect()
    }

    /// The first `limit` documents that hold `substring`, ascending. Every document holds the empty string.
    pub fn documents_containing(&self, substring: &str, limit: usize) -> Vec<usize> {
        self.corpus.documents_containing(substring.as_bytes(), limit)
    }

    /// Maximal spans in bytes, on character boundaries.
    fn maximal_spans(&self, text: &str) -> Vec<Range<usize>> {
        let boundaries: Vec<usize> = text
            .char_indices()
            .map(|(offset, _)| offset)
            .chain([text.len()])
            .collect();
        self.corpus.maximal_spans(text.as_bytes(), &boundaries)
    }

    /// Turns a span of bytes that occurs into characters on both sides.
    fn locate(&self, text: &str, characters: &CharacterCounts, span: Range<usize>) -> Option<Match> {
        let passage = &text[span.clone()];
        let occurrence = self.corpus.first_occurrence(passage.as_bytes())?;
        let length = passage.chars().count();
        let start = characters.before(text.as_bytes(), span.start);
        let before = |position| self.characters.before(self.corpus.text(), position);
        let document_start = before(occurrence.position) - before(occurrence.document_start);
        Some(Match {
            in_text: start..start + length,
            document: occurrence.document,
            in_document: document_start..document_start + length,
        })
    }
}
