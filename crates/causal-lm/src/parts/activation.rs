//! The activations of feed-forward layers.

use tch::Tensor;

use crate::Error;

/// An activation, as `config.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · Φ(x).
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The activation that transformers knows by `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            "silu" | "swish" => Some(Self::Silu),
            "relu" => Some(Self::Relu),
            _ => None,
        }
    }

    pub(crate) fn forward(self, input: &Tensor) -> Result<Tensor, Error> {
        Ok(match self {
            Self::Gelu => input.f_gelu("none")?,
            Self::GeluTanh => input.f_gelu("tanh")?,
            Self::Silu => input.f_silu()?,
            Self::Relu => input.f_relu()?,
        })
    }
}
