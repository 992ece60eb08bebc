//! Passages that stand letter for letter in a training document.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use contract::Error;
use text_align::Span;
use text_index::{ExactIndex, ExactIndexBuilder, Match, TokenIndex, TokenIndexBuilder};

use crate::cache::indexes::{IndexCache, Ways};
use crate::candidates::vocabulary::Vocabulary;
use crate::corpus::sources::Document;

/// Shorter substrings, in characters, are shared by chance and make no candidate.
const CANDIDATE_MINIMUM: usize = 20;

/// Documents that hold a passage are counted up to here: beyond, how many there are changes nothing.
const MAX_COUNTED: usize = 1000;

/// Words in one part of the word index: a part is sorted in half a gigabyte.
const SHARD_WORDS: usize = 64 << 20;

/// Name of the file of words beside the word index.
const VOCABULARY: &str = "words";

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
    words: WordIndex,
    /// For each document the first one of equal text.
    originals: Vec<usize>,
}

impl<'sources> ExactSearch<'sources> {
    /// Indexes the training documents, on two threads if there are; indexes of large corpora are kept in `cache`.
    ///
    /// # Errors
    /// [`Error::Run`] where they cannot be indexed.
    pub fn new(documents: &'sources [Document], cache: &IndexCache) -> Result<Self, Error> {
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        let (characters, words) = rayon::join(
            || character_index(&texts, cache),
            || WordIndex::new(&texts, cache),
        );
        let mut first = HashMap::with_capacity(texts.len());
        let originals = texts
            .iter()
            .enumerate()
            .map(|(document, text)| *first.entry(*text).or_insert(document))
            .collect();
        Ok(Self {
            documents,
            characters: characters?,
            words: words?,
            originals,
        })
    }

    /// The passages of `generation` that stand in a training document: all that are as long as what makes a candidate or as
    /// `minimum` characters, whichever is shorter, and the longest in any case. The index is walked once, and what is asked
    /// of the result costs little.
    pub fn shared<'search>(&'search self, generation: &'search str, minimum: usize) -> Shared<'search> {
        let mut matches = self
            .characters
            .matches_at_least(generation, minimum.min(CANDIDATE_MINIMUM));
        if matches.is_empty() {
            matches.extend(self.characters.longest_match(generation));
        }
        Shared {
            search: self,
            generation,
            matches,
        }
    }

    /// How many training documents hold `passage`, those of equal text counted once, up to 1,000.
    pub fn document_frequency(&self, passage: &str) -> usize {
        let documents_by_sentence = self.characters.documents_containing(passage, MAX_COUNTED);
        let originals: HashSet<usize> = documents_by_sentence
            .into_iter()
            .map(|holder| self.originals[holder])
            .collect();
        originals.len()
    }
}

/// What one generation shares with the training documents letter for letter.
pub struct Shared<'search> {
    search: &'search ExactSearch<'search>,
    generation: &'search str,
    /// Maximal passages by their place in the generation.
    matches: Vec<Match>,
}

impl Shared<'_> {
    /// The longest passages that stand anywhere in the training set; `own` is the prompt's document.
    pub fn longest(&self, own: Option<usize>) -> LongestMatch {
        let words = self.search.words.longest(self.generation);
        // Of equally long ones the first.
        let Some(found) = self.matches.iter().min_by_key(|found| Reverse(found.len())) else {
            return LongestMatch {
                words,
                ..LongestMatch::default()
            };
        };
        let passage = self.text(found);
        let own = own.filter(|&own| self.search.documents[own].text.contains(passage));
        LongestMatch {
            characters: found.len(),
            document: own.or(Some(found.document)),
            words,
        }
    }

    /// The maximal passages with at least `minimum` characters that stand in a training document, by their place in the
    /// generation. Each is located in the document `own` if that holds it, or else in the first. `minimum` must be no
    /// smaller than that of [`ExactSearch::shared`].
    ///
    /// White space at either end is left out and does not count. Half of `minimum` must be letters or digits: a rule of
    /// dashes or an empty table is a copy of nothing.
    pub fn passages(&self, own: Option<usize>, minimum: usize) -> Vec<ExactPassage> {
        self.matches
            .iter()
            .filter(|found| found.len() >= minimum)
            .filter_map(|found| self.locate(found, own, minimum))
            .collect()
    }

    fn locate(&self, found: &Match, own: Option<usize>, minimum: usize) -> Option<ExactPassage> {
        let untrimmed = self.text(found);
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
        let in_own = own.and_then(|own| Some((own, position(&self.search.documents[own].text, passage)?)));
        let (document, place) = in_own.unwrap_or((found.document, found.in_document.start + blank));
        let start = found.in_text.start + blank;
        Some(ExactPassage {
            generated: Span::new(start, start + length),
            document,
            in_document: Span::new(place, place + length),
        })
    }

    /// At most `limit` documents that share the longest substrings with the generation, longest first.
    pub fn candidates(&self, limit: usize) -> Vec<usize> {
        let mut shared: Vec<&Match> = self
            .matches
            .iter()
            .filter(|found| found.len() >= CANDIDATE_MINIMUM)
            .collect();
        shared.sort_by_key(|found| Reverse(found.len()));
        let mut candidates = Vec::new();
        for found in shared {
            if candidates.len() == limit {
                break;
            }
            for document in self
                .search
                .characters
                .documents_containing(self.text(found), limit)
            {
                if candidates.len() < limit && !candidates.contains(&document) {
                    candidates.push(document);
                }
            }
        }
        candidates
    }

    fn text(&self, found: &Match) -> &str {
        Span::new(found.in_text.start, found.in_text.end)
            .cut(self.generation)
            .unwrap_or_default()
    }
}

fn character_index(texts: &[&str], cache: &IndexCache) -> Result<ExactIndex, Error> {
    let name = format!("exact-{:032x}", ExactIndex::digest_of(texts));
    let ways = Ways {
        open: ExactIndex::open,
        build_in: |folder: &Path| {
            let mut builder = ExactIndexBuilder::new(folder, ExactIndexBuilder::DEFAULT_SHARD_BYTES)?;
            texts.iter().try_for_each(|text| builder.push(text))?;
            builder.finish()
        },
        build: || ExactIndex::build(texts),
    };
    cache.index(&name, texts.iter().map(|text| text.len()).sum(), &ways)
}

/// Exact search over words, white space aside.
struct WordIndex {
    index: TokenIndex,
    vocabulary: Vocabulary,
}

impl WordIndex {
    fn new(texts: &[&str], cache: &IndexCache) -> Result<Self, Error> {
        let name = format!("words-{:032x}", ExactIndex::digest_of(texts));
        let ways = Ways {
            open: |folder: &Path| {
                Ok(Self {
                    index: TokenIndex::open(folder)?,
                    vocabulary: Vocabulary::read(&folder.join(VOCABULARY))?,
                })
            },
            build_in: |folder: &Path| {
                let mut vocabulary = Vocabulary::default();
                let mut builder = TokenIndexBuilder::new(folder, SHARD_WORDS)?;
                for text in texts {
                    builder.push(&vocabulary.number_all(text))?;
                }
                let index = builder.finish()?;
                vocabulary.write(&folder.join(VOCABULARY))?;
                Ok(Self { index, vocabulary })
            },
            build: || {
                let mut vocabulary = Vocabulary::default();
                let numbered: Vec<Vec<u32>> = texts.iter().map(|text| vocabulary.number_all(text)).collect();
                let numbered: Vec<&[u32]> = numbered.iter().map(Vec::as_slice).collect();
                let index = TokenIndex::build(&numbered)?;
                Ok(Self { index, vocabulary })
            },
        };
        cache.index(&name, texts.iter().map(|text| text.len()).sum(), &ways)
    }

    /// Length of the longest run of words of `generation` that stands in a training document.
    fn longest(&self, generation: &str) -> usize {
        let numbers = self.vocabulary.numbers(generation);
        self.index.longest_match(&numbers).map_or(0, |found| found.len())
    }
}

/// Where `passage` first stands in `text`, in characters.
fn position(text: &str, passage: &str) -> Option<usize> {
    text.find(passage).map(|byte| text[..byte].chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_once_however_often_they_stand_there() {
        let texts = [
            "Thank you for calling us.",
            "Thank you for calling us. Thank you for calling us.",
            "Thank you for calling us.",
            "He said: Thank you for calling us.",
            "thank you for calling us.",
        ];
        let documents: Vec<Document> = texts
            .iter()
            .enumerate()
            .map(|(number, text)| Document {
                doc_id: number.to_string(),
                text: (*text).to_owned(),
            })
            .collect();
        let search = ExactSearch::new(&documents, &IndexCache::default()).unwrap();
        for (passage, expected) in [
            // Documents 0 and 2 are equal; 1 holds it twice; 3 as well; 4 is in lower case.
            ("Thank you for calling us.", 3),
            ("hank you for calling us.", 4),
            ("He said", 1),
            ("he said", 0),
        ] {
            assert_eq!(search.document_frequency(passage), expected, "{passage}");
        }
    }
}
