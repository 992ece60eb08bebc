//! Which columns make a document, and how.

use std::borrow::Cow;

use std::path::Path;

use chat_template::Candidate;
use contract::Error;
use contract::pipeline::Corpus;
use serde_json::Value as Json;

use crate::document::{Flaw, FlawKind, Position, RawDocument};
use crate::rendering::Rendering;
use crate::shape::{Content, Shape, Shaped, fits_none};
use crate::template::Template;

/// Columns that usually belong to the prompt of an instruction.
const BESIDE_A_PROMPT: [&str; 3] = ["input", "context", "system"];

/// What a column of turns is, where text is expected.
pub(crate) const CHAT: &str = "a list of messages, a conversation. Leave corpus.text, corpus.prompt and corpus.response out, or say \
                               what the column is: corpus.shape = \"messages\" and corpus.messages";

/// The columns that documents are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Where the text is.
    pub text: TextColumns,
    /// What identifies a document; without it, its text does.
    pub identity: Option<String>,
    /// How conversations become text.
    pub rendering: Rendering,
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
    /// The first of several shapes that a row's columns fit.
    Shapes(Shapes),
}

/// The shapes that rows may have, the first that fits to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shapes(Vec<Shape>);

impl Shapes {
    /// The first that fits columns of which `has` says whether they are there.
    fn fitting(&self, has: impl Fn(&str) -> bool) -> Option<&Shape> {
        self.0.iter().find(|shape| shape.required().into_iter().all(&has))
    }
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

    /// The value in a column, which may be a list or an object, and whether half a surrogate pair in it became U+FFFD.
    ///
    /// # Errors
    /// A flaw where it cannot be read.
    fn nested(&self, column: &str) -> Result<(Json, bool), Flaw> {
        match self.value(column)? {
            Value::Text { text, replaced } => Ok((Json::String(text.into_owned()), replaced)),
            Value::Key { is, .. } => Err(wrong_type(column, "text or a list of messages", is)),
        }
    }

    /// The names of its columns, for messages.
    fn names(&self) -> Vec<String>;
}

/// The text in a column. `replaced` becomes true where half a surrogate pair in it was replaced.
pub(crate) fn text_of<'r>(row: &'r impl Row, name: &str, replaced: &mut bool) -> Result<Cow<'r, str>, Flaw> {
    match row.value(name)? {
        Value::Text {
            text,
            replaced: in_this,
        } => {
            *replaced |= in_this;
            Ok(text)
        }
        Value::Key { is, .. } => Err(wrong_type(name, "a string", is)),
    }
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
    /// The columns that the settings name, without any model: a conversation must then have its template in the settings.
    ///
    /// # Errors
    /// As [`Columns::of_models`].
    pub fn of(corpus: &Corpus) -> Result<Self, Error> {
        Self::of_models(corpus, Path::new(""), &[])
    }

    /// The columns that the settings name, conversations rendered by the chat template that they name or that the models have.
    /// `base` is where relative paths of the settings start.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a template that cannot be used, [`Error::Input`] for a model's files that cannot.
    pub fn of_models(corpus: &Corpus, base: &Path, models: &[Candidate]) -> Result<Self, Error> {
        let shapes = Shape::of(corpus)?;
        let text = match (Template::of(corpus)?, &corpus.prompt, &corpus.response) {
            _ if !shapes.is_empty() => TextColumns::Shapes(Shapes(shapes)),
            (Some(template), ..) => TextColumns::Template(template),
            (None, Some(prompt), Some(response)) => TextColumns::PromptAndResponse {
                prompt: prompt.clone(),
                response: response.clone(),
                separator: corpus.separator.clone(),
            },
            _ => TextColumns::One(corpus.text.clone()),
        };
        let rendering = match &text {
            TextColumns::Shapes(_) => Rendering::choose(corpus, base, models)?,
            _ => Rendering::Unknown("corpus.shape = \"text\" reads no conversations".to_owned()),
        };
        Ok(Self {
            text,
            identity: corpus.identity.clone(),
            rendering,
        })
    }

    /// The columns that the text of each document is in, where the settings name them, and the names of a file's columns do not
    /// decide.
    fn named(&self) -> Option<Vec<&str>> {
        Some(match &self.text {
            TextColumns::One(text) => vec![text],
            TextColumns::PromptAndResponse { prompt, response, .. } => vec![prompt, response],
            TextColumns::Template(template) => template.columns(),
            TextColumns::Shapes(_) => return None,
        })
    }

    /// The columns of a file that the text of its documents is in; of which there are, `has` says.
    ///
    /// # Errors
    /// A flaw where one is missing, with the columns that there are (`found`).
    pub(crate) fn text_names(&self, has: impl Fn(&str) -> bool, found: &[&str]) -> Result<Vec<&str>, Flaw> {
        match (&self.text, self.named()) {
            (TextColumns::Shapes(shapes), _) => shapes
                .fitting(has)
                .map(Shape::required)
                .ok_or_else(|| fits_none(&shapes.0, found.iter().copied())),
            (_, Some(names)) => match names.iter().find(|name| !has(name)) {
                Some(absent) => Err(missing(absent, found.iter().copied())),
                None => Ok(names),
            },
            (_, None) => Ok(Vec::new()),
        }
    }

    /// All columns that a file must have, as [`Columns::text_names`].
    pub(crate) fn names(&self, has: impl Fn(&str) -> bool, found: &[&str]) -> Result<Vec<&str>, Flaw> {
        let mut names = self.text_names(&has, found)?;
        if let Some(identity) = self.identity.as_deref() {
            if !has(identity) {
                return Err(missing(identity, found.iter().copied()));
            }
            names.push(identity);
        }
        Ok(names)
    }

    /// Whether the columns of the text may hold lists.
    pub(crate) fn takes_lists(&self, has: impl Fn(&str) -> bool) -> bool {
        match &self.text {
            TextColumns::Shapes(shapes) => shapes.fitting(has).is_some_and(Shape::takes_lists),
            _ => false,
        }
    }

    /// The names in words, for messages.
    pub(crate) fn description(&self) -> String {
        match (&self.text, self.named()) {
            (TextColumns::Shapes(shapes), _) => shapes
                .0
                .first()
                .map(Shape::required)
                .unwrap_or_default()
                .join(" and "),
            (_, names) => names.unwrap_or_default().join(" and "),
        }
    }

    /// Columns that are looked at where there are such.
    pub(crate) fn optional_names(&self, has: impl Fn(&str) -> bool) -> Vec<&str> {
        match &self.text {
            TextColumns::One(_) => Vec::new(),
            TextColumns::PromptAndResponse { .. } => {
                let names = self.asked();
                let beside = BESIDE_A_PROMPT.into_iter();
                beside.filter(|name| !names.contains(name)).collect()
            }
            TextColumns::Template(template) => template.optional().into_iter().collect(),
            TextColumns::Shapes(shapes) => shapes.fitting(has).map(Shape::optional).unwrap_or_default(),
        }
    }

    /// The columns that the settings name, the identity among them.
    fn asked(&self) -> Vec<&str> {
        let mut names = self.named().unwrap_or_default();
        names.extend(self.identity.as_deref());
        names
    }

    /// The setting that asks for columns, of which plain text has none.
    pub(crate) fn asked_by(&self) -> Option<&'static str> {
        match &self.text {
            TextColumns::PromptAndResponse { .. } => Some("corpus.prompt"),
            TextColumns::Template(_) => Some("corpus.template"),
            TextColumns::Shapes(shapes) if !matches!(shapes.0.first(), Some(Shape::Text(_))) => {
                Some("corpus.shape")
            }
            TextColumns::One(_) | TextColumns::Shapes(_) => self.identity.as_ref().map(|_| "corpus.identity"),
        }
    }

    /// Makes a document out of a row.
    pub(crate) fn document(&self, position: Position, row: &impl Row) -> Result<RawDocument, Flaw> {
        let shaped = match &self.text {
            TextColumns::Shapes(shapes) => match shapes.fitting(|name| row.has(name)) {
                Some(shape) => shape.read(row)?,
                None => {
                    let names = row.names();
                    return Err(fits_none(&shapes.0, names.iter().map(String::as_str)));
                }
            },
            named => {
                let mut replaced = false;
                let (text, prompt_chars) = text_in(named, row, &mut replaced)?;
                Shaped {
                    content: Content::Text { text, prompt_chars },
                    recognised: None,
                    replaced,
                }
            }
        };
        let system = match &shaped.content {
            Content::Conversation { messages, .. } => messages.first().filter(|first| first.role == "system"),
            Content::Text { .. } => None,
        };
        let system = system.map(|message| message.content.clone());
        let (text, prompt_chars, assistant_spans) = match shaped.content {
            Content::Text { text, prompt_chars } => (text, prompt_chars, None),
            Content::Conversation { messages, answer } => {
                let rendered = self.rendering.render(&messages, answer)?;
                (rendered.text, rendered.prompt_chars, rendered.assistant)
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
            replaced: shaped.replaced,
            assistant_spans,
            system,
            recognised: shaped.recognised,
            unused: self.unused(row),
        })
    }

    /// A column beside the prompt that has text in this row and is not asked for.
    fn unused(&self, row: &impl Row) -> Option<&'static str> {
        if !matches!(self.text, TextColumns::PromptAndResponse { .. }) {
            return None;
        }
        let names = self.asked();
        let has_text = |name: &str| {
            row.has(name)
                && matches!(row.value(name), Ok(Value::Text { text, .. }) if !text.trim().is_empty())
        };
        BESIDE_A_PROMPT
            .into_iter()
            .find(|name| !names.contains(name) && has_text(name))
    }
}

/// The text of a row in columns that the settings name, and the characters of its prompt.
fn text_in(columns: &TextColumns, row: &impl Row, replaced: &mut bool) -> Result<(String, usize), Flaw> {
    let filled = |name: &str, text: &str| {
        if text.trim().is_empty() {
            Err(empty(name))
        } else {
            Ok(())
        }
    };
    match columns {
        TextColumns::One(column) => {
            let text = text_of(row, column, replaced)?;
            filled(column, &text)?;
            Ok((text.into_owned(), 0))
        }
        TextColumns::PromptAndResponse {
            prompt,
            response,
            separator,
        } => {
            let (prompt, answer) = (text_of(row, prompt, replaced)?, text_of(row, response, replaced)?);
            filled(response, &answer)?;
            Ok(join(&prompt, separator, &answer))
        }
        TextColumns::Template(template) => {
            let rendered = template.read(row, replaced)?;
            Ok((rendered.text, rendered.prompt_chars))
        }
        TextColumns::Shapes(_) => Ok((String::new(), 0)),
    }
}

/// Whether a column is there and has a value.
pub(crate) fn has_value(row: &impl Row, column: &str) -> bool {
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

pub(crate) fn empty(column: &str) -> Flaw {
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
    let chat = found.iter().find(|name| {
        [
            "messages",
            "conversations",
            "conversation",
            "dialog",
            "dialogue",
            "turns",
        ]
        .contains(name)
    });
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
