//! Choice on the device of the logits: nothing is copied to the host within a step, and the host waits for nothing.
//!
//! Rows that need the same operations are one group, whatever their parameters are: those are tensors `[rows, 1]`. A group is worked
//! on some rows at a time, so that memory stays bounded. The cumulative distribution is inverted in two levels: sums of blocks of the
//! vocabulary first, then the tokens of one block.

use contract::Error;
use tch::{Device, Kind, TchError, Tensor};

use super::{Row, TokenChoice, Written};
use crate::device_memory::PIECE_BYTES;
use crate::sampling::SamplingParams;

/// Steps after which the host looks which rows have ended.
const STEPS_BETWEEN_LOOKS: i64 = 16;

/// Tokens whose probabilities are summed up first.
const BLOCK: i64 = 256;

/// Bytes that the choice takes for each logit at most: numbers in float64, sorted ones with their places, and masks.
const BYTES_PER_LOGIT: i64 = 64;

/// Share of the total that a number to draw with stays below, since sums of float64 that are made in different orders differ.
const SUM_TOLERANCE: f64 = 1e-12;

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

/// Which operations a row needs: greedy decoding none; a whole distribution no order of tokens; top-k that of a few; top-p without
/// top-k that of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    MostProbable,
    Whole,
    TopK,
    Nucleus,
}

impl Needs {
    const ALL: [Self; 4] = [Self::MostProbable, Self::Whole, Self::TopK, Self::Nucleus];

    fn of(params: &SamplingParams) -> Self {
        match params {
            params if params.is_greedy() => Self::MostProbable,
            SamplingParams { top_k: 1.., .. } => Self::TopK,
            params if params.top_p < 1.0 => Self::Nucleus,
            _ => Self::Whole,
        }
    }
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
            for (first, count) in pieces(group.rows, logits.size2()?.1) {
                let of_piece = |all: &Tensor| match &group.places {
                    Some(places) => all.f_index_select(0, &places.f_narrow(0, first, count)?),
                    None => all.f_narrow(0, first, count),
                };
                let logits = of_piece(logits)?;
                let chosen = match &group.truncation {
                    Some(truncation) => {
                        let weights = truncation.narrow(first, count)?.weights(&logits)?;
                        weights.draw(&of_piece(&uniforms)?)?
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
        Ok(self.written().map_err(causal_lm::Error::from)?)
    }
}

/// Rows by what they need, and the place of each row in the groups' order, where there are several.
fn grouped(params: &[SamplingParams], device: Device) -> Result<(Vec<Group>, Option<Tensor>), TchError> {
    let mut groups = Vec::new();
    let mut in_order: Vec<usize> = Vec::with_capacity(params.len());
    for needs in Needs::ALL {
        let places: Vec<usize> = (0..params.len())
            .filter(|&place| Needs::of(&params[place]) == needs)
            .collect();
        if places.is_empty() {
            continue;
        }
        let of_group: Vec<SamplingParams> = places.iter().map(|&place| params[place]).collect();
        let truncation = match needs {
            Needs::MostProbable => None,
            Needs::Whole | Needs::TopK | Needs::Nucleus => Some(Truncation::new(&of_group, device)?),
        };
        let as_numbers: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        groups.push(Group {
            places: match places.len() == params.len() {
                true => None,
                false => Some(Tensor::f_from_slice(&as_numbers)?.f_to_device(device)?),
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
pub(crate) fn pieces(rows: i64, vocabulary: i64) -> impl Iterator<Item = (i64, i64)> {
    let at_once = (PIECE_BYTES as i64 / (BYTES_PER_LOGIT * vocabulary.max(1))).max(1);
    (0..rows)
        .step_by(at_once as usize)
        .map(move |first| (first, at_once.min(rows - first)))
}

/// How the distributions of rows are truncated; none of them is greedy.
#[derive(Debug)]
pub(crate) struct Truncation {
    /// `[rows, 1]` in float64.
    temperatures: Tensor,
    /// `[rows, 1]`, with a number beyond any vocabulary for all tokens.
    top_k: Tensor,
    /// The largest of them; none where all tokens are kept.
    max_top_k: Option<i64>,
    /// 1 − top-p, `[rows, 1]` in float64; none where no row has one.
    tails: Option<Tensor>,
}

impl Truncation {
    /// Of rows that either all have a top-k or all have none.
    pub(crate) fn new(params: &[SamplingParams], device: Device) -> Result<Self, TchError> {
        let column = |numbers: &[f64]| Tensor::f_from_slice(numbers)?.f_unsqueeze(1)?.f_to_device(device);
        let of_rows = |number: fn(&SamplingParams) -> f64| params.iter().map(number).collect::<Vec<f64>>();
        let top_k: Vec<i64> = params
            .iter()
            .map(|params| match params.top_k {
                0 => i64::MAX,
                top_k => i64::try_from(top_k).unwrap_or(i64::MAX),
            })
            .collect();
        let max_top_k = top_k.iter().copied().max().filter(|&most| most < i64::MAX);
        let has_nucleus = params.iter().any(|params| params.top_p < 1.0);
        Ok(Self {
            temperatures: column(&of_rows(|params| params.temperature))?,
            top_k: Tensor::f_from_slice(&top_k)?
                .f_unsqueeze(1)?
                .f_to_device(device)?,
            max_top_k,
            tails: match has_nucleus {
                true => Some(column(&of_rows(|params| 1.0 - params.top_p))?),
                false => None,
            },
        })
    }

    /// Of some of the rows.
    pub(crate) fn narrow(&self, first: i64, count: i64) -> Result<Self, TchError> {
        Ok(Self {
            temperatures: self.temperatures.f_narrow(0, first, count)?,
            top_k: self.top_k.f_narrow(0, first, count)?,
            max_top_k: self.max_top_k,
            tails: match &self.tails {
                Some(tails) => Some(tails.f_narrow(0, first, count)?),
                None => None,
            },
        })
    }

    /// Of so many rows, all as the one that there is.
    pub(crate) fn expand(&self, rows: i64) -> Result<Self, TchError> {
        Ok(Self {
            temperatures: self.temperatures.f_expand([rows, 1], false)?,
            top_k: self.top_k.f_expand([rows, 1], false)?,
            max_top_k: self.max_top_k,
            tails: match &self.tails {
                Some(tails) => Some(tails.f_expand([rows, 1], false)?),
                None => None,
            },
        })
    }

    /// The weight of each token by logits `[rows, vocabulary]`, 0 for those that cannot be drawn.
    pub(crate) fn weights(&self, logits: &Tensor) -> Result<Weights, TchError> {
        let vocabulary = logits.size2()?.1;
        let largest = logits.f_amax([-1].as_slice(), true)?.f_to_kind(Kind::Double)?;
        let weights = Weights::zeros(logits)?;
        let mut of_tokens = weights.of_tokens()?;
        of_tokens.f_copy_(logits)?;
        self.exponentials(&mut of_tokens, &largest)?;
        let sorted = match (self.max_top_k, &self.tails) {
            (Some(most), _) => logits.f_topk(most.min(vocabulary), -1, true, true)?.0,
            (None, Some(_)) => logits.f_sort(-1, true)?.0,
            (None, None) => return Ok(weights),
        };
        let count = sorted.size2()?.1;
        let last = self.top_k.f_clamp_max(count)?.f_sub_scalar(1)?;
        let threshold = sorted.f_gather(1, &last, false)?;
        let kept = match &self.tails {
            None => logits.f_ge_tensor(&threshold)?,
            Some(tails) => {
                let _others = of_tokens.f_masked_fill_(&logits.f_lt_tensor(&threshold)?, 0.0)?;
                let mut sorted_weights = sorted.f_to_kind(Kind::Double)?;
                self.exponentials(&mut sorted_weights, &largest)?;
                let nucleus = Nucleus {
                    logits,
                    weights: &of_tokens,
                    sorted: &sorted,
                    sorted_weights: &sorted_weights,
                    last: &last,
                    threshold: &threshold,
                };
                nucleus.kept(tails)?
            }
        };
        let _others = of_tokens.f_masked_fill_(&kept.f_logical_not()?, 0.0)?;
        Ok(weights)
    }

    /// exp((logit − largest) / temperature) of logits in float64, in their place.
    fn exponentials(&self, logits: &mut Tensor, largest: &Tensor) -> Result<(), TchError> {
        let _same = logits.f_sub_(largest)?;
        let _same = logits.f_div_(&self.temperatures)?;
        let _same = logits.f_exp_()?;
        Ok(())
    }
}

/// Rows whose top-k is known, and whose nucleus is looked for.
struct Nucleus<'a> {
    /// `[rows, vocabulary]`.
    logits: &'a Tensor,
    /// Their weights, 0 below the k-th largest.
    weights: &'a Tensor,
    /// The largest logits in falling order, `[rows, count]`, and their weights.
    sorted: &'a Tensor,
    sorted_weights: &'a Tensor,
    /// The place of the k-th largest among them, `[rows, 1]`, and that logit.
    last: &'a Tensor,
    threshold: &'a Tensor,
}

impl Nucleus<'_> {
    /// Which tokens `[rows, vocabulary]` are kept where the least probable go whose probabilities add up to at most `tails`; of equally
    /// probable ones the later go first. One always stays.
    fn kept(&self, tails: &Tensor) -> Result<Tensor, TchError> {
        let rows = tails.size2()?.0;
        let device = tails.device();
        let tokens_kept = self.tokens_kept(tails)?;
        // The least logit that is kept, how many tokens that share it are, and the last of these.
        let place = tokens_kept.f_sub_scalar(1)?.f_minimum(self.last)?;
        let least = self.sorted.f_gather(1, &place, false)?;
        let over = self.logits.f_gt_tensor(&least)?;
        let shared = self.logits.f_eq_tensor(&least)?;
        let count_over = over.f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?;
        let wanted = tokens_kept.f_sub(&count_over)?.f_to_kind(Kind::Double)?;
        let counted = Weights::zeros(self.logits)?;
        counted.of_tokens()?.f_copy_(&shared)?;
        let last_shared = counted.sums()?.first_over(&wanted.f_sub_scalar(0.5)?)?;
        let vocabulary = self.logits.size2()?.1;
        let ids = Tensor::f_arange(vocabulary, (Kind::Int64, device))?.f_expand([rows, vocabulary], false)?;
        let earlier = ids.f_le_tensor(&last_shared)?;
        over.f_logical_or(&shared.f_logical_and(&earlier)?)
    }

    /// How many tokens `[rows, 1]` (int64) are kept.
    fn tokens_kept(&self, tails: &Tensor) -> Result<Tensor, TchError> {
        let (_, count) = self.sorted.size2()?;
        let device = tails.device();
        let total = self
            .weights
            .f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?;
        let is_first = Tensor::f_arange(count, (Kind::Int64, device))?
            .f_unsqueeze(0)?
            .f_le_tensor(self.last)?;
        let probabilities = self.sorted_weights.f_div(&total)?.f_mul(&is_first)?;
        // Tokens that share the k-th largest logit, beyond the first k.
        let more = self
            .logits
            .f_ge_tensor(self.threshold)?
            .f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?
            .f_sub(self.last)?
            .f_sub_scalar(1)?;
        let of_each = probabilities.f_gather(1, self.last, false)?;
        let gone = tails
            .f_div(&of_each.f_clamp_min(f64::MIN_POSITIVE)?)?
            .f_floor()?
            .f_minimum(&more.f_to_kind(Kind::Double)?)?
            .f_to_kind(Kind::Int64)?;
        // Each with all that are less probable.
        let sums = probabilities
            .f_flip([1].as_slice())?
            .f_cumsum(1, Kind::Double)?
            .f_flip([1].as_slice())?
            .f_add(&of_each.f_mul(&more)?)?;
        let stays = sums.f_gt_tensor(tails)?.f_logical_and(&is_first)?;
        let first = stays
            .f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?
            .f_clamp_min(1)?;
        first.f_add(&more.f_sub(&gone)?)
    }
}

/// Weights of tokens in float64, in whole blocks.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `[rows, blocks · BLOCK]`, 0 beyond the vocabulary.
    padded: Tensor,
    vocabulary: i64,
}

impl Weights {
    fn zeros(logits: &Tensor) -> Result<Self, TchError> {
        let (rows, vocabulary) = logits.size2()?;
        let padded = (vocabulary + BLOCK - 1) / BLOCK * BLOCK;
        Ok(Self {
            padded: Tensor::f_zeros([rows, padded], (Kind::Double, logits.device()))?,
            vocabulary,
        })
    }

    /// Those of the vocabulary, in the same memory.
    fn of_tokens(&self) -> Result<Tensor, TchError> {
        self.padded.f_narrow(1, 0, self.vocabulary)
    }

    /// The token `[rows, 1]` that each number of `uniforms` `[rows, 1]` draws, by inverting the cumulative distribution in order of
    /// token id.
    fn draw(&self, uniforms: &Tensor) -> Result<Tensor, TchError> {
        let sums = self.sums()?;
        let totals = sums.cumulative.f_narrow(1, -1, 1)?;
        sums.first_over(&uniforms.f_mul(&totals)?)
    }

    /// Natural logarithm of the probability of drawing `tokens` `[rows, 1]`, in float32 as `[rows, 1]`; −∞ where one cannot be drawn.
    pub(crate) fn log_probabilities(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let total = self
            .padded
            .f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?;
        self.padded
            .f_gather(1, tokens, false)?
            .f_div(&total)?
            .f_log()?
            .f_to_kind(Kind::Float)
    }

    fn sums(&self) -> Result<Sums<'_>, TchError> {
        let rows = self.padded.size2()?.0;
        let blocks = self.padded.f_view([rows, -1, BLOCK])?;
        let of_blocks = blocks.f_sum_dim_intlist([2].as_slice(), false, Kind::Double)?;
        Ok(Sums {
            cumulative: of_blocks.f_cumsum(1, Kind::Double)?,
            of_blocks,
            weights: self,
        })
    }
}

/// Sums over blocks of weights.
struct Sums<'a> {
    weights: &'a Weights,
    /// `[rows, blocks]`.
    of_blocks: Tensor,
    cumulative: Tensor,
}

impl Sums<'_> {
    /// The first token `[rows, 1]` through which the weights add up to more than `targets` `[rows, 1]`; one with a weight of 0 never.
    fn first_over(&self, targets: &Tensor) -> Result<Tensor, TchError> {
        let block = first_over(&self.of_blocks, &self.cumulative, targets)?;
        let before = self
            .cumulative
            .f_gather(1, &block.f_sub_scalar(1)?.f_clamp_min(0)?, false)?
            .f_mul(&block.f_gt(0)?)?;
        let first = block.f_mul_scalar(BLOCK)?;
        let offsets = Tensor::f_arange(BLOCK, (Kind::Int64, block.device()))?.f_unsqueeze(0)?;
        let weights = self.weights.padded.f_gather(1, &first.f_add(&offsets)?, false)?;
        let cumulative = weights.f_cumsum(1, Kind::Double)?;
        let place = first_over(&weights, &cumulative, &targets.f_sub(&before)?)?;
        first.f_add(&place)
    }
}

/// The first place `[rows, 1]` whose cumulative weight is more than the target and whose own is more than 0. A target that is within
/// rounding of the total, or beyond it, takes the last one with a weight.
fn first_over(weights: &Tensor, cumulative: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    let most = cumulative.f_narrow(1, -1, 1)?.f_mul_scalar(1.0 - SUM_TOLERANCE)?;
    let targets = targets.f_minimum(&most)?.f_clamp_min(0.0)?;
    let is_over = cumulative
        .f_gt_tensor(&targets)?
        .f_logical_and(&weights.f_gt(0.0)?)?;
    // Of equally large ones the first.
    is_over.f_to_kind(Kind::Int8)?.f_argmax(1, true)
}
