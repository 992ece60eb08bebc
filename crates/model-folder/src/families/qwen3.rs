//! Qwen3 (Yang et al. 2025): a Llama that norms the queries and keys of each head, whose heads have a width of their own.

use super::llama::QkNorms;
use super::{Family, FamilySpec, llama, qwen2};
use crate::config::{Fields, Shape};

/// What holds for every qwen3.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "qwen3",
    default_tokens: None,
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = llama::read_common(fields, llama::Defaults::new(32_768))?;
    if fields.get("head_dim").is_none() {
        // transformers' own default; no multiple of the width.
        return Err("head_dim: expected the width of a head, found nothing".to_owned());
    }
    let bias = fields.flag_or("attention_bias", false)?;
    (settings.qkv_bias, settings.o_proj_bias) = (bias, bias);
    settings.qk_norms = QkNorms::PerHead;
    qwen2::read_windows(fields, &mut settings)?;
    Ok((Family::Llama(settings), shape))
}
