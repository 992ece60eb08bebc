//! Embeddings and norms.

use tch::Tensor;

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

/// A norm over the last dimension: layer norm where it has a bias, else root mean square (Zhang and Sennrich 2019).
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) path: String,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) epsilon: f64,
}

impl Norm {
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor, Error> {
        let weight = cast(&self.weight, input.kind())?;
        Ok(match &self.bias {
            Some(bias) => {
                let bias = cast(bias, input.kind())?;
                input.f_layer_norm(
                    self.weight.size(),
                    Some(&weight),
                    Some(&bias),
                    self.epsilon,
                    false,
                )?
            }
            None => input.f_rms_norm(self.weight.size(), Some(&weight), self.epsilon)?,
        })
    }
}
