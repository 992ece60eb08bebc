//! Near-duplicates across the split: held-out documents much of whose wording occurs in one training document.
//!
//! A model that gives such a document back may have it from its training set, so it is no control. The 8-grams of words of
//! the held-out documents are held in memory, 16 bytes each; the training documents are read once.

use contract::Error;
use rayon::prelude::*;
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_64;

use crate::collection::Collection;
use crate::normal_form::normal_form;

/// Words that are compared at a time. Eight in a row are rarely shared by chance (PaLM's analysis of contamination, Chowdhery
/// et al. 2022, counts 8-grams too).
const WORDS: usize = 8;

/// Share of its 8-grams from which a held-out document is a near-duplicate: with half of them most of its wording occurs in
/// one training document. (PaLM's 70% asks whether a benchmark is spoilt; a control is to be cleaner.)
const NEAR_DUPLICATE_SHARE: f32 = 0.5;

/// Training documents that are compared with one table of counts.
const CHUNK: usize = 32;

/// How much of a held-out document occurs in one training document.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Overlap {
    /// The largest share of its distinct 8-grams that one training document holds; none where it has no eight words.
    pub(crate) share: Option<f32>,
    /// That training document, where the share makes the two near-duplicates: the first one in the corpus that holds so many.
    pub(crate) near_duplicate_of: Option<usize>,
}

/// Compares the `held_out` documents with those of `training`, in this order. Both are numbers of documents in `collection`.
///
/// # Errors
/// Those of reading the documents again.
pub(crate) fn overlaps(
    collection: &mut Collection,
    held_out: &[usize],
    training: &[usize],
) -> Result<Vec<Overlap>, Error> {
    let mut index = Index::default();
    collection.for_each_batch(held_out, "indexing held-out text", |_, texts| {
        index.extend(texts);
        Ok(())
    })?;
    index.finish();
    let mut best: Vec<(u32, Option<usize>)> = vec![(0, None); held_out.len()];
    if index.is_empty() {
        return Ok(index.overlaps(&best));
    }
    collection.for_each_batch(training, "comparing", |documents, texts| {
        let shared: Vec<Vec<(u32, u32)>> = texts
            .par_chunks(CHUNK)
            .flat_map_iter(|chunk| {
                let mut counts = vec![0; best.len()];
                chunk
                    .iter()
                    .map(|text| index.shared(text, &mut counts))
                    .collect::<Vec<_>>()
            })
            .collect();
        for (&document, shared) in documents.iter().zip(shared) {
            for (held_out, count) in shared {
                let best = &mut best[held_out as usize];
                if count > best.0 {
                    *best = (count, Some(document));
                }
            }
        }
        Ok(())
    })?;
    Ok(index.overlaps(&best))
}

/// The distinct 8-grams of the held-out documents.
#[derive(Debug, Default)]
struct Index {
    /// Each 8-gram and a document that holds it, sorted.
    entries: Vec<(u64, u32)>,
    /// Number of distinct 8-grams of each document.
    sizes: Vec<u32>,
}

impl Index {
    /// Adds the next documents.
    fn extend(&mut self, texts: &[String]) {
        let ngrams: Vec<Vec<u64>> = texts.par_iter().map(|text| distinct_ngrams(text)).collect();
        for ngrams in ngrams {
            let document = self.sizes.len() as u32;
            self.sizes.push(ngrams.len() as u32);
            self.entries
                .extend(ngrams.into_iter().map(|ngram| (ngram, document)));
        }
    }

    /// Makes it ready to look up.
    fn finish(&mut self) {
        self.entries.par_sort_unstable();
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The documents that share 8-grams with `text`, and how many each. `counts` has a zero for each document, before and after.
    fn shared(&self, text: &str, counts: &mut [u32]) -> Vec<(u32, u32)> {
        let mut touched = Vec::new();
        for ngram in distinct_ngrams(text) {
            let start = self.entries.partition_point(|&(entry, _)| entry < ngram);
            for &(_, document) in self.entries[start..]
                .iter()
                .take_while(|&&(entry, _)| entry == ngram)
            {
                let count = &mut counts[document as usize];
                if *count == 0 {
                    touched.push(document);
                }
                *count += 1;
            }
        }
        touched
            .into_iter()
            .map(|document| (document, std::mem::take(&mut counts[document as usize])))
            .collect()
    }

    /// What the largest numbers of shared 8-grams, and the training documents that hold them, come to.
    fn overlaps(&self, best: &[(u32, Option<usize>)]) -> Vec<Overlap> {
        let overlaps = self.sizes.iter().zip(best);
        overlaps
            .map(|(&size, &(count, document))| {
                let share = (size > 0).then(|| count as f32 / size as f32);
                Overlap {
                    share,
                    near_duplicate_of: document.filter(|_| share >= Some(NEAR_DUPLICATE_SHARE)),
                }
            })
            .collect()
    }
}

/// Hashes of the distinct runs of eight words of a text in its normal form, sorted.
fn distinct_ngrams(text: &str) -> Vec<u64> {
    let words: Vec<[u8; 8]> = normal_form(text)
        .unicode_words()
        .map(|word| xxh3_64(word.as_bytes()).to_le_bytes())
        .collect();
    let mut ngrams: Vec<u64> = words
        .windows(WORDS)
        .map(|words| xxh3_64(words.as_flattened()))
        .collect();
    ngrams.sort_unstable();
    ngrams.dedup();
    ngrams
}
