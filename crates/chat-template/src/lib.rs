//! Conversations as the text that a model is tuned on.
//!
//! A chat model reads a conversation through its chat template, a Jinja template that its tokenizer's files hold. [`ChatTemplate`] renders
//! one as transformers' `apply_chat_template` does, and says which characters of the text the assistant writes ([`Rendered`]). A
//! model without one can be given a named template ([`NAMES`]).
//!
//! It is a crate of its own because `dupgen` renders and `plan` refuses what could not be rendered, and neither links LibTorch.
//!
//! ```
//! use chat_template::{ChatTemplate, Message, SpecialTokens};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let template = ChatTemplate::named("chatml", SpecialTokens::default()).ok_or("no such template")?;
//! let conversation = [Message::new("user", "Who wrote it?"), Message::new("assistant", "Ann.")];
//! let rendered = template.render(&conversation)?;
//! assert_eq!(rendered.text, "<|im_start|>user\nWho wrote it?<|im_end|>\n<|im_start|>assistant\nAnn.<|im_end|>\n");
//! assert_eq!(&rendered.text[rendered.assistant[0].clone()], "Ann.<|im_end|>\n");
//! # Ok(())
//! # }
//! ```

mod folder;
mod jinja;
mod json;
mod named;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use contract::Error;
use contract::foreign::Work;
use minijinja::Environment;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use jinja::Problem;

pub use folder::{Candidate, Choice, SpecialTokens, files};
pub use named::NAMES;

/// Memory that rendering a conversation may take. What a template makes of a text is hardly longer than the text.
const MAX_BYTES: u64 = 1 << 30;

/// Seconds that rendering a conversation may take. One of ten thousand turns takes a minute where its turns must be found one by one.
const MAX_SECONDS: u64 = 600;

/// Why a conversation has no text.
#[derive(Debug, thiserror::Error)]
pub enum NotRendered {
    /// What the template says of a conversation that it does not take, or what is wrong with it.
    #[error("{0}")]
    Refused(String),
    /// The template does not end, or brought the renderer down: it must not be tried again.
    #[error(transparent)]
    Unusable(#[from] Error),
}

/// The fields of a turn that calls tools.
const TOOL_CALLS: [&str; 2] = ["tool_calls", "function_call"];

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or what else the template knows.
    pub role: String,
    /// What is said; empty where nothing is.
    pub content: String,
    /// Whether the content is null, as of a turn that calls tools and says nothing: templates see that.
    pub is_silent: bool,
    /// Further fields, which a template may ask for.
    pub further: Map<String, Value>,
}

impl Message {
    /// A turn without further fields.
    pub fn new(role: &str, content: &str) -> Self {
        Self {
            role: role.to_owned(),
            content: content.to_owned(),
            is_silent: false,
            further: Map::new(),
        }
    }

    /// Whether it calls tools, in the fields that OpenAI's conversations have for that.
    pub fn calls_tools(&self) -> bool {
        let has_calls = |value: &Value| match value {
            Value::Array(calls) => !calls.is_empty(),
            Value::Object(call) => !call.is_empty(),
            _ => false,
        };
        TOOL_CALLS
            .iter()
            .any(|key| self.further.get(*key).is_some_and(has_calls))
    }

    /// Whether the model writes this turn.
    pub fn is_of_assistant(&self) -> bool {
        self.role == "assistant"
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let content = if self.is_silent {
            Value::Null
        } else {
            Value::from(self.content.as_str())
        };
        let own = [("role", Value::from(self.role.as_str())), ("content", content)];
        let further = self
            .further
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()));
        serializer.collect_map(own.into_iter().chain(further))
    }
}

/// A conversation as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The whole text, special tokens written out. It is complete: no tokens are added before or behind it.
    pub text: String,
    /// The bytes of the text that each turn of the assistant is, with what ends it and without its header; in order.
    pub assistant: Vec<Range<usize>>,
}

/// A template that turns conversations into text.
#[derive(Debug)]
pub struct ChatTemplate {
    /// Where it is from, for messages: `chatml`, `the chat template of /models/mine`.
    origin: String,
    source: String,
    tokens: SpecialTokens,
    environment: OnceLock<Result<Environment<'static>, String>>,
    work: Arc<Work>,
}

impl PartialEq for ChatTemplate {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, &self.tokens) == (&other.source, &other.tokens)
    }
}

impl Eq for ChatTemplate {}

impl ChatTemplate {
    /// A template from its Jinja source. `origin` says in messages where it is from.
    pub fn new(origin: impl Into<String>, source: impl Into<String>, tokens: SpecialTokens) -> Self {
        let origin = origin.into();
        Self {
            work: Work::new(&origin, "rendering a conversation", MAX_BYTES, MAX_SECONDS),
            origin,
            source: source.into(),
            tokens,
            environment: OnceLock::new(),
        }
    }

    /// The template of this name ([`NAMES`]).
    pub fn named(name: &str, tokens: SpecialTokens) -> Option<Self> {
        let source = named::source(name)?;
        Some(Self::new(format!("the chat template \"{name}\""), source, tokens))
    }

    /// Where it is from, as messages say it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Digest of all that what it renders depends on.
    pub fn digest(&self) -> String {
        let all = format!("{}\0{:?}", self.source, self.tokens);
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(all.as_bytes()))
    }

    /// Whether it marks what the assistant writes (`{% generation %}`). Where it does not, [`ChatTemplate::render`] finds it out by
    /// rendering the conversation turn by turn.
    pub fn marks_generation(&self) -> bool {
        jinja::marks_generation(&self.source)
    }

    /// Whether it writes the tools that a turn calls; of others it may write what is said alone.
    pub fn writes_tool_calls(&self) -> bool {
        TOOL_CALLS.iter().any(|key| self.source.contains(key))
    }

    /// A conversation as text, without a header for an answer to come.
    ///
    /// The bytes of the assistant's turns are those within `{% generation %}` blocks, as transformers has them. Of a template without
    /// such blocks they are what the text of the conversation through a turn has beyond the text before the turn with the header of
    /// an answer: the same that TRL's templates for training mark.
    ///
    /// # Errors
    /// What the template says of a conversation that it does not take, or what is wrong with the template. A template that takes more
    /// memory or time than any conversation needs ends the program ([`Work`]).
    pub fn render(&self, messages: &[Message]) -> Result<Rendered, NotRendered> {
        self.within_limits(|| {
            let (text, marked) = self.text(messages, false)?;
            let assistant = if self.marks_generation() {
                marked
            } else {
                self.turns_of_assistant(messages, &text)?
            };
            Ok(Rendered { text, assistant })
        })
    }

    /// A conversation through the header of an answer to come, as a user has it before the model.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_prompt(&self, messages: &[Message]) -> Result<String, NotRendered> {
        self.within_limits(|| self.text(messages, true).map(|(text, _)| text))
    }

    fn within_limits<T>(&self, render: impl FnOnce() -> Result<T, NotRendered>) -> Result<T, NotRendered> {
        self.work.run(render)?
    }

    fn turns_of_assistant(
        &self,
        messages: &[Message],
        whole: &str,
    ) -> Result<Vec<Range<usize>>, NotRendered> {
        let mut turns: Vec<Range<usize>> = Vec::new();
        for (number, message) in messages.iter().enumerate() {
            if !message.is_of_assistant() {
                continue;
            }
            let before = turns.last().map_or(0, |last| last.end);
            let said = whole[before..]
                .find(message.content.trim())
                .map(|place| before + place);
            let prompt = self.text(&messages[..number], true).map(|(text, _)| text);
            let start = match (prompt, said) {
                (Ok(prompt), None) => common_prefix(whole, &prompt),
                (Ok(prompt), Some(_)) if whole.starts_with(&prompt) => prompt.len(),
                // Some templates take no conversation that ends so, or an empty one: the turn begins with what is said.
                (Ok(prompt), Some(said)) => said.max(common_prefix(whole, &prompt)),
                (Err(NotRendered::Refused(_)), Some(said)) => said,
                (Err(problem), _) => return Err(problem),
            };
            let through = self.text(&messages[..=number], false)?.0;
            let mut end = common_prefix(whole, &through);
            if !whole.starts_with(&through) {
                // What ends the conversation there, and what goes on here, may begin alike: `</s>` and `<|user|>`.
                end -= whole[..end].rfind(['<', '[']).map_or(0, |open| {
                    let is_closed = whole[open..end].contains(['>', ']']);
                    if is_closed { 0 } else { end - open }
                });
            }
            if end > start {
                turns.push(start..end);
            }
        }
        Ok(turns)
    }

    fn text(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<(String, Vec<Range<usize>>), NotRendered> {
        let refused = |problem: &str| NotRendered::Refused(format!("{}: {problem}", self.origin));
        let environment = self.environment.get_or_init(|| jinja::environment(&self.source));
        let environment = environment.as_ref().map_err(|problem| refused(problem))?;
        jinja::render(environment, messages, add_generation_prompt, &self.tokens).map_err(|problem| {
            match problem {
                Problem::Refused(problem) => refused(&problem),
                Problem::Endless => Error::input(&self.origin, Problem::endless()).into(),
            }
        })
    }
}

/// Bytes that two texts begin with alike, as whole characters.
pub fn common_prefix(one: &str, other: &str) -> usize {
    let alike = one
        .chars()
        .zip(other.chars())
        .take_while(|(one, other)| one == other);
    alike.map(|(character, _)| character.len_utf8()).sum()
}

/// The one template that several models have, to render a corpus with.
///
/// # Errors
/// [`Error::Input`] for files that cannot be used.
pub fn common_template(models: &[Candidate]) -> Result<Choice, Error> {
    let mut found: Vec<(&Candidate, ChatTemplate)> = Vec::new();
    let mut without = Vec::new();
    for model in models {
        match model.template()? {
            Some(template) => found.push((model, template)),
            None => without.push(model.name.clone()),
        }
    }
    let Some((first, template)) = found.pop() else {
        return Ok(Choice::None { models: without });
    };
    if let Some((other, _)) = found.iter().find(|(_, other)| *other != template) {
        return Ok(Choice::Several {
            models: [other.name.clone(), first.name.clone()],
        });
    }
    Ok(Choice::One(Arc::new(template)))
}
