//! LoKr (Yeh et al. 2024): scale · W₁ ⊗ W₂.

use model_folder::adapter::{Factor, LoKr};
use tch::Tensor;

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;

pub(super) fn effect(change: &LoKr, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let matrix = |factor: &Factor| -> Result<Tensor, Error> {
        match factor {
            Factor::Whole(name) => stored.tensor(name),
            Factor::Product(left, right) => Ok(stored.tensor(left)?.f_matmul(&stored.tensor(right)?)?),
        }
    };
    let update = matrix(&change.first)?.f_kron(&matrix(&change.second)?)?;
    Effect::added(layer, &update.f_mul_scalar(change.scale)?)
}
