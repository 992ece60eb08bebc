//! What can go wrong.

use thiserror::Error;

/// Why no cases could be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CaseError {
    /// The documents hold no passage of their own that is long enough.
    #[error(
        "expected a passage of {words} words or more in {sentences} sentences or more that occurs in one document only, \
         for kind \"{kind}\"; found none"
    )]
    NoPassage {
        /// Name of the kind.
        kind: &'static str,
        /// Minimum number of words.
        words: usize,
        /// Minimum number of sentences.
        sentences: usize,
    },
    /// The other texts hold no sentence to put around passages.
    #[error(
        "expected other texts with sentences of {words} words or more that share no run of {run} words with a document; \
         found none"
    )]
    NoSurroundings {
        /// Minimum number of words.
        words: usize,
        /// The length of a run that counts as shared.
        run: usize,
    },
    /// A line of a synonym table is none.
    #[error(
        "line {line}: expected `noun: …`, `verb: …` or `other: …` with two words or more, found \"{found}\""
    )]
    Synonyms {
        /// Number of the line, from 1.
        line: usize,
        /// What it says.
        found: String,
    },
}
