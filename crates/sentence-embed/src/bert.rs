//! The forward pass of BERT (Devlin et al., 2019) and RoBERTa (Liu et al., 2019), without dropout and without heads.

use tch::{Kind, TchError, Tensor};

use crate::EmbedError;
use crate::config::{Activation, Family, TransformerConfig};
use crate::layers::{LayerNorm, Linear};
use crate::packing::{Batch, Run};
use crate::weights::Weights;

pub(crate) struct Bert {
    /// `[vocabulary, hidden]`
    words: Tensor,
    /// `[positions, hidden]`, the vector of the first token type added: a single sentence knows no other.
    positions: Tensor,
    /// `[types, hidden]`, what another token type has over the first.
    types: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    /// Matrix products and attention are computed in `products`, all else in single precision.
    pub(crate) fn load(
        config: &TransformerConfig,
        weights: &Weights,
        products: Kind,
    ) -> Result<Self, EmbedError> {
        let prefix = match config.family() {
            Family::Bert => weights.prefix("bert."),
            Family::Roberta => weights.prefix("roberta."),
        };
        let table = |name: &str, rows| {
            let name = format!("{prefix}embeddings.{name}_embeddings.weight");
            weights.tensor(&name, &[rows, config.hidden_size])
        };
        let types = table("token_type", config.type_vocab_size)?;
        let first_type = types.f_select(0, 0)?;
        Ok(Self {
            words: table("word", config.vocab_size)?,
            positions: table("position", config.max_position_embeddings)?.f_add(&first_type)?,
            types: types.f_sub(&first_type)?,
            norm: LayerNorm::load(config, weights, &format!("{prefix}embeddings.LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| {
                    Layer::load(
                        config,
                        weights,
                        products,
                        &format!("{prefix}encoder.layer.{layer}"),
                    )
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// The last layer's output, `[tokens, hidden]`.
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor, TchError> {
        let look_up = |table: &Tensor, rows: &Tensor| Tensor::f_embedding(table, rows, -1, false, false);
        let mut states = look_up(&self.words, &batch.ids)?;
        states = states.f_add_(&look_up(&self.positions, &batch.positions)?)?;
        if let Some(types) = &batch.types {
            states = states.f_add_(&look_up(&self.types, types)?)?;
        }
        states = self.norm.forward(&states)?;
        for layer in &self.layers {
            states = layer.forward(states, &batch.runs)?;
        }
        Ok(states)
    }

    /// Another handle on the same weights: a tensor is used by one thread at a time.
    pub(crate) fn share(&self) -> Self {
        Self {
            words: self.words.shallow_clone(),
            positions: self.positions.shallow_clone(),
            types: self.types.shallow_clone(),
            norm: self.norm.share(),
            layers: self.layers.iter().map(Layer::share).collect(),
        }
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
    fn load(
        config: &TransformerConfig,
        weights: &Weights,
        products: Kind,
        name: &str,
    ) -> Result<Self, EmbedError> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let linear = |part: &str, from, to| -> Result<Linear, EmbedError> {
            Ok(Linear::load(weights, &format!("{name}.{part}"), from, to)?.to_kind(products)?)
        };
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

    fn forward(&self, mut states: Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        let attended = self.attention_output.forward(&self.attend(&states, runs)?)?;
        let mut states = self.attention_norm.forward(&states.f_add_(&attended)?)?;
        let inner = self.activation.apply(&self.intermediate.forward(&states)?)?;
        let outer = self.output.forward(&inner)?;
        self.output_norm.forward(&states.f_add_(&outer)?)
    }

    fn attend(&self, states: &Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        let query_key_value = self.query_key_value.forward(states)?;
        let attended = runs
            .iter()
            .map(|run| self.attend_within(&query_key_value.f_narrow(0, run.start, run.rows())?, run))
            .collect::<Result<Vec<_>, _>>()?;
        match attended.as_slice() {
            [only] => Ok(only.shallow_clone()),
            several => Tensor::f_cat(several, 0),
        }
    }

    /// Attention within each sequence of a run; `query_key_value` holds the rows of its tokens.
    fn attend_within(&self, query_key_value: &Tensor, run: &Run) -> Result<Tensor, TchError> {
        let hidden = query_key_value.size2()?.1 / 3;
        let split = [run.sequences, run.length, 3, self.heads, hidden / self.heads];
        // [3, sequences, heads, length, hidden / heads]
        let parts = query_key_value.f_reshape(split)?.f_permute([2, 0, 3, 1, 4])?;
        let (query, key, value) = (parts.f_get(0)?, parts.f_get(1)?, parts.f_get(2)?);
        let no_mask: Option<&Tensor> = None;
        let attended =
            Tensor::f_scaled_dot_product_attention(&query, &key, &value, no_mask, 0.0, false, None, false)?;
        attended.f_transpose(1, 2)?.f_reshape([run.rows(), hidden])
    }

    fn share(&self) -> Self {
        Self {
            heads: self.heads,
            query_key_value: self.query_key_value.share(),
            attention_output: self.attention_output.share(),
            attention_norm: self.attention_norm.share(),
            intermediate: self.intermediate.share(),
            activation: self.activation,
            output: self.output.share(),
            output_norm: self.output_norm.share(),
        }
    }
}
