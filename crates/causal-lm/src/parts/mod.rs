//! What decoders are made of; a family is a way of putting these together.

mod activation;
mod attention;
mod linear;
mod packed;
mod rotary;
mod single_query;
mod source;
mod span;
mod table;

pub(crate) use activation::activate;
pub(crate) use attention::{Attention, Heads, attend};
pub(crate) use linear::{Layout, Linear, LowRank, cast};
pub(crate) use packed::Packed;
pub(crate) use rotary::{Angles, Rotary};
use single_query::attend_single;
pub(crate) use source::{Source, Start};
pub(crate) use span::{Masks, Span};
pub(crate) use table::{Embedding, Norm};

/// One part that holds parameters.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Embedding(&'a mut Embedding),
    Linear(&'a mut Linear),
    Norm(&'a mut Norm),
}
