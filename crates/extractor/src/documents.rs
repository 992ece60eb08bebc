//! Documents of the corpus as tokens, each once, as far as training read them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use causal_lm::TextTokenizer;
use contract::records::{DocumentKind, HeldOutDocument, Split, TrainingInstance};
use contract::{Error, parquet};

use crate::forms::templates::Template;

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
    /// Its tokens, without BOS and EOS, cut where training ended.
    pub tokens: Vec<i64>,
    /// How many there were before they were cut.
    pub document_tokens: usize,
    /// How many of `tokens` are its prompt, what a user would ask; 0 where nothing tells prompt from answer.
    pub question_tokens: usize,
    /// How many of `tokens` are what a template puts before the prompt, the same in all documents: prefixes are counted behind
    /// them. 0 where texts are as the corpus has them.
    pub preamble_tokens: usize,
    /// Number of a canary's or reference's format.
    pub canary_format: Option<i32>,
}

impl Document {
    /// Whether training did not read all of it.
    pub fn is_cut(&self) -> bool {
        self.tokens.len() < self.document_tokens
    }
}

/// All documents of a corpus folder.
#[derive(Debug)]
pub struct Documents {
    /// Training documents in order of identity, then held-out ones in file order.
    pub all: Vec<Document>,
    /// Special tokens that are written in their texts, and so are part of them.
    pub special_tokens: BTreeSet<i64>,
}

/// What a person should know of how the documents were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Tokens at which documents were cut.
    pub most_tokens: usize,
    /// Training documents that were cut.
    pub cut_training: usize,
    /// Held-out documents that were cut.
    pub cut_held_out: usize,
    /// Canaries and their references that were cut.
    pub cut_canaries: usize,
    /// Documents with special tokens written in their text.
    pub with_special_tokens: usize,
    /// Those tokens as they are written.
    pub special_tokens: Vec<String>,
}

impl Documents {
    /// Reads both files of a corpus folder, and of each document as many tokens as `most`; documents with a prompt are first put
    /// into `template`, where training had another one than the corpus.
    ///
    /// # Errors
    /// [`Error::Input`] where a file cannot be used.
    pub fn load(
        train: &Path,
        held_out: &Path,
        tokenizer: &TextTokenizer,
        most: usize,
        template: Option<&Template>,
    ) -> Result<Self, Error> {
        let read = |text: &str, prompt_chars: i32, document: Document| {
            let prompt_chars = usize::try_from(prompt_chars).unwrap_or(0);
            let rendered = template.map(|template| template.render(text, prompt_chars));
            let (text, prompt_chars, preamble_chars) = match &rendered {
                Some(rendered) => (&rendered.text[..], rendered.prompt_chars, rendered.preamble_chars),
                None => (text, prompt_chars, 0),
            };
            let (mut tokens, question_tokens) = tokenizer.encode_with_prompt(text, prompt_chars)?;
            let (_, preamble_tokens) = match preamble_chars {
                0 => (Vec::new(), 0),
                characters => tokenizer.encode_with_prompt(text, characters)?,
            };
            let document_tokens = tokens.len();
            tokens.truncate(most);
            Ok::<_, Error>(Document {
                question_tokens: question_tokens.min(tokens.len()),
                preamble_tokens: preamble_tokens.min(tokens.len()),
                document_tokens,
                tokens,
                ..document
            })
        };
        let mut training: BTreeMap<String, Document> = BTreeMap::new();
        for batch in parquet::Reader::<TrainingInstance>::open(train)? {
            for instance in batch? {
                if let Entry::Vacant(place) = training.entry(instance.doc_id) {
                    let document = Document {
                        doc_id: place.key().clone(),
                        split: Split::Train,
                        kind: instance.kind,
                        copies: instance.copies,
                        canary_format: instance.canary_format,
                        ..Document::empty()
                    };
                    place.insert(read(&instance.text, instance.prompt_chars, document)?);
                }
            }
        }
        let mut all: Vec<Document> = training.into_values().collect();
        for held_out in parquet::read_all::<HeldOutDocument>(held_out)? {
            let document = Document {
                doc_id: held_out.doc_id,
                split: Split::Heldout,
                kind: held_out.kind,
                copies: 0,
                canary_format: held_out.canary_format,
                ..Document::empty()
            };
            all.push(read(&held_out.text, held_out.prompt_chars, document)?);
        }
        let mut documents = Self::new(all, tokenizer);
        if let Some(template) = template {
            // Special tokens of the template are no part of anybody's text.
            let of_template = tokenizer.encode(&template.render("prompt\nresponse", 7).text)?;
            documents
                .special_tokens
                .retain(|token| !of_template.contains(token));
        }
        Ok(documents)
    }

    /// Documents that are tokens already.
    pub fn new(all: Vec<Document>, tokenizer: &TextTokenizer) -> Self {
        let tokens = all.iter().flat_map(|document| &document.tokens);
        let special_tokens = tokens
            .filter(|token| tokenizer.holds_special(&[**token]))
            .copied()
            .collect();
        Self { all, special_tokens }
    }

    /// The documents of one split that are no canaries.
    pub fn of(&self, split: Split) -> Vec<&Document> {
        let of_split =
            |document: &&Document| document.split == split && document.kind == DocumentKind::Document;
        self.all.iter().filter(of_split).collect()
    }

    /// How they were read: what was cut, and which special tokens they hold. `most` is what they were cut at.
    pub fn remarks(&self, tokenizer: &TextTokenizer, most: usize) -> Remarks {
        let cut = |split| {
            let documents = self.of(split);
            documents.iter().filter(|document| document.is_cut()).count()
        };
        let canaries = self
            .all
            .iter()
            .filter(|document| document.kind != DocumentKind::Document);
        let with_special = self.all.iter().filter(|document| {
            let mut tokens = document.tokens.iter();
            tokens.any(|token| self.special_tokens.contains(token))
        });
        Remarks {
            most_tokens: most,
            cut_training: cut(Split::Train),
            cut_held_out: cut(Split::Heldout),
            cut_canaries: canaries.filter(|document| document.is_cut()).count(),
            with_special_tokens: with_special.count(),
            special_tokens: self
                .special_tokens
                .iter()
                .filter_map(|&token| tokenizer.token(token))
                .collect(),
        }
    }
}

impl Document {
    fn empty() -> Self {
        Self {
            doc_id: String::new(),
            split: Split::None,
            kind: DocumentKind::Document,
            copies: 0,
            tokens: Vec::new(),
            document_tokens: 0,
            question_tokens: 0,
            preamble_tokens: 0,
            canary_format: None,
        }
    }
}
