//! Gemma 2 (Gemma Team 2024, arXiv 2408.00118): a Llama with norms before and behind attention and feed-forward, whose weights
//! count from 1; embeddings times √width; tanh GELU; soft caps on attention scores and logits; every other layer sees only the
//! last tokens.

use super::llama::{self, BlockNorms, Defaults, Settings};
use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};
use crate::{EmbeddingScale, RmsNormForm};

/// What holds for every gemma2.
pub(super) static SPEC: FamilySpec = FamilySpec {
    model_type: "gemma2",
    tied_by_default: true,
    default_tokens: Some((2, 1)),
    read,
    ..llama::LIKE_LLAMA
};

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = read_gemma(fields, 8192)?;
    settings.attention_cap = fields.optional_number("attn_logit_softcapping", Some(50.0))?;
    settings.logits.cap = fields.optional_number("final_logit_softcapping", Some(30.0))?;
    read_windows(fields, &mut settings, 2)?;
    Ok((Family::Llama(settings), shape))
}

/// What the Gemmas have in common, without caps and windows.
pub(super) fn read_gemma(fields: Fields<'_>, context: usize) -> Result<(Settings, Shape), String> {
    fields.only("use_bidirectional_attention", false)?;
    let defaults = Defaults {
        activation: ("hidden_activation", "gelu_pytorch_tanh"),
        head_width: Some(256),
        ..Defaults::new(context)
    };
    let (mut settings, shape) = llama::read_common(fields, defaults)?;
    let bias = fields.flag_or("attention_bias", false)?;
    (settings.qkv_bias, settings.o_proj_bias) = (bias, bias);
    settings.block_norms = BlockNorms::AROUND;
    settings.norm_form = RmsNormForm::OnePlusWeight;
    settings.embedding_scale = Some(EmbeddingScale {
        factor: (shape.width as f64).sqrt(),
        is_rounded: true,
    });
    let scalar = fields.number_or("query_pre_attn_scalar", 256.0)?;
    settings.attention_scale = Some(scalar.sqrt().recip());
    Ok((settings, shape))
}

/// Which layers see only the last tokens: those that `layer_types` names, or else all but every `pattern`th.
pub(super) fn read_windows(
    fields: Fields<'_>,
    settings: &mut Settings,
    pattern: usize,
) -> Result<(), String> {
    settings.window = fields.optional_size("sliding_window", Some(4096))?;
    let named = fields.windowed_layers(settings.layers.len())?;
    for (number, layer) in settings.layers.iter_mut().enumerate() {
        layer.is_windowed = match &named {
            Some(windowed) => windowed[number],
            None => !(number + 1).is_multiple_of(pattern),
        };
    }
    Ok(())
}
