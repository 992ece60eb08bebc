//! Which columns make a document, and how.

use std::borrow::Cow;

use contract::Error;
use contract::pipeline::Corpus;

use crate::document::{Flaw, FlawKind, Position, RawDocument};
use crate::template::Template;

/// Columns that usually belong to the prompt of an instruction.
const BESIDE_A_PROMPT: [&str; 3] = ["input", "context", "system"];

/// What a column of turns is, where text is expected.
pub(crate) const CHAT: &str = "a list of messages: a chat format, which is not read yet. Join the turns with the model's chat \
                               template into one column of text";

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
        /// What is between them in the text.
        separator: String,
    },
    /// Several columns and text around them.
    Template(Template),
}

/// A value as a file gives it.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Text {
        text: Cow<'a, str>,
        /// Whether half a surrogate pair became U+FFFD.
        replaced: bool,
    },
    /// A number, or bytes that are no text: good for an identity alone.
    Key { key: String, is: &'static str },
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text {
            text: text.into(),
            replaced: false,
        }
    }
}

/// One row of a file.
pub(crate) trait Row {
    /// The value in a column.
    ///
    /// # Errors
    /// A flaw where there is none, or none that can be read.
    fn value(&self, column: &str) -> Result<Value<'_>, Flaw>;

    /// Whether there is such a column.
    fn has(&self, column: &str) -> bool;
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
    ///
    /// # Errors
    /// [`Error::Configuration`] for a template that cannot be used.
    pub fn of(corpus: &Corpus) -> Result<Self, Error> {
        let text = match (Template::of(corpus)?, &corpus.prompt, &corpus.response) {
            (Some(template), ..) => TextColumns::Template(template),
            (None, Some(prompt), Some(response)) => TextColumns::PromptAndResponse {
                prompt: prompt.clone(),
                response: response.clone(),
                separator: corpus.separator.clone(),
            },
            _ => TextColumns::One(corpus.text.clone()),
        };
        Ok(Self {
            text,
            identity: corpus.identity.clone(),
        })
    }

    /// The names of the columns that every document must have text in.
    pub fn text_names(&self) -> Vec<&str> {
        match &self.text {
            TextColumns::One(text) => vec![text],
            TextColumns::PromptAndResponse { prompt, response, .. } => vec![prompt, response],
            TextColumns::Template(template) => template.columns(),
        }
    }

    /// All names that a file must have.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = self.text_names();
        names.extend(self.identity.as_deref());
        names
    }

    /// Columns that are looked at where there are such.
    pub(crate) fn optional_names(&self) -> Vec<&str> {
        match &self.text {
            TextColumns::One(_) => Vec::new(),
            TextColumns::PromptAndResponse { .. } => {
                let names = self.names();
                let beside = BESIDE_A_PROMPT.into_iter();
                beside.filter(|name| !names.contains(name)).collect()
            }
            TextColumns::Template(template) => template.optional().into_iter().collect(),
        }
    }

    /// The setting that asks for columns, of which plain text has none.
    pub(crate) fn asked_by(&self) -> Option<&'static str> {
        match &self.text {
            TextColumns::PromptAndResponse { .. } => Some("corpus.prompt"),
            TextColumns::Template(_) => Some("corpus.template"),
            TextColumns::One(_) => self.identity.as_ref().map(|_| "corpus.identity"),
        }
    }

    /// Makes a document out of a row.
    pub(crate) fn document(&self, position: Position, row: &impl Row) -> Result<RawDocument, Flaw> {
        let mut replaced = false;
        let mut text_of = |name: &str| match row.value(name)? {
            Value::Text {
                text,
                replaced: in_this,
            } => {
                replaced |= in_this;
                Ok(text)
            }
            Value::Key { is, .. } => Err(wrong_type(name, "a string", is)),
        };
        let filled = |name: &str, text: &str| {
            if text.trim().is_empty() {
                Err(empty(name))
            } else {
                Ok(())
            }
        };
        let (text, prompt_chars) = match &self.text {
            TextColumns::One(column) => {
                let text = text_of(column)?;
                filled(column, &text)?;
                (text.into_owned(), 0)
            }
            TextColumns::PromptAndResponse {
                prompt,
                response,
                separator,
            } => {
                let (prompt, answer) = (text_of(prompt)?, text_of(response)?);
                filled(response, &answer)?;
                join(&prompt, separator, &answer)
            }
            TextColumns::Template(template) => {
                let rendered = template.render(|column| {
                    if Some(column) == template.optional() && !has_value(row, column) {
                        return Ok(String::new());
                    }
                    let text = text_of(column)?;
                    if template.is_target(column) {
                        filled(column, &text)?;
                    }
                    Ok(text.into_owned())
                })?;
                (rendered.text, rendered.prompt_chars)
            }
        };
        let identity = match &self.identity {
            None => None,
            Some(column) => Some(match row.value(column)? {
                Value::Text { text, .. } if text.is_empty() => return Err(no_value(column)),
                Value::Text { text, .. } => text.into_owned(),
                Value::Key { key, .. } => key,
            }),
        };
        Ok(RawDocument {
            identity,
            text,
            prompt_chars,
            position,
            replaced,
            unused: self.unused(row),
        })
    }

    /// A column beside the prompt that has text in this row and is not asked for.
    fn unused(&self, row: &impl Row) -> Option<&'static str> {
        if !matches!(self.text, TextColumns::PromptAndResponse { .. }) {
            return None;
        }
        let names = self.names();
        let has_text = |name: &str| {
            row.has(name)
                && matches!(row.value(name), Ok(Value::Text { text, .. }) if !text.trim().is_empty())
        };
        BESIDE_A_PROMPT
            .into_iter()
            .find(|name| !names.contains(name) && has_text(name))
    }
}

/// Whether a column is there and has a value.
fn has_value(row: &impl Row, column: &str) -> bool {
    row.has(column)
        && !matches!(
            row.value(column),
            Err(Flaw {
                kind: FlawKind::NoValue,
                ..
            })
        )
}

/// A number as an identity: `7` and `7.0` name the same document.
pub(crate) fn number_key(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{number:.0}")
    } else {
        number.to_string()
    }
}

fn empty(column: &str) -> Flaw {
    Flaw::new(
        FlawKind::Empty,
        format!("column {column}: expected text, found none"),
    )
}

pub(crate) fn no_value(column: &str) -> Flaw {
    Flaw::new(
        FlawKind::NoValue,
        format!("column {column}: expected a value, found none"),
    )
}

pub(crate) fn wrong_type(column: &str, expected: &str, found: &str) -> Flaw {
    Flaw::new(
        FlawKind::WrongType,
        format!("column {column}: expected {expected}, found {found}"),
    )
}

/// "no such column" with the columns that are there.
pub(crate) fn missing<'a>(column: &str, found: impl Iterator<Item = &'a str>) -> Flaw {
    let found: Vec<&str> = found.collect();
    let chat = found
        .iter()
        .find(|name| ["messages", "conversations", "conversation"].contains(name));
    let hint = chat.map_or(String::new(), |chat| format!(". {chat} may be {CHAT}"));
    let found = if found.is_empty() {
        "none".to_owned()
    } else {
        found.join(", ")
    };
    Flaw::new(
        FlawKind::NoValue,
        format!("no such column: expected {column}, found the columns {found}{hint}"),
    )
}
