//! Llama (Touvron et al. 2023) and the families that differ from it by their settings: rotary positions, root-mean-square norms,
//! a gated feed-forward layer, several query heads to one head of keys and values.

use model_folder::families::llama::{BlockNorms, QkNorms, Settings};
use model_folder::{Activation, EmbeddingScale};
use tch::{Device, Kind, Tensor};

use super::{Decoder, Pass};
use crate::parts::{
    Attention, Embedding, Heads, Init, Linear, Norm, Part, Rotary, Span, WeightSource, activate, attend,
};
use crate::{Error, KvCache};

/// The body of a Llama.
#[derive(Debug)]
pub(crate) struct Llama {
    embed_tokens: Embedding,
    embedding_scale: Option<EmbeddingScale>,
    blocks: Vec<Block>,
    norm: Norm,
    rotary: Vec<Rotary>,
    heads: Heads,
    qk_norms: QkNorms,
    activation: Activation,
    attention_scale: Option<f64>,
    attention_cap: Option<f64>,
    residual_scale: f64,
    window: Option<i64>,
}

#[derive(Debug)]
struct Block {
    norms: Norms,
    qkv: Qkv,
    /// Norms of queries and keys.
    qk_norms: Option<(Norm, Norm)>,
    o_proj: Linear,
    gate_up: GateUp,
    down_proj: Linear,
    is_windowed: bool,
    /// Which of the kinds of rotary positions.
    rotary: Option<usize>,
}

/// The norms of a block, those that it has.
#[derive(Debug)]
struct Norms {
    before_attention: Option<Norm>,
    after_attention: Option<Norm>,
    before_mlp: Option<Norm>,
    after_mlp: Option<Norm>,
}

/// The projections of queries, keys and values.
#[derive(Debug)]
enum Qkv {
    /// `q_proj`, `k_proj`, `v_proj`.
    Separate(Box<[Linear; 3]>),
    /// All heads of queries, then those of keys, then those of values.
    Fused(Linear),
}

/// The first layers of the feed-forward part.
#[derive(Debug)]
enum GateUp {
    Separate {
        gate_proj: Linear,
        up_proj: Linear,
    },
    /// The gate, then up.
    Fused(Linear),
}

impl Llama {
    pub(super) fn build(
        settings: &Settings,
        source: &mut WeightSource,
        device: Device,
    ) -> Result<Self, Error> {
        let (epsilon, form) = (settings.norm_epsilon, settings.norm_form);
        let normal = Init::Normal(0.02);
        let embed_tokens = source.embedding("model.embed_tokens", normal)?;
        let mut blocks = Vec::with_capacity(settings.layers.len());
        for (number, layer) in settings.layers.iter().enumerate() {
            let path = |name: &str| format!("model.layers.{number}.{name}");
            let mut norm = |name: &str| source.rms_norm(&path(name), form, epsilon);
            let qk_norms = match settings.qk_norms {
                QkNorms::None => None,
                QkNorms::PerHead | QkNorms::WholeProjection => {
                    Some((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?))
                }
            };
            let norms = Norms::build(settings.block_norms, norm)?;
            let mut linear = |name: &str| source.linear(&path(name), normal);
            let (qkv, gate_up) = if settings.is_fused {
                (
                    Qkv::Fused(linear("self_attn.qkv_proj")?),
                    GateUp::Fused(linear("mlp.gate_up_proj")?),
                )
            } else {
                let qkv = Qkv::Separate(Box::new([
                    linear("self_attn.q_proj")?,
                    linear("self_attn.k_proj")?,
                    linear("self_attn.v_proj")?,
                ]));
                let gate_up = GateUp::Separate {
                    gate_proj: linear("mlp.gate_proj")?,
                    up_proj: linear("mlp.up_proj")?,
                };
                (qkv, gate_up)
            };
            blocks.push(Block {
                norms,
                qkv,
                qk_norms,
                o_proj: linear("self_attn.o_proj")?,
                gate_up,
                down_proj: linear("mlp.down_proj")?,
                is_windowed: layer.is_windowed,
                rotary: layer.rotary,
            });
        }
        let rotary = settings.rotary.iter();
        Ok(Self {
            embed_tokens,
            embedding_scale: settings.embedding_scale,
            blocks,
            norm: source.rms_norm("model.norm", form, epsilon)?,
            rotary: rotary
                .map(|rotary| Rotary::new(rotary, device))
                .collect::<Result<_, _>>()?,
            heads: Heads {
                queries: settings.query_heads as i64,
                keys: settings.key_heads as i64,
                width: settings.head_width as i64,
            },
            qk_norms: settings.qk_norms,
            activation: settings.activation,
            attention_scale: settings.attention_scale,
            attention_cap: settings.attention_cap,
            residual_scale: settings.residual_scale,
            window: settings.window.map(|window| window as i64),
        })
    }

    /// Queries, keys and values of a block, `[rows, heads, tokens, width]` each, without their positions.
    fn project(
        &self,
        block: &Block,
        input: &Tensor,
        training: bool,
    ) -> Result<(Tensor, Tensor, Tensor), Error> {
        let heads = self.heads;
        let (mut query, mut keys, values) = match &block.qkv {
            Qkv::Separate(projections) => {
                let [q_proj, k_proj, v_proj] = &**projections;
                (
                    q_proj.forward(input, training)?,
                    k_proj.forward(input, training)?,
                    v_proj.forward(input, training)?,
                )
            }
            Qkv::Fused(qkv_proj) => {
                let (queries, keys) = (heads.queries * heads.width, heads.keys * heads.width);
                let fused = qkv_proj.forward(input, training)?;
                let parts = fused.f_split_with_sizes([queries, keys, keys], -1)?;
                let [query, keys, values] = <[Tensor; 3]>::try_from(parts)
                    .map_err(|parts| contract::Error::Run(format!("qkv_proj gave {} parts", parts.len())))?;
                (query, keys, values)
            }
        };
        if let (QkNorms::WholeProjection, Some((q_norm, k_norm))) = (self.qk_norms, &block.qk_norms) {
            (query, keys) = (q_norm.forward(&query)?, k_norm.forward(&keys)?);
        }
        let mut query = heads.divide(&query, heads.queries)?;
        let mut keys = heads.divide(&keys, heads.keys)?;
        if let (QkNorms::PerHead, Some((q_norm, k_norm))) = (self.qk_norms, &block.qk_norms) {
            (query, keys) = (q_norm.forward(&query)?, k_norm.forward(&keys)?);
        }
        Ok((query, keys, heads.divide(&values, heads.keys)?))
    }

    /// The hidden states with what a part of a block gives added to them.
    fn add(&self, hidden_states: &Tensor, norm: Option<&Norm>, given: &Tensor) -> Result<Tensor, Error> {
        let mut given = normed(norm, given)?;
        if self.residual_scale != 1.0 {
            given = given.f_mul_scalar(self.residual_scale)?;
        }
        Ok(hidden_states.f_add(&given)?)
    }
}

impl Norms {
    fn build(names: BlockNorms, mut norm: impl FnMut(&str) -> Result<Norm, Error>) -> Result<Self, Error> {
        let mut named = |name: Option<&str>| name.map(&mut norm).transpose();
        Ok(Self {
            before_attention: named(names.before_attention)?,
            after_attention: named(names.after_attention)?,
            before_mlp: named(names.before_mlp)?,
            after_mlp: named(names.after_mlp)?,
        })
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = Part<'_>> {
        let Self {
            before_attention,
            after_attention,
            before_mlp,
            after_mlp,
        } = self;
        let norms = [before_attention, after_attention, before_mlp, after_mlp];
        norms.into_iter().flatten().map(Part::Norm)
    }
}

fn normed(norm: Option<&Norm>, input: &Tensor) -> Result<Tensor, Error> {
    match norm {
        Some(norm) => norm.forward(input),
        None => Ok(input.shallow_clone()),
    }
}

impl Decoder for Llama {
    fn embed(&self, tokens: &Tensor, _span: &Span) -> Result<Tensor, Error> {
        let embedded = self.embed_tokens.forward(tokens)?;
        match self.embedding_scale {
            None => Ok(embedded),
            Some(EmbeddingScale {
                factor,
                is_rounded: false,
            }) => Ok(embedded.f_mul_scalar(factor)?),
            Some(EmbeddingScale { factor, .. }) => {
                // Made on the device: a copy from the host would make every step wait.
                let options = (Kind::Float, embedded.device());
                let factor = Tensor::f_full([1], f64::from(factor as f32), options)?;
                Ok(embedded.f_mul(&factor.f_to_kind(embedded.kind())?)?)
            }
        }
    }

    fn block(
        &self,
        layer: usize,
        hidden_states: &Tensor,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let block = &self.blocks[layer];
        let norms = &block.norms;
        let read = normed(norms.before_attention.as_ref(), hidden_states)?;
        let (mut query, mut keys, values) = self.project(block, &read, pass.training)?;
        if let Some(kind) = block.rotary {
            (query, keys) = (pass.apply_rotary(kind, &query)?, pass.apply_rotary(kind, &keys)?);
        }
        let how = Attention {
            layer,
            masks: &pass.masks,
            windowed: block.is_windowed,
            scale: self.attention_scale,
            cap: self.attention_cap,
        };
        let attended = attend(&how, &query, &keys, &values, cache)?;
        let attended = block.o_proj.forward(&attended, pass.training)?;
        let hidden_states = self.add(hidden_states, norms.after_attention.as_ref(), &attended)?;

        let read = normed(norms.before_mlp.as_ref(), &hidden_states)?;
        let (gate, up) = match &block.gate_up {
            GateUp::Separate { gate_proj, up_proj } => (
                gate_proj.forward(&read, pass.training)?,
                up_proj.forward(&read, pass.training)?,
            ),
            GateUp::Fused(gate_up_proj) => {
                let fused = gate_up_proj.forward(&read, pass.training)?;
                let width = fused.size3()?.2 / 2;
                (fused.f_narrow(-1, 0, width)?, fused.f_narrow(-1, width, width)?)
            }
        };
        let gated = activate(self.activation, &gate)?.f_mul(&up)?;
        let given = block.down_proj.forward(&gated, pass.training)?;
        self.add(&hidden_states, norms.after_mlp.as_ref(), &given)
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

    fn rotary(&self) -> &[Rotary] {
        &self.rotary
    }

    fn embedding(&self) -> &Embedding {
        &self.embed_tokens
    }

    fn parts_mut(&mut self) -> Vec<Part<'_>> {
        let mut parts = vec![Part::Embedding(&mut self.embed_tokens)];
        for block in &mut self.blocks {
            parts.extend(block.norms.parts_mut());
            match &mut block.qkv {
                Qkv::Separate(projections) => parts.extend(projections.iter_mut().map(Part::Linear)),
                Qkv::Fused(qkv_proj) => parts.push(Part::Linear(qkv_proj)),
            }
            if let Some((query, key)) = &mut block.qk_norms {
                parts.extend([Part::Norm(query), Part::Norm(key)]);
            }
            parts.push(Part::Linear(&mut block.o_proj));
            match &mut block.gate_up {
                GateUp::Separate { gate_proj, up_proj } => {
                    parts.extend([gate_proj, up_proj].map(Part::Linear));
                }
                GateUp::Fused(gate_up_proj) => parts.push(Part::Linear(gate_up_proj)),
            }
            parts.push(Part::Linear(&mut block.down_proj));
        }
        parts.push(Part::Norm(&mut self.norm));
        parts
    }
}
