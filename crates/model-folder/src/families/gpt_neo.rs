//! GPT-Neo (Black et al. 2021): as GPT-2, but with separate projections, attention scores that are not scaled, and layers
//! that see only the last tokens (local) between layers that see all (global).

use serde_json::Value;

use super::{Family, FamilySpec};
use crate::config::{Fields, Shape};
use crate::{Activation, Config, Module};

/// What holds for every gpt_neo.
pub static SPEC: FamilySpec = FamilySpec {
    model_type: "gpt_neo",
    prefix: "transformer.",
    head_modules: &["lm_head"],
    input_embedding: "transformer.wte",
    tied_by_default: true,
    lora_targets: &["q_proj", "v_proj"],
    default_tokens: Some((50256, 50256)),
    read,
};

/// What a GPT-Neo's configuration says beside its shape.
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
    /// Tokens that a local layer sees, the query's own included.
    pub window: usize,
    /// Whether each layer is local.
    pub local: Vec<bool>,
}

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let width = fields.size("hidden_size")?;
    let layers = fields.layers("num_layers")?;
    let local = local_layers(fields)?;
    if local.len() != layers {
        return Err(format!(
            "attention_types: expected {layers} layers as num_layers says, found {}",
            local.len()
        ));
    }
    let settings = Settings {
        heads: fields.divisor("num_heads", width)?,
        intermediate_size: fields.size_or("intermediate_size", 4 * width)?,
        norm_epsilon: fields.number_or("layer_norm_epsilon", 1e-5)?,
        activation: fields.activation("activation_function", "gelu_new")?,
        window: fields.size_or("window_size", 256)?,
        local,
    };
    let shape = Shape {
        layers,
        width,
        context: fields.size_or("max_position_embeddings", 2048)?,
        vocabulary: fields.size("vocab_size")?,
    };
    Ok((Family::GptNeo(settings), shape))
}

/// Reads `attention_types`, a list of pairs: some types, and how often they come one after the other. Without it, global and
/// local take turns.
fn local_layers(fields: Fields<'_>) -> Result<Vec<bool>, String> {
    let Some(types) = fields.get("attention_types") else {
        return Ok([false, true].repeat(12));
    };
    let expected =
        || format!("attention_types: expected a list such as [[[\"global\", \"local\"], 6]], found {types}");
    let mut local = Vec::new();
    for pair in types.as_array().ok_or_else(expected)? {
        let (names, times) = (
            pair.get(0).and_then(Value::as_array),
            pair.get(1).and_then(Value::as_u64),
        );
        let (names, times) = names.zip(times).ok_or_else(expected)?;
        let mut turn = Vec::with_capacity(names.len());
        for name in names {
            turn.push(match name.as_str() {
                Some("global") => false,
                Some("local") => true,
                _ => return Err(expected()),
            });
        }
        local.extend(turn.repeat(times.min(10_000) as usize));
    }
    Ok(local)
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
            Module::linear(path("attn.attention.q_proj"), (width, width), false),
            Module::linear(path("attn.attention.k_proj"), (width, width), false),
            Module::linear(path("attn.attention.v_proj"), (width, width), false),
            Module::linear(path("attn.attention.out_proj"), (width, width), true),
            Module::layer_norm(path("ln_2"), width),
            Module::linear(path("mlp.c_fc"), (width, inner), true),
            Module::linear(path("mlp.c_proj"), (inner, width), true),
        ]);
    }
    modules.push(Module::layer_norm("transformer.ln_f".to_owned(), width));
    modules
}
