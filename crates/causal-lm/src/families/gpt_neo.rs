//! GPT-Neo (Black et al. 2021): as GPT-2, but with separate projections, attention scores that are not scaled, and layers
//! that see only the last tokens (local) between layers that see all (global).

use serde_json::Value;
use tch::Tensor;

use super::{Decoder, Pass};
use crate::config::{Fields, Shape};
use crate::parts::{
    Activation, Attention, Embedding, Heads, Layout, Linear, Norm, Part, Source, Span, Start, attend,
};
use crate::{Config, Error, KvCache};

/// What a GPT-Neo's configuration says beside its shape.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    heads: usize,
    inner_width: usize,
    norm_epsilon: f64,
    activation: Activation,
    /// Tokens that a local layer sees, the query's own included.
    window: usize,
    /// Whether each layer is local.
    local: Vec<bool>,
}

pub(super) fn read(fields: Fields<'_>) -> Result<(Settings, Shape), String> {
    let width = fields.size("hidden_size")?;
    let layers = fields.size("num_layers")?;
    let local = local_layers(fields)?;
    if local.len() != layers {
        return Err(format!(
            "attention_types: expected {layers} layers as num_layers says, found {}",
            local.len()
        ));
    }
    let settings = Settings {
        heads: fields.divisor("num_heads", width)?,
        inner_width: fields.size_or("intermediate_size", 4 * width)?,
        norm_epsilon: fields.number_or("layer_norm_epsilon", 1e-5)?,
        activation: fields.activation("activation_function", "gelu_new")?,
        window: fields.size_or("window_size", 256)?,
        local,
    };
    let shape = Shape {
        layers,
        width,
        context: fields.size_or("max_position_embeddings", 2048)?,
        vocabulary: fields.size("vocab_size")?,
        tied_by_default: true,
        default_tokens: Some((50256, 50256)),
    };
    Ok((settings, shape))
}

/// Reads `attention_types`, a list of pairs: some types, and how often they come one after the other. Without it, global and
/// local take turns.
fn local_layers(fields: Fields<'_>) -> Result<Vec<bool>, String> {
    let Some(types) = fields.get("attention_types") else {
        return Ok([false, true].repeat(12));
    };
    let expected =
        || format!("attention_types: expected a list such as [[[\"global\", \"local\"], 6]], found {types}");
    let mut local = Vec::new();
    for pair in types.as_array().ok_or_else(expected)? {
        let (names, times) = (
            pair.get(0).and_then(Value::as_array),
            pair.get(1).and_then(Value::as_u64),
        );
        let (names, times) = names.zip(times).ok_or_else(expected)?;
        let mut turn = Vec::with_capacity(names.len());
        for name in names {
            turn.push(match name.as_str() {
                Some("global") => false,
                Some("local") => true,
                _ => return Err(expected()),
            });
        }
        local.extend(turn.repeat(times.min(10_000) as usize));
    }
    Ok(local)
}

/// The body of a GPT-Neo.
#[derive(Debug)]
pub(crate) struct GptNeo {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    final_norm: Norm,
    heads: Heads,
    activation: Activation,
    window: i64,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_out: Linear,
    second_norm: Norm,
    expand: Linear,
    contract: Linear,
    local: bool,
}

impl GptNeo {
    pub(super) fn build(config: &Config, settings: &Settings, source: &mut Source) -> Result<Self, Error> {
        let (width, inner) = (config.width, settings.inner_width);
        let normal = Start::Normal(0.02);
        let tokens = source.embedding("transformer.wte", config.vocabulary, width, normal)?;
        let positions = source.embedding("transformer.wpe", config.context, width, normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for (layer, &local) in settings.local.iter().enumerate() {
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            let first_norm = source.layer_norm(path("ln_1"), width, settings.norm_epsilon)?;
            let second_norm = source.layer_norm(path("ln_2"), width, settings.norm_epsilon)?;
            let mut linear =
                |name: &str, shape, bias| source.linear(path(name), shape, bias, Layout::OutIn, normal);
            blocks.push(Block {
                first_norm,
                query: linear("attn.attention.q_proj", (width, width), false)?,
                key: linear("attn.attention.k_proj", (width, width), false)?,
                value: linear("attn.attention.v_proj", (width, width), false)?,
                attention_out: linear("attn.attention.out_proj", (width, width), true)?,
                second_norm,
                expand: linear("mlp.c_fc", (width, inner), true)?,
                contract: linear("mlp.c_proj", (inner, width), true)?,
                local,
            });
        }
        Ok(Self {
            tokens,
            positions,
            blocks,
            final_norm: source.layer_norm("transformer.ln_f".to_owned(), width, settings.norm_epsilon)?,
            heads: Heads {
                queries: settings.heads as i64,
                keys: settings.heads as i64,
                width: (width / settings.heads) as i64,
            },
            activation: settings.activation,
            window: settings.window as i64,
        })
    }
}

impl Decoder for GptNeo {
    fn enter(&self, tokens: &Tensor, span: &Span) -> Result<Tensor, Error> {
        let positions = self.positions.forward(&span.positions()?)?;
        Ok(self.tokens.forward(tokens)?.f_add(&positions)?)
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
        let query = heads.project(&block.query, heads.queries, &normed, pass.training)?;
        let keys = heads.project(&block.key, heads.keys, &normed, pass.training)?;
        let values = heads.project(&block.value, heads.keys, &normed, pass.training)?;
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: block.local,
            scale: Some(1.0),
        };
        let attended = attend(&how, &query, &keys, &values, cache)?;
        let stream = stream.f_add(&block.attention_out.forward(&attended, pass.training)?)?;
        let expanded = block
            .expand
            .forward(&block.second_norm.forward(&stream)?, pass.training)?;
        let activated = self.activation.forward(&expanded)?;
        Ok(stream.f_add(&block.contract.forward(&activated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.final_norm
    }

    fn window(&self) -> Option<i64> {
        Some(self.window)
    }

    fn embedding(&self) -> &Embedding {
        &self.tokens
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![
            Part::Embedding(&mut self.tokens),
            Part::Embedding(&mut self.positions),
        ];
        for block in &mut self.blocks {
            parts.extend([
                Part::Norm(&mut block.first_norm),
                Part::Linear(&mut block.query),
                Part::Linear(&mut block.key),
                Part::Linear(&mut block.value),
                Part::Linear(&mut block.attention_out),
                Part::Norm(&mut block.second_norm),
                Part::Linear(&mut block.expand),
                Part::Linear(&mut block.contract),
            ]);
        }
        parts.push(Part::Norm(&mut self.final_norm));
        parts
    }
}
