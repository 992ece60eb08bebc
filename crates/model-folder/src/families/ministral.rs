//! Ministral (Mistral AI 2024): a Mistral of whose layers some may see only the last tokens.

use super::llama::{self, Defaults};
use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};

/// What holds for every ministral.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "ministral",
    // LoRA targets too: peft 0.21 has no default for this family, and this one for families of the same modules.
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = llama::read_common(fields, Defaults::new(131_072))?;
    settings.window = fields.optional_size("sliding_window", Some(4096))?;
    let named = fields.windowed_layers(shape.layers)?;
    for (number, layer) in settings.layers.iter_mut().enumerate() {
        let is_windowed = named.as_ref().is_none_or(|windowed| windowed[number]);
        layer.is_windowed = settings.window.is_some() && is_windowed;
    }
    Ok((Family::Llama(settings), shape))
}
