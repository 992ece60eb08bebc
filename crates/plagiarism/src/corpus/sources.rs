//! The documents that generations are held against.

use std::collections::BTreeMap;
use std::path::Path;

use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};
use contract::{Error, parquet};

/// A document, once, however many copies of it the training set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its identity.
    pub doc_id: String,
    /// Its whole text.
    pub text: String,
}

/// The two sides of the experiment. Within each, documents stand in ascending order of identity, so that nothing depends
/// on the order of training.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// What the model was tuned on, canaries included.
    pub training: Vec<Document>,
    /// What was kept back: the control. References of canaries are no part of it.
    pub held_out: Vec<Document>,
}

impl Sources {
    /// Reads `train.parquet` and `heldout.parquet`.
    ///
    /// # Errors
    /// [`Error::Input`] where a file is missing, damaged, or no such table, and where there is no training document.
    pub fn read(train: &Path, held_out: &Path) -> Result<Self, Error> {
        let training = training_documents(train)?;
        if training.is_empty() {
            return Err(Error::input(
                train,
                "expected training documents, found none. Make it again with dupgen",
            ));
        }
        Ok(Self {
            training,
            held_out: held_out_documents(held_out)?,
        })
    }

    /// The place of a document among the training documents.
    pub fn training_index(&self, doc_id: &str) -> Option<usize> {
        self.training
            .binary_search_by(|document| document.doc_id.as_str().cmp(doc_id))
            .ok()
    }
}

fn training_documents(file: &Path) -> Result<Vec<Document>, Error> {
    let mut texts = BTreeMap::new();
    for batch in parquet::Reader::<TrainingInstance>::open(file)? {
        for instance in batch? {
            texts.entry(instance.doc_id).or_insert(instance.text);
        }
    }
    Ok(in_order(texts))
}

fn held_out_documents(file: &Path) -> Result<Vec<Document>, Error> {
    let mut texts = BTreeMap::new();
    for batch in parquet::Reader::<HeldOutDocument>::open(file)? {
        for document in batch?
            .into_iter()
            .filter(|document| document.kind == DocumentKind::Document)
        {
            texts.entry(document.doc_id).or_insert(document.text);
        }
    }
    Ok(in_order(texts))
}

fn in_order(texts: BTreeMap<String, String>) -> Vec<Document> {
    texts
        .into_iter()
        .map(|(doc_id, text)| Document { doc_id, text })
        .collect()
}
