//! Llama (Touvron et al. 2023), and with it SmolLM and TinyLlama: rotary positions, root-mean-square norms, a gated
//! feed-forward layer (SwiGLU), several query heads to one head of keys and values. Qwen2 and Qwen3 are the same with
//! biases or norms added.

use model_folder::Activation;
use model_folder::families::llama::Settings;
use tch::{Device, Tensor};

use super::{Decoder, Pass};
use crate::parts::{Attention, Embedding, Heads, Linear, Norm, Part, Rotary, Source, Span, Start, activate, attend};
use crate::{Error, KvCache};

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
        settings: &Settings,
        source: &mut Source,
        device: Device,
    ) -> Result<Self, Error> {
        let epsilon = settings.norm_epsilon;
        let normal = Start::Normal(0.02);
        let tokens = source.embedding("model.embed_tokens", normal)?;
        let mut blocks = Vec::with_capacity(settings.windowed.len());
        for (layer, &windowed) in settings.windowed.iter().enumerate() {
            let path = |name: &str| format!("model.layers.{layer}.{name}");
            let mut norm = |name: &str| source.norm(&path(name), epsilon);
            let first_norm = norm("input_layernorm")?;
            let second_norm = norm("post_attention_layernorm")?;
            let head_norms = if settings.head_norms {
                let query = norm("self_attn.q_norm")?;
                Some((query, norm("self_attn.k_norm")?))
            } else {
                None
            };
            let mut linear = |name: &str| source.linear(&path(name), normal);
            blocks.push(Block {
                first_norm,
                query: linear("self_attn.q_proj")?,
                key: linear("self_attn.k_proj")?,
                value: linear("self_attn.v_proj")?,
                attention_out: linear("self_attn.o_proj")?,
                head_norms,
                second_norm,
                gate: linear("mlp.gate_proj")?,
                expand: linear("mlp.up_proj")?,
                contract: linear("mlp.down_proj")?,
                windowed,
            });
        }
        Ok(Self {
            tokens,
            blocks,
            final_norm: source.norm("model.norm", epsilon)?,
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
        let gate = activate(self.activation, &block.gate.forward(&normed, pass.training)?)?;
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
