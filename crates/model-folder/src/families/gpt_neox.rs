//! GPT-NeoX (Black et al. 2022), the family of Pythia: rotary positions on a share of each head, query, key and value of a
//! head side by side in one projection, attention and feed-forward in parallel, an output head of its own.

use super::{Family, FamilySpec};
use crate::config::{Fields, RotaryDefaults, Shape};
use crate::{Activation, Config, Module, RotarySettings};

/// What holds for every gpt_neox.
pub static SPEC: FamilySpec = FamilySpec {
    model_type: "gpt_neox",
    prefix: "gpt_neox.",
    head_modules: &["embed_out", "lm_head"],
    input_embedding: "gpt_neox.embed_in",
    tied_by_default: false,
    lora_targets: &["query_key_value"],
    default_tokens: Some((0, 2)),
    read,
};

/// What a GPT-NeoX's configuration says beside its shape.
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
    /// Rotary positions.
    pub rotary: RotarySettings,
    /// Whether attention and feed-forward read the same stream.
    pub parallel: bool,
    /// Whether the projections of attention have a bias.
    pub attention_bias: bool,
}

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let width = fields.size("hidden_size")?;
    let heads = fields.divisor("num_attention_heads", width)?;
    let context = fields.size_or("max_position_embeddings", 2048)?;
    let rotary = RotaryDefaults {
        theta_key: "rotary_emb_base",
        theta: 10_000.0,
        share_key: "rotary_pct",
        share: 0.25,
    };
    let settings = Settings {
        heads,
        intermediate_size: fields.size("intermediate_size")?,
        norm_epsilon: fields.number_or("layer_norm_eps", 1e-5)?,
        activation: fields.activation("hidden_act", "gelu")?,
        rotary: fields.rotary(width / heads, context, rotary)?,
        parallel: fields.flag_or("use_parallel_residual", true)?,
        attention_bias: fields.flag_or("attention_bias", true)?,
    };
    let shape = Shape {
        layers: fields.layers("num_hidden_layers")?,
        width,
        context,
        vocabulary: fields.size("vocab_size")?,
    };
    Ok((Family::GptNeoX(settings), shape))
}

/// The modules of the body.
pub(crate) fn modules(config: &Config, settings: &Settings) -> Vec<Module> {
    let (width, inner, bias) = (config.width, settings.intermediate_size, settings.attention_bias);
    let mut modules = vec![Module::embedding("gpt_neox.embed_in", config.vocabulary, width)];
    for layer in 0..config.layers {
        let path = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
        modules.extend([
            Module::layer_norm(path("input_layernorm"), width),
            Module::layer_norm(path("post_attention_layernorm"), width),
            Module::linear(path("attention.query_key_value"), (width, 3 * width), bias),
            Module::linear(path("attention.dense"), (width, width), bias),
            Module::linear(path("mlp.dense_h_to_4h"), (width, inner), true),
            Module::linear(path("mlp.dense_4h_to_h"), (inner, width), true),
        ]);
    }
    modules.push(Module::layer_norm("gpt_neox.final_layer_norm".to_owned(), width));
    modules
}
