//! OLMo 2 (OLMo et al. 2024, arXiv 2501.00656): a Llama whose blocks norm what attention and feed-forward give, not what they
//! read, and that norms queries and keys, all heads together.

use super::llama::{self, BlockNorms, Defaults, QkNorms};
use super::{Family, FamilySpec};
use crate::RmsNormForm;
use crate::config::{Fields, Shape};

/// What holds for every olmo2.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "olmo2",
    // LoRA targets too: peft 0.21 has no default for this family, and this one for families of the same modules.
    default_tokens: None,
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let defaults = Defaults {
        norm_epsilon: 1e-5,
        ..Defaults::new(2048)
    };
    let (mut settings, shape) = llama::read_common(fields, defaults)?;
    let bias = fields.flag_or("attention_bias", false)?;
    (settings.qkv_bias, settings.o_proj_bias) = (bias, bias);
    settings.block_norms = BlockNorms::AFTER;
    settings.qk_norms = QkNorms::WholeProjection;
    settings.norm_form = RmsNormForm::WeightInFloat32;
    for rotary in &mut settings.rotary {
        rotary.in_float32 = true;
    }
    Ok((Family::Llama(settings), shape))
}
