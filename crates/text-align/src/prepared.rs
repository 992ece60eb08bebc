//! A text read once: its words, its sentences, and the terms of each sentence.

use std::ops::Range;

use crate::Span;
use crate::lexicon::Lexicon;
use crate::sentences::{self, SentenceError};
use crate::words::{NumberedWords, number_words, segment};

/// A text ready to be aligned with any number of others.
///
/// Preparation does everything that needs one text only: words, sentences, stems. It depends on no parameter and on
/// no other text, so a document is prepared once and shared between threads.
///
/// - *Words* are the segments of Unicode Standard Annex 29 that are not white space, punctuation marks included, each
///   in lower case. The verbatim step compares these.
/// - *Terms* are the English Snowball stems of the words that begin with an alphanumeric character and are longer
///   than two characters; stop words stay. The vectors count these.
///
/// Of a text of 4 GiB or more the words and sentences past that length are left out.
#[derive(Debug, Clone)]
pub struct PreparedText {
    characters: usize,
    pub(crate) words: Box<[Word]>,
    pub(crate) surfaces: Lexicon,
    pub(crate) stems: Lexicon,
    sentences: Box<[Sentence]>,
    /// How many sentences have terms.
    sentences_with_terms: usize,
    terms: Box<[Term]>,
}

/// One word of a text. Positions take four bytes each: a corpus holds millions of words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    start: u32,
    end: u32,
    /// Number of the lower-cased word in the text's lexicon.
    pub(crate) surface: u32,
}

impl Word {
    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    pub(crate) fn span(self) -> Span {
        Span::new(self.start(), self.end())
    }
}

/// A term of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    /// Number of the stem in the text's lexicon.
    pub(crate) stem: u32,
    /// How often it occurs in the sentence.
    pub(crate) count: u32,
}

#[derive(Debug, Clone)]
struct Sentence {
    start: u32,
    end: u32,
    words: Range<u32>,
    terms: Range<u32>,
}

impl Sentence {
    fn span(&self) -> Span {
        Span::new(self.start as usize, self.end as usize)
    }
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
        self.sentence_terms().map(|(span, _)| span)
    }

    /// Number of sentences that have terms.
    pub(crate) fn sentence_count(&self) -> usize {
        self.sentences_with_terms
    }

    /// For each sentence with terms: its span, and its terms in the alphabetical order of their stems.
    pub(crate) fn sentence_terms(&self) -> impl Iterator<Item = (Span, &[Term])> {
        self.sentences
            .iter()
            .filter(|sentence| !sentence.terms.is_empty())
            .map(|sentence| {
                let terms = sentence.terms.start as usize..sentence.terms.end as usize;
                (sentence.span(), &self.terms[terms])
            })
    }

    /// For each sentence that reaches into `span`, with terms or without: its span and its words.
    pub(crate) fn sentence_words(&self, span: Span) -> impl Iterator<Item = (Span, &[Word])> {
        let first = self
            .sentences
            .partition_point(|sentence| sentence.end as usize <= span.start);
        self.sentences[first..]
            .iter()
            .take_while(move |sentence| (sentence.start as usize) < span.end)
            .map(|sentence| {
                let words = sentence.words.start as usize..sentence.words.end as usize;
                (sentence.span(), &self.words[words])
            })
    }

    fn read(text: &str, sentences: &[Span]) -> Self {
        let read_bytes = text.floor_char_boundary(u32::MAX as usize);
        let mut reader = WordReader::new(&text[..read_bytes]);
        let mut word_ranges = Vec::with_capacity(sentences.len());
        let numbered = number_words(|add| {
            for sentence in sentences {
                // What is between two sentences is text too: the verbatim step must see it.
                reader.read_to(sentence.start, add);
                let first = reader.words.len() as u32;
                reader.read_to(sentence.end, add);
                word_ranges.push(first..reader.words.len() as u32);
            }
            reader.read_to(usize::MAX, add);
        });
        let WordReader {
            character: characters,
            mut words,
            ..
        } = reader;
        for (word, &surface) in words.iter_mut().zip(&numbered.words) {
            word.surface = surface;
        }

        let mut terms = Vec::new();
        let mut sentences_with_terms = 0;
        let mut places = Vec::new();
        let read_to = |character: usize| character.min(characters) as u32;
        let sentences = sentences
            .iter()
            .zip(word_ranges)
            .map(|(&Span { start, end }, range)| {
                let first = terms.len() as u32;
                let of_sentence = &words[range.start as usize..range.end as usize];
                count_terms(of_sentence, &numbered, &mut places, &mut terms);
                let terms = first..terms.len() as u32;
                sentences_with_terms += usize::from(!terms.is_empty());
                Sentence {
                    start: read_to(start),
                    end: read_to(end),
                    words: range,
                    terms,
                }
            })
            .collect();
        Self {
            characters: characters + text[read_bytes..].chars().count(),
            words: words.into(),
            surfaces: numbered.surfaces,
            stems: numbered.stems,
            sentences,
            sentences_with_terms,
            terms: terms.into(),
        }
    }
}

/// Reads the words of a text from left to right, in pieces whose ends words do not cross.
struct WordReader<'a> {
    rest: &'a str,
    character: usize,
    words: Vec<Word>,
}

impl<'a> WordReader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            character: 0,
            words: Vec::new(),
        }
    }

    fn read_to(&mut self, character: usize, add: &mut dyn FnMut(&str)) {
        let length = character.saturating_sub(self.character);
        let (piece, rest) = self.rest.split_at(first_characters(self.rest, length));
        self.rest = rest;
        let (words, mut position) = (&mut self.words, self.character);
        let space = segment(piece, |space, word| {
            let start = position + space;
            position = start + word.chars().count();
            add(word);
            words.push(Word {
                start: start as u32,
                end: position as u32,
                surface: 0,
            });
        });
        self.character = position + space;
    }
}

/// Bytes of the first `count` characters of `text`, or of all of it.
fn first_characters(text: &str, count: usize) -> usize {
    // In ASCII a character is a byte, and so a stretch of ASCII needs no walk.
    if count < text.len() && text.as_bytes()[..count].is_ascii() {
        return count;
    }
    if count >= text.len() {
        return text.len();
    }
    text.char_indices()
        .nth(count)
        .map_or(text.len(), |(byte, _)| byte)
}

/// Appends the distinct terms of `words` with their counts, in the alphabetical order of their stems.
fn count_terms(words: &[Word], numbered: &NumberedWords, places: &mut Vec<u32>, terms: &mut Vec<Term>) {
    places.clear();
    places.extend(
        words
            .iter()
            .filter_map(|word| numbered.stem_places[word.surface as usize]),
    );
    places.sort_unstable();
    terms.extend(places.chunk_by(|a, b| a == b).map(|run| Term {
        stem: numbered.alphabet[run[0] as usize],
        count: run.len() as u32,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(text: &PreparedText) -> Vec<Span> {
        text.words.iter().map(|word| word.span()).collect()
    }

    #[test]
    fn terms_are_stems_of_words_longer_than_two_characters() {
        // "The" stays (stop words do), "of" and "is" are short, "_id" does not begin alphanumerically, "--" neither.
        let text = PreparedText::new("The sleepers' Sleeping of _id -- is sleeping.");
        let (span, terms) = text.sentence_terms().next().expect("one sentence");
        let found: Vec<(&str, u32)> = terms
            .iter()
            .map(|term| (text.stems.word(term.stem as usize), term.count))
            .collect();
        assert_eq!(found, [("sleep", 2), ("sleeper", 1), ("the", 1)]);
        assert_eq!(span, Span::new(0, 45));
    }

    #[test]
    fn sentences_without_terms_drop_out_but_their_words_stay() {
        let text = "It is so. ?! The lamp burned.";
        let sentences = [Span::new(0, 9), Span::new(10, 12), Span::new(13, 29)];
        let prepared = PreparedText::with_sentences(text, &sentences).expect("spans fit");
        assert_eq!(prepared.sentences().collect::<Vec<_>>(), [Span::new(13, 29)]);
        assert_eq!(prepared.sentence_count(), 1);
        // it is so . ? ! the lamp burned .
        assert_eq!(prepared.words.len(), 10);
        assert_eq!(prepared.characters(), 29);
        let words = |start, end| {
            prepared
                .sentence_words(Span::new(start, end))
                .map(|(span, words)| (span, words.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(words(9, 14), [(sentences[1], 2), (sentences[2], 4)]);
        assert_eq!(words(8, 11), [(sentences[0], 4), (sentences[1], 2)]);
        assert_eq!(words(9, 10), []);
    }

    #[test]
    fn words_hold_no_white_space() {
        let prepared = PreparedText::new("lamp \u{301}\u{feff}\r\n\u{3000}\u{200d}zinc");
        // The two marks, at 5 and 6, are a word of their own; the joiner at 10 is one too.
        assert_eq!(
            spans(&prepared),
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
        for (text, letters) in [("lampzinc", 8), ("lämpzinc", 8)] {
            let sentences = [Span::new(1, 3), Span::new(3, 5)];
            let prepared = PreparedText::with_sentences(text, &sentences).expect("spans fit");
            assert_eq!(
                spans(&prepared),
                [
                    Span::new(0, 1),
                    Span::new(1, 3),
                    Span::new(3, 5),
                    Span::new(5, letters)
                ]
            );
        }
    }
}
