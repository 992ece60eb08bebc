//! Passages that stand letter for letter in a training document.

use std::cmp::Reverse;
use std::collections::HashMap;

use contract::Error;
use text_align::Span;
use text_index::{ExactIndex, TokenIndex};
use unicode_segmentation::UnicodeSegmentation;

use crate::failed;
use crate::sources::Document;

/// Shorter substrings, in characters, are shared by chance and make no candidate.
const CANDIDATE_MINIMUM: usize = 20;

/// A passage of a generation and the place in a training document where the same characters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactPassage {
    /// Where in the generation.
    pub generated: Span,
    /// Index of the document.
    pub document: usize,
    /// Where in the document.
    pub in_document: Span,
}

/// The longest passages that a generation shares with the whole training set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LongestMatch {
    /// Length of the longest one letter for letter, in characters.
    pub characters: usize,
    /// A document that holds it: the prompt's own if that does, or else the first; `None` if no character is shared.
    pub document: Option<usize>,
    /// Length of the longest one word for word, in words and punctuation marks. White space may differ.
    pub words: usize,
}

/// Exact search over all training documents: what it does not report is not there.
pub struct ExactSearch<'sources> {
    documents: &'sources [Document],
    characters: ExactIndex,
    words: TokenIndex,
    /// Numbers of the words of the training documents.
    vocabulary: HashMap<&'sources str, u32>,
}

impl<'sources> ExactSearch<'sources> {
    /// Indexes the training documents.
    ///
    /// # Errors
    /// [`Error::Run`] where they are too large to index.
    pub fn new(documents: &'sources [Document]) -> Result<Self, Error> {
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        let mut vocabulary = HashMap::new();
        let numbered: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| {
                let mut number = |word| {
                    let next = vocabulary.len() as u32;
                    *vocabulary.entry(word).or_insert(next)
                };
                words(text).map(&mut number).collect()
            })
            .collect();
        let numbered: Vec<&[u32]> = numbered.iter().map(Vec::as_slice).collect();
        Ok(Self {
            documents,
            characters: ExactIndex::build(&texts).map_err(failed("indexing substrings"))?,
            words: TokenIndex::build(&numbered).map_err(failed("indexing substrings"))?,
            vocabulary,
        })
    }

    /// The longest passages of `generation` that stand anywhere in the training set; `own` is the prompt's document.
    pub fn longest(&self, generation: &str, own: Option<usize>) -> LongestMatch {
        let unknown = self.vocabulary.len() as u32;
        let numbers: Vec<u32> = words(generation)
            .map(|word| self.vocabulary.get(word).copied().unwrap_or(unknown))
            .collect();
        let words = self.words.longest_match(&numbers).map_or(0, |found| found.len());
        match self.characters.longest_match(generation) {
            None => LongestMatch {
                words,
                ..LongestMatch::default()
            },
            Some(found) => {
                let passage = Span::new(found.in_text.start, found.in_text.end)
                    .cut(generation)
                    .unwrap_or_default();
                let own = own.filter(|&own| self.documents[own].text.contains(passage));
                LongestMatch {
                    characters: found.len(),
                    document: own.or(Some(found.document)),
                    words,
                }
            }
        }
    }

    /// The maximal passages of `generation` with at least `minimum` characters that stand in a training document, by
    /// their place in the generation. Each is located in the document `own` if that holds it, or else in the first.
    ///
    /// White space at either end is left out and does not count. Half of `minimum` must be letters or digits: a rule of
    /// dashes or an empty table is a copy of nothing.
    pub fn passages(&self, generation: &str, own: Option<usize>, minimum: usize) -> Vec<ExactPassage> {
        let locate = |found: text_index::Match| {
            let untrimmed = Span::new(found.in_text.start, found.in_text.end).cut(generation)?;
            let passage = untrimmed.trim();
            let length = passage.chars().count();
            let letters = passage
                .chars()
                .filter(|character| character.is_alphanumeric())
                .count();
            if length < minimum || letters < minimum.div_ceil(2) {
                return None;
            }
            let blank = untrimmed.chars().count() - untrimmed.trim_start().chars().count();
            let in_own = own.and_then(|own| Some((own, position(&self.documents[own].text, passage)?)));
            let (document, place) = in_own.unwrap_or((found.document, found.in_document.start + blank));
            let start = found.in_text.start + blank;
            Some(ExactPassage {
                generated: Span::new(start, start + length),
                document,
                in_document: Span::new(place, place + length),
            })
        };
        self.characters
            .matches_at_least(generation, minimum)
            .into_iter()
            .filter_map(locate)
            .collect()
    }

    /// At most `limit` documents that share the longest substrings with `generation`, longest first.
    pub fn candidates(&self, generation: &str, limit: usize) -> Vec<usize> {
        let mut shared = self.characters.matches_at_least(generation, CANDIDATE_MINIMUM);
        shared.sort_by_key(|found| Reverse(found.len()));
        let mut candidates = Vec::new();
        for found in shared {
            let passage = Span::new(found.in_text.start, found.in_text.end)
                .cut(generation)
                .unwrap_or_default();
            for document in self.characters.documents_containing(passage, limit) {
                if candidates.len() < limit && !candidates.contains(&document) {
                    candidates.push(document);
                }
            }
        }
        candidates
    }
}

/// The words and punctuation marks of a text (Unicode Standard Annex 29, white space left out), as they stand.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_word_bounds().filter(|word| !word.trim().is_empty())
}

/// Where `passage` first stands in `text`, in characters.
fn position(text: &str, passage: &str) -> Option<usize> {
    text.find(passage).map(|byte| text[..byte].chars().count())
}
