//! VeRA (Kopiczko et al. 2024): diag(b)·B·diag(d)·A, a low-rank update whose A and B all modules share.

use model_folder::adapter::{Projections, Vera};
use tch::{Device, Kind, Tensor};

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;
use crate::seeded::seeded;

pub(super) fn effect(change: &Vera, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let (a, b) = projections(&change.projections, stored)?;
    let (b_scales, d_scales) = (stored.tensor(&change.lambda_b)?, stored.tensor(&change.lambda_d)?);
    let down = a
        .f_narrow(1, 0, layer.in_features())?
        .f_mul(&d_scales.f_unsqueeze(1)?)?;
    let up = b
        .f_narrow(0, 0, layer.out_features())?
        .f_mul(&b_scales.f_unsqueeze(1)?)?;
    Ok(Effect::low_rank(down, up, 1.0))
}

/// A and B, from the file or the generator.
fn projections(projections: &Projections, stored: &Stored<'_>) -> Result<(Tensor, Tensor), Error> {
    let (seed, rank, inputs, outputs) = match projections {
        Projections::Stored { a, b } => return Ok((stored.tensor(a)?, stored.tensor(b)?)),
        Projections::Drawn {
            seed,
            rank,
            inputs,
            outputs,
        } => (*seed, *rank as i64, *inputs as i64, *outputs as i64),
    };
    let drawn = stored.drawn("A and B", || {
        seeded(seed, || Ok(vec![uniform(rank, inputs)?, uniform(outputs, rank)?]))
    })?;
    Ok((drawn[0].shallow_clone(), drawn[1].shallow_clone()))
}

/// Kaiming's uniform start (He et al. 2015): up to ±√(6 / columns).
fn uniform(rows: i64, columns: i64) -> Result<Tensor, Error> {
    let bound = 3f64.sqrt() * (2f64.sqrt() / (columns as f64).sqrt());
    let mut tensor = Tensor::f_empty([rows, columns], (Kind::Float, Device::Cpu))?;
    Ok(tensor.f_uniform_(-bound, bound)?)
}
