//! How fast this machine computes, measured on a small random model of a given width: what `plan --estimate` needs to tell the
//! time of a run.

use std::time::{Duration, Instant};

use causal_lm::{CausalLm, arithmetic};
use contract::Error;
use contract::pipeline::{Architecture, Precision};
use serde::Serialize;
use tch::{Device, Kind, Tensor};
use torch_device::upload::upload;

use crate::DevicePredictions;
use crate::gradients::{Backward, Gradients};
use crate::rows::Batch;
use crate::working_weights::WorkingWeights;

/// Layers of the model that is measured: rates are per operation, so that two stand for all.
const LAYERS: usize = 2;

/// Widest matrices that are measured; wider ones are as fast.
const MAX_WIDTH: usize = 1024;

/// Most tokens of the vocabulary.
const MAX_VOCABULARY: usize = 8192;

/// Tokens of a row in training, and rows of a pass.
const ROW: usize = 200;
const ROWS: usize = 16;

/// The same on a GPU, which is busy with more only.
const GPU_ROW: usize = 1024;
const MAX_GPU_WIDTH: usize = 4096;
const GPU_DECODED_ROWS: usize = 256;

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

    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,

    /// Precision of the arithmetic
    #[arg(long, value_name = "PRECISION", default_value = "auto", value_parser = ["float32", "bf16", "auto"])]
    pub precision: String,

    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threads: Option<u32>,
}

/// Rates of arithmetic, in 10⁹ operations a second, where a product of two numbers and their sum are two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredSpeed {
    /// Of forward and backward passes of full tuning.
    pub training_gflops: f64,
    /// Of generation in batches.
    pub decoding_gflops: f64,
    /// The GPU, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<MeasuredGpu>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeasuredGpu {
    /// What the driver calls it.
    pub name: String,
    /// Bytes of its memory that are free.
    pub free_bytes: u64,
}

/// What is measured, and where.
struct Bench {
    shape: Architecture,
    device: Device,
    kind: Kind,
    /// Tokens of a row in training.
    row: usize,
    decoded_rows: usize,
}

/// Measures, in a second or two.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails.
pub fn measure_speed(arguments: &SpeedArguments) -> Result<MeasuredSpeed, Error> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.map_or(cores, |threads| threads as usize);
    let device = torch_device::device(&arguments.device)?;
    let on_gpu = device != Device::Cpu;
    let free = torch_device::memory::free_bytes(device);
    let precision = match arguments.precision.as_str() {
        "float32" => Precision::Float32,
        "bf16" => Precision::Bf16,
        _ => Precision::Auto,
    };
    let widest = if on_gpu { MAX_GPU_WIDTH } else { MAX_WIDTH };
    // Whole heads of 32, and on a GPU of 64.
    let head = if on_gpu { 64 } else { 32 };
    let width = (arguments.width as usize)
        .clamp(head, widest)
        .next_multiple_of(head);
    let row = if on_gpu { GPU_ROW } else { ROW };
    let bench = Bench {
        shape: Architecture {
            layers: LAYERS,
            width,
            heads: width / head,
            context: row,
            vocabulary: (arguments.vocabulary as usize).min(MAX_VOCABULARY),
        },
        device,
        kind: arithmetic(precision, device),
        row,
        decoded_rows: if on_gpu { GPU_DECODED_ROWS } else { DECODED_ROWS },
    };
    tch::set_num_threads(threads as i32);
    let training_gflops = bench.training()?;
    // A GPU decodes with one copy of a model of any size.
    let side_by_side = arguments.side_by_side && !on_gpu;
    let copies = if side_by_side { threads } else { 1 };
    if side_by_side {
        tch::set_num_threads(1);
    }
    Ok(MeasuredSpeed {
        training_gflops,
        decoding_gflops: copies as f64 * bench.decoding()?,
        gpu: torch_device::gpu_name()
            .zip(free)
            .filter(|_| on_gpu)
            .map(|(name, free_bytes)| MeasuredGpu { name, free_bytes }),
    })
}

/// Operations of a forward pass for a token in a text of `length` tokens, as `plan` counts them.
fn forward_operations(shape: &Architecture, length: usize) -> f64 {
    let multiplied = 12 * shape.layers * shape.width * shape.width + shape.vocabulary * shape.width;
    (2 * multiplied + 2 * shape.layers * shape.width * length) as f64
}

impl Bench {
    fn model(&self) -> Result<CausalLm, Error> {
        Ok(CausalLm::random(&self.shape, 0, 0, self.device)?)
    }

    fn training(&self) -> Result<f64, Error> {
        let count = ROWS * self.row;
        let mut model = self.model()?;
        model.tune_all(self.kind)?;
        let are_copied = model.path().is_device();
        let weights = WorkingWeights::new(&mut model, are_copied)?;
        let backward = Backward::new(&model, &weights.working(), false);
        let targets: Vec<i64> = (0..count)
            .map(|place| (place % self.shape.vocabulary) as i64)
            .collect();
        let ones = vec![1.0; count];
        let on_device = if model.path().is_device() {
            Some(DevicePredictions::new(&targets, &ones, &ones, self.device)?)
        } else {
            None
        };
        let batch = Batch {
            tokens: self.random_tokens(count)?,
            lengths: vec![self.row as i64; ROWS],
            target_positions: None,
            targets,
            weights: ones.clone(),
            reported: ones,
            on_device,
        };
        let operations = 3.0 * forward_operations(&self.shape, self.row) * count as f64;
        let seconds = seconds_of(|| {
            let mut gradients = Gradients::none(backward.count());
            // To know the loss is to wait for it.
            backward.pass(&model, &batch, 1.0, 0, &mut gradients)?.value()?;
            Ok(())
        })?;
        Ok(operations / seconds / 1e9)
    }

    fn decoding(&self) -> Result<f64, Error> {
        let _guard = tch::no_grad_guard();
        let mut model = self.model()?;
        if self.device == Device::Cpu {
            model.prepare_to_decode()?;
        } else {
            model.compute_in(self.kind)?;
        }
        let (steps, rows) = (16, self.decoded_rows);
        let prompts = self
            .random_tokens(rows * PROMPT)?
            .view([rows as i64, PROMPT as i64]);
        let next = self.random_tokens(rows)?.view([rows as i64, 1]);
        let mut warm = false;
        let (mut spent, mut rounds) = (Duration::ZERO, 0);
        while spent.as_secs_f64() < SECONDS {
            let mut cache = model.cache(PROMPT + steps);
            drop(model.hidden(&prompts, None, Some(&mut cache))?);
            let started = Instant::now();
            for step in 1..=steps {
                let hidden = model.hidden(&next, None, Some(&mut cache))?;
                let logits = model.logits(&hidden.squeeze_dim(1))?;
                // As the extractor does, which records the probability of each token.
                let most = logits
                    .f_log_softmax(-1, Kind::Float)
                    .and_then(|logprobs| logprobs.f_max_dim(-1, false))
                    .and_then(|(logprobs, _)| {
                        if step == steps {
                            logprobs.f_to_device(Device::Cpu)
                        } else {
                            Ok(logprobs)
                        }
                    })
                    .map_err(causal_lm::Error::from)?;
                drop(most);
            }
            if warm {
                spent += started.elapsed();
                rounds += 1;
            }
            warm = true;
        }
        let tokens = (rounds * steps * rows) as f64;
        let operations = forward_operations(&self.shape, PROMPT + steps / 2) * tokens;
        Ok(operations / spent.as_secs_f64() / 1e9)
    }

    /// Tokens `[count]` that spread over the vocabulary.
    fn random_tokens(&self, count: usize) -> Result<Tensor, Error> {
        let tokens: Vec<i64> = (0..count)
            .map(|place| (place.wrapping_mul(2_654_435_761) % self.shape.vocabulary) as i64)
            .collect();
        Ok(upload(&tokens, self.device).map_err(causal_lm::Error::from)?)
    }
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
