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
        let mut sampled: Vec<f64> = Vec::new();
        // Readers are ahead of the documents by what they buffer. Between two places it is as much, so that it cancels out.
        let mut first_quarter = None;
        while let Some(item) = items.next() {
            match item {
                Ok(document) => sampled.push(document.text.len() as f64),
                Err(Fault::Document(..)) => {}
                Err(Fault::File(error)) => return Err(error),
            }
            let consumed = items.bytes_consumed();
            if consumed >= SAMPLE_BYTES / 4 && first_quarter.is_none() {
                first_quarter = Some((consumed, sampled.len()));
            }
            if consumed >= SAMPLE_BYTES && consumed < bytes {
                // Documents so long that both places are the same say no more than how many they are.
                let (from, skipped) = first_quarter
                    .filter(|(from, _)| consumed - from >= SAMPLE_BYTES / 4)
                    .unwrap_or((0, 0));
                let between = &sampled[skipped..];
                let share = bytes as f64 / consumed.saturating_sub(from).max(1) as f64;
                return Ok(Self {
                    documents: between.len() as f64 * share,
                    text_bytes: between.iter().sum::<f64>() * share,
                    sampled,
                });
            }
        }
        Ok(Self {
            documents: sampled.len() as f64,
            text_bytes: sampled.iter().sum(),
            sampled,
        })
    }
}
