//! A document as its file gives it, and what can be wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

use contract::Error;

use crate::columns::Columns;
use crate::discovery::CorpusFile;
use crate::formats;
use crate::input::{Consumed, Input};
use crate::limits::too_long;

/// A document as its file gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawDocument {
    /// What the identity column says, where one is asked for; never empty.
    pub identity: Option<String>,
    /// The whole text, prompt first where there is one; never blank.
    pub text: String,
    /// Length in characters of the part of the text that is prompt; 0 without a prompt.
    pub prompt_chars: usize,
    /// Where in the file it is.
    pub position: Position,
    /// Whether half a surrogate pair in its text became U+FFFD.
    pub replaced: bool,
    /// Of a conversation that a chat template rendered, the characters of the assistant's turns, each half-open. Such a text is
    /// complete: no BOS belongs before it and no EOS behind it.
    pub assistant_spans: Option<Vec<(usize, usize)>>,
    /// The system message of a conversation that has one.
    pub system: Option<String>,
    /// What its columns were recognised as, where the settings name none; or what of them is used.
    pub recognised: Option<&'static str>,
    /// A column that has a value here and usually belongs to the prompt, but that the settings do not ask for.
    pub unused: Option<&'static str>,
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

/// Why a document cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlawKind {
    /// There is no text, or only white space.
    Empty,
    /// Its bytes are no UTF-8.
    NotUtf8,
    /// It is no JSON object, or has another number of fields than the header.
    Malformed,
    /// It lacks a column that is asked for, or has no value there.
    NoValue,
    /// The value is neither a string nor, as an identity, a number; or no conversation.
    WrongType,
    /// A conversation in which the assistant says nothing.
    NoAnswer,
    /// A conversation that the chat template does not take.
    NotRendered,
    /// A conversation for which there is no chat template: nothing can be read before one is named.
    NoTemplate,
    /// The chat template does not end, or brings the renderer down: it must not be tried again.
    UnusableTemplate,
}

impl fmt::Display for FlawKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "empty",
            Self::NotUtf8 => "not UTF-8",
            Self::Malformed => "malformed",
            Self::NoValue => "without a value",
            Self::WrongType => "of the wrong type",
            Self::NoAnswer => "without a turn of the assistant",
            Self::NotRendered => "refused by the chat template",
            Self::NoTemplate => "without a chat template",
            Self::UnusableTemplate => "without a chat template that ends",
        })
    }
}

/// What is wrong with a document: its kind, and the message of what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The kind.
    pub kind: FlawKind,
    /// What was expected and what was found.
    pub problem: String,
}

impl Flaw {
    pub(crate) fn new(kind: FlawKind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            problem: problem.into(),
        }
    }

    /// The same flaw, its message after a further place.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        Self {
            problem: format!("{place}{}", self.problem),
            ..self
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
    /// What is wrong with a document of the file at `path`; that there is no template to render it with is wrong with the settings, and a
    /// template that does not end would not end for the next document either.
    pub(crate) fn of_document(path: &Path, position: Position, flaw: Flaw) -> Self {
        match flaw.kind {
            FlawKind::NoTemplate => Self::File(Error::Configuration(format!("{position}: {}", flaw.problem))),
            FlawKind::UnusableTemplate => {
                Self::File(Error::input(path, format!("{position}: {}", flaw.problem)))
            }
            _ => Self::Document(position, flaw),
        }
    }

    /// The fault as an error that names the file and the place in it.
    pub fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Document(Position::File, flaw) => Error::input(path, flaw.problem),
            Self::Document(position, flaw) => Error::input(path, format!("{position}: {}", flaw.problem)),
            Self::File(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::File(error)
    }
}

/// A document, or why there is none.
pub type Item = Result<RawDocument, Fault>;

/// Something that the settings leave open, and how it was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// What was open: `format`, `compression`, `encoding`, `delimiter`, `line ends`, `splits`, `columns`, `documents`.
    pub what: &'static str,
    /// What was taken, and why.
    pub taken: String,
}

impl Guess {
    pub(crate) fn new(what: &'static str, taken: impl Into<String>) -> Self {
        Self {
            what,
            taken: taken.into(),
        }
    }
}

/// The documents of one file, in order.
pub struct Documents {
    path: PathBuf,
    max_bytes: usize,
    inner: Box<dyn Iterator<Item = Item>>,
    guesses: Vec<Guess>,
    consumed: Consumed,
    any: bool,
    ended: bool,
}

/// Opens a file to read its documents, in order. A file that holds none gives one fault that says so.
///
/// # Errors
/// [`Error::Input`] where the file cannot be opened, is not of its format, or has no such columns; [`Error::Configuration`] for
/// columns asked of plain text.
pub fn documents(file: &CorpusFile, columns: &Columns) -> Result<Documents, Error> {
    open(file, columns).map_err(|fault| fault.into_error(&file.path))
}

/// As [`documents`]; what is missing in all documents is a fault of the first.
pub(crate) fn open(file: &CorpusFile, columns: &Columns) -> Result<Documents, Fault> {
    let mut input = Input::open(&file.path)?;
    let format = formats::of_content(file, &mut input);
    let consumed = input.consumed();
    let opened = (format.open)(input, file, columns)?;
    Ok(Documents {
        path: file.path.clone(),
        max_bytes: file.max_document_bytes,
        inner: opened.items,
        guesses: opened.guesses,
        consumed,
        any: false,
        ended: false,
    })
}

impl Documents {
    /// What was guessed about the file when it was opened.
    pub fn guesses(&self) -> &[Guess] {
        &self.guesses
    }

    /// A document that is not too long. Readers stop before they hold more than that; a template may make a longer one of it.
    fn within_limit(&self, item: Item) -> Item {
        let document = item?;
        if document.text.len() > self.max_bytes {
            let problem = format!("{}: {}", document.position, too_long(self.max_bytes));
            return Err(Fault::File(Error::input(&self.path, problem)));
        }
        Ok(document)
    }

    /// Bytes of the file that were read so far, as they are on disk.
    pub(crate) fn bytes_consumed(&self) -> u64 {
        self.consumed.bytes()
    }
}

impl Iterator for Documents {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.ended {
            return None;
        }
        let item = self.inner.next().map(|item| self.within_limit(item));
        self.ended = matches!(item, None | Some(Err(Fault::File(_))));
        let nothing = item.is_none() && !self.any;
        self.any = true;
        if nothing {
            let flaw = Flaw::new(
                FlawKind::Empty,
                "expected at least one document, found an empty file",
            );
            return Some(Err(Fault::Document(Position::File, flaw)));
        }
        item
    }
}
