//! A whole corpus in one or more shards, and the answers that do not depend on how many there are.

use crate::Place;
use crate::shard::Shard;
use crate::symbol::Symbol;

pub(crate) struct Corpus<S> {
    /// Each continues the numbers of the documents where the last one ends.
    pub(crate) shards: Vec<Shard<S>>,
    pub(crate) digest: u128,
}

impl<S: Symbol> Corpus<S> {
    /// How many documents there are.
    pub(crate) fn documents(&self) -> usize {
        self.shards.last().map_or(0, |shard| shard.documents().end)
    }

    /// The symbols of a document; none where there is no such document.
    pub(crate) fn document(&self, document: usize) -> Option<&[S]> {
        let after = self
            .shards
            .partition_point(|shard| shard.documents().end <= document);
        let shard = self.shards.get(after)?;
        Some(&shard.suffixes.text[shard.span(document - shard.first_document)])
    }

    pub(crate) fn places(&self, pattern: &[S], limit: usize) -> Vec<Place> {
        let mut places = Vec::new();
        if pattern.is_empty() {
            return places;
        }
        for shard in &self.shards {
            if places.len() == limit {
                break;
            }
            places.extend(shard.places(pattern, limit - places.len()));
        }
        places
    }

    pub(crate) fn documents_containing(&self, pattern: &[S], limit: usize) -> Vec<usize> {
        if pattern.is_empty() {
            return (0..self.documents().min(limit)).collect();
        }
        let mut documents = Vec::new();
        for shard in &self.shards {
            if documents.len() == limit {
                break;
            }
            documents.extend(shard.documents_containing(pattern, limit - documents.len()));
        }
        documents
    }

    pub(crate) fn document_frequency(&self, pattern: &[S], cap: usize) -> usize {
        if pattern.is_empty() {
            return self.documents().min(cap);
        }
        let mut frequency = 0;
        for shard in &self.shards {
            frequency += shard.document_frequency(pattern, cap - frequency);
        }
        frequency
    }
}
