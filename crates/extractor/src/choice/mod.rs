//! The choice of each row's next token from its logits, and what the rows have written.
//!
//! Two ways give the same tokens: [`ComputePath::Host`] copies the logits of every step to the processor and chooses there;
//! [`ComputePath::Device`] chooses where the logits are, and copies nothing within a step. Both truncate as [`crate::sampling`] says and
//! draw token i of a row with the same number, so that greedy decoding is equal token by token, and so are draws, but for numbers that
//! fall within rounding of the border between two tokens.
//!
//! ```
//! use contract::pipeline::ComputePath;
//! use extractor::choice::{self, Row};
//! use extractor::sampling::SamplingParams;
//! use tch::{Device, Tensor};
//!
//! # fn main() -> Result<(), contract::Error> {
//! let params = SamplingParams { temperature: 1.0, top_k: 2, top_p: 1.0 };
//! let rows = vec![Row { params, uniforms: vec![0.9] }];
//! let mut choice = choice::start(ComputePath::Device, rows, &[0], Device::Cpu)?;
//! // Of three tokens the first two are kept, with probabilities 2/3 and 1/3.
//! let logits = Tensor::from_slice(&[2.0_f32, 1.0, 0.1]).log().unsqueeze(0);
//! choice.choose(&logits)?;
//! assert_eq!(choice.finish()?[0].tokens, [1]);
//! # Ok(())
//! # }
//! ```

mod device;
mod host;
mod truncation;

use std::fmt::Debug;

use contract::Error;
use contract::pipeline::ComputePath;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use crate::sampling::SamplingParams;

pub(crate) use device::pieces;
pub(crate) use truncation::Truncation;

/// How a row's tokens are drawn.
#[derive(Debug, Clone)]
pub struct Row {
    /// How its distributions are truncated.
    pub params: SamplingParams,
    /// The number in [0, 1) that draws each of its tokens.
    pub uniforms: Vec<f64>,
}

impl Row {
    /// A row of up to `new_tokens` tokens, whose numbers follow from `seed`.
    pub fn new(params: SamplingParams, seed: u64, new_tokens: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self {
            params,
            uniforms: (0..new_tokens).map(|_| random.random()).collect(),
        }
    }
}

/// What a row has written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// Its tokens; the last may be one that ends a text.
    pub tokens: Vec<i64>,
    /// The natural logarithm of each one's probability, before any truncation.
    pub logprobs: Vec<f32>,
    /// Whether its last token ends a text.
    pub ended: bool,
}

/// Chooses the tokens of a batch's rows, step by step.
pub trait TokenChoice: Debug {
    /// Chooses a token for each row by its logits `[rows, vocabulary]` (float32), and gives them as `[rows]` (int64) on the device of
    /// the logits. Rows that have ended are given some token; what is chosen for them does not count.
    ///
    /// # Errors
    /// [`Error::Run`] where LibTorch fails, or a row has had all its tokens.
    fn choose(&mut self, logits: &Tensor) -> Result<Tensor, Error>;

    /// The places of the rows that have not ended; none where that is not looked up after this step, since it would mean to wait for the
    /// device.
    ///
    /// # Errors
    /// [`Error::Run`] where LibTorch fails.
    fn running(&self) -> Result<Option<Vec<i64>>, Error>;

    /// Goes on with the rows in these places alone, in this order. Rows that have not ended must be among them.
    ///
    /// # Errors
    /// [`Error::Run`] where LibTorch fails.
    fn select(&mut self, places: &[i64]) -> Result<(), Error>;

    /// What each of the rows that there were at the start has written.
    ///
    /// # Errors
    /// [`Error::Run`] where LibTorch fails.
    fn finish(self: Box<Self>) -> Result<Vec<Written>, Error>;
}

/// Starts to choose for rows of a batch, until one of `end_tokens` ends them. All rows have as many numbers to draw with.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails, or the rows differ in their numbers.
pub fn start(
    path: ComputePath,
    rows: Vec<Row>,
    end_tokens: &[i64],
    device: Device,
) -> Result<Box<dyn TokenChoice>, Error> {
    let new_tokens = rows.first().map_or(0, |row| row.uniforms.len());
    if rows.iter().any(|row| row.uniforms.len() != new_tokens) {
        let problem =
            format!("expected {new_tokens} numbers to draw each row of a batch with, found another count");
        return Err(Error::Run(problem));
    }
    Ok(match path {
        ComputePath::Host => Box::new(host::HostChoice::new(rows, end_tokens, device)),
        ComputePath::Device => Box::new(device::DeviceChoice::new(&rows, end_tokens, device)?),
    })
}

/// A token that may come next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NextToken {
    /// The token.
    pub token: i64,
    /// Natural logarithm of its probability under the sampling parameters; finite.
    pub log_probability: f64,
    /// The same before any truncation.
    pub logprob: f32,
}

/// The `most` most probable next tokens of each row that can be drawn at all, by logits `[rows, vocabulary]`, the most probable first; of
/// equally probable ones the first in order of token id. `params` are those of each row.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails.
pub fn next_tokens(
    path: ComputePath,
    logits: &Tensor,
    params: &[SamplingParams],
    most: usize,
) -> Result<Vec<Vec<NextToken>>, Error> {
    match path {
        ComputePath::Host => host::next_tokens(logits, params, most),
        ComputePath::Device => Ok(device::next_tokens(logits, params, most).map_err(causal_lm::Error::from)?),
    }
}
