//! Causal attention of several heads, with keys and values from a cache or from the tokens themselves.

use cpu_kernels::decode_attention;
use tch::{Kind, Tensor};

use super::{Documents, Linear, Masks, attend_together, cast};
use crate::{Error, KvCache};

/// Attention scores that are held at once where they have a soft cap, in bytes of float32.
const CAPPED_SCORES_BYTES: i64 = 64 << 20;

/// How a projection divides into heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads of queries.
    pub(crate) queries: i64,
    /// Heads of keys and values; fewer than those of queries where several share one (grouped-query attention).
    pub(crate) keys: i64,
    /// Width of each.
    pub(crate) width: i64,
}

impl Heads {
    /// Projects `input` `[rows, tokens, …]` and divides the result into `count` heads: `[rows, count, tokens, width]`.
    pub(crate) fn project(
        self,
        linear: &Linear,
        count: i64,
        input: &Tensor,
        training: bool,
    ) -> Result<Tensor, Error> {
        self.divide(&linear.forward(input, training)?, count)
    }

    /// Divides `[rows, tokens, count · width]` into `count` heads: `[rows, count, tokens, width]`.
    pub(crate) fn divide(self, projected: &Tensor, count: i64) -> Result<Tensor, Error> {
        let (rows, tokens, _) = projected.size3()?;
        Ok(projected
            .f_view([rows, tokens, count, self.width])?
            .f_transpose(1, 2)?)
    }
}

/// What one layer's attention works on.
#[derive(Debug)]
pub(crate) struct Attention<'a> {
    /// Number of the layer, for the cache.
    pub(crate) layer: usize,
    /// Which keys each query may see.
    pub(crate) masks: &'a Masks,
    /// Whether only the last tokens of the window are seen.
    pub(crate) windowed: bool,
    /// Factor on the scores; 1/√width where there is none.
    pub(crate) scale: Option<f64>,
    /// Soft cap of the scores: cap · tanh(score / cap) in place of each.
    pub(crate) cap: Option<f64>,
}

/// Softmax(cap(Q·Kᵀ · scale) + mask)·V of `[rows, heads, tokens, width]`, joined to `[rows, tokens, heads · width]`.
pub(crate) fn attend(
    how: &Attention,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    cache: Option<&mut KvCache>,
) -> Result<Tensor, Error> {
    let (rows, heads, tokens, width) = query.size4()?;
    let attended = match cache {
        Some(cache) => {
            let (keys, values) = cache.append(how.layer, keys, values)?;
            let mask = how.masks.choose(how.windowed);
            if let Some(attended) = decode_attention(query, &keys, &values, mask, how.scale, how.cap)? {
                return Ok(attended);
            }
            attend_to(how, how.masks, query, &keys, &values)?
        }
        None => match how.masks.documents() {
            None => attend_to(how, how.masks, query, keys, values)?,
            Some(Documents::Together(documents)) => attend_together(how, documents, query, keys, values)?,
            Some(Documents::OneByOne(documents)) => {
                let lengths: Vec<i64> = documents.iter().map(|(length, _)| *length).collect();
                let divide = |whole: &Tensor| whole.f_split_with_sizes(&lengths, 2);
                let (queries, keys, values) = (divide(query)?, divide(keys)?, divide(values)?);
                let mut attended = Vec::with_capacity(documents.len());
                for (number, (_, masks)) in documents.iter().enumerate() {
                    attended.push(attend_to(
                        how,
                        masks,
                        &queries[number],
                        &keys[number],
                        &values[number],
                    )?);
                }
                Tensor::f_cat(&attended, 2)?
            }
        },
    };
    Ok(attended
        .f_transpose(1, 2)?
        .f_reshape([rows, tokens, heads * width])?)
}

pub(super) fn attend_to(
    how: &Attention,
    masks: &Masks,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor, Error> {
    if let Some(cap) = how.cap {
        return attend_capped(how, cap, masks, query, keys, values);
    }
    let grouped = keys.size()[1] != query.size()[1];
    Ok(Tensor::f_scaled_dot_product_attention(
        query,
        keys,
        values,
        masks.choose(how.windowed),
        0.0,
        masks.causal(how.windowed),
        how.scale,
        grouped,
    )?)
}

/// As [`attend_to`] with a soft cap on the scores, which LibTorch's own attention does not know; some queries at a time.
fn attend_capped(
    how: &Attention,
    cap: f64,
    masks: &Masks,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor, Error> {
    let (rows, heads, tokens, width) = query.size4()?;
    let (_, key_heads, held, _) = keys.size4()?;
    let scale = how.scale.unwrap_or(1.0 / (width as f64).sqrt());
    // Heads of queries that share one of keys stand behind one another.
    let query = query.f_reshape([rows, key_heads, heads / key_heads, tokens, width])?;
    let (keys, values) = (keys.f_unsqueeze(2)?.f_transpose(-2, -1)?, values.f_unsqueeze(2)?);
    let at_once = (CAPPED_SCORES_BYTES / (4 * rows * heads * held).max(1)).clamp(1, tokens.max(1));
    let mut parts = Vec::new();
    for first in (0..tokens).step_by(at_once as usize) {
        let count = at_once.min(tokens - first);
        let scores = query.f_narrow(3, first, count)?.f_matmul(&keys)?;
        let scores = cast(&scores, Kind::Float)?.f_mul_scalar(scale / cap)?;
        let mut scores = scores.f_tanh()?.f_mul_scalar(cap)?;
        let visible = match masks.choose(how.windowed) {
            // `[rows, 1, tokens, held]` or `[tokens, held]`.
            Some(mask) if mask.dim() == 4 => Some(mask.f_unsqueeze(1)?.f_narrow(3, first, count)?),
            Some(mask) => Some(mask.f_narrow(0, first, count)?),
            None if masks.causal(how.windowed) => {
                let ones = Tensor::f_ones([count, held], (Kind::Bool, query.device()))?;
                Some(ones.f_tril(first)?)
            }
            None => None,
        };
        if let Some(visible) = visible {
            scores = scores.f_masked_fill(&visible.f_logical_not()?, f64::NEG_INFINITY)?;
        }
        let shares = scores.f_softmax(-1, Kind::Float)?;
        parts.push(cast(&shares, values.kind())?.f_matmul(&values)?);
    }
    let attended = Tensor::f_cat(&parts, 3)?;
    Ok(attended.f_reshape([rows, heads, tokens, width])?)
}
