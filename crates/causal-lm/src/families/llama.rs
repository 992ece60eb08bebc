//! Llama (Touvron et al. 2023), and with it SmolLM and TinyLlama: rotary positions, root-mean-square norms, a gated
//! feed-forward layer (SwiGLU), several query heads to one head of keys and values. Qwen2 and Qwen3 are the same with
//! biases or norms added.

use model_folder::Activation;
use model_folder::families::llama::Settings;
use tch::{Device, Tensor};

use super::{Decoder, Pass};
use crate::parts::{
    Attention, Embedding, Heads, Init, Linear, Norm, Part, Rotary, Span, WeightSource, activate, attend,
};
use crate::{Error, KvCache};

/// The body of a Llama.
#[derive(Debug)]
pub(crate) struct Llama {
    embed_tokens: Embedding,
    blocks: Vec<Block>,
    norm: Norm,
    rotary: Rotary,
    heads: Heads,
    activation: Activation,
    window: Option<i64>,
}

#[derive(Debug)]
struct Block {
    input_layernorm: Norm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    /// Norms of each head's queries and keys.
    qk_norms: Option<(Norm, Norm)>,
    post_attention_layernorm: Norm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    windowed: bool,
}

impl Llama {
    pub(super) fn build(
        settings: &Settings,
        source: &mut WeightSource,
        device: Device,
    ) -> Result<Self, Error> {
        let epsilon = settings.norm_epsilon;
        let normal = Init::Normal(0.02);
        let embed_tokens = source.embedding("model.embed_tokens", normal)?;
        let mut blocks = Vec::with_capacity(settings.windowed.len());
        for (layer, &windowed) in settings.windowed.iter().enumerate() {
            let path = |name: &str| format!("model.layers.{layer}.{name}");
            let mut norm = |name: &str| source.norm(&path(name), epsilon);
            let input_layernorm = norm("input_layernorm")?;
            let post_attention_layernorm = norm("post_attention_layernorm")?;
            let qk_norms = if settings.has_qk_norms {
                let query = norm("self_attn.q_norm")?;
                Some((query, norm("self_attn.k_norm")?))
            } else {
                None
            };
            let mut linear = |name: &str| source.linear(&path(name), normal);
            blocks.push(Block {
                input_layernorm,
                q_proj: linear("self_attn.q_proj")?,
                k_proj: linear("self_attn.k_proj")?,
                v_proj: linear("self_attn.v_proj")?,
                o_proj: linear("self_attn.o_proj")?,
                qk_norms,
                post_attention_layernorm,
                gate_proj: linear("mlp.gate_proj")?,
                up_proj: linear("mlp.up_proj")?,
                down_proj: linear("mlp.down_proj")?,
                windowed,
            });
        }
        Ok(Self {
            embed_tokens,
            blocks,
            norm: source.norm("model.norm", epsilon)?,
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
    fn embed(&self, tokens: &Tensor, _span: &Span) -> Result<Tensor, Error> {
        self.embed_tokens.forward(tokens)
    }

    fn block(
        &self,
        layer: usize,
        hidden_states: &Tensor,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let block = &self.blocks[layer];
        let heads = self.heads;
        let normed = block.input_layernorm.forward(hidden_states)?;
        let mut query = heads.project(&block.q_proj, heads.queries, &normed, pass.training)?;
        let mut keys = heads.project(&block.k_proj, heads.keys, &normed, pass.training)?;
        let values = heads.project(&block.v_proj, heads.keys, &normed, pass.training)?;
        if let Some((q_norm, k_norm)) = &block.qk_norms {
            (query, keys) = (q_norm.forward(&query)?, k_norm.forward(&keys)?);
        }
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: block.windowed,
            scale: None,
        };
        let attended = attend(
            &how,
            &pass.apply_rotary(&query)?,
            &pass.apply_rotary(&keys)?,
            &values,
            cache,
        )?;
        let hidden_states = hidden_states.f_add(&block.o_proj.forward(&attended, pass.training)?)?;
        let normed = block.post_attention_layernorm.forward(&hidden_states)?;
        let gate = activate(self.activation, &block.gate_proj.forward(&normed, pass.training)?)?;
        let gated = gate.f_mul(&block.up_proj.forward(&normed, pass.training)?)?;
        Ok(hidden_states.f_add(&block.down_proj.forward(&gated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.norm
    }

    fn window(&self) -> Option<i64> {
        self.window
    }

    fn rotary(&self) -> Option<&Rotary> {
        Some(&self.rotary)
    }

    fn embedding(&self) -> &Embedding {
        &self.embed_tokens
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![Part::Embedding(&mut self.embed_tokens)];
        for block in &mut self.blocks {
            parts.extend([
                Part::Norm(&mut block.input_layernorm),
                Part::Linear(&mut block.q_proj),
                Part::Linear(&mut block.k_proj),
                Part::Linear(&mut block.v_proj),
                Part::Linear(&mut block.o_proj),
                Part::Norm(&mut block.post_attention_layernorm),
                Part::Linear(&mut block.gate_proj),
                Part::Linear(&mut block.up_proj),
                Part::Linear(&mut block.down_proj),
            ]);
            if let Some((query, key)) = &mut block.qk_norms {
                parts.extend([Part::Norm(query), Part::Norm(key)]);
            }
        }
        parts.push(Part::Norm(&mut self.norm));
        parts
    }
}
