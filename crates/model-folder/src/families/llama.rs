//! Llama (Touvron et al. 2023), and with it SmolLM and TinyLlama: rotary positions, root-mean-square norms, a gated
//! feed-forward layer (SwiGLU), several query heads to one head of keys and values. Qwen2 and Qwen3 are the same with
//! biases or norms added.

use super::{Family, FamilySpec};
use crate::config::{Fields, RotaryDefaults, Shape};
use crate::{Activation, Config, Module, RotarySettings};

/// What holds for every llama.
pub static SPEC: FamilySpec = FamilySpec {
    model_type: "llama",
    prefix: "model.",
    head_modules: &["lm_head"],
    input_embedding: "model.embed_tokens",
    tied_by_default: false,
    lora_targets: &["q_proj", "v_proj"],
    default_tokens: Some((1, 2)),
    read,
};

/// What a configuration of this kind says beside its shape.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Query heads.
    pub query_heads: usize,
    /// Heads of keys and values.
    pub key_heads: usize,
    /// Numbers of a head.
    pub head_width: usize,
    /// Numbers between the two layers of the MLP.
    pub intermediate_size: usize,
    /// Added to the variance under the root.
    pub norm_epsilon: f64,
    /// Activation of the MLP.
    pub activation: Activation,
    /// Rotary positions.
    pub rotary: RotarySettings,
    /// Whether the projections of queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the projection after attention has one.
    pub o_proj_bias: bool,
    /// Whether the feed-forward layers have one.
    pub mlp_bias: bool,
    /// Whether each head's queries and keys are normed.
    pub has_qk_norms: bool,
    /// Tokens that a windowed layer sees, the query's own included.
    pub window: Option<usize>,
    /// Whether each layer is windowed.
    pub windowed: Vec<bool>,
}

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = read_common(fields, 2048)?;
    let attention_bias = fields.flag_or("attention_bias", false)?;
    settings.qkv_bias = attention_bias;
    settings.o_proj_bias = attention_bias;
    settings.mlp_bias = fields.flag_or("mlp_bias", false)?;
    Ok((Family::Llama(settings), shape))
}

/// What the families of this kind have in common, without biases, norms of heads, and windows.
pub(super) fn read_common(fields: Fields<'_>, default_context: usize) -> Result<(Settings, Shape), String> {
    let width = fields.size("hidden_size")?;
    let query_heads = fields.size("num_attention_heads")?;
    let head_width = match fields.get("head_dim") {
        Some(_) => fields.size("head_dim")?,
        None => width / fields.divisor("num_attention_heads", width)?,
    };
    let key_heads = fields.size_or("num_key_value_heads", query_heads)?;
    if !query_heads.is_multiple_of(key_heads) {
        return Err(format!(
            "num_key_value_heads: expected a divisor of num_attention_heads {query_heads}, found {key_heads}"
        ));
    }
    let context = fields.size_or("max_position_embeddings", default_context)?;
    let rotary = RotaryDefaults {
        theta_key: "rope_theta",
        theta: 10_000.0,
        share_key: "partial_rotary_factor",
        share: 1.0,
    };
    let layers = fields.size("num_hidden_layers")?;
    let settings = Settings {
        query_heads,
        key_heads,
        head_width,
        intermediate_size: fields.size("intermediate_size")?,
        norm_epsilon: fields.number_or("rms_norm_eps", 1e-6)?,
        activation: fields.activation("hidden_act", "silu")?,
        rotary: fields.rotary(head_width, context, rotary)?,
        qkv_bias: false,
        o_proj_bias: false,
        mlp_bias: false,
        has_qk_norms: false,
        window: None,
        windowed: vec![false; layers],
    };
    let shape = Shape {
        layers,
        width,
        context,
        vocabulary: fields.size("vocab_size")?,
    };
    Ok((settings, shape))
}

/// The modules of the body.
pub(crate) fn modules(config: &Config, settings: &Settings) -> Vec<Module> {
    let (width, inner) = (config.width, settings.intermediate_size);
    let queries = settings.query_heads * settings.head_width;
    let keys = settings.key_heads * settings.head_width;
    let (qkv_bias, mlp_bias) = (settings.qkv_bias, settings.mlp_bias);
    let mut modules = vec![Module::embedding("model.embed_tokens", config.vocabulary, width)];
    for layer in 0..config.layers {
        let path = |name: &str| format!("model.layers.{layer}.{name}");
        modules.extend([
            Module::rms_norm(path("input_layernorm"), width),
            Module::rms_norm(path("post_attention_layernorm"), width),
            Module::linear(path("self_attn.q_proj"), (width, queries), qkv_bias),
            Module::linear(path("self_attn.k_proj"), (width, keys), qkv_bias),
            Module::linear(path("self_attn.v_proj"), (width, keys), qkv_bias),
            Module::linear(path("self_attn.o_proj"), (queries, width), settings.o_proj_bias),
            Module::linear(path("mlp.gate_proj"), (width, inner), mlp_bias),
            Module::linear(path("mlp.up_proj"), (width, inner), mlp_bias),
            Module::linear(path("mlp.down_proj"), (inner, width), mlp_bias),
        ]);
        if settings.has_qk_norms {
            modules.extend([
                Module::rms_norm(path("self_attn.q_norm"), settings.head_width),
                Module::rms_norm(path("self_attn.k_norm"), settings.head_width),
            ]);
        }
    }
    modules.push(Module::rms_norm("model.norm".to_owned(), width));
    modules
}
