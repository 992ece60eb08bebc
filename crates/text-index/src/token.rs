use std::collections::HashMap;
use std::path::Path;

use crate::builder::{self, CorpusBuilder};
use crate::corpus::Corpus;
use crate::repeats::repeats;
use crate::{IndexError, Match, Place};

/// Stands for a token that the corpus does not hold, and matches nothing.
const UNKNOWN: i32 = -1;

/// Finds the passages of a token sequence that occur anywhere in a corpus of token sequences.
///
/// What [`ExactIndex`](crate::ExactIndex) is for characters; its answers count tokens. Takes 8.3
/// bytes per token of the corpus.
pub struct TokenIndex {
    corpus: Corpus<i32>,
    vocabulary: Vocabulary,
}

impl TokenIndex {
    /// Indexes `documents` in memory. Any token id is allowed.
    ///
    /// # Errors
    /// [`IndexError::DocumentTooLarge`] for a document of 2³¹ − 1 tokens or more,
    /// [`IndexError::SuffixArray`] if memory does not suffice.
    pub fn build(documents: &[&[u32]]) -> Result<Self, IndexError> {
        let mut builder = TokenIndexBuilder {
            builder: CorpusBuilder::in_memory(usize::MAX),
            vocabulary: Vocabulary::default(),
        };
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
        builder::save(&self.corpus, folder, Some(&self.vocabulary.tokens))
    }

    /// Maps the index that was saved or built in `folder`, after reading all of it once to compare
    /// its digests.
    ///
    /// # Errors
    /// [`IndexError::NotAnIndex`], [`IndexError::Version`] or [`IndexError::Damaged`] for a folder
    /// that does not hold what [`Self::save`] wrote there; [`IndexError::File`] where a file cannot
    /// be read.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let (corpus, tokens) = builder::open(folder)?;
        let mut vocabulary = Vocabulary::default();
        for token in tokens {
            vocabulary.number_or_add(token);
        }
        Ok(Self { corpus, vocabulary })
    }

    /// Digest of the indexed documents: xxh3-128 over the length in bytes (64 bits, little-endian)
    /// and the tokens (32 bits each, little-endian) of each.
    pub fn corpus_digest(&self) -> u128 {
        self.corpus.digest
    }

    /// How many documents are indexed.
    pub fn documents(&self) -> usize {
        self.corpus.documents()
    }

    /// The longest passage of `tokens` that occurs anywhere in the corpus; `None` if they have no
    /// token in common. Of several the first in `tokens`, and its first place in the first document
    /// that holds it.
    pub fn longest_match(&self, tokens: &[u32]) -> Option<Match> {
        let found = self.longest_match_of_each(&[tokens], || ());
        found.into_iter().next().flatten()
    }

    /// The same of each of `sequences`, together and on the threads of the current rayon pool: the files of a large corpus are read once
    /// for all of them. `after_shard` is called for each of [`Self::shards`].
    pub fn longest_match_of_each(
        &self,
        sequences: &[&[u32]],
        after_shard: impl FnMut(),
    ) -> Vec<Option<Match>> {
        let numbers: Vec<Vec<i32>> = sequences
            .iter()
            .map(|tokens| self.vocabulary.numbers(tokens))
            .collect();
        let numbers: Vec<&[i32]> = numbers.iter().map(Vec::as_slice).collect();
        self.corpus.longest_match_of_each(&numbers, after_shard)
    }

    /// How many shards the corpus is cut into.
    pub fn shards(&self) -> usize {
        self.corpus.shards.len()
    }

    /// All passages of `tokens` with at least `minimum_tokens` that occur anywhere in the corpus,
    /// by their place in `tokens`. Only maximal ones: none lies within another, though they may
    /// overlap.
    pub fn matches_at_least(&self, tokens: &[u32], minimum_tokens: usize) -> Vec<Match> {
        let numbers = self.vocabulary.numbers(tokens);
        let found = self.corpus.matches_of_each(&[&numbers], minimum_tokens, || ());
        found.into_iter().next().unwrap_or_default()
    }

    /// The first `limit` places of `sequence`, by document and place within it. The empty sequence
    /// has none.
    pub fn places(&self, sequence: &[u32], limit: usize) -> Vec<Place> {
        self.corpus.places(&self.vocabulary.numbers(sequence), limit)
    }

    /// The first `limit` documents that hold `sequence`, ascending. Every document holds the empty
    /// sequence.
    pub fn documents_containing(&self, sequence: &[u32], limit: usize) -> Vec<usize> {
        self.corpus
            .documents_containing(&self.vocabulary.numbers(sequence), limit)
    }

    /// How many documents hold `sequence`, or `cap` if there are more. Every document holds the
    /// empty sequence.
    pub fn document_frequency(&self, sequence: &[u32], cap: usize) -> usize {
        self.corpus
            .document_frequency(&self.vocabulary.numbers(sequence), cap)
    }

    /// Every maximal passage of at least `minimum_tokens` that occurs at least twice in the corpus,
    /// at each of its places; see [`ExactIndex::repeats`](crate::ExactIndex::repeats).
    pub fn repeats(&self, minimum_tokens: usize) -> Vec<Place> {
        repeats(&self.corpus, minimum_tokens)
    }
}

/// Builds a [`TokenIndex`] in a folder from documents that need not fit in memory together; see
/// [`ExactIndexBuilder`](crate::ExactIndexBuilder).
pub struct TokenIndexBuilder {
    builder: CorpusBuilder<i32>,
    vocabulary: Vocabulary,
}

impl TokenIndexBuilder {
    /// Begins an index in `folder`, which is created; an index in it is removed. A shard holds
    /// `shard_tokens`, plus one per document, and takes 8.3 bytes of memory for each while it is
    /// sorted; a longer document has a shard of its own.
    ///
    /// # Errors
    /// [`IndexError::File`] where the folder cannot be written.
    pub fn new(folder: &Path, shard_tokens: usize) -> Result<Self, IndexError> {
        Ok(Self {
            builder: CorpusBuilder::in_folder(folder, shard_tokens)?,
            vocabulary: Vocabulary::default(),
        })
    }

    /// Adds the next document.
    ///
    /// # Errors
    /// [`IndexError::DocumentTooLarge`] if it has 2³¹ − 1 tokens or more; and what sorting and
    /// writing a full shard meets.
    pub fn push(&mut self, document: &[u32]) -> Result<(), IndexError> {
        let numbers: Vec<i32> = document
            .iter()
            .map(|&token| self.vocabulary.number_or_add(token))
            .collect();
        self.builder.push(&numbers, bytemuck::cast_slice(document))
    }

    /// Completes the index and maps it. An index that was not completed cannot be opened.
    ///
    /// # Errors
    /// [`IndexError::SuffixArray`] if memory does not suffice, [`IndexError::File`] where a file
    /// cannot be written.
    pub fn finish(self) -> Result<TokenIndex, IndexError> {
        Ok(TokenIndex {
            corpus: self.builder.finish(Some(&self.vocabulary.tokens))?,
            vocabulary: self.vocabulary,
        })
    }
}

/// The distinct tokens of a corpus, numbered from 1 in the order in which they come: libsais wants
/// symbols without gaps, and takes memory per symbol.
#[derive(Default)]
struct Vocabulary {
    tokens: Vec<u32>,
    numbers: HashMap<u32, i32>,
}

impl Vocabulary {
    fn number_or_add(&mut self, token: u32) -> i32 {
        *self.numbers.entry(token).or_insert_with(|| {
            self.tokens.push(token);
            self.tokens.len() as i32
        })
    }

    fn numbers(&self, tokens: &[u32]) -> Vec<i32> {
        tokens
            .iter()
            .map(|token| self.numbers.get(token).copied().unwrap_or(UNKNOWN))
            .collect()
    }
}
