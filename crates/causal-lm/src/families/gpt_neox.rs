//! GPT-NeoX (Black et al. 2022), the family of Pythia: rotary positions on a share of each head, query, key and value of a
//! head side by side in one projection, attention and feed-forward in parallel, an output head of its own.

use model_folder::Activation;
use model_folder::families::gpt_neox::Settings;
use tch::{Device, Tensor};

use super::{Decoder, Pass};
use crate::parts::{
    Attention, Embedding, Heads, Init, Linear, Norm, Part, Rotary, Span, WeightSource, activate, attend,
};
use crate::{Config, Error, KvCache};

/// The body of a GPT-NeoX.
#[derive(Debug)]
pub(crate) struct GptNeoX {
    embed_in: Embedding,
    blocks: Vec<Block>,
    final_layer_norm: Norm,
    rotary: [Rotary; 1],
    heads: Heads,
    activation: Activation,
    parallel: bool,
}

#[derive(Debug)]
struct Block {
    input_layernorm: Norm,
    query_key_value: Linear,
    dense: Linear,
    post_attention_layernorm: Norm,
    dense_h_to_4h: Linear,
    dense_4h_to_h: Linear,
}

impl GptNeoX {
    pub(super) fn build(
        config: &Config,
        settings: &Settings,
        source: &mut WeightSource,
        device: Device,
    ) -> Result<Self, Error> {
        let width = config.width;
        let normal = Init::Normal(0.02);
        let embed_in = source.embedding("gpt_neox.embed_in", normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let path = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
            let mut norm = |name: &str| source.layer_norm(&path(name), settings.norm_epsilon);
            let (input_layernorm, post_attention_layernorm) =
                (norm("input_layernorm")?, norm("post_attention_layernorm")?);
            let mut linear = |name: &str| source.linear(&path(name), normal);
            blocks.push(Block {
                input_layernorm,
                query_key_value: linear("attention.query_key_value")?,
                dense: linear("attention.dense")?,
                post_attention_layernorm,
                dense_h_to_4h: linear("mlp.dense_h_to_4h")?,
                dense_4h_to_h: linear("mlp.dense_4h_to_h")?,
            });
        }
        Ok(Self {
            embed_in,
            blocks,
            final_layer_norm: source.layer_norm("gpt_neox.final_layer_norm", settings.norm_epsilon)?,
            rotary: [Rotary::new(&settings.rotary, device)?],
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
    fn embed(&self, tokens: &Tensor, _span: &Span) -> Result<Tensor, Error> {
        self.embed_in.forward(tokens)
    }

    fn block(
        &self,
        layer: usize,
        hidden_states: &Tensor,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let block = &self.blocks[layer];
        let normed = block.input_layernorm.forward(hidden_states)?;
        // Each head's query, key and value stand side by side: heads three times as wide.
        let fused_heads = Heads {
            width: 3 * self.heads.width,
            ..self.heads
        };
        let fused =
            fused_heads.project(&block.query_key_value, self.heads.queries, &normed, pass.training)?;
        let parts = fused.f_chunk(3, -1)?;
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: false,
            cap: None,
            scale: None,
        };
        let attended = attend(
            &how,
            &pass.apply_rotary(0, &parts[0])?,
            &pass.apply_rotary(0, &parts[1])?,
            &parts[2],
            cache,
        )?;
        let attended = block.dense.forward(&attended, pass.training)?;
        let between = hidden_states.f_add(&attended)?;
        let read = if self.parallel { hidden_states } else { &between };
        let expanded = block
            .dense_h_to_4h
            .forward(&block.post_attention_layernorm.forward(read)?, pass.training)?;
        let activated = activate(self.activation, &expanded)?;
        Ok(between.f_add(&block.dense_4h_to_h.forward(&activated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.final_layer_norm
    }

    fn rotary(&self) -> &[Rotary] {
        &self.rotary
    }

    fn embedding(&self) -> &Embedding {
        &self.embed_in
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![Part::Embedding(&mut self.embed_in)];
        for block in &mut self.blocks {
            parts.extend([
                Part::Norm(&mut block.input_layernorm),
                Part::Linear(&mut block.query_key_value),
                Part::Linear(&mut block.dense),
                Part::Norm(&mut block.post_attention_layernorm),
                Part::Linear(&mut block.dense_h_to_4h),
                Part::Linear(&mut block.dense_4h_to_h),
            ]);
        }
        parts.push(Part::Norm(&mut self.final_layer_norm));
        parts
    }
}
