//! A model that is served elsewhere: a folder with `endpoint.toml` in place of weights says where, and how it may be asked.

use std::path::{Path, PathBuf};

use contract::Error;
use contract::foreign::{self, MAX_SETTINGS_BYTES};
use serde::{Deserialize, Serialize};

/// The file that says where a model is served.
pub const ENDPOINT: &str = "endpoint.toml";

/// What stands for the prompt in [`Endpoint::message`].
pub const PROMPT_PLACE: &str = "{prompt}";

/// A model behind an API in the form of OpenAI's, such as vLLM, llama.cpp, TGI or a vendor serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where the API begins, with its version: `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The name that the model goes by there.
    pub model: String,
    /// What is asked: completions of a text, or answers in a chat.
    #[serde(default)]
    pub api: Api,
    /// In a chat what the user says, with `{prompt}` where the prompt stands.
    #[serde(default = "prompt_alone")]
    pub message: String,
    /// Folder with the `tokenizer.json` that prompts are cut by, relative to this file; without it the one beside this file. The model's own
    /// if it is known; any other serves, as prompts are sent as text.
    pub tokenizer: Option<PathBuf>,
    /// Tokens that the model reads at most, by that tokenizer.
    #[serde(default = "context")]
    pub context: usize,
    /// The environment variable that holds the key, which is written nowhere.
    pub key_variable: Option<String>,
    /// Whether beginnings of training texts may be sent to the URL: whoever serves it reads them. Only on this machine itself it may be left
    /// out.
    #[serde(default)]
    pub may_send_training_text: bool,
    /// Requests a minute at most; none for as many as there is room for.
    pub requests_per_minute: Option<u32>,
    /// Requests that are under way at once.
    #[serde(default = "at_once")]
    pub at_once: usize,
    /// Requests in all, above which nothing is sent; those that find out what training put before texts come on top.
    #[serde(default = "max_requests")]
    pub max_requests: usize,
    /// Seconds after which a request without an answer is sent again.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Times that a request is sent at most, where the server does not answer, is busy or fails.
    #[serde(default = "tries")]
    pub tries: u32,
    /// Whether the server takes `top_k`, which OpenAI's own does not; where not, strategies with it are refused.
    #[serde(default = "yes")]
    pub takes_top_k: bool,
    /// Whether log-probabilities of what is generated are asked for.
    #[serde(default = "yes")]
    pub logprobs: bool,
}

/// What of the API is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `/completions`: the model goes on with a text.
    #[default]
    Completions,
    /// `/chat/completions`: it answers what a user says.
    Chat,
}

fn prompt_alone() -> String {
    PROMPT_PLACE.to_owned()
}

fn context() -> usize {
    4096
}

fn at_once() -> usize {
    4
}

fn max_requests() -> usize {
    10_000
}

fn timeout_seconds() -> u64 {
    120
}

fn tries() -> u32 {
    8
}

fn yes() -> bool {
    true
}

impl Endpoint {
    /// What the folder says; none where it has no `endpoint.toml`.
    ///
    /// # Errors
    /// [`Error::Input`] where the file cannot be read, or a value in it cannot be used.
    pub fn open(folder: &Path) -> Result<Option<Self>, Error> {
        let file = folder.join(ENDPOINT);
        if !file.is_file() {
            return Ok(None);
        }
        let text = foreign::read_text(&file, MAX_SETTINGS_BYTES)?;
        let endpoint: Self = toml::from_str(&text)
            .map_err(|error| Error::input(&file, error.to_string().trim_end().to_owned()))?;
        endpoint.check().map_err(|problem| Error::input(&file, problem))?;
        Ok(Some(endpoint))
    }

    fn check(&self) -> Result<(), String> {
        let Some(host) = self.host() else {
            return Err(format!(
                "url = {:?}: expected http:// or https://, a host, and where the API begins, such as http://127.0.0.1:8000/v1",
                self.url
            ));
        };
        if host.contains('@') {
            return Err("url: expected no user or password in it; name the variable that holds the key in key_variable".to_owned());
        }
        if !self.may_send_training_text && !self.is_on_this_machine() {
            return Err(format!(
                "beginnings of training texts are sent to {host}, whose owner can read them. Where that is allowed, set \
                 may_send_training_text = true"
            ));
        }
        if !self.message.contains(PROMPT_PLACE) {
            return Err(format!(
                "message: expected {PROMPT_PLACE} in it, where the prompt stands"
            ));
        }
        let counts = [
            ("context", self.context == 0),
            ("at_once", self.at_once == 0),
            ("max_requests", self.max_requests == 0),
            ("requests_per_minute", self.requests_per_minute == Some(0)),
            ("timeout_seconds", self.timeout_seconds == 0),
            ("tries", self.tries == 0),
        ];
        match counts.iter().find(|(_, is_wrong)| *is_wrong) {
            Some((name, _)) => Err(format!("{name} = 0: expected at least 1")),
            None => Ok(()),
        }
    }

    /// The host that the URL names, with its port; none where it is no URL of HTTP.
    pub fn host(&self) -> Option<&str> {
        let rest = self
            .url
            .strip_prefix("https://")
            .or_else(|| self.url.strip_prefix("http://"))?;
        let host = rest.split(['/', '?', '#']).next()?;
        (!host.is_empty()).then_some(host)
    }

    /// Whether the URL leads to this machine itself, so that no text leaves it.
    pub fn is_on_this_machine(&self) -> bool {
        let Some(host) = self.host() else { return false };
        let name = match host.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        name == "localhost"
            || name
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// The folder with the tokenizer that prompts are cut by.
    ///
    /// # Errors
    /// [`Error::Input`] where it has none.
    pub fn tokenizer_folder(&self, folder: &Path) -> Result<PathBuf, Error> {
        let found = match &self.tokenizer {
            Some(tokenizer) => folder.join(tokenizer),
            None => folder.to_path_buf(),
        };
        if found.join("tokenizer.json").is_file() {
            return Ok(found);
        }
        Err(Error::input(
            folder.join(ENDPOINT),
            format!(
                "no tokenizer.json in {}, which prompts are cut by: name a folder that has one in tokenizer = \"…\"; the model's own is best, \
                 and any other serves",
                found.display()
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with an `endpoint.toml`; nothing where it can be used.
    fn problem(text: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(ENDPOINT), text).unwrap();
        Endpoint::open(folder.path()).err().map(|error| error.to_string())
    }

    #[test]
    fn text_leaves_this_machine_only_where_that_is_allowed() {
        let of = |url: &str| format!("url = \"{url}\"\nmodel = \"m\"\n");
        for here in [
            "http://127.0.0.1:8000/v1",
            "http://localhost/v1",
            "http://[::1]:80/v1",
            "http://127.3.2.1/v1",
        ] {
            assert_eq!(problem(&of(here)), None, "{here}");
        }
        for elsewhere in [
            "https://api.example/v1",
            "http://127.0.0.1.example/v1",
            "http://localhost.example:80/v1",
            "http://10.0.0.1/v1",
            "http://[2001:db8::1]/v1",
        ] {
            let problem = problem(&of(elsewhere)).unwrap_or_default();
            assert!(
                problem.contains("may_send_training_text = true"),
                "{elsewhere}: {problem}"
            );
            let allowed = format!("{}may_send_training_text = true\n", of(elsewhere));
            assert_eq!(self::problem(&allowed), None, "{elsewhere}");
        }
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        let with = |line: &str| {
            problem(&format!("url = \"http://localhost/v1\"\nmodel = \"m\"\n{line}\n")).unwrap_or_default()
        };
        assert!(with("at_once = 0").contains("at_once = 0: expected at least 1"));
        assert!(with("requests_per_minute = 0").contains("requests_per_minute = 0"));
        assert!(with("message = \"go on\"").contains("{prompt}"));
        assert!(with("key = \"secret\"").contains("unknown field `key`"));
        assert!(
            problem("url = \"localhost:80\"\nmodel = \"m\"\n")
                .unwrap_or_default()
                .contains("expected http://")
        );
        assert!(
            problem("url = \"http://me:secret@localhost/v1\"\nmodel = \"m\"\n")
                .unwrap_or_default()
                .contains("no user or password")
        );
    }

    #[test]
    fn a_folder_without_tokenizer_says_what_to_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(ENDPOINT),
            "url = \"http://localhost/v1\"\nmodel = \"m\"\n",
        )
        .unwrap();
        let endpoint = Endpoint::open(folder.path()).unwrap().unwrap();
        let problem = endpoint.tokenizer_folder(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("tokenizer = \"…\""), "{problem}");
        std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        assert_eq!(endpoint.tokenizer_folder(folder.path()).unwrap(), folder.path());
    }
}
