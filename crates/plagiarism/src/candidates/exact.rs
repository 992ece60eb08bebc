//! Passages that occur word for word in a document of one side of the corpus.
//!
//! The index holds documents in their folded form ([`normal_form`](crate::corpus::normal_form)), so that case, white space and
//! the composition of characters make no difference, and spans are led back to the compared form. What repeats the prompt
//! counts for nothing.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::Path;

use contract::{Error, Progress};
use rayon::prelude::*;
use text_align::Span;
use text_index::{ExactIndex, ExactIndexBuilder, IndexError, Match, TokenIndex, TokenIndexBuilder};
use xxhash_rust::xxh3::xxh3_128;

use crate::cache::indexes::{CorpusName, IndexCache, Ways};
use crate::candidates::vocabulary::Vocabulary;
use crate::corpus::generation::Generation;
use crate::corpus::normal_form::{NormalForm, folded};
use crate::corpus::sources::Document;

/// Shorter substrings, in characters, are shared by chance and make no candidate.
const CANDIDATE_MINIMUM: usize = 20;

/// A passage must have half as many letters and digits as characters, up to those of a passage of this length: a rule of
/// dashes, blank space or an empty table is a copy of nothing.
const SUBSTANTIAL_CHARACTERS: usize = 50;

/// Documents that hold a passage are counted up to here: beyond, how many there are changes nothing.
pub const MAX_COUNTED: usize = 1000;

/// Bytes of text that are sorted at once for the character index, by all threads together, in 5.3 times as much memory.
const SORTED_BYTES: usize = 384 << 20;

/// From so many bytes of documents on, those beside included, half of [`SORTED_BYTES`] are sorted at once: what is kept of each document
/// grows with the corpus, by about 0.23 bytes a byte, and has to find room beside it.
const LARGE_CORPUS: usize = 2 << 30;

/// Words that are sorted at once for the word index, by all threads together, in 8.3 bytes each.
const SORTED_WORDS: usize = 128 << 20;

/// Documents that are folded at once, about so many bytes of them.
const FOLDED_BYTES: usize = 16 << 20;

/// Version of the folded form: an index of another is not that of the documents.
const FOLDED: &str = "folded1";

/// Name of the file of words beside the word index.
const VOCABULARY: &str = "words";

/// A passage of a generation and the place in a document where the same words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactPassage {
    /// Where in the generation.
    pub generated: Span,
    /// Index of the document.
    pub document: usize,
    /// Where in the document.
    pub in_document: Span,
}

/// The longest passages that a generation shares with all documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LongestMatch {
    /// Length of the longest one in characters: white space at its ends left out and any other run of it counted once; without
    /// what repeats the prompt; 0 where too little of it is letters or digits.
    pub characters: usize,
    /// A document that holds it: the prompt's own if that does, or else the first; `None` if no character is shared.
    pub document: Option<usize>,
    /// Length of the longest one word for word, in words and punctuation marks. White space may differ.
    pub words: usize,
}

/// Exact search over all documents of a side: what it does not report is not there.
pub struct ExactSearch<'sources> {
    documents: &'sources [Document],
    /// Holds their folded forms.
    characters: ExactIndex,
    words: WordIndex,
    /// For each document the first one of equal folded text.
    originals: Vec<u32>,
}

impl<'sources> ExactSearch<'sources> {
    /// Indexes documents, on two threads if they are few; indexes of large corpora are kept in `cache`, and built one after another.
    ///
    /// # Errors
    /// [`Error::Run`] where they cannot be indexed.
    pub fn new(documents: &'sources [Document], cache: &IndexCache) -> Result<Self, Error> {
        let corpus = CorpusName::of(documents);
        Self::named(documents, cache, &corpus)
    }

    /// The same for documents whose name is known.
    pub(crate) fn named(
        documents: &'sources [Document],
        cache: &IndexCache,
        corpus: &CorpusName,
    ) -> Result<Self, Error> {
        let (characters, words) = corpus.both(
            || character_index(documents, cache, corpus),
            || WordIndex::new(documents, cache, corpus),
        );
        let characters = characters?;
        Ok(Self {
            documents,
            originals: originals(&characters),
            characters,
            words: words?,
        })
    }

    /// The folded form of a document.
    fn text(&self, document: usize) -> &str {
        // The index has the text of every document that it was made of.
        self.characters.text(document).unwrap_or_default()
    }

    /// The passages of each generation that occur in a document: all that are as long as what makes a candidate or as `minimum`
    /// characters, whichever is shorter, and the longest in any case. The indexes are walked once for all generations, and what
    /// is asked of the result costs little.
    pub fn shared<'search>(
        &'search self,
        generations: &'search [Generation<'search>],
        minimum: usize,
    ) -> Vec<Shared<'search>> {
        let parts = self.characters.shards() + self.words.index.shards();
        let mut progress = Progress::new("exact search", parts as u64, "parts of the index");
        let texts: Vec<&str> = generations
            .iter()
            .map(|generation| generation.folded().text())
            .collect();
        let minimum = minimum.min(CANDIDATE_MINIMUM);
        let matches = self
            .characters
            .matches_of_each(&texts, minimum, || progress.advance(1, ""));
        let words = self.words.longest(generations, || progress.advance(1, ""));
        let found = generations.par_iter().zip(matches).zip(words);
        let mut shared: Vec<Shared> = found
            .map(|((generation, matches), longest_words)| self.shared_of(generation, matches, longest_words))
            .collect();
        self.add_short_matches(&mut shared);
        shared
    }

    fn shared_of<'search>(
        &'search self,
        generation: &'search Generation<'search>,
        matches: Vec<Match>,
        longest_words: usize,
    ) -> Shared<'search> {
        let letters: Vec<char> = generation.folded().text().chars().collect();
        let passages = matches
            .iter()
            .filter_map(|found| Passage::of(found, &letters, generation.echoed()));
        Shared {
            search: self,
            generation,
            passages: passages.collect(),
            letters,
            matches,
            short: None,
            longest_words,
        }
    }

    /// The longest match that is too short for a candidate, of generations without any passage and of those where the prompt supplied all.
    fn add_short_matches(&self, shared: &mut [Shared<'_>]) {
        let without = shared
            .iter()
            .enumerate()
            .filter(|(_, shared)| shared.passages.is_empty());
        let parts: Vec<(usize, &str)> = without
            .flat_map(|(number, shared)| {
                let parts = shared.generation.new_parts().into_iter();
                parts.map(move |part| (number, part))
            })
            .collect();
        let texts: Vec<&str> = parts.iter().map(|(_, part)| *part).collect();
        let found = self.characters.longest_match_of_each(&texts, || ());
        for ((number, part), found) in parts.into_iter().zip(found) {
            let short = &mut shared[number].short;
            let found = found.and_then(|found| short_match(part, &found));
            // Of equally long ones the first.
            if found.map(|(characters, _)| characters) > short.map(|(characters, _)| characters) {
                *short = found;
            }
        }
    }

    /// How many documents hold `passage`, those of equal text counted once, up to [`MAX_COUNTED`].
    pub fn document_frequency(&self, passage: &str) -> usize {
        let holding = self
            .characters
            .documents_containing(folded(passage).trim(), MAX_COUNTED);
        let originals: HashSet<usize> = holding
            .into_iter()
            .map(|document| self.originals[document] as usize)
            .collect();
        originals.len()
    }

    /// At most `limit` documents that hold `passage`, ascending.
    pub fn documents_with(&self, passage: &str, limit: usize) -> Vec<usize> {
        self.characters
            .documents_containing(folded(passage).trim(), limit)
    }
}

/// What counts of a match in a part of a generation: its length without blank space at its ends, and the document.
fn short_match(part: &str, found: &Match) -> Option<(usize, usize)> {
    let span = Span::new(found.in_text.start, found.in_text.end);
    let text = span.cut(part)?.trim();
    let letters = text.chars().filter(|letter| letter.is_alphanumeric()).count();
    let characters = text.chars().count();
    (letters > 0 && is_substantial(characters, letters)).then_some((characters, found.document))
}

/// A match without white space and repetition of the prompt at its ends.
#[derive(Debug, Clone, Copy)]
struct Passage {
    /// Where in the folded generation.
    span: Span,
    /// Characters of it that the prompt does not hold.
    new: usize,
    /// Letters and digits among these.
    letters: usize,
    /// Index of the first document that holds the match, and where in its folded form the passage begins there.
    document: usize,
    in_document: usize,
}

impl Passage {
    fn of(found: &Match, letters: &[char], echoed: &[bool]) -> Option<Self> {
        let counts = |place: &usize| !echoed[*place] && !letters[*place].is_whitespace();
        let mut counted = (found.in_text.start..found.in_text.end).filter(counts);
        let first = counted.next()?;
        let last = counted.next_back().unwrap_or(first);
        let new: Vec<char> = (first..=last)
            .filter(|place| !echoed[*place])
            .map(|place| letters[place])
            .collect();
        let passage = Self {
            span: Span::new(first, last + 1),
            new: new.len(),
            letters: new.iter().filter(|letter| is_written(**letter)).count(),
            document: found.document,
            in_document: found.in_document.start + first - found.in_text.start,
        };
        is_substantial(passage.new, passage.letters).then_some(passage)
    }
}

/// Whether a character is text: a letter, a digit, or a pictograph, of which a message may be made. Dashes, lines and dots are none.
fn is_written(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '\u{2600}'..='\u{27BF}' | '\u{1F000}'..='\u{1FAFF}')
}

/// Whether enough of so many characters are letters or digits.
fn is_substantial(characters: usize, letters: usize) -> bool {
    2 * letters >= characters.min(SUBSTANTIAL_CHARACTERS)
}

/// What one generation shares with the documents word for word.
pub struct Shared<'search> {
    search: &'search ExactSearch<'search>,
    generation: &'search Generation<'search>,
    /// Characters of the folded generation.
    letters: Vec<char>,
    /// Maximal matches by their place in the generation.
    matches: Vec<Match>,
    /// What counts of them.
    passages: Vec<Passage>,
    /// Where none counts, the length of the longest shorter one and its document.
    short: Option<(usize, usize)>,
    /// Words of the longest run that a document holds, without what repeats the prompt.
    longest_words: usize,
}

impl Shared<'_> {
    /// The longest passages that occur anywhere; `own` is the prompt's document.
    pub fn longest(&self, own: Option<usize>) -> LongestMatch {
        let words = self.longest_words;
        // Of equally long ones the first.
        let Some(found) = self.passages.iter().min_by_key(|found| Reverse(found.new)) else {
            let (characters, document) = self.short.unzip();
            return LongestMatch {
                characters: characters.unwrap_or(0),
                document,
                words,
            };
        };
        let text = self.text(found);
        let own = own.filter(|&own| self.search.text(own).contains(&text));
        LongestMatch {
            characters: found.new,
            document: own.or(Some(found.document)),
            words,
        }
    }

    /// The maximal passages with at least `minimum` characters that the prompt does not hold, by their place in the
    /// generation. Each is located in the document `own` if that holds it, or else in the first. `minimum` must be no
    /// smaller than that of [`ExactSearch::shared`]. White space and repetition of the prompt at either end is left out.
    pub fn passages(&self, own: Option<usize>, minimum: usize) -> Vec<ExactPassage> {
        self.passages
            .iter()
            .filter(|found| found.new >= minimum && 2 * found.letters >= minimum)
            .map(|found| self.locate(found, own))
            .collect()
    }

    fn locate(&self, found: &Passage, own: Option<usize>) -> ExactPassage {
        let text = self.text(found);
        let in_own = own.and_then(|own| Some((own, position(self.search.text(own), &text)?)));
        let (document, place) = in_own.unwrap_or((found.document, found.in_document));
        let form = NormalForm::folded(&self.search.documents[document].text);
        ExactPassage {
            generated: self.generation.folded().origin(found.span),
            document,
            in_document: form.origin(Span::new(place, place + found.span.len())),
        }
    }

    /// At most `limit` documents that share the longest substrings with the generation, longest first.
    pub fn candidates(&self, limit: usize) -> Vec<usize> {
        let mut shared: Vec<&Passage> = self
            .passages
            .iter()
            .filter(|found| found.new >= CANDIDATE_MINIMUM)
            .collect();
        shared.sort_by_key(|found| Reverse(found.new));
        let mut candidates = Vec::new();
        for found in shared {
            if candidates.len() == limit {
                break;
            }
            for document in self
                .search
                .characters
                .documents_containing(&self.text(found), limit)
            {
                if candidates.len() < limit && !candidates.contains(&document) {
                    candidates.push(document);
                }
            }
        }
        candidates
    }

    /// Whether some document holds `span` of the generation word for word. Spans of fewer than [`SUBSTANTIAL_CHARACTERS`]
    /// characters do not count: a few words that a limit of tokens left behind occur anywhere.
    pub fn holds(&self, span: Span) -> bool {
        let Some(Span { start, end }) = self.trimmed(span) else {
            return false;
        };
        let mut matches = self.matches.iter();
        matches.any(|found| found.in_text.start <= start && end <= found.in_text.end)
    }

    /// Whether one of the documents `among` holds it, of the first [`MAX_COUNTED`] that do.
    pub fn holds_among(&self, span: Span, among: &HashSet<usize>) -> bool {
        let Some(trimmed) = self.trimmed(span).filter(|_| self.holds(span)) else {
            return false;
        };
        let text: String = self.letters[trimmed.start..trimmed.end].iter().collect();
        let holding = self.search.characters.documents_containing(&text, MAX_COUNTED);
        holding.iter().any(|document| among.contains(document))
    }

    /// A span of the generation in its folded form, without white space at its ends; `None` where it is short.
    fn trimmed(&self, span: Span) -> Option<Span> {
        let image = self.generation.folded().image(span);
        let is_letter = |place: &usize| !self.letters[*place].is_whitespace();
        let start = (image.start..image.end).find(is_letter)?;
        let end = (image.start..image.end).rfind(is_letter)? + 1;
        (end - start >= SUBSTANTIAL_CHARACTERS).then_some(Span::new(start, end))
    }

    fn text(&self, found: &Passage) -> String {
        self.letters[found.span.start..found.span.end].iter().collect()
    }
}

/// For each document the first one of equal folded text.
fn originals(index: &ExactIndex) -> Vec<u32> {
    let digests = index.map_texts(|text| xxh3_128(text.as_bytes()));
    let mut by_text: Vec<(u128, u32)> = digests.into_iter().zip(0..).collect();
    by_text.par_sort_unstable();
    let mut originals = vec![0; by_text.len()];
    for equal in by_text.chunk_by(|left, right| left.0 == right.0) {
        for &(_, document) in equal {
            originals[document as usize] = equal[0].1;
        }
    }
    originals
}

/// Hands out the folded forms of `documents` in their order, a few at a time.
fn for_each_folded(
    documents: &[Document],
    mut each: impl FnMut(&str) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut rest = documents;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|document| {
            let fits = bytes < FOLDED_BYTES;
            bytes += document.text.len();
            fits
        });
        let (together, others) = rest.split_at(fits.count().max(1));
        let forms: Vec<String> = together
            .par_iter()
            .map(|document| folded(&document.text))
            .collect();
        forms.iter().try_for_each(|form| each(form))?;
        rest = others;
    }
    Ok(())
}

/// The share of a thread in what is sorted at once.
fn share_of_thread(together: usize) -> usize {
    (together / rayon::current_num_threads()).max(1 << 20)
}

fn character_index(
    documents: &[Document],
    cache: &IndexCache,
    corpus: &CorpusName,
) -> Result<ExactIndex, Error> {
    let ways = Ways {
        open: ExactIndex::open,
        build_in: |folder: &Path| {
            let mut builder = ExactIndexBuilder::new(folder, share_of_thread(sorted_bytes(corpus)))?;
            for_each_folded(documents, |form| builder.push(form))?;
            builder.finish()
        },
        build: || {
            let mut forms = Vec::with_capacity(documents.len());
            for_each_folded(documents, |form| {
                forms.push(form.to_owned());
                Ok(())
            })?;
            ExactIndex::build(&forms.iter().map(String::as_str).collect::<Vec<_>>())
        },
    };
    cache.index(&corpus.index_of(&format!("exact-{FOLDED}")), corpus.bytes, &ways)
}

/// Bytes of text that are sorted at once for a corpus.
fn sorted_bytes(corpus: &CorpusName) -> usize {
    if corpus.bytes + corpus.bytes_beside < LARGE_CORPUS {
        SORTED_BYTES
    } else {
        SORTED_BYTES / 2
    }
}

/// Exact search over words, white space aside.
struct WordIndex {
    index: TokenIndex,
    vocabulary: Vocabulary,
}

impl WordIndex {
    fn new(documents: &[Document], cache: &IndexCache, corpus: &CorpusName) -> Result<Self, Error> {
        let ways = Ways {
            open: |folder: &Path| {
                Ok(Self {
                    index: TokenIndex::open(folder)?,
                    vocabulary: Vocabulary::read(&folder.join(VOCABULARY))?,
                })
            },
            build_in: |folder: &Path| {
                let mut vocabulary = Vocabulary::default();
                let mut builder = TokenIndexBuilder::new(folder, share_of_thread(SORTED_WORDS))?;
                for_each_folded(documents, |form| builder.push(&vocabulary.number_all(form)))?;
                let index = builder.finish()?;
                vocabulary.write(&folder.join(VOCABULARY))?;
                Ok(Self { index, vocabulary })
            },
            build: || {
                let mut vocabulary = Vocabulary::default();
                let mut numbered: Vec<Vec<u32>> = Vec::with_capacity(documents.len());
                for_each_folded(documents, |form| {
                    numbered.push(vocabulary.number_all(form));
                    Ok(())
                })?;
                let numbered: Vec<&[u32]> = numbered.iter().map(Vec::as_slice).collect();
                let index = TokenIndex::build(&numbered)?;
                Ok(Self { index, vocabulary })
            },
        };
        cache.index(&corpus.index_of(&format!("words-{FOLDED}")), corpus.bytes, &ways)
    }

    /// Length of the longest run of words of each generation that occurs in a document, without what repeats the prompt.
    fn longest(&self, generations: &[Generation], after_shard: impl FnMut()) -> Vec<usize> {
        let parts: Vec<(usize, Vec<u32>)> = generations
            .par_iter()
            .enumerate()
            .flat_map_iter(|(number, generation)| {
                let parts = generation.new_parts().into_iter();
                parts.map(move |part| (number, self.vocabulary.numbers(part)))
            })
            .collect();
        let sequences: Vec<&[u32]> = parts.iter().map(|(_, words)| words.as_slice()).collect();
        let found = self.index.longest_match_of_each(&sequences, after_shard);
        let mut longest = vec![0; generations.len()];
        for ((number, _), found) in parts.iter().zip(found) {
            longest[*number] = longest[*number].max(found.map_or(0, |found| found.len()));
        }
        longest
    }
}

/// Where `passage` first occurs in `text`, in characters.
fn position(text: &str, passage: &str) -> Option<usize> {
    text.find(passage).map(|byte| text[..byte].chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_once_however_often_they_hold_a_passage() {
        let texts = [
            "Thank you for calling us.",
            "Thank you for calling us. Thank you for calling us.",
            "Thank you for calling us.",
            "He said: Thank you for calling us.",
            "thank you  for calling us.",
        ];
        let documents: Vec<Document> = texts
            .iter()
            .enumerate()
            .map(|(number, text)| Document::new(number.to_string(), (*text).to_owned(), 1))
            .collect();
        let search = ExactSearch::new(&documents, &IndexCache::default()).unwrap();
        for (passage, expected) in [
            // Documents 0, 2 and 4 are equal but for case and white space; 1 holds it twice; 3 as well.
            ("Thank you for calling us.", 3),
            ("he said", 1),
            ("she said", 0),
        ] {
            assert_eq!(search.document_frequency(passage), expected, "{passage}");
        }
    }
}
