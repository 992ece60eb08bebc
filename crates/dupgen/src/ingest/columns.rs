//! Which columns make a document, and how.

use std::borrow::Cow;

use contract::pipeline::Corpus;

use super::{Fault, Flaw, Position, RawDocument, Reason};

/// The columns that documents are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Where the text is.
    pub text: TextColumns,
    /// What identifies a document; without it, its text does.
    pub identity: Option<String>,
}

/// The columns of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextColumns {
    /// One column holds it all.
    One(String),
    /// A prompt and the response to it.
    PromptAndResponse {
        /// Column of the prompt.
        prompt: String,
        /// Column of the response.
        response: String,
        /// What stands between them in the text.
        separator: String,
    },
}

/// A value as a file gives it.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    Text(Cow<'a, str>),
    Integer(String),
}

/// Joins a prompt and the response to it: the text, and the length in characters of what comes before the response. Without a
/// prompt there is nothing to separate.
pub fn join(prompt: &str, separator: &str, response: &str) -> (String, usize) {
    if prompt.is_empty() {
        return (response.to_owned(), 0);
    }
    let prompt_chars = prompt.chars().count() + separator.chars().count();
    ([prompt, separator, response].concat(), prompt_chars)
}

impl Columns {
    /// The columns that the settings name.
    pub fn of(corpus: &Corpus) -> Self {
        let text = match (&corpus.prompt, &corpus.response) {
            (Some(prompt), Some(response)) => TextColumns::PromptAndResponse {
                prompt: prompt.clone(),
                response: response.clone(),
                separator: corpus.separator.clone(),
            },
            _ => TextColumns::One(corpus.text.clone()),
        };
        Self {
            text,
            identity: corpus.identity.clone(),
        }
    }

    /// The names of the text's columns.
    pub(super) fn text_names(&self) -> Vec<&str> {
        match &self.text {
            TextColumns::One(text) => vec![text],
            TextColumns::PromptAndResponse { prompt, response, .. } => vec![prompt, response],
        }
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = self.text_names();
        names.extend(self.identity.as_deref());
        names
    }

    /// Makes a document out of the values that `cell` finds by the columns' names.
    pub(super) fn document<'a>(
        &self,
        position: Position,
        cell: impl Fn(&str) -> Result<Cell<'a>, Flaw>,
    ) -> Result<RawDocument, Fault> {
        self.read(position, cell)
            .map_err(|flaw| Fault::Document(position, flaw))
    }

    pub(super) fn read<'a>(
        &self,
        position: Position,
        cell: impl Fn(&str) -> Result<Cell<'a>, Flaw>,
    ) -> Result<RawDocument, Flaw> {
        let text = |name: &str| match cell(name)? {
            Cell::Text(text) => Ok(text),
            Cell::Integer(_) => Err(wrong_type(name, "a string", "an integer")),
        };
        let filled = |name: &str| {
            let text = text(name)?;
            if text.trim().is_empty() {
                Err(empty(name))
            } else {
                Ok(text)
            }
        };
        let (text, prompt_chars) = match &self.text {
            TextColumns::One(column) => (filled(column)?.into_owned(), 0),
            TextColumns::PromptAndResponse {
                prompt,
                response,
                separator,
            } => join(&text(prompt)?, separator, &filled(response)?),
        };
        let identity = match &self.identity {
            None => None,
            Some(column) => Some(match cell(column)? {
                Cell::Text(identity) if identity.is_empty() => return Err(no_value(column)),
                Cell::Text(identity) => identity.into_owned(),
                Cell::Integer(identity) => identity,
            }),
        };
        Ok(RawDocument {
            identity,
            text,
            prompt_chars,
            position,
        })
    }
}

fn empty(column: &str) -> Flaw {
    Flaw::new(
        Reason::Empty,
        format!("column {column}: expected text, found none"),
    )
}

pub(super) fn no_value(column: &str) -> Flaw {
    Flaw::new(
        Reason::NoValue,
        format!("column {column}: expected a value, found none"),
    )
}

pub(super) fn wrong_type(column: &str, expected: &str, found: &str) -> Flaw {
    Flaw::new(
        Reason::WrongType,
        format!("column {column}: expected {expected}, found {found}"),
    )
}

/// "no such column" with the columns that are there.
pub(super) fn missing<'a>(column: &str, found: impl Iterator<Item = &'a str>) -> String {
    let found = found.collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() {
        "none".to_owned()
    } else {
        found
    };
    format!("no such column: expected {column}, found the columns {found}")
}
