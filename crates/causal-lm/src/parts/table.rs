//! Embeddings and norms.

use model_folder::RmsNormForm;
use tch::{Kind, Tensor};

use super::cast;
use crate::Error;

/// Vectors looked up by number.
#[derive(Debug)]
pub(crate) struct Embedding {
    pub(crate) path: String,
    /// `[entries, width]`.
    pub(crate) weight: Tensor,
}

impl Embedding {
    /// Vectors `[…, width]` of numbers `[…]`; what is vectors already stays what it is.
    pub(crate) fn forward(&self, numbers: &Tensor) -> Result<Tensor, Error> {
        if numbers.is_floating_point() {
            return Ok(numbers.shallow_clone());
        }
        Ok(Tensor::f_embedding(&self.weight, numbers, -1, false, false)?)
    }
}

/// A norm over the last dimension.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) path: String,
    pub(crate) weight: Tensor,
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
}

/// Which norm it is.
#[derive(Debug)]
pub(crate) enum NormKind {
    /// Layer norm, with its bias.
    Layer {
        /// `[width]`.
        bias: Tensor,
    },
    /// Root mean square (Zhang and Sennrich 2019).
    RootMeanSquare(RmsNormForm),
}

impl Norm {
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor, Error> {
        let (kind, size) = (input.kind(), self.weight.size());
        match &self.kind {
            NormKind::Layer { bias } => {
                let (weight, bias) = (cast(&self.weight, kind)?, cast(bias, kind)?);
                Ok(input.f_layer_norm(size, Some(&weight), Some(&bias), self.epsilon, false)?)
            }
            NormKind::RootMeanSquare(RmsNormForm::Weight) => {
                Ok(input.f_rms_norm(size, Some(&cast(&self.weight, kind)?), self.epsilon)?)
            }
            NormKind::RootMeanSquare(form) => {
                let mut weight = cast(&self.weight, Kind::Float)?;
                if *form == RmsNormForm::OnePlusWeight {
                    weight = weight.f_add_scalar(1.0)?;
                }
                let normed = cast(input, Kind::Float)?.f_rms_norm(size, Some(&weight), self.epsilon)?;
                cast(&normed, kind)
            }
        }
    }

    /// Its path, its weight, and its bias where it has one.
    pub(crate) fn tensors_mut(&mut self) -> (&String, &mut Tensor, Option<&mut Tensor>) {
        let bias = match &mut self.kind {
            NormKind::Layer { bias } => Some(bias),
            NormKind::RootMeanSquare(_) => None,
        };
        (&self.path, &mut self.weight, bias)
    }
}
