//! Llama (Touvron et al. 2023), and with it SmolLM and TinyLlama: rotary positions, root-mean-square norms, a gated
//! feed-forward layer (SwiGLU), several query heads to one head of keys and values. Qwen2 and Qwen3 are the same with
//! biases or norms added.

use tch::{Device, Tensor};

use super::{Decoder, Pass};
use crate::config::{Fields, RotaryDefaults, Shape};
use crate::parts::{
    Activation, Attention, Embedding, Heads, Layout, Linear, Norm, Part, Rotary, RotarySettings, Source,
    Span, Start, attend,
};
use crate::{Config, Error, KvCache};

/// What a configuration of this kind says beside its shape.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) query_heads: usize,
    pub(super) key_heads: usize,
    pub(super) head_width: usize,
    pub(super) inner_width: usize,
    pub(super) norm_epsilon: f64,
    pub(super) activation: Activation,
    pub(super) rotary: RotarySettings,
    /// Whether the projections of queries, keys and values have a bias.
    pub(super) input_bias: bool,
    /// Whether the projection after attention has one.
    pub(super) output_bias: bool,
    /// Whether the feed-forward layers have one.
    pub(super) feed_forward_bias: bool,
    /// Whether each head's queries and keys are normed.
    pub(super) head_norms: bool,
    /// Tokens that a windowed layer sees, the query's own included.
    pub(super) window: Option<usize>,
    /// Whether each layer is windowed.
    pub(super) windowed: Vec<bool>,
}

pub(super) fn read(fields: Fields<'_>) -> Result<(Settings, Shape), String> {
    let (mut settings, shape) = read_common(fields, 2048)?;
    let attention_bias = fields.flag_or("attention_bias", false)?;
    settings.input_bias = attention_bias;
    settings.output_bias = attention_bias;
    settings.feed_forward_bias = fields.flag_or("mlp_bias", false)?;
    let shape = Shape {
        default_tokens: Some((1, 2)),
        ..shape
    };
    Ok((settings, shape))
}

/// What the families of this kind have in common, without biases, norms of heads, and windows.
pub(super) fn read_common(fields: Fields<'_>, default_context: usize) -> Result<(Settings, Shape), String> {
    let width = fields.size("hidden_size")?;
    let query_heads = fields.size("num_attention_heads")?;
    let head_width = match fields.get("head_dim") {
        Some(_) => fields.size("head_dim")?,
        None => width / fields.divisor("num_attention_heads", width)?,
    };
    let key_heads = fields.size_or("num_key_value_heads", query_heads)?;
    if !query_heads.is_multiple_of(key_heads) {
        return Err(format!(
            "num_key_value_heads: expected a divisor of num_attention_heads {query_heads}, found {key_heads}"
        ));
    }
    let context = fields.size_or("max_position_embeddings", default_context)?;
    let rotary = RotaryDefaults {
        theta_key: "rope_theta",
        theta: 10_000.0,
        share_key: "partial_rotary_factor",
        share: 1.0,
    };
    let layers = fields.size("num_hidden_layers")?;
    let settings = Settings {
        query_heads,
        key_heads,
        head_width,
        inner_width: fields.size("intermediate_size")?,
        norm_epsilon: fields.number_or("rms_norm_eps", 1e-6)?,
        activation: fields.activation("hidden_act", "silu")?,
        rotary: fields.rotary(head_width, context, rotary)?,
        input_bias: false,
        output_bias: false,
        feed_forward_bias: false,
        head_norms: false,
        window: None,
        windowed: vec![false; layers],
    };
    let shape = Shape {
        layers,
        width,
        context,
        vocabulary: fields.size("vocab_size")?,
        tied_by_default: false,
        default_tokens: None,
    };
    Ok((settings, shape))
}

/// The body of a Llama.
#[derive(Debug)]
pub(crate) struct Llama {
    tokens: Embedding,
    blocks: Vec<Block>,
    final_norm: Norm,
    rotary: Rotary,
    heads: Heads,
    activation: Activation,
    window: Option<i64>,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_out: Linear,
    /// Norms of each head's queries and keys.
    head_norms: Option<(Norm, Norm)>,
    second_norm: Norm,
    gate: Linear,
    expand: Linear,
    contract: Linear,
    windowed: bool,
}

impl Llama {
    pub(super) fn build(
        config: &Config,
        settings: &Settings,
        source: &mut Source,
        device: Device,
    ) -> Result<Self, Error> {
        let (width, inner, epsilon) = (config.width, settings.inner_width, settings.norm_epsilon);
        let queries = settings.query_heads * settings.head_width;
        let keys = settings.key_heads * settings.head_width;
        let normal = Start::Normal(0.02);
        let tokens = source.embedding("model.embed_tokens", config.vocabulary, width, normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for (layer, &windowed) in settings.windowed.iter().enumerate() {
            let path = |name: &str| format!("model.layers.{layer}.{name}");
            let mut norm = |name: &str, width| source.root_mean_square_norm(path(name), width, epsilon);
            let first_norm = norm("input_layernorm", width)?;
            let second_norm = norm("post_attention_layernorm", width)?;
            let head_norms = if settings.head_norms {
                let query = norm("self_attn.q_norm", settings.head_width)?;
                Some((query, norm("self_attn.k_norm", settings.head_width)?))
            } else {
                None
            };
            let mut linear =
                |name: &str, shape, bias| source.linear(path(name), shape, bias, Layout::OutIn, normal);
            let (bias, feed_forward_bias) = (settings.input_bias, settings.feed_forward_bias);
            blocks.push(Block {
                first_norm,
                query: linear("self_attn.q_proj", (width, queries), bias)?,
                key: linear("self_attn.k_proj", (width, keys), bias)?,
                value: linear("self_attn.v_proj", (width, keys), bias)?,
                attention_out: linear("self_attn.o_proj", (queries, width), settings.output_bias)?,
                head_norms,
                second_norm,
                gate: linear("mlp.gate_proj", (width, inner), feed_forward_bias)?,
                expand: linear("mlp.up_proj", (width, inner), feed_forward_bias)?,
                contract: linear("mlp.down_proj", (inner, width), feed_forward_bias)?,
                windowed,
            });
        }
        Ok(Self {
            tokens,
            blocks,
            final_norm: source.root_mean_square_norm("model.norm".to_owned(), width, epsilon)?,
            rotary: Rotary::new(settings.rotary, device)?,
            heads: Heads {
                queries: settings.query_heads as i64,
                keys: settings.key_heads as i64,
                width: settings.head_width as i64,
            },
            activation: settings.activation,
            window: settings.window.map(|window| window as i64),
        })
    }
}

impl Decoder for Llama {
    fn enter(&self, tokens: &Tensor, _span: &Span) -> Result<Tensor, Error> {
        self.tokens.forward(tokens)
    }

    fn block(
        &self,
        layer: usize,
        stream: &Tensor,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let block = &self.blocks[layer];
        let heads = self.heads;
        let normed = block.first_norm.forward(stream)?;
        let mut query = heads.project(&block.query, heads.queries, &normed, pass.training)?;
        let mut keys = heads.project(&block.key, heads.keys, &normed, pass.training)?;
        let values = heads.project(&block.value, heads.keys, &normed, pass.training)?;
        if let Some((query_norm, key_norm)) = &block.head_norms {
            (query, keys) = (query_norm.forward(&query)?, key_norm.forward(&keys)?);
        }
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: block.windowed,
            scale: None,
        };
        let attended = attend(&how, &pass.turn(&query)?, &pass.turn(&keys)?, &values, cache)?;
        let stream = stream.f_add(&block.attention_out.forward(&attended, pass.training)?)?;
        let normed = block.second_norm.forward(&stream)?;
        let gate = self
            .activation
            .forward(&block.gate.forward(&normed, pass.training)?)?;
        let gated = gate.f_mul(&block.expand.forward(&normed, pass.training)?)?;
        Ok(stream.f_add(&block.contract.forward(&gated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.final_norm
    }

    fn window(&self) -> Option<i64> {
        self.window
    }

    fn rotary(&self) -> Option<&Rotary> {
        Some(&self.rotary)
    }

    fn embedding(&self) -> &Embedding {
        &self.tokens
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![Part::Embedding(&mut self.tokens)];
        for block in &mut self.blocks {
            parts.extend([
                Part::Norm(&mut block.first_norm),
                Part::Linear(&mut block.query),
                Part::Linear(&mut block.key),
                Part::Linear(&mut block.value),
                Part::Linear(&mut block.attention_out),
                Part::Norm(&mut block.second_norm),
                Part::Linear(&mut block.gate),
                Part::Linear(&mut block.expand),
                Part::Linear(&mut block.contract),
            ]);
            if let Some((query, key)) = &mut block.head_norms {
                parts.extend([Part::Norm(query), Part::Norm(key)]);
            }
        }
        parts.push(Part::Norm(&mut self.final_norm));
        parts
    }
}
