//! Which documents of a corpus could a text come from?
//!
//! Two kinds of evidence, and two kinds of index:
//!
//! - **Exact.** [`ExactIndex`] finds the longest substrings of a text that occur anywhere in the
//!   corpus, letter for letter. It looks at the whole corpus, so a match it does not report is not
//!   there. [`TokenIndex`] does the same for sequences of token ids. Both rest on a suffix array
//!   (Manber and Myers, 1990).
//! - **Ranked.** [`CandidateIndex`] ranks the documents by BM25 (Robertson and Walker, 1994) over
//!   the text's words, for texts that say the same in other words. It can miss, which is why both
//!   exist.
//!
//! ```
//! use text_index::{CandidateIndex, ExactIndex};
//!
//! let corpus = ["Call me Ishmael.", "It was the best of times, it was the worst of times."];
//! let generation = "I said it was the worst of all.";
//!
//! let exact = ExactIndex::build(&corpus)?;
//! let found = exact.longest_match(generation).expect("they share a passage");
//! assert_eq!(&generation[found.in_text.clone()], " it was the worst of ");
//! assert_eq!((found.in_text, found.document, found.in_document), (6..27, 1, 25..46));
//!
//! // Boilerplate occurs in many documents, or in many places of one.
//! assert_eq!(exact.document_frequency("t was the ", 100), 1);
//! assert_eq!(exact.places("t was the ", 100).len(), 2);
//!
//! let candidates = CandidateIndex::build(&corpus)?.candidates(generation, 10)?;
//! assert_eq!(candidates[0].document, 1);
//! # Ok::<(), text_index::IndexError>(())
//! ```
//!
//! A large corpus is indexed once, in a folder. [`ExactIndexBuilder`], [`TokenIndexBuilder`] and
//! [`CandidateIndexBuilder`] take documents one by one and write parts of a bounded size; `open`
//! compares the digests of all files and maps them. The parts do not show in any answer.
//!
//! ```
//! use text_index::{ExactIndex, ExactIndexBuilder};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! let mut builder = ExactIndexBuilder::new(folder, ExactIndexBuilder::DEFAULT_SHARD_BYTES)?;
//! for line in ["one fish", "two fish", "red fish"] {
//!     builder.push(line)?;
//! }
//! builder.finish()?;
//!
//! let index = ExactIndex::open(folder)?;
//! assert_eq!(index.corpus_digest(), ExactIndex::digest_of(["one fish", "two fish", "red fish"]));
//! assert_eq!(index.repeats(5).len(), 3); // " fish", three times
//! # Ok::<(), text_index::IndexError>(())
//! ```
//!
//! Documents are named by their index in the order in which they came. Ranges are half-open and
//! count Unicode scalar values (tokens in a [`TokenIndex`]). Every answer is deterministic: the
//! same corpus and the same query give the same result on every run, and ties go to the earliest
//! place.

mod batch;
mod builder;
mod candidates;
mod character_counts;
mod corpus;
mod error;
mod exact;
mod maximal;
mod repeats;
mod search;
mod section;
mod shard;
mod stop_words;
mod storage;
mod suffix_array;
mod symbol;
mod text_store;
mod token;

use std::ops::Range;

pub use candidates::{Candidate, CandidateIndex, CandidateIndexBuilder};
pub use error::IndexError;
pub use exact::{ExactIndex, ExactIndexBuilder};
pub use text_store::{StoredText, TextStore};
pub use token::{TokenIndex, TokenIndexBuilder};

/// A passage that occurs both in the text asked about and in a document of the corpus.
///
/// Positions count characters (Unicode scalar values) in the answers of an [`ExactIndex`] and
/// tokens in those of a [`TokenIndex`]. Both ranges have the same length, which is never zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Match {
    /// Where the passage occurs in the text.
    pub in_text: Range<usize>,
    /// Index of the first document that holds the passage.
    pub document: usize,
    /// Where the passage first occurs in that document.
    pub in_document: Range<usize>,
}

impl Match {
    /// Length of the passage, in characters or tokens; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a match is never empty")]
    pub fn len(&self) -> usize {
        self.in_text.len()
    }
}

/// Where a passage occurs in the corpus, in characters or tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the document.
    pub document: usize,
    /// Where in the document.
    pub in_document: Range<usize>,
}
