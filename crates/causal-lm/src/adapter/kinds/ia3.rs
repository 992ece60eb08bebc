//! (IA)³ (Liu et al. 2022): columns of the weight scaled, or its rows and the bias with them.

use model_folder::adapter::{Ia3, Side};
use tch::Kind;

use super::{Effect, Stored};
use crate::Error;
use crate::parts::Linear;

pub(super) fn effect(change: &Ia3, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    let weight = layer.float_weight()?;
    // `[1, in]` or `[out, 1]`, each as it lies over the weight.
    let scales = stored.tensor(&change.scales)?.f_to_device(weight.device())?;
    let bias = match (&layer.bias, change.side) {
        (Some(bias), Side::Outputs) => Some(bias.f_to_kind(Kind::Float)?.f_mul(&scales.f_flatten(0, -1)?)?),
        _ => None,
    };
    Ok(Effect::Replaced {
        weight: weight.f_mul(&scales)?,
        bias,
    })
}
