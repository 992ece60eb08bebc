//! What decoders are made of; a family is a way of putting these together.

mod activation;
mod attention;
mod linear;
mod packed_attention;
mod rotary;
mod span;
mod table;
mod weight_source;

pub(crate) use activation::activate;
pub(crate) use attention::{Attention, Heads, attend};
pub(crate) use linear::{Layout, Linear, LowRank, cast};
use packed_attention::{Together, attend_together};
pub(crate) use rotary::{Rotary, RotaryTables};
use span::Documents;
pub(crate) use span::{Masks, Span};
pub(crate) use table::{Embedding, Norm, NormKind};
pub(crate) use weight_source::{Init, WeightSource};

/// One part that holds parameters.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Embedding(&'a mut Embedding),
    Linear(&'a mut Linear),
    Norm(&'a mut Norm),
}
