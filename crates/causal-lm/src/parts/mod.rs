//! What decoders are made of; a family is a way of putting these together.

mod activation;
mod attention;
mod decode_attention;
mod linear;
mod packed_attention;
mod prepacked;
mod rotary;
mod span;
mod table;
mod weight_source;

pub(crate) use activation::activate;
pub(crate) use attention::{Attention, Heads, attend};
use decode_attention::decode_attention;
pub(crate) use linear::{Layout, Linear, LowRank, cast};
pub(crate) use prepacked::Prepacked;
pub(crate) use rotary::{Rotary, RotaryTables};
use packed_attention::{Together, attend_together};
pub(crate) use span::{Masks, Span};
use span::Documents;
pub(crate) use table::{Embedding, Norm, NormKind};
pub(crate) use weight_source::{Init, WeightSource};

/// One part that holds parameters.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Embedding(&'a mut Embedding),
    Linear(&'a mut Linear),
    Norm(&'a mut Norm),
}
