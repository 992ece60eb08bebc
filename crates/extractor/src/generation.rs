//! Generation in batches: each prompt is read once for all its samples, and rows that have ended leave.

use std::time::Instant;

use causal_lm::{KvCache, LeftPadding, TextTokenizer};
use contract::pipeline::{Extraction, Strategy};
use contract::records::{Finish, Sample};
use contract::{Error, Progress};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Reader;
use crate::prompts::Prompt;
use crate::sampling::Scheme;

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
struct Request<'a> {
    sample_id: usize,
    prompt_index: usize,
    prompt: &'a Prompt,
    strategy: &'a Strategy,
    seed: u64,
}

/// A generation under way.
struct Row<'a> {
    request: Request<'a>,
    random: ChaCha8Rng,
    generated: Vec<i64>,
    logprobs: Vec<f32>,
    finish: Option<Finish>,
}

/// Draws every sample of every strategy from every prompt.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub fn generate(
    reader: &Reader,
    settings: &Extraction,
    prompts: &[Prompt],
    seed: u64,
) -> Result<Drawn, Error> {
    let mut requests = requests(prompts, &settings.strategy, seed);
    // Like lengths together; prompts of one length need no padding at all.
    requests.sort_by_key(|request| (request.prompt.tokens.len(), request.sample_id));
    let mut progress = Progress::new("generating", requests.len() as u64, "generations");
    let started = Instant::now();
    let mut samples = Vec::with_capacity(requests.len());
    let mut tokens = 0;
    for chunk in requests.chunks(settings.batch_size) {
        let rows = generate_batch(reader, settings.new_tokens, chunk)?;
        for row in rows {
            tokens += row.generated.len();
            samples.push(sample(row, &reader.tokenizer)?);
        }
        progress.advance(
            chunk.len() as u64,
            &format!("{:.0} tokens/s", tokens as f64 / started.elapsed().as_secs_f64()),
        );
    }
    samples.sort_by_key(|sample| sample.sample_id);
    Ok(Drawn {
        samples,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn requests<'a>(prompts: &'a [Prompt], strategies: &'a [Strategy], seed: u64) -> Vec<Request<'a>> {
    let mut requests = Vec::new();
    for (prompt_index, prompt) in prompts.iter().enumerate() {
        for strategy in strategies {
            let samples = if Scheme::from(strategy).is_greedy() {
                1
            } else {
                strategy.samples
            };
            for number in 0..samples {
                // Generations from nothing have no document; their place in the list tells them apart.
                let identity = prompt
                    .doc_id
                    .clone()
                    .unwrap_or_else(|| format!("\u{0}{prompt_index}"));
                let identity = format!("{identity}\u{0}{}\u{0}{number}", strategy.name);
                requests.push(Request {
                    sample_id: requests.len(),
                    prompt_index,
                    prompt,
                    strategy,
                    seed: xxh3_64_with_seed(identity.as_bytes(), seed),
                });
            }
        }
    }
    requests
}

fn generate_batch<'a>(
    reader: &Reader,
    new_tokens: usize,
    requests: &[Request<'a>],
) -> Result<Vec<Row<'a>>, Error> {
    let _guard = tch::no_grad_guard();
    let model = &reader.model;
    let device = model.device();
    let (mut cache, mut padding, mut logits) = read_prompts(reader, new_tokens, requests)?;
    let mut rows: Vec<Row> = requests
        .iter()
        .map(|&request| Row {
            request,
            random: ChaCha8Rng::seed_from_u64(request.seed),
            generated: Vec::with_capacity(new_tokens),
            logprobs: Vec::with_capacity(new_tokens),
            finish: None,
        })
        .collect();
    let mut active: Vec<usize> = (0..rows.len()).collect();
    for drawn in 1..=new_tokens {
        let next = draw(&mut rows, &active, &logits, &model.config.end_tokens)?;
        let going: Vec<i64> = (0..active.len())
            .filter(|&place| rows[active[place]].finish.is_none())
            .map(|place| place as i64)
            .collect();
        if going.is_empty() || drawn == new_tokens {
            break;
        }
        let mut next = Tensor::from_slice(&next).to_device(device);
        if (going.len() as f64) < LEAVE_AT * active.len() as f64 {
            let staying = Tensor::from_slice(&going).to_device(device);
            next = next.index_select(0, &staying);
            cache = cache.select(&staying)?;
            padding = padding.map(|padding| padding.select(&staying)).transpose()?;
            active = going.into_iter().map(|place| active[place as usize]).collect();
        }
        let hidden = model.hidden(&next.unsqueeze(1), padding.as_ref(), Some(&mut cache))?;
        logits = model.logits(&hidden.squeeze_dim(1))?;
    }
    Ok(rows)
}

/// Reads each distinct prompt of a batch once; returns a cache and the logits of the first new token with one row per
/// request.
fn read_prompts(
    reader: &Reader,
    new_tokens: usize,
    requests: &[Request],
) -> Result<(KvCache, Option<LeftPadding>, Tensor), Error> {
    let model = &reader.model;
    let mut distinct: Vec<&Request> = Vec::new();
    let mut places = Vec::with_capacity(requests.len());
    for request in requests {
        let place = distinct
            .iter()
            .position(|seen| seen.prompt_index == request.prompt_index);
        places.push(place.unwrap_or(distinct.len()) as i64);
        if place.is_none() {
            distinct.push(request);
        }
    }
    // Where nothing at all stands before the first new token, the token that begins a text does.
    let begin = |prompt: &Prompt| match (&reader.begin[..], prompt.tokens.is_empty()) {
        ([], true) => vec![model.config.begin_token],
        (begin, _) => begin.to_vec(),
    };
    let read: Vec<Vec<i64>> = distinct
        .iter()
        .map(|request| [begin(request.prompt), request.prompt.tokens.clone()].concat())
        .collect();
    let longest = read.iter().map(Vec::len).max().unwrap_or(0);
    let mut tokens = Vec::with_capacity(distinct.len() * longest);
    let mut missing = Vec::with_capacity(distinct.len());
    for row in &read {
        let pad = longest - row.len();
        missing.push(pad as i64);
        tokens.extend(std::iter::repeat_n(model.config.end_token(), pad));
        tokens.extend(row);
    }
    let device = model.device();
    let tokens = Tensor::from_slice(&tokens)
        .view([distinct.len() as i64, longest as i64])
        .to_device(device);
    let padding = LeftPadding::new(&missing, device);
    let mut cache = model.cache(longest + new_tokens);
    let hidden = model.hidden(&tokens, padding.as_ref(), Some(&mut cache))?;
    let last = model.logits(&hidden.select(1, longest as i64 - 1))?;
    let places = Tensor::from_slice(&places).to_device(device);
    let padding = padding.map(|padding| padding.select(&places)).transpose()?;
    Ok((cache.select(&places)?, padding, last.index_select(0, &places)))
}

/// Draws one token for every active row; returns them, whatever for rows that have ended.
fn draw(rows: &mut [Row], active: &[usize], logits: &Tensor, end_tokens: &[i64]) -> Result<Vec<i64>, Error> {
    let vocabulary = logits.size2().map_err(causal_lm::Error::from)?.1 as usize;
    let logprobs = floats(&logits.log_softmax(-1, Kind::Float))?;
    let logits = floats(logits)?;
    let mut next = Vec::with_capacity(active.len());
    for (place, &index) in active.iter().enumerate() {
        let row = &mut rows[index];
        if row.finish.is_some() {
            next.push(end_tokens[0]);
            continue;
        }
        let span = place * vocabulary..(place + 1) * vocabulary;
        let token =
            Scheme::from(row.request.strategy).draw(&logits[span.clone()], row.random.random::<f64>());
        row.generated.push(token as i64);
        row.logprobs.push(logprobs[span][token]);
        if end_tokens.contains(&(token as i64)) {
            row.finish = Some(Finish::End);
        }
        next.push(token as i64);
    }
    Ok(next)
}

/// A tensor's numbers, row by row.
pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let flat = tensor
        .f_to_kind(Kind::Float)
        .and_then(|tensor| tensor.f_contiguous())
        .and_then(|tensor| tensor.f_view([-1]));
    Ok(flat
        .and_then(|flat| Vec::<f32>::try_from(&flat))
        .map_err(causal_lm::Error::from)?)
}

fn sample(row: Row, tokenizer: &TextTokenizer) -> Result<Sample, Error> {
    let Request {
        sample_id,
        prompt,
        strategy,
        seed,
        ..
    } = row.request;
    let narrow = |tokens: &[i64]| tokens.iter().map(|&token| token as i32).collect();
    let truth = if prompt.truth.is_empty() {
        None
    } else {
        Some(tokenizer.decode(&prompt.truth)?)
    };
    Ok(Sample {
        sample_id: sample_id as i64,
        doc_id: prompt.doc_id.clone(),
        split: prompt.split,
        copies: prompt.copies,
        strategy: strategy.name.clone(),
        prompt: tokenizer.decode(&prompt.tokens)?,
        generation: tokenizer.decode(&row.generated)?,
        truth,
        prompt_tokens: narrow(&prompt.tokens),
        generated_tokens: narrow(&row.generated),
        logprobs: row.logprobs,
        temperature: strategy.temperature as f32,
        top_p: strategy.top_p as f32,
        top_k: strategy.top_k as i32,
        seed: seed as i64,
        finish: row.finish.unwrap_or(Finish::Length),
    })
}
