//! How training joined columns to a text.

use contract::Error;
use contract::pipeline::Corpus;

use crate::columns::{Row, empty, has_value, text_of};
use crate::document::Flaw;
pub(crate) use crate::rendering::is_chat_template;

/// A text with columns in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// Where a column may have no value: the column, and the text that is made then.
    without: Option<(String, Vec<Part>)>,
    /// The column that the model is to answer with: what comes before it is the prompt. Without it, all is target.
    response: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Column(String),
}

/// A text made by a template.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) prompt_chars: usize,
}

/// Stanford Alpaca's two texts, with and without an input (Taori et al. 2023, tatsu-lab/stanford_alpaca, `train.py`), and the line
/// end behind "### Response:" of its successors.
const ALPACA_WITH_INPUT: &str = "Below is an instruction that describes a task, paired with an input that provides further context. \
Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n\
### Response:\n{output}";
const ALPACA: &str = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
### Instruction:\n{instruction}\n\n### Response:\n{output}";

impl Template {
    /// The template that the settings name or spell out; none where they have none.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an unknown name, braces that do not match, and `prompt` or `response` that is not among the
    /// columns in braces.
    pub fn of(corpus: &Corpus) -> Result<Option<Self>, Error> {
        let Some(template) = &corpus.template else {
            return Ok(None);
        };
        if is_chat_template(template) {
            return Ok(None);
        }
        if template == "alpaca" {
            return Self::alpaca(corpus).map(Some);
        }
        let parts = parse(template)?;
        let columns: Vec<&str> = parts.iter().filter_map(Part::column).collect();
        if columns.is_empty() {
            return Err(Error::Configuration(format!(
                "corpus.template: expected `alpaca`, or text with columns in braces such as \"### Question:\\n{{question}}\\n\\n### \
                 Answer:\\n{{answer}}\", or for conversations a chat template ({}), found \"{template}\"",
                chat_template::NAMES.join(", ")
            )));
        }
        for (key, column) in [("prompt", &corpus.prompt), ("response", &corpus.response)] {
            if let Some(column) = column
                && !columns.contains(&column.as_str())
            {
                return Err(Error::Configuration(format!(
                    "corpus.{key}: expected one of the columns that corpus.template has in braces ({}), found {column}",
                    columns.join(", ")
                )));
            }
        }
        let last = (columns.len() > 1).then(|| columns.last().map(|&last| last.to_owned()));
        let response = corpus.response.clone().or(last.flatten());
        Ok(Some(Self {
            parts,
            without: None,
            response,
        }))
    }

    fn alpaca(corpus: &Corpus) -> Result<Self, Error> {
        let prompt = corpus.prompt.as_deref().unwrap_or("instruction");
        let response = corpus.response.as_deref().unwrap_or("output");
        let with_names = |parts: Vec<Part>| -> Vec<Part> {
            let named = parts.into_iter().map(|part| match part {
                Part::Column(column) if column == "instruction" => Part::Column(prompt.to_owned()),
                Part::Column(column) if column == "output" => Part::Column(response.to_owned()),
                part => part,
            });
            named.collect()
        };
        Ok(Self {
            parts: with_names(parse(ALPACA_WITH_INPUT)?),
            without: Some(("input".to_owned(), with_names(parse(ALPACA)?))),
            response: Some(response.to_owned()),
        })
    }

    /// The columns that a document must have, each once.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        let optional = self.optional();
        for column in self.parts.iter().filter_map(Part::column) {
            if Some(column) != optional && !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// A column that a document may lack.
    pub(crate) fn optional(&self) -> Option<&str> {
        self.without.as_ref().map(|(column, _)| column.as_str())
    }

    /// Whether a column is what the model is to answer with, and so must have text.
    pub(crate) fn is_target(&self, column: &str) -> bool {
        self.response.as_deref().is_none_or(|response| response == column)
    }

    /// The text of a row. `replaced` becomes true where half a surrogate pair in it was replaced.
    pub(crate) fn read(&self, row: &impl Row, replaced: &mut bool) -> Result<Rendered, Flaw> {
        self.render(|column| {
            if Some(column) == self.optional() && !has_value(row, column) {
                return Ok(String::new());
            }
            let text = text_of(row, column, replaced)?;
            if self.is_target(column) && text.trim().is_empty() {
                return Err(empty(column));
            }
            Ok(text.into_owned())
        })
    }

    /// The text with the values that `value` gives of the columns; blank ones of the optional column count as none.
    pub(crate) fn render<E>(&self, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<Rendered, E> {
        let parts = match &self.without {
            Some((column, without)) if value(column)?.trim().is_empty() => without,
            _ => &self.parts,
        };
        let mut rendered = Rendered::default();
        let mut answered = false;
        for part in parts {
            match part {
                Part::Literal(literal) => rendered.text.push_str(literal),
                Part::Column(column) => {
                    if !answered && self.response.as_ref() == Some(column) {
                        answered = true;
                        rendered.prompt_chars = rendered.text.chars().count();
                    }
                    rendered.text.push_str(&value(column)?);
                }
            }
        }
        Ok(rendered)
    }
}

impl Part {
    fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column) => Some(column),
            Self::Literal(_) => None,
        }
    }
}

/// Splits a template at its columns. Doubled braces stand for braces.
fn parse(template: &str) -> Result<Vec<Part>, Error> {
    let unmatched = |brace: char| {
        Error::Configuration(format!(
            "corpus.template: expected braces around the names of columns, found a single `{brace}`. A brace of the text itself is \
             doubled: {{{{ or }}}}"
        ))
    };
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = template;
    while let Some(place) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(place);
        literal.push_str(before);
        if let Some(behind) = brace.strip_prefix("{{") {
            literal.push('{');
            rest = behind;
        } else if let Some(behind) = brace.strip_prefix("}}") {
            literal.push('}');
            rest = behind;
        } else if let Some(behind) = brace.strip_prefix('{') {
            let (column, behind) = behind.split_once('}').ok_or_else(|| unmatched('{'))?;
            if column.is_empty() || column.contains('{') {
                return Err(unmatched('{'));
            }
            parts.push(Part::Literal(std::mem::take(&mut literal)));
            parts.push(Part::Column(column.to_owned()));
            rest = behind;
        } else {
            return Err(unmatched('}'));
        }
    }
    literal.push_str(rest);
    parts.push(Part::Literal(literal));
    parts.retain(|part| !matches!(part, Part::Literal(literal) if literal.is_empty()));
    Ok(parts)
}
