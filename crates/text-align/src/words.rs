//! From letters to words: segmentation, lower case, stems.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation;

use crate::lexicon::{self, Lexicon};

/// A term has more characters than this.
const SHORT_WORD: usize = 2;

/// Longer words are their own stem: no English word is longer, and the stemmer's time need not be linear in them.
const MAX_STEMMED: usize = 64;

/// A thread forgets the words it has met when they have more letters than this together.
const REMEMBERED_BYTES: usize = 4 << 20;

/// Calls `found` with each word of `piece` and how many characters of white space precede it, in order. Returns
/// the characters of white space after the last one.
pub(crate) fn segment<'a>(piece: &'a str, mut found: impl FnMut(usize, &'a str)) -> usize {
    if piece.is_ascii() {
        return segment_ascii(piece, found);
    }
    let mut space = 0;
    for segment in piece.split_word_bounds() {
        // A mark that has nothing but white space to combine with shares a segment with it.
        let word = segment.trim_start();
        space += segment[..segment.len() - word.len()].chars().count();
        if !word.is_empty() {
            found(space, word);
            space = 0;
        }
    }
    space
}

/// The same for ASCII, where the library has a faster way to the words with a letter or digit. What is between
/// them is white space, runs of low lines, and single characters.
fn segment_ascii<'a>(piece: &'a str, mut found: impl FnMut(usize, &'a str)) -> usize {
    let mut space = 0;
    let mut reached = 0;
    let signs = |from: usize, to: usize, space: &mut usize, found: &mut dyn FnMut(usize, &'a str)| {
        let mut start = from;
        while start < to {
            let byte = piece.as_bytes()[start];
            let mut end = start + 1;
            if char::from(byte).is_whitespace() {
                *space += 1;
            } else {
                while byte == b'_' && end < to && piece.as_bytes()[end] == b'_' {
                    end += 1;
                }
                found(std::mem::take(space), &piece[start..end]);
            }
            start = end;
        }
    };
    for (start, word) in piece.unicode_word_indices() {
        signs(reached, start, &mut space, &mut found);
        found(std::mem::take(&mut space), word);
        reached = start + word.len();
    }
    signs(reached, piece.len(), &mut space, &mut found);
    space
}

thread_local! {
    static VOCABULARY: RefCell<Vocabulary> = RefCell::new(Vocabulary::new());
}

/// The words that this thread has met, so that each is stemmed once and not in every text. What is found for a text
/// does not depend on what was met before.
struct Vocabulary {
    stemmer: Stemmer,
    surfaces: Table,
    /// For each surface the number of its stem, if it is a term.
    stem_of_surface: Vec<Option<u32>>,
    stems: Table,
    lower: String,
}

/// Distinct strings, numbered in the order in which they were met.
#[derive(Default)]
struct Table {
    numbers: HashMap<Rc<str>, u32>,
    entries: Vec<Entry>,
    bytes: usize,
}

struct Entry {
    word: Rc<str>,
    fingerprint: u32,
    /// Its number in the text that is being read, if it is there.
    in_text: Option<u32>,
}

impl Table {
    fn number(&mut self, word: &str) -> (u32, bool) {
        if let Some(&number) = self.numbers.get(word) {
            return (number, false);
        }
        let (number, shared) = (self.entries.len() as u32, Rc::<str>::from(word));
        self.bytes += word.len();
        self.entries.push(Entry {
            word: Rc::clone(&shared),
            fingerprint: lexicon::fingerprint(word),
            in_text: None,
        });
        self.numbers.insert(shared, number);
        (number, true)
    }

    fn key(&self, number: u32) -> (u32, &str) {
        let entry = &self.entries[number as usize];
        (entry.fingerprint, &entry.word)
    }

    /// The lexicon of the words with these numbers, and for each its number there.
    fn lexicon(&self, numbers: &[u32]) -> (Lexicon, Vec<u32>) {
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        let key = |position: u32| self.key(numbers[position as usize]);
        order.sort_unstable_by(|&a, &b| lexicon::order(key(a), key(b)));
        let mut ranks = vec![0; numbers.len()];
        for (rank, &position) in order.iter().enumerate() {
            ranks[position as usize] = rank as u32;
        }
        (
            Lexicon::from_sorted(order.iter().map(|&position| key(position))),
            ranks,
        )
    }
}

impl Vocabulary {
    fn new() -> Self {
        Self {
            stemmer: Stemmer::create(Algorithm::English),
            surfaces: Table::default(),
            stem_of_surface: Vec::new(),
            stems: Table::default(),
            lower: String::new(),
        }
    }

    fn surface(&mut self, word: &str) -> u32 {
        self.lower.clear();
        if word.is_ascii() {
            self.lower
                .extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
        } else {
            self.lower.push_str(&word.to_lowercase());
        }
        let (number, is_new) = self.surfaces.number(&self.lower);
        if is_new {
            let stem = stem(&self.stemmer, &self.lower).map(|stem| self.stems.number(&stem).0);
            self.stem_of_surface.push(stem);
        }
        number
    }
}

fn stem<'a>(stemmer: &Stemmer, word: &'a str) -> Option<std::borrow::Cow<'a, str>> {
    let length = word.chars().count();
    let is_term = length > SHORT_WORD && word.starts_with(char::is_alphanumeric);
    is_term.then(|| {
        if length > MAX_STEMMED {
            word.into()
        } else {
            stemmer.stem(word)
        }
    })
}

/// Collects the words of one text.
pub(crate) struct TextWords {
    /// For each word met, the number of its surface in the order of first appearance.
    surfaces: Vec<u32>,
    /// Their numbers in the thread's vocabulary.
    distinct: Vec<u32>,
}

/// The words of a text under their final numbers.
pub(crate) struct NumberedWords {
    /// For each word met, its number in `surfaces`.
    pub(crate) words: Vec<u32>,
    pub(crate) surfaces: Lexicon,
    pub(crate) stems: Lexicon,
    /// The stems' numbers in alphabetical order.
    pub(crate) alphabet: Vec<u32>,
    /// For each surface the place of its stem in `alphabet`, if it is a term.
    pub(crate) stem_places: Vec<Option<u32>>,
}

/// Runs `read`, which hands every word of a text to the [`TextWords`] it is given, and numbers what it found.
pub(crate) fn number_words(read: impl FnOnce(&mut dyn FnMut(&str))) -> NumberedWords {
    VOCABULARY.with_borrow_mut(|vocabulary| {
        let mut words = TextWords {
            surfaces: Vec::new(),
            distinct: Vec::new(),
        };
        read(&mut |word| words.add(vocabulary, word));
        let numbered = words.finish(vocabulary);
        if vocabulary.surfaces.bytes > REMEMBERED_BYTES {
            *vocabulary = Vocabulary::new();
        }
        numbered
    })
}

impl TextWords {
    fn add(&mut self, vocabulary: &mut Vocabulary, word: &str) {
        let number = vocabulary.surface(word);
        let entry = &mut vocabulary.surfaces.entries[number as usize];
        let in_text = *entry.in_text.get_or_insert_with(|| {
            self.distinct.push(number);
            self.distinct.len() as u32 - 1
        });
        self.surfaces.push(in_text);
    }

    fn finish(self, vocabulary: &mut Vocabulary) -> NumberedWords {
        let mut stems = Vec::new();
        let mut stem_of_distinct = Vec::with_capacity(self.distinct.len());
        for &number in &self.distinct {
            vocabulary.surfaces.entries[number as usize].in_text = None;
            let stem = vocabulary.stem_of_surface[number as usize].map(|stem| {
                let entry = &mut vocabulary.stems.entries[stem as usize];
                *entry.in_text.get_or_insert_with(|| {
                    stems.push(stem);
                    stems.len() as u32 - 1
                })
            });
            stem_of_distinct.push(stem);
        }
        for &stem in &stems {
            vocabulary.stems.entries[stem as usize].in_text = None;
        }

        let (surface_lexicon, surface_ranks) = vocabulary.surfaces.lexicon(&self.distinct);
        let (stem_lexicon, stem_ranks) = vocabulary.stems.lexicon(&stems);
        let mut by_letters: Vec<u32> = (0..stems.len() as u32).collect();
        let letters = |position: u32| vocabulary.stems.key(stems[position as usize]).1;
        by_letters.sort_unstable_by(|&a, &b| letters(a).cmp(letters(b)));
        let mut places = vec![0; stems.len()];
        for (place, &position) in by_letters.iter().enumerate() {
            places[position as usize] = place as u32;
        }
        let mut stem_places = vec![None; self.distinct.len()];
        for (&rank, stem) in surface_ranks.iter().zip(&stem_of_distinct) {
            stem_places[rank as usize] = stem.map(|stem| places[stem as usize]);
        }
        NumberedWords {
            words: self
                .surfaces
                .iter()
                .map(|&surface| surface_ranks[surface as usize])
                .collect(),
            surfaces: surface_lexicon,
            stems: stem_lexicon,
            alphabet: by_letters
                .iter()
                .map(|&position| stem_ranks[position as usize])
                .collect(),
            stem_places,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments(piece: &str) -> (Vec<(usize, &str)>, usize) {
        let mut found = Vec::new();
        let rest = segment(piece, |space, word| found.push((space, word)));
        (found, rest)
    }

    #[test]
    fn words_come_with_the_white_space_before_them() {
        let (found, rest) = segments(" don't_x __  3.14,\r\n(é) ");
        let expected = [
            (1, "don't_x"),
            (1, "__"),
            (2, "3.14"),
            (0, ","),
            (2, "("),
            (0, "é"),
            (0, ")"),
        ];
        assert_eq!((found.as_slice(), rest), (&expected[..], 1));
    }

    proptest! {
        #[test]
        fn ascii_is_segmented_as_any_other_text(piece in "[ -~\t\r\n\u{0}\u{b}\u{c}]{0,60}") {
            let mut slow = Vec::new();
            let mut space = 0;
            for segment in piece.split_word_bounds() {
                if segment.trim_start().is_empty() {
                    space += segment.len();
                } else {
                    slow.push((std::mem::take(&mut space), segment));
                }
            }
            prop_assert_eq!(segments(&piece), (slow, space));
        }
    }

    #[test]
    fn a_text_does_not_depend_on_what_was_met_before() {
        let read = |text: &str| {
            let numbered = number_words(|add| {
                segment(text, |_, word| add(word));
            });
            let stems: Vec<String> = numbered
                .alphabet
                .iter()
                .map(|&number| numbered.stems.word(number as usize).to_owned())
                .collect();
            (numbered.words, stems)
        };
        let first = read("The sleepers slept, sleeping.");
        assert_eq!(first.1, ["sleep", "sleeper", "slept", "the"]);
        read("Sleep is for the sleeper, said the lamp.");
        assert_eq!(read("The sleepers slept, sleeping."), first);
    }
}
