//! Documents in, shards out: a corpus need not fit in memory to be indexed.

use std::path::{Path, PathBuf};

use libsais::LIBSAIS_I32_OUTPUT_MAXIMUM_SIZE;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::IndexError;
use crate::corpus::Corpus;
use crate::shard::{JoinedText, Shard};
use crate::storage::{self, FileEntry, ShardEntry};
use crate::symbol::Symbol;

/// Takes documents one by one, cuts them into shards, and sorts as many shards at once as there are
/// threads.
pub(crate) struct CorpusBuilder<S> {
    /// Where finished shards go; without it they stay in memory.
    folder: Option<PathBuf>,
    /// A shard ends before the document that would make it longer than this.
    shard_size: usize,
    /// The shard that is being filled.
    filling: JoinedText<S>,
    /// Full shards that wait for others, to be sorted together.
    full: Vec<JoinedText<S>>,
    finished: Vec<Finished<S>>,
    /// Documents taken.
    documents: usize,
    /// Documents in `finished`.
    finished_documents: usize,
    digest: CorpusDigest,
}

enum Finished<S> {
    InMemory(Shard<S>),
    Saved(ShardEntry),
}

/// What the header of a suffix index says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    corpus: String,
    documents: usize,
    shards: Vec<ShardEntry>,
    /// The token ids by their number, for an index of tokens.
    vocabulary: Option<FileEntry>,
}

impl<S: Symbol> CorpusBuilder<S> {
    /// A builder whose shards stay in memory.
    pub(crate) fn in_memory(shard_size: usize) -> Self {
        Self {
            folder: None,
            shard_size,
            filling: JoinedText::default(),
            full: Vec::new(),
            finished: Vec::new(),
            documents: 0,
            finished_documents: 0,
            digest: CorpusDigest::default(),
        }
    }

    /// A builder that writes to `folder`, in place of any index there.
    pub(crate) fn in_folder(folder: &Path, shard_size: usize) -> Result<Self, IndexError> {
        storage::clear(folder)?;
        Ok(Self {
            folder: Some(folder.to_owned()),
            ..Self::in_memory(shard_size)
        })
    }

    /// Adds the next document; `original` is what the digest of the corpus is made of.
    pub(crate) fn push(&mut self, document: &[S], original: &[u8]) -> Result<(), IndexError> {
        let length = document.len() + 1; // with its separator
        let maximum = LIBSAIS_I32_OUTPUT_MAXIMUM_SIZE;
        if length > maximum {
            return Err(IndexError::DocumentTooLarge {
                document: self.documents,
                found: document.len(),
                maximum: maximum - 1,
            });
        }
        let room = self.shard_size.min(maximum);
        if !self.filling.starts.is_empty() && self.filling.text.len() + length > room {
            self.full.push(std::mem::take(&mut self.filling));
            if self.full.len() == rayon::current_num_threads() {
                self.finish_full()?;
            }
        }
        self.filling.starts.push(self.filling.text.len() as u32);
        self.filling.text.extend_from_slice(document);
        self.filling.text.push(S::SEPARATOR);
        self.documents += 1;
        self.digest.add(original);
        Ok(())
    }

    /// Sorts what is left, and gives the corpus; `vocabulary` is written with it.
    pub(crate) fn finish(mut self, vocabulary: Option<&[u32]>) -> Result<Corpus<S>, IndexError> {
        if !self.filling.starts.is_empty() {
            self.full.push(std::mem::take(&mut self.filling));
        }
        self.finish_full()?;
        let digest = self.digest.value();
        let mut shards = Vec::new();
        let mut entries = Vec::new();
        for finished in self.finished {
            match finished {
                Finished::InMemory(shard) => shards.push(shard),
                Finished::Saved(entry) => entries.push(entry),
            }
        }
        if let Some(folder) = &self.folder {
            finish_folder::<S>(folder, digest, self.documents, &entries, vocabulary)?;
            shards = open_shards(folder, &entries, false)?;
        }
        Ok(Corpus { shards, digest })
    }

    fn finish_full(&mut self) -> Result<(), IndexError> {
        let mut shards = Vec::new();
        for joined in self.full.drain(..) {
            let documents = joined.starts.len();
            shards.push((
                joined,
                self.finished_documents,
                self.finished.len() + shards.len(),
            ));
            self.finished_documents += documents;
        }
        let finished: Result<Vec<_>, _> = shards
            .into_par_iter()
            .map(|(joined, first_document, number)| {
                let shard = Shard::build(joined, first_document)?;
                Ok::<_, IndexError>(match &self.folder {
                    Some(folder) => Finished::Saved(storage::write_shard(folder, number, &shard)?),
                    None => Finished::InMemory(shard),
                })
            })
            .collect();
        self.finished.extend(finished?);
        Ok(())
    }
}

/// Writes `corpus` into `folder`, in place of any index there.
pub(crate) fn save<S: Symbol>(
    corpus: &Corpus<S>,
    folder: &Path,
    vocabulary: Option<&[u32]>,
) -> Result<(), IndexError> {
    storage::clear(folder)?;
    let entries: Result<Vec<_>, _> = corpus
        .shards
        .iter()
        .enumerate()
        .map(|(number, shard)| storage::write_shard(folder, number, shard))
        .collect();
    finish_folder::<S>(folder, corpus.digest, corpus.documents(), &entries?, vocabulary)
}

/// Maps the corpus in `folder` after a check of every file, and its vocabulary, which is empty
/// without one.
pub(crate) fn open<S: Symbol>(folder: &Path) -> Result<(Corpus<S>, Vec<u32>), IndexError> {
    let contents: Contents = storage::read_header(folder, S::UNITS)?;
    let shards = open_shards(folder, &contents.shards, true)?;
    let digest = storage::parse_digest(folder, &contents.corpus)?;
    let vocabulary = match &contents.vocabulary {
        None => Vec::new(),
        Some(entry) => {
            let mut reader = storage::SectionReader::open(&vocabulary_path(folder), entry, true)?;
            reader.section(entry.bytes / size_of::<u32>())?.to_vec()
        }
    };
    Ok((Corpus { shards, digest }, vocabulary))
}

fn finish_folder<S: Symbol>(
    folder: &Path,
    digest: u128,
    documents: usize,
    shards: &[ShardEntry],
    vocabulary: Option<&[u32]>,
) -> Result<(), IndexError> {
    let write = |tokens| storage::write_sections(&vocabulary_path(folder), |writer| writer.section(tokens));
    let contents = Contents {
        corpus: storage::hexadecimal(digest),
        documents,
        shards: shards.to_vec(),
        vocabulary: vocabulary.map(write).transpose()?,
    };
    storage::write_header(folder, S::UNITS, contents)
}

fn open_shards<S: Symbol>(
    folder: &Path,
    entries: &[ShardEntry],
    check: bool,
) -> Result<Vec<Shard<S>>, IndexError> {
    let opened: Result<Vec<Shard<S>>, _> = entries
        .par_iter()
        .enumerate()
        .map(|(number, entry)| storage::open_shard(folder, number, entry, check))
        .collect();
    let mut shards = opened?;
    let mut documents = 0;
    for shard in &mut shards {
        shard.first_document = documents;
        documents += shard.starts.len();
    }
    Ok(shards)
}

fn vocabulary_path(folder: &Path) -> PathBuf {
    folder.join("vocabulary")
}

/// The digest that says whether an index belongs to a corpus: xxh3-128 over each document's length
/// in bytes (64 bits, little-endian) and its bytes, in order.
#[derive(Default)]
pub(crate) struct CorpusDigest(Box<Xxh3>);

impl CorpusDigest {
    pub(crate) fn add(&mut self, document: &[u8]) {
        self.0.update(&(document.len() as u64).to_le_bytes());
        self.0.update(document);
    }

    pub(crate) fn value(&self) -> u128 {
        self.0.digest128()
    }
}
