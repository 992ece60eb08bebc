//! What generations from nothing are ranked by (Carlini et al. 2021): a model that was tuned on a text finds it probable, more so
//! than its length under zlib, its lower-cased form, or the untuned model would have it.
//!
//! The perplexity under the model itself stands in the samples already, as the log-probabilities of their tokens.

use std::collections::BTreeMap;

use causal_lm::CausalLm;
use contract::Error;
use contract::records::{PromptForm, Sample};
use measures::risk::zlib_bytes;
use tch::{Kind, Tensor};

use crate::LoadedModel;
use crate::batch::floats;
use crate::generation::Drawn;

/// Texts read at once.
const ROWS: usize = 32;

/// Whether any of the samples is ranked.
pub(crate) fn is_ranked(samples: &[Sample]) -> bool {
    samples.iter().any(from_nothing)
}

/// Generations from nothing in the groups in which they are read: within a batch of the generation, so that a part of the batches reads
/// them as the whole does.
fn read_together(drawn: &mut Drawn) -> Vec<Vec<&mut Sample>> {
    let mut batches: BTreeMap<usize, Vec<Vec<&mut Sample>>> = BTreeMap::new();
    for (sample, origin) in drawn.samples.iter_mut().zip(&drawn.origins) {
        if !from_nothing(sample) {
            continue;
        }
        let groups = batches.entry(origin.batch).or_default();
        match groups.last_mut().filter(|group| group.len() < ROWS) {
            Some(group) => group.push(sample),
            None => groups.push(vec![sample]),
        }
    }
    batches.into_values().flatten().collect()
}

fn from_nothing(sample: &Sample) -> bool {
    sample.prompt_form == Some(PromptForm::Nothing) && !sample.generated_tokens.is_empty()
}

/// Adds what the model itself and zlib say of each generation from nothing.
///
/// # Errors
/// [`Error::Run`] where LibTorch or the tokenizer fails.
pub(crate) fn score(loaded: &LoadedModel, drawn: &mut Drawn) -> Result<(), Error> {
    for mut rows in read_together(drawn) {
        let texts = rows
            .iter()
            .map(|sample| loaded.tokenizer.encode(&sample.generation.to_lowercase()))
            .collect::<Result<Vec<_>, _>>()?;
        for (sample, loss) in rows
            .iter_mut()
            .zip(mean_losses(&loaded.model, &loaded.add_bos(&[]), &texts)?)
        {
            sample.lower_case_loss = loss;
            sample.zlib_bytes = Some(zlib_bytes(&sample.generation) as i32);
        }
    }
    Ok(())
}

/// Adds what the untuned model says of each generation from nothing, behind the same BOS.
///
/// # Errors
/// [`Error::Run`] where LibTorch fails.
pub(crate) fn score_by_reference(reference: &CausalLm, bos: &[i64], drawn: &mut Drawn) -> Result<(), Error> {
    for mut rows in read_together(drawn) {
        let texts: Vec<Vec<i64>> = rows
            .iter()
            .map(|sample| {
                sample
                    .generated_tokens
                    .iter()
                    .map(|&token| i64::from(token))
                    .collect()
            })
            .collect();
        for (sample, loss) in rows.iter_mut().zip(mean_losses(reference, bos, &texts)?) {
            sample.reference_loss = loss;
        }
    }
    Ok(())
}

/// Nats per token of each text behind the BOS; none for a text without tokens.
fn mean_losses(model: &CausalLm, bos: &[i64], texts: &[Vec<i64>]) -> Result<Vec<Option<f32>>, Error> {
    let _guard = tch::no_grad_guard();
    let room = model.config.context + 1 - bos.len();
    let texts: Vec<&[i64]> = texts.iter().map(|text| &text[..text.len().min(room)]).collect();
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    if longest == 0 {
        return Ok(vec![None; texts.len()]);
    }
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for text in &texts {
        // Padding on the right: causal attention never looks there.
        let missing = vec![model.config.eos_token_id(); longest - text.len()];
        let padded = text.iter().chain(&missing).copied();
        inputs.extend(bos);
        inputs.extend(padded.clone().take(longest - 1));
        targets.extend(padded);
    }
    let rows = texts.len() as i64;
    let tokens = Tensor::from_slice(&inputs)
        .to_device(model.device())
        .view([rows, -1]);
    let hidden = model.hidden(&tokens, None, None)?;
    let logits = model.logits(&hidden.narrow(1, bos.len() as i64 - 1, longest as i64))?;
    let targets = Tensor::from_slice(&targets)
        .to_device(model.device())
        .view([rows, longest as i64, 1]);
    let logprobs = logits.log_softmax(-1, Kind::Float).gather(-1, &targets, false);
    let logprobs = floats(&logprobs)?;
    Ok(texts
        .iter()
        .zip(logprobs.chunks(longest))
        .map(|(text, row): (&&[i64], &[f32])| {
            let sum: f32 = row[..text.len()].iter().sum();
            (!text.is_empty()).then(|| -sum / text.len() as f32)
        })
        .collect())
}
