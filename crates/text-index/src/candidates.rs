//! Ranked candidates: BM25 over words.

mod builder;
mod segment;
mod words;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

pub use builder::CandidateIndexBuilder;
use segment::{Postings, Segment};
use words::for_each_word;

use crate::IndexError;

/// What the header calls an index of this kind.
const KIND: &str = "candidates";

/// How soon further repetitions of a word in a document stop to count.
const K1: f32 = 1.2;

/// How much long documents are held against them.
const B: f32 = 0.75;

/// A document that a text may come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index of the document.
    pub document: usize,
    /// BM25 score, over 0; comparable only within one query.
    pub score: f32,
}

/// Ranks the documents of a corpus by how well their words agree with a text.
///
/// Words are runs of letters and digits, lower case, not stemmed; words of 40 bytes or more are
/// left out. The score is BM25 (Robertson and Walker, 1994) with k₁ = 1.2 and b = 0.75:
///
/// ```text
/// score(d) = Σ over words w of the text, stop words left out, repetitions counted:
///            ln(1 + (N − df + 0.5) / (df + 0.5)) · tf · (k₁ + 1) / (tf + k₁ · (1 − b + b · |d| / mean |d|))
/// ```
///
/// with N documents, df of them holding w, tf times in d, and |d| the words of d, stop words
/// included.
///
/// Every document that holds a word of the text is scored, word by word: the postings of 50 words
/// are read faster than a search that skips through them can decide what to skip.
pub struct CandidateIndex {
    segments: Vec<Scored>,
    /// Documents in all segments.
    documents: usize,
    digest: u128,
}

/// A segment and what the scores of its documents need.
struct Scored {
    segment: Segment,
    first_document: usize,
    /// k₁ · (1 − b + b · |d| / mean |d|) of each document.
    length_terms: Vec<f32>,
}

impl CandidateIndex {
    fn of(segments: Vec<Segment>, digest: u128) -> Self {
        let documents: usize = segments.iter().map(|segment| segment.lengths.len()).sum();
        let words: u64 = segments
            .iter()
            .flat_map(|segment| segment.lengths.iter())
            .map(|&length| u64::from(length))
            .sum();
        let mean_length = words as f64 / documents.max(1) as f64;
        let length_term = |&length: &u32| {
            let relative = if words == 0 {
                1.0
            } else {
                (f64::from(length) / mean_length) as f32
            };
            K1 * (1.0 - B + B * relative)
        };
        let mut first_document = 0;
        let segments = segments
            .into_iter()
            .map(|segment| {
                let length_terms: Vec<f32> = segment.lengths.iter().map(length_term).collect();
                let scored = Scored {
                    segment,
                    first_document,
                    length_terms,
                };
                first_document += scored.length_terms.len();
                scored
            })
            .collect();
        Self {
            segments,
            documents,
            digest,
        }
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|scored| &scored.segment)
    }

    /// Digest of the indexed documents: that of an [`ExactIndex`](crate::ExactIndex) of the same
    /// documents.
    pub fn corpus_digest(&self) -> u128 {
        self.digest
    }

    /// How many documents are indexed.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// The best `limit` documents for `text`, best first, equal scores by index. Documents that
    /// share no word with it other than stop words are not among them, so there may be fewer, or
    /// none. Any text is a valid query: it has no syntax.
    ///
    /// # Errors
    /// [`IndexError::Inconsistent`] if a file of the index was changed after it was opened.
    pub fn candidates(&self, text: &str, limit: usize) -> Result<Vec<Candidate>, IndexError> {
        let words = query_words(text);
        let mut best = Best::new(limit);
        let mut postings: Vec<Vec<Postings<'_>>> = Vec::with_capacity(self.segments.len());
        for scored in &self.segments {
            postings.push(words.keys().map(|word| scored.segment.postings(word)).collect());
        }
        let weights: Vec<f32> = words
            .values()
            .enumerate()
            .map(|(word, &repetitions)| {
                let holding: usize = postings
                    .iter()
                    .map(|of_segment| of_segment[word].documents.len())
                    .sum();
                idf(self.documents, holding) * repetitions as f32
            })
            .collect();
        for (scored, postings) in self.segments.iter().zip(&postings) {
            let mut scores = vec![0.0; scored.length_terms.len()];
            for (postings, weight) in postings.iter().zip(&weights) {
                add_scores(&mut scores, &scored.length_terms, postings, weight * (K1 + 1.0))?;
            }
            best.take(&scores, scored.first_document);
        }
        Ok(best.into_candidates())
    }
}

/// The words of `text` without stop words, and how often each occurs there.
fn query_words(text: &str) -> BTreeMap<String, usize> {
    let mut words = BTreeMap::new();
    for_each_word(text, |word| {
        if let Some(repetitions) = words.get_mut(word) {
            *repetitions += 1;
        } else {
            words.insert(word.to_owned(), 1);
        }
    });
    words
}

/// The inverse document frequency of BM25, in a form that is never negative.
fn idf(documents: usize, document_frequency: usize) -> f32 {
    let (documents, frequency) = (documents as f64, document_frequency as f64);
    (1.0 + (documents - frequency + 0.5) / (frequency + 0.5)).ln() as f32
}

/// Adds what a word says to the scores of the documents that hold it.
fn add_scores(
    scores: &mut [f32],
    length_terms: &[f32],
    postings: &Postings<'_>,
    weight: f32,
) -> Result<(), IndexError> {
    for (&document, &frequency) in postings.documents.iter().zip(postings.frequencies) {
        let place = document as usize;
        let (Some(score), Some(length_term)) = (scores.get_mut(place), length_terms.get(place)) else {
            return Err(IndexError::Inconsistent { document: place });
        };
        let frequency = f32::from(frequency);
        *score += weight * frequency / (frequency + length_term);
    }
    Ok(())
}

/// The best candidates so far; the worst of them on top.
struct Best {
    limit: usize,
    heap: BinaryHeap<Ranked>,
}

/// A candidate, worse ones greater.
struct Ranked(Candidate);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = other.0.score.total_cmp(&self.0.score);
        by_score.then(self.0.document.cmp(&other.0.document))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl Best {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
        }
    }

    /// Takes the scores of the documents from `first_document` on; of equal ones the earlier
    /// document is better, and documents come in their order.
    fn take(&mut self, scores: &[f32], first_document: usize) {
        if self.limit == 0 {
            return;
        }
        let mut min_score = self.min_score();
        for (place, &score) in scores.iter().enumerate() {
            if score > min_score {
                if self.heap.len() == self.limit {
                    self.heap.pop();
                }
                let document = first_document + place;
                self.heap.push(Ranked(Candidate { document, score }));
                min_score = self.min_score();
            }
        }
    }

    /// Scores up to this one are not among the best.
    fn min_score(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() == self.limit => worst.0.score,
            _ => 0.0,
        }
    }

    fn into_candidates(self) -> Vec<Candidate> {
        let sorted = self.heap.into_sorted_vec();
        sorted.into_iter().map(|ranked| ranked.0).collect()
    }
}
