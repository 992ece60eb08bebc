//! The words of a corpus, numbered.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use text_index::IndexError;
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_128;

/// Words and their numbers, in the order in which they were first met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    numbers: HashMap<Box<str>, u32>,
}

impl Vocabulary {
    /// The numbers of the words of `text`; new words get the next ones.
    pub(crate) fn number_all(&mut self, text: &str) -> Vec<u32> {
        words(text)
            .map(|word| {
                if let Some(&number) = self.numbers.get(word) {
                    return number;
                }
                let number = self.numbers.len() as u32;
                self.numbers.insert(word.into(), number);
                number
            })
            .collect()
    }

    /// The numbers of the words of `text`; unknown ones share a number that no word has.
    pub(crate) fn numbers(&self, text: &str) -> Vec<u32> {
        let unknown = self.numbers.len() as u32;
        words(text)
            .map(|word| self.numbers.get(word).copied().unwrap_or(unknown))
            .collect()
    }

    /// Writes the words in order, each on a line, after a line with the digest of the rest. A word holds no line break: those
    /// are white space, and a segment of their own.
    pub(crate) fn write(&self, file: &Path) -> Result<(), IndexError> {
        let mut words: Vec<(&u32, &str)> = self
            .numbers
            .iter()
            .map(|(word, number)| (number, &**word))
            .collect();
        words.sort_unstable();
        let words: Vec<&str> = words.into_iter().map(|(_, word)| word).collect();
        let words = words.join("\n");
        fs::write(file, format!("{:032x}\n{words}", xxh3_128(words.as_bytes()))).map_err(|source| {
            IndexError::File {
                path: file.to_owned(),
                source,
            }
        })
    }

    /// Reads what [`Vocabulary::write`] wrote.
    pub(crate) fn read(file: &Path) -> Result<Self, IndexError> {
        let damaged = |reason: &str| IndexError::NotAnIndex {
            path: file.to_owned(),
            reason: reason.to_owned(),
        };
        let text = fs::read_to_string(file).map_err(|error| damaged(&error.to_string()))?;
        let (digest, words) = text.split_once('\n').ok_or_else(|| damaged("it has no words"))?;
        if digest != format!("{:032x}", xxh3_128(words.as_bytes())) {
            return Err(damaged("its digest is another"));
        }
        let numbers = words
            .split('\n')
            .zip(0..)
            .map(|(word, number)| (word.into(), number));
        Ok(Self {
            numbers: numbers
                .filter(|(word, _): &(Box<str>, u32)| !word.is_empty())
                .collect(),
        })
    }
}

/// The words and punctuation marks of a text (Unicode Standard Annex 29, white space left out), as they are.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_word_bounds().filter(|word| !word.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_numbers_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("words");
        for text in ["", "a b, a\r\nc \u{2028}d\u{85}e 🦀\u{0}x \u{301} \u{b}f"] {
            let mut vocabulary = Vocabulary::default();
            let numbers = vocabulary.number_all(text);
            vocabulary.write(&file).unwrap();
            let read = Vocabulary::read(&file).unwrap();
            assert_eq!((&read, read.numbers(text)), (&vocabulary, numbers), "{text:?}");
        }
        // a 0, b 1, the comma 2; what is unknown comes after all.
        let mut vocabulary = Vocabulary::default();
        assert_eq!(vocabulary.number_all("a b, a"), [0, 1, 2, 0]);
        assert_eq!(vocabulary.numbers("b z a"), [1, 3, 0]);
        fs::write(&file, "0\nx").unwrap();
        assert!(Vocabulary::read(&file).is_err());
    }
}
