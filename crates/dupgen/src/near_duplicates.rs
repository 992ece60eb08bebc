//! Near-duplicates across the split: held-out documents much of whose wording occurs in one training document, or in which nearly all of a
//! training document stands, as in a message that quotes another.
//!
//! A model that gives such a document back may have it from its training set, so it is no control. The 8-grams of words of
//! the held-out documents are held in memory, some 20 bytes each: those of a slice of the documents at a time, and for each slice the
//! training documents are read once.

use std::collections::HashMap;
use std::ops::Range;

use contract::Error;
use rayon::prelude::*;
use word_ngrams::{NEAR_DUPLICATE_SHARE, NgramIndex};

use crate::collection::Collection;

/// Bytes of held-out text that are compared at once: its 8-grams take about 1.3 GB, of a script without blanks twice as much. What
/// is common is so within a slice.
const SLICE_BYTES: usize = 384 << 20;

/// Held-out documents that may hold an 8-gram before it is common: part of a form letter, a signature, a disclaimer.
const COMMON: usize = 1000;

/// Training documents with a common 8-gram that are compared with all of its holders. After these a training document is compared
/// only with those holders that share some other 8-gram with it, or the work would grow as the square of the corpus. What is
/// lost are shares made of common wording alone, beyond those of the first training documents.
const FULL_COMPARISONS: u32 = 100;

/// Share of a training document's 8-grams from which a held-out document that holds them quotes it. Forms that differ in what was filled in share
/// less.
const QUOTED_SHARE: f32 = 0.9;

/// 8-grams without which a training document is too short to be quoted: a greeting stands in many.
const MIN_QUOTED: usize = 8;

/// How much of a held-out document occurs in one training document.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Overlap {
    /// The largest share of its distinct 8-grams that one training document holds; none where it has no eight words.
    pub(crate) share: Option<f32>,
    /// That training document, where the share makes the two near-duplicates: the first one in the corpus that holds so many. Else the
    /// first one that it quotes.
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
    let mut found = Vec::with_capacity(held_out.len());
    let mut rest = held_out;
    while !rest.is_empty() {
        let (slice, others) = rest.split_at(collection.documents_within(rest, SLICE_BYTES));
        found.extend(overlaps_of_slice(collection, slice, training)?);
        rest = others;
    }
    Ok(found)
}

fn overlaps_of_slice(
    collection: &mut Collection,
    held_out: &[usize],
    training: &[usize],
) -> Result<Vec<Overlap>, Error> {
    let mut index = NgramIndex::default();
    collection.for_each_batch(held_out, "indexing held-out text", |_, texts| {
        index.extend(texts);
        Ok(())
    })?;
    index.finish();
    let mut shares = Shares::new(&index);
    if !index.is_empty() {
        collection.for_each_batch(training, "comparing", |documents, texts| {
            let found: Vec<(usize, Vec<Range<usize>>)> =
                texts.par_iter().map(|text| index.holders(text)).collect();
            for (&document, (ngrams, found)) in documents.iter().zip(&found) {
                shares.add(document, *ngrams, found);
            }
            Ok(())
        })?;
    }
    Ok(shares.overlaps())
}

/// The largest numbers of 8-grams that held-out documents share with one training document, while those go by.
struct Shares<'a> {
    index: &'a NgramIndex,
    /// The largest number, and the first training document with it.
    best: Vec<(u32, Option<usize>)>,
    /// The first training document that each quotes.
    quoted: Vec<Option<usize>>,
    /// Numbers shared with the present training document: zero but while it is compared.
    counts: Vec<u32>,
    /// How often each common 8-gram was compared in full, by its first entry.
    compared: HashMap<usize, u32>,
}

impl<'a> Shares<'a> {
    fn new(index: &'a NgramIndex) -> Self {
        Self {
            index,
            best: vec![(0, None); index.sizes().len()],
            quoted: vec![None; index.sizes().len()],
            counts: vec![0; index.sizes().len()],
            compared: HashMap::new(),
        }
    }

    /// Takes in the next training `document` of so many 8-grams, given the entries of those that it shares with held-out documents.
    fn add(&mut self, document: usize, ngrams: usize, found: &[Range<usize>]) {
        let fewest_quoted = (ngrams >= MIN_QUOTED).then_some((QUOTED_SHARE * ngrams as f32).ceil() as u32);
        let mut touched = Vec::new();
        let mut left = Vec::new();
        for range in found {
            if range.len() > COMMON {
                let compared = self.compared.entry(range.start).or_default();
                if *compared == FULL_COMPARISONS {
                    left.push(self.index.entries(range));
                    continue;
                }
                *compared += 1;
            }
            for &(_, held_out) in self.index.entries(range) {
                let count = &mut self.counts[held_out as usize];
                if *count == 0 {
                    touched.push(held_out);
                }
                *count += 1;
            }
        }
        for held_out in touched {
            let mut count = std::mem::take(&mut self.counts[held_out as usize]);
            let best = &mut self.best[held_out as usize];
            let may_quote = |count| fewest_quoted.is_some_and(|fewest| count >= fewest);
            if count + left.len() as u32 > best.0 || may_quote(count + left.len() as u32) {
                let holds = |holders: &&&[(u64, u32)]| {
                    holders.binary_search_by_key(&held_out, |entry| entry.1).is_ok()
                };
                count += left.iter().filter(holds).count() as u32;
            }
            if count > best.0 {
                *best = (count, Some(document));
            }
            if may_quote(count) {
                self.quoted[held_out as usize].get_or_insert(document);
            }
        }
    }

    /// What it all comes to, for each held-out document.
    fn overlaps(self) -> Vec<Overlap> {
        let overlaps = self.index.sizes().iter().zip(self.best).zip(self.quoted);
        overlaps
            .map(|((&size, (count, document)), quoted)| {
                let share = (size > 0).then(|| count as f32 / size as f32);
                Overlap {
                    share,
                    near_duplicate_of: document
                        .filter(|_| share >= Some(NEAR_DUPLICATE_SHARE))
                        .or(quoted),
                }
            })
            .collect()
    }
}
