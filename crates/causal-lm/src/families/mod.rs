//! One file per family that computes in a way of its own; what the rest of the crate asks of them all. Names and shapes of their
//! parameters are in `model-folder`.

mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod llama;

use model_folder::families::Family;
use tch::{Device, Kind, Tensor};

use crate::parts::{Embedding, Masks, Norm, Part, Rotary, RotaryTables, Span, WeightSource};
use crate::{Config, Error, KvCache};

/// The body of a decoder: everything but the output head.
pub(crate) trait Decoder: std::fmt::Debug + Send {
    /// What the first block reads, `[rows, tokens, width]`, of token ids `[rows, tokens]`.
    fn embed(&self, tokens: &Tensor, span: &Span) -> Result<Tensor, Error>;

    /// What block `layer` makes of the hidden_states `[rows, tokens, width]`, after what the cache holds already.
    fn block(
        &self,
        layer: usize,
        hidden_states: &Tensor,
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

    /// The frequencies of each kind of rotary positions.
    fn rotary(&self) -> &[Rotary] {
        &[]
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
    /// Of each kind of rotary positions.
    rotary_tables: Vec<RotaryTables>,
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
        let mut rotary_tables = Vec::new();
        for rotary in decoder.rotary() {
            rotary_tables.push(rotary.tables(&span.positions()?, compute)?);
        }
        Ok(Self {
            masks: span.masks(decoder.window())?,
            rotary_tables,
            training,
        })
    }

    /// Rotates queries or keys `[rows, heads, tokens, width]` by their positions, in the family's rotary positions number `kind`.
    fn apply_rotary(&self, kind: usize, input: &Tensor) -> Result<Tensor, Error> {
        self.rotary_tables[kind].apply(input)
    }
}

/// Builds the body that `config` names.
pub(crate) fn build(
    config: &Config,
    source: &mut WeightSource,
    device: Device,
) -> Result<Box<dyn Decoder>, Error> {
    Ok(match &config.family {
        Family::Gpt2(settings) => Box::new(gpt2::Gpt2::build(config, settings, source)?),
        Family::GptNeo(settings) => Box::new(gpt_neo::GptNeo::build(config, settings, source)?),
        Family::GptNeoX(settings) => Box::new(gpt_neox::GptNeoX::build(config, settings, source, device)?),
        Family::Llama(settings) => Box::new(llama::Llama::build(settings, source, device)?),
    })
}
