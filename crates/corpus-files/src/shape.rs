//! What the columns of a row are: text, or a conversation in one of the shapes that trainers read.

use chat_template::Message;
use contract::Error;
use contract::pipeline::{Corpus, RowShape};
use serde_json::{Map, Value as Json};

use crate::columns::{Row, empty, join, missing, no_value, text_of, wrong_type};
use crate::document::{Flaw, FlawKind};
use crate::formats::parse_json;
use crate::template::{Template, is_chat_template};

/// Columns that many rows of conversations have beside them.
const SYSTEM: &str = "system";

/// A shape of rows, with the names of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A column of text.
    Text(String),
    /// A column with a list of messages: `role` and `content`, or ShareGPT's `from` and `value`.
    Messages {
        column: String,
        /// What is said where the settings did not ask for it.
        recognised: &'static str,
    },
    /// Pairs of a preferred and a rejected side: `chosen`, `rejected` and, in some files, `prompt`.
    Preference,
    /// A prompt and what completes it, as text or as lists of messages.
    Completion {
        prompt: String,
        completion: String,
        separator: String,
        /// Whether text is a conversation of two turns too: where the settings name a chat template.
        as_turns: bool,
    },
    /// Stanford Alpaca's columns.
    Alpaca(Template),
}

/// What a row holds.
#[derive(Debug)]
pub(crate) enum Content {
    Text {
        text: String,
        prompt_chars: usize,
    },
    Conversation {
        messages: Vec<Message>,
        /// The first of the messages that answer a prompt; where nothing says it, the first turn of the assistant does.
        answer: Option<usize>,
    },
}

/// A row that was read, how, and whether half a surrogate pair in it became U+FFFD.
#[derive(Debug)]
pub(crate) struct Shaped {
    pub(crate) content: Content,
    pub(crate) recognised: Option<&'static str>,
    pub(crate) replaced: bool,
}

impl Shape {
    /// The shapes that rows may have by the settings, the first that fits a row's columns to be taken; none where the settings name
    /// columns themselves.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a template that cannot be used.
    pub(crate) fn of(corpus: &Corpus) -> Result<Vec<Self>, Error> {
        let named_template = corpus.template.as_deref();
        let as_turns = named_template.is_some_and(|name| is_chat_template(name) && name != "none");
        let messages = |name: &str, recognised| Self::Messages {
            column: corpus.messages.clone().unwrap_or_else(|| name.to_owned()),
            recognised,
        };
        let own_messages = messages("messages", "messages: conversations of role and content");
        let share_gpt = messages("conversations", "conversations: ShareGPT's from and value");
        let completion = Self::Completion {
            prompt: corpus.prompt.clone().unwrap_or_else(|| "prompt".to_owned()),
            completion: corpus.response.clone().unwrap_or_else(|| "completion".to_owned()),
            // TRL puts nothing between the two columns; of columns that the settings name they say what was there.
            separator: corpus
                .response
                .as_ref()
                .map_or_else(String::new, |_| corpus.separator.clone()),
            as_turns,
        };
        let alpaca = || {
            let named = Corpus {
                template: Some("alpaca".to_owned()),
                ..corpus.clone()
            };
            Template::of(&named).map(|template| template.map(Self::Alpaca))
        };
        let names_columns = corpus.prompt.is_some() || corpus.response.is_some();
        let is_text = match corpus.shape {
            RowShape::Text | RowShape::Alpaca => true,
            RowShape::Auto => !names_columns && corpus.text != "text",
            _ => false,
        };
        if let Some(name) = named_template.filter(|_| as_turns && is_text) {
            return Err(Error::Configuration(format!(
                "corpus.template = \"{name}\" renders conversations, or a prompt and a response (corpus.prompt, corpus.response), and the \
                 columns that corpus.shape or corpus.text ask for are text. Leave one of them out"
            )));
        }
        Ok(match corpus.shape {
            RowShape::Text => Vec::new(),
            RowShape::Messages => vec![own_messages],
            RowShape::Conversations => vec![share_gpt],
            RowShape::Completion => vec![completion],
            RowShape::Preference => vec![Self::Preference],
            RowShape::Alpaca => alpaca()?.into_iter().collect(),
            RowShape::Auto if names_columns && as_turns => vec![completion],
            RowShape::Auto if names_columns || corpus.text != "text" => Vec::new(),
            RowShape::Auto if named_template.is_some_and(|name| !is_chat_template(name)) => Vec::new(),
            RowShape::Auto => {
                // With a chat template there must be something to render.
                let text = (!as_turns).then(|| Self::Text(corpus.text.clone()));
                let conversations = [own_messages, share_gpt, Self::Preference, completion];
                let alpaca = if as_turns { None } else { alpaca()? };
                text.into_iter().chain(conversations).chain(alpaca).collect()
            }
        })
    }

    /// The columns that a row must have.
    pub(crate) fn required(&self) -> Vec<&str> {
        match self {
            Self::Text(column) | Self::Messages { column, .. } => vec![column],
            Self::Preference => vec!["chosen", "rejected"],
            Self::Completion {
                prompt, completion, ..
            } => vec![prompt, completion],
            Self::Alpaca(template) => template.columns(),
        }
    }

    /// Columns that are looked at where there are such.
    pub(crate) fn optional(&self) -> Vec<&str> {
        match self {
            Self::Messages { .. } => vec![SYSTEM],
            Self::Preference => vec!["prompt"],
            Self::Alpaca(template) => template.optional().into_iter().collect(),
            Self::Text(_) | Self::Completion { .. } => Vec::new(),
        }
    }

    /// Whether its columns may hold lists.
    pub(crate) fn takes_lists(&self) -> bool {
        !matches!(self, Self::Text(_) | Self::Alpaca(_))
    }

    /// Reads a row.
    pub(crate) fn read(&self, row: &impl Row) -> Result<Shaped, Flaw> {
        let mut replaced = false;
        let (content, recognised) = match self {
            Self::Text(column) => {
                let text = text_of(row, column, &mut replaced)?.into_owned();
                if text.trim().is_empty() {
                    return Err(empty(column));
                }
                let content = Content::Text {
                    text,
                    prompt_chars: 0,
                };
                return Ok(Shaped {
                    content,
                    recognised: None,
                    replaced,
                });
            }
            Self::Messages { column, recognised } => {
                let mut messages = messages_of(&nested(row, column, &mut replaced)?, column)?;
                // Some files of ShareGPT have the system message in a column of its own.
                let has_system = messages.first().is_some_and(|first| first.role == SYSTEM);
                if !has_system && let Some(text) = system_column(row, &mut replaced)? {
                    messages.insert(0, Message::new(SYSTEM, &text));
                }
                (
                    Content::Conversation {
                        messages,
                        answer: None,
                    },
                    *recognised,
                )
            }
            Self::Preference => (
                preference(row, &mut replaced)?,
                "preference pairs: the chosen side, with its prompt; the rejected side is not used",
            ),
            Self::Completion {
                prompt,
                completion,
                separator,
                as_turns,
            } => {
                let prompt_value = nested(row, prompt, &mut replaced)?;
                let completion_value = nested(row, completion, &mut replaced)?;
                let side = |column: &str, value: &Json, role: &str| match value {
                    Json::String(text) if *as_turns => Ok(vec![Message::new(role, text)]),
                    list => messages_of(list, column),
                };
                match (&prompt_value, &completion_value) {
                    (Json::String(prompt), Json::String(answer)) if !as_turns => {
                        if answer.trim().is_empty() {
                            return Err(empty(completion));
                        }
                        let (text, prompt_chars) = join(prompt, separator, answer);
                        let how = if separator.is_empty() {
                            "prompt and completion, joined as TRL does: with nothing between them"
                        } else {
                            "prompt and completion, joined by corpus.separator"
                        };
                        (Content::Text { text, prompt_chars }, how)
                    }
                    _ => {
                        let mut messages = side(prompt, &prompt_value, "user")?;
                        let answer = messages.len();
                        messages.extend(side(completion, &completion_value, "assistant")?);
                        let answer = Some(answer);
                        (
                            Content::Conversation { messages, answer },
                            "prompt and completion, as a conversation",
                        )
                    }
                }
            }
            Self::Alpaca(template) => {
                let rendered = template.read(row, &mut replaced)?;
                let content = Content::Text {
                    text: rendered.text,
                    prompt_chars: rendered.prompt_chars,
                };
                (
                    content,
                    "instruction, input and output, in Stanford Alpaca's template",
                )
            }
        };
        Ok(Shaped {
            content,
            recognised: Some(recognised),
            replaced,
        })
    }
}

/// The chosen side of a pair, with its prompt where that has a column.
fn preference(row: &impl Row, replaced: &mut bool) -> Result<Content, Flaw> {
    let chosen = nested(row, "chosen", replaced)?;
    let prompt = if row.has("prompt") {
        Some(nested(row, "prompt", replaced)?)
    } else {
        None
    };
    if let Json::String(chosen) = &chosen {
        if chosen.trim().is_empty() {
            return Err(empty("chosen"));
        }
        let prompt = match &prompt {
            None => "",
            Some(Json::String(prompt)) => prompt,
            Some(_) => return Err(wrong_type("prompt", "a string, as in chosen", "a list")),
        };
        let (text, prompt_chars) = join(prompt, "", chosen);
        return Ok(Content::Text { text, prompt_chars });
    }
    let mut messages = match prompt {
        None => Vec::new(),
        Some(Json::String(text)) => vec![Message::new("user", &text)],
        Some(list) => messages_of(&list, "prompt")?,
    };
    let before = messages.len();
    messages.extend(messages_of(&chosen, "chosen")?);
    // Without a prompt of its own both sides are whole conversations, which differ in the last answer.
    let last = messages.iter().rposition(Message::is_of_assistant);
    let answer = if before > 0 { Some(before) } else { last };
    Ok(Content::Conversation { messages, answer })
}

/// The system message of a row in a column of its own; none where it has no value there.
fn system_column(row: &impl Row, replaced: &mut bool) -> Result<Option<String>, Flaw> {
    if !row.has(SYSTEM) {
        return Ok(None);
    }
    let (value, in_this) = row.nested(SYSTEM)?;
    *replaced |= in_this;
    match value {
        Json::Null => Ok(None),
        Json::String(text) => Ok((!text.is_empty()).then_some(text)),
        Json::Array(_) => Err(wrong_type(SYSTEM, "a string", "a list")),
        _ => Err(wrong_type(
            SYSTEM,
            "a string",
            "an object, a number, or true or false",
        )),
    }
}

fn nested(row: &impl Row, column: &str, replaced: &mut bool) -> Result<Json, Flaw> {
    if !row.has(column) {
        return Err(no_value(column));
    }
    let (value, in_this) = row.nested(column)?;
    *replaced |= in_this;
    match value {
        Json::Null => Err(no_value(column)),
        value => Ok(value),
    }
}

/// The messages of a column: a list of objects, one written as JSON in a string, or an object of lists, as older versions of Hugging
/// Face's datasets write lists of objects.
fn messages_of(value: &Json, column: &str) -> Result<Vec<Message>, Flaw> {
    let wrong = |found: &str| Err(wrong_type(column, "a list of messages", found));
    match value {
        Json::Array(turns) => {
            let messages = turns
                .iter()
                .zip(1..)
                .map(|(turn, number)| message(turn, column, number));
            let messages = messages.collect::<Result<Vec<_>, _>>()?;
            if messages.is_empty() {
                Err(empty(column))
            } else {
                Ok(messages)
            }
        }
        Json::String(text) if text.trim_start().starts_with('[') => {
            match parse_json(text.trim().as_bytes()) {
                Ok((list @ Json::Array(_), _)) => messages_of(&list, column),
                _ => wrong("a string that is no JSON"),
            }
        }
        Json::Object(columns) if columns.values().any(Json::is_array) => {
            messages_of(&transposed(columns), column)
        }
        Json::String(_) => wrong("a string"),
        Json::Object(_) => wrong("an object"),
        _ => wrong("a number, or true or false"),
    }
}

fn transposed(columns: &Map<String, Json>) -> Json {
    let lists = || {
        columns
            .iter()
            .filter_map(|(key, list)| Some((key, list.as_array()?)))
    };
    let rows = lists().map(|(_, list)| list.len()).max().unwrap_or(0);
    let row = |number: usize| {
        let members = lists().filter_map(|(key, list)| Some((key.clone(), list.get(number)?.clone())));
        Json::Object(members.collect())
    };
    Json::Array((0..rows).map(row).collect())
}

fn message(turn: &Json, column: &str, number: usize) -> Result<Message, Flaw> {
    let flaw =
        |kind, problem: String| Flaw::new(kind, format!("column {column}, message {number}: {problem}"));
    let Json::Object(turn) = turn else {
        return Err(flaw(
            FlawKind::WrongType,
            "expected an object with role and content".to_owned(),
        ));
    };
    let key = |names: [&'static str; 2]| names.into_iter().find(|name| turn.contains_key(*name));
    let further = |keys: [&'static str; 2]| {
        let further = turn
            .iter()
            .filter(|(key, value)| !keys.contains(&key.as_str()) && !value.is_null());
        further.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (role_key, content_key) = (key(["role", "from"]), key(["content", "value"]));
    // A turn that calls tools need not say anything.
    let content_key = content_key.or_else(|| turn.contains_key("tool_calls").then_some("content"));
    let (Some(role_key), Some(content_key)) = (role_key, content_key) else {
        let found: Vec<&str> = turn.keys().map(String::as_str).collect();
        let problem = format!(
            "expected role and content, or from and value, found {}",
            found.join(", ")
        );
        return Err(flaw(FlawKind::NoValue, problem));
    };
    let role = match turn.get(role_key).and_then(Json::as_str) {
        Some(role) => role_of(role).ok_or_else(|| {
            let problem = format!(
                "expected the role system, user, assistant or tool (in ShareGPT system, human, gpt), found `{role}`"
            );
            flaw(FlawKind::Malformed, problem)
        })?,
        None => return Err(flaw(FlawKind::NoValue, format!("expected a {role_key}, found none"))),
    };
    let content = match turn.get(content_key) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Array(parts)) => text_of_parts(parts).ok_or_else(|| {
            let problem = format!(
                "{content_key}: expected parts of text, found others (images, audio), which are not read"
            );
            flaw(FlawKind::WrongType, problem)
        })?,
        None | Some(Json::Null) => {
            let message = Message {
                is_silent: true,
                further: further([role_key, content_key]),
                ..Message::new(role, "")
            };
            if message.is_of_assistant() && message.calls_tools() {
                return Ok(message);
            }
            return Err(flaw(
                FlawKind::NoValue,
                format!("expected text in {content_key}, found none"),
            ));
        }
        Some(_) => return Err(flaw(FlawKind::WrongType, format!("{content_key}: expected text"))),
    };
    Ok(Message {
        further: further([role_key, content_key]),
        ..Message::new(role, &content)
    })
}

/// The role that a conversation's own word for it means.
fn role_of(word: &str) -> Option<&'static str> {
    Some(match word {
        "system" => "system",
        "user" | "human" => "user",
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "model" => "assistant",
        "tool" | "observation" => "tool",
        _ => return None,
    })
}

/// The texts of a message in parts, one behind another; none where a part is no text.
fn text_of_parts(parts: &[Json]) -> Option<String> {
    let texts = parts.iter().map(|part| match part {
        Json::String(text) => Some(text.as_str()),
        part => {
            let is_text = part.get("type").is_none_or(|kind| kind == "text");
            part.get("text").and_then(Json::as_str).filter(|_| is_text)
        }
    });
    texts.collect()
}

/// "no such column" for rows that fit none of the shapes.
pub(crate) fn fits_none<'a>(shapes: &[Shape], found: impl Iterator<Item = &'a str>) -> Flaw {
    let mut expected = shapes.iter().map(|shape| shape.required().join(" and "));
    let flaw = missing(&expected.next().unwrap_or_default(), found);
    let others: Vec<String> = expected.collect();
    if others.is_empty() {
        return flaw;
    }
    let problem = format!(
        "{}. Without it a row may have {} (corpus.shape)",
        flaw.problem,
        others.join(", or ")
    );
    Flaw { problem, ..flaw }
}
