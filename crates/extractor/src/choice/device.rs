//! Choice on the device of the logits: nothing is copied to the host within a step, and the host waits for nothing.
//!
//! Rows that need the same operations are one group, whatever their parameters are: those are tensors `[rows, 1]`. A group is worked
//! on some rows at a time, so that memory stays bounded.

use contract::Error;
use model_folder::cost::PIECE_BYTES;
use tch::{Device, Kind, TchError, Tensor};

use super::truncation::{Needs, Truncation};
use super::{NextToken, Row, TokenChoice, Written};
use crate::batch::not_finite;
use crate::sampling::SamplingParams;

/// Steps after which the host looks which rows have ended.
const STEPS_BETWEEN_LOOKS: i64 = 16;

/// Bytes that the log-probabilities take for each logit, and a copy of the logits of a group.
const BYTES_PER_LOGIT: u64 = 16;

/// Rows whose tokens are chosen where their logits are.
#[derive(Debug)]
pub(crate) struct DeviceChoice {
    /// Of every row that there was at the start.
    params: Vec<SamplingParams>,
    /// The rows that the batch still has, by their number at the start; on the host, and as `[rows]`.
    active: Vec<i64>,
    active_rows: Tensor,
    /// Their numbers to draw with, `[rows, new tokens]` in float64.
    uniforms: Tensor,
    groups: Vec<Group>,
    /// The place in the groups' order of each row, where there are several.
    order: Option<Tensor>,
    /// Tokens chosen so far.
    step: i64,
    /// Of every row that there was at the start: `[rows, new tokens]`, `[rows, new tokens]` and `[rows]`.
    tokens: Tensor,
    logprobs: Tensor,
    ended: Tensor,
    /// `[end tokens]`.
    end_tokens: Tensor,
}

/// Rows that need the same operations.
#[derive(Debug)]
struct Group {
    /// Places in the batch, `[rows]`; none where they are all of it in order.
    places: Option<Tensor>,
    rows: i64,
    /// None where each takes its most probable token.
    truncation: Option<Truncation>,
}

impl DeviceChoice {
    pub(crate) fn new(rows: &[Row], end_tokens: &[i64], device: Device) -> Result<Self, Error> {
        let params = rows.iter().map(|row| row.params).collect::<Vec<_>>();
        let uniforms = rows.iter().flat_map(|row| row.uniforms.iter().copied());
        let make = || -> Result<Self, TchError> {
            let new_tokens = rows.first().map_or(0, |row| row.uniforms.len()) as i64;
            let size = [rows.len() as i64, new_tokens];
            let uniforms = Tensor::f_from_slice(&uniforms.collect::<Vec<_>>())?.f_view(size)?;
            let active: Vec<i64> = (0..size[0]).collect();
            let (groups, order) = grouped(&params, device)?;
            Ok(Self {
                active_rows: Tensor::f_from_slice(&active)?.f_to_device(device)?,
                active,
                uniforms: uniforms.f_to_device(device)?,
                groups,
                order,
                step: 0,
                tokens: Tensor::f_zeros(size, (Kind::Int64, device))?,
                logprobs: Tensor::f_zeros(size, (Kind::Float, device))?,
                ended: Tensor::f_zeros([size[0]], (Kind::Bool, device))?,
                end_tokens: Tensor::f_from_slice(end_tokens)?.f_to_device(device)?,
                params,
            })
        };
        Ok(make().map_err(causal_lm::Error::from)?)
    }

    /// Tokens `[rows]` and their log-probabilities `[rows]`, by logits `[rows, vocabulary]`.
    fn step(&self, logits: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let uniforms = self.uniforms.f_narrow(1, self.step, 1)?;
        let (mut tokens, mut logprobs) = (Vec::new(), Vec::new());
        for group in &self.groups {
            let own_bytes = group.truncation.as_ref().map_or(0, Truncation::bytes_per_logit);
            for (first, count) in pieces(group.rows, logits.size2()?.1, BYTES_PER_LOGIT + own_bytes) {
                let of_piece = |all: &Tensor| match &group.places {
                    Some(places) => all.f_index_select(0, &places.f_narrow(0, first, count)?),
                    None => all.f_narrow(0, first, count),
                };
                let logits = of_piece(logits)?;
                let chosen = match &group.truncation {
                    Some(truncation) => {
                        let truncation = truncation.narrow(first, count)?;
                        let uniforms = of_piece(&uniforms)?;
                        truncation.distribution(&logits)?.draw(&uniforms)?
                    }
                    None => logits.f_argmax(-1, true)?,
                };
                let normalizers = logits.f_logsumexp([-1].as_slice(), true)?;
                let logprob = logits.f_gather(-1, &chosen, false)?.f_sub(&normalizers)?;
                logprobs.push(logprob.f_clamp_max(0.0)?.f_squeeze_dim(1)?);
                tokens.push(chosen.f_squeeze_dim(1)?);
            }
        }
        let in_order = |parts: &[Tensor]| {
            let joined = Tensor::f_cat(parts, 0)?;
            match &self.order {
                Some(order) => joined.f_index_select(0, order),
                None => Ok(joined),
            }
        };
        Ok((in_order(&tokens)?, in_order(&logprobs)?))
    }

    /// Writes down what was chosen.
    fn record(&mut self, tokens: &Tensor, logprobs: &Tensor) -> Result<(), TchError> {
        let rows = &self.active_rows;
        let mut column = self.tokens.f_select(1, self.step)?;
        let _written = column.f_index_copy_(0, rows, tokens)?;
        let mut column = self.logprobs.f_select(1, self.step)?;
        let _written = column.f_index_copy_(0, rows, logprobs)?;
        let ends = tokens.f_unsqueeze(1)?.f_eq_tensor(&self.end_tokens)?;
        let ended = self
            .ended
            .f_index_select(0, rows)?
            .f_logical_or(&ends.f_any_dim(1, false)?)?;
        let _written = self.ended.f_index_copy_(0, rows, &ended)?;
        self.step += 1;
        Ok(())
    }

    /// Which of the active rows have ended; the host waits for it.
    fn ended(&self) -> Result<Vec<bool>, TchError> {
        let ended = self.ended.f_index_select(0, &self.active_rows)?;
        Vec::<bool>::try_from(&ended)
    }

    fn keep(&mut self, places: &[i64]) -> Result<(), TchError> {
        let device = self.uniforms.device();
        let rows = Tensor::f_from_slice(places)?.f_to_device(device)?;
        self.active = places.iter().map(|&place| self.active[place as usize]).collect();
        self.active_rows = self.active_rows.f_index_select(0, &rows)?;
        self.uniforms = self.uniforms.f_index_select(0, &rows)?;
        let params: Vec<SamplingParams> = self.active.iter().map(|&row| self.params[row as usize]).collect();
        (self.groups, self.order) = grouped(&params, device)?;
        Ok(())
    }

    fn written(&self) -> Result<Vec<Written>, TchError> {
        let width = self.step as usize;
        let tokens = Vec::<i64>::try_from(&self.tokens.f_narrow(1, 0, self.step)?.f_reshape([-1])?)?;
        let logprobs = Vec::<f32>::try_from(&self.logprobs.f_narrow(1, 0, self.step)?.f_reshape([-1])?)?;
        let end_tokens = Vec::<i64>::try_from(&self.end_tokens)?;
        let of_row = |row: usize| {
            let tokens = &tokens[row * width..(row + 1) * width];
            // What was chosen behind an end, before the host looked, is dropped.
            let end = tokens.iter().position(|token| end_tokens.contains(token));
            let length = end.map_or(width, |end| end + 1);
            Written {
                tokens: tokens[..length].to_vec(),
                logprobs: logprobs[row * width..row * width + length].to_vec(),
                ended: end.is_some(),
            }
        };
        Ok((0..self.params.len()).map(of_row).collect())
    }
}

impl TokenChoice for DeviceChoice {
    fn choose(&mut self, logits: &Tensor) -> Result<Tensor, Error> {
        let new_tokens = self.tokens.size2().map_err(causal_lm::Error::from)?.1;
        if self.step == new_tokens {
            let problem = format!("the rows were given all of their {new_tokens} tokens");
            return Err(Error::Run(problem));
        }
        let (tokens, logprobs) = self.step(logits).map_err(causal_lm::Error::from)?;
        self.record(&tokens, &logprobs).map_err(causal_lm::Error::from)?;
        Ok(tokens)
    }

    fn running(&self) -> Result<Option<Vec<i64>>, Error> {
        if self.step % STEPS_BETWEEN_LOOKS != 0 {
            return Ok(None);
        }
        let ended = self.ended().map_err(causal_lm::Error::from)?;
        let places = (0..ended.len()).filter(|&place| !ended[place]);
        Ok(Some(places.map(|place| place as i64).collect()))
    }

    fn select(&mut self, places: &[i64]) -> Result<(), Error> {
        Ok(self.keep(places).map_err(causal_lm::Error::from)?)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Written>, Error> {
        let written = self.written().map_err(causal_lm::Error::from)?;
        let mut logprobs = written.iter().flat_map(|written| &written.logprobs);
        if logprobs.any(|logprob| logprob.is_nan()) {
            return Err(not_finite());
        }
        Ok(written)
    }
}

/// Bytes that the search for the most probable tokens takes for each logit: logits in falling order, their places and weights, and sums.
const SORTING_BYTES_PER_LOGIT: u64 = 64;

pub(super) fn next_tokens(
    logits: &Tensor,
    params: &[SamplingParams],
    most: usize,
) -> Result<Vec<Vec<NextToken>>, TchError> {
    let (groups, order) = grouped(params, logits.device())?;
    let vocabulary = logits.size2()?.1;
    let most = most.min(vocabulary as usize);
    let mut rows: Vec<Vec<NextToken>> = Vec::with_capacity(params.len());
    for group in &groups {
        for (first, count) in pieces(group.rows, vocabulary, SORTING_BYTES_PER_LOGIT) {
            let logits = match &group.places {
                Some(places) => logits.f_index_select(0, &places.f_narrow(0, first, count)?)?,
                None => logits.f_narrow(0, first, count)?,
            };
            let (tokens, log_probabilities) = match &group.truncation {
                Some(truncation) => truncation
                    .narrow(first, count)?
                    .most_probable(&logits, most as i64)?,
                None => {
                    let certain = Tensor::f_zeros([count, 1], (Kind::Double, logits.device()))?;
                    (logits.f_argmax(-1, true)?, certain)
                }
            };
            let normalizers = logits.f_logsumexp([-1].as_slice(), true)?;
            let logprobs = logits.f_gather(-1, &tokens, false)?.f_sub(&normalizers)?;
            let width = tokens.size2()?.1 as usize;
            let tokens = Vec::<i64>::try_from(&tokens.f_reshape([-1])?)?;
            let log_probabilities = Vec::<f64>::try_from(&log_probabilities.f_reshape([-1])?)?;
            let logprobs = Vec::<f32>::try_from(&logprobs.f_clamp_max(0.0)?.f_reshape([-1])?)?;
            let found = (0..tokens.len()).map(|place| NextToken {
                token: tokens[place],
                log_probability: log_probabilities[place],
                logprob: logprobs[place],
            });
            let found: Vec<NextToken> = found.collect();
            rows.extend(found.chunks(width).map(|row| {
                let drawable = row.iter().filter(|next| next.log_probability > f64::NEG_INFINITY);
                drawable.copied().collect::<Vec<_>>()
            }));
        }
    }
    Ok(match order {
        Some(order) => Vec::<i64>::try_from(&order)?
            .into_iter()
            .map(|place| std::mem::take(&mut rows[place as usize]))
            .collect(),
        None => rows,
    })
}

/// Rows by what they need, and the place of each row in the groups' order, where there are several.
fn grouped(params: &[SamplingParams], device: Device) -> Result<(Vec<Group>, Option<Tensor>), TchError> {
    let mut groups = Vec::new();
    let mut in_order: Vec<usize> = Vec::with_capacity(params.len());
    let needs: Vec<Needs> = params.iter().map(Needs::of).collect();
    for kind in Needs::ALL {
        let places: Vec<usize> = (0..params.len()).filter(|&place| needs[place] == kind).collect();
        if places.is_empty() {
            continue;
        }
        let of_group: Vec<SamplingParams> = places.iter().map(|&place| params[place]).collect();
        let truncation = match kind {
            Needs::MostProbable => None,
            Needs::Whole | Needs::TopK | Needs::Nucleus => Some(Truncation::new(&of_group, device)?),
        };
        let is_whole_batch = places.len() == params.len();
        let as_numbers: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        groups.push(Group {
            places: if is_whole_batch {
                None
            } else {
                Some(Tensor::f_from_slice(&as_numbers)?.f_to_device(device)?)
            },
            rows: places.len() as i64,
            truncation,
        });
        in_order.extend(places);
    }
    let order = if groups.len() > 1 {
        let mut order = vec![0; params.len()];
        for (number, &place) in in_order.iter().enumerate() {
            order[place] = number as i64;
        }
        Some(Tensor::f_from_slice(&order)?.f_to_device(device)?)
    } else {
        None
    };
    Ok((groups, order))
}

/// Rows of logits in pieces of bounded memory: the first of each, and how many they are.
pub(crate) fn pieces(rows: i64, vocabulary: i64, bytes_per_logit: u64) -> impl Iterator<Item = (i64, i64)> {
    let of_row = bytes_per_logit * vocabulary.max(1) as u64;
    let at_once = (PIECE_BYTES / of_row).max(1) as i64;
    (0..rows)
        .step_by(at_once as usize)
        .map(move |first| (first, at_once.min(rows - first)))
}
