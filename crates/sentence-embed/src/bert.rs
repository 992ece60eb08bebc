//! The forward pass of BERT (Devlin et al., 2019), without dropout and without heads.

use tch::{TchError, Tensor};

use crate::EmbedError;
use crate::settings::{Activation, BertConfig};
use crate::weights::Weights;

pub(crate) struct Bert {
    /// `[vocabulary, hidden]`
    words: Tensor,
    /// `[positions, hidden]`, the vector of the first token type added: a single sentence knows no other.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    pub(crate) fn load(config: &BertConfig, weights: &Weights) -> Result<Self, EmbedError> {
        let hidden = config.hidden_size;
        let table = |name: &str, rows| {
            weights.tensor(&format!("embeddings.{name}_embeddings.weight"), &[rows, hidden])
        };
        let token_type = table("token_type", config.type_vocab_size)?.f_select(0, 0)?;
        Ok(Self {
            words: table("word", config.vocab_size)?,
            positions: table("position", config.max_position_embeddings)?.f_add(&token_type)?,
            norm: LayerNorm::load(config, weights, "embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, weights, &format!("encoder.layer.{layer}")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The last layer's output, `[batch, length, hidden]`, for token ids `[batch, length]` and a mask of the same shape that
    /// is true where there is a token and false where there is padding; every row needs a token.
    pub(crate) fn forward(&self, tokens: &Tensor, mask: &Tensor) -> Result<Tensor, TchError> {
        let positions = self.positions.f_narrow(0, 0, tokens.size2()?.1)?;
        let words = Tensor::f_embedding(&self.words, tokens, -1, false, false)?;
        let mut states = self.norm.forward(&words.f_add(&positions)?)?;
        let mask = mask.f_unsqueeze(1)?.f_unsqueeze(1)?; // [batch, 1 (heads), 1 (queries), length]
        for layer in &self.layers {
            states = layer.forward(&states, &mask)?;
        }
        Ok(states)
    }
}

/// Attention and feed-forward block, each added to its input and normalised after.
struct Layer {
    heads: i64,
    /// Query, key and value of all heads in one product.
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    activation: Activation,
    output: Linear,
    output_norm: LayerNorm,
}

impl Layer {
    fn load(config: &BertConfig, weights: &Weights, name: &str) -> Result<Self, EmbedError> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let linear = |part: &str, from, to| Linear::load(weights, &format!("{name}.{part}"), from, to);
        let norm = |part: &str| LayerNorm::load(config, weights, &format!("{name}.{part}"));
        Ok(Self {
            heads: config.num_attention_heads,
            query_key_value: Linear::stack(&[
                linear("attention.self.query", hidden, hidden)?,
                linear("attention.self.key", hidden, hidden)?,
                linear("attention.self.value", hidden, hidden)?,
            ])?,
            attention_output: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: norm("attention.output.LayerNorm")?,
            intermediate: linear("intermediate.dense", hidden, intermediate)?,
            activation: config.hidden_act,
            output: linear("output.dense", intermediate, hidden)?,
            output_norm: norm("output.LayerNorm")?,
        })
    }

    fn forward(&self, states: &Tensor, mask: &Tensor) -> Result<Tensor, TchError> {
        let attended = self.attention_output.forward(&self.attend(states, mask)?)?;
        let states = self.attention_norm.forward(&attended.f_add(states)?)?;
        let inner = activate(self.activation, &self.intermediate.forward(&states)?)?;
        self.output_norm
            .forward(&self.output.forward(&inner)?.f_add(&states)?)
    }

    fn attend(&self, states: &Tensor, mask: &Tensor) -> Result<Tensor, TchError> {
        let (batch, length, hidden) = states.size3()?;
        let split = [batch, length, 3, self.heads, hidden / self.heads];
        // [3, batch, heads, length, hidden / heads]
        let parts = self
            .query_key_value
            .forward(states)?
            .f_reshape(split)?
            .f_permute([2, 0, 3, 1, 4])?;
        let (query, key, value) = (parts.f_get(0)?, parts.f_get(1)?, parts.f_get(2)?);
        let attended = Tensor::f_scaled_dot_product_attention(
            &query,
            &key,
            &value,
            Some(mask),
            0.0,
            false,
            None,
            false,
        )?;
        attended.f_transpose(1, 2)?.f_reshape([batch, length, hidden])
    }
}

fn activate(activation: Activation, states: &Tensor) -> Result<Tensor, TchError> {
    match activation {
        Activation::Gelu => states.f_gelu("none"),
        Activation::GeluNew => states.f_gelu("tanh"),
        Activation::Relu => states.f_relu(),
    }
}

/// `x · weightᵀ + bias`
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(weights: &Weights, name: &str, from: i64, to: i64) -> Result<Self, EmbedError> {
        let weight = weights.tensor(&format!("{name}.weight"), &[to, from])?;
        Ok(Self {
            weight,
            bias: weights.tensor(&format!("{name}.bias"), &[to])?,
        })
    }

    /// One layer whose outputs are those of `layers`, one after the other.
    fn stack(layers: &[Linear]) -> Result<Self, TchError> {
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Vec<&Tensor> = layers.iter().map(|layer| &layer.bias).collect();
        Ok(Self {
            weight: Tensor::f_cat(&weights, 0)?,
            bias: Tensor::f_cat(&biases, 0)?,
        })
    }

    fn forward(&self, states: &Tensor) -> Result<Tensor, TchError> {
        states.f_linear(&self.weight, Some(&self.bias))
    }
}

struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    fn load(config: &BertConfig, weights: &Weights, name: &str) -> Result<Self, EmbedError> {
        let size = [config.hidden_size];
        let weight = weights.tensor(&format!("{name}.weight"), &size)?;
        let bias = weights.tensor(&format!("{name}.bias"), &size)?;
        Ok(Self {
            weight,
            bias,
            epsilon: config.layer_norm_eps,
        })
    }

    fn forward(&self, states: &Tensor) -> Result<Tensor, TchError> {
        states.f_layer_norm(
            self.weight.size(),
            Some(&self.weight),
            Some(&self.bias),
            self.epsilon,
            true,
        )
    }
}
