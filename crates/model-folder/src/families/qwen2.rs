//! Qwen2 and Qwen2.5 (Yang et al. 2024): a Llama whose projections of queries, keys and values have biases, and whose upper
//! layers may see only the last tokens.

use serde_json::Value;

use super::llama::{self, Settings};
use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};

/// What holds for every qwen2.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "qwen2",
    default_tokens: None,
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = llama::read_common(fields, llama::Defaults::new(32_768))?;
    settings.qkv_bias = true;
    read_windows(fields, &mut settings)?;
    Ok((Family::Llama(settings), shape))
}

/// Which layers see only the last tokens: those that `layer_types` names, or else those from `max_window_layers` on; none
/// unless `use_sliding_window` is set.
pub(super) fn read_windows(fields: Fields<'_>, settings: &mut Settings) -> Result<(), String> {
    if !fields.flag_or("use_sliding_window", false)? {
        return Ok(());
    }
    settings.window = Some(fields.size_or("sliding_window", 4096)?);
    let first = match fields.get("max_window_layers") {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(u64::MAX) as usize,
        _ => 28,
    };
    for (number, layer) in settings.layers.iter_mut().enumerate() {
        layer.is_windowed = number >= first;
    }
    let layers = settings.layers.len();
    if let Some(windowed) = fields.windowed_layers(layers)? {
        for (layer, windowed) in settings.layers.iter_mut().zip(windowed) {
            layer.is_windowed = windowed;
        }
    }
    Ok(())
}
