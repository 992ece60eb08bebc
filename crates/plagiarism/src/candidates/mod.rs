//! Which training documents a generation is aligned with.

pub mod exact;
pub mod pairs;
mod vocabulary;
pub mod word_overlap;

use std::collections::HashMap;
use std::path::Path;

use contract::Error;
use contract::pipeline::{Candidates, Detection, DetectorPreset};
use text_index::{CandidateIndex, CandidateIndexBuilder};

use crate::cache::indexes::{CorpusName, IndexCache, Ways};
use crate::corpus::sentences::SplitText;
use crate::corpus::sources::Document;
use crate::failed;
use crate::paraphrase::similarity::{Neighbour, Neighbours};

/// The ways in which `detection` looks for documents, in the order in which their results are taken: as configured, or
/// else all three, and for `lee2023` BM25 alone (Lee et al., WWW 2023).
pub fn ways(detection: &Detection) -> Vec<Candidates> {
    match (&detection.candidates, detection.preset) {
        (Some(ways), _) => ways.clone(),
        (None, DetectorPreset::Lee2023) => vec![Candidates::Bm25],
        (None, _) => vec![Candidates::Bm25, Candidates::Exact, Candidates::Nearest],
    }
}

/// Documents ranked by the words that they share with a text.
pub struct RankedSearch {
    index: CandidateIndex,
}

impl RankedSearch {
    /// Indexes the words of `documents`; the index of a large corpus is kept in `cache`.
    ///
    /// # Errors
    /// [`Error::Run`] where that fails.
    pub fn new(documents: &[Document], cache: &IndexCache) -> Result<Self, Error> {
        Self::named(documents, cache, &CorpusName::of(documents))
    }

    /// The same for documents whose name is known.
    pub(crate) fn named(
        documents: &[Document],
        cache: &IndexCache,
        corpus: &CorpusName,
    ) -> Result<Self, Error> {
        let ways = Ways {
            open: CandidateIndex::open,
            build_in: |folder: &Path| {
                let mut builder = CandidateIndexBuilder::new(folder)?;
                documents
                    .iter()
                    .try_for_each(|document| builder.push(&document.text))?;
                builder.finish()
            },
            build: || {
                let texts: Vec<&str> = documents.iter().map(|document| &*document.text).collect();
                CandidateIndex::build(&texts)
            },
        };
        Ok(Self {
            index: cache.index(&corpus.index_of("ranked"), corpus.bytes, &ways)?,
        })
    }

    /// The best `limit` documents for `text`, best first.
    ///
    /// # Errors
    /// [`Error::Run`] where the search fails.
    pub fn candidates(&self, text: &str, limit: usize) -> Result<Vec<usize>, Error> {
        let found = self
            .index
            .candidates(text, limit)
            .map_err(failed("searching candidates"))?;
        Ok(found.into_iter().map(|candidate| candidate.document).collect())
    }
}

/// Which documents hold a sentence.
#[derive(Debug, Clone, Default)]
pub struct DocumentsBySentence {
    /// Documents by the number of the sentence, ascending.
    documents: HashMap<usize, Vec<usize>>,
}

impl DocumentsBySentence {
    /// The documents_by_sentence of the sentences of `documents`.
    pub fn new(documents: &[SplitText]) -> Self {
        let mut documents_by_sentence: HashMap<usize, Vec<usize>> = HashMap::new();
        for (document, text) in documents.iter().enumerate() {
            for sentence in &text.sentences {
                let documents_by_sentence = documents_by_sentence.entry(sentence.number).or_default();
                if documents_by_sentence.last() != Some(&document) {
                    documents_by_sentence.push(document);
                }
            }
        }
        Self {
            documents: documents_by_sentence,
        }
    }

    /// At most `limit` documents that hold the sentences nearest to those of `text`, nearest first.
    pub fn of_nearest(&self, text: &SplitText, nearest: &Neighbours, limit: usize) -> Vec<usize> {
        let mut neighbours: Vec<Neighbour> = text
            .sentences
            .iter()
            .filter_map(|sentence| nearest.of(sentence))
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
            .filter_map(|found| self.documents.get(&found.sentence))
            .flatten()
        {
            if documents.len() == limit {
                break;
            }
            if !documents.contains(document) {
                documents.push(*document);
            }
        }
        documents
    }
}
