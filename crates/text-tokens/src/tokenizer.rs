//! Text to token ids and back, through the `tokenizers` library; and training of a byte-level BPE.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::foreign::Work;
use contract::{Error, seal};

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, Encoding, PostProcessorWrapper, Tokenizer, TokenizerBuilder};

use crate::TokenizedText;

/// Name of the token that ends a text, as GPT-2 has it.
const END_OF_TEXT: &str = "<|endoftext|>";

/// Most bytes of a tokenizer's file. The largest vocabularies take a thirtieth of it.
const MAX_FILE_BYTES: u64 = 1_000_000_000;

/// Characters of a text that a message shows.
const SHOWN_CHARACTERS: usize = 60;

/// A tokenizer from `tokenizer.json`.
#[derive(Debug)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    /// Ids of special tokens, in ascending order.
    special_ids: Vec<i64>,
    digest: String,
    file: PathBuf,
    /// Rows of the model's table, where it is known: no text may need a token beyond.
    rows: i64,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` of a model folder.
    ///
    /// # Errors
    /// [`Error::Input`] where it is missing or not one.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            let problem = "is missing: expected the model's tokenizer in the tokenizers format. transformers writes it with \
                           AutoTokenizer.from_pretrained(...).save_pretrained(...)";
            return Err(Error::input(&path, problem));
        }
        seal::check_folder(folder)?;
        let length = path.metadata().map_or(0, |metadata| metadata.len());
        if length > MAX_FILE_BYTES {
            let problem = format!("expected a tokenizer of at most {MAX_FILE_BYTES} bytes, found {length}");
            return Err(Error::input(&path, problem));
        }
        let mut tokenizer = work(&path, "reading this tokenizer", length)
            .run(|| Tokenizer::from_file(&path))?
            .map_err(|error| Error::input(&path, format!("expected a tokenizer: {error}")))?;
        // A file may fix padding or truncation; what goes into a model is decided here.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| Error::input(&path, format!("cannot switch truncation off: {error}")))?;
        let mut special_ids: Vec<i64> = tokenizer
            .get_added_tokens_decoder()
            .into_iter()
            .filter_map(|(id, token)| token.special.then_some(i64::from(id)))
            .collect();
        special_ids.sort_unstable();
        Ok(Self {
            tokenizer,
            special_ids,
            digest: contract::provenance::digest(&path)?,
            file: path,
            rows: i64::MAX,
        })
    }

    /// The same for a model whose table has so many rows. A tokenizer may know tokens beyond them, such as one for padding that was
    /// added to it alone; a text that needs one is refused, since the model has no vector for it.
    pub fn with_rows(mut self, rows: usize) -> Self {
        self.rows = rows as i64;
        self
    }

    /// Refuses ids of a text that are beyond the model's table.
    pub(crate) fn check(&self, ids: &[i64], text: &str) -> Result<(), Error> {
        let Some(&beyond) = ids.iter().find(|&&id| id >= self.rows) else {
            return Ok(());
        };
        let beginning: String = text.chars().take(SHOWN_CHARACTERS).collect();
        let problem = format!(
            "the text that begins {beginning:?} has the token {beyond} ({:?}), and the model's embedding has {} rows: it knows no \
             such token. The tokenizer belongs to another model, or tokens were added to it whose rows were not saved",
            self.token(beyond).unwrap_or_default(),
            self.rows
        );
        Err(Error::input(&self.file, problem))
    }

    /// What the library makes of a text. A tokenizer may have a pattern that tries for ever, or until its library gives up and panics.
    fn encoded(
        &self,
        text: &str,
        encode: impl FnOnce() -> tokenizers::Result<Encoding>,
    ) -> Result<Encoding, Error> {
        let bytes = text.len() as u64;
        let doing = match bytes {
            ..LARGE_TEXT_BYTES => "encoding a text with this tokenizer".to_owned(),
            _ => format!("encoding a text of {} MB with this tokenizer", bytes / 1_000_000),
        };
        work(&self.file, doing, bytes)
            .run(encode)?
            .map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &tokenizers::Error) -> Error {
        Error::input(&self.file, format!("this tokenizer fails: {error}"))
    }

    /// Digest of the file, by which tokenizers that are the same are known.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Ids of the special tokens, in ascending order: those that begin, end or pad a text, and others that were added as such.
    pub fn special_ids(&self) -> &[i64] {
        &self.special_ids
    }

    /// Whether any of `ids` is a special token. In the ids of an encoded text it was written there.
    pub fn holds_special(&self, ids: &[i64]) -> bool {
        ids.iter().any(|id| self.special_ids.binary_search(id).is_ok())
    }

    /// How a token is written; none for an id that is no token.
    pub fn token(&self, id: i64) -> Option<String> {
        self.tokenizer.id_to_token(u32::try_from(id).ok()?)
    }

    /// Token ids of a text, without any before or behind it. Special tokens that are written in it are read as such.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it, and for a token beyond the model's table.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, Error> {
        let encoding = self.encoded(text, || self.tokenizer.encode_fast(text, false))?;
        let ids = ids_of(&encoding);
        self.check(&ids, text)?;
        Ok(ids)
    }

    /// The special tokens that the tokenizer puts before a text of its own accord: for Llama the BOS, for GPT-2 and Qwen none.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode a letter.
    pub fn own_bos(&self) -> Result<Vec<i64>, Error> {
        let encoding = self.encoded("a", || self.tokenizer.encode_fast("a", true))?;
        self.check(&ids_of(&encoding), "a")?;
        let special = encoding.get_special_tokens_mask().iter();
        let beginning = encoding.get_ids().iter().zip(special);
        Ok(beginning
            .take_while(|&(_, &special)| special == 1)
            .map(|(&id, _)| i64::from(id))
            .collect())
    }

    /// The tokens of a text with the characters that each stands for, without any before or behind it.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it, and for a token beyond the model's table.
    pub fn tokenize(&self, text: &str) -> Result<TokenizedText, Error> {
        let encoding = self.encoded(text, || self.tokenizer.encode_char_offsets(text, false))?;
        let offsets = encoding.get_offsets().iter();
        let tokenized = TokenizedText {
            ids: ids_of(&encoding),
            characters: offsets.map(|&(start, end)| start..end).collect(),
        };
        self.check(&tokenized.ids, text)?;
        Ok(tokenized)
    }

    /// The text of token ids, special tokens left out. Bytes that are no character appear as U+FFFD.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[i64]) -> Result<String, Error> {
        self.decode_keeping(ids, &BTreeSet::new())
    }

    /// The same, with those special tokens that are in `kept`: the ones that are part of a corpus' text.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot decode them.
    pub fn decode_keeping(&self, ids: &[i64], kept: &BTreeSet<i64>) -> Result<String, Error> {
        let is_left_out = |id: &i64| self.special_ids.binary_search(id).is_ok() && !kept.contains(id);
        let ids: Vec<u32> = ids
            .iter()
            .filter(|id| !is_left_out(id))
            .map(|&id| id as u32)
            .collect();
        work(
            &self.file,
            "decoding tokens with this tokenizer",
            ids.len() as u64,
        )
        .run(|| self.tokenizer.decode(&ids, false))?
        .map_err(|error| self.unusable(&error))
    }

    /// Whether a text of so many UTF-8 bytes may have more than `tokens` tokens. A token covers at least one byte, of the text or of one
    /// blank that some tokenizers put before it; but a normalizer may lengthen the text first.
    pub fn may_exceed(&self, bytes: usize, tokens: usize) -> bool {
        bytes + 1 > tokens || self.tokenizer.get_normalizer().is_some()
    }

    /// Number of tokens, added ones included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Id of the token that ends a text in tokenizers made by [`train_byte_level_bpe`].
    pub fn end_of_text(&self) -> Option<i64> {
        self.tokenizer.token_to_id(END_OF_TEXT).map(i64::from)
    }
}

/// Texts from this length on may need more memory for their tokens than there is: GPT-2's took 260 bytes a byte of text.
const LARGE_TEXT_BYTES: u64 = 1_000_000;

/// Work with a tokenizer on so many bytes, and what it may take: the slowest tokenizers encode a million bytes a second, in two hundred
/// bytes of memory each.
fn work(file: &Path, doing: impl Into<String>, bytes: u64) -> Arc<Work> {
    let max_bytes = (2 << 30) + bytes.saturating_mul(1000);
    let max_seconds = 300 + bytes / 10_000;
    if bytes < LARGE_TEXT_BYTES {
        Work::new(file, doing, max_bytes, max_seconds)
    } else {
        Work::within_free_memory(file, doing, max_bytes, max_seconds)
    }
}

fn ids_of(encoding: &Encoding) -> Vec<i64> {
    encoding.get_ids().iter().map(|&id| i64::from(id)).collect()
}

/// Trains a byte-level BPE of `vocabulary` tokens, the end-of-text token included, and writes it as a tokenizer folder.
///
/// # Errors
/// [`Error::Run`] where training fails, [`Error::Output`] where it cannot be written.
pub fn train_byte_level_bpe<'a>(
    texts: impl Iterator<Item = &'a str> + Send,
    vocabulary: usize,
    folder: &Path,
) -> Result<(), Error> {
    let failed = |error: tokenizers::Error| Error::Run(format!("training a tokenizer: {error}"));
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocabulary)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .build();
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let mut tokenizer = TokenizerBuilder::<BPE, NFC, ByteLevel, PostProcessorWrapper, DecoderWrapper>::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(byte_level))
        .with_post_processor(Some(byte_level.trim_offsets(false).into()))
        .with_decoder(Some(byte_level.into()))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, texts).map_err(failed)?;
    tokenizer
        .save(folder.join("tokenizer.json"), true)
        .map_err(failed)?;
    let settings = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": false,
    });
    let path = folder.join("tokenizer_config.json");
    std::fs::write(&path, format!("{settings:#}\n")).map_err(|error| Error::output(&path, error))
}
