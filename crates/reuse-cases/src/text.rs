//! Texts by sentences and by words.
//!
//! Sentences are those of Unicode Standard Annex 29, on purpose: a detector that is put to the test here has a splitter of its
//! own, and truth must not depend on it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Texts that share a run of so many words share a copy: a passage may share none with a second document.
pub(crate) const LONG_RUN: usize = 8;

/// Texts that share a run of so many words may share a set phrase: surroundings may share none with any document.
pub(crate) const SHORT_RUN: usize = 5;

/// A sentence and where it lies, in bytes, without white space at its ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sentence<'text> {
    pub(crate) text: &'text str,
    pub(crate) start: usize,
    pub(crate) words: usize,
}

impl Sentence<'_> {
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

pub(crate) fn sentences(text: &str) -> Vec<Sentence<'_>> {
    text.split_sentence_bound_indices()
        .filter_map(|(byte, sentence)| {
            let inner = sentence.trim_start();
            let start = byte + sentence.len() - inner.len();
            let text = inner.trim_end();
            (!text.is_empty()).then(|| Sentence {
                text,
                start,
                words: text.unicode_words().count(),
            })
        })
        .collect()
}

/// Number of words.
pub(crate) fn word_count(text: &str) -> usize {
    text.unicode_words().count()
}

/// A range of bytes as a range of characters.
pub(crate) fn in_characters(text: &str, bytes: Range<usize>) -> Range<usize> {
    let start = text[..bytes.start].chars().count();
    start..start + text[bytes].chars().count()
}

/// A number for each run of `length` words, whatever their case and what is between them.
pub(crate) fn runs(text: &str, length: usize) -> Vec<u64> {
    let words: Vec<String> = text.unicode_words().map(str::to_lowercase).collect();
    let number = |run: &[String]| {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        hasher.finish()
    };
    words.windows(length).map(number).collect()
}

/// A text cut into words and what is between them; together they are the text again.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    text.split_word_bounds().map(str::to_owned).collect()
}

pub(crate) fn is_word(piece: &str) -> bool {
    piece.starts_with(char::is_alphanumeric)
}

/// The text with a capital first letter.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The text with a small first letter, unless the word it begins has further capitals ("I", "DNA") or digits.
pub(crate) fn uncapitalized(text: &str) -> String {
    let first_word = text.split_word_bounds().next().unwrap_or_default();
    let is_plain = first_word.chars().count() > 1 && first_word.chars().skip(1).all(char::is_lowercase);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if is_plain => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_trimmed_and_know_their_place() {
        let text = "  Ärzte häufen Akten an.\nThe end?  Yes ";
        let found = sentences(text);
        let texts: Vec<&str> = found.iter().map(|sentence| sentence.text).collect();
        assert_eq!(texts, ["Ärzte häufen Akten an.", "The end?", "Yes"]);
        for sentence in &found {
            assert_eq!(&text[sentence.start..sentence.end()], sentence.text);
        }
        // Two bytes for each of the two letters with dots: byte 27 is character 25.
        assert_eq!(in_characters(text, found[1].start..found[1].end()), 25..33);
        assert_eq!(found[0].words, 4);
    }

    #[test]
    fn runs_know_neither_case_nor_punctuation() {
        let runs_of = |text| runs(text, 8);
        assert_eq!(runs_of("a b c d e f g h"), runs_of("A, B; C d (e) f g. H!"));
        assert_eq!(runs_of("a b c d e f g h i").len(), 2);
        assert!(runs_of("a b c d e f g").is_empty());
    }

    #[test]
    fn first_letters_change_unless_the_word_is_a_name_by_its_capitals() {
        assert_eq!(capitalized("élan is all"), "Élan is all");
        for (text, expected) in [
            ("The lamp", "the lamp"),
            ("I am", "I am"),
            ("DNA is", "DNA is"),
            ("", ""),
        ] {
            assert_eq!(uncapitalized(text), expected);
        }
    }
}
