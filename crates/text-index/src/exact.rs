use std::path::Path;

use rayon::prelude::*;

use crate::builder::{self, CorpusBuilder, CorpusDigest};
use crate::corpus::Corpus;
use crate::repeats::repeats;
use crate::{IndexError, Match, Place};

/// Finds the passages of a text that occur anywhere in a corpus, letter for letter.
///
/// Nothing is normalised: case, white space and the composition of characters count. Takes 5.3
/// bytes per byte of corpus, in memory after [`Self::build`], and in files that are mapped, of
/// which the system keeps in memory what is in use, after [`ExactIndexBuilder::finish`] and
/// [`Self::open`].
pub struct ExactIndex {
    corpus: Corpus<u8>,
}

impl ExactIndex {
    /// Indexes `documents` in memory, in time linear in their length.
    ///
    /// # Errors
    /// [`IndexError::DocumentTooLarge`] for a document of 2 GiB or more,
    /// [`IndexError::SuffixArray`] if memory does not suffice.
    pub fn build(documents: &[&str]) -> Result<Self, IndexError> {
        let mut builder = CorpusBuilder::in_memory(usize::MAX);
        for document in documents {
            builder.push(document.as_bytes(), document.as_bytes())?;
        }
        Ok(Self {
            corpus: builder.finish(None)?,
        })
    }

    /// Writes the index into `folder`, in place of any index there.
    ///
    /// # Errors
    /// [`IndexError::File`] where a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), IndexError> {
        builder::save(&self.corpus, folder, None)
    }

    /// Maps the index that was saved or built in `folder`, after reading all of it once to compare
    /// its digests.
    ///
    /// # Errors
    /// [`IndexError::NotAnIndex`], [`IndexError::Version`] or [`IndexError::Damaged`] for a folder
    /// that does not hold what [`Self::save`] wrote there; [`IndexError::File`] where a file cannot
    /// be read.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let (corpus, _) = builder::open(folder)?;
        Ok(Self { corpus })
    }

    /// Digest of the indexed documents: equal to [`Self::digest_of`] them and to nothing else's.
    pub fn corpus_digest(&self) -> u128 {
        self.corpus.digest
    }

    /// What [`Self::corpus_digest`] of an index of `documents` is: xxh3-128 over the length in
    /// bytes (64 bits, little-endian) and the bytes of each.
    pub fn digest_of<D: AsRef<str>>(documents: impl IntoIterator<Item = D>) -> u128 {
        let mut digest = CorpusDigest::default();
        for document in documents {
            digest.add(document.as_ref().as_bytes());
        }
        digest.value()
    }

    /// How many documents are indexed.
    pub fn documents(&self) -> usize {
        self.corpus.documents()
    }

    /// The text of a document, as it was indexed; none where there is no such document.
    pub fn text(&self, document: usize) -> Option<&str> {
        std::str::from_utf8(self.corpus.document(document)?).ok()
    }

    /// The longest passage of `text`, in characters, that occurs anywhere in the corpus; `None` if
    /// they have no character in common. Of several the first in `text`, and its first place in the
    /// first document that holds it.
    pub fn longest_match(&self, text: &str) -> Option<Match> {
        let found = self.longest_match_of_each(&[text], || ());
        found.into_iter().next().flatten()
    }

    /// The same of each of `texts`, together and on the threads of the current rayon pool: the files of a large corpus are read once for
    /// all of them. `after_shard` is called for each of [`Self::shards`].
    pub fn longest_match_of_each(&self, texts: &[&str], after_shard: impl FnMut()) -> Vec<Option<Match>> {
        self.corpus.longest_match_of_each(&bytes_of(texts), after_shard)
    }

    /// All passages of `text` with at least `minimum_characters` that occur anywhere in the corpus,
    /// by their place in `text`. Only maximal ones: none lies within another, though they may
    /// overlap. Each comes with its first place in the first document that holds it;
    /// [`Self::places`] finds the others.
    pub fn matches_at_least(&self, text: &str, minimum_characters: usize) -> Vec<Match> {
        let found = self.matches_of_each(&[text], minimum_characters, || ());
        found.into_iter().next().unwrap_or_default()
    }

    /// The same of each of `texts`, together and on the threads of the current rayon pool: the files of a large corpus are read once for
    /// all of them. `after_shard` is called for each of [`Self::shards`].
    pub fn matches_of_each(
        &self,
        texts: &[&str],
        minimum_characters: usize,
        after_shard: impl FnMut(),
    ) -> Vec<Vec<Match>> {
        self.corpus
            .matches_of_each(&bytes_of(texts), minimum_characters, after_shard)
    }

    /// What `work` makes of the text of each document, on the threads of the current rayon pool.
    pub fn map_texts<Made: Send>(&self, work: impl Fn(&str) -> Made + Sync) -> Vec<Made> {
        let mut made = Vec::with_capacity(self.documents());
        for shard in &self.corpus.shards {
            shard.suffixes.text.prefetch();
            let text = |local| {
                let bytes = &shard.suffixes.text[shard.span(local)];
                std::str::from_utf8(bytes).unwrap_or_default()
            };
            let documents = (0..shard.starts.len()).into_par_iter();
            made.par_extend(documents.map(|local| work(text(local))));
        }
        made
    }

    /// How many shards the corpus is cut into.
    pub fn shards(&self) -> usize {
        self.corpus.shards.len()
    }

    /// The first `limit` places of `substring`, by document and place within it, in characters. The
    /// empty string has none.
    pub fn places(&self, substring: &str, limit: usize) -> Vec<Place> {
        self.corpus.places(substring.as_bytes(), limit)
    }

    /// The first `limit` documents that hold `substring`, ascending. Every document holds the empty
    /// string.
    pub fn documents_containing(&self, substring: &str, limit: usize) -> Vec<usize> {
        self.corpus.documents_containing(substring.as_bytes(), limit)
    }

    /// How many documents hold `substring`, or `cap` if there are more: counting stops there. Every
    /// document holds the empty string.
    pub fn document_frequency(&self, substring: &str, cap: usize) -> usize {
        self.corpus.document_frequency(substring.as_bytes(), cap)
    }

    /// Every maximal passage of at least `minimum_characters` that occurs at least twice in the
    /// corpus, in one document or several, at each of its places, by document and place. None lies
    /// within another of the same document, though they may overlap; no document boundary is
    /// crossed. A minimum of 0 is taken for 1.
    ///
    /// Runs on all threads of the current rayon pool. Beside the index and the places it takes less
    /// than a byte per byte of corpus from a minimum of 50 on (up to 12 for the smallest), and 128
    /// MiB.
    pub fn repeats(&self, minimum_characters: usize) -> Vec<Place> {
        repeats(&self.corpus, minimum_characters)
    }
}

fn bytes_of<'text>(texts: &[&'text str]) -> Vec<&'text [u8]> {
    texts.iter().map(|text| text.as_bytes()).collect()
}

/// Builds an [`ExactIndex`] in a folder from documents that need not fit in memory together.
///
/// Documents go into shards in the order in which they come, and each shard is sorted by itself; as
/// many are sorted at once as the current rayon pool has threads, so building takes 5.3 times
/// `shard_bytes` of memory per thread. Answers do not depend on the size of shards, but take time
/// per shard: large ones search faster.
pub struct ExactIndexBuilder {
    builder: CorpusBuilder<u8>,
}

impl ExactIndexBuilder {
    /// A size of shards that keeps building within 3 GB on two threads.
    pub const DEFAULT_SHARD_BYTES: usize = 256 << 20;

    /// Begins an index in `folder`, which is created; an index in it is removed. A shard holds
    /// `shard_bytes`, plus a byte per document; a longer document has a shard of its own.
    ///
    /// # Errors
    /// [`IndexError::File`] where the folder cannot be written.
    pub fn new(folder: &Path, shard_bytes: usize) -> Result<Self, IndexError> {
        Ok(Self {
            builder: CorpusBuilder::in_folder(folder, shard_bytes)?,
        })
    }

    /// Adds the next document.
    ///
    /// # Errors
    /// [`IndexError::DocumentTooLarge`] if it has 2 GiB or more; and what sorting and writing a
    /// full shard meets.
    pub fn push(&mut self, document: &str) -> Result<(), IndexError> {
        self.builder.push(document.as_bytes(), document.as_bytes())
    }

    /// Completes the index and maps it. An index that was not completed cannot be opened.
    ///
    /// # Errors
    /// [`IndexError::SuffixArray`] if memory does not suffice, [`IndexError::File`] where a file
    /// cannot be written.
    pub fn finish(self) -> Result<ExactIndex, IndexError> {
        Ok(ExactIndex {
            corpus: self.builder.finish(None)?,
        })
    }
}
