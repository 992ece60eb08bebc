//! Lengths of texts in tokens, by the tokenizers of the models.

use std::path::{Path, PathBuf};

use contract::Error;
use model_folder::cost::BYTES_PER_TOKEN;
use text_tokens::TextTokenizer;

use crate::PlannedCell;

/// Counts the tokens of a text as a model will.
#[derive(Debug)]
pub(crate) enum TokenCounter {
    /// By the tokenizer of a model's folder.
    Tokenizer(Box<TextTokenizer>),
    /// As so many bytes a token, for a model whose tokenizer is not there yet.
    Bytes,
}

impl TokenCounter {
    /// The tokenizer in a model's folder.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no tokenizer.
    pub(crate) fn load(folder: &Path) -> Result<Self, Error> {
        Ok(Self::Tokenizer(Box::new(TextTokenizer::load(folder)?)))
    }

    /// Tokens of a text, without special tokens around it.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it.
    pub(crate) fn count(&self, text: &str) -> Result<usize, Error> {
        match self {
            Self::Tokenizer(tokenizer) => Ok(tokenizer.encode(text)?.len()),
            Self::Bytes => Ok((text.len() as f64 / BYTES_PER_TOKEN).ceil() as usize),
        }
    }
}

/// The folder whose tokenizer reads the texts of a cell: the model's, that of an adapter's base, or the one that prompts for a model that
/// is served elsewhere are cut by.
pub(crate) fn tokenizer_folder(cell: &PlannedCell) -> Option<PathBuf> {
    let audited = cell.combination.audited.as_ref();
    if let Some((audited, endpoint)) = audited.and_then(|audited| Some((audited, audited.endpoint.as_ref()?)))
    {
        return endpoint.tokenizer_folder(&audited.folder.path).ok();
    }
    let folders = cell.folder.iter().chain(&cell.base);
    folders
        .map(|folder| folder.path.clone())
        .find(|path| path.join("tokenizer.json").is_file())
}
