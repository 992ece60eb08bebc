//! Scores that the host reads off the logits of one text after the other.

use causal_lm::CausalLm;
use contract::Error;
use tch::{Kind, Tensor};

use super::TokenScores;
use crate::batch::floats;
use crate::sampling::{SamplingParams, most_probable};

pub(super) fn of_texts(
    model: &CausalLm,
    hidden: &[Tensor],
    texts: &[&[i64]],
    params: &SamplingParams,
) -> Result<Vec<TokenScores>, Error> {
    hidden
        .iter()
        .zip(texts)
        .map(|(hidden, tokens)| of_text(&model.logits(hidden)?, tokens, params))
        .collect()
}

/// Reads off what the logits `[tokens, vocabulary]` say about `tokens`.
fn of_text(logits: &Tensor, tokens: &[i64], params: &SamplingParams) -> Result<TokenScores, Error> {
    let vocabulary = logits.size2().map_err(causal_lm::Error::from)?.1 as usize;
    let logprobs = logits.log_softmax(-1, Kind::Float);
    let probabilities = logprobs.exp();
    let weighted_sum = |values: &Tensor| (values * &probabilities).sum_dim_intlist(-1, true, Kind::Float);
    let mean = weighted_sum(&logprobs);
    let deviation = weighted_sum(&(&logprobs - &mean).square()).sqrt();
    let (vocab_mean, vocab_std) = (floats(&mean)?, floats(&deviation)?);
    let (logits, logprobs) = (floats(logits)?, floats(&logprobs)?);
    let mut scores = TokenScores {
        vocab_mean,
        vocab_std,
        ..TokenScores::default()
    };
    for (place, &token) in tokens.iter().enumerate() {
        let span = place * vocabulary..(place + 1) * vocabulary;
        let token = token as usize;
        scores.logprobs.push(logprobs[span.clone()][token]);
        scores
            .scheme_logprobs
            .push(params.log_probability(&logits[span.clone()], token) as f32);
        scores.argmax_hits.push(most_probable(&logits[span]) == token);
    }
    Ok(scores)
}
