//! The temporary file that holds the texts between reading the corpus and writing the training set.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use contract::Error;
use contract::files::AtomicFile;

/// A growing file of texts. It is removed when dropped, and when the program is stopped by Ctrl-C.
#[derive(Debug)]
pub(crate) struct Spool {
    guard: AtomicFile,
    writer: BufWriter<File>,
    length: u64,
}

/// The texts, to be read in any order.
#[derive(Debug)]
pub(crate) struct SpooledTexts {
    path: PathBuf,
    file: File,
    // Removes the file when dropped.
    _guard: AtomicFile,
}

/// Where one document lies in the spool: its identity, if it has one, then its text, then the spans in it, if it has any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    offset: u64,
    identity_bytes: u32,
    text_bytes: u32,
    /// Numbers of the spans; none for a text without.
    spans: Option<u32>,
}

impl Extent {
    /// Bytes of the text.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes as usize
    }

    /// Whether the text has spans.
    pub(crate) fn has_spans(&self) -> bool {
        self.spans.is_some()
    }
}

/// A document as the spool has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) identity: Option<String>,
    pub(crate) text: String,
    /// Where each span of the text begins and ends, one after another.
    pub(crate) spans: Option<Vec<i32>>,
}

impl Spool {
    /// Begins an empty spool in `folder`.
    pub(crate) fn create(folder: &Path) -> Result<Self, Error> {
        let guard = AtomicFile::create(&folder.join("documents"))?;
        let file = File::options()
            .read(true)
            .write(true)
            .truncate(true)
            .open(guard.path())
            .map_err(|error| Error::output(guard.path(), error))?;
        Ok(Self {
            guard,
            writer: BufWriter::with_capacity(1 << 20, file),
            length: 0,
        })
    }

    /// Adds a document. Neither part may be over 4 GiB.
    pub(crate) fn append(
        &mut self,
        identity: Option<&str>,
        text: &str,
        spans: Option<&[i32]>,
    ) -> Result<Extent, Error> {
        let identity = identity.unwrap_or_default();
        let failed = |error| Error::output(self.guard.path(), error);
        self.writer.write_all(identity.as_bytes()).map_err(failed)?;
        self.writer.write_all(text.as_bytes()).map_err(failed)?;
        for number in spans.unwrap_or_default() {
            self.writer.write_all(&number.to_le_bytes()).map_err(failed)?;
        }
        let extent = Extent {
            offset: self.length,
            identity_bytes: identity.len() as u32,
            text_bytes: text.len() as u32,
            spans: spans.map(|spans| spans.len() as u32),
        };
        let numbers = spans.map_or(0, <[i32]>::len);
        self.length += (identity.len() + text.len() + numbers * size_of::<i32>()) as u64;
        Ok(extent)
    }

    /// Ends writing and begins reading.
    pub(crate) fn into_texts(self) -> Result<SpooledTexts, Error> {
        let path = self.guard.path().to_path_buf();
        let file = self
            .writer
            .into_inner()
            .map_err(|error| Error::output(&path, error.into_error()))?;
        Ok(SpooledTexts {
            path,
            file,
            _guard: self.guard,
        })
    }
}

impl SpooledTexts {
    /// One document.
    pub(crate) fn read(&mut self, extent: Extent) -> Result<Spooled, Error> {
        let Extent {
            offset,
            identity_bytes,
            text_bytes,
            spans,
        } = extent;
        let mut numbers = vec![0; spans.unwrap_or(0) as usize * size_of::<i32>()];
        let mut identity = vec![0; identity_bytes as usize];
        let mut text = vec![0; text_bytes as usize];
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(&mut identity))
            .and_then(|()| self.file.read_exact(&mut text))
            .and_then(|()| self.file.read_exact(&mut numbers))
            .map_err(|error| self.damaged(&error))?;
        let utf8 = |bytes| String::from_utf8(bytes).map_err(|error| self.damaged(&error));
        let identity = if identity.is_empty() {
            None
        } else {
            Some(utf8(identity)?)
        };
        let numbers = numbers
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i32::from_le_bytes(*bytes));
        Ok(Spooled {
            identity,
            text: utf8(text)?,
            spans: spans.map(|_| numbers.collect()),
        })
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Run(format!(
            "{}: the temporary file was changed by something else: {error}",
            self.path.display()
        ))
    }
}
