//! The documents that the cells of a run speak of.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::{DocumentKind, HeldOutDocument, Split, TrainingInstance};
use contract::{Error, parquet};

use super::CorpusFiles;

/// The documents of a corpus that the cells speak of, and how many there are in all.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Documents by identity.
    pub documents: BTreeMap<String, CorpusDocument>,
    /// Distinct training documents, canaries aside, by number of copies.
    pub training_documents: BTreeMap<i32, usize>,
    /// Planted canaries.
    pub canaries: usize,
    /// Documents kept back.
    pub held_out_documents: usize,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusDocument {
    /// The whole text.
    pub text: String,
    /// Document, canary, or reference of a canary.
    pub kind: DocumentKind,
    /// Where it stands.
    pub split: Split,
}

impl Corpus {
    /// Streams the two files, keeping the text of the `wanted` documents only.
    pub(super) fn load(files: &CorpusFiles, wanted: &BTreeSet<&str>) -> Result<Self, Error> {
        let mut corpus = Self::default();
        for batch in parquet::Reader::<TrainingInstance>::open(&files.train)? {
            for instance in batch?.into_iter().filter(|instance| instance.copy == 0) {
                match instance.kind {
                    DocumentKind::Document => {
                        *corpus.training_documents.entry(instance.copies).or_default() += 1;
                    }
                    DocumentKind::Canary | DocumentKind::CanaryReference => corpus.canaries += 1,
                }
                if wanted.contains(instance.doc_id.as_str()) {
                    let document = CorpusDocument {
                        text: instance.text,
                        kind: instance.kind,
                        split: Split::Train,
                    };
                    corpus.documents.insert(instance.doc_id, document);
                }
            }
        }
        for batch in parquet::Reader::<HeldOutDocument>::open(&files.held_out)? {
            for held_out in batch? {
                corpus.held_out_documents += usize::from(held_out.kind == DocumentKind::Document);
                if wanted.contains(held_out.doc_id.as_str()) {
                    let document = CorpusDocument {
                        text: held_out.text,
                        kind: held_out.kind,
                        split: Split::Heldout,
                    };
                    corpus.documents.insert(held_out.doc_id, document);
                }
            }
        }
        Ok(corpus)
    }
}
