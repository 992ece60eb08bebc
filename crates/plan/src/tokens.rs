//! Lengths of texts in tokens, by the tokenizers of the models.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::Error;
use model_folder::cost::BYTES_PER_TOKEN;
use tokenizers::Tokenizer;

use crate::PlannedCell;

/// Counts the tokens of a text as a model will.
#[derive(Debug)]
pub(crate) enum TokenCounter {
    /// By the `tokenizer.json` of a model's folder.
    Tokenizer {
        /// That file.
        file: PathBuf,
        /// What was read from it.
        tokenizer: Box<Tokenizer>,
    },
    /// As so many bytes a token, for a model whose tokenizer is not there yet.
    Bytes,
}

impl TokenCounter {
    /// The tokenizer in a model's folder, without padding and truncation.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no tokenizer.
    pub(crate) fn load(folder: &Path) -> Result<Self, Error> {
        let file = folder.join("tokenizer.json");
        let unusable =
            |error: &dyn fmt::Display| Error::input(&file, format!("expected a tokenizer: {error}"));
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| unusable(&error))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| unusable(&error))?;
        Ok(Self::Tokenizer {
            file,
            tokenizer: Box::new(tokenizer),
        })
    }

    /// Tokens of a text, without special tokens around it.
    ///
    /// # Errors
    /// [`Error::Input`] where the tokenizer cannot encode it.
    pub(crate) fn count(&self, text: &str) -> Result<usize, Error> {
        match self {
            Self::Tokenizer { file, tokenizer } => tokenizer
                .encode_fast(text, false)
                .map(|encoding| encoding.len())
                .map_err(|error| Error::input(file, format!("expected a tokenizer: {error}"))),
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
