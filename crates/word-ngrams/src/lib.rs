//! When two texts are the same, and how much of one occurs in another, by runs of eight words.
//!
//! - [`normal_form`]: texts that differ in white space, case and Unicode normal form alone are the same text.
//! - [`ngrams`]: the runs of [`WORDS`] words of a text in that form, as hashes. Eight in a row are rarely shared by chance (PaLM's
//!   analysis of contamination, Chowdhery et al. 2022, counts 8-grams too).
//! - [`NgramIndex`]: which of many documents hold an 8-gram.
//!
//! A document is a near-duplicate of another that holds [`NEAR_DUPLICATE_SHARE`] of its distinct 8-grams: with half of them most of its
//! wording occurs there. (PaLM's 70% asks whether a benchmark is spoilt; a control is to be cleaner.) A text of fewer than eight words
//! has no 8-gram, and is compared with nothing.
//!
//! ```
//! use word_ngrams::NgramIndex;
//!
//! let letters = ["Please bring the blue folder to the front desk on Monday.".to_owned()];
//! let mut index = NgramIndex::default();
//! index.extend(&letters);
//! index.finish();
//! let (ngrams, found) = index.holders("PLEASE bring the blue folder  to the front door.");
//! assert_eq!(ngrams, 2);
//! assert_eq!(found.len(), 1, "the first eight words; the ninth is another");
//! assert_eq!(index.entries(&found[0])[0].1, 0, "in the first document");
//! ```

mod index;
pub mod normal_form;

use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::xxh3_64;

pub use index::NgramIndex;

/// Words that are compared at a time.
pub const WORDS: usize = 8;

/// Share of its 8-grams from which a document is a near-duplicate of one that holds them.
pub const NEAR_DUPLICATE_SHARE: f32 = 0.5;

/// Hashes of the runs of eight words of a text in its normal form, in their order; none where it has no eight words.
pub fn ngrams(text: &str) -> Vec<u64> {
    let words: Vec<[u8; 8]> = normal_form::normal_form(text)
        .unicode_words()
        .map(|word| xxh3_64(word.as_bytes()).to_le_bytes())
        .collect();
    words
        .windows(WORDS)
        .map(|words| xxh3_64(words.as_flattened()))
        .collect()
}

/// The same, each once, in ascending order.
pub fn distinct_ngrams(text: &str) -> Vec<u64> {
    let mut ngrams = ngrams(text);
    ngrams.sort_unstable();
    ngrams.dedup();
    ngrams
}
