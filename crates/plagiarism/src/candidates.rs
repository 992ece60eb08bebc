//! Which training documents a generation is aligned with.

use std::collections::HashMap;

use contract::Error;
use contract::pipeline::{Candidates, Detection, DetectorPreset};
use text_index::CandidateIndex;

use crate::exact::ExactSearch;
use crate::failed;
use crate::sentences::SplitText;
use crate::similarity::{Neighbour, Neighbours};
use crate::sources::Document;

/// The ways in which `detection` looks for documents, in the order in which their results are taken: as configured, or
/// else all three, and for `lee2023` BM25 alone (Lee et al., WWW 2023).
pub fn ways(detection: &Detection) -> Vec<Candidates> {
    match (&detection.candidates, detection.preset) {
        (Some(ways), _) => ways.clone(),
        (None, DetectorPreset::Lee2023) => vec![Candidates::Bm25],
        (None, _) => vec![Candidates::Bm25, Candidates::Exact, Candidates::Nearest],
    }
}

/// Finds the documents that a generation may come from.
pub struct CandidateSearch<'run> {
    ways: Vec<Candidates>,
    /// Most documents from each way.
    limit: usize,
    ranked: CandidateIndex,
    exact: &'run ExactSearch<'run>,
    nearest: &'run Neighbours,
    /// Documents by the number of a sentence that they hold, ascending.
    holders: HashMap<usize, Vec<usize>>,
}

impl<'run> CandidateSearch<'run> {
    /// Prepares the ways that `detection` asks for. `split` are the sentences of `documents`, and `nearest` the nearest of
    /// them for each sentence of a generation.
    ///
    /// # Errors
    /// [`Error::Run`] where the documents cannot be indexed.
    pub fn new(
        detection: &Detection,
        documents: &[Document],
        split: &[SplitText],
        exact: &'run ExactSearch<'run>,
        nearest: &'run Neighbours,
    ) -> Result<Self, Error> {
        let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for (document, text) in split.iter().enumerate() {
            for sentence in &text.sentences {
                let holders = holders.entry(sentence.number).or_default();
                if holders.last() != Some(&document) {
                    holders.push(document);
                }
            }
        }
        Ok(Self {
            ways: ways(detection),
            limit: detection.candidate_limit,
            ranked: CandidateIndex::build(&texts).map_err(failed("indexing words"))?,
            exact,
            nearest,
            holders,
        })
    }

    /// The documents to align `generation` with, each once, best first within each way.
    ///
    /// # Errors
    /// [`Error::Run`] where the search fails.
    pub fn candidates(&self, generation: &str, split: &SplitText) -> Result<Vec<usize>, Error> {
        let mut candidates = Vec::new();
        for way in &self.ways {
            let found = match way {
                Candidates::Bm25 => self.ranked(generation)?,
                Candidates::Exact => self.exact.candidates(generation, self.limit),
                Candidates::Nearest => self.holding_nearest(split),
            };
            for document in found {
                if !candidates.contains(&document) {
                    candidates.push(document);
                }
            }
        }
        Ok(candidates)
    }

    fn ranked(&self, generation: &str) -> Result<Vec<usize>, Error> {
        let found = self
            .ranked
            .candidates(generation, self.limit)
            .map_err(failed("searching candidates"))?;
        Ok(found.into_iter().map(|candidate| candidate.document).collect())
    }

    /// The documents that hold the training sentences nearest to those of the generation, nearest first.
    fn holding_nearest(&self, split: &SplitText) -> Vec<usize> {
        let mut neighbours: Vec<Neighbour> = split
            .sentences
            .iter()
            .filter_map(|sentence| self.nearest.of(sentence))
            .collect();
        neighbours.sort_by(|left, right| {
            right
                .cosine
                .total_cmp(&left.cosine)
                .then(left.sentence.cmp(&right.sentence))
        });
        let mut documents = Vec::new();
        for document in neighbours
            .iter()
            .filter_map(|found| self.holders.get(&found.sentence))
            .flatten()
        {
            if documents.len() == self.limit {
                break;
            }
            if !documents.contains(document) {
                documents.push(*document);
            }
        }
        documents
    }
}
