//! Granite (IBM 2024), the dense models: a Llama with factors on embeddings, attention scores and residuals, and a divisor of the
//! logits.

use super::llama::{self, Defaults};
use super::{Family, FamilySpec};
use crate::EmbeddingScale;
use crate::config::{Fields, Shape};

/// What holds for every granite.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "granite",
    // LoRA targets too: peft 0.21 has no default for this family, and this one for families of the same modules.
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = llama::read_common(fields, Defaults::new(2048))?;
    let bias = fields.flag_or("attention_bias", false)?;
    (settings.qkv_bias, settings.o_proj_bias) = (bias, bias);
    settings.mlp_bias = fields.flag_or("mlp_bias", false)?;
    settings.embedding_scale = Some(EmbeddingScale {
        factor: fields.number_or("embedding_multiplier", 1.0)?,
        is_rounded: false,
    });
    settings.attention_scale = Some(fields.number_or("attention_multiplier", 1.0)?);
    settings.residual_scale = fields.number_or("residual_multiplier", 1.0)?;
    settings.logits.divisor = fields.number_or("logits_scaling", 1.0)?;
    Ok((Family::Llama(settings), shape))
}
