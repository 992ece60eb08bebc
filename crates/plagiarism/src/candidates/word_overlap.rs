//! Which two sentences of two texts share most of their words: a cheap guess at the pair that is nearest in meaning.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

/// Letters that a word must have more than to count: what is shorter binds sentences together and says nothing.
const SHORT_WORD: usize = 2;

/// The words of a sentence, in no order, each once.
#[derive(Debug, Clone)]
pub struct SentenceWords<'text> {
    text: &'text str,
    /// Digest of each word in lower case, ascending, with the word's weight.
    words: Vec<(u64, u32)>,
    weight: u32,
}

/// How much two sentences agree, in the order of agreement: equal ones most, others by overlap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Whether they are the same letter for letter.
    pub equal: bool,
    /// The weighted Dice coefficient of their words, 0 to 1.
    pub overlap: f32,
}

impl Agreement {
    /// The total order: equal sentences over all others.
    pub fn order(&self, other: &Self) -> Ordering {
        self.equal
            .cmp(&other.equal)
            .then(self.overlap.total_cmp(&other.overlap))
    }
}

impl<'text> SentenceWords<'text> {
    /// The words of `text`: runs of letters and digits longer than two.
    ///
    /// A word weighs its length less two: longer words are rarer (Zipf, 1935), and the rare ones tell sentences apart. This
    /// needs no counts of words over the corpus.
    pub fn of(text: &'text str) -> Self {
        let runs = text.split(|character: char| !character.is_alphanumeric());
        let mut words: Vec<(u64, u32)> = runs
            .filter_map(|word| {
                let letters = word.chars().count();
                (letters > SHORT_WORD).then(|| (digest(word), (letters - SHORT_WORD) as u32))
            })
            .collect();
        words.sort_unstable();
        words.dedup_by_key(|&mut (digest, _)| digest);
        let weight = words.iter().map(|&(_, weight)| weight).sum();
        Self { text, words, weight }
    }

    /// The sentence itself.
    pub fn text(&self) -> &'text str {
        self.text
    }

    /// How much the two sentences agree.
    pub fn agreement(&self, other: &Self) -> Agreement {
        let (mut left, mut right) = (self.words.as_slice(), other.words.as_slice());
        let mut shared = 0;
        while let (Some((first, after_first)), Some((second, after_second))) =
            (left.split_first(), right.split_first())
        {
            let order = first.0.cmp(&second.0);
            if order.is_eq() {
                shared += first.1;
            }
            left = if order.is_le() { after_first } else { left };
            right = if order.is_ge() { after_second } else { right };
        }
        let both = self.weight + other.weight;
        Agreement {
            equal: self.text == other.text,
            overlap: if both == 0 {
                0.0
            } else {
                2.0 * shared as f32 / both as f32
            },
        }
    }
}

/// The places of the two sentences that agree most, the first of equally good ones; `None` where either side has none.
pub fn nearest(left: &[SentenceWords], right: &[SentenceWords]) -> Option<(usize, usize, Agreement)> {
    let mut best: Option<(usize, usize, Agreement)> = None;
    for (first, left) in left.iter().enumerate() {
        for (second, right) in right.iter().enumerate() {
            let agreement = left.agreement(right);
            if best.is_none_or(|(.., best)| agreement.order(&best).is_gt()) {
                best = Some((first, second, agreement));
            }
        }
    }
    best
}

fn digest(word: &str) -> u64 {
    if word
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        xxh3_64(word.as_bytes())
    } else {
        xxh3_64(word.to_lowercase().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_weighs_words_by_length() {
        for (left, right, equal, overlap) in [
            ("The lamp burned.", "The lamp burned.", true, 1.0),
            // The same words in another order and case.
            ("The lamp burned.", "Burned the LAMP?", false, 1.0),
            // the 1, lamp 2, burned 4 against the 1, moon 2, burned 4: 2 · 5 / 14.
            ("The lamp burned.", "The moon burned.", false, 10.0 / 14.0),
            // A word counts once, and words of two letters not at all.
            ("Lamp, lamp: it is.", "A lamp", false, 1.0),
            ("It is so.", "It is so.", true, 0.0),
            ("Ärzte", "ärzte", false, 1.0),
            ("moon", "", false, 0.0),
        ] {
            let found = SentenceWords::of(left).agreement(&SentenceWords::of(right));
            assert_eq!(found, Agreement { equal, overlap }, "{left:?} {right:?}");
        }
    }

    #[test]
    fn equal_sentences_are_nearest_and_ties_go_to_the_first() {
        let words = |texts: &[&'static str]| {
            texts
                .iter()
                .map(|text| SentenceWords::of(text))
                .collect::<Vec<_>>()
        };
        let places = |left: &[&'static str], right: &[&'static str]| {
            nearest(&words(left), &words(right)).map(|(first, second, _)| (first, second))
        };
        assert_eq!(
            places(&["a moon", "it is so"], &["moon a", "it is so"]),
            Some((1, 1))
        );
        assert_eq!(places(&["lamp", "moon"], &["moon bay", "lamp oil"]), Some((0, 1)));
        assert_eq!(places(&["x"], &["y", "z"]), Some((0, 0)));
        assert_eq!(places(&[], &["moon"]), None);
    }
}
