//! Reading a corpus: files of several formats, each an iterator of documents.
//!
//! [`find_files`] turns the settings into a sorted list of [`CorpusFile`]s, and [`documents`] reads one of them. A reader
//! keeps one document in memory at a time (of Parquet, a batch of rows). What is wrong with a single document is told apart
//! from what is wrong with the file: after a [`Fault::Document`] the next document can be read, after a [`Fault::File`] none.

mod columns;
mod csv;
mod files;
mod jsonl;
mod lines;
mod parquet;
mod text;

use std::fmt;
use std::path::Path;

use contract::Error;

pub use columns::{Columns, TextColumns, join};
pub use files::{CorpusFile, Format, Unit, find_files};

/// A document as its file gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawDocument {
    /// What the identity column says, where one is asked for; never empty.
    pub identity: Option<String>,
    /// The whole text, prompt first where there is one; never blank.
    pub text: String,
    /// Length in characters of prompt and separator; 0 without a prompt.
    pub prompt_chars: usize,
    /// Where in the file it stands.
    pub position: Position,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The file as a whole.
    File,
    /// A line, counted from 1.
    Line(u64),
    /// A row of a table, counted from 1 without the header.
    Row(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => write!(formatter, "the file"),
            Self::Line(line) => write!(formatter, "line {line}"),
            Self::Row(row) => write!(formatter, "row {row}"),
        }
    }
}

/// Why a document was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// There is no text, or only white space.
    Empty,
    /// Its bytes are no UTF-8.
    NotUtf8,
    /// It is no JSON object, or has another number of fields than the header.
    Malformed,
    /// It lacks a column that is asked for, or has no value there.
    NoValue,
    /// The value is neither a string nor, as an identity, an integer.
    WrongType,
    /// Shorter than asked for.
    TooShort,
    /// Longer than asked for, or than offsets can count.
    TooLong,
    /// The same string occurred in the corpus before.
    Duplicate,
    /// The same text occurred before, in other white space, case or normal form.
    Variant,
    /// Text of the held-out files that occurs in the files to train on too, up to white space, case and normal form.
    AlsoTrained,
    /// More documents than asked for.
    OverLimit,
    /// A training document for which the fixed number of instances has no room.
    OverBudget,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "empty",
            Self::NotUtf8 => "not UTF-8",
            Self::Malformed => "malformed",
            Self::NoValue => "without a value",
            Self::WrongType => "of the wrong type",
            Self::TooShort => "too short",
            Self::TooLong => "too long",
            Self::Duplicate => "exact duplicates",
            Self::Variant => "duplicates up to white space, case and normal form",
            Self::AlsoTrained => {
                "held-out texts that corpus.files holds too, up to white space, case and normal form"
            }
            Self::OverLimit => "over the number asked for",
            Self::OverBudget => "over the fixed budget",
        })
    }
}

/// What is wrong with a document: the kind of fault, and the message of what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The kind of fault.
    pub reason: Reason,
    /// What was expected and what was found.
    pub problem: String,
}

impl Flaw {
    fn new(reason: Reason, problem: impl Into<String>) -> Self {
        Self {
            reason,
            problem: problem.into(),
        }
    }
}

/// What stands in the way of the next document.
#[derive(Debug)]
pub enum Fault {
    /// This document cannot be used; the next one can be read.
    Document(Position, Flaw),
    /// The file cannot be read any further.
    File(Error),
}

impl Fault {
    /// The fault as an error that names the file and the place in it.
    pub fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Document(Position::File, flaw) => Error::input(path, flaw.problem),
            Self::Document(position, flaw) => Error::input(path, format!("{position}: {}", flaw.problem)),
            Self::File(error) => error,
        }
    }
}

/// A document, or why there is none.
pub type Item = Result<RawDocument, Fault>;

/// Reads the documents of one file, in order. A file that holds none gives one fault that says so.
///
/// # Errors
/// [`Error::Input`] where the file cannot be opened, is not of its format, or has no such columns.
pub fn documents(file: &CorpusFile, columns: &Columns) -> Result<impl Iterator<Item = Item>, Error> {
    let path = file.path.as_path();
    let inner: Box<dyn Iterator<Item = Item>> = match file.format {
        Format::Jsonl => Box::new(jsonl::open(path, columns)?),
        Format::Csv { delimiter } => Box::new(csv::open(path, delimiter, columns)?),
        Format::Text(unit) => Box::new(text::open(path, unit)?),
        Format::Parquet => Box::new(parquet::open(path, columns)?),
    };
    Ok(NeverNothing {
        inner,
        any: false,
        ended: false,
    })
}

/// Tells a file without documents as a fault, and ends after a fault of the file.
struct NeverNothing {
    inner: Box<dyn Iterator<Item = Item>>,
    any: bool,
    ended: bool,
}

impl Iterator for NeverNothing {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.ended {
            return None;
        }
        let item = self.inner.next();
        self.ended = matches!(item, None | Some(Err(Fault::File(_))));
        let nothing = item.is_none() && !self.any;
        self.any = true;
        if nothing {
            let flaw = Flaw::new(
                Reason::Empty,
                "expected at least one document, found an empty file",
            );
            return Some(Err(Fault::Document(Position::File, flaw)));
        }
        item
    }
}

/// Decodes UTF-8, or says at which byte (counted from 1) it fails.
fn decode(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Flaw::new(
            Reason::NotUtf8,
            format!("byte {}: expected UTF-8, found 0x{:02X}", at + 1, bytes[at]),
        )
    })
}

fn cannot_open(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::input(path, format!("expected a readable file: {error}"))
}
