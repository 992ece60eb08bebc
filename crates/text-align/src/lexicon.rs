//! The distinct words of a text, in an order in which the words of two texts are matched fast.

use std::cmp::Ordering;

/// Distinct words, ascending by [`fingerprint`] and then by letters; a word's position is its number in the text.
///
/// Two lexicons are matched by merging their fingerprints, integers that were computed once. Letters are compared only
/// where fingerprints agree, so that words match if and only if they are equal.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon {
    letters: Box<str>,
    ends: Box<[u32]>,
    fingerprints: Box<[u32]>,
}

impl Lexicon {
    /// `words` must be distinct and sorted by [`order`]; each comes with its fingerprint.
    pub(crate) fn from_sorted<'a>(words: impl ExactSizeIterator<Item = (u32, &'a str)>) -> Self {
        let mut letters = String::new();
        let mut ends = Vec::with_capacity(words.len());
        let mut fingerprints = Vec::with_capacity(words.len());
        for (fingerprint, word) in words {
            letters.push_str(word);
            ends.push(letters.len() as u32);
            fingerprints.push(fingerprint);
        }
        Self {
            letters: letters.into(),
            ends: ends.into(),
            fingerprints: fingerprints.into(),
        }
    }

    /// How many words there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The word of this number.
    pub(crate) fn word(&self, number: usize) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.letters[start as usize..self.ends[number] as usize]
    }

    /// The number of `word`, if it is there.
    pub(crate) fn number(&self, word: &str) -> Option<usize> {
        let wanted = (fingerprint(word), word);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match order((self.fingerprints[middle], self.word(middle)), wanted) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Numbers for the words of `other` beside those of this lexicon: a word that is here has the same number, and one
    /// that is not has a number from [`Self::len`] on.
    pub(crate) fn numbers_of(&self, other: &Self) -> Vec<u32> {
        let first_new = self.len() as u32;
        let mut numbers: Vec<u32> = (first_new..first_new + other.len() as u32).collect();
        self.for_each_shared(other, |here, there| numbers[there as usize] = here);
        numbers
    }

    /// Calls `meet` with the numbers of each word that both lexicons have, in order.
    pub(crate) fn for_each_shared(&self, other: &Self, mut meet: impl FnMut(u32, u32)) {
        let (left, right) = (&self.fingerprints, &other.fingerprints);
        let (mut i, mut j) = (0, 0);
        while i < left.len() && j < right.len() {
            let (a, b) = (left[i], right[j]);
            if a != b {
                i += usize::from(a < b);
                j += usize::from(b < a);
                continue;
            }
            match self.word(i).cmp(other.word(j)) {
                Ordering::Less => i += 1,
                Ordering::Greater => j += 1,
                Ordering::Equal => {
                    meet(i as u32, j as u32);
                    i += 1;
                    j += 1;
                }
            }
        }
    }
}

/// The order of the words in a lexicon.
pub(crate) fn order(left: (u32, &str), right: (u32, &str)) -> Ordering {
    left.cmp(&right)
}

/// The upper half of the 64-bit FNV-1a hash (Fowler, Noll and Vo). Nothing but speed depends on it.
pub(crate) fn fingerprint(word: &str) -> u32 {
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With fingerprints of the test's choice.
    fn lexicon(words: &[(u32, &'static str)]) -> Lexicon {
        assert!(words.is_sorted());
        Lexicon::from_sorted(words.iter().copied())
    }

    fn shared(left: &Lexicon, right: &Lexicon) -> Vec<(u32, u32)> {
        let mut met = Vec::new();
        left.for_each_shared(right, |i, j| met.push((i, j)));
        met
    }

    #[test]
    fn words_match_if_their_letters_do() {
        let left = lexicon(&[(1, "bark"), (3, "lamp"), (3, "moon"), (7, "zinc")]);
        let right = lexicon(&[(1, "horn"), (3, "fish"), (3, "moon"), (5, "clay"), (7, "zinc")]);
        assert_eq!(shared(&left, &right), [(2, 2), (3, 4)]);
        assert_eq!(shared(&right, &left), [(2, 2), (4, 3)]);
        assert_eq!(shared(&left, &lexicon(&[])), []);
        assert_eq!(left.numbers_of(&right), [4, 5, 2, 7, 3]);
    }

    #[test]
    fn words_are_found_by_their_letters() {
        let mut words: Vec<(u32, &str)> = ["lamp", "", "zinc", "moon", "漢字"]
            .map(|word| (fingerprint(word), word))
            .to_vec();
        words.sort_unstable();
        let lexicon = lexicon(&words);
        for (number, &(_, word)) in words.iter().enumerate() {
            assert_eq!((lexicon.word(number), lexicon.number(word)), (word, Some(number)));
        }
        assert_eq!(lexicon.number("fish"), None);
    }

    #[test]
    fn fingerprints_have_their_published_values() {
        // FNV-1a, 64 bits: "" 0xcbf29ce484222325, "a" 0xaf63dc4c8601ec8c, "foobar" 0x85944171f73967e8.
        for (word, expected) in [("", 0xcbf2_9ce4), ("a", 0xaf63_dc4c), ("foobar", 0x8594_4171)] {
            assert_eq!(fingerprint(word), expected);
        }
    }
}
