//! Lengths of texts in tokens, by the tokenizers of the models.

use std::path::Path;

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

/// The folder whose tokenizer reads the texts of a cell: the model's, or that of an adapter's base.
pub(crate) fn tokenizer_folder(cell: &PlannedCell) -> Option<&Path> {
    let folders = cell.folder.iter().chain(&cell.base);
    folders
        .map(|folder| folder.path.as_path())
        .find(|path| path.join("tokenizer.json").is_file())
}
