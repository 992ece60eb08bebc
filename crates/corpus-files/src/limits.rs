//! How much of a file is taken into memory at a time. What a document may be as long as is a setting; what a table or a compressed file may
//! unfold into follows from it and from the length of the file.

use std::path::Path;
use std::sync::Arc;

use contract::foreign::Work;
use contract::pipeline::MAX_DOCUMENT_MB;

/// Bytes in the unit of `corpus.max_document_mb`.
pub(crate) const MEGABYTE: usize = 1_000_000;

/// A compressed file may unfold into so many bytes, whatever its length, and into so many times its length more. Text that was written
/// by people is compressed to a tenth; a corpus that repeats itself, to less.
pub(crate) const MAX_UNFOLDED: Unfolded = Unfolded {
    bytes: 1_000_000_000,
    times: 200,
};

/// Documents that memory may hold while rows of a table are unpacked, cast and looked at; and how many times the length of the file, for
/// some write a whole table as one piece.
const DOCUMENTS_IN_MEMORY: u64 = 4;
const TIMES_IN_MEMORY: u64 = 8;

/// Seconds that the next rows of a table may take.
const MAX_SECONDS: u64 = 600;

/// What a compressed file may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfolded {
    pub(crate) bytes: u64,
    pub(crate) times: u64,
}

/// What to say of a document that is too long.
pub(crate) fn too_long(max_bytes: usize) -> String {
    let megabytes = max_bytes / MEGABYTE;
    format!(
        "expected documents of at most {megabytes} MB (corpus.max_document_mb), found more without an end. Where one document is so long \
         indeed, allow it, up to 2000: SET=\"corpus.max_document_mb={}\"",
        megabytes.saturating_mul(4).min(MAX_DOCUMENT_MB)
    )
}

/// Unpacking rows of a table, within what they may take.
pub(crate) fn rows_of(path: &Path, max_document_bytes: usize) -> Arc<Work> {
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let max_bytes = (max_document_bytes as u64)
        .saturating_mul(DOCUMENTS_IN_MEMORY)
        .saturating_add(length.saturating_mul(TIMES_IN_MEMORY));
    Work::new(path, "reading its rows", max_bytes, MAX_SECONDS)
}
