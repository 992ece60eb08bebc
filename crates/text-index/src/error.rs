use std::path::{Path, PathBuf};

use libsais::LibsaisError;

/// Why an index could not be built, saved, opened or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A single document is longer than positions of 32 bits can address. (A corpus has no such
    /// limit.)
    #[error(
        "document {document} has {found} bytes (or tokens), an index takes at most {maximum} in one document"
    )]
    DocumentTooLarge {
        /// Index of the document.
        document: usize,
        /// Its bytes or tokens.
        found: usize,
        /// The most that a document may have.
        maximum: usize,
    },
    /// More documents than numbers of 32 bits.
    #[error("a candidate index takes at most {maximum} documents")]
    TooManyDocuments {
        /// The most that an index takes.
        maximum: usize,
    },
    /// libsais gave up, for want of memory.
    #[error("the suffix array could not be built: {0}")]
    SuffixArray(#[from] LibsaisError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder holds no index, or one that was never finished.
    #[error("{} is not an index: {reason}", path.display())]
    NotAnIndex {
        /// The file that should have said.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// The index was written by another version of this crate.
    #[error("{}: format version {found}, this program reads {expected}; build the index anew", path.display())]
    Version {
        /// The header.
        path: PathBuf,
        /// Version found there.
        found: u64,
        /// Version that this crate reads and writes.
        expected: u64,
    },
    /// Postings name a document that is not there.
    #[error(
        "the index names document {document} of a segment that is shorter; its files were changed after it was opened"
    )]
    Inconsistent {
        /// Number within the segment.
        document: usize,
    },
    /// A file is not what it was when the index was written.
    #[error("{} is damaged: {reason}; build the index anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
}

impl IndexError {
    /// For `map_err`: an input or output error of the file at `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
