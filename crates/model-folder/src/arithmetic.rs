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
#[derive(Debug, Clone, PartialEq)]
pub struct RotarySettings {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Numbers of each head that are turned; the others stay.
    pub rotated: i64,
    /// How the frequencies were stretched for longer contexts.
    pub scaling: FrequencyScaling,
    /// Whether queries and keys are turned in float32 whatever the model computes in.
    pub in_float32: bool,
}

/// How frequencies were stretched.
#[derive(Debug, Clone, PartialEq)]
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
    /// Each by a factor of its own (LongRoPE, Ding et al. 2024, arXiv 2402.13753), as in texts that fit the original context.
    LongRope {
        /// Divisors of the frequencies, one for each.
        factors: Vec<f64>,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
}

/// What a root-mean-square norm (Zhang and Sennrich 2019) multiplies by, and in which precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RmsNormForm {
    /// The weight, after rounding to the precision of the input.
    Weight,
    /// The weight, in float32, before rounding.
    WeightInFloat32,
    /// 1 + the weight, in float32, before rounding.
    OnePlusWeight,
}

/// A factor on the input embeddings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingScale {
    /// The factor.
    pub factor: f64,
    /// Whether it is rounded to the precision of the table first.
    pub is_rounded: bool,
}

/// What becomes of the product of hidden states and LM head before it is logits: cap · tanh(product / divisor / cap).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitSettings {
    /// Divisor of the product; 1 in most families.
    pub divisor: f64,
    /// Soft cap: no logit is beyond it (Bello et al. 2016, arXiv 1611.09940).
    pub cap: Option<f64>,
}

impl Default for LogitSettings {
    fn default() -> Self {
        Self {
            divisor: 1.0,
            cap: None,
        }
    }
}
