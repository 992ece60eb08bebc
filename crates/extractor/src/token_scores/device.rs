//! Scores that are read off where the logits are: only they are copied to the host, once a batch.

use causal_lm::{CausalLm, Error};
use tch::{Kind, Tensor};

use super::TokenScores;
use crate::choice::{Truncation, pieces};
use crate::sampling::SamplingParams;

/// Bytes that the scores take for each logit: logits, log-probabilities, probabilities, and products of them.
const BYTES_PER_LOGIT: u64 = 24;

pub(super) fn of_texts(
    model: &CausalLm,
    hidden: &[Tensor],
    texts: &[&[i64]],
    params: &SamplingParams,
) -> Result<Vec<TokenScores>, Error> {
    let hidden = Tensor::f_cat(hidden, 0)?;
    let tokens: Vec<i64> = texts.iter().flat_map(|tokens| *tokens).copied().collect();
    let tokens = Tensor::f_from_slice(&tokens)?
        .f_to_device(model.device())?
        .f_unsqueeze(1)?;
    let scheme = if params.is_greedy() {
        None
    } else {
        Some(Truncation::new(&[*params], model.device())?)
    };
    let bytes_per_logit = BYTES_PER_LOGIT + scheme.as_ref().map_or(0, Truncation::bytes_per_logit);
    let mut columns = Vec::new();
    for (first, count) in pieces(hidden.size2()?.0, model.config.vocabulary as i64, bytes_per_logit) {
        let logits = model.logits(&hidden.f_narrow(0, first, count)?)?;
        let tokens = tokens.f_narrow(0, first, count)?;
        columns.push(of_tokens(&logits, &tokens, scheme.as_ref())?);
    }
    let columns = Tensor::f_cat(&columns, 0)?.f_tr()?.f_contiguous()?;
    let column = |number: i64| Vec::<f32>::try_from(&columns.f_select(0, number)?);
    let all = TokenScores {
        logprobs: column(0)?,
        scheme_logprobs: column(1)?,
        argmax_hits: column(2)?.into_iter().map(|hit| hit > 0.5).collect(),
        vocab_mean: column(3)?,
        vocab_std: column(4)?,
    };
    let mut start = 0;
    Ok(texts
        .iter()
        .map(|tokens| {
            let span = start..start + tokens.len();
            start = span.end;
            TokenScores {
                logprobs: all.logprobs[span.clone()].to_vec(),
                scheme_logprobs: all.scheme_logprobs[span.clone()].to_vec(),
                argmax_hits: all.argmax_hits[span.clone()].to_vec(),
                vocab_mean: all.vocab_mean[span.clone()].to_vec(),
                vocab_std: all.vocab_std[span].to_vec(),
            }
        })
        .collect())
}

/// What logits `[tokens, vocabulary]` say about `tokens` `[tokens, 1]`: `[tokens, 5]` in float32, in the order of
/// [`TokenScores`].
fn of_tokens(logits: &Tensor, tokens: &Tensor, scheme: Option<&Truncation>) -> Result<Tensor, Error> {
    let logprobs = logits.f_log_softmax(-1, Kind::Float)?;
    let hits = logits.f_argmax(-1, true)?.f_eq_tensor(tokens)?;
    let scheme_logprobs = match scheme {
        // Certainty for the most probable token, nothing for the others.
        None => hits.f_to_kind(Kind::Float)?.f_log()?,
        Some(scheme) => {
            let scheme = scheme.expand(logits.size2()?.0)?;
            scheme.distribution(logits)?.log_probabilities(tokens)?
        }
    };
    let probabilities = logprobs.f_exp()?;
    let weighted_sum = |values: &Tensor| {
        values
            .f_mul(&probabilities)?
            .f_sum_dim_intlist([-1].as_slice(), true, Kind::Float)
    };
    let mean = weighted_sum(&logprobs)?;
    let deviation = weighted_sum(&logprobs.f_sub(&mean)?.f_square()?)?.f_sqrt()?;
    let columns = [
        logprobs.f_gather(-1, tokens, false)?,
        scheme_logprobs,
        hits.f_to_kind(Kind::Float)?,
        mean,
        deviation,
    ];
    Ok(Tensor::f_cat(&columns, 1)?)
}
