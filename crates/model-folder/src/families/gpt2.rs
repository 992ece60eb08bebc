//! GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, fused query-key-value, tanh GELU, tied head.
//! Weights of its linear layers lie `[in, out]`.

use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};
use crate::{Activation, Config, Module};

/// What holds for every gpt2.
pub static SPEC: FamilySpec = FamilySpec {
    model_type: "gpt2",
    prefix: "transformer.",
    head_modules: &["lm_head"],
    input_embedding: "transformer.wte",
    tied_by_default: true,
    lora_targets: &["c_attn"],
    default_tokens: Some((50256, 50256)),
    read,
};

/// What a GPT-2's configuration says beside its shape.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Attention heads.
    pub heads: usize,
    /// Numbers between the two layers of the MLP.
    pub intermediate_size: usize,
    /// Added to the variance under the root.
    pub norm_epsilon: f64,
    /// Activation of the MLP.
    pub activation: Activation,
    /// Whether attention scores are divided by the root of the head's width.
    pub scaled: bool,
    /// Whether they are divided by the number of the layer as well, from 1.
    pub scaled_by_layer: bool,
}

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let width = fields.size("n_embd")?;
    fields.only("add_cross_attention", false)?;
    let settings = Settings {
        heads: fields.divisor("n_head", width)?,
        intermediate_size: fields.size_or("n_inner", 4 * width)?,
        norm_epsilon: fields.number_or("layer_norm_epsilon", 1e-5)?,
        activation: fields.activation("activation_function", "gelu_new")?,
        scaled: fields.flag_or("scale_attn_weights", true)?,
        scaled_by_layer: fields.flag_or("scale_attn_by_inverse_layer_idx", false)?,
    };
    let shape = Shape {
        layers: fields.layers("n_layer")?,
        width,
        context: fields
            .size("n_positions")
            .or_else(|problem| fields.size("n_ctx").map_err(|_| problem))?,
        vocabulary: fields.size("vocab_size")?,
    };
    Ok((Family::Gpt2(settings), shape))
}

/// The modules of the body.
pub(crate) fn modules(config: &Config, settings: &Settings) -> Vec<Module> {
    let (width, inner) = (config.width, settings.intermediate_size);
    let mut modules = vec![
        Module::embedding("transformer.wte", config.vocabulary, width),
        Module::embedding("transformer.wpe", config.context, width),
    ];
    for layer in 0..config.layers {
        let path = |name: &str| format!("transformer.h.{layer}.{name}");
        modules.extend([
            Module::layer_norm(path("ln_1"), width),
            Module::conv1d(path("attn.c_attn"), (width, 3 * width)),
            Module::conv1d(path("attn.c_proj"), (width, width)),
            Module::layer_norm(path("ln_2"), width),
            Module::conv1d(path("mlp.c_fc"), (width, inner)),
            Module::conv1d(path("mlp.c_proj"), (inner, width)),
        ]);
    }
    modules.push(Module::layer_norm("transformer.ln_f".to_owned(), width));
    modules
}
