//! Qwen3 (Yang et al. 2025): a Llama that norms the queries and keys of each head, whose heads have a width of their own.

use super::llama::{self, Settings};
use super::qwen2;
use crate::config::{Fields, Shape};

pub(super) fn read(fields: Fields<'_>) -> Result<(Settings, Shape), String> {
    let (mut settings, shape) = llama::read_common(fields, 32_768)?;
    if fields.get("head_dim").is_none() {
        // transformers' own default; no multiple of the width.
        return Err("head_dim: expected the width of a head, found nothing".to_owned());
    }
    let bias = fields.flag_or("attention_bias", false)?;
    (settings.input_bias, settings.output_bias) = (bias, bias);
    settings.head_norms = true;
    qwen2::read_windows(fields, &mut settings)?;
    Ok((settings, shape))
}
