//! How fast this machine computes, measured on a small random model of a given width: what `plan --estimate` needs to tell the
//! time of a run.

use std::time::{Duration, Instant};

use causal_lm::{CausalLm, arithmetic};
use contract::Error;
use contract::pipeline::{Architecture, Precision};
use serde::Serialize;
use tch::{Device, Tensor};

use crate::gradients::{Backward, Gradients};
use crate::rows::Batch;

/// Layers of the model that is measured: rates are per operation, so that two stand for all.
const LAYERS: usize = 2;

/// Widest matrices that are measured; wider ones are as fast.
const MAX_WIDTH: usize = 1024;

/// Most tokens of the vocabulary.
const MAX_VOCABULARY: usize = 8192;

/// Tokens of a row in training, and rows of a pass.
const ROW: usize = 200;
const ROWS: usize = 16;

/// Rows that are decoded together, behind prompts of so many tokens.
const DECODED_ROWS: usize = 64;
const PROMPT: usize = 30;

/// How long each of the two measurements goes on, once it is warm.
const SECONDS: f64 = 0.7;

/// The command line of `tuner speed`.
#[derive(Debug, Clone, clap::Args)]
pub struct SpeedArguments {
    /// Width of the model
    #[arg(long, value_name = "N", default_value_t = 768, value_parser = clap::value_parser!(u32).range(8..))]
    pub width: u32,

    /// Tokens of its vocabulary
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(2..))]
    pub vocabulary: u32,

    /// The model is so small that the extractor decodes with a copy of it on each thread
    #[arg(long)]
    pub side_by_side: bool,

    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
}

/// Rates of arithmetic, in 10⁹ operations a second, where a product of two numbers and their sum are two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasuredSpeed {
    /// Of forward and backward passes of full tuning.
    pub training_gflops: f64,
    /// Of generation in batches.
    pub decoding_gflops: f64,
}

/// Measures, in a second or two.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails.
pub fn measure_speed(arguments: &SpeedArguments) -> Result<MeasuredSpeed, Error> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.map_or(cores, |threads| threads as usize);
    // Whole heads of 32.
    let width = (arguments.width as usize)
        .clamp(32, MAX_WIDTH)
        .next_multiple_of(32);
    let shape = Architecture {
        layers: LAYERS,
        width,
        heads: width / 32,
        context: ROW,
        vocabulary: (arguments.vocabulary as usize).min(MAX_VOCABULARY),
    };
    tch::set_num_threads(threads as i32);
    let training_gflops = training(&shape)?;
    let copies = if arguments.side_by_side { threads } else { 1 };
    if arguments.side_by_side {
        tch::set_num_threads(1);
    }
    Ok(MeasuredSpeed {
        training_gflops,
        decoding_gflops: copies as f64 * decoding(&shape)?,
    })
}

/// Operations of a forward pass for a token in a text of `length` tokens, as `plan` counts them.
fn forward_operations(shape: &Architecture, length: usize) -> f64 {
    let multiplied = 12 * shape.layers * shape.width * shape.width + shape.vocabulary * shape.width;
    (2 * multiplied + 2 * shape.layers * shape.width * length) as f64
}

fn random_model(shape: &Architecture) -> Result<CausalLm, Error> {
    Ok(CausalLm::random(shape, 0, 0, Device::Cpu)?)
}

fn training(shape: &Architecture) -> Result<f64, Error> {
    let mut model = random_model(shape)?;
    model.tune_all(arithmetic(Precision::Auto, Device::Cpu))?;
    let trainable = model.trainable();
    let backward = Backward::new(&model, &trainable, false);
    let tokens = random_tokens(shape, ROWS * ROW);
    let targets = (0..ROWS * ROW)
        .map(|place| (place % shape.vocabulary) as i64)
        .collect();
    let batch = Batch {
        tokens,
        lengths: vec![ROW as i64; ROWS],
        target_positions: None,
        targets,
        weights: vec![1.0; ROWS * ROW],
        reported: vec![1.0; ROWS * ROW],
        on_device: None,
    };
    let operations = 3.0 * forward_operations(shape, ROW) * (ROWS * ROW) as f64;
    let seconds = seconds_of(|| {
        let mut gradients = Gradients::none(backward.count());
        backward.pass(&model, &batch, 1.0, 0, &mut gradients)?;
        Ok(())
    })?;
    Ok(operations / seconds / 1e9)
}

fn decoding(shape: &Architecture) -> Result<f64, Error> {
    let _guard = tch::no_grad_guard();
    let mut model = random_model(shape)?;
    model.prepare_to_decode()?;
    let steps = 16;
    let prompts = random_tokens(shape, DECODED_ROWS * PROMPT).view([DECODED_ROWS as i64, PROMPT as i64]);
    let next = random_tokens(shape, DECODED_ROWS).view([DECODED_ROWS as i64, 1]);
    let mut warm = false;
    let (mut spent, mut rounds) = (Duration::ZERO, 0);
    while spent.as_secs_f64() < SECONDS {
        let mut cache = model.cache(PROMPT + steps);
        drop(model.hidden(&prompts, None, Some(&mut cache))?);
        let started = Instant::now();
        for _ in 0..steps {
            let hidden = model.hidden(&next, None, Some(&mut cache))?;
            let logits = model.logits(&hidden.squeeze_dim(1))?;
            // As the extractor does, which records the probability of each token.
            let (logprobs, _) = logits
                .f_log_softmax(-1, tch::Kind::Float)
                .and_then(|logprobs| logprobs.f_max_dim(-1, false))
                .map_err(causal_lm::Error::from)?;
            drop(logprobs);
        }
        if warm {
            spent += started.elapsed();
            rounds += 1;
        }
        warm = true;
    }
    let tokens = (rounds * steps * DECODED_ROWS) as f64;
    let operations = forward_operations(shape, PROMPT + steps / 2) * tokens;
    Ok(operations / spent.as_secs_f64() / 1e9)
}

/// Seconds that some work takes on average, after it was done once.
fn seconds_of(mut work: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    work()?;
    let (started, mut times) = (Instant::now(), 0);
    while started.elapsed().as_secs_f64() < SECONDS {
        work()?;
        times += 1;
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(times))
}

/// Tokens `[count]` that spread over the vocabulary.
fn random_tokens(shape: &Architecture, count: usize) -> Tensor {
    let tokens: Vec<i64> = (0..count)
        .map(|place| (place.wrapping_mul(2_654_435_761) % shape.vocabulary) as i64)
        .collect();
    Tensor::from_slice(&tokens)
}
