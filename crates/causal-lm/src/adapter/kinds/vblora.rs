//! VB-LoRA (Li et al. 2024): B·A, both put together from mixes of a bank's vectors.

use model_folder::adapter::VbLora;
use tch::{Kind, Tensor};

use super::{Effect, Stored};
use crate::Error;

pub(super) fn effect(change: &VbLora, stored: &Stored<'_>) -> Result<Effect, Error> {
    let bank = stored.tensor(&change.bank)?;
    let mixes = |name: &str| mixed(&stored.tensor(name)?, &bank, change.mixed as i64);
    // `[rank, pieces, length]` and `[pieces, rank, length]`.
    let (down, up) = (mixes(&change.logits_a)?, mixes(&change.logits_b)?);
    let rank = down.size3()?.0;
    let down = down.f_reshape([rank, -1])?;
    let up = up.f_transpose(1, 2)?.f_reshape([-1, rank])?;
    Ok(Effect::low_rank(down, up, 1.0))
}

/// For each vector of logits, the mix of the `count` vectors of the bank with the largest, by their softmax.
fn mixed(logits: &Tensor, bank: &Tensor, count: i64) -> Result<Tensor, Error> {
    let (largest, places) = logits.f_topk(count, -1, true, true)?;
    let shares = largest.f_softmax(-1, Kind::Float)?;
    let vectors = Tensor::f_embedding(bank, &places, -1, false, false)?;
    Ok(vectors
        .f_mul(&shares.f_unsqueeze(-1)?)?
        .f_sum_dim_intlist([-2].as_slice(), false, Kind::Float)?)
}
