//! HRA (Yuan et al. 2024): W·(I − 2·u₁·u₁ᵀ)·(I − 2·u₂·u₂ᵀ)·… with directions of length 1.

use model_folder::adapter::Hra;
use tch::Tensor;

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;

pub(super) fn effect(change: &Hra, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let mut weight = layer.float_weight()?;
    let directions = stored.tensor(&change.directions)?.f_to_device(weight.device())?;
    let mut earlier: Vec<Tensor> = Vec::new();
    for number in 0..directions.size2()?.1 {
        let mut direction = directions.f_narrow(1, number, 1)?;
        if change.is_orthogonal {
            for other in &earlier {
                let shared = other.f_tr()?.f_matmul(&direction)?;
                direction = direction.f_sub(&other.f_mul(&shared)?)?;
            }
        }
        let direction = direction.f_div(&direction.f_norm()?)?;
        let mirrored = weight.f_matmul(&direction)?.f_matmul(&direction.f_tr()?)?;
        weight = weight.f_sub(&mirrored.f_mul_scalar(2.0)?)?;
        earlier.push(direction);
    }
    Ok(Effect::Replaced { weight, bias: None })
}
