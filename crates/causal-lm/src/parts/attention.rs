//! Causal attention of several heads, with keys and values from a cache or from the tokens themselves.

use tch::Tensor;

use super::{Linear, Masks, attend_single};
use crate::{Error, KvCache};

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
        let (rows, tokens, _) = input.size3()?;
        let projected = linear.forward(input, training)?;
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
}

/// Softmax(Q·Kᵀ · scale + mask)·V of `[rows, heads, tokens, width]`, joined to `[rows, tokens, heads · width]`.
pub(crate) fn attend(
    how: &Attention,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    cache: Option<&mut KvCache>,
) -> Result<Tensor, Error> {
    let (rows, heads, tokens, width) = query.size4()?;
    let mask = how.masks.choose(how.windowed);
    let causal = how.masks.causal(how.windowed);
    let grouped = keys.size()[1] != heads;
    let attended = match cache {
        Some(cache) => {
            let (keys, values) = cache.append(how.layer, keys, values)?;
            if let Some(attended) = attend_single(query, &keys, &values, mask, how.scale)? {
                return Ok(attended);
            }
            Tensor::f_scaled_dot_product_attention(
                query, &keys, &values, mask, 0.0, causal, how.scale, grouped,
            )?
        }
        None => Tensor::f_scaled_dot_product_attention(
            query, keys, values, mask, 0.0, causal, how.scale, grouped,
        )?,
    };
    Ok(attended
        .f_transpose(1, 2)?
        .f_reshape([rows, tokens, heads * width])?)
}
