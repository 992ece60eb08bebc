//! What a model says about each token of a text, read off its logits.
//!
//! [`ComputePath::Host`] copies the logits of each text to the processor; [`ComputePath::Device`] works where they are, on some tokens at a
//! time, and copies one number a token and column.

mod device;
mod host;

use causal_lm::CausalLm;
use contract::Error;
use contract::pipeline::ComputePath;
use tch::Tensor;

use crate::batch::not_finite;
use crate::sampling::SamplingParams;

/// What the model says about each token of a document.
#[derive(Debug, Default, Clone)]
pub(crate) struct TokenScores {
    /// Natural logarithms of their probabilities.
    pub(crate) logprobs: Vec<f32>,
    /// The same under the sampling parameters; −∞ for a token that cannot be drawn.
    pub(crate) scheme_logprobs: Vec<f32>,
    /// Whether each is the most probable.
    pub(crate) argmax_hits: Vec<bool>,
    /// Mean and deviation of the log-probability over the vocabulary, weighted by probability.
    pub(crate) vocab_mean: Vec<f32>,
    pub(crate) vocab_std: Vec<f32>,
}

/// The scores of texts, for each of which `hidden` has the states `[tokens, width]` that predict its tokens.
pub(crate) fn of_texts(
    path: ComputePath,
    model: &CausalLm,
    hidden: &[Tensor],
    texts: &[&[i64]],
    params: &SamplingParams,
) -> Result<Vec<TokenScores>, Error> {
    let scores = match path {
        ComputePath::Host => host::of_texts(model, hidden, texts, params)?,
        ComputePath::Device => device::of_texts(model, hidden, texts, params)?,
    };
    let mut logprobs = scores.iter().flat_map(|scores| &scores.logprobs);
    if logprobs.any(|logprob| logprob.is_nan()) {
        return Err(not_finite());
    }
    Ok(scores)
}
