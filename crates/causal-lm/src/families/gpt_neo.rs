//! GPT-Neo (Black et al. 2021): as GPT-2, but with separate projections, attention scores that are not scaled, and layers
//! that see only the last tokens (local) between layers that see all (global).

use model_folder::Activation;
use model_folder::families::gpt_neo::Settings;
use tch::Tensor;

use super::{Decoder, Pass};
use crate::parts::{Attention, Embedding, Heads, Linear, Norm, Part, Source, Span, Start, activate, attend};
use crate::{Config, Error, KvCache};

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
        let width = config.width;
        let normal = Start::Normal(0.02);
        let tokens = source.embedding("transformer.wte", normal)?;
        let positions = source.embedding("transformer.wpe", normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for (layer, &local) in settings.local.iter().enumerate() {
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            let first_norm = source.norm(&path("ln_1"), settings.norm_epsilon)?;
            let second_norm = source.norm(&path("ln_2"), settings.norm_epsilon)?;
            let mut linear = |name: &str| source.linear(&path(name), normal);
            blocks.push(Block {
                first_norm,
                query: linear("attn.attention.q_proj")?,
                key: linear("attn.attention.k_proj")?,
                value: linear("attn.attention.v_proj")?,
                attention_out: linear("attn.attention.out_proj")?,
                second_norm,
                expand: linear("mlp.c_fc")?,
                contract: linear("mlp.c_proj")?,
                local,
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
        let activated = activate(self.activation, &expanded)?;
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
