//! GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, fused query-key-value, tanh GELU, tied head.
//! Weights of its linear layers lie `[in, out]`.

use model_folder::Activation;
use model_folder::families::gpt2::Settings;
use tch::Tensor;

use super::{Decoder, Pass};
use crate::parts::{Attention, Embedding, Heads, Linear, Norm, Part, Source, Span, Start, activate, attend};
use crate::{Config, Error, KvCache};

/// The body of a GPT-2.
#[derive(Debug)]
pub(crate) struct Gpt2 {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    final_norm: Norm,
    heads: Heads,
    activation: Activation,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    attention_in: Linear,
    attention_out: Linear,
    second_norm: Norm,
    expand: Linear,
    contract: Linear,
    /// Factor on the attention scores.
    scale: f64,
}

impl Gpt2 {
    /// A new model starts with normal weights of deviation 0.02, residual projections scaled by 1/√(2 · layers), biases 0,
    /// norms 1.
    pub(super) fn build(config: &Config, settings: &Settings, source: &mut Source) -> Result<Self, Error> {
        let width = config.width;
        let normal = Start::Normal(0.02);
        let residual = Start::Normal(0.02 / (2.0 * config.layers as f64).sqrt());
        let head_width = width / settings.heads;
        let tokens = source.embedding("transformer.wte", normal)?;
        let positions = source.embedding("transformer.wpe", normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            let first_norm = source.norm(&path("ln_1"), settings.norm_epsilon)?;
            let second_norm = source.norm(&path("ln_2"), settings.norm_epsilon)?;
            let mut linear = |name: &str, start| source.linear(&path(name), start);
            let mut scale = 1.0;
            if settings.scaled {
                scale /= (head_width as f64).sqrt();
            }
            if settings.scaled_by_layer {
                scale /= (layer + 1) as f64;
            }
            blocks.push(Block {
                first_norm,
                attention_in: linear("attn.c_attn", normal)?,
                attention_out: linear("attn.c_proj", residual)?,
                second_norm,
                expand: linear("mlp.c_fc", normal)?,
                contract: linear("mlp.c_proj", residual)?,
                scale,
            });
        }
        Ok(Self {
            tokens,
            positions,
            blocks,
            final_norm: source.norm("transformer.ln_f", settings.norm_epsilon)?,
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
        let normed = block.first_norm.forward(stream)?;
        // Queries, keys and values stand one after the other: three times as many heads.
        let fused = self.heads.project(
            &block.attention_in,
            3 * self.heads.queries,
            &normed,
            pass.training,
        )?;
        let parts = fused.f_chunk(3, 1)?;
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: false,
            scale: Some(block.scale),
        };
        let attended = attend(&how, &parts[0], &parts[1], &parts[2], cache)?;
        let stream = stream.f_add(&block.attention_out.forward(&attended, pass.training)?)?;
        let expanded = block
            .expand
            .forward(&block.second_norm.forward(&stream)?, pass.training)?;
        let activated = activate(self.activation, &expanded)?;
        Ok(stream.f_add(&block.contract.forward(&activated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.final_norm
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
                Part::Linear(&mut block.attention_in),
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
