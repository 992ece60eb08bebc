//! Phi-3 and Phi-4 (Abdin et al. 2024): a Llama with queries, keys and values in one projection and gate and up in another, rotary
//! positions on a share of each head, and frequencies that may be stretched one by one (LongRoPE).

use super::llama::{self, Defaults};
use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};

/// What holds for every phi3.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "phi3",
    // peft 0.21 has no default for this family.
    lora_targets: &["qkv_proj"],
    default_tokens: Some((1, 32_000)),
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let defaults = Defaults {
        norm_epsilon: 1e-5,
        may_turn_a_share: true,
        ..Defaults::new(4096)
    };
    let (mut settings, shape) = llama::read_common(fields, defaults)?;
    settings.is_fused = true;
    settings.window = fields.optional_size("sliding_window", None)?;
    for layer in &mut settings.layers {
        layer.is_windowed = settings.window.is_some();
    }
    Ok((Family::Llama(settings), shape))
}
