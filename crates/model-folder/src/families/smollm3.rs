//! SmolLM3 (Bakouch et al. 2025): a Llama some of whose layers have no rotary positions (NoPE), every fourth as a rule.

use super::llama::{self, Defaults};
use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};

/// What holds for every smollm3.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "smollm3",
    tied_by_default: true,
    // LoRA targets too: peft 0.21 has no default for this family, and this one for families of the same modules.
    default_tokens: Some((128_000, 128_001)),
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let defaults = Defaults {
        rotary_theta: 2_000_000.0,
        ..Defaults::new(32_768)
    };
    let (mut settings, shape) = llama::read_common(fields, defaults)?;
    let bias = fields.flag_or("attention_bias", false)?;
    (settings.qkv_bias, settings.o_proj_bias) = (bias, bias);
    settings.mlp_bias = fields.flag_or("mlp_bias", false)?;
    if fields.flag_or("use_sliding_window", false)? {
        settings.window = fields.optional_size("sliding_window", None)?;
    }
    let windowed = fields.windowed_layers(shape.layers)?;
    for (number, is_rotated) in rotated_layers(fields, shape.layers)?.into_iter().enumerate() {
        let layer = &mut settings.layers[number];
        layer.rotary = is_rotated.then_some(0);
        let is_windowed = windowed.as_ref().map_or(!is_rotated, |windowed| windowed[number]);
        layer.is_windowed = settings.window.is_some() && is_windowed;
    }
    Ok((Family::Llama(settings), shape))
}

/// Which layers have rotary positions: those that are 1 in `no_rope_layers`, or else all but every `no_rope_layer_interval`th.
fn rotated_layers(fields: Fields<'_>, layers: usize) -> Result<Vec<bool>, String> {
    let Some(listed) = fields.get("no_rope_layers") else {
        let interval = fields.size_or("no_rope_layer_interval", 4)?;
        return Ok((1..=layers).map(|number| number % interval != 0).collect());
    };
    let expected =
        || format!("no_rope_layers: expected a 0 or 1 for each of {layers} layers, found {listed}");
    let listed = listed.as_array().filter(|listed| listed.len() == layers);
    let rotated = listed
        .ok_or_else(expected)?
        .iter()
        .map(|flag| match flag.as_u64() {
            Some(flag) if flag < 2 => Ok(flag == 1),
            _ => flag.as_bool().ok_or_else(expected),
        });
    rotated.collect()
}
