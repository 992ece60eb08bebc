//! OFT (Qiu et al. 2023): W·diag(R₁, …)ᵀ, each R a rotation by Cayley's formula (I − Q)·(I + Q)⁻¹ of a skew-symmetric Q.

use model_folder::adapter::Oft;
use tch::{Kind, Tensor};

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;

pub(super) fn effect(change: &Oft, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let weight = layer.float_weight()?;
    let mut skew = skew_symmetric(&stored.tensor(&change.angles)?, change.size as i64)?;
    if let Some(limit) = change.limit {
        skew = limited(&skew, limit)?;
    }
    let rotations = rotations(&skew, change.terms)?.f_to_device(weight.device())?;
    let (rows, columns) = weight.size2()?;
    // x·R for each block of x is W·Rᵀ for each block of columns; one block is shared by broadcasting.
    let blocks = weight.f_view([rows, change.blocks as i64, 1, change.size as i64])?;
    let turned = blocks.f_matmul(&rotations.f_transpose(-2, -1)?)?;
    Ok(Effect::Replaced {
        weight: turned.f_reshape([rows, columns])?,
        bias: None,
    })
}

/// Matrices `[blocks, size, size]` from what lies above their diagonals.
fn skew_symmetric(angles: &Tensor, size: i64) -> Result<Tensor, Error> {
    let above = Tensor::f_triu_indices(size, size, 1, (Kind::Int64, angles.device()))?;
    let places = above
        .f_select(0, 0)?
        .f_mul_scalar(size)?
        .f_add(&above.f_select(0, 1)?)?;
    let blocks = angles.size2()?.0;
    let upper = Tensor::f_zeros([blocks, size * size], (Kind::Float, angles.device()))?;
    let upper = upper
        .f_index_copy(1, &places, angles)?
        .f_view([blocks, size, size])?;
    Ok(upper.f_sub(&upper.f_transpose(-2, -1)?)?)
}

/// The matrices, those whose norm is over limit / √blocks cut to it (COFT).
fn limited(skew: &Tensor, limit: f64) -> Result<Tensor, Error> {
    let limit = limit / (skew.size3()?.0 as f64).sqrt();
    let norms = skew.f_norm_scalaropt_dim(2.0, [1, 2].as_slice(), true)?;
    let cut = skew.f_div(&norms)?.f_mul_scalar(limit)?;
    Ok(skew.f_where_self(&norms.f_le(limit)?, &cut)?)
}

/// The rotations, by the inverse or by the first terms of its Neumann series: I + 2·Q + 2·Q² + … + the last power once.
fn rotations(skew: &Tensor, terms: Option<usize>) -> Result<Tensor, Error> {
    let size = skew.size3()?.1;
    let identity = Tensor::f_eye(size, (Kind::Float, skew.device()))?;
    let Some(terms) = terms else {
        let (over, under) = (identity.f_sub(skew)?, identity.f_add(skew)?);
        return Ok(Tensor::f_linalg_solve(&under, &over, false)?);
    };
    let mut sum = identity.f_expand_as(skew)?;
    if terms > 1 {
        sum = sum.f_add(&skew.f_mul_scalar(2.0)?)?;
    }
    if terms > 2 {
        let mut power = skew.f_matmul(skew)?;
        sum = sum.f_add(&power.f_mul_scalar(2.0)?)?;
        for _ in 3..terms.max(4) - 1 {
            power = power.f_matmul(skew)?;
            sum = sum.f_add(&power.f_mul_scalar(2.0)?)?;
        }
        sum = sum.f_add(&power.f_matmul(skew)?)?;
    }
    Ok(sum)
}
