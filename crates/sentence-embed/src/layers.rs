//! The parts that layers are made of: linear maps, normalisation, activation.

use cpu_kernels::product;
use tch::{Kind, TchError, Tensor};

use crate::EmbedError;
use crate::config::{Activation, TransformerConfig};
use crate::weights::Weights;

impl Activation {
    pub(crate) fn apply(self, states: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Gelu => states.f_gelu("none"),
            Self::GeluNew => states.f_gelu("tanh"),
            Self::Relu => states.f_relu(),
        }
    }
}

/// `x · weightᵀ + bias`, computed in the precision of the weight.
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Reads `<name>.weight` and `<name>.bias`.
    pub(crate) fn load(weights: &Weights, name: &str, from: i64, to: i64) -> Result<Self, EmbedError> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[to, from])?,
            bias: weights.tensor(&format!("{name}.bias"), &[to])?,
        })
    }

    /// One layer whose outputs are those of `layers`, one after the other.
    pub(crate) fn stack(layers: &[Linear]) -> Result<Self, TchError> {
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Vec<&Tensor> = layers.iter().map(|layer| &layer.bias).collect();
        Ok(Self {
            weight: Tensor::f_cat(&weights, 0)?,
            bias: Tensor::f_cat(&biases, 0)?,
        })
    }

    pub(crate) fn forward(&self, states: &Tensor) -> Result<Tensor, TchError> {
        let states = states.f_to_kind(self.weight.f_kind()?)?;
        product(&states, &self.weight, Some(&self.bias))
    }

    /// The same map with weights of another precision.
    pub(crate) fn to_kind(&self, kind: Kind) -> Result<Self, TchError> {
        Ok(Self {
            weight: self.weight.f_to_kind(kind)?,
            bias: self.bias.f_to_kind(kind)?,
        })
    }

    /// Another handle on the same weights.
    pub(crate) fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            bias: self.bias.shallow_clone(),
        }
    }
}

/// Scales every row to mean 0 and variance 1, then by `weight`, and adds `bias` (Ba et al., 2016).
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn load(
        config: &TransformerConfig,
        weights: &Weights,
        name: &str,
    ) -> Result<Self, EmbedError> {
        let size = [config.hidden_size];
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &size)?,
            bias: weights.tensor(&format!("{name}.bias"), &size)?,
            epsilon: config.layer_norm_eps,
        })
    }

    pub(crate) fn forward(&self, states: &Tensor) -> Result<Tensor, TchError> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        states.f_layer_norm(self.weight.size(), weight, bias, self.epsilon, true)
    }

    /// Another handle on the same weights.
    pub(crate) fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            bias: self.bias.shallow_clone(),
            epsilon: self.epsilon,
        }
    }
}
