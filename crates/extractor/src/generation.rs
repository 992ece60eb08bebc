//! Generation in batches: each prompt is read once for all its samples, and rows that have ended leave.

use std::collections::BTreeMap;
use std::time::Instant;

use contract::pipeline::{Extraction, Strategy};
use contract::records::{Finish, PromptForm, Sample};
use contract::{Error, Progress};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::batch::Batch;
use crate::prompts::{Prompt, Prompts};
use crate::sampling::Scheme;
use crate::{Reader, beams, optimised};

/// Share of the rows still going under which the others leave the batch: leaving copies the cache.
const LEAVE_AT: f64 = 0.75;

/// All generations, and how fast they came.
#[derive(Debug)]
pub struct Drawn {
    /// One row per generation, in order of `sample_id`.
    pub samples: Vec<Sample>,
    /// Seconds that generation took.
    pub seconds: f64,
}

/// A generation to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
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
    pub(crate) finish: Option<Finish>,
    /// Tokens that were read for it.
    pub(crate) tokens_read: usize,
}

/// Draws every sample of every strategy from every prompt.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub fn generate(
    reader: &Reader,
    settings: &Extraction,
    prompts: &Prompts,
    seed: u64,
) -> Result<Drawn, Error> {
    let requests = requests(prompts, &settings.strategy, seed);
    let mut progress = Progress::new("generating", requests.len() as u64, "generations");
    let started = Instant::now();
    let mut generations: Vec<Generation> = Vec::with_capacity(requests.len());
    let mut tokens = 0;
    let (mut draws, mut searches) = (Vec::new(), Vec::new());
    for request in requests {
        let Strategy { beams, prompt, .. } = request.strategy;
        if *beams > 0 || *prompt == PromptForm::Optimised {
            searches.push(request);
        } else {
            draws.push(request);
        }
    }
    let mut told = |made: &[Generation], requests: usize| {
        tokens += made.iter().map(|made| made.generated.len()).sum::<usize>();
        let speed = tokens as f64 / started.elapsed().as_secs_f64();
        progress.advance(requests as u64, &format!("{speed:.0} tokens/s"));
    };
    // Like lengths together; prompts of one length need no padding at all.
    draws.sort_by_key(|request| {
        (
            request.prompt.tokens.len(),
            request.prompt_index,
            request.strategy_index,
            request.number,
        )
    });
    for chunk in draws.chunks(settings.batch_size) {
        let made = draw_batch(reader, settings.new_tokens, chunk)?;
        told(&made, chunk.len());
        generations.extend(made);
    }
    let (beams, optimised): (Vec<_>, Vec<_>) = searches
        .into_iter()
        .partition(|request| request.strategy.beams > 0);
    for chunk in beams::batches(&beams, settings.batch_size) {
        let made = beams::search(reader, settings.new_tokens, chunk)?;
        told(&made, chunk.len());
        generations.extend(made);
    }
    for request in optimised {
        let made = optimised::search(reader, settings.new_tokens, request)?;
        told(std::slice::from_ref(&made), 1);
        generations.push(made);
    }
    generations.sort_by_key(|made| {
        (
            made.request.prompt_index,
            made.request.strategy_index,
            made.request.number,
        )
    });
    let mut truths = BTreeMap::new();
    let samples = generations
        .into_iter()
        .enumerate()
        .map(|(id, made)| sample(id, made, reader, &mut truths))
        .collect::<Result<_, _>>()?;
    Ok(Drawn {
        samples,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// What is to be made: each strategy with each of its prompts, as often as it asks for samples. A search gives them all at
/// once, and so do strategies that always give the same.
fn requests<'a>(prompts: &'a Prompts, strategies: &'a [Strategy], seed: u64) -> Vec<Request<'a>> {
    let mut requests = Vec::new();
    for (strategy_index, strategy) in strategies.iter().enumerate() {
        let is_search = strategy.beams > 0 || strategy.prompt == PromptForm::Optimised;
        let is_draw = !Scheme::from(strategy).is_greedy() && !is_search;
        let mut begun_from_nothing = false;
        for &prompt_index in &prompts.of_strategy[strategy_index] {
            let prompt = &prompts.all[prompt_index];
            let is_nothing = prompt.form == PromptForm::Nothing;
            let samples = match (is_draw, is_nothing) {
                // From nothing there are as many prompts as generations are asked for, all alike.
                (true, true) => 1,
                (true, false) => strategy.samples,
                (false, true) if begun_from_nothing => 0,
                (false, _) => 1,
            };
            begun_from_nothing |= is_nothing;
            for number in 0..samples {
                // Prompts without a document are told apart by their place in the list.
                let document = prompt.doc_id.clone();
                let identity = document.unwrap_or_else(|| format!("\u{0}{}", prompt.number));
                let identity = format!("{identity}\u{0}{}\u{0}{number}", strategy.name);
                requests.push(Request {
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
    requests
}

/// A draw under way.
struct Row<'a> {
    generation: Generation<'a>,
    scheme: Scheme,
    random: ChaCha8Rng,
}

fn draw_batch<'a>(
    reader: &Reader,
    new_tokens: usize,
    requests: &[Request<'a>],
) -> Result<Vec<Generation<'a>>, Error> {
    let (distinct, places) = distinct_prompts(requests);
    let mut batch = Batch::read(reader, &distinct, new_tokens)?;
    if distinct.len() < requests.len() {
        batch.select(&places)?;
    }
    let end_tokens = &reader.model.config.end_tokens;
    let mut rows: Vec<Row> = requests
        .iter()
        .map(|&request| Row {
            scheme: Scheme::from(request.strategy),
            random: ChaCha8Rng::seed_from_u64(request.seed),
            generation: Generation::new(request, new_tokens),
        })
        .collect();
    let mut active: Vec<usize> = (0..rows.len()).collect();
    for drawn in 1..=new_tokens {
        let mut next = draw(&mut rows, &active, &batch, end_tokens)?;
        let going: Vec<i64> = (0..active.len())
            .filter(|&place| rows[active[place]].generation.finish.is_none())
            .map(|place| place as i64)
            .collect();
        if going.is_empty() || drawn == new_tokens {
            break;
        }
        if (going.len() as f64) < LEAVE_AT * active.len() as f64 {
            batch.select(&going)?;
            next = going.iter().map(|&place| next[place as usize]).collect();
            active = going.into_iter().map(|place| active[place as usize]).collect();
        }
        batch.advance(&next)?;
    }
    Ok(rows
        .into_iter()
        .map(|Row { mut generation, .. }| {
            generation.tokens_read += generation.generated.len();
            generation
        })
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

/// Draws one token for every active row; returns them, whatever for rows that have ended.
fn draw(rows: &mut [Row], active: &[usize], batch: &Batch, end_tokens: &[i64]) -> Result<Vec<i64>, Error> {
    let logits = batch.next()?;
    let mut next = Vec::with_capacity(active.len());
    for (place, &index) in active.iter().enumerate() {
        let Row {
            generation,
            scheme,
            random,
        } = &mut rows[index];
        if generation.finish.is_some() {
            next.push(end_tokens[0]);
            continue;
        }
        let token = scheme.draw(logits.row(place), random.random::<f64>());
        generation.generated.push(token as i64);
        generation.logprobs.push(logits.logprob(place, token));
        if end_tokens.contains(&(token as i64)) {
            generation.finish = Some(Finish::End);
        }
        next.push(token as i64);
    }
    Ok(next)
}

impl<'a> Generation<'a> {
    fn new(request: Request<'a>, new_tokens: usize) -> Self {
        let first = request.number == 0;
        Self {
            request,
            prompt_tokens: request.prompt.tokens.clone(),
            generated: Vec::with_capacity(new_tokens),
            logprobs: Vec::with_capacity(new_tokens),
            finish: None,
            tokens_read: if first { request.prompt.tokens.len() } else { 0 },
        }
    }
}

fn sample(
    id: usize,
    made: Generation,
    reader: &Reader,
    truths: &mut BTreeMap<usize, Option<String>>,
) -> Result<Sample, Error> {
    let Request {
        prompt,
        strategy,
        prompt_index,
        seed,
        ..
    } = made.request;
    let tokenizer = &reader.tokenizer;
    let narrow = |tokens: &[i64]| tokens.iter().map(|&token| token as i32).collect();
    if let std::collections::btree_map::Entry::Vacant(place) = truths.entry(prompt_index) {
        place.insert(match prompt.truth.is_empty() {
            true => None,
            false => Some(tokenizer.decode(&prompt.truth)?),
        });
    }
    Ok(Sample {
        sample_id: id as i64,
        doc_id: prompt.doc_id.clone(),
        split: prompt.split,
        copies: prompt.copies,
        strategy: strategy.name.clone(),
        prompt: tokenizer.decode(&made.prompt_tokens)?,
        generation: tokenizer.decode(&made.generated)?,
        truth: truths[&prompt_index].clone(),
        prompt_tokens: narrow(&made.prompt_tokens),
        generated_tokens: narrow(&made.generated),
        logprobs: made.logprobs,
        temperature: strategy.temperature as f32,
        top_p: strategy.top_p as f32,
        top_k: strategy.top_k as i32,
        seed: seed as i64,
        finish: made.finish.unwrap_or(Finish::Length),
        prompt_form: Some(prompt.form),
        tokens_read: Some(made.tokens_read as i64),
        lower_case_loss: None,
        reference_loss: None,
        zlib_bytes: None,
    })
}
