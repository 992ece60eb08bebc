//! Truncated distributions as tensors: what [`crate::sampling`] does with the logits of one row, for many rows at once.
//!
//! A number is drawn in two levels: sums over blocks of the vocabulary first, then the tokens of one block. With top-k the sums come
//! from the few candidates and from counts of tokens that share the last logit, so that nothing of the size of the vocabulary is
//! computed in float64.

use tch::{Device, Kind, TchError, Tensor};

use crate::sampling::SamplingParams;

/// Tokens whose probabilities are summed up first.
const BLOCK: i64 = 256;

/// Share of the total that a number to draw with stays below, since sums of float64 that are made in different orders differ.
const SUM_TOLERANCE: f64 = 1e-12;

/// Which operations a row needs: greedy decoding no distribution; a whole distribution no order of tokens; top-k that of a few; top-p
/// without top-k that of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    MostProbable,
    Whole,
    TopK,
    Nucleus,
}

impl Needs {
    pub(super) const ALL: [Self; 4] = [Self::MostProbable, Self::Whole, Self::TopK, Self::Nucleus];

    pub(super) fn of(params: &SamplingParams) -> Self {
        if params.is_greedy() {
            Self::MostProbable
        } else if params.top_k > 0 {
            Self::TopK
        } else if params.top_p < 1.0 {
            Self::Nucleus
        } else {
            Self::Whole
        }
    }
}

/// How the distributions of rows are truncated that need the same operations; none of them is greedy.
#[derive(Debug)]
pub(crate) struct Truncation {
    /// `[rows, 1]` in float64.
    temperatures: Tensor,
    /// `[rows, 1]`, a number beyond any vocabulary for all tokens.
    top_k: Tensor,
    /// The largest of them; none where all tokens are kept.
    max_top_k: Option<i64>,
    /// 1 − top-p, `[rows, 1]` in float64; none where no row has one.
    tails: Option<Tensor>,
}

impl Truncation {
    /// Of rows that either all have a top-k or all have none.
    pub(crate) fn new(params: &[SamplingParams], device: Device) -> Result<Self, TchError> {
        let column = |number: fn(&SamplingParams) -> f64| {
            let numbers = params.iter().map(number).collect::<Vec<f64>>();
            Tensor::f_from_slice(&numbers)?
                .f_unsqueeze(1)?
                .f_to_device(device)
        };
        let top_k: Vec<i64> = params
            .iter()
            .map(|params| match params.top_k {
                0 => i64::MAX,
                top_k => i64::try_from(top_k).unwrap_or(i64::MAX),
            })
            .collect();
        let has_nucleus = params.iter().any(|params| params.top_p < 1.0);
        Ok(Self {
            temperatures: column(|params| params.temperature)?,
            max_top_k: top_k.iter().copied().max().filter(|&most| most < i64::MAX),
            top_k: Tensor::f_from_slice(&top_k)?
                .f_unsqueeze(1)?
                .f_to_device(device)?,
            tails: if has_nucleus {
                Some(column(|params| 1.0 - params.top_p)?)
            } else {
                None
            },
        })
    }

    /// The `most` most probable tokens by logits `[rows, vocabulary]`, `[rows, most]` in falling order, of equally probable ones the first
    /// in order of token id, and the logarithms of their probabilities in float64; −∞ where one cannot be drawn.
    pub(crate) fn most_probable(&self, logits: &Tensor, most: i64) -> Result<(Tensor, Tensor), TchError> {
        let vocabulary = logits.size2()?.1;
        let scale = Scale::of(logits, &self.temperatures)?;
        let (in_order, tokens) = logits.f_sort_stable(true, 1, true)?;
        let sorted = Sorted {
            weights: scale.weights(&in_order)?,
            last: self.top_k.f_clamp_max(vocabulary)?.f_sub_scalar(1)?,
            logits: in_order,
        };
        let all = sorted.all()?;
        let kept = match &self.tails {
            None => all,
            Some(tails) => {
                let by_top_k = sorted.logits.f_ge_tensor(&all.least)?;
                let total = sorted.weights.f_mul(&by_top_k)?;
                let total = total.f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?;
                let count = by_top_k.f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?;
                sorted.nucleus(tails, &total, &count.f_sub(&sorted.last)?.f_sub_scalar(1)?)?
            }
        };
        let weights = sorted.weights.f_mul(&kept.of(&sorted.logits)?)?;
        let total = weights.f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?;
        let most = most.min(vocabulary);
        let probabilities = weights.f_narrow(1, 0, most)?.f_div(&total)?;
        Ok((tokens.f_narrow(1, 0, most)?, probabilities.f_log()?))
    }

    /// Bytes that a distribution takes for each logit at most while it is made.
    pub(crate) fn bytes_per_logit(&self) -> u64 {
        match (self.max_top_k, &self.tails) {
            // Masks and counts, and what the search for the k-th largest takes.
            (Some(_), _) => 16,
            // Weights in float64.
            (None, None) => 8,
            // The same with logits in falling order, their places, and sums.
            (None, Some(_)) => 64,
        }
    }

    /// Of some of the rows.
    pub(crate) fn narrow(&self, first: i64, count: i64) -> Result<Self, TchError> {
        self.each(|column| column.f_narrow(0, first, count))
    }

    /// Of so many rows, all as the one that there is.
    pub(crate) fn expand(&self, rows: i64) -> Result<Self, TchError> {
        self.each(|column| column.f_expand([rows, 1], false))
    }

    fn each(&self, change: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Ok(Self {
            temperatures: change(&self.temperatures)?,
            top_k: change(&self.top_k)?,
            max_top_k: self.max_top_k,
            tails: self.tails.as_ref().map(change).transpose()?,
        })
    }

    /// What can be drawn by logits `[rows, vocabulary]`.
    pub(crate) fn distribution<'a>(&'a self, logits: &'a Tensor) -> Result<Distribution<'a>, TchError> {
        let vocabulary = logits.size2()?.1;
        let scale = Scale::of(logits, &self.temperatures)?;
        Ok(match (self.max_top_k, &self.tails) {
            (Some(most), tails) => {
                let (sorted, tokens) = logits.f_topk(most.min(vocabulary), -1, true, true)?;
                let last = self.top_k.f_clamp_max(sorted.size2()?.1)?.f_sub_scalar(1)?;
                let sorted = Sorted {
                    weights: scale.weights(&sorted)?,
                    logits: sorted,
                    last,
                };
                let candidates = Candidates::new(logits, scale, &sorted, &tokens, tails.as_ref())?;
                Distribution::Candidates(candidates)
            }
            (None, None) => Distribution::Dense(Dense::new(logits, &scale)?),
            (None, Some(tails)) => {
                let (sorted, _) = logits.f_sort(-1, true)?;
                let rows = logits.size2()?.0;
                let dense = Dense::new(logits, &scale)?;
                let sorted = Sorted {
                    weights: scale.weights(&sorted)?,
                    logits: sorted,
                    last: Tensor::f_full([rows, 1], vocabulary - 1, (Kind::Int64, logits.device()))?,
                };
                let total = sorted
                    .weights
                    .f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?;
                let kept = sorted.nucleus(tails, &total, &sorted.last.f_zeros_like()?)?;
                dense.keep(logits, &kept)?;
                Distribution::Dense(dense)
            }
        })
    }
}

/// What weights are relative to.
struct Scale<'a> {
    /// The largest logit of each row, `[rows, 1]` in float64.
    largest: Tensor,
    /// `[rows, 1]` in float64.
    temperatures: &'a Tensor,
}

impl<'a> Scale<'a> {
    fn of(logits: &Tensor, temperatures: &'a Tensor) -> Result<Self, TchError> {
        Ok(Self {
            largest: logits.f_amax([-1].as_slice(), true)?.f_to_kind(Kind::Double)?,
            temperatures,
        })
    }
}

impl Scale<'_> {
    /// exp((logit − largest) / temperature) in float64.
    fn weights(&self, logits: &Tensor) -> Result<Tensor, TchError> {
        let mut weights = logits.f_to_kind(Kind::Double)?;
        self.replace(&mut weights)?;
        Ok(weights)
    }

    /// The same in the place of logits in float64.
    fn replace(&self, logits: &mut Tensor) -> Result<(), TchError> {
        let _same = logits.f_sub_(&self.largest)?;
        let _same = logits.f_div_(self.temperatures)?;
        let _same = logits.f_exp_()?;
        Ok(())
    }
}

/// The largest logits of each row in falling order.
struct Sorted {
    /// `[rows, count]`, and their weights.
    logits: Tensor,
    weights: Tensor,
    /// The place of the last that top-k keeps, `[rows, 1]`.
    last: Tensor,
}

/// Which tokens are kept: those with a larger logit than `least`, and of those that have it the first in order of token id.
struct Kept {
    /// `[rows, 1]`.
    least: Tensor,
    /// How many of those, `[rows, 1]` (int64).
    most_shared: Tensor,
}

impl Kept {
    /// Which of these logits `[rows, tokens]` are kept, where those that are equal follow each other in order of token id.
    fn of(&self, logits: &Tensor) -> Result<Tensor, TchError> {
        let shares = logits.f_eq_tensor(&self.least)?;
        let rank = shares.f_cumsum(1, Kind::Int)?;
        let stays = shares.f_logical_and(&rank.f_le_tensor(&self.most_shared)?)?;
        stays.f_logical_or(&logits.f_gt_tensor(&self.least)?)
    }
}

impl Sorted {
    /// All that top-k keeps, ties with the last included.
    fn all(&self) -> Result<Kept, TchError> {
        Ok(Kept {
            least: self.logits.f_gather(1, &self.last, false)?,
            most_shared: self.last.f_full_like(i64::MAX)?,
        })
    }

    /// The nucleus: the least probable tokens go whose probabilities add up to at most `tails`; of equally probable ones the later go
    /// first, and one always stays. `total` is the weight of all that top-k keeps, and `more` how many tokens it keeps beyond k,
    /// which share the last logit.
    fn nucleus(&self, tails: &Tensor, total: &Tensor, more: &Tensor) -> Result<Kept, TchError> {
        let count = self.logits.size2()?.1;
        let is_first = Tensor::f_arange(count, (Kind::Int64, tails.device()))?
            .f_unsqueeze(0)?
            .f_le_tensor(&self.last)?;
        let probabilities = self.weights.f_div(total)?.f_mul(&is_first)?;
        let of_each = probabilities.f_gather(1, &self.last, false)?;
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
            .f_add(&of_each.f_mul(more)?)?;
        let stays = sums.f_gt_tensor(tails)?.f_logical_and(&is_first)?;
        let kept = stays
            .f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?
            .f_clamp_min(1)?
            .f_add(&more.f_sub(&gone)?)?;
        // Of logits that are not finite nothing follows; the place is one that there is all the same.
        let place = kept.f_sub_scalar(1)?.f_minimum(&self.last)?.f_clamp_min(0)?;
        let least = self.logits.f_gather(1, &place, false)?;
        let over = self.logits.f_gt_tensor(&least)?;
        let over = over.f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?;
        Ok(Kept {
            least,
            most_shared: kept.f_sub(&over)?,
        })
    }
}

/// What can be drawn of each row.
pub(crate) enum Distribution<'a> {
    /// By a weight for each token.
    Dense(Dense),
    /// By the candidates of top-k.
    Candidates(Candidates<'a>),
}

impl Distribution<'_> {
    /// The token `[rows, 1]` that each number of `uniforms` `[rows, 1]` draws, by inverting the cumulative distribution in order of
    /// token id.
    pub(crate) fn draw(&self, uniforms: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Dense(dense) => dense.draw(uniforms),
            Self::Candidates(candidates) => candidates.draw(uniforms),
        }
    }

    /// Natural logarithm of the probability of drawing `tokens` `[rows, 1]`, in float32 as `[rows, 1]`; −∞ where one cannot be drawn.
    pub(crate) fn log_probabilities(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let (own, total) = match self {
            Self::Dense(dense) => (dense.of(tokens)?, dense.total()?),
            Self::Candidates(candidates) => (candidates.of(tokens)?, candidates.blocks.total()?),
        };
        own.f_div(&total)?.f_log()?.f_to_kind(Kind::Float)
    }
}

/// Weights of all tokens in float64, in whole blocks.
pub(crate) struct Dense {
    /// `[rows, blocks · BLOCK]`, 0 beyond the vocabulary.
    padded: Tensor,
    vocabulary: i64,
}

impl Dense {
    fn new(logits: &Tensor, scale: &Scale<'_>) -> Result<Self, TchError> {
        let (rows, vocabulary) = logits.size2()?;
        let options = (Kind::Double, logits.device());
        let weights = Self {
            padded: Tensor::f_zeros([rows, blocks(vocabulary) * BLOCK], options)?,
            vocabulary,
        };
        let mut of_tokens = weights.of_tokens()?;
        of_tokens.f_copy_(logits)?;
        scale.replace(&mut of_tokens)?;
        Ok(weights)
    }

    /// Those of the vocabulary, in the same memory.
    fn of_tokens(&self) -> Result<Tensor, TchError> {
        self.padded.f_narrow(1, 0, self.vocabulary)
    }

    /// Gives all tokens a weight of 0 that are not kept.
    fn keep(&self, logits: &Tensor, kept: &Kept) -> Result<(), TchError> {
        let gone = kept.of(logits)?.f_logical_not()?;
        let _same = self.of_tokens()?.f_masked_fill_(&gone, 0.0)?;
        Ok(())
    }

    fn draw(&self, uniforms: &Tensor) -> Result<Tensor, TchError> {
        let rows = self.padded.size2()?.0;
        let masses =
            self.padded
                .f_view([rows, -1, BLOCK])?
                .f_sum_dim_intlist([2].as_slice(), false, Kind::Double)?;
        let blocks = Blocks {
            cumulative: masses.f_cumsum(1, Kind::Double)?,
            masses,
        };
        let (first, target) = blocks.find(&uniforms.f_mul(&blocks.total()?)?)?;
        let weights = self.padded.f_gather(1, &in_block(&first)?, false)?;
        first.f_add(&first_over(
            &weights,
            &weights.f_cumsum(1, Kind::Double)?,
            &target,
        )?)
    }

    fn of(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        self.padded.f_gather(1, tokens, false)
    }

    fn total(&self) -> Result<Tensor, TchError> {
        self.padded.f_sum_dim_intlist([1].as_slice(), true, Kind::Double)
    }
}

/// The tokens that top-k keeps, or the nucleus of them.
pub(crate) struct Candidates<'a> {
    /// `[rows, vocabulary]`.
    logits: &'a Tensor,
    scale: Scale<'a>,
    kept: Kept,
    /// How many tokens that share the least logit are kept through each block, `[rows, blocks]`.
    shared: Tensor,
    blocks: Blocks,
}

impl<'a> Candidates<'a> {
    /// `tokens` are those of the sorted logits.
    fn new(
        logits: &'a Tensor,
        scale: Scale<'a>,
        sorted: &Sorted,
        tokens: &Tensor,
        tails: Option<&Tensor>,
    ) -> Result<Self, TchError> {
        let all = sorted.all()?;
        let mut shared = shared_through_blocks(logits, &all.least)?;
        let kept = match tails {
            None => all,
            Some(tails) => {
                let over = sorted.logits.f_gt_tensor(&all.least)?;
                let count_over = over.f_sum_dim_intlist([1].as_slice(), true, Kind::Int64)?;
                let count_shared = shared.f_narrow(1, -1, 1)?;
                let more = count_over
                    .f_add(&count_shared)?
                    .f_sub(&sorted.last)?
                    .f_sub_scalar(1)?;
                let total = sorted
                    .weights
                    .f_mul(&over)?
                    .f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?
                    .f_add(&scale.weights(&all.least)?.f_mul(&count_shared)?)?;
                let kept = sorted.nucleus(tails, &total, &more)?;
                shared = shared_through_blocks(logits, &kept.least)?;
                kept
            }
        };
        let shared = shared.f_minimum(&kept.most_shared)?;
        let of_shared = scale.weights(&kept.least)?.f_mul(&shared)?;
        let count = blocks(logits.size2()?.1);
        let cumulative = weights_through_blocks(sorted, tokens, &kept.least, count)?.f_add(&of_shared)?;
        Ok(Self {
            logits,
            scale,
            kept,
            shared,
            blocks: Blocks::new(cumulative)?,
        })
    }

    /// The weights `[rows, BLOCK]` of the tokens of the blocks that begin with the tokens `first` `[rows, 1]`.
    fn of_block(&self, first: &Tensor) -> Result<Tensor, TchError> {
        let vocabulary = self.logits.size2()?.1;
        let tokens = in_block(first)?;
        let exists = tokens.f_lt(vocabulary)?;
        let logits = self
            .logits
            .f_gather(1, &tokens.f_clamp_max(vocabulary - 1)?, false)?;
        let shares = logits.f_eq_tensor(&self.kept.least)?.f_logical_and(&exists)?;
        let block = first.f_floor_divide_scalar(BLOCK)?;
        let rank = before(&self.shared, &block)?.f_add(&shares.f_cumsum(1, Kind::Int64)?)?;
        let over = logits.f_gt_tensor(&self.kept.least)?.f_logical_and(&exists)?;
        let stays = shares
            .f_logical_and(&rank.f_le_tensor(&self.kept.most_shared)?)?
            .f_logical_or(&over)?;
        let mut weights = self.scale.weights(&logits)?;
        weights.f_masked_fill_(&stays.f_logical_not()?, 0.0)
    }

    fn draw(&self, uniforms: &Tensor) -> Result<Tensor, TchError> {
        let (first, target) = self.blocks.find(&uniforms.f_mul(&self.blocks.total()?)?)?;
        let weights = self.of_block(&first)?;
        first.f_add(&first_over(
            &weights,
            &weights.f_cumsum(1, Kind::Double)?,
            &target,
        )?)
    }

    fn of(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let first = tokens.f_floor_divide_scalar(BLOCK)?.f_mul_scalar(BLOCK)?;
        self.of_block(&first)?.f_gather(1, &tokens.f_sub(&first)?, false)
    }
}

/// How many tokens of `logits` `[rows, vocabulary]` have the logit `least` `[rows, 1]`, through each block: `[rows, blocks]` (int64).
fn shared_through_blocks(logits: &Tensor, least: &Tensor) -> Result<Tensor, TchError> {
    let (rows, vocabulary) = logits.size2()?;
    let missing = blocks(vocabulary) * BLOCK - vocabulary;
    let shares = logits.f_eq_tensor(least)?.f_constant_pad_nd([0, missing])?;
    shares
        .f_view([rows, -1, BLOCK])?
        .f_sum_dim_intlist([2].as_slice(), false, Kind::Int64)?
        .f_cumsum(1, Kind::Int64)
}

/// What the weights of the sorted tokens with a larger logit than `least` add up to through each of `count` blocks, `[rows, count]`.
fn weights_through_blocks(
    sorted: &Sorted,
    tokens: &Tensor,
    least: &Tensor,
    count: i64,
) -> Result<Tensor, TchError> {
    let rows = tokens.size2()?.0;
    let device = tokens.device();
    let over = sorted.logits.f_gt_tensor(least)?;
    // In order of token id; the others behind them.
    let ids = tokens.f_masked_fill(&over.f_logical_not()?, count * BLOCK)?;
    let (ids, order) = ids.f_sort(1, false)?;
    let weights = sorted.weights.f_mul(&over)?.f_gather(1, &order, false)?;
    let nothing = Tensor::f_zeros([rows, 1], (Kind::Double, device))?;
    let cumulative = Tensor::f_cat(&[nothing, weights.f_cumsum(1, Kind::Double)?], 1)?;
    let ends = Tensor::f_arange(count, (Kind::Int64, device))?
        .f_add_scalar(1)?
        .f_mul_scalar(BLOCK)?
        .f_expand([rows, count], false)?
        .f_contiguous()?;
    let through = ends.f_searchsorted(&ids, false, false, "left", None::<Tensor>)?;
    cumulative.f_gather(1, &through, false)
}

/// Sums over blocks of tokens.
struct Blocks {
    /// `[rows, blocks]`; of a block without a weight 0.
    masses: Tensor,
    /// The same with all blocks before.
    cumulative: Tensor,
}

impl Blocks {
    fn new(cumulative: Tensor) -> Result<Self, TchError> {
        let nothing = cumulative.f_narrow(1, 0, 1)?.f_zeros_like()?;
        let masses = cumulative.f_diff(1, 1, Some(&nothing), None)?;
        Ok(Self { masses, cumulative })
    }

    /// The weight of all, `[rows, 1]`.
    fn total(&self) -> Result<Tensor, TchError> {
        self.cumulative.f_narrow(1, -1, 1)
    }

    /// The first token of the block in which the weights come to more than `targets` `[rows, 1]`, and by how much the target is beyond
    /// the blocks before.
    fn find(&self, targets: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let block = first_over(&self.masses, &self.cumulative, targets)?;
        let beyond = targets.f_sub(&before(&self.cumulative, &block)?)?;
        Ok((block.f_mul_scalar(BLOCK)?, beyond))
    }
}

/// Blocks of a vocabulary.
fn blocks(vocabulary: i64) -> i64 {
    (vocabulary + BLOCK - 1) / BLOCK
}

/// The tokens `[rows, BLOCK]` of blocks that begin with the tokens `first` `[rows, 1]`.
fn in_block(first: &Tensor) -> Result<Tensor, TchError> {
    let offsets = Tensor::f_arange(BLOCK, (Kind::Int64, first.device()))?;
    first.f_add(&offsets.f_unsqueeze(0)?)
}

/// What `cumulative` `[rows, blocks]` is through the block before `block` `[rows, 1]`; 0 before the first.
fn before(cumulative: &Tensor, block: &Tensor) -> Result<Tensor, TchError> {
    cumulative
        .f_gather(1, &block.f_sub_scalar(1)?.f_clamp_min(0)?, false)?
        .f_mul(&block.f_gt(0)?)
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
