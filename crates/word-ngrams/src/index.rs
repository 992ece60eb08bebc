//! Which documents hold an 8-gram of words.

use std::ops::Range;

use rayon::prelude::*;

use crate::distinct_ngrams;

/// The distinct 8-grams of documents, numbered as they come: some 20 bytes each in memory.
#[derive(Debug, Default)]
pub struct NgramIndex {
    /// Each 8-gram and a document that holds it, sorted.
    entries: Vec<(u64, u32)>,
    /// Where the 8-grams with each value of their highest `bits` bits begin among the entries, and where the last ones end: the search
    /// for one begins there.
    starts: Vec<usize>,
    bits: u32,
    /// Number of distinct 8-grams of each document.
    sizes: Vec<u32>,
}

impl NgramIndex {
    /// Adds the next documents, on the threads of the current pool.
    pub fn extend(&mut self, texts: &[String]) {
        let ngrams: Vec<Vec<u64>> = texts.par_iter().map(|text| distinct_ngrams(text)).collect();
        for ngrams in ngrams {
            let document = self.sizes.len() as u32;
            self.sizes.push(ngrams.len() as u32);
            self.entries
                .extend(ngrams.into_iter().map(|ngram| (ngram, document)));
        }
        self.starts.clear();
    }

    /// Makes it ready to look up: before, and after more documents were added, it finds nothing.
    pub fn finish(&mut self) {
        self.entries.par_sort_unstable();
        // Two to four entries for each value.
        self.bits = (self.entries.len() / 2).max(2).ilog2();
        let bucket = |&(entry, _): &(u64, u32)| entry >> (u64::BITS - self.bits);
        self.starts = (0..=1 << self.bits)
            .map(|value| self.entries.partition_point(|entry| bucket(entry) < value))
            .collect();
    }

    /// Number of distinct 8-grams of each document.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Whether no document has an 8-gram.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the entries of an 8-gram lie; empty where no document holds it.
    pub fn range(&self, ngram: u64) -> Range<usize> {
        if self.starts.is_empty() {
            return 0..0;
        }
        let bucket = (ngram >> (u64::BITS - self.bits)) as usize;
        let held = &self.entries[..self.starts[bucket + 1]];
        let start = self.starts[bucket];
        let start = start + held[start..].partition_point(|&(entry, _)| entry < ngram);
        let holders = held[start..].partition_point(|&(entry, _)| entry == ngram);
        start..start + holders
    }

    /// Entries that lie in a range: an 8-gram each and a document that holds it, in ascending order.
    pub fn entries(&self, range: &Range<usize>) -> &[(u64, u32)] {
        &self.entries[range.clone()]
    }

    /// All entries, in ascending order.
    pub fn all_entries(&self) -> &[(u64, u32)] {
        &self.entries
    }

    /// Number of distinct 8-grams of `text`, and where the entries of each of them lie that some document holds.
    pub fn holders(&self, text: &str) -> (usize, Vec<Range<usize>>) {
        let ngrams = distinct_ngrams(text);
        let number = ngrams.len();
        let ranges = ngrams.into_iter().map(|ngram| self.range(ngram));
        (number, ranges.filter(|range| !range.is_empty()).collect())
    }
}
