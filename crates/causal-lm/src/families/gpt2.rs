//! GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, fused query-key-value, tanh GELU, tied head.
//! Weights of its linear layers lie `[in, out]`.

use model_folder::Activation;
use model_folder::families::gpt2::Settings;
use tch::Tensor;

use super::{Decoder, Pass};
use crate::parts::{
    Attention, Embedding, Heads, Init, Linear, Norm, Part, Span, WeightSource, activate, attend,
};
use crate::{Config, Error, KvCache};

/// The body of a GPT-2.
#[derive(Debug)]
pub(crate) struct Gpt2 {
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: Norm,
    heads: Heads,
    activation: Activation,
}

#[derive(Debug)]
struct Block {
    ln_1: Norm,
    c_attn: Linear,
    attn_c_proj: Linear,
    ln_2: Norm,
    c_fc: Linear,
    mlp_c_proj: Linear,
    /// Factor on the attention scores.
    scale: f64,
}

impl Gpt2 {
    /// A new model starts with normal weights of deviation 0.02, residual projections scaled by 1/√(2 · layers), biases 0,
    /// norms 1.
    pub(super) fn build(
        config: &Config,
        settings: &Settings,
        source: &mut WeightSource,
    ) -> Result<Self, Error> {
        let width = config.width;
        let normal = Init::Normal(0.02);
        let residual = Init::Normal(0.02 / (2.0 * config.layers as f64).sqrt());
        let head_width = width / settings.heads;
        let wte = source.embedding("transformer.wte", normal)?;
        let wpe = source.embedding("transformer.wpe", normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            let ln_1 = source.layer_norm(&path("ln_1"), settings.norm_epsilon)?;
            let ln_2 = source.layer_norm(&path("ln_2"), settings.norm_epsilon)?;
            let mut linear = |name: &str, start| source.linear(&path(name), start);
            let mut scale = 1.0;
            if settings.scaled {
                scale /= (head_width as f64).sqrt();
            }
            if settings.scaled_by_layer {
                scale /= (layer + 1) as f64;
            }
            blocks.push(Block {
                ln_1,
                c_attn: linear("attn.c_attn", normal)?,
                attn_c_proj: linear("attn.c_proj", residual)?,
                ln_2,
                c_fc: linear("mlp.c_fc", normal)?,
                mlp_c_proj: linear("mlp.c_proj", residual)?,
                scale,
            });
        }
        Ok(Self {
            wte,
            wpe,
            blocks,
            ln_f: source.layer_norm("transformer.ln_f", settings.norm_epsilon)?,
            heads: Heads {
                queries: settings.heads as i64,
                keys: settings.heads as i64,
                width: head_width as i64,
            },
            activation: settings.activation,
        })
    }
}

impl Decoder for Gpt2 {
    fn embed(&self, tokens: &Tensor, span: &Span) -> Result<Tensor, Error> {
        let positions = self.wpe.forward(&span.positions()?)?;
        Ok(self.wte.forward(tokens)?.f_add(&positions)?)
    }

    fn block(
        &self,
        layer: usize,
        hidden_states: &Tensor,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let block = &self.blocks[layer];
        let normed = block.ln_1.forward(hidden_states)?;
        // Queries, keys and values stand one after the other: three times as many heads.
        let fused = self
            .heads
            .project(&block.c_attn, 3 * self.heads.queries, &normed, pass.training)?;
        let parts = fused.f_chunk(3, 1)?;
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: false,
            cap: None,
            scale: Some(block.scale),
        };
        let attended = attend(&how, &parts[0], &parts[1], &parts[2], cache)?;
        let hidden_states = hidden_states.f_add(&block.attn_c_proj.forward(&attended, pass.training)?)?;
        let expanded = block
            .c_fc
            .forward(&block.ln_2.forward(&hidden_states)?, pass.training)?;
        let activated = activate(self.activation, &expanded)?;
        Ok(hidden_states.f_add(&block.mlp_c_proj.forward(&activated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.ln_f
    }

    fn embedding(&self) -> &Embedding {
        &self.wte
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![Part::Embedding(&mut self.wte), Part::Embedding(&mut self.wpe)];
        for block in &mut self.blocks {
            parts.extend([
                Part::Norm(&mut block.ln_1),
                Part::Linear(&mut block.c_attn),
                Part::Linear(&mut block.attn_c_proj),
                Part::Norm(&mut block.ln_2),
                Part::Linear(&mut block.c_fc),
                Part::Linear(&mut block.mlp_c_proj),
            ]);
        }
        parts.push(Part::Norm(&mut self.ln_f));
        parts
    }
}
