//! A short prompt, found by gradient search, that makes a model go on with the beginning of a document.
//!
//! Greedy coordinate gradient (Zou et al. 2023): the gradient of the document's loss with respect to the prompt's vectors says
//! which tokens would lower it; a few dozen exchanges of one token are tried, and the best is taken. A document that fewer
//! prompt tokens than its own length bring forth is compressed into the weights: its tokens ÷ the prompt's is the adversarial
//! compression ratio (Schwarzschild et al. 2024).

use causal_lm::KvCache;
use contract::Error;
use contract::decoding::SEARCH_TRIALS;
use contract::records::FinishReason;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Reduction, Tensor};

use crate::LoadedModel;
use crate::batch::{Batch, Room, floats};
use crate::generation::{Generation, Request};
use crate::sampling::most_probable;

/// Tokens considered for each place, those whose gradient promises most.
const PROMISING: i64 = 128;

/// The prompt with the lowest loss so far.
#[derive(Debug, Clone)]
struct Found {
    prompt: Vec<i64>,
    loss: f64,
    /// Whether greedy decoding from it gives the document's beginning.
    succeeds: bool,
}

/// Searches for a prompt of `prompt_tokens` tokens, then for shorter ones while they are found, within the strategy's steps;
/// the generation is what greedy decoding makes of the best.
pub(crate) fn search<'a>(
    model: &LoadedModel,
    cache: &mut KvCache,
    new_tokens: usize,
    request: Request<'a>,
) -> Result<Generation<'a>, Error> {
    let goal = Goal {
        loaded: model,
        reference: &request.prompt.reference,
    };
    let mut random = ChaCha8Rng::seed_from_u64(request.seed);
    let (mut steps, mut read) = (request.strategy.steps, 0);
    let mut best: Option<Found> = None;
    let mut length = request.strategy.prompt_tokens;
    while length > 0 && steps > 0 {
        // A shorter prompt starts from the one that was found, less its last token.
        let start = match &best {
            Some(found) => found.prompt[..length].to_vec(),
            None => (0..length).map(|_| goal.any_token(&mut random)).collect(),
        };
        let found = goal.descend(start, &mut steps, &mut read, &mut random)?;
        let succeeds = found.succeeds;
        if best.is_none() || succeeds {
            best = Some(found);
        }
        if !succeeds {
            break;
        }
        length -= 1;
    }
    let prompt = best.map(|found| found.prompt).unwrap_or_default();
    let room = Room { rows: 1, new_tokens };
    let mut batch = Batch::read(model, cache, &[&prompt], room)?;
    let (mut generated, mut logprobs, mut finish) = (Vec::new(), Vec::new(), None);
    while generated.len() < request.prompt.reference.len() {
        let logits = batch.host_logits()?;
        let token = most_probable(logits.row(0));
        generated.push(token as i64);
        logprobs.push(logits.logprob(0, token));
        if model.end_tokens.contains(&(token as i64)) {
            finish = Some(FinishReason::End);
            break;
        }
        if generated.len() < request.prompt.reference.len() {
            batch.advance_by(&[token as i64])?;
        }
    }
    read += prompt.len() + generated.len();
    Ok(Generation {
        request,
        prompt_tokens: prompt,
        generated,
        logprobs,
        finish,
        forward_tokens: read,
    })
}

/// The tokens that the model is to go on with.
struct Goal<'a> {
    loaded: &'a LoadedModel,
    reference: &'a [i64],
}

impl Goal<'_> {
    /// A token that may occur in a prompt: any of the tokenizer's but BOS and EOS.
    fn any_token(&self, random: &mut ChaCha8Rng) -> i64 {
        loop {
            let token = random.random_range(0..self.loaded.tokenizer.vocabulary() as i64);
            if self.is_allowed(token) {
                return token;
            }
        }
    }

    fn is_allowed(&self, token: i64) -> bool {
        let config = &self.loaded.model.config;
        token < self.loaded.tokenizer.vocabulary() as i64
            && token != config.bos_token_id
            && !config.eos_token_ids.contains(&token)
    }

    /// Exchanges one token after another until the prompt succeeds or the steps are used up.
    fn descend(
        &self,
        start: Vec<i64>,
        steps: &mut usize,
        read: &mut usize,
        random: &mut ChaCha8Rng,
    ) -> Result<Found, Error> {
        let mut found = self.evaluate(&[start], read)?.remove(0);
        while *steps > 0 && !found.succeeds {
            *steps -= 1;
            let promising = self.promising(&found.prompt, read)?;
            let trials: Vec<Vec<i64>> = (0..SEARCH_TRIALS)
                .map(|_| {
                    let place = random.random_range(0..found.prompt.len());
                    let choices = &promising[place];
                    let mut trial = found.prompt.clone();
                    trial[place] = choices[random.random_range(0..choices.len())];
                    trial
                })
                .collect();
            let tried = self.evaluate(&trials, read)?;
            let best = tried.into_iter().min_by(|first, second| {
                let successes_first = second.succeeds.cmp(&first.succeeds);
                successes_first.then(first.loss.total_cmp(&second.loss))
            });
            found = best
                .filter(|best| best.succeeds || best.loss < found.loss)
                .unwrap_or(found);
        }
        Ok(found)
    }

    /// For each place of a prompt the tokens that the gradient of the loss favours.
    fn promising(&self, prompt: &[i64], read: &mut usize) -> Result<Vec<Vec<i64>>, Error> {
        let gradient = self.gradient(prompt, read).map_err(Error::from)?;
        let _guard = tch::no_grad_guard();
        let table = self.loaded.model.embedding_table();
        let slopes = gradient
            .f_to_kind(table.kind())
            .and_then(|gradient| gradient.f_linear(table, None::<Tensor>))
            .map_err(causal_lm::Error::from)?;
        let most = PROMISING.min(slopes.size()[1]);
        let (_, tokens) = slopes
            .f_topk(most, -1, false, true)
            .map_err(causal_lm::Error::from)?;
        let tokens: Vec<i64> = tokens
            .f_reshape([-1])
            .and_then(|flat| Vec::<i64>::try_from(&flat))
            .map_err(causal_lm::Error::from)?;
        Ok(tokens
            .chunks(most as usize)
            .zip(prompt)
            .map(|(tokens, &current)| {
                let allowed: Vec<i64> = tokens
                    .iter()
                    .copied()
                    .filter(|&token| self.is_allowed(token))
                    .collect();
                if allowed.is_empty() {
                    vec![current]
                } else {
                    allowed
                }
            })
            .collect())
    }

    /// Gradient `[tokens, width]` of the mean loss of the reference with respect to the prompt's vectors.
    fn gradient(&self, prompt: &[i64], read: &mut usize) -> Result<Tensor, causal_lm::Error> {
        let model = &self.loaded.model;
        let row = self.row(prompt);
        *read += row.len();
        let tokens = Tensor::from_slice(&row).to_device(model.device()).unsqueeze(0);
        let vectors = tch::no_grad(|| model.embed(&tokens))?;
        let first = (row.len() - (self.reference.len() - 1) - prompt.len()) as i64;
        let length = prompt.len() as i64;
        let after = first + length;
        let changing = vectors
            .f_narrow(1, first, length)?
            .f_detach_copy()?
            .f_set_requires_grad(true)?;
        let whole = Tensor::f_cat(
            &[
                vectors.f_narrow(1, 0, first)?,
                changing.shallow_clone(),
                vectors.f_narrow(1, after, row.len() as i64 - after)?,
            ],
            1,
        )?;
        let hidden = model.hidden(&whole, None, None)?;
        let logits = model.logits(&hidden.f_narrow(1, after - 1, self.reference.len() as i64)?)?;
        let reference = Tensor::from_slice(self.reference).to_device(model.device());
        let loss = logits.f_squeeze_dim(0)?.f_cross_entropy_loss(
            &reference,
            None::<Tensor>,
            Reduction::Mean,
            -100,
            0.0,
        )?;
        let gradients = Tensor::f_run_backward(&[loss], &[changing], false, false)?;
        Ok(gradients[0].f_squeeze_dim(0)?)
    }

    /// The BOS, a prompt, and the reference but for its last token.
    fn row(&self, prompt: &[i64]) -> Vec<i64> {
        let mut row = self.loaded.add_bos(prompt);
        row.extend(&self.reference[..self.reference.len() - 1]);
        row
    }

    /// The mean loss of the reference behind each prompt (all of one length), and whether greedy decoding gives it.
    fn evaluate(&self, prompts: &[Vec<i64>], read: &mut usize) -> Result<Vec<Found>, Error> {
        let _guard = tch::no_grad_guard();
        let (losses, hits) = self.losses(prompts, read).map_err(Error::from)?;
        let (losses, hits) = (floats(&losses)?, floats(&hits)?);
        Ok(prompts
            .iter()
            .zip(losses.into_iter().zip(hits))
            .map(|(prompt, (loss, hit))| Found {
                prompt: prompt.clone(),
                loss: f64::from(loss),
                succeeds: hit > 0.5,
            })
            .collect())
    }

    fn losses(&self, prompts: &[Vec<i64>], read: &mut usize) -> Result<(Tensor, Tensor), causal_lm::Error> {
        let model = &self.loaded.model;
        let rows: Vec<i64> = prompts.iter().flat_map(|prompt| self.row(prompt)).collect();
        *read += rows.len();
        let count = prompts.len() as i64;
        let tokens = Tensor::from_slice(&rows)
            .to_device(model.device())
            .f_view([count, -1])?;
        let (_, length) = tokens.size2()?;
        let goal = self.reference.len() as i64;
        let hidden = model.hidden(&tokens, None, None)?;
        let logits = model.logits(&hidden.f_narrow(1, length - goal, goal)?)?;
        let reference = Tensor::from_slice(self.reference)
            .to_device(model.device())
            .f_view([1, goal, 1])?
            .f_expand([count, goal, 1], false)?;
        let logprobs = logits
            .f_log_softmax(-1, Kind::Float)?
            .f_gather(-1, &reference, false)?;
        let losses = logprobs
            .f_neg()?
            .f_mean_dim([1, 2].as_slice(), false, Kind::Float)?;
        let hits = logits
            .f_argmax(-1, true)?
            .f_eq_tensor(&reference)?
            .f_to_kind(Kind::Float)?
            .f_amin([1, 2].as_slice(), false)?;
        Ok((losses, hits))
    }
}
