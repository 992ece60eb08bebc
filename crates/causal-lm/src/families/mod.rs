//! One file per family; what the rest of the crate asks of them all.

mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod llama;
mod qwen2;
mod qwen3;

use tch::{Device, Kind, Tensor};

use crate::config::{Fields, Shape};
use crate::parts::{Angles, Embedding, Masks, Norm, Part, Rotary, Source, Span};
use crate::{Config, Error, KvCache};

/// The body of a decoder: everything but the output head.
pub(crate) trait Decoder: std::fmt::Debug + Send {
    /// What the first block reads, `[rows, tokens, width]`, of token ids `[rows, tokens]`.
    fn enter(&self, tokens: &Tensor, span: &Span) -> Result<Tensor, Error>;

    /// What block `layer` makes of the stream `[rows, tokens, width]`, after what the cache holds already.
    fn block(
        &self,
        layer: usize,
        stream: &Tensor,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error>;

    /// Number of blocks.
    fn blocks(&self) -> usize;

    /// The norm behind the last block.
    fn final_norm(&self) -> &Norm;

    /// Tokens that a windowed block sees, the query's own included.
    fn window(&self) -> Option<i64> {
        None
    }

    /// The frequencies of rotary positions.
    fn rotary(&self) -> Option<&Rotary> {
        None
    }

    /// The input embedding, which a tied head shares.
    fn embedding(&self) -> &Embedding;

    /// Everything that holds parameters.
    fn parts_mut(&mut self) -> Vec<Part<'_>>;
}

/// What all blocks share while one batch passes through them.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) masks: Masks,
    angles: Option<Angles>,
    /// Whether an adapter's dropout is at work.
    pub(crate) training: bool,
}

impl Pass {
    pub(crate) fn new(
        decoder: &dyn Decoder,
        span: &Span,
        compute: Kind,
        training: bool,
    ) -> Result<Self, Error> {
        let angles = match decoder.rotary() {
            Some(rotary) => Some(rotary.angles(&span.positions()?, compute)?),
            None => None,
        };
        Ok(Self {
            masks: span.masks(decoder.window())?,
            angles,
            training,
        })
    }

    /// Turns queries or keys `[rows, heads, tokens, width]` by their positions, where the family does that.
    fn turn(&self, input: &Tensor) -> Result<Tensor, Error> {
        match &self.angles {
            Some(angles) => angles.turn(input),
            None => Ok(input.shallow_clone()),
        }
    }
}

/// A family, with what its configuration says about the arithmetic.
#[derive(Debug, Clone)]
pub(crate) enum Family {
    Gpt2(gpt2::Settings),
    GptNeo(gpt_neo::Settings),
    GptNeoX(gpt_neox::Settings),
    /// Llama, Qwen2 and Qwen3, which differ in their biases and norms.
    Llama(llama::Settings),
}

/// What stands in every `model_type` that is known here.
pub(crate) const MODEL_TYPES: [&str; 6] = ["gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2", "qwen3"];

impl Family {
    /// Reads a configuration.
    pub(crate) fn read(fields: Fields<'_>) -> Result<(Self, Shape), String> {
        Ok(match fields.text_or("model_type", "(none)")? {
            "gpt2" => gpt2::read(fields).map(|(settings, shape)| (Self::Gpt2(settings), shape))?,
            "gpt_neo" => gpt_neo::read(fields).map(|(settings, shape)| (Self::GptNeo(settings), shape))?,
            "gpt_neox" => gpt_neox::read(fields).map(|(settings, shape)| (Self::GptNeoX(settings), shape))?,
            "llama" => llama::read(fields).map(|(settings, shape)| (Self::Llama(settings), shape))?,
            "qwen2" => qwen2::read(fields).map(|(settings, shape)| (Self::Llama(settings), shape))?,
            "qwen3" => qwen3::read(fields).map(|(settings, shape)| (Self::Llama(settings), shape))?,
            other => {
                return Err(format!(
                    "model_type: expected one of {}, found {other}",
                    MODEL_TYPES.join(", ")
                ));
            }
        })
    }

    /// What names begin with in this family's files, unless it was left out.
    pub(crate) fn prefix(&self) -> &'static str {
        match self {
            Self::Gpt2(_) | Self::GptNeo(_) => "transformer.",
            Self::GptNeoX(_) => "gpt_neox.",
            Self::Llama(_) => "model.",
        }
    }

    /// The names that files give an output head of its own, the one to write first.
    pub(crate) fn head_names(&self) -> &'static [&'static str] {
        match self {
            Self::GptNeoX(_) => &["embed_out.weight", "lm_head.weight"],
            _ => &["lm_head.weight"],
        }
    }
}

/// Endings of buffers in older files that are computed, not learned.
pub(crate) const BUFFERS: [&str; 6] = [
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    "rotary_emb.inv_freq",
    "rotary_emb.cos_cached",
];

/// Builds the body that `config` names.
pub(crate) fn build(config: &Config, source: &mut Source, device: Device) -> Result<Box<dyn Decoder>, Error> {
    Ok(match &config.family {
        Family::Gpt2(settings) => Box::new(gpt2::Gpt2::build(config, settings, source)?),
        Family::GptNeo(settings) => Box::new(gpt_neo::GptNeo::build(config, settings, source)?),
        Family::GptNeoX(settings) => Box::new(gpt_neox::GptNeoX::build(config, settings, source, device)?),
        Family::Llama(settings) => Box::new(llama::Llama::build(config, settings, source, device)?),
    })
}
