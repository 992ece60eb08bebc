//! Chat templates and special tokens in the folders of models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::Error;
use contract::foreign::{MAX_SETTINGS_BYTES, read_text};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ChatTemplate;

/// The template of the tokenizer in a file of its own, which goes before the one in [`CONFIG`].
const OWN_FILE: &str = "chat_template.jinja";

/// The settings of the tokenizer.
const CONFIG: &str = "tokenizer_config.json";

/// Special tokens, where older versions of transformers wrote them.
const TOKENS: &str = "special_tokens_map.json";

/// The name of the template to use where a tokenizer has several.
const DEFAULT: &str = "default";

/// Special tokens as a tokenizer names them: `bos_token`, `eos_token` and so on, each as it is written. Those that it does not have are
/// not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SpecialTokens(std::collections::BTreeMap<String, String>);

impl SpecialTokens {
    /// The token of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same with one more token.
    pub fn with(mut self, name: &str, token: &str) -> Self {
        self.0.insert(name.to_owned(), token.to_owned());
        self
    }

    /// The special tokens that the files of a model's folder name; none where there are no such files.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no JSON.
    pub fn of_folder(folder: &Path) -> Result<Self, Error> {
        let mut tokens = Self::default();
        for file in [TOKENS, CONFIG] {
            for (name, value) in read_json(&folder.join(file))?.unwrap_or_default() {
                let written = value.as_str().or_else(|| value.get("content")?.as_str());
                if let Some(written) = written.filter(|_| name.ends_with("_token")) {
                    tokens.0.insert(name, written.to_owned());
                }
            }
        }
        Ok(tokens)
    }
}

/// The files of a folder that its chat template depends on, those that are there.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let files = [OWN_FILE, CONFIG, TOKENS].map(|name| folder.join(name));
    files.into_iter().filter(|file| file.is_file()).collect()
}

impl ChatTemplate {
    /// The template in a model's folder: `chat_template.jinja`, or else what `tokenizer_config.json` says, of several named ones the
    /// default. None where there is none.
    ///
    /// # Errors
    /// [`Error::Input`] for files that cannot be used.
    pub fn of_folder(folder: &Path) -> Result<Option<Self>, Error> {
        let own = folder.join(OWN_FILE);
        let source = if own.is_file() {
            Some(read_text(&own, MAX_SETTINGS_BYTES)?)
        } else {
            of_config(&folder.join(CONFIG))?
        };
        let Some(source) = source else { return Ok(None) };
        let origin = format!("the chat template of {}", folder.display());
        Ok(Some(Self::new(origin, source, SpecialTokens::of_folder(folder)?)))
    }

    /// The template in a file of Jinja, with the special tokens of the folder that it lies in.
    ///
    /// # Errors
    /// [`Error::Input`] for files that cannot be used.
    pub fn of_file(file: &Path) -> Result<Self, Error> {
        let source = read_text(file, MAX_SETTINGS_BYTES)?;
        let tokens = SpecialTokens::of_folder(file.parent().unwrap_or(Path::new(".")))?;
        Ok(Self::new(
            format!("the chat template {}", file.display()),
            source,
            tokens,
        ))
    }
}

/// A model, and the folders in which its chat template may be: an adapter's own, then its base's.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name in messages.
    pub name: String,
    /// The folders in the order in which they are looked at.
    pub folders: Vec<PathBuf>,
}

impl Candidate {
    /// The template in the first of the folders that has one.
    ///
    /// # Errors
    /// [`Error::Input`] for files that cannot be used.
    pub fn template(&self) -> Result<Option<ChatTemplate>, Error> {
        for folder in &self.folders {
            if let Some(template) = ChatTemplate::of_folder(folder)? {
                return Ok(Some(template));
            }
        }
        Ok(None)
    }

    /// The special tokens of the first folder that names any.
    ///
    /// # Errors
    /// [`Error::Input`] for files that cannot be used.
    pub fn tokens(&self) -> Result<SpecialTokens, Error> {
        for folder in &self.folders {
            let tokens = SpecialTokens::of_folder(folder)?;
            if tokens != SpecialTokens::default() {
                return Ok(tokens);
            }
        }
        Ok(SpecialTokens::default())
    }
}

/// Which template conversations are rendered with.
#[derive(Debug, Clone)]
pub enum Choice {
    /// This one.
    One(Arc<ChatTemplate>),
    /// Two of the models have different ones.
    Several {
        /// Those two.
        models: [String; 2],
    },
    /// None of the models has one.
    None {
        /// The models.
        models: Vec<String>,
    },
}

fn of_config(file: &Path) -> Result<Option<String>, Error> {
    let Some(config) = read_json(file)? else {
        return Ok(None);
    };
    let named = |one: &Value, name: &str| {
        (one.get("name").and_then(Value::as_str) == Some(name))
            .then(|| one.get("template").and_then(Value::as_str).map(str::to_owned))
            .flatten()
    };
    match config.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(several)) => {
            let found = several.iter().find_map(|one| named(one, DEFAULT));
            found.map(Some).ok_or_else(|| {
                let names: Vec<&str> = several.iter().filter_map(|one| one.get("name")?.as_str()).collect();
                let problem = format!(
                    "chat_template: expected one called \"{DEFAULT}\", found {}. Save the one to use as {OWN_FILE} beside this file",
                    names.join(", ")
                );
                Error::input(file, problem)
            })
        }
        Some(other) => {
            let problem =
                format!("chat_template: expected a template or a list of named ones, found {other}");
            Err(Error::input(file, problem))
        }
    }
}

fn read_json(file: &Path) -> Result<Option<Map<String, Value>>, Error> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = read_text(file, MAX_SETTINGS_BYTES)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(values)) => Ok(Some(values)),
        Ok(_) => Err(Error::input(file, "expected a JSON object")),
        Err(error) => Err(Error::input(file, format!("expected a JSON object: {error}"))),
    }
}
