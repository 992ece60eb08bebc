//! How much of each training document other training documents hold.

use std::ops::Range;

use measures::risk::peak_exposure_bits;
use word_ngrams::{NEAR_DUPLICATE_SHARE, NgramIndex, WORDS, distinct_ngrams, ngrams};

/// Documents that share wording with one that are compared with it in full, at most, or the work would grow as the square of a corpus of
/// form letters. Where there are more, what is counted is a lower bound, and said to be one.
const MAX_COMPARED: usize = 500;

/// Words of the passage whose exposure counts: about what the usual test of extraction asks for, 50 tokens (Carlini et al. 2023).
const PASSAGE_WORDS: usize = 50;

/// The 8-grams of all training documents, and in how many instances each occurs.
pub(crate) struct Wording {
    index: NgramIndex,
    /// Training instances of the documents of the entries before each entry of the index, and of all.
    instances_before: Vec<u64>,
}

/// Other documents that hold much of a document.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NearCopies {
    /// How many hold at least half of its distinct 8-grams; none where it has no 8-gram.
    pub(crate) documents: Option<usize>,
    /// Whether there may be more.
    pub(crate) at_least: bool,
    /// The one that holds most of it, with its share; the first of equals.
    pub(crate) nearest: Option<(usize, f32)>,
    /// The share of its distinct 8-grams that any other document holds.
    pub(crate) shared: Option<f32>,
}

impl Wording {
    /// `copies`: of each document of the index, how often it occurs.
    pub(crate) fn new(mut index: NgramIndex, copies: &[i32]) -> Self {
        index.finish();
        let mut instances_before = Vec::with_capacity(index.all_entries().len() + 1);
        let mut instances = 0;
        instances_before.push(instances);
        for &(_, document) in index.all_entries() {
            instances += u64::from(copies[document as usize].max(1) as u32);
            instances_before.push(instances);
        }
        Self {
            index,
            instances_before,
        }
    }

    /// How often each 8-gram of a piece of a text occurs: training instances that hold it. `copies` is how often the text itself does,
    /// which is what an 8-gram counts that no document holds.
    fn instances(&self, piece: &str, copies: i32) -> Vec<u64> {
        let own = u64::from(copies.max(1) as u32);
        let ngrams = ngrams(piece).into_iter();
        ngrams
            .map(|ngram| {
                let Range { start, end } = self.index.range(ngram);
                (self.instances_before[end] - self.instances_before[start]).max(own)
            })
            .collect()
    }

    /// The exposure of the most exposed passage of [`PASSAGE_WORDS`] words of the pieces of a text; the log2 of `copies` where no piece has
    /// an 8-gram.
    ///
    /// # Errors
    /// Those of the measure: none with a text of this index.
    pub(crate) fn exposure_bits(&self, pieces: &[&str], copies: i32) -> measures::Result<f64> {
        let mut peak = f64::from(copies.max(1)).log2();
        for piece in pieces {
            let instances = self.instances(piece, copies);
            if !instances.is_empty() {
                peak = peak.max(peak_exposure_bits(&instances, PASSAGE_WORDS - WORDS + 1)?);
            }
        }
        Ok(peak)
    }

    /// The near copies of training document number `own`.
    ///
    /// Whoever holds half of its n distinct 8-grams holds at least one of any n − ⌈n ÷ 2⌉ + 1 of them. So only holders of that many of its
    /// rarest ones are compared with it, and common phrases lead to nobody.
    pub(crate) fn near_copies(&self, text: &str, own: usize) -> NearCopies {
        let mut ranges: Vec<Range<usize>> = distinct_ngrams(text)
            .into_iter()
            .map(|ngram| self.index.range(ngram))
            .collect();
        let all = ranges.len();
        if all == 0 {
            return NearCopies::default();
        }
        let shared = ranges.iter().filter(|range| range.len() > 1).count();
        let share = |count: usize| count as f32 / all as f32;
        ranges.sort_by_key(|range| (range.len(), range.start));
        let needed = (all as f32 * NEAR_DUPLICATE_SHARE).ceil() as usize;
        let (candidates, at_least) = self.candidates(&ranges[..=(all - needed)], own);
        let mut found = NearCopies {
            documents: Some(0),
            at_least,
            nearest: None,
            shared: Some(share(shared)),
        };
        for candidate in candidates {
            let held = self.held(&ranges, candidate, needed);
            if held < needed {
                continue;
            }
            found.documents = found.documents.map(|documents| documents + 1);
            if found.nearest.is_none_or(|(_, nearest)| share(held) > nearest) {
                found.nearest = Some((candidate as usize, share(held)));
            }
        }
        found
    }

    /// The documents other than `own` that hold one of these 8-grams, in ascending order, and whether there are more.
    fn candidates(&self, ranges: &[Range<usize>], own: usize) -> (Vec<u32>, bool) {
        let mut candidates: Vec<u32> = Vec::new();
        for range in ranges {
            for &(_, document) in self.index.entries(range) {
                if document as usize == own || candidates.binary_search(&document).is_ok() {
                    continue;
                }
                if candidates.len() == MAX_COMPARED {
                    return (candidates, true);
                }
                let place = candidates.partition_point(|&known| known < document);
                candidates.insert(place, document);
            }
        }
        (candidates, false)
    }

    /// How many of these 8-grams a document holds; or fewer than `needed`, where it does not hold that many.
    fn held(&self, ranges: &[Range<usize>], document: u32, needed: usize) -> usize {
        let mut held = 0;
        for (looked_at, range) in ranges.iter().enumerate() {
            if held + ranges.len() - looked_at < needed {
                break;
            }
            let holders = self.index.entries(range);
            held += usize::from(holders.binary_search_by_key(&document, |entry| entry.1).is_ok());
        }
        held
    }

    /// The share of the distinct 8-grams of a text that is none of the index which some training document holds; none where it has no
    /// 8-gram.
    pub(crate) fn shared(&self, text: &str) -> Option<f32> {
        let ngrams = distinct_ngrams(text);
        let held = ngrams
            .iter()
            .filter(|&&ngram| !self.index.range(ngram).is_empty());
        let held = held.count();
        (!ngrams.is_empty()).then(|| held as f32 / ngrams.len() as f32)
    }

    /// The longest passage of a text, in words, each 8-gram of which some training document holds; 0 where none does.
    pub(crate) fn longest_shared_words(&self, text: &str) -> usize {
        let (mut longest, mut run) = (0, 0);
        for ngram in ngrams(text) {
            run = if self.index.range(ngram).is_empty() {
                0
            } else {
                run + 1
            };
            longest = longest.max(run);
        }
        if longest == 0 { 0 } else { longest + WORDS - 1 }
    }
}
