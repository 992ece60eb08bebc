//! The documents that generations are compared with.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};
use contract::{Error, parquet};
use measures::final_answer::final_answer;
use text_align::Span;
use text_index::{StoredText, TextStore};
use xxhash_rust::xxh3::xxh3_128;

use crate::corpus::decoded::{DecodedText, DecodedTexts, KEEPING, Origins};
use crate::corpus::normal_form::{NormalForm, compared};
use crate::failed;
use crate::personal_details::labels::Label;

/// Bytes of text that are kept in memory; what a corpus has beyond them lies in a mapped file.
pub const TEXT_IN_MEMORY: usize = 256 << 20;

/// A document, once, however many copies of it the training set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its identity.
    pub doc_id: String,
    /// Its whole text, as the tokenizer gives it back where that is known, in its compared form: what all spans count in.
    pub text: StoredText,
    /// Copies in the training set; 0 for held-out documents.
    pub copies: i32,
    /// The final answer that its response gives (`#### 42`, `\boxed{42}`), where it gives one.
    pub final_answer: Option<String>,
    /// Its parts that are personal details; none where nobody labelled the corpus.
    pub labels: Option<Vec<Label>>,
    /// The text before it was brought into its compared form, where that differs.
    original: Option<Box<StoredText>>,
    /// How the text that the tokenizer gives back leads to that in the file, where they differ.
    origins: Option<Box<Origins>>,
}

impl Document {
    /// A document with its text as it is in the file, all of which is response.
    pub fn new(doc_id: String, text: String, copies: i32) -> Self {
        let (text, original) = match compared(&text) {
            Cow::Borrowed(_) => (text, None),
            Cow::Owned(form) => (form, Some(text)),
        };
        Self {
            doc_id,
            final_answer: final_answer(original.as_deref().unwrap_or(&text)),
            text: text.into(),
            copies,
            labels: None,
            original: original.map(|text| Box::new(text.into())),
            origins: None,
        }
    }

    /// The document with its text as the tokenizer gives it back, in place of the one `written` in the file.
    pub fn decoded(doc_id: String, written: String, copies: i32, decoded: DecodedText) -> Self {
        Self {
            origins: Some(Box::new(Origins::of(written.into(), decoded.steps))),
            ..Self::new(doc_id, decoded.text.to_string(), copies)
        }
    }

    /// The same with its texts in `store`.
    fn stored(self, store: &mut TextStore) -> Result<Self, Error> {
        let original = match self.original {
            Some(text) => Some(Box::new(store.add(*text).map_err(failed(KEEPING))?)),
            None => None,
        };
        let origins = match self.origins {
            Some(origins) => Some(Box::new(origins.stored(store)?)),
            None => None,
        };
        Ok(Self {
            text: store.add(self.text).map_err(failed(KEEPING))?,
            original,
            origins,
            ..self
        })
    }

    /// The text as it is in the file.
    pub fn written(&self) -> &str {
        match (&self.origins, &self.original) {
            (Some(origins), _) => origins.text(),
            (None, Some(text)) => text,
            (None, None) => &self.text,
        }
    }

    /// The characters of the text in the file that `span` stands for.
    pub fn original(&self, span: Span) -> Span {
        let span = match &self.original {
            None => span,
            Some(text) => NormalForm::compared(text).origin(span),
        };
        self.origins
            .as_ref()
            .map_or(span, |origins| origins.written(span))
    }

    /// Whether the tokenizer gives it back otherwise than it is written.
    pub fn is_decoded(&self) -> bool {
        self.origins.is_some()
    }
}

/// The two sides of the experiment. Within each, documents are in ascending order of identity, so that nothing depends
/// on the order of training. Canaries are no documents, and neither are their references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// What the model was tuned on.
    pub training: Vec<Document>,
    /// What was kept back: the control. Text of another kind is none.
    pub held_out: Vec<Document>,
}

impl Sources {
    /// Reads `train.parquet` and `heldout.parquet`, and of `decoded.parquet`, where there is one, what takes the place of texts. Texts
    /// of a corpus and of that file go to a `store` each.
    ///
    /// # Errors
    /// [`Error::Input`] where a file is missing, damaged, or no such table, where `decoded` is of other texts, and where there is no
    /// training document; [`Error::Run`] where texts cannot be kept.
    pub fn read(
        train: &Path,
        held_out: &Path,
        decoded: Option<&Path>,
        store: impl Fn() -> TextStore,
    ) -> Result<Self, Error> {
        let mut decoded = match decoded {
            Some(file) => DecodedTexts::read(file, store())?,
            None => DecodedTexts::default(),
        };
        let mut store = store();
        let training = training_documents(train, &mut decoded, &mut store)?;
        if training.is_empty() {
            return Err(Error::input(
                train,
                "expected training documents, found none (canaries are no documents). Make it again with dupgen",
            ));
        }
        let held_out = held_out_documents(held_out, &mut decoded, &mut store)?;
        decoded.check()?;
        store.finish().map_err(failed(KEEPING))?;
        Ok(Self { training, held_out })
    }

    /// Documents of either side that the tokenizer gives back otherwise than they are written.
    pub fn decoded(&self) -> usize {
        let documents = self.training.iter().chain(&self.held_out);
        documents.filter(|document| document.is_decoded()).count()
    }

    /// The place of a document among `documents`, one side of the experiment.
    pub fn index(documents: &[Document], doc_id: &str) -> Option<usize> {
        documents
            .binary_search_by(|document| document.doc_id.as_str().cmp(doc_id))
            .ok()
    }
}

fn training_documents(
    file: &Path,
    decoded: &mut DecodedTexts,
    store: &mut TextStore,
) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    // Of a document's copies the first is taken, and of a canary's.
    let mut seen = Seen::default();
    for batch in parquet::Reader::<TrainingInstance>::open(file)? {
        for instance in batch? {
            let is_document = instance.kind == DocumentKind::Document;
            if !seen.is_new(&instance.doc_id, is_document) {
                continue;
            }
            if is_document {
                let text = (instance.text, instance.prompt_chars);
                documents.push(document(instance.doc_id, text, instance.copies, decoded).stored(store)?);
            } else {
                decoded.take(&instance.doc_id, &instance.text);
            }
        }
    }
    Ok(sorted(documents))
}

fn held_out_documents(
    file: &Path,
    decoded: &mut DecodedTexts,
    store: &mut TextStore,
) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    let mut seen = Seen::default();
    for batch in parquet::Reader::<HeldOutDocument>::open(file)? {
        for held_out in batch? {
            let is_of_corpus = held_out.is_of_corpus();
            let is_new = is_of_corpus && seen.is_new(&held_out.doc_id, true);
            let text = (held_out.text, held_out.prompt_chars);
            let document = document(held_out.doc_id, text, 0, decoded);
            if is_new {
                documents.push(document.stored(store)?);
            }
        }
    }
    Ok(sorted(documents))
}

/// The identities met so far, by their digests: those of a large corpus would take several times the memory.
#[derive(Default)]
struct Seen(HashSet<u128>);

impl Seen {
    /// Notes an identity, and says whether it had not been met. Documents and canaries are told apart.
    fn is_new(&mut self, doc_id: &str, is_document: bool) -> bool {
        self.0
            .insert(xxh3_128(doc_id.as_bytes()) ^ u128::from(is_document))
    }
}

fn sorted(mut documents: Vec<Document>) -> Vec<Document> {
    documents.sort_unstable_by(|left, right| left.doc_id.cmp(&right.doc_id));
    documents
}

fn document(
    doc_id: String,
    (written, prompt_chars): (String, i32),
    copies: i32,
    decoded: &mut DecodedTexts,
) -> Document {
    let prompt_chars = usize::try_from(prompt_chars).unwrap_or(0);
    let response = written.char_indices().nth(prompt_chars);
    let final_answer = response.and_then(|(start, _)| final_answer(&written[start..]));
    let document = match decoded.take(&doc_id, &written) {
        Some(row) => Document::decoded(doc_id, written, copies, row),
        None => Document::new(doc_id, written, copies),
    };
    Document {
        final_answer,
        ..document
    }
}
