//! Documents of the corpus as tokens, and the prompts taken from them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use causal_lm::{Config, TextTokenizer};
use contract::pipeline::{BadDocuments, Extraction, PromptSource};
use contract::records::{DocumentKind, HeldOutDocument, Split, TrainingInstance};
use contract::{Error, parquet};
use xxhash_rust::xxh3::xxh3_64;

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
        let mut training: BTreeMap<String, Document> = BTreeMap::new();
        for batch in parquet::Reader::<TrainingInstance>::open(train)? {
            for instance in batch? {
                if let Entry::Vacant(place) = training.entry(instance.doc_id) {
                    let doc_id = place.key().clone();
                    place.insert(Document {
                        doc_id,
                        split: Split::Train,
                        kind: instance.kind,
                        copies: instance.copies,
                        tokens: tokenizer.encode(&instance.text)?,
                    });
                }
            }
        }
        let mut all: Vec<Document> = training.into_values().collect();
        for document in parquet::read_all::<HeldOutDocument>(held_out)? {
            all.push(Document {
                tokens: tokenizer.encode(&document.text)?,
                doc_id: document.doc_id,
                split: Split::Heldout,
                kind: document.kind,
                copies: 0,
            });
        }
        Ok(Self { all })
    }
}

/// What a model is asked to go on with.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The document; none for generation from nothing.
    pub doc_id: Option<String>,
    /// Where it stands.
    pub split: Split,
    /// Copies in the training set.
    pub copies: i32,
    /// Tokens of the prompt.
    pub tokens: Vec<i64>,
    /// Tokens that the document goes on with, at most as many as are generated.
    pub truth: Vec<i64>,
}

/// Documents that gave no prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// No longer than the prompt.
    pub too_short: usize,
}

/// Takes prompts from documents as the settings say.
///
/// # Errors
/// [`Error::Configuration`] where prompt and continuation do not fit into the model's context, where a document is too short
/// and the settings call that an error, or where no document is long enough.
pub fn choose(
    documents: &Documents,
    settings: &Extraction,
    config: &Config,
    tokenizer: &TextTokenizer,
) -> Result<(Vec<Prompt>, Skipped), Error> {
    // One token begins every text.
    let needed = 1 + settings.prefix_tokens + settings.new_tokens;
    if needed > config.context {
        return Err(Error::Configuration(format!(
            "extraction: prefix_tokens = {} and new_tokens = {} need {needed} tokens with the one that begins a text, and the \
             model's context is {}",
            settings.prefix_tokens, settings.new_tokens, config.context
        )));
    }
    if tokenizer.vocabulary() > config.vocabulary {
        return Err(Error::Configuration(format!(
            "the tokenizer has {} tokens and the model an embedding of {}; they do not belong together",
            tokenizer.vocabulary(),
            config.vocabulary
        )));
    }
    let mut prompts = Vec::new();
    let mut skipped = Skipped::default();
    let sources: BTreeSet<_> = settings
        .prompts
        .iter()
        .map(|source| source_rank(*source))
        .collect();
    for rank in sources {
        let split = match rank {
            0 => Split::Train,
            1 => Split::Heldout,
            _ => {
                let nothing = Prompt {
                    doc_id: None,
                    split: Split::None,
                    copies: 0,
                    tokens: Vec::new(),
                    truth: Vec::new(),
                };
                prompts.extend(std::iter::repeat_n(nothing, settings.unprompted));
                continue;
            }
        };
        let candidates: Vec<&Document> = documents
            .all
            .iter()
            .filter(|document| document.split == split && document.kind == DocumentKind::Document)
            .collect();
        let (long, short): (Vec<&Document>, Vec<&Document>) = candidates
            .iter()
            .partition(|document| document.tokens.len() > settings.prefix_tokens);
        if let (BadDocuments::Error, Some(document)) = (settings.short_documents, short.first()) {
            return Err(Error::Configuration(format!(
                "extraction.prefix_tokens = {}: document {} has only {} tokens. Lower it, or set extraction.short_documents = \
                 \"skip\"",
                settings.prefix_tokens,
                document.doc_id,
                document.tokens.len()
            )));
        }
        skipped.too_short += short.len();
        if long.is_empty() && !candidates.is_empty() {
            let longest = candidates
                .iter()
                .map(|document| document.tokens.len())
                .max()
                .unwrap_or(0);
            return Err(Error::Configuration(format!(
                "extraction.prefix_tokens = {}: every {} document is shorter; the longest has {longest} tokens",
                settings.prefix_tokens,
                if split == Split::Train {
                    "training"
                } else {
                    "held-out"
                },
            )));
        }
        let chosen = settings
            .documents
            .map_or_else(|| long.clone(), |most| spread(&long, most));
        prompts.extend(chosen.into_iter().map(|document| prompt(document, settings)));
    }
    Ok((prompts, skipped))
}

fn source_rank(source: PromptSource) -> u8 {
    match source {
        PromptSource::Train => 0,
        PromptSource::Heldout => 1,
        PromptSource::None => 2,
    }
}

fn prompt(document: &Document, settings: &Extraction) -> Prompt {
    let (tokens, rest) = document.tokens.split_at(settings.prefix_tokens);
    Prompt {
        doc_id: Some(document.doc_id.clone()),
        split: document.split,
        copies: document.copies,
        tokens: tokens.to_vec(),
        truth: rest[..rest.len().min(settings.new_tokens)].to_vec(),
    }
}

/// At most `most` documents, by hash, as evenly over the numbers of copies as there are documents.
fn spread<'a>(documents: &[&'a Document], most: usize) -> Vec<&'a Document> {
    let mut levels: BTreeMap<i32, Vec<&Document>> = BTreeMap::new();
    for document in documents {
        levels.entry(document.copies).or_default().push(document);
    }
    let mut queues: Vec<Vec<&Document>> = levels.into_values().collect();
    for queue in &mut queues {
        // Taken from the back.
        queue.sort_by_key(|document| {
            std::cmp::Reverse((xxh3_64(document.doc_id.as_bytes()), &document.doc_id))
        });
    }
    let mut chosen = Vec::new();
    while chosen.len() < most && queues.iter().any(|queue| !queue.is_empty()) {
        for queue in &mut queues {
            if chosen.len() < most {
                chosen.extend(queue.pop());
            }
        }
    }
    chosen.sort_by_key(|document| &document.doc_id);
    chosen
}
