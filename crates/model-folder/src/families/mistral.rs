//! Mistral (Jiang et al. 2023): a Llama whose heads may have a width of their own, and whose layers may all see only the last
//! tokens.

use super::llama::{self, Defaults};
use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};

/// What holds for every mistral.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "mistral",
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = llama::read_common(fields, Defaults::new(131_072))?;
    settings.window = fields.optional_size("sliding_window", Some(4096))?;
    if fields
        .windowed_layers(shape.layers)?
        .is_some_and(|windowed| windowed.contains(&false))
        && settings.window.is_some()
    {
        return Err(
            "layer_types: a mistral with sliding_window has it in all layers, found full_attention among them; a model with both kinds is \
             a ministral, by its model_type".to_owned(),
        );
    }
    for layer in &mut settings.layers {
        layer.is_windowed = settings.window.is_some();
    }
    Ok((Family::Llama(settings), shape))
}
