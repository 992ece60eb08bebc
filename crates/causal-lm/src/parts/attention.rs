//! Causal attention of several heads, with keys and values from a cache or from the tokens themselves.

use tch::Tensor;

use super::{Linear, Masks, decode_attention};
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
    let attended = match cache {
        Some(cache) => {
            let (keys, values) = cache.append(how.layer, keys, values)?;
            let mask = how.masks.choose(how.windowed);
            if let Some(attended) = decode_attention(query, &keys, &values, mask, how.scale)? {
                return Ok(attended);
            }
            attend_to(how, how.masks, query, &keys, &values)?
        }
        None => match how.masks.documents() {
            None => attend_to(how, how.masks, query, keys, values)?,
            Some(documents) => {
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

fn attend_to(
    how: &Attention,
    masks: &Masks,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor, Error> {
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
