//! A model that is served elsewhere is asked over its API: the same prompts as text, and what it answers as samples.
//!
//! What the adversary of such a model has is its answers, with log-probabilities of what it wrote where it gives them: no document can be
//! scored, so that there is no `scores.parquet` to speak of, no membership and no exposure. Prompts end between words, since a server's
//! tokenizer would read the beginning of a word otherwise than what the whole word is. Training may have put a BOS before texts that the server
//! does not put there: with `begin = "auto"` some training documents are asked for behind each of those that the tokenizer knows, and the one
//! that brings most of them back is used. Answers are kept as they come (`answers.jsonl`), so
//! that a run that was stopped goes on where it was, and nothing is paid for twice; `--force` asks anew.

mod client;
mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use contract::parts::Part;
use contract::pipeline::{Begin, Extraction, Strategy};
use contract::prompt_form::Access;
use contract::records::{FinishReason, PromptForm, Split};
use contract::{Error, Progress};
use model_folder::endpoint::Api;
use model_folder::{ENDPOINT, Endpoint};
use serde_json::Value;
use text_tokens::TextTokenizer;
use xxhash_rust::xxh3::xxh3_64;

use crate::generation::{self, Drawn, Generation, Origin, Request, Texts};
use crate::prompts::{Prompt, Prompts};
use client::{Answer, Client};
use journal::Journal;

/// A model behind an API, with the tokenizer that prompts are cut by.
pub(crate) struct Served {
    endpoint: Endpoint,
    pub(crate) tokenizer: TextTokenizer,
}

/// Training documents by which the beginning of prompts is chosen, at most.
const TRIAL_DOCUMENTS: usize = 16;

/// The tokens that training puts before texts, as the tokenizers of common families write them.
const BEGINNINGS: [&str; 7] = [
    "<s>",
    "<|begin_of_text|>",
    "<bos>",
    "<|startoftext|>",
    "<|im_start|>",
    "[BOS]",
    "<|endoftext|>",
];

/// A request as it is sent; one of a trial becomes no sample.
struct Sent<'a> {
    request: Option<Request<'a>>,
    text: String,
    body: Value,
    identity: String,
}

/// What requests go through.
struct Sender<'a> {
    served: &'a Served,
    client: &'a Client<'a>,
    journal: &'a Journal,
    new_tokens: usize,
}

impl Served {
    /// The model that the folder says is served; none where it holds one itself.
    ///
    /// # Errors
    /// [`Error::Input`] where the folder or its tokenizer cannot be used.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, Error> {
        let Some(endpoint) = Endpoint::open(folder)? else {
            return Ok(None);
        };
        let tokenizer = TextTokenizer::load(&endpoint.tokenizer_folder(folder)?)?;
        Ok(Some(Self { endpoint, tokenizer }))
    }

    /// Tokens that the model reads at most.
    pub(crate) fn context(&self) -> usize {
        self.endpoint.context
    }

    /// Refuses strategies that need more than an API gives, and to put what a chat template rendered (`is_rendered`) into a chat, where the
    /// server's own template would come around it.
    ///
    /// # Errors
    /// [`Error::Configuration`] for them.
    pub(crate) fn check(&self, strategies: &[Strategy], is_rendered: bool) -> Result<(), Error> {
        if is_rendered && self.endpoint.api == Api::Chat {
            return Err(Error::Configuration(format!(
                "{ENDPOINT}: api = \"chat\": the conversations of this corpus are rendered by a chat template already, and the server would render \
                 them once more. Set api = \"completions\", which takes them as they are"
            )));
        }
        for strategy in strategies {
            let problem = if strategy.access() == Access::Probabilities {
                "beams: a search needs the model itself"
            } else if strategy.access() == Access::Weights {
                "prompt = \"optimised\": a search for prompts needs the model's gradients"
            } else if strategy.prompt == PromptForm::SelfMade {
                "prompt = \"self-made\": its beginnings are drawn from the model itself"
            } else if strategy.top_k > 0 && !self.endpoint.takes_top_k {
                "top_k: this server takes none (takes_top_k = false). Use top_p in its place"
            } else {
                continue;
            };
            return Err(Error::Configuration(format!(
                "extraction.strategy \"{}\": {problem}; the model is served at {}",
                strategy.name, self.endpoint.url
            )));
        }
        Ok(())
    }

    /// Draws every sample of every strategy from every prompt, or of a `part` its share. `out` is where answers are kept; `forget` asks for
    /// those again that are there.
    ///
    /// # Errors
    /// [`Error::Configuration`] for more requests than `max_requests`, [`Error::Run`] where the server does not answer, [`Error::Output`]
    /// where answers cannot be kept.
    pub(crate) fn draw(
        &self,
        prompts: &Prompts,
        settings: &Extraction,
        seed: u64,
        part: Option<Part>,
        out: &Path,
        forget: bool,
    ) -> Result<Drawn, Error> {
        let client = Client::new(&self.endpoint)?;
        let texts = Texts {
            tokenizer: &self.tokenizer,
            end_tokens: &[],
            special_tokens: &prompts.special_tokens,
        };
        let journal = Journal::open(out, forget)?;
        let sender = Sender {
            served: self,
            client: &client,
            journal: &journal,
            new_tokens: settings.new_tokens,
        };
        let requests = generation::requests(prompts, &settings.strategy, seed);
        // Those of the trial would be sent for nothing.
        self.check_count(requests.len().saturating_sub(journal.len()))?;
        let begin = self.begin(&sender, prompts, settings.begin, &texts)?;
        let mine = requests
            .into_iter()
            .filter(|request| part.is_none_or(|part| part.takes(request.place as usize)));
        let sent = mine.map(|request| {
            let prompt = format!("{begin}{}", texts.decode(&request.prompt.tokens)?);
            Ok(sender.sent(Some(request), &prompt, request.strategy, request.seed))
        });
        let mut sent: Vec<Sent<'_>> = sent.collect::<Result<_, Error>>()?;
        sent.sort_by_key(|sent| sent.request.map(|request| (request.place, request.number)));
        let started = Instant::now();
        let answers = sender.answers(&sent)?;
        let seconds = started.elapsed().as_secs_f64();
        if client.sent_again() > 1 {
            tracing::warn!("requests were sent again {} times", client.sent_again());
        }
        remark(&answers);
        let mut drawn = Drawn {
            samples: Vec::with_capacity(sent.len()),
            origins: Vec::with_capacity(sent.len()),
            seconds,
        };
        let mut references = BTreeMap::new();
        for (id, sent) in sent.into_iter().enumerate() {
            let (Some(request), Some(answer)) = (sent.request, answers.get(&sent.identity)) else {
                continue;
            };
            let is_cut = answer.finish.as_deref() == Some("length");
            let made = Generation {
                request,
                prompt_tokens: request.prompt.tokens.clone(),
                generated: self.tokenizer.encode(&answer.text)?,
                logprobs: answer.logprobs.clone(),
                finish: (!is_cut).then_some(FinishReason::End),
                forward_tokens: answer.tokens.unwrap_or_default() as usize,
            };
            drawn.origins.push(Origin {
                place: request.place,
                batch: request.place as usize,
            });
            let mut sample = texts.sample(id, made, &mut references)?;
            // As it was written, whatever the tokenizer here makes of it.
            sample.generation.clone_from(&answer.text);
            sample.prompt = sent.text;
            sample.tokens_read = answer.tokens.map(|tokens| tokens as i64);
            drawn.samples.push(sample);
        }
        Ok(drawn)
    }

    /// Refuses to send more requests than are allowed.
    fn check_count(&self, requests: usize) -> Result<(), Error> {
        let most = self.endpoint.max_requests;
        if requests <= most {
            return Ok(());
        }
        Err(Error::Configuration(format!(
            "{ENDPOINT}: max_requests = {most}, and {requests} requests are to be sent. Raise it, or ask for fewer: extraction.documents, and \
             samples and documents of each [[extraction.strategy]]"
        )))
    }

    /// What is put before every prompt. In a chat that is the server's own affair.
    fn begin(
        &self,
        sender: &Sender<'_>,
        prompts: &Prompts,
        begin: Begin,
        texts: &Texts<'_>,
    ) -> Result<String, Error> {
        let known = BEGINNINGS.iter().filter(|text| {
            let read = self.tokenizer.encode(text).unwrap_or_default();
            read.len() == 1 && self.tokenizer.special_ids().contains(&read[0])
        });
        let known: Vec<String> = known.map(|text| (*text).to_owned()).collect();
        if self.endpoint.api == Api::Chat || begin == Begin::Tokenizer || known.is_empty() {
            return Ok(String::new());
        }
        let is_tried = |prompt: &&Prompt| {
            prompt.split == Split::Train && prompt.form == PromptForm::Prefix && !prompt.reference.is_empty()
        };
        let mut tried: Vec<&Prompt> = prompts.all.iter().filter(is_tried).collect();
        // What occurs most often is known best.
        tried.sort_by_key(|prompt| {
            (
                std::cmp::Reverse(prompt.copies),
                xxh3_64(prompt.doc_id.as_deref().unwrap_or_default().as_bytes()),
            )
        });
        tried.truncate(TRIAL_DOCUMENTS);
        if tried.is_empty() {
            return Ok(String::new());
        }
        let greedy = Strategy {
            temperature: 0.0,
            ..Strategy::default()
        };
        let mut told = Vec::new();
        // Which of the tokens the model begins texts with nobody says; with `auto` it may be none.
        let nothing = (begin == Begin::Auto).then(String::new);
        let candidates: Vec<String> = nothing.into_iter().chain(known).collect();
        if let [only] = candidates.as_slice() {
            return Ok(only.clone());
        }
        let mut best = (0, candidates[0].clone());
        for beginning in candidates {
            let sent = tried.iter().map(|prompt| {
                let text = format!("{beginning}{}", texts.decode(&prompt.tokens)?);
                Ok(sender.sent(None, &text, &greedy, 0))
            });
            let sent: Vec<Sent<'_>> = sent.collect::<Result<_, Error>>()?;
            let answers = sender.answers(&sent)?;
            let mut repeated = 0;
            for (sent, prompt) in sent.iter().zip(&tried) {
                let truth = texts.decode(&prompt.reference)?;
                repeated += answers
                    .get(&sent.identity)
                    .map_or(0, |answer| common_characters(&answer.text, &truth));
            }
            told.push(format!(
                "{repeated} behind {}",
                if beginning.is_empty() {
                    "nothing"
                } else {
                    &beginning
                }
            ));
            if repeated > best.0 {
                best = (repeated, beginning);
            }
        }
        tracing::info!(
            "characters of {} training documents that the model goes on with: {}. Prompts begin with {}",
            tried.len(),
            told.join(", "),
            if best.1.is_empty() { "nothing" } else { &best.1 }
        );
        Ok(best.1)
    }
}

impl Sender<'_> {
    fn sent<'a>(
        &self,
        request: Option<Request<'a>>,
        prompt: &str,
        strategy: &Strategy,
        seed: u64,
    ) -> Sent<'a> {
        let text = self.client.text(prompt);
        let body = self.client.body(&text, strategy, seed, self.new_tokens);
        let identity = journal::identity(&self.served.endpoint.url, &body);
        Sent {
            request,
            text,
            body,
            identity,
        }
    }

    /// The answers to all requests, each kept as it comes.
    fn answers(&self, sent: &[Sent<'_>]) -> Result<BTreeMap<String, Answer>, Error> {
        let (endpoint, journal) = (&self.served.endpoint, self.journal);
        let mut known = BTreeSet::new();
        let open: Vec<&Sent<'_>> = sent
            .iter()
            .filter(|sent| !journal.holds(&sent.identity) && known.insert(&sent.identity))
            .collect();
        self.served.check_count(open.len())?;
        tracing::info!(
            "{} requests to {} ({} at {}), {} answered before",
            open.len(),
            endpoint.host().unwrap_or_default(),
            endpoint.model,
            endpoint.url,
            sent.iter().filter(|sent| journal.holds(&sent.identity)).count()
        );
        let next = AtomicUsize::new(0);
        let progress = Mutex::new(Progress::new("asking", open.len() as u64, "requests"));
        let ask_one_by_one = || -> Result<(), Error> {
            while let Some(sent) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.client.ask(&sent.body).inspect_err(|_| {
                    // The others end with what they are at.
                    next.store(open.len(), Ordering::Relaxed);
                })?;
                journal.keep(&sent.identity, answer)?;
                progress
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .advance(1, "");
            }
            Ok(())
        };
        let ask_one_by_one = &ask_one_by_one;
        let answered = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..endpoint.at_once.min(open.len()))
                .map(|_| scope.spawn(ask_one_by_one))
                .collect();
            let lost = |_| {
                Err(Error::Run(
                    "a thread that asks the endpoint ended early".to_owned(),
                ))
            };
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(lost));
            ended.collect::<Result<Vec<()>, _>>()
        });
        answered.map_err(|error| {
            let kept = journal.len();
            Error::Run(format!(
                "{error}. {kept} answers are kept; the same command goes on from there"
            ))
        })?;
        Ok(sent
            .iter()
            .filter_map(|sent| Some((sent.identity.clone(), journal.get(&sent.identity)?)))
            .collect())
    }
}

/// What a person should know of the answers.
fn remark(answers: &BTreeMap<String, Answer>) {
    let count = |is_so: &dyn Fn(&Answer) -> bool| answers.values().filter(|answer| is_so(answer)).count();
    let filtered = count(&|answer| answer.finish.as_deref() == Some("content_filter"));
    if filtered > 0 {
        tracing::warn!(
            "{filtered} of {} answers were cut by the server's own filter: they show less than the model knows",
            answers.len()
        );
    }
    let empty = count(&|answer| answer.text.trim().is_empty());
    if empty > 0 {
        tracing::warn!("{empty} of {} answers are empty", answers.len());
    }
    let tokens: u64 = answers.values().filter_map(|answer| answer.tokens).sum();
    if tokens > 0 {
        tracing::info!("{tokens} tokens read and written, by the server's count");
    }
}

/// How many characters two texts begin with alike, blanks before them aside.
fn common_characters(one: &str, other: &str) -> usize {
    let pairs = one.trim_start().chars().zip(other.trim_start().chars());
    pairs.take_while(|(left, right)| left == right).count()
}
