//! Requests over HTTP: not more of them in a minute than agreed, again after errors that pass, and never to another host.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::Error;
use contract::pipeline::Strategy;
use model_folder::Endpoint;
use model_folder::endpoint::{Api, PROMPT_PLACE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

/// The longest time between two of them, where the server names none.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The longest time that a server may ask to wait.
const LONGEST_ASKED_WAIT: Duration = Duration::from_mins(10);

/// Bytes of an answer that are read at most.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// Characters of a server's words that are shown.
const MAX_WORDS: usize = 300;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// What the model wrote.
    pub(crate) text: String,
    /// Why it ended, in the server's words.
    pub(crate) finish: Option<String>,
    /// Log-probability of each of the server's own tokens; empty where it gives none.
    pub(crate) logprobs: Vec<f32>,
    /// Tokens that the server read and wrote, where it counts them.
    pub(crate) tokens: Option<u64>,
}

/// A connection to one endpoint.
pub(crate) struct Client<'a> {
    endpoint: &'a Endpoint,
    agent: ureq::Agent,
    key: Option<String>,
    /// When the next request may be sent.
    next: Mutex<Instant>,
    /// How often one was sent again.
    sent_again: AtomicUsize,
}

/// How one try ended.
enum Try {
    Answered(Answer),
    /// For a reason that may pass; after so long a time, if the server names one.
    Again(String, Option<Duration>),
}

impl<'a> Client<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint) -> Result<Self, Error> {
        let key = endpoint.key_variable.as_ref().map(|name| {
            std::env::var(name).map_err(|_| {
                Error::Configuration(format!(
                    "key_variable = {name:?}: the environment has no such variable; export it, and run again"
                ))
            })
        });
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(endpoint.timeout_seconds)))
            .http_status_as_error(false)
            // The text was allowed to go to one host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls());
        if endpoint.is_on_this_machine() {
            config = config.proxy(None);
        }
        Ok(Self {
            endpoint,
            agent: config.build().new_agent(),
            key: key.transpose()?,
            next: Mutex::new(Instant::now()),
            sent_again: AtomicUsize::new(0),
        })
    }

    /// The text that the model reads for a prompt: what a user says where it is asked in a chat.
    pub(crate) fn text(&self, prompt: &str) -> String {
        match self.endpoint.api {
            Api::Completions => prompt.to_owned(),
            Api::Chat => self.endpoint.message.replace(PROMPT_PLACE, prompt),
        }
    }

    /// What is sent for a text and a way of decoding.
    pub(crate) fn body(&self, text: &str, strategy: &Strategy, seed: u64, new_tokens: usize) -> Value {
        let endpoint = self.endpoint;
        let mut body =
            json!({ "model": endpoint.model, "max_tokens": new_tokens, "temperature": strategy.temperature });
        // Greedy text is the same whatever draws would have been.
        if strategy.temperature > 0.0 {
            body["top_p"] = json!(strategy.top_p);
            // Servers take numbers of 31 bits.
            body["seed"] = json!(seed >> 33);
            if strategy.top_k > 0 {
                body["top_k"] = json!(strategy.top_k);
            }
        }
        match endpoint.api {
            Api::Completions => {
                body["prompt"] = json!(text);
                if endpoint.logprobs {
                    body["logprobs"] = json!(1);
                }
            }
            Api::Chat => {
                body["messages"] = json!([{ "role": "user", "content": text }]);
                if endpoint.logprobs {
                    body["logprobs"] = json!(true);
                }
            }
        }
        body
    }

    /// Sends a request until it is answered.
    ///
    /// # Errors
    /// [`Error::Run`] where the server refuses it, or does not answer after as many tries as the endpoint allows.
    pub(crate) fn ask(&self, body: &Value) -> Result<Answer, Error> {
        let mut problem = String::new();
        for number in 0..self.endpoint.tries {
            self.wait_for_turn();
            match self.once(body)? {
                Try::Answered(answer) => return Ok(answer),
                Try::Again(reason, asked) => {
                    let wait =
                        asked.unwrap_or_else(|| LONGEST_WAIT.min(Duration::from_secs(1 << number.min(6))));
                    // One of them says what is wrong; a busy server turns many away.
                    if number + 1 < self.endpoint.tries
                        && self.sent_again.fetch_add(1, Ordering::Relaxed) == 0
                    {
                        tracing::warn!("{}: {reason}; asking again in {} s", self.url(), wait.as_secs());
                    }
                    problem = reason;
                    if number + 1 < self.endpoint.tries {
                        std::thread::sleep(wait);
                    }
                }
            }
        }
        Err(Error::Run(format!(
            "{}: {problem}; tries: {}",
            self.url(),
            self.endpoint.tries
        )))
    }

    /// How often a request was sent again.
    pub(crate) fn sent_again(&self) -> usize {
        self.sent_again.load(Ordering::Relaxed)
    }

    fn url(&self) -> String {
        let path = match self.endpoint.api {
            Api::Completions => "completions",
            Api::Chat => "chat/completions",
        };
        format!("{}/{path}", self.endpoint.url.trim_end_matches('/'))
    }

    /// Waits until one more request fits into the minute.
    fn wait_for_turn(&self) {
        let Some(most) = self.endpoint.requests_per_minute else {
            return;
        };
        let mine = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = (*next).max(Instant::now());
            *next = mine + Duration::from_mins(1) / most;
            mine
        };
        std::thread::sleep(mine.saturating_duration_since(Instant::now()));
    }

    fn once(&self, body: &Value) -> Result<Try, Error> {
        let mut request = self
            .agent
            .post(self.url())
            .header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = match request.send(body.to_string()) {
            Ok(response) => response,
            // What is not there, or not who it says, will not be so in a minute.
            Err(error) if is_final(&error) => return Err(Error::Run(format!("{}: {error}", self.url()))),
            Err(error) => return Ok(Try::Again(format!("no answer ({error})"), None)),
        };
        let (status, asked) = (response.status(), asked_wait(response.headers()));
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string();
        let text = match text {
            Ok(text) => text,
            Err(error) => return Ok(Try::Again(format!("an answer that breaks off ({error})"), None)),
        };
        let words = || {
            text.chars()
                .filter(|character| !character.is_control())
                .take(MAX_WORDS)
                .collect::<String>()
        };
        if status == StatusCode::REQUEST_TIMEOUT
            || status == StatusCode::TOO_MANY_REQUESTS
            || status.is_server_error()
        {
            return Ok(Try::Again(format!("status {status}: {}", words()), asked));
        }
        if !status.is_success() {
            let hint = if status.is_redirection() {
                ". Requests are not sent on to other places: name the place itself in url"
            } else {
                ""
            };
            return Err(Error::Run(format!(
                "{}: status {status}: {}{hint}",
                self.url(),
                words()
            )));
        }
        let answer = read(self.endpoint.api, &text);
        let answer = answer.ok_or_else(|| {
            Error::Run(format!(
                "{}: expected an answer in the form of OpenAI's API, found {}",
                self.url(),
                words()
            ))
        })?;
        Ok(Try::Answered(answer))
    }
}

/// Whether another try would end in the same way.
fn is_final(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::HostNotFound | ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            true
        }
        // Certificates that are not trusted.
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Certificates are those that this machine trusts.
fn tls() -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// How long a server asks to wait, in whole seconds.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("Retry-After")?.to_str().ok()?.trim().parse().ok()?;
    Some(LONGEST_ASKED_WAIT.min(Duration::from_secs(seconds)))
}

/// An answer in the form of OpenAI's API.
fn read(api: Api, text: &str) -> Option<Answer> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let choice = answer.get("choices")?.get(0)?;
    let (text, logprobs) = match api {
        Api::Completions => (
            choice.get("text")?,
            choice.pointer("/logprobs/token_logprobs").and_then(numbers),
        ),
        // An answer without content is an empty one: a model may call a tool instead.
        Api::Chat => {
            let message = choice.get("message")?;
            let tokens = choice.pointer("/logprobs/content").and_then(Value::as_array);
            let logprobs =
                tokens.and_then(|tokens| tokens.iter().map(|token| number(token.get("logprob")?)).collect());
            (message.get("content").unwrap_or(&Value::Null), logprobs)
        }
    };
    Some(Answer {
        text: match text {
            Value::String(text) => text.clone(),
            Value::Null if api == Api::Chat => String::new(),
            _ => return None,
        },
        finish: choice
            .get("finish_reason")
            .and_then(Value::as_str)
            .map(str::to_owned),
        logprobs: logprobs.unwrap_or_default(),
        tokens: answer.pointer("/usage/total_tokens").and_then(Value::as_u64),
    })
}

fn numbers(list: &Value) -> Option<Vec<f32>> {
    list.as_array()?.iter().map(number).collect()
}

fn number(value: &Value) -> Option<f32> {
    value
        .as_f64()
        .map(|number| number as f32)
        .filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_both_forms() {
        let completion = r#"{"choices":[{"text":" a cat","finish_reason":"length","logprobs":{"tokens":[" a"," cat"],"token_logprobs":[-0.5,-1]}}],
            "usage":{"total_tokens":7}}"#;
        let answer = Answer {
            text: " a cat".to_owned(),
            finish: Some("length".to_owned()),
            logprobs: vec![-0.5, -1.0],
            tokens: Some(7),
        };
        assert_eq!(read(Api::Completions, completion), Some(answer.clone()));
        let chat = r#"{"choices":[{"message":{"role":"assistant","content":" a cat"},"finish_reason":"length",
            "logprobs":{"content":[{"token":" a","logprob":-0.5},{"token":" cat","logprob":-1}]}}],"usage":{"total_tokens":7}}"#;
        assert_eq!(read(Api::Chat, chat), Some(answer.clone()));
        // One is not the other, and log-probabilities that are not all there are none.
        assert_eq!(read(Api::Chat, completion), None);
        assert_eq!(read(Api::Completions, r#"{"error":"busy"}"#), None);
        let some = completion.replace("[-0.5,-1]", "[null,-1]");
        assert_eq!(
            read(Api::Completions, &some),
            Some(Answer {
                logprobs: Vec::new(),
                ..answer
            })
        );
    }
}
