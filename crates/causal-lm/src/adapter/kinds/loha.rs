//! LoHa (Hyeon-Woo et al. 2022): scale · (A₁·B₁) ∘ (A₂·B₂).

use model_folder::adapter::LoHa;
use tch::Tensor;

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;

pub(super) fn effect(change: &LoHa, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let product = |[left, right]: &[String; 2]| -> Result<Tensor, Error> {
        Ok(stored.tensor(left)?.f_matmul(&stored.tensor(right)?)?)
    };
    let update = product(&change.first)?.f_mul(&product(&change.second)?)?;
    Effect::added(layer, &update.f_mul_scalar(change.scale)?)
}
