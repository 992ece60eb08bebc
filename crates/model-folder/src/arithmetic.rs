//! Facts of `config.json` that choose between formulas; the formulas themselves are in `causal-lm`.

/// An activation of a feed-forward layer, as `config.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
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
}

/// Rotary positions (Su et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotarySettings {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Numbers of each head that are turned; the others stay.
    pub rotated: i64,
    /// How the frequencies were stretched for longer contexts.
    pub scaling: FrequencyScaling,
}

/// How frequencies were stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrequencyScaling {
    /// Not at all.
    None,
    /// All alike (Chen et al. 2023).
    Linear {
        /// Divisor of every frequency.
        factor: f64,
    },
    /// Long waves fully, short ones not at all, those between in part (Llama 3.1).
    Llama3 {
        /// Divisor of the frequencies of long waves.
        factor: f64,
        /// Waves longer than the original context divided by this are long.
        low: f64,
        /// Waves shorter than the original context divided by this are short.
        high: f64,
        /// Context that the model was pre-trained with.
        original_context: f64,
    },
}
