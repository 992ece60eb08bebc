//! The texts that cases are made of: documents to quote from, and other texts to put around the quotations.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use unicode_segmentation::UnicodeSegmentation;

use crate::text::{self, LONG_RUN, SHORT_RUN, Sentence, sentences, word_count};

/// Minimum number of words of a planted passage.
pub(crate) const MIN_PASSAGE_WORDS: usize = 12;

/// Maximum number of words of a planted passage.
const MAX_PASSAGE_WORDS: usize = 200;

/// Minimum number of words of a sentence that is put around passages.
pub(crate) const MIN_SURROUNDING_WORDS: usize = 4;

/// Random places looked at before giving up.
const ATTEMPTS: usize = 2_000;

/// Words in more than this share of the documents name no subject.
const COMMON: f64 = 0.02;

/// Maximum number of words of a text about a subject.
const MAX_TEXT_WORDS: usize = 400;

/// Texts by sentence, and what they share.
pub(crate) struct Corpus<'texts> {
    texts: &'texts [&'texts str],
    documents: Vec<Vec<Sentence<'texts>>>,
    /// For each other text the runs of sentences that share no short run of words with a document.
    surroundings: Vec<Vec<&'texts str>>,
    /// In how many documents a run of words occurs.
    holders: HashMap<u64, usize>,
}

impl<'texts> Corpus<'texts> {
    pub(crate) fn new(texts: &'texts [&'texts str], others: &'texts [&'texts str]) -> Self {
        let mut holders = HashMap::new();
        let mut phrases = HashSet::new();
        for text in texts {
            let distinct: HashSet<u64> = text::runs(text, LONG_RUN).into_iter().collect();
            for run in distinct {
                *holders.entry(run).or_insert(0) += 1;
            }
            phrases.extend(text::runs(text, SHORT_RUN));
        }
        let is_free = |sentence: &Sentence| {
            sentence.words >= MIN_SURROUNDING_WORDS
                && text::runs(sentence.text, SHORT_RUN)
                    .iter()
                    .all(|run| !phrases.contains(run))
        };
        let free = |other: &&'texts str| {
            let free = sentences(other).into_iter().filter(|sentence| is_free(sentence));
            free.map(|sentence| sentence.text).collect::<Vec<_>>()
        };
        let mut surroundings: Vec<Vec<&str>> = others.iter().map(free).collect();
        surroundings.retain(|free| !free.is_empty());
        Self {
            texts,
            documents: texts.iter().map(|text| sentences(text)).collect(),
            surroundings,
            holders,
        }
    }

    pub(crate) fn has_surroundings(&self) -> bool {
        !self.surroundings.is_empty()
    }

    /// A passage of so many whole sentences that occurs in one document only: the document, and its bytes there.
    pub(crate) fn passage(
        &self,
        (min_sentences, max_sentences): (usize, usize),
        random: &mut ChaCha8Rng,
    ) -> Option<(usize, Range<usize>)> {
        (0..ATTEMPTS).find_map(|_| {
            let document = random.random_range(0..self.documents.len().max(1));
            let sentences = self.documents.get(document)?;
            let count = random.random_range(min_sentences..=max_sentences);
            if sentences.len() < count {
                return None;
            }
            let first = random.random_range(0..=sentences.len() - count);
            let bytes = sentences[first].start..sentences[first + count - 1].end();
            let passage = &self.texts[document][bytes.clone()];
            let words = word_count(passage);
            let is_own = text::runs(passage, LONG_RUN)
                .iter()
                .all(|run| self.holders.get(run).is_some_and(|&documents| documents == 1));
            ((MIN_PASSAGE_WORDS..=MAX_PASSAGE_WORDS).contains(&words) && is_own).then_some((document, bytes))
        })
    }

    /// Sentences of other texts, `words` words or a few more: runs of two to four sentences from texts drawn at random.
    pub(crate) fn unrelated(&self, words: usize, random: &mut ChaCha8Rng) -> Vec<&'texts str> {
        let (mut chosen, mut length) = (Vec::new(), 0);
        while length < words && self.has_surroundings() {
            let free = &self.surroundings[random.random_range(0..self.surroundings.len())];
            let first = random.random_range(0..free.len());
            for sentence in free[first..].iter().take(random.random_range(2..=4)) {
                if length < words {
                    chosen.push(*sentence);
                    length += word_count(sentence);
                }
            }
        }
        chosen
    }

    /// Other texts, those that share the rarest words with a document first, each with that document. None of their
    /// sentences shares a run of words with a document.
    pub(crate) fn same_subject(&self) -> Vec<(usize, String)> {
        let mut postings = HashMap::<String, Vec<usize>>::new();
        for (document, text) in self.texts.iter().enumerate() {
            for word in subject_words(text) {
                postings.entry(word).or_default().push(document);
            }
        }
        let max_documents = (self.texts.len() as f64 * COMMON).max(2.0) as usize;
        postings.retain(|_, documents| documents.len() <= max_documents);
        let weight = |documents: &Vec<usize>| (self.texts.len() as f64 / documents.len() as f64).ln();
        let mut ranked: Vec<(f64, usize, String)> = Vec::new();
        for free in &self.surroundings {
            let text = up_to(free, MAX_TEXT_WORDS);
            let mut weights = HashMap::<usize, f64>::new();
            let words = subject_words(&text);
            for documents in words.iter().filter_map(|word| postings.get(word)) {
                for &document in documents {
                    *weights.entry(document).or_default() += weight(documents);
                }
            }
            let nearest = weights
                .into_iter()
                .max_by(|left, right| left.1.total_cmp(&right.1).then(right.0.cmp(&left.0)));
            if let Some((document, shared)) = nearest {
                ranked.push((shared / (words.len().max(1) as f64).sqrt(), document, text));
            }
        }
        ranked.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.2.cmp(&right.2)));
        ranked
            .into_iter()
            .map(|(_, document, text)| (document, text))
            .collect()
    }
}

/// The distinct words of four letters or more, in a fixed order.
fn subject_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text
        .unicode_words()
        .filter(|word| word.chars().count() >= 4)
        .map(str::to_lowercase)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

fn up_to(sentences: &[&str], words: usize) -> String {
    let mut length = 0;
    let fitting = sentences.iter().take_while(|sentence| {
        length += word_count(sentence);
        length <= words
    });
    fitting.copied().collect::<Vec<_>>().join(" ")
}
