//! Sentences into token ids.

use std::path::{Path, PathBuf};

use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use crate::EmbedError;
use crate::settings::Settings;

/// Sentences that are tokenized at once: an `Encoding` is many times the size of the ids that are kept of it.
const CHUNK: usize = 4096;

pub(crate) struct SentenceTokenizer {
    tokenizer: Tokenizer,
    lower_case: bool,
    path: PathBuf,
}

impl SentenceTokenizer {
    /// Reads `tokenizer.json`. What that file says about padding and truncation is overridden: those that come with
    /// sentence encoders often pad and cut everything to a fixed 128.
    pub(crate) fn load(settings: &Settings) -> Result<Self, EmbedError> {
        let path = settings.model_folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|source| EmbedError::Read {
            path: path.clone(),
            source,
        })?;
        let failed = |source| EmbedError::Tokenizer {
            path: path.clone(),
            source,
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(failed)?;
        check_room(&tokenizer, settings, &path)?;
        let truncation = TruncationParams {
            max_length: settings.maximum_tokens,
            ..TruncationParams::default()
        };
        tokenizer
            .with_padding(None)
            .with_truncation(Some(truncation))
            .map_err(failed)?;
        Ok(Self {
            tokenizer,
            lower_case: settings.lower_case,
            path,
        })
    }

    /// The token ids of each sentence, special tokens included, cut to the encoder's length.
    pub(crate) fn encode(&self, sentences: &[&str]) -> Result<Vec<Vec<u32>>, EmbedError> {
        let mut tokens = Vec::with_capacity(sentences.len());
        for chunk in sentences.chunks(CHUNK) {
            let encodings = if self.lower_case {
                let lower: Vec<String> = chunk.iter().map(|sentence| sentence.to_lowercase()).collect();
                self.tokenizer.encode_batch_fast(lower, true)
            } else {
                self.tokenizer.encode_batch_fast(chunk.to_vec(), true)
            };
            let encodings = encodings.map_err(|source| EmbedError::Tokenizer {
                path: self.path.clone(),
                source,
            })?;
            tokens.extend(encodings.iter().map(|encoding| encoding.get_ids().to_vec()));
        }
        Ok(tokens)
    }
}

/// Every token must have a row in the embedding table, and a sentence room for a token besides the special ones.
fn check_room(tokenizer: &Tokenizer, settings: &Settings, path: &Path) -> Result<(), EmbedError> {
    let unsupported = |found, supported| {
        Err(EmbedError::Unsupported {
            path: path.to_path_buf(),
            found,
            supported,
        })
    };
    let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if i64::from(highest) >= settings.bert.vocab_size {
        let found = format!(
            "token {highest} of a model with {} tokens",
            settings.bert.vocab_size
        );
        return unsupported(found, "a vocabulary no larger than the model's");
    }
    let special = tokenizer
        .get_post_processor()
        .map_or(0, |processor| processor.added_tokens(false));
    if special >= settings.maximum_tokens {
        let found = format!(
            "{special} special tokens in sentences of {}",
            settings.maximum_tokens
        );
        return unsupported(found, "a max_seq_length that leaves room for text");
    }
    Ok(())
}
