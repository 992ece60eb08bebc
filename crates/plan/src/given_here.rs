//! The variables of `make audit`, and make's `SET`: turned into overrides of the pipeline file.
//!
//! Paths on a command line start from the current folder, those of a pipeline file from the file; so they are made absolute.

use std::path::Path;

use clap::Args;
use contract::Error;

/// A checkpoint to audit and the text that it was tuned on, as seen from the current folder.
#[derive(Debug, Default, Args)]
pub(crate) struct Given {
    /// Checkpoint to audit: a model folder, a peft adapter, or a name of the hub's cache
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<String>,

    /// Model that is going to be tuned, for a look at a corpus before: a model folder, or a name of the hub's cache. Empty: none is known
    #[arg(long, value_name = "FOLDER", conflicts_with = "checkpoint")]
    model: Option<String>,

    /// The untuned model of that checkpoint; an adapter names its own
    #[arg(long, value_name = "FOLDER")]
    base: Option<String>,

    /// Text that it was tuned on: a file, a folder, a glob, or several with blanks between them
    #[arg(long, value_name = "FILES")]
    corpus: Option<String>,

    /// Text of the same kind that it was not tuned on, as --corpus
    #[arg(long, value_name = "FILES")]
    held_out: Option<String>,

    /// Text of another kind, which shows what tuning made it forget, as --corpus
    #[arg(long, value_name = "FILES")]
    other: Option<String>,

    /// Manifest of the canaries that were planted before tuning: scripts/canaries.py's, or memaudit's
    #[arg(long, value_name = "FILE.json")]
    canaries: Option<String>,

    /// Several overrides with blanks between them, as in make's SET
    #[arg(long, value_name = "KEY=VALUE …")]
    set_all: Option<String>,
}

impl Given {
    /// The overrides, those of `--set-all` last.
    ///
    /// # Errors
    /// [`Error::Configuration`] for text in `--set-all` that is no override.
    pub(crate) fn overrides(&self) -> Result<Vec<String>, Error> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let models = [
            ("checkpoint.0.path", &self.checkpoint),
            ("checkpoint.0.base", &self.base),
        ];
        let texts = [
            ("corpus.files", &self.corpus),
            ("corpus.held_out_files", &self.held_out),
            ("corpus.other", &self.other),
        ];
        let mut overrides = Vec::new();
        match self.model.as_deref() {
            Some("") => overrides.push("checkpoint=[]".to_owned()),
            Some(name) => {
                overrides.push(format!("checkpoint.0.path={}", toml::Value::String(model(name))));
            }
            None => {}
        }
        for (key, value) in models {
            overrides.extend(given(value).map(|name| format!("{key}={}", toml::Value::String(model(&name)))));
        }
        for (key, value) in texts {
            overrides
                .extend(given(value).map(|names| format!("{key}={}", toml::Value::Array(texts_of(&names)))));
        }
        overrides.extend(
            given(&self.canaries)
                .map(|file| format!("canaries.manifest={}", toml::Value::String(absolute(&file)))),
        );
        let set = assignments(self.set_all.as_deref().unwrap_or_default())?;
        overrides.extend(set.iter().map(|assignment| with_path_from_here(assignment)));
        Ok(overrides)
    }
}

/// Keys whose value is one file or folder.
const PATHS: [&str; 6] = [
    "corpus.chat_template",
    "canaries.manifest",
    "extraction.prompt_file",
    "detection.personal_details",
    "detection.encoder",
    "detection.classifier",
];

/// An override whose value is a path that is there from the current folder, with that path made absolute. Others stay as they are: a
/// path that is not there starts from the pipeline file.
fn with_path_from_here(assignment: &str) -> String {
    let path = assignment.split_once('=').and_then(|(key, value)| {
        let key = key.trim();
        let value = value.trim();
        let unquoted = ['"', '\'']
            .iter()
            .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
        let value = unquoted.unwrap_or(value);
        (PATHS.contains(&key) && Path::new(value).exists()).then_some((key, value))
    });
    path.map_or_else(
        || assignment.to_owned(),
        |(key, value)| format!("{key}={}", toml::Value::String(absolute(value))),
    )
}

/// A folder as an absolute path; what is no path here is a name of the hub.
fn model(name: &str) -> String {
    if Path::new(name).exists() {
        absolute(name)
    } else {
        name.to_owned()
    }
}

/// The files that a text names: one whose name has blanks, or several with blanks between them.
fn texts_of(names: &str) -> Vec<toml::Value> {
    let is_there = |name: &str| Path::new(name).exists() || name.contains(['*', '?', '[']);
    let words: Vec<&str> = names.split_whitespace().collect();
    let several = words.len() > 1 && !Path::new(names).exists() && words.iter().all(|word| is_there(word));
    let files = if several { words } else { vec![names] };
    files
        .into_iter()
        .map(|file| toml::Value::String(text(file)))
        .collect()
}

/// A file as an absolute path, or a glob below the current folder, whose own name is taken literally.
fn text(name: &str) -> String {
    if Path::new(name).exists() || Path::new(name).is_absolute() || !name.contains(['*', '?', '[']) {
        return absolute(name);
    }
    let here = glob::Pattern::escape(&absolute("."));
    format!("{here}/{name}")
}

fn absolute(name: &str) -> String {
    std::path::absolute(name).map_or_else(
        |_| name.to_owned(),
        |path| path.to_string_lossy().trim_end_matches("/.").to_owned(),
    )
}

/// The overrides in a text: a new one begins at each word of the form `dotted.key=`, outside quotes and brackets.
fn assignments(text: &str) -> Result<Vec<String>, Error> {
    let mut found: Vec<String> = Vec::new();
    let (mut depth, mut quote) = (0_usize, None);
    let mut rest = text.trim_start();
    if !rest.is_empty() && !begins_assignment(rest) {
        return Err(Error::Configuration(format!(
            "SET: expected key=value, for instance tuning.epochs=3, found `{}`",
            rest.split_whitespace().next().unwrap_or_default()
        )));
    }
    let mut current = String::new();
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            ('[' | '{', None) => depth += 1,
            (']' | '}', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if letter.is_whitespace() && depth == 0 && quote.is_none() && begins_assignment(rest) {
            found.push(current.trim_end().to_owned());
            current.clear();
        } else {
            current.push(letter);
        }
    }
    found.extend(Some(current.trim_end().to_owned()).filter(|last| !last.is_empty()));
    Ok(found)
}

/// Whether a text begins with `dotted.key=`.
fn begins_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, _)| {
        !key.is_empty()
            && key
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_override_begins_at_each_key() {
        for (text, expected) in [
            ("", &[][..]),
            (
                "tuning.epochs=3 seeds=[1, 2]",
                &["tuning.epochs=3", "seeds=[1, 2]"],
            ),
            (
                "corpus.prompt=my question corpus.response=an answer",
                &["corpus.prompt=my question", "corpus.response=an answer"],
            ),
            (
                "corpus.template=\"{a} x=1 {b}\"  seeds=[1]",
                &["corpus.template=\"{a} x=1 {b}\"", "seeds=[1]"],
            ),
            (
                " mode.0={ kind = \"full\", learning_rate = 1 } ",
                &["mode.0={ kind = \"full\", learning_rate = 1 }"],
            ),
        ] {
            assert_eq!(assignments(text).unwrap(), expected, "{text}");
        }
        for wrong in ["(1).jsonl x=1", "epochs"] {
            assert!(assignments(wrong).unwrap_err().to_string().contains("key=value"));
        }
    }
}
