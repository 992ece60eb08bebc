//! The documents that generations are compared with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};
use contract::{Error, parquet};
use text_align::Span;

use crate::corpus::normal_form::{NormalForm, compared};

/// A document, once, however many copies of it the training set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its identity.
    pub doc_id: String,
    /// Its whole text in its compared form: what all spans count in.
    pub text: String,
    /// Copies in the training set; 0 for held-out documents.
    pub copies: i32,
    /// The text as it is in the file, where that differs.
    original: Option<String>,
}

impl Document {
    /// A document with its text as it is in the file.
    pub fn new(doc_id: String, text: String, copies: i32) -> Self {
        let (text, original) = match compared(&text) {
            Cow::Borrowed(_) => (text, None),
            Cow::Owned(form) => (form, Some(text)),
        };
        Self {
            doc_id,
            text,
            copies,
            original,
        }
    }

    /// The characters of the text in the file that `span` stands for.
    pub fn original(&self, span: Span) -> Span {
        match &self.original {
            None => span,
            Some(text) => NormalForm::compared(text).origin(span),
        }
    }
}

/// The two sides of the experiment. Within each, documents are in ascending order of identity, so that nothing depends
/// on the order of training. Canaries are no documents, and neither are their references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// What the model was tuned on.
    pub training: Vec<Document>,
    /// What was kept back: the control.
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
                "expected training documents, found none (canaries are no documents). Make it again with dupgen",
            ));
        }
        Ok(Self {
            training,
            held_out: held_out_documents(held_out)?,
        })
    }

    /// The place of a document among `documents`, one side of the experiment.
    pub fn index(documents: &[Document], doc_id: &str) -> Option<usize> {
        documents
            .binary_search_by(|document| document.doc_id.as_str().cmp(doc_id))
            .ok()
    }
}

fn training_documents(file: &Path) -> Result<Vec<Document>, Error> {
    let mut texts = BTreeMap::new();
    for batch in parquet::Reader::<TrainingInstance>::open(file)? {
        for instance in batch? {
            if instance.kind == DocumentKind::Document {
                texts
                    .entry(instance.doc_id)
                    .or_insert((instance.text, instance.copies));
            }
        }
    }
    Ok(in_order(texts))
}

fn held_out_documents(file: &Path) -> Result<Vec<Document>, Error> {
    let mut texts = BTreeMap::new();
    for batch in parquet::Reader::<HeldOutDocument>::open(file)? {
        for document in batch? {
            if document.kind == DocumentKind::Document {
                texts.entry(document.doc_id).or_insert((document.text, 0));
            }
        }
    }
    Ok(in_order(texts))
}

fn in_order(texts: BTreeMap<String, (String, i32)>) -> Vec<Document> {
    texts
        .into_iter()
        .map(|(doc_id, (text, copies))| Document::new(doc_id, text, copies))
        .collect()
}
