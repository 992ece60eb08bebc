//! Rendering Jinja as transformers does: `trim_blocks`, `lstrip_blocks`, loop controls, `raise_exception`, `strftime_now`, Python's
//! `tojson`, methods of Python's strings and lists, and `{% generation %}` blocks.

use std::ops::Range;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, context};

use crate::json::python_json;
use crate::{Message, SpecialTokens};

/// The one template of an environment.
const NAME: &str = "chat template";

/// Characters that stand where a `{% generation %}` block begins and ends, until they are taken out again: the last ones of the private
/// use area, which no text uses.
const BEGIN: char = '\u{10fffc}';
const END: char = '\u{10fffd}';

/// The day that `strftime_now` gives, as year, month, day. Which day it was when a model was tuned nobody knows afterwards, and the same
/// corpus must give the same text on every day: it is the day that Llama 3's own templates write where no date is given.
const TODAY: (i32, u32, u32) = (2024, 7, 26);

/// Whether a template has `{% generation %}` blocks.
pub(crate) fn marks_generation(source: &str) -> bool {
    tags(source).next().is_some()
}

/// Most steps of a template for one conversation. The templates of models take about a hundred for a turn.
const MAX_STEPS: u64 = 20_000_000;

/// A template ready to render.
pub(crate) fn environment(source: &str) -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(MAX_STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", tojson);
    environment
        .add_template_owned(NAME, with_marks(source))
        .map_err(|error| describe(&error))?;
    Ok(environment)
}

/// The text of a conversation, and the bytes of what `{% generation %}` blocks wrote.
pub(crate) fn render(
    environment: &Environment,
    messages: &[Message],
    add_generation_prompt: bool,
    tokens: &SpecialTokens,
) -> Result<(String, Vec<Range<usize>>), Problem> {
    if messages
        .iter()
        .any(|message| message.content.contains([BEGIN, END]))
    {
        return Err(Problem::Refused(format!(
            "a message holds the character U+{:X} or U+{:X}, by which what the assistant writes is marked",
            BEGIN as u32, END as u32
        )));
    }
    let values = context! { messages, add_generation_prompt, ..Value::from_serialize(tokens) };
    let rendered = environment
        .get_template(NAME)
        .and_then(|template| template.render(values));
    match rendered {
        Ok(text) => Ok(without_marks(&text)),
        Err(error) if is_endless(&error) => Err(Problem::Endless),
        Err(error) => Err(Problem::Refused(describe(&error))),
    }
}

/// Why there is no text.
pub(crate) enum Problem {
    /// The template does not take the conversation, in its words.
    Refused(String),
    /// It took [`MAX_STEPS`] steps and was not at its end.
    Endless,
}

impl Problem {
    pub(crate) fn endless() -> String {
        format!(
            "expected a text after at most {MAX_STEPS} steps, found none: the template does not end, or hardly"
        )
    }
}

/// Whether the steps ran out, here or in a macro that was called.
fn is_endless(error: &Error) -> bool {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source());
    causes.any(|cause| {
        cause
            .downcast_ref::<Error>()
            .is_some_and(|error| error.kind() == ErrorKind::OutOfFuel)
    })
}

/// What is wrong, with the line of the template; of `raise_exception` its own words.
fn describe(error: &Error) -> String {
    let line = error
        .line()
        .map_or(String::new(), |line| format!(" (line {line} of the template)"));
    match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation, Some(detail)) => format!("{detail}{line}"),
        (kind, Some(detail)) => format!("{kind}: {detail}{line}"),
        (kind, None) => format!("{kind}{line}"),
    }
}

/// The `{% generation %}` and `{% endgeneration %}` tags of a source: their bytes, and whether each has a `-` on either side.
fn tags(source: &str) -> impl Iterator<Item = (Range<usize>, bool, char, bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + source[at..].find("{%")?;
            let length = source[start..].find("%}")?;
            let end = start + length + 2;
            at = end;
            let inside = &source[start + 2..end - 2];
            let left = inside.starts_with('-');
            let right = inside.ends_with('-') && inside.len() > 1;
            let mark = match inside.trim_matches(['-', '+', ' ', '\t', '\n', '\r']) {
                "generation" => BEGIN,
                "endgeneration" => END,
                _ => continue,
            };
            return Some((start..end, left, mark, right));
        }
    })
}

/// A source whose generation tags write a mark: within a block, so that white space around them is treated as around theirs.
fn with_marks(source: &str) -> String {
    let mut written = String::with_capacity(source.len());
    let mut rest = 0;
    for (span, left, mark, right) in tags(source) {
        written.push_str(&source[rest..span.start]);
        let (left, right) = (if left { "-" } else { "" }, if right { "-" } else { "" });
        written.push_str(&format!("{{%{left} if true %}}{mark}{{% endif {right}%}}"));
        rest = span.end;
    }
    written.push_str(&source[rest..]);
    written
}

fn without_marks(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let mut spans = Vec::new();
    let mut begin = None;
    for character in marked.chars() {
        match character {
            BEGIN => begin = Some(text.len()),
            END => spans.extend(begin.take().map(|begin| begin..text.len())),
            other => text.push(other),
        }
    }
    spans.retain(|span| !span.is_empty());
    (text, spans)
}

fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent").ok();
    let json = python_json(&value, indent)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from_safe_string(json))
}

/// Today's date as `strftime` writes it; the directives of days, months and years.
fn strftime_now(format: String) -> Result<String, Error> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month, day) = TODAY;
    let name = MONTHS[month as usize - 1];
    let mut written = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            written.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => written.push_str(&format!("{day:02}")),
            Some('m') => written.push_str(&format!("{month:02}")),
            Some('Y') => written.push_str(&year.to_string()),
            Some('y') => written.push_str(&format!("{:02}", year % 100)),
            Some('B') => written.push_str(name),
            Some('b' | 'h') => written.push_str(&name[..3]),
            Some('H' | 'M' | 'S') => written.push_str("00"),
            Some('A') => written.push_str("Friday"),
            Some('a') => written.push_str("Fri"),
            Some('F') => written.push_str(&format!("{year}-{month:02}-{day:02}")),
            Some('%') => written.push('%'),
            other => {
                let found = other.map_or_else(|| "%".to_owned(), |directive| format!("%{directive}"));
                let problem = format!("strftime_now: expected a directive of date or time, found `{found}`");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        }
    }
    Ok(written)
}
