//! LoRA (Hu et al. 2021), with DoRA, rsLoRA, PiSSA and OLoRA.

use model_folder::adapter;

use super::{Effect, Stored};
use crate::Error;
use crate::parts::LowRank;

pub(super) fn effect(change: &adapter::LowRank, stored: &Stored<'_>) -> Result<Effect, Error> {
    let optional = |name: &Option<String>| name.as_deref().map(|name| stored.tensor(name)).transpose();
    Ok(Effect::LowRank {
        factors: LowRank {
            down: stored.tensor(&change.a)?,
            up: stored.tensor(&change.b)?,
            scale: change.scale,
            dropout: change.dropout,
            magnitude: optional(&change.magnitude)?,
        },
        bias: optional(&change.bias)?,
        residual: change.residual,
    })
}
