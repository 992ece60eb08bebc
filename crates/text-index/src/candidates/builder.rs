//! Documents in, segments out.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::segment::{JoinedDocuments, Segment, SegmentEntry};
use super::{CandidateIndex, KIND};
use crate::builder::CorpusDigest;
use crate::{IndexError, storage};

/// Text of a segment, bytes. While it is built, a segment takes about three times its text in
/// memory; searching takes somewhat longer with every further segment.
const SEGMENT_BYTES: usize = 64 << 20;

/// Segments that are built at once, at most.
const MAX_TOGETHER: usize = 4;

/// Builds a [`CandidateIndex`] in a folder from documents that need not fit in memory together.
///
/// Documents go into segments of 64 MiB, and as many are built at once as the current rayon pool
/// has threads, up to four; each takes about 250 MB meanwhile.
pub struct CandidateIndexBuilder {
    /// Where finished segments go; without it they stay in memory.
    folder: Option<PathBuf>,
    segment_bytes: usize,
    filling: JoinedDocuments,
    full: Vec<JoinedDocuments>,
    finished: Vec<Finished>,
    documents: usize,
    digest: CorpusDigest,
}

enum Finished {
    InMemory(Segment),
    Saved(SegmentEntry),
}

/// What the header says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    corpus: String,
    segments: Vec<SegmentEntry>,
}

impl CandidateIndexBuilder {
    /// Begins an index in `folder`, which is created; an index in it is removed.
    ///
    /// # Errors
    /// [`IndexError::File`] where the folder cannot be written.
    pub fn new(folder: &Path) -> Result<Self, IndexError> {
        storage::clear(folder)?;
        Ok(Self {
            folder: Some(folder.to_owned()),
            ..Self::in_memory(SEGMENT_BYTES)
        })
    }

    pub(super) fn in_memory(segment_bytes: usize) -> Self {
        Self {
            folder: None,
            segment_bytes,
            filling: JoinedDocuments::default(),
            full: Vec::new(),
            finished: Vec::new(),
            documents: 0,
            digest: CorpusDigest::default(),
        }
    }

    /// Adds the next document.
    ///
    /// # Errors
    /// [`IndexError::DocumentTooLarge`] if it has 2 GiB or more, [`IndexError::TooManyDocuments`]
    /// from 2³² on, and [`IndexError::File`] where a full segment cannot be written.
    pub fn push(&mut self, document: &str) -> Result<(), IndexError> {
        let maximum = i32::MAX as usize;
        if document.len() > maximum {
            return Err(IndexError::DocumentTooLarge {
                document: self.documents,
                found: document.len(),
                maximum,
            });
        }
        let maximum = u32::MAX as usize;
        if self.documents == maximum {
            return Err(IndexError::TooManyDocuments { maximum });
        }
        if !self.filling.ends.is_empty() && self.filling.text.len() + document.len() > self.segment_bytes {
            self.full.push(std::mem::take(&mut self.filling));
            if self.full.len() == rayon::current_num_threads().min(MAX_TOGETHER) {
                self.finish_full()?;
            }
        }
        self.filling.text.push_str(document);
        self.filling.ends.push(self.filling.text.len());
        self.documents += 1;
        self.digest.add(document.as_bytes());
        Ok(())
    }

    /// Completes the index and maps it. An index that was not completed cannot be opened.
    ///
    /// # Errors
    /// [`IndexError::File`] where a file cannot be written.
    pub fn finish(mut self) -> Result<CandidateIndex, IndexError> {
        if !self.filling.ends.is_empty() {
            self.full.push(std::mem::take(&mut self.filling));
        }
        self.finish_full()?;
        let digest = self.digest.value();
        let mut segments = Vec::new();
        let mut entries = Vec::new();
        for finished in self.finished {
            match finished {
                Finished::InMemory(segment) => segments.push(segment),
                Finished::Saved(entry) => entries.push(entry),
            }
        }
        if let Some(folder) = &self.folder {
            write_header(folder, digest, &entries)?;
            segments = open_segments(folder, &entries, false)?;
        }
        Ok(CandidateIndex::of(segments, digest))
    }

    fn finish_full(&mut self) -> Result<(), IndexError> {
        let first = self.finished.len();
        let finished: Result<Vec<_>, _> = std::mem::take(&mut self.full)
            .into_par_iter()
            .enumerate()
            .map(|(number, joined)| {
                let segment = Segment::build(&joined);
                drop(joined);
                Ok::<_, IndexError>(match &self.folder {
                    Some(folder) => Finished::Saved(segment.write(folder, first + number)?),
                    None => Finished::InMemory(segment),
                })
            })
            .collect();
        self.finished.extend(finished?);
        Ok(())
    }
}

impl CandidateIndex {
    /// Indexes `documents` in memory.
    ///
    /// # Errors
    /// [`IndexError::DocumentTooLarge`] for a document of 2 GiB or more,
    /// [`IndexError::TooManyDocuments`] from 2³² on.
    pub fn build(documents: &[&str]) -> Result<Self, IndexError> {
        let mut builder = CandidateIndexBuilder::in_memory(SEGMENT_BYTES);
        for document in documents {
            builder.push(document)?;
        }
        builder.finish()
    }

    /// Writes the index into `folder`, in place of any index there.
    ///
    /// # Errors
    /// [`IndexError::File`] where a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), IndexError> {
        storage::clear(folder)?;
        let entries: Result<Vec<_>, _> = self
            .segments()
            .enumerate()
            .map(|(number, segment)| segment.write(folder, number))
            .collect();
        write_header(folder, self.corpus_digest(), &entries?)
    }

    /// Maps the index that was saved or built in `folder`, after reading all of it once to compare
    /// its digests.
    ///
    /// # Errors
    /// [`IndexError::NotAnIndex`], [`IndexError::Version`] or [`IndexError::Damaged`] for a folder
    /// that does not hold what [`Self::save`] wrote there; [`IndexError::File`] where a file cannot
    /// be read.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let contents: Contents = storage::read_header(folder, KIND)?;
        let segments = open_segments(folder, &contents.segments, true)?;
        let digest = storage::parse_digest(folder, &contents.corpus)?;
        Ok(Self::of(segments, digest))
    }
}

fn write_header(folder: &Path, digest: u128, segments: &[SegmentEntry]) -> Result<(), IndexError> {
    let contents = Contents {
        corpus: storage::hexadecimal(digest),
        segments: segments.to_vec(),
    };
    storage::write_header(folder, KIND, contents)
}

fn open_segments(folder: &Path, entries: &[SegmentEntry], check: bool) -> Result<Vec<Segment>, IndexError> {
    entries
        .par_iter()
        .enumerate()
        .map(|(number, entry)| Segment::open(folder, number, entry, check))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_do_not_depend_on_segments() {
        let documents: Vec<String> = (0..60_u32)
            .map(|number| format!("whale {} ship {}", "sea ".repeat(number as usize % 7), number % 5))
            .collect();
        let build = |segment_bytes| {
            let mut builder = CandidateIndexBuilder::in_memory(segment_bytes);
            for document in &documents {
                builder.push(document).unwrap();
            }
            builder.finish().unwrap()
        };
        let whole = build(SEGMENT_BYTES);
        assert_eq!(whole.segments().count(), 1);
        for segment_bytes in [0, 40, 500] {
            let index = build(segment_bytes);
            assert!(index.segments().count() > 1);
            assert_eq!(index.corpus_digest(), whole.corpus_digest());
            for query in ["sea", "ship 3", "whale sea 4 4", "harpoon"] {
                for limit in [1, 7, 100] {
                    let expected = whole.candidates(query, limit).unwrap();
                    assert_eq!(
                        index.candidates(query, limit).unwrap(),
                        expected,
                        "{query} {limit}"
                    );
                }
            }
        }
    }
}
