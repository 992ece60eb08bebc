//! Sentences, and pairs of sentences, into token ids.

use std::path::{Path, PathBuf};

use tokenizers::{EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationParams};

use crate::EmbedError;
use crate::packing::Sequence;

/// Texts that are tokenized at once: an `Encoding` is many times the size of the ids that are kept of it.
const CHUNK: usize = 4096;

/// A tokenizer that pads nothing and cuts what the transformer has no room for, from the longer text of a pair first.
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    path: PathBuf,
}

/// What the tokens must fit into.
pub(crate) struct Room {
    /// Tokens of a sequence, special ones included.
    pub(crate) maximum_tokens: usize,
    /// Rows of the table of tokens.
    pub(crate) vocabulary: i64,
    /// Whether sequences hold two texts.
    pub(crate) pairs: bool,
}

impl TextTokenizer {
    /// Reads `tokenizer.json`. What that file says about padding and truncation is overridden: those that come with
    /// sentence encoders often pad and cut everything to a fixed 128.
    pub(crate) fn load(folder: &Path, room: &Room) -> Result<Self, EmbedError> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|source| EmbedError::Read {
            path: path.clone(),
            source,
        })?;
        let failed = |source| EmbedError::Tokenizer {
            path: path.clone(),
            source,
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(failed)?;
        room.check(&tokenizer, &path)?;
        let truncation = TruncationParams {
            max_length: room.maximum_tokens,
            ..TruncationParams::default()
        };
        tokenizer
            .with_padding(None)
            .with_truncation(Some(truncation))
            .map_err(failed)?;
        Ok(Self { tokenizer, path })
    }

    /// The tokens of each sentence, special ones included.
    pub(crate) fn sentences<'text>(
        &self,
        sentences: &[impl Into<EncodeInput<'text>> + Clone + Send],
    ) -> Result<Vec<Sequence>, EmbedError> {
        self.encode(sentences, |encoding| Sequence {
            ids: encoding.get_ids().to_vec(),
            types: Vec::new(),
        })
    }

    /// The tokens of each pair, special ones included, with the text that each belongs to.
    pub(crate) fn pairs(&self, pairs: &[(&str, &str)]) -> Result<Vec<Sequence>, EmbedError> {
        self.encode(pairs, |encoding| Sequence {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
        })
    }

    fn encode<'text>(
        &self,
        texts: &[impl Into<EncodeInput<'text>> + Clone + Send],
        keep: impl Fn(&Encoding) -> Sequence,
    ) -> Result<Vec<Sequence>, EmbedError> {
        let mut sequences = Vec::with_capacity(texts.len());
        for chunk in texts.chunks(CHUNK) {
            let encodings = self.tokenizer.encode_batch_fast(chunk.to_vec(), true);
            let encodings = encodings.map_err(|source| EmbedError::Tokenizer {
                path: self.path.clone(),
                source,
            })?;
            sequences.extend(encodings.iter().map(&keep));
        }
        Ok(sequences)
    }
}

impl Room {
    /// Every token must have a row in the table of tokens, and a sequence room for a token besides the special ones.
    fn check(&self, tokenizer: &Tokenizer, path: &Path) -> Result<(), EmbedError> {
        let unsupported = |found, supported| {
            Err(EmbedError::Unsupported {
                path: path.to_path_buf(),
                found,
                supported,
            })
        };
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if i64::from(highest) >= self.vocabulary {
            let found = format!("token {highest} of a model with {} tokens", self.vocabulary);
            return unsupported(found, "a vocabulary no larger than the model's");
        }
        let special = tokenizer
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(self.pairs));
        if special >= self.maximum_tokens {
            let texts = if self.pairs { "pairs" } else { "sentences" };
            let found = format!("{special} special tokens in {texts} of {}", self.maximum_tokens);
            return unsupported(found, "a length that leaves room for text");
        }
        Ok(())
    }
}
