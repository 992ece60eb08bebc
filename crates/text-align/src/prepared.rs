//! A text read once: its words, its sentences, and the terms of each sentence.

use std::collections::HashMap;
use std::ops::Range;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation;

use crate::Span;
use crate::lexicon::Lexicon;
use crate::sentences::{self, SentenceError};

/// A term has more characters than this.
const SHORT_WORD: usize = 2;

/// Longer words are their own stem: no English word is longer, and the stemmer's time need not be linear in them.
const LONGEST_STEMMED: usize = 64;

/// A text ready to be aligned with any number of others.
///
/// Preparation does everything that needs one text only: words, sentences, stems. It depends on no parameter and on
/// no other text, so a document is prepared once and shared between threads.
///
/// - *Words* are the segments of Unicode Standard Annex 29 that are not white space, punctuation marks included, each
///   in lower case. The verbatim step compares these.
/// - *Terms* are the English Snowball stems of the words that begin with an alphanumeric character and are longer
///   than two characters; stop words stay. The vectors count these.
#[derive(Debug, Clone)]
pub struct PreparedText {
    characters: usize,
    pub(crate) words: Vec<Word>,
    pub(crate) surfaces: Lexicon,
    pub(crate) stems: Lexicon,
    sentences: Vec<Sentence>,
    terms: Vec<(u32, u32)>,
}

/// One word of a text.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) span: Span,
    /// Rank of the lower-cased word among the text's words.
    pub(crate) surface: u32,
}

/// One sentence with at least one term.
#[derive(Debug, Clone)]
struct Sentence {
    span: Span,
    terms: Range<usize>,
}

impl PreparedText {
    /// Prepares `text` with the sentences that [`sentences::split`](crate::sentences::split) finds.
    pub fn new(text: &str) -> Self {
        Self::read(text, &sentences::split(text))
    }

    /// Prepares `text` with sentences found elsewhere: spans in characters, in order, without overlap. They need not
    /// cover the text.
    ///
    /// # Errors
    /// If a span leaves the text, ends before it starts, or starts before its predecessor ends.
    pub fn with_sentences(text: &str, sentences: &[Span]) -> Result<Self, SentenceError> {
        sentences::check(sentences, text.chars().count())?;
        Ok(Self::read(text, sentences))
    }

    /// Length of the text in characters.
    pub fn characters(&self) -> usize {
        self.characters
    }

    /// The sentences that have terms, in order. Whether short ones are joined is up to the parameters of an alignment.
    pub fn sentences(&self) -> impl Iterator<Item = Span> {
        self.sentences.iter().map(|sentence| sentence.span)
    }

    /// For each sentence with terms: its span, and its terms as (rank of the stem, count), ranks ascending.
    pub(crate) fn sentence_terms(&self) -> impl ExactSizeIterator<Item = (Span, &[(u32, u32)])> {
        self.sentences
            .iter()
            .map(|sentence| (sentence.span, &self.terms[sentence.terms.clone()]))
    }

    fn read(text: &str, sentences: &[Span]) -> Self {
        let mut reader = WordReader::new(text);
        let mut word_ranges = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            // What stands between two sentences is text too: the verbatim step must see it.
            reader.read_to(sentence.start);
            let first = reader.words.len();
            reader.read_to(sentence.end);
            word_ranges.push(first..reader.words.len());
        }
        reader.read_to(usize::MAX);

        let WordReader {
            character: characters,
            mut words,
            surfaces,
            ..
        } = reader;
        let surfaces = sorted_surfaces(surfaces, &mut words);
        let (stems, stem_of_surface) = stem_all(&surfaces);

        let mut kept = Vec::with_capacity(sentences.len());
        let mut terms = Vec::new();
        for (&span, range) in sentences.iter().zip(word_ranges) {
            let first = terms.len();
            count_terms(&words[range], &stem_of_surface, &mut terms);
            if terms.len() > first {
                kept.push(Sentence {
                    span,
                    terms: first..terms.len(),
                });
            }
        }
        let surfaces = Lexicon::from_sorted(surfaces.iter().map(AsRef::as_ref));
        Self {
            characters,
            words,
            surfaces,
            stems,
            sentences: kept,
            terms,
        }
    }
}

/// Reads the words of a text from left to right, in pieces whose ends words do not cross.
struct WordReader<'a> {
    rest: &'a str,
    character: usize,
    words: Vec<Word>,
    /// Distinct lower-cased words, numbered in order of appearance.
    surfaces: HashMap<Box<str>, u32>,
    lower: String,
}

impl<'a> WordReader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            character: 0,
            words: Vec::new(),
            surfaces: HashMap::new(),
            lower: String::new(),
        }
    }

    fn read_to(&mut self, character: usize) {
        let length = character.saturating_sub(self.character);
        let end = self
            .rest
            .char_indices()
            .nth(length)
            .map_or(self.rest.len(), |(byte, _)| byte);
        let (piece, rest) = self.rest.split_at(end);
        self.rest = rest;
        for segment in piece.split_word_bounds() {
            // A mark that has nothing but white space to combine with shares a segment with it.
            let word = segment.trim_start();
            self.character += segment[..segment.len() - word.len()].chars().count();
            if word.is_empty() {
                continue;
            }
            let start = self.character;
            self.character += word.chars().count();
            let surface = self.number(word);
            self.words.push(Word {
                span: Span::new(start, self.character),
                surface,
            });
        }
    }

    fn number(&mut self, word: &str) -> u32 {
        self.lower.clear();
        if word.is_ascii() {
            self.lower
                .extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        } else {
            self.lower.push_str(&word.to_lowercase());
        }
        if let Some(&number) = self.surfaces.get(self.lower.as_str()) {
            return number;
        }
        let number = self.surfaces.len() as u32;
        self.surfaces.insert(self.lower.as_str().into(), number);
        number
    }
}

/// Sorts the distinct words and turns their numbers in `words` into ranks.
fn sorted_surfaces(surfaces: HashMap<Box<str>, u32>, words: &mut [Word]) -> Vec<Box<str>> {
    let mut sorted: Vec<(Box<str>, u32)> = surfaces.into_iter().collect();
    sorted.sort_unstable();
    let mut ranks = vec![0; sorted.len()];
    for (rank, &(_, number)) in sorted.iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    for word in words {
        word.surface = ranks[word.surface as usize];
    }
    sorted.into_iter().map(|(surface, _)| surface).collect()
}

/// The stems of `surfaces`, and for each surface the rank of its stem, if it is a term at all.
fn stem_all(surfaces: &[Box<str>]) -> (Lexicon, Vec<Option<u32>>) {
    let stemmer = Stemmer::create(Algorithm::English);
    let stems: Vec<_> = surfaces.iter().map(|surface| stem(&stemmer, surface)).collect();
    let mut distinct: Vec<&str> = stems.iter().flatten().map(AsRef::as_ref).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let rank = |stem: &str| distinct.partition_point(|&other| other < stem) as u32;
    let ranks = stems.iter().map(|stem| stem.as_deref().map(rank)).collect();
    (Lexicon::from_sorted(distinct), ranks)
}

fn stem<'a>(stemmer: &Stemmer, word: &'a str) -> Option<std::borrow::Cow<'a, str>> {
    let length = word.chars().count();
    let is_term = length > SHORT_WORD && word.starts_with(char::is_alphanumeric);
    is_term.then(|| {
        if length > LONGEST_STEMMED {
            word.into()
        } else {
            stemmer.stem(word)
        }
    })
}

/// Appends the distinct terms of `words` with their counts, ranks ascending.
fn count_terms(words: &[Word], stem_of_surface: &[Option<u32>], terms: &mut Vec<(u32, u32)>) {
    let mut ranks: Vec<u32> = words
        .iter()
        .filter_map(|word| stem_of_surface[word.surface as usize])
        .collect();
    ranks.sort_unstable();
    terms.extend(
        ranks
            .chunk_by(|a, b| a == b)
            .map(|run| (run[0], run.len() as u32)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_stems_of_words_longer_than_two_characters() {
        // "The" stays (stop words do), "of" and "is" are short, "_id" does not begin alphanumerically, "--" neither.
        let text = PreparedText::new("The sleepers' Sleeping of _id -- is sleeping.");
        let (span, terms) = text.sentence_terms().next().expect("one sentence");
        // Stems in order: sleep (Sleeping, sleeping), sleeper, the.
        assert_eq!(terms, [(0, 2), (1, 1), (2, 1)]);
        assert_eq!(span, Span::new(0, 45));
    }

    #[test]
    fn sentences_without_terms_drop_out_but_their_words_stay() {
        let text = "It is so. ?! The lamp burned.";
        let spans = [Span::new(0, 9), Span::new(10, 12), Span::new(13, 29)];
        let prepared = PreparedText::with_sentences(text, &spans).expect("spans fit");
        assert_eq!(prepared.sentences().collect::<Vec<_>>(), [Span::new(13, 29)]);
        // it is so . ? ! the lamp burned .
        assert_eq!(prepared.words.len(), 10);
        assert_eq!(prepared.characters(), 29);
    }

    #[test]
    fn words_hold_no_white_space() {
        let prepared = PreparedText::new("lamp \u{301}\u{feff}\r\n\u{3000}\u{200d}zinc");
        let found: Vec<Span> = prepared.words.iter().map(|word| word.span).collect();
        // The two marks, at 5 and 6, are a word of their own; the joiner at 10 is one too.
        assert_eq!(
            found,
            [
                Span::new(0, 4),
                Span::new(5, 7),
                Span::new(10, 11),
                Span::new(11, 15)
            ]
        );
    }

    #[test]
    fn words_do_not_cross_the_ends_of_given_sentences() {
        let spans = [Span::new(1, 3), Span::new(3, 5)];
        let prepared = PreparedText::with_sentences("lampzinc", &spans).expect("spans fit");
        let found: Vec<Span> = prepared.words.iter().map(|word| word.span).collect();
        assert_eq!(
            found,
            [Span::new(0, 1), Span::new(1, 3), Span::new(3, 5), Span::new(5, 8)]
        );
    }
}
