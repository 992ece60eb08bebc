//! AdaLoRA (Zhang et al. 2023): scale · B·diag(E)·A, a low-rank update.

use model_folder::adapter::AdaLora;

use super::{Effect, Stored};
use crate::Error;

pub(super) fn effect(change: &AdaLora, stored: &Stored<'_>) -> Result<Effect, Error> {
    let down = stored.tensor(&change.a)?.f_mul(&stored.tensor(&change.e)?)?;
    Ok(Effect::low_rank(down, stored.tensor(&change.b)?, change.scale))
}
