//! GPT-Neo (Black et al. 2021): as GPT-2, but with separate projections, attention scores that are not scaled, and layers
//! that see only the last tokens (local) between layers that see all (global).

use model_folder::Activation;
use model_folder::families::gpt_neo::Settings;
use tch::Tensor;

use super::{Decoder, Pass};
use crate::parts::{
    Attention, Embedding, Heads, Init, Linear, Norm, Part, Span, WeightSource, activate, attend,
};
use crate::{Config, Error, KvCache};

/// The body of a GPT-Neo.
#[derive(Debug)]
pub(crate) struct GptNeo {
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<Block>,
    ln_f: Norm,
    heads: Heads,
    activation: Activation,
    window: i64,
}

#[derive(Debug)]
struct Block {
    ln_1: Norm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    ln_2: Norm,
    c_fc: Linear,
    c_proj: Linear,
    local: bool,
}

impl GptNeo {
    pub(super) fn build(
        config: &Config,
        settings: &Settings,
        source: &mut WeightSource,
    ) -> Result<Self, Error> {
        let width = config.width;
        let normal = Init::Normal(0.02);
        let wte = source.embedding("transformer.wte", normal)?;
        let wpe = source.embedding("transformer.wpe", normal)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for (layer, &local) in settings.local.iter().enumerate() {
            let path = |name: &str| format!("transformer.h.{layer}.{name}");
            let ln_1 = source.layer_norm(&path("ln_1"), settings.norm_epsilon)?;
            let ln_2 = source.layer_norm(&path("ln_2"), settings.norm_epsilon)?;
            let mut linear = |name: &str| source.linear(&path(name), normal);
            blocks.push(Block {
                ln_1,
                q_proj: linear("attn.attention.q_proj")?,
                k_proj: linear("attn.attention.k_proj")?,
                v_proj: linear("attn.attention.v_proj")?,
                out_proj: linear("attn.attention.out_proj")?,
                ln_2,
                c_fc: linear("mlp.c_fc")?,
                c_proj: linear("mlp.c_proj")?,
                local,
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
                width: (width / settings.heads) as i64,
            },
            activation: settings.activation,
            window: settings.window as i64,
        })
    }
}

impl Decoder for GptNeo {
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
        let heads = self.heads;
        let normed = block.ln_1.forward(hidden_states)?;
        let query = heads.project(&block.q_proj, heads.queries, &normed, pass.training)?;
        let keys = heads.project(&block.k_proj, heads.keys, &normed, pass.training)?;
        let values = heads.project(&block.v_proj, heads.keys, &normed, pass.training)?;
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: block.local,
            cap: None,
            scale: Some(1.0),
        };
        let attended = attend(&how, &query, &keys, &values, cache)?;
        let hidden_states = hidden_states.f_add(&block.out_proj.forward(&attended, pass.training)?)?;
        let expanded = block
            .c_fc
            .forward(&block.ln_2.forward(&hidden_states)?, pass.training)?;
        let activated = activate(self.activation, &expanded)?;
        Ok(hidden_states.f_add(&block.c_proj.forward(&activated, pass.training)?)?)
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn final_norm(&self) -> &Norm {
        &self.ln_f
    }

    fn window(&self) -> Option<i64> {
        Some(self.window)
    }

    fn embedding(&self) -> &Embedding {
        &self.wte
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![Part::Embedding(&mut self.wte), Part::Embedding(&mut self.wpe)];
        for block in &mut self.blocks {
            parts.extend([
                Part::Norm(&mut block.ln_1),
                Part::Linear(&mut block.q_proj),
                Part::Linear(&mut block.k_proj),
                Part::Linear(&mut block.v_proj),
                Part::Linear(&mut block.out_proj),
                Part::Norm(&mut block.ln_2),
                Part::Linear(&mut block.c_fc),
                Part::Linear(&mut block.c_proj),
            ]);
        }
        parts.push(Part::Norm(&mut self.ln_f));
        parts
    }
}
