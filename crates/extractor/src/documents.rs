//! Documents of the corpus as tokens, each once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use causal_lm::TextTokenizer;
use contract::records::{DocumentKind, HeldOutDocument, Split, TrainingInstance};
use contract::{Error, parquet};

/// One document of the corpus, once, however many copies were trained on.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its identity.
    pub doc_id: String,
    /// Where it stands.
    pub split: Split,
    /// What it is.
    pub kind: DocumentKind,
    /// Copies in the training set; 0 where held out.
    pub copies: i32,
    /// Its tokens, without any that begin or end a text.
    pub tokens: Vec<i64>,
    /// How many of them are its prompt, what a user would ask; 0 where nothing tells prompt from answer.
    pub question_tokens: usize,
}

/// All documents of a corpus folder.
#[derive(Debug)]
pub struct Documents {
    /// Training documents in order of identity, then held-out ones in file order.
    pub all: Vec<Document>,
}

impl Documents {
    /// Reads both files of a corpus folder.
    ///
    /// # Errors
    /// [`Error::Input`] where one cannot be used.
    pub fn load(train: &Path, held_out: &Path, tokenizer: &TextTokenizer) -> Result<Self, Error> {
        let encode = |text: &str, prompt_chars: i32| {
            tokenizer.encode_with_prompt(text, usize::try_from(prompt_chars).unwrap_or(0))
        };
        let mut training: BTreeMap<String, Document> = BTreeMap::new();
        for batch in parquet::Reader::<TrainingInstance>::open(train)? {
            for instance in batch? {
                if let Entry::Vacant(place) = training.entry(instance.doc_id) {
                    let doc_id = place.key().clone();
                    let (tokens, question_tokens) = encode(&instance.text, instance.prompt_chars)?;
                    place.insert(Document {
                        doc_id,
                        split: Split::Train,
                        kind: instance.kind,
                        copies: instance.copies,
                        tokens,
                        question_tokens,
                    });
                }
            }
        }
        let mut all: Vec<Document> = training.into_values().collect();
        for document in parquet::read_all::<HeldOutDocument>(held_out)? {
            let (tokens, question_tokens) = encode(&document.text, document.prompt_chars)?;
            all.push(Document {
                tokens,
                question_tokens,
                doc_id: document.doc_id,
                split: Split::Heldout,
                kind: document.kind,
                copies: 0,
            });
        }
        Ok(Self { all })
    }
}

impl Documents {
    /// The documents of one split that are no canaries.
    pub fn of(&self, split: Split) -> Vec<&Document> {
        let of_split =
            |document: &&Document| document.split == split && document.kind == DocumentKind::Document;
        self.all.iter().filter(of_split).collect()
    }
}
