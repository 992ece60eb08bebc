//! Texts of a chosen perplexity: words of the corpus that follow one another as there, or do not.
//!
//! The perplexity is that under pairs of words of the corpus, half of the probability being that of the word alone: it needs no model, and is the same
//! for all of them. The likelier a text is beforehand, the less a model shows of having seen it (Meeus et al. 2024, "Copyright Traps", which
//! drew such texts from a language model).

use std::collections::HashMap;

use rand::{Rng, RngExt};
use unicode_segmentation::UnicodeSegmentation;

/// How far from the chosen perplexity a text may be, as a share of it.
const TOLERANCE: f64 = 0.1;

/// Different words without which nothing is drawn.
const FEWEST_WORDS: usize = 50;

/// Texts that are tried until it is known how often a word has to follow the one before it.
const TRIALS: usize = 400;

/// Texts that are drawn at most until one has the perplexity.
const MOST_DRAWN: usize = 20_000;

/// How often words of a corpus occur, and follow one another.
#[derive(Debug, Default)]
pub(crate) struct WordPairs {
    words: Vec<String>,
    /// Of each word, the sum of the counts up to it.
    sums: Vec<u32>,
    /// Of each word, the words that follow it, each with the sum of the counts up to it.
    followers: Vec<Vec<(u32, u32)>>,
}

/// Draws texts of one length and perplexity.
#[derive(Debug)]
pub(crate) struct WordTexts {
    pairs: WordPairs,
    number: usize,
    perplexity: f64,
    /// How probably a word is drawn as the corpus has it; else any word is.
    as_there: f64,
}

/// No text of that perplexity can be drawn from these words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NoTexts {
    /// There are so few different words.
    FewWords(usize),
    /// The lowest and the highest perplexity that were found.
    OutOfReach(f64, f64),
}

impl WordPairs {
    /// Of some texts, in their order.
    pub(crate) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut pairs = Self::default();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut counts: Vec<u32> = Vec::new();
        let mut followers: Vec<HashMap<u32, u32>> = Vec::new();
        for text in texts {
            let mut before: Option<u32> = None;
            for word in text.unicode_words() {
                let number = *numbers.entry(word).or_insert_with(|| {
                    pairs.words.push(word.to_owned());
                    counts.push(0);
                    followers.push(HashMap::new());
                    counts.len() as u32 - 1
                });
                counts[number as usize] += 1;
                if let Some(before) = before.replace(number) {
                    *followers[before as usize].entry(number).or_default() += 1;
                }
            }
        }
        pairs.sums = running_sums(counts.into_iter());
        pairs.followers = followers
            .into_iter()
            .map(|following| {
                let mut following: Vec<(u32, u32)> = following.into_iter().collect();
                following.sort_unstable();
                let sums = running_sums(following.iter().map(|&(_, count)| count));
                following.into_iter().map(|(word, _)| word).zip(sums).collect()
            })
            .collect();
        pairs
    }

    /// Texts of `number` words that have this perplexity, near enough. How they are drawn is settled first, with the generator.
    ///
    /// # Errors
    /// [`NoTexts`] where there are too few words, or none that go together so well or so badly.
    pub(crate) fn texts(
        self,
        number: usize,
        perplexity: f64,
        generator: &mut impl Rng,
    ) -> Result<WordTexts, NoTexts> {
        if self.words.len() < FEWEST_WORDS {
            return Err(NoTexts::FewWords(self.words.len()));
        }
        let mut texts = WordTexts {
            pairs: self,
            number,
            perplexity,
            as_there: 0.5,
        };
        let (mut lowest, mut highest, mut is_found) = (f64::INFINITY, 0.0_f64, false);
        for trial in 0..TRIALS {
            let (_, found) = texts.any(generator);
            (lowest, highest) = (lowest.min(found), highest.max(found));
            is_found |= texts.fits(found);
            // Ever smaller steps end where half of the texts are on each side.
            let step = 0.5 / (1.0 + trial as f64 / 10.0);
            let wanted = texts.as_there + if found > perplexity { step } else { -step };
            texts.as_there = wanted.clamp(0.0, 1.0);
        }
        if is_found {
            Ok(texts)
        } else {
            Err(NoTexts::OutOfReach(lowest, highest))
        }
    }

    /// The probability of a word behind another, or behind none.
    fn probability(&self, before: Option<usize>, word: usize) -> f64 {
        let alone = share(&self.sums, word, |sum| *sum);
        let Some(following) = self.followers_of(before) else {
            return alone;
        };
        let place = following.binary_search_by_key(&(word as u32), |&(word, _)| word);
        let as_pair = place.map_or(0.0, |place| share(following, place, |&(_, sum)| sum));
        f64::midpoint(as_pair, alone)
    }

    /// A word, as probable behind another as it is there.
    fn draw(&self, before: Option<usize>, generator: &mut impl Rng) -> usize {
        match self.followers_of(before) {
            Some(following) if generator.random() => {
                following[place_of(following, |&(_, sum)| sum, generator)].0 as usize
            }
            _ => place_of(&self.sums, |sum| *sum, generator),
        }
    }

    /// The words that follow a word, where any do.
    fn followers_of(&self, word: Option<usize>) -> Option<&[(u32, u32)]> {
        let following = self.followers[word?].as_slice();
        (!following.is_empty()).then_some(following)
    }
}

impl WordTexts {
    /// The next text; none where a great many have another perplexity.
    pub(crate) fn draw(&self, generator: &mut impl Rng) -> Option<String> {
        let fitting = (0..MOST_DRAWN).find_map(|_| {
            let (words, perplexity) = self.any(generator);
            self.fits(perplexity).then_some(words)
        })?;
        let words: Vec<&str> = fitting
            .into_iter()
            .map(|word| self.pairs.words[word].as_str())
            .collect();
        Some(words.join(" "))
    }

    fn fits(&self, perplexity: f64) -> bool {
        (perplexity / self.perplexity - 1.0).abs() <= TOLERANCE
    }

    /// A text of any perplexity, and that.
    fn any(&self, generator: &mut impl Rng) -> (Vec<usize>, f64) {
        let mut words: Vec<usize> = Vec::with_capacity(self.number);
        let mut nats = 0.0;
        for _ in 0..self.number {
            let before = words.last().copied();
            let word = if generator.random_bool(self.as_there) {
                self.pairs.draw(before, generator)
            } else {
                generator.random_range(0..self.pairs.words.len())
            };
            nats -= self.pairs.probability(before, word).ln();
            words.push(word);
        }
        (words, (nats / self.number as f64).exp())
    }
}

fn running_sums(counts: impl Iterator<Item = u32>) -> Vec<u32> {
    counts
        .scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
        .collect()
}

/// The share of all counts that a place has.
fn share<T>(sums: &[T], place: usize, sum: impl Fn(&T) -> u32) -> f64 {
    let before = place.checked_sub(1).map_or(0, |before| sum(&sums[before]));
    let all = sums.last().map_or(0, &sum);
    f64::from(sum(&sums[place]) - before) / f64::from(all)
}

/// A place, with the probability of its share.
fn place_of<T>(sums: &[T], sum: impl Fn(&T) -> u32, generator: &mut impl Rng) -> usize {
    let all = sums.last().map_or(1, &sum);
    let drawn = generator.random_range(0..all);
    sums.partition_point(|entry| sum(entry) <= drawn)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const TEXTS: [&str; 2] = ["a b, a c.", "A a b"];

    /// "a" is followed by "b" twice and by "c" once; of seven words three are "a".
    #[test]
    fn probabilities_are_those_of_pairs_and_words() {
        let pairs = WordPairs::of(TEXTS.into_iter());
        let number = |word: &str| pairs.words.iter().position(|known| known == word);
        let [a, b, c, capital] = ["a", "b", "c", "A"].map(|word| number(word).unwrap_or(usize::MAX));
        for (before, word, expected) in [
            (None, a, 3.0 / 7.0),
            (None, capital, 1.0 / 7.0),
            (Some(a), b, f64::midpoint(2.0 / 3.0, 2.0 / 7.0)),
            (Some(a), c, f64::midpoint(1.0 / 3.0, 1.0 / 7.0)),
            (Some(a), capital, f64::midpoint(0.0, 1.0 / 7.0)),
            (Some(b), a, f64::midpoint(1.0, 3.0 / 7.0)),
            // Nothing follows it.
            (Some(c), a, 3.0 / 7.0),
        ] {
            let found = pairs.probability(before, word);
            assert!(
                (found - expected).abs() < 1e-12,
                "{before:?} {word}: {found} {expected}"
            );
        }
    }

    #[test]
    fn words_are_drawn_as_often_as_they_are_probable() {
        let pairs = WordPairs::of(TEXTS.into_iter());
        let mut generator = ChaCha8Rng::seed_from_u64(3);
        for before in [None, Some(0), Some(1)] {
            let mut counts = vec![0; pairs.words.len()];
            for _ in 0..20_000 {
                counts[pairs.draw(before, &mut generator)] += 1;
            }
            for (word, count) in counts.into_iter().enumerate() {
                let expected = pairs.probability(before, word);
                // Five deviations of a share of one half.
                assert!(
                    (f64::from(count) / 20_000.0 - expected).abs() < 0.018,
                    "{before:?} {word}"
                );
            }
        }
    }
}
