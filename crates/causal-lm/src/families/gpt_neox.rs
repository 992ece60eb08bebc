//! GPT-NeoX (Black et al. 2022), the family of Pythia: rotary positions on a share of each head, query, key and value of a
//! head side by side in one projection, attention and feed-forward in parallel, an output head of its own.

use model_folder::Activation;
use model_folder::families::gpt_neox::Settings;
use tch::{Device, Tensor};

use super::{Decoder, Pass};
use crate::parts::{Attention, Embedding, Heads, Linear, Norm, Part, Rotary, Source, Span, Start, activate, attend};
use crate::{Config, Error, KvCache};

/// The body of a GPT-NeoX.
#[derive(Debug)]
pub(crate) struct GptNeoX {
    tokens: Embedding,
    blocks: Vec<Block>,
    final_norm: Norm,
    rotary: Rotary,
    heads: Heads,
    activation: Activation,
    parallel: bool,
}

#[derive(Debug)]
struct Block {
    first_norm: Norm,
    attention_in: Linear,
    attention_out: Linear,
    second_norm: Norm,
    expand: Linear,
    contract: Linear,
}

impl GptNeoX {
    pub(super) fn build(
        config: &Config,
        settings: &Settings,
        source: &mut Source,
        device: Device,
    ) -> Result<Self, Error> {
        let width = config.width;
        let normal = Start::Normal(0.02);
        let tokens = source.embedding("gpt_neox.embed_in", normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let path = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
            let mut norm = |name: &str| source.norm(&path(name), settings.norm_epsilon);
            let (first_norm, second_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
            let mut linear = |name: &str| source.linear(&path(name), normal);
            blocks.push(Block {
                first_norm,
                attention_in: linear("attention.query_key_value")?,
                attention_out: linear("attention.dense")?,
                second_norm,
                expand: linear("mlp.dense_h_to_4h")?,
                contract: linear("mlp.dense_4h_to_h")?,
            });
        }
        Ok(Self {
            tokens,
            blocks,
            final_norm: source.norm("gpt_neox.final_layer_norm", settings.norm_epsilon)?,
            rotary: Rotary::new(settings.rotary, device)?,
            heads: Heads {
                queries: settings.heads as i64,
                keys: settings.heads as i64,
                width: (width / settings.heads) as i64,
            },
            activation: settings.activation,
            parallel: settings.parallel,
        })
    }
}

impl Decoder for GptNeoX {
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
        let normed = block.first_norm.forward(stream)?;
        // Each head's query, key and value stand side by side: heads three times as wide.
        let fused_heads = Heads {
            width: 3 * self.heads.width,
            ..self.heads
        };
        let fused = fused_heads.project(&block.attention_in, self.heads.queries, &normed, pass.training)?;
        let parts = fused.f_chunk(3, -1)?;
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: false,
            scale: None,
        };
        let attended = attend(
            &how,
            &pass.turn(&parts[0])?,
            &pass.turn(&parts[1])?,
            &parts[2],
            cache,
        )?;
        let attended = block.attention_out.forward(&attended, pass.training)?;
        let between = stream.f_add(&attended)?;
        let read = if self.parallel { stream } else { &between };
        let expanded = block
            .expand
            .forward(&block.second_norm.forward(read)?, pass.training)?;
        let activated = activate(self.activation, &expanded)?;
        Ok(between.f_add(&block.contract.forward(&activated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.final_norm
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
