//! How much text is in a file, guessed from its beginning.

use contract::Error;

use crate::columns::Columns;
use crate::discovery::CorpusFile;
use crate::document::{Fault, documents};

/// A guess reads about this much of a file.
const SAMPLE_BYTES: u64 = 1 << 20;

/// The size of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileSize {
    /// Documents in it.
    pub documents: f64,
    /// Bytes of their text.
    pub text_bytes: f64,
    /// Bytes of text of each document at its beginning; empty where they were not looked at.
    pub sampled: Vec<f64>,
}

impl FileSize {
    /// Guesses the size of a file: exactly where it is small or says so itself, otherwise as if all of it were like its
    /// beginning. Documents that cannot be used count for nothing.
    ///
    /// # Errors
    /// As [`documents`], and [`Error::Input`] where the beginning cannot be read.
    pub fn estimate(file: &CorpusFile, columns: &Columns) -> Result<Self, Error> {
        if let Some(size) = (file.format.size)(file, columns)? {
            return Ok(size);
        }
        let bytes = std::fs::metadata(&file.path)
            .map_err(|error| Error::input(&file.path, format!("cannot be read: {error}")))?
            .len();
        let mut items = documents(file, columns)?;
        let mut sampled = Vec::new();
        let mut consumed = bytes;
        while let Some(item) = items.next() {
            match item {
                Ok(document) => sampled.push(document.text.len() as f64),
                Err(Fault::Document(..)) => {}
                Err(Fault::File(error)) => return Err(error),
            }
            if items.bytes_consumed() >= SAMPLE_BYTES {
                consumed = items.bytes_consumed();
                break;
            }
        }
        let share = if consumed == 0 {
            1.0
        } else {
            (bytes as f64 / consumed as f64).max(1.0)
        };
        Ok(Self {
            documents: sampled.len() as f64 * share,
            text_bytes: sampled.iter().sum::<f64>() * share,
            sampled,
        })
    }
}
