use libsais::LibsaisError;
use tantivy::TantivyError;

/// Why an index could not be built or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The corpus is longer than positions of 32 bits can address.
    #[error(
        "the corpus has {found} bytes (or tokens) with one separator per document, an index takes at most {maximum}; \
         split the corpus"
    )]
    CorpusTooLarge {
        /// Bytes or tokens of the corpus, separators included.
        found: usize,
        /// The most an index takes.
        maximum: usize,
    },
    /// libsais gave up, for want of memory.
    #[error("the suffix array could not be built: {0}")]
    SuffixArray(#[from] LibsaisError),
    /// tantivy gave up.
    #[error("the candidate index failed: {0}")]
    Candidates(#[from] TantivyError),
}
