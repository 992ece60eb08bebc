//! Generation in batches: each prompt is read once for all its samples, and rows that have ended leave.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use causal_lm::KvCache;
use contract::decoding::Decoding;
use contract::parts::Part;
use contract::pipeline::{Extraction, Strategy};
use contract::prompt_form::FormSource;
use contract::records::{FinishReason, Sample};
use contract::{Error, Progress};
use tch::Tensor;
use text_tokens::TextTokenizer;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::batch::{Batch, Room};
use crate::choice::{self, Row, Written};
use crate::prompts::{Prompt, Prompts};
use crate::sampling::SamplingParams;
use crate::{LoadedModel, beams, device_memory, optimised};

/// Share of the rows still going under which the others leave the batch: leaving copies the cache.
const LEAVE_AT: f64 = 0.75;

/// All generations, and how fast they came.
#[derive(Debug)]
pub struct Drawn {
    /// One row per generation, in order of `sample_id`.
    pub samples: Vec<Sample>,
    /// How each came about.
    pub(crate) origins: Vec<Origin>,
    /// Seconds that generation took.
    pub seconds: f64,
}

/// How a sample came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Number of its request among those of all parts; a search gives several samples for one.
    pub(crate) place: i64,
    /// Number of the batch that it was made in.
    pub(crate) batch: usize,
}

/// A generation to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Its number among all requests, by prompt and strategy.
    pub(crate) place: i64,
    pub(crate) prompt_index: usize,
    pub(crate) prompt: &'a Prompt,
    pub(crate) strategy_index: usize,
    pub(crate) strategy: &'a Strategy,
    /// Number among the samples of this prompt and strategy.
    pub(crate) number: usize,
    pub(crate) seed: u64,
}

/// A generation as it came.
#[derive(Debug, Clone)]
pub(crate) struct Generation<'a> {
    pub(crate) request: Request<'a>,
    /// The tokens of the prompt, which a strategy may have changed.
    pub(crate) prompt_tokens: Vec<i64>,
    pub(crate) generated: Vec<i64>,
    pub(crate) logprobs: Vec<f32>,
    pub(crate) finish: Option<FinishReason>,
    /// Tokens that went through the model for it.
    pub(crate) forward_tokens: usize,
}

/// What is made at once.
enum Job<'a> {
    /// Draws, in one batch.
    Draws(Vec<Request<'a>>),
    /// Beam searches, in one batch.
    Beams(Vec<Request<'a>>),
    /// A search for a prompt.
    Prompt(Request<'a>),
}

/// Draws every sample of every strategy from every prompt. Several of the same model work side by side, each on a thread of its own; which of them does what makes no difference to the result.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub fn generate(
    models: &mut [LoadedModel],
    settings: &Extraction,
    prompts: &Prompts,
    seed: u64,
) -> Result<Drawn, Error> {
    generate_part(models, settings, prompts, seed, None)
}

/// The same of those samples alone that a `part` has to draw: its share of the batches.
///
/// # Errors
/// Those of [`generate`].
pub fn generate_part(
    models: &mut [LoadedModel],
    settings: &Extraction,
    prompts: &Prompts,
    seed: u64,
    part: Option<Part>,
) -> Result<Drawn, Error> {
    let requests = requests(prompts, &settings.strategy, seed);
    let longest = requests
        .iter()
        .map(|request| planned_tokens(request, settings))
        .max();
    let longest = longest.unwrap_or(0) + models[0].add_bos(&[]).len();
    let batch_size = device_memory::batch_rows(&models[0].model, settings, longest, requests.len());
    // Batches are those of one process, so that a part rounds as the whole does.
    let jobs: Vec<(usize, Job)> = jobs(requests, settings, batch_size)
        .into_iter()
        .enumerate()
        .filter(|(number, _)| part.is_none_or(|part| part.takes(*number)))
        .collect();
    let count = jobs.iter().map(|(_, job)| job.len()).sum::<usize>();
    let started = Instant::now();
    let work = Mutex::new(Work {
        jobs: jobs.into_iter(),
        progress: Progress::new("generating", count as u64, "generations"),
        tokens: 0,
        started,
    });
    let one_by_one = |model: &LoadedModel| -> Result<Vec<(usize, Generation<'_>)>, Error> {
        let mut made = Vec::new();
        // One batch after the other is decoded in the same memory.
        let mut cache = model.model.cache(0);
        while let Some((number, job)) = next_job(&work) {
            let generations = job.run(model, &mut cache, settings)?;
            report_progress(&work, &job, &generations);
            made.extend(generations.into_iter().map(|generation| (number, generation)));
        }
        Ok(made)
    };
    let one_by_one = &one_by_one;
    let mut generations = match &mut *models {
        [model] => one_by_one(model)?,
        // Each has a thread of its own, and LibTorch starts none beside it.
        models => with_torch_threads(1, || {
            std::thread::scope(|scope| {
                let threads: Vec<_> = models
                    .iter_mut()
                    .map(|model| scope.spawn(move || one_by_one(model)))
                    .collect();
                let ended = threads.into_iter().map(|thread| {
                    let lost = |_| Err(Error::Run("a thread of the generation ended early".to_owned()));
                    thread.join().unwrap_or_else(lost)
                });
                Ok::<_, Error>(ended.collect::<Result<Vec<_>, _>>()?.concat())
            })
        })?,
    };
    let seconds = started.elapsed().as_secs_f64();
    generations.sort_by_key(|(_, made)| (made.request.place, made.request.number));
    let origins = generations.iter().map(|(batch, made)| Origin {
        place: made.request.place,
        batch: *batch,
    });
    let origins = origins.collect();
    let texts = Texts {
        tokenizer: &models[0].tokenizer,
        end_tokens: &models[0].end_tokens,
        special_tokens: &prompts.special_tokens,
    };
    let mut references = BTreeMap::new();
    let samples = generations
        .into_iter()
        .enumerate()
        .map(|(id, (_, made))| texts.sample(id, made, &mut references))
        .collect::<Result<_, _>>()?;
    Ok(Drawn {
        samples,
        origins,
        seconds,
    })
}

/// Does something while LibTorch uses so many threads for each operation.
fn with_torch_threads<T>(threads: i32, what: impl FnOnce() -> T) -> T {
    let before = tch::get_num_threads();
    tch::set_num_threads(threads);
    let result = what();
    tch::set_num_threads(before);
    result
}

/// What is left to do, and how it goes.
struct Work<'a> {
    /// Each with its number.
    jobs: std::vec::IntoIter<(usize, Job<'a>)>,
    progress: Progress,
    tokens: usize,
    started: Instant,
}

fn next_job<'a>(work: &Mutex<Work<'a>>) -> Option<(usize, Job<'a>)> {
    work.lock().unwrap_or_else(PoisonError::into_inner).jobs.next()
}

fn report_progress(work: &Mutex<Work<'_>>, job: &Job<'_>, made: &[Generation<'_>]) {
    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
    work.tokens += made.iter().map(|made| made.generated.len()).sum::<usize>();
    let speed = work.tokens as f64 / work.started.elapsed().as_secs_f64();
    work.progress
        .advance(job.len() as u64, &format!("{speed:.0} tokens/s"));
}

impl<'a> Job<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Draws(requests) | Self::Beams(requests) => requests.len(),
            Self::Prompt(_) => 1,
        }
    }

    fn run(
        &self,
        model: &LoadedModel,
        cache: &mut KvCache,
        settings: &Extraction,
    ) -> Result<Vec<Generation<'a>>, Error> {
        let (ended, requests) = match self {
            Self::Draws(requests) | Self::Beams(requests) => ended(requests),
            Self::Prompt(_) => (Vec::new(), Vec::new()),
        };
        let made = match self {
            Self::Draws(_) | Self::Beams(_) if requests.is_empty() => Vec::new(),
            Self::Draws(_) => draw_batch(model, cache, settings, &requests)?,
            Self::Beams(_) => beams::search(model, cache, settings, &requests)?,
            Self::Prompt(request) => vec![optimised::search(model, cache, settings.new_tokens, *request)?],
        };
        Ok([ended, made].concat())
    }
}

/// The requests whose text has ended before anything is asked for, as generations without anything further, and the others.
fn ended<'a>(requests: &[Request<'a>]) -> (Vec<Generation<'a>>, Vec<Request<'a>>) {
    let has_ended =
        |request: &&Request<'_>| request.prompt.begun.as_ref().is_some_and(|begun| begun.is_ended);
    let (ended, going): (Vec<_>, Vec<_>) = requests.iter().partition(has_ended);
    let nothing = |&request: &Request<'a>| Generation {
        request,
        prompt_tokens: request.prompt.tokens.clone(),
        generated: Vec::new(),
        logprobs: Vec::new(),
        finish: Some(FinishReason::End),
        forward_tokens: request.prompt.tokens.len(),
    };
    (
        ended.into_iter().map(nothing).collect(),
        going.into_iter().copied().collect(),
    )
}

/// Tokens of a request's prompt, as far as the settings and the documents say: who makes which batch must not depend on what was drawn.
fn planned_tokens(request: &Request<'_>, settings: &Extraction) -> usize {
    match request.prompt.form.facts().source {
        FormSource::Model => settings.prefix_tokens,
        _ => request.prompt.tokens.len(),
    }
}

fn jobs<'a>(requests: Vec<Request<'a>>, settings: &Extraction, batch_size: usize) -> Vec<Job<'a>> {
    let (searches, rest): (Vec<_>, Vec<_>) = requests
        .into_iter()
        .partition(|request| request.strategy.decoding() == Decoding::Search);
    let (beams, mut draws): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|request| request.strategy.decoding() == Decoding::Beams);
    // Like lengths together; prompts of one length need no padding at all.
    draws.sort_by_key(|request| {
        (
            planned_tokens(request, settings),
            request.prompt_index,
            request.strategy_index,
            request.number,
        )
    });
    let searches = searches.into_iter().map(Job::Prompt);
    let beams = beams::batches(&beams, batch_size)
        .into_iter()
        .map(|batch| Job::Beams(batch.to_vec()));
    let draws = draws.chunks(batch_size).map(|batch| Job::Draws(batch.to_vec()));
    // What takes longest first, so that no thread is left with it at the end.
    searches.chain(beams).chain(draws).collect()
}

/// What is to be made: each strategy with each of its prompts, as often as it asks for samples. A search gives them all at
/// once, and so do strategies that always give the same.
pub(crate) fn requests<'a>(prompts: &'a Prompts, strategies: &'a [Strategy], seed: u64) -> Vec<Request<'a>> {
    let mut requests = Vec::new();
    for (strategy_index, strategy) in strategies.iter().enumerate() {
        let is_draw = strategy.decoding() == Decoding::Draws;
        // Whether the prompt that is asked again and again was asked.
        let mut is_begun = false;
        for &prompt_index in &prompts.of_strategy[strategy_index] {
            let prompt = &prompts.all[prompt_index];
            let source = prompt.form.facts().source;
            let is_repeated = source == FormSource::Repeated;
            let samples = if is_repeated && is_begun && !is_draw {
                0
            } else if is_draw && !is_repeated && source != FormSource::Model {
                strategy.samples
            } else {
                // From nothing there are as many prompts as generations are asked for.
                1
            };
            is_begun |= is_repeated;
            for number in 0..samples {
                // Prompts without a document are told apart by their place in the list.
                let document = prompt.doc_id.clone();
                let identity = document.unwrap_or_else(|| format!("\u{0}{}", prompt.number));
                let identity = format!("{identity}\u{0}{}\u{0}{number}", strategy.name);
                requests.push(Request {
                    place: 0,
                    prompt_index,
                    prompt,
                    strategy_index,
                    strategy,
                    number,
                    seed: xxh3_64_with_seed(identity.as_bytes(), seed),
                });
            }
        }
    }
    let mut places: Vec<&mut Request> = requests.iter_mut().collect();
    places.sort_by_key(|request| (request.prompt_index, request.strategy_index, request.number));
    for (place, request) in places.into_iter().enumerate() {
        request.place = place as i64;
    }
    requests
}

/// Draws in one batch, token by token, until all rows have ended or have as many tokens as were asked for.
fn draw_batch<'a>(
    model: &LoadedModel,
    cache: &mut KvCache,
    settings: &Extraction,
    requests: &[Request<'a>],
) -> Result<Vec<Generation<'a>>, Error> {
    let _guard = tch::no_grad_guard();
    let device = model.model.device();
    let new_tokens = settings.new_tokens;
    let (distinct, places) = distinct_prompts(requests);
    let room = Room {
        rows: requests.len(),
        new_tokens,
    };
    let mut batch = Batch::read(model, cache, &distinct, room)?;
    if distinct.len() < requests.len() {
        batch.select(&places)?;
    }
    let rows = requests
        .iter()
        .map(|request| Row::new(SamplingParams::from(request.strategy), request.seed, new_tokens));
    let end_tokens = &model.end_tokens;
    let path = torch_device::compute_path(settings.compute_path, device);
    let mut choice = choice::start(path, rows.collect(), end_tokens, device)?;
    let mut count = requests.len();
    for chosen in 1..=new_tokens {
        let mut next = choice.choose(batch.logits())?;
        if chosen == new_tokens {
            break;
        }
        if let Some(running) = choice.running()? {
            if running.is_empty() {
                break;
            }
            if (running.len() as f64) < LEAVE_AT * count as f64 {
                count = running.len();
                batch.select(&running)?;
                choice.select(&running)?;
                let places = Tensor::from_slice(&running).to_device(device);
                next = next.f_index_select(0, &places).map_err(causal_lm::Error::from)?;
            }
        }
        batch.advance(&next)?;
    }
    let written = requests.iter().zip(choice.finish()?);
    Ok(written
        .map(|(&request, written)| Generation::new(request, written))
        .collect())
}

/// The distinct prompts of some requests, and for each request the place of its own among them.
pub(crate) fn distinct_prompts<'a>(requests: &[Request<'a>]) -> (Vec<&'a [i64]>, Vec<i64>) {
    let mut distinct: Vec<&[i64]> = Vec::new();
    let mut known: BTreeMap<usize, i64> = BTreeMap::new();
    let places = requests
        .iter()
        .map(|request| {
            *known.entry(request.prompt_index).or_insert_with(|| {
                distinct.push(&request.prompt.tokens);
                distinct.len() as i64 - 1
            })
        })
        .collect();
    (distinct, places)
}

impl<'a> Generation<'a> {
    fn new(request: Request<'a>, written: Written) -> Self {
        // The prompt is read once for all its samples.
        let prompt = if request.number == 0 {
            request.prompt.tokens.len()
        } else {
            0
        };
        Self {
            request,
            prompt_tokens: request.prompt.tokens.clone(),
            forward_tokens: prompt + written.tokens.len(),
            generated: written.tokens,
            logprobs: written.logprobs,
            finish: written.ended.then_some(FinishReason::End),
        }
    }
}

/// What tokens are as text.
pub(crate) struct Texts<'a> {
    pub(crate) tokenizer: &'a TextTokenizer,
    /// Tokens that end a generation.
    pub(crate) end_tokens: &'a [i64],
    /// Special tokens that are part of the documents' text.
    pub(crate) special_tokens: &'a BTreeSet<i64>,
}

impl Texts<'_> {
    pub(crate) fn decode(&self, tokens: &[i64]) -> Result<String, Error> {
        self.tokenizer.decode_keeping(tokens, self.special_tokens)
    }

    /// A generation without the EOS that ended it, which no document's text has there.
    fn decode_generated(&self, tokens: &[i64]) -> Result<String, Error> {
        match tokens.split_last() {
            Some((last, rest)) if self.end_tokens.contains(last) => self.decode(rest),
            _ => self.decode(tokens),
        }
    }

    pub(crate) fn sample(
        &self,
        id: usize,
        made: Generation,
        references: &mut BTreeMap<usize, Option<String>>,
    ) -> Result<Sample, Error> {
        let Request {
            prompt,
            strategy,
            prompt_index,
            seed,
            ..
        } = made.request;
        let (mut prompt_tokens, mut generated, mut logprobs) =
            (made.prompt_tokens, made.generated, made.logprobs);
        if let Some(begun) = &prompt.begun {
            // The model was given what stands before its own beginning, which is nothing that anybody asked.
            generated.splice(
                0..0,
                prompt_tokens
                    .drain(..)
                    .skip(prompt.tokens.len() - begun.logprobs.len()),
            );
            logprobs.splice(0..0, begun.logprobs.iter().copied());
        }
        let narrow = |tokens: &[i64]| tokens.iter().map(|&token| token as i32).collect();
        if let Entry::Vacant(place) = references.entry(prompt_index) {
            place.insert(if prompt.reference.is_empty() {
                None
            } else {
                Some(self.decode(&prompt.reference)?)
            });
        }
        Ok(Sample {
            sample_id: id as i64,
            doc_id: prompt.doc_id.clone(),
            split: prompt.split,
            copies: prompt.copies,
            strategy: strategy.name.clone(),
            prompt: self.decode(&prompt_tokens)?,
            generation: self.decode_generated(&generated)?,
            truth: references[&prompt_index].clone(),
            prompt_tokens: narrow(&prompt_tokens),
            generated_tokens: narrow(&generated),
            logprobs,
            temperature: strategy.temperature as f32,
            top_p: strategy.top_p as f32,
            top_k: strategy.top_k as i32,
            seed: seed as i64,
            finish: made.finish.unwrap_or(FinishReason::Length),
            prompt_form: Some(prompt.form),
            tokens_read: Some(made.forward_tokens as i64),
            lower_case_loss: None,
            reference_loss: None,
            zlib_bytes: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use contract::records::{PromptForm, Split};

    use super::*;
    use crate::prompts::Begun;

    fn begun(number: usize, length: usize) -> Prompt {
        Prompt {
            doc_id: None,
            split: Split::None,
            copies: 0,
            form: PromptForm::SelfMade,
            number,
            tokens: vec![7; length],
            begun: Some(Begun {
                logprobs: vec![-1.0; length],
                is_ended: false,
            }),
            reference: Vec::new(),
        }
    }

    #[test]
    fn batches_are_the_same_whatever_a_model_makes_up() {
        let settings = Extraction::default();
        let strategies = [Strategy {
            prompt: PromptForm::SelfMade,
            ..Strategy::default()
        }];
        let places = |lengths: [usize; 5]| -> Vec<Vec<i64>> {
            let prompts = Prompts {
                all: lengths
                    .into_iter()
                    .enumerate()
                    .map(|(number, length)| begun(number, length))
                    .collect(),
                of_strategy: vec![(0..lengths.len()).collect()],
                ..Prompts::default()
            };
            let jobs = jobs(requests(&prompts, &strategies, 0), &settings, 2);
            let places = jobs.iter().map(|job| match job {
                Job::Draws(requests) | Job::Beams(requests) => {
                    requests.iter().map(|request| request.place).collect()
                }
                Job::Prompt(request) => vec![request.place],
            });
            places.collect()
        };
        assert_eq!(places([50, 50, 50, 50, 50]), places([50, 3, 50, 1, 20]));
        assert_eq!(places([50, 50, 50, 50, 50]), [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
