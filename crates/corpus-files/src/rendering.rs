//! How conversations become text: by a chat template, or without any.

use std::path::Path;
use std::sync::Arc;

use chat_template::{
    Candidate, ChatTemplate, Choice, Message, NAMES, NotRendered, SpecialTokens, common_template,
};
use contract::Error;
use contract::pipeline::Corpus;

use crate::document::{Flaw, FlawKind};

/// The name of the models' own chat template, and of none, in `corpus.template`.
const OWN: &str = "model";
const NONE: &str = "none";

/// Whether a value of `corpus.template` says how conversations are rendered.
pub fn is_chat_template(name: &str) -> bool {
    name == OWN || name == NONE || NAMES.contains(&name)
}

/// How conversations become text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendering {
    /// By a chat template.
    Template(Arc<ChatTemplate>),
    /// The turns alone, joined by a separator.
    Turns {
        /// What is between two turns.
        separator: String,
    },
    /// Not at all: why no template can be taken, and what to do.
    Unknown(String),
}

/// A conversation as text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RenderedText {
    pub(crate) text: String,
    pub(crate) prompt_chars: usize,
    /// The characters of the assistant's turns, where a template rendered them.
    pub(crate) assistant: Option<Vec<(usize, usize)>>,
}

impl Rendering {
    /// What the settings say: a named template, a file or folder of one (relative to `base`), or that of the models, which must be
    /// one and the same.
    ///
    /// # Errors
    /// [`Error::Input`] for files that cannot be used, [`Error::Configuration`] for a folder without a template.
    pub fn choose(corpus: &Corpus, base: &Path, models: &[Candidate]) -> Result<Self, Error> {
        match corpus.template.as_deref() {
            Some(NONE) => {
                let separator = corpus.separator.clone();
                return Ok(Self::Turns { separator });
            }
            Some(name) if NAMES.contains(&name) => {
                let mut tokens = SpecialTokens::default();
                for model in models {
                    let of_model = model.tokens()?;
                    if of_model != tokens && tokens != SpecialTokens::default() {
                        let problem = format!(
                            "corpus.template = \"{name}\" writes BOS and EOS, and the models name different ones: {}. Give each a \
                             pipeline of its own",
                            names(models)
                        );
                        return Ok(Self::Unknown(problem));
                    }
                    tokens = of_model;
                }
                let beside = corpus.chat_template.as_ref().map(|place| base.join(place));
                if let Some(folder) = beside.filter(|folder| models.is_empty() && folder.is_dir()) {
                    tokens = SpecialTokens::of_folder(&folder)?;
                }
                for token in ["bos_token", "eos_token"] {
                    if tokens.get(token).is_none() {
                        tokens = tokens.with(token, "");
                    }
                }
                let template = ChatTemplate::named(name, tokens);
                return Ok(template.map_or_else(
                    || Self::Unknown(format!("corpus.template: there is no chat template \"{name}\"")),
                    |template| Self::Template(Arc::new(template)),
                ));
            }
            _ => {}
        }
        if let Some(place) = &corpus.chat_template {
            let path = base.join(place);
            let template = if path.is_dir() {
                ChatTemplate::of_folder(&path)?
            } else {
                Some(ChatTemplate::of_file(&path)?)
            };
            return template.map(|template| Self::Template(Arc::new(template))).ok_or_else(|| {
                Error::Configuration(format!(
                    "corpus.chat_template: expected chat_template.jinja, or chat_template in tokenizer_config.json, in {}",
                    path.display()
                ))
            });
        }
        let other = NAMES.join(", ");
        Ok(match common_template(models)? {
            Choice::One(template) => Self::Template(template),
            Choice::Several {
                models: [one, another],
            } => Self::Unknown(format!(
                "the models {one} and {another} have different chat templates, so that their training texts differ. Give each a \
                 pipeline of its own, or name one template for all: corpus.template = one of {other}"
            )),
            Choice::None { models } => Self::Unknown(format!(
                "a conversation is rendered by the model's chat template, and {} (chat_template.jinja, or chat_template in \
                 tokenizer_config.json). Name the one that training used: corpus.template = one of {other}, or \"none\" for the turns \
                 alone; or say where it is: corpus.chat_template",
                if models.is_empty() {
                    "no model of this pipeline has one".to_owned()
                } else {
                    format!("{} has none", models.join(", "))
                }
            )),
        })
    }

    /// Digest of what it makes of conversations.
    pub fn digest(&self) -> String {
        match self {
            Self::Template(template) => template.digest(),
            Self::Turns { .. } => NONE.to_owned(),
            Self::Unknown(_) => "unknown".to_owned(),
        }
    }

    /// How it renders, for messages.
    pub fn origin(&self) -> String {
        match self {
            Self::Template(template) if template.marks_generation() => {
                format!("rendered by {}", template.origin())
            }
            Self::Template(template) => format!(
                "rendered by {}, which does not mark what the assistant writes: its turns were found by rendering turn by turn",
                template.origin()
            ),
            Self::Turns { separator } => format!("the turns alone, joined by {separator:?}"),
            Self::Unknown(_) => "not rendered".to_owned(),
        }
    }

    /// A conversation as text; `answer` is the first message that is an answer to the ones before it.
    pub(crate) fn render(&self, messages: &[Message], answer: Option<usize>) -> Result<RenderedText, Flaw> {
        check_answers(messages, answer)?;
        self.check_tool_calls(messages)?;
        match self {
            Self::Template(template) => by_template(template, messages, answer),
            Self::Turns { separator } => Ok(turns_alone(messages, answer, separator)),
            Self::Unknown(problem) => Err(Flaw::new(FlawKind::NoTemplate, problem.clone())),
        }
    }
}

impl Rendering {
    /// Of turns that call tools and say nothing, something must be left.
    fn check_tool_calls(&self, messages: &[Message]) -> Result<(), Flaw> {
        let is_written = match self {
            Self::Template(template) => template.writes_tool_calls(),
            Self::Turns { .. } => false,
            Self::Unknown(_) => true,
        };
        match messages.iter().position(|message| message.is_silent) {
            Some(place) if !is_written => {
                let problem = format!(
                    "message {} calls tools and says nothing, and {} does not write tool calls. Name the template that training used \
                     (corpus.template, corpus.chat_template)",
                    place + 1,
                    match self {
                        Self::Template(template) => template.origin(),
                        _ => "corpus.template = \"none\"",
                    }
                );
                Err(Flaw::new(FlawKind::NotRendered, problem))
            }
            _ => Ok(()),
        }
    }
}

fn names(models: &[Candidate]) -> String {
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    names.join(", ")
}

/// There must be something that the assistant says.
fn check_answers(messages: &[Message], answer: Option<usize>) -> Result<(), Flaw> {
    let answers = messages.iter().skip(answer.unwrap_or(0));
    let mut answers = answers.filter(|message| message.is_of_assistant()).peekable();
    if answers.peek().is_none() {
        let roles: Vec<&str> = messages.iter().map(|message| message.role.as_str()).collect();
        let problem = format!(
            "expected a turn of the assistant, found turns of {}",
            roles.join(", ")
        );
        return Err(Flaw::new(FlawKind::NoAnswer, problem));
    }
    if answers.all(|message| message.content.trim().is_empty() && !message.calls_tools()) {
        return Err(Flaw::new(
            FlawKind::Empty,
            "expected text of the assistant, found none",
        ));
    }
    Ok(())
}

fn by_template(
    template: &ChatTemplate,
    messages: &[Message],
    answer: Option<usize>,
) -> Result<RenderedText, Flaw> {
    let refused = |problem: NotRendered| match problem {
        NotRendered::Refused(problem) => Flaw::new(FlawKind::NotRendered, problem),
        NotRendered::Unusable(error) => Flaw::new(FlawKind::UnusableTemplate, error.to_string()),
    };
    let rendered = template.render(messages).map_err(refused)?;
    let Some(first) = rendered.assistant.first() else {
        let problem = format!("{} writes nothing of the assistant's turns", template.origin());
        return Err(Flaw::new(FlawKind::NoAnswer, problem));
    };
    let prompt_end = match answer {
        Some(answer) if answer > 0 => {
            let prompt = template.render_prompt(&messages[..answer]).map_err(refused)?;
            chat_template::common_prefix(&rendered.text, &prompt)
        }
        _ => first.start,
    };
    let text = rendered.text;
    let characters = |bytes: usize| text[..bytes].chars().count();
    let spans = rendered.assistant.iter();
    Ok(RenderedText {
        prompt_chars: characters(prompt_end),
        assistant: Some(
            spans
                .map(|span| (characters(span.start), characters(span.end)))
                .collect(),
        ),
        text,
    })
}

fn turns_alone(messages: &[Message], answer: Option<usize>, separator: &str) -> RenderedText {
    let first = answer
        .or_else(|| messages.iter().position(Message::is_of_assistant))
        .unwrap_or(0);
    let mut text = String::new();
    let mut prompt_chars = 0;
    for (number, message) in messages.iter().enumerate() {
        if number > 0 {
            text.push_str(separator);
        }
        if number == first {
            prompt_chars = text.chars().count();
        }
        text.push_str(&message.content);
    }
    RenderedText {
        text,
        prompt_chars,
        assistant: None,
    }
}
