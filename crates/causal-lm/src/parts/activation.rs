//! The activations of feed-forward layers.

use model_folder::Activation;
use tch::Tensor;

use crate::Error;

/// The activation of every number.
pub(crate) fn activate(activation: Activation, input: &Tensor) -> Result<Tensor, Error> {
    Ok(match activation {
        Activation::Gelu => input.f_gelu("none")?,
        Activation::GeluTanh => input.f_gelu("tanh")?,
        Activation::Silu => input.f_silu()?,
        Activation::Relu => input.f_relu()?,
    })
}
