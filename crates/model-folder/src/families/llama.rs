//! Llama (Touvron et al. 2023), and with it SmolLM and TinyLlama: rotary positions, root-mean-square norms, a gated
//! feed-forward layer (SwiGLU), several query heads to one head of keys and values. Many families are the same with
//! something added or in another place: [`Settings`] has all that they differ in, and each is a file that reads its own.

use super::{Family, FamilySpec};
use crate::config::{Fields, RotaryDefaults, Shape};
use crate::{
    Activation, Config, EmbeddingScale, FrequencyScaling, LogitSettings, Module, RmsNormForm, RotarySettings,
};

/// What holds for every llama.
pub static SPEC: FamilySpec = LIKE_LLAMA;

/// The same, for families that differ from it in some of it.
pub(super) const LIKE_LLAMA: FamilySpec = FamilySpec {
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
    /// Rotary positions, of which each layer has one kind or none.
    pub rotary: Vec<RotarySettings>,
    /// Whether the projections of queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the projection after attention has one.
    pub o_proj_bias: bool,
    /// Whether the feed-forward layers have one.
    pub mlp_bias: bool,
    /// Whether queries, keys and values are one projection, and gate and up another.
    pub is_fused: bool,
    /// Norms of queries and keys.
    pub qk_norms: QkNorms,
    /// Norms of a block.
    pub block_norms: BlockNorms,
    /// What norms multiply by.
    pub norm_form: RmsNormForm,
    /// Tokens that a windowed layer sees, the query's own included.
    pub window: Option<usize>,
    /// What differs from layer to layer.
    pub layers: Vec<Layer>,
    /// Factor on attention scores; 1/√head_width where there is none.
    pub attention_scale: Option<f64>,
    /// Soft cap of attention scores.
    pub attention_cap: Option<f64>,
    /// Factor on the input embeddings.
    pub embedding_scale: Option<EmbeddingScale>,
    /// Factor on what attention and feed-forward add to the hidden states.
    pub residual_scale: f64,
    /// What becomes of the LM head's products.
    pub logits: LogitSettings,
}

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Whether it sees only the last tokens.
    pub is_windowed: bool,
    /// Which of the kinds of rotary positions it has.
    pub rotary: Option<usize>,
}

/// Which norms queries and keys go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorms {
    /// None.
    None,
    /// One of each head.
    PerHead,
    /// One of all heads together.
    WholeProjection,
}

/// The names of a block's norms, where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockNorms {
    /// Of what attention reads.
    pub before_attention: Option<&'static str>,
    /// Of what attention gives.
    pub after_attention: Option<&'static str>,
    /// Of what the feed-forward layers read.
    pub before_mlp: Option<&'static str>,
    /// Of what they give.
    pub after_mlp: Option<&'static str>,
}

impl BlockNorms {
    /// Before attention and before the feed-forward layers.
    pub const BEFORE: Self = Self {
        before_attention: Some("input_layernorm"),
        after_attention: None,
        before_mlp: Some("post_attention_layernorm"),
        after_mlp: None,
    };
    /// Behind them.
    pub const AFTER: Self = Self {
        before_attention: None,
        after_attention: Some("post_attention_layernorm"),
        before_mlp: None,
        after_mlp: Some("post_feedforward_layernorm"),
    };
    /// Before and behind.
    pub const AROUND: Self = Self {
        before_attention: Some("input_layernorm"),
        after_attention: Some("post_attention_layernorm"),
        before_mlp: Some("pre_feedforward_layernorm"),
        after_mlp: Some("post_feedforward_layernorm"),
    };

    fn names(self) -> impl Iterator<Item = &'static str> {
        let names = [
            self.before_attention,
            self.after_attention,
            self.before_mlp,
            self.after_mlp,
        ];
        names.into_iter().flatten()
    }
}

fn read(fields: Fields<'_>) -> Result<(Family, Shape), String> {
    let (mut settings, shape) = read_common(fields, Defaults::new(2048))?;
    let attention_bias = fields.flag_or("attention_bias", false)?;
    settings.qkv_bias = attention_bias;
    settings.o_proj_bias = attention_bias;
    settings.mlp_bias = fields.flag_or("mlp_bias", false)?;
    Ok((Family::Llama(settings), shape))
}

/// What holds where a configuration is silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) context: usize,
    pub(super) norm_epsilon: f64,
    pub(super) rotary_theta: f64,
    /// The key of the activation, and its name.
    pub(super) activation: (&'static str, &'static str),
    /// Width of a head; width / heads where there is none.
    pub(super) head_width: Option<usize>,
    /// Whether rotary positions may turn a share of each head. Of other families transformers 4 fails at such a share, and 5 turns all.
    pub(super) may_turn_a_share: bool,
}

impl Defaults {
    /// Those of Llama, with a context of its own.
    pub(super) fn new(context: usize) -> Self {
        Self {
            context,
            norm_epsilon: 1e-6,
            rotary_theta: 10_000.0,
            activation: ("hidden_act", "silu"),
            head_width: None,
            may_turn_a_share: false,
        }
    }

    /// What holds for rotary positions.
    pub(super) fn rotary(self) -> RotaryDefaults {
        RotaryDefaults {
            theta_key: "rope_theta",
            theta: self.rotary_theta,
            share_key: "partial_rotary_factor",
            share: 1.0,
        }
    }
}

/// What the families of this kind have in common; what most of them do not have is left out.
pub(super) fn read_common(fields: Fields<'_>, defaults: Defaults) -> Result<(Settings, Shape), String> {
    let width = fields.size("hidden_size")?;
    let query_heads = fields.size("num_attention_heads")?;
    let head_width = match (fields.get("head_dim"), defaults.head_width) {
        (Some(_), _) => fields.size("head_dim")?,
        (None, Some(default)) => default,
        (None, None) => width / fields.divisor("num_attention_heads", width)?,
    };
    let key_heads = fields.size_or("num_key_value_heads", query_heads)?;
    if !query_heads.is_multiple_of(key_heads) {
        return Err(format!(
            "num_key_value_heads: expected a divisor of num_attention_heads {query_heads}, found {key_heads}"
        ));
    }
    let context = fields.size_or("max_position_embeddings", defaults.context)?;
    let layers = fields.layers("num_hidden_layers")?;
    let rotary = fields.rotary(head_width, context, defaults.rotary())?;
    if !defaults.may_turn_a_share && rotary.rotated != head_width as i64 {
        return Err(format!(
            "partial_rotary_factor: expected none for this model_type, found one by which rotary positions turn {} of a head's {head_width} \
             numbers: programs that run the model do not agree on what it then gives",
            rotary.rotated
        ));
    }
    let settings = Settings {
        query_heads,
        key_heads,
        head_width,
        intermediate_size: fields.size("intermediate_size")?,
        norm_epsilon: fields.number_or("rms_norm_eps", defaults.norm_epsilon)?,
        activation: fields.activation(defaults.activation.0, defaults.activation.1)?,
        rotary: vec![rotary],
        qkv_bias: false,
        o_proj_bias: false,
        mlp_bias: false,
        is_fused: false,
        qk_norms: QkNorms::None,
        block_norms: BlockNorms::BEFORE,
        norm_form: RmsNormForm::Weight,
        window: None,
        layers: vec![
            Layer {
                is_windowed: false,
                rotary: Some(0),
            };
            layers
        ],
        attention_scale: None,
        attention_cap: None,
        embedding_scale: None,
        residual_scale: 1.0,
        logits: LogitSettings::default(),
    };
    let shape = Shape {
        layers,
        width,
        context: readable_context(fields, &settings, context)?,
        vocabulary: fields.size("vocab_size")?,
    };
    Ok((settings, shape))
}

/// The tokens that are read at most. With LongRoPE a text beyond the context of pre-training has other frequencies at all its
/// positions, those already in a cache included; such texts are not read.
fn readable_context(fields: Fields<'_>, settings: &Settings, context: usize) -> Result<usize, String> {
    let is_long = |rotary: &RotarySettings| matches!(rotary.scaling, FrequencyScaling::LongRope { .. });
    if !settings.rotary.iter().any(is_long) {
        return Ok(context);
    }
    let original = fields.original_context(context)?;
    if original < context {
        tracing::info!(
            "config.json: this model reads up to {original} tokens here (original_max_position_embeddings); the long factors of its \
             longrope, for texts of up to {context}, are not supported"
        );
    }
    Ok(context.min(original))
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
        let linear = |name: &str, sizes, bias| Module::linear(path(name), sizes, bias);
        let norms = settings.block_norms.names();
        modules.extend(norms.map(|name| Module::rms_norm(path(name), width)));
        if settings.is_fused {
            modules.extend([
                linear("self_attn.qkv_proj", (width, queries + 2 * keys), qkv_bias),
                linear("mlp.gate_up_proj", (width, 2 * inner), mlp_bias),
            ]);
        } else {
            modules.extend([
                linear("self_attn.q_proj", (width, queries), qkv_bias),
                linear("self_attn.k_proj", (width, keys), qkv_bias),
                linear("self_attn.v_proj", (width, keys), qkv_bias),
                linear("mlp.gate_proj", (width, inner), mlp_bias),
                linear("mlp.up_proj", (width, inner), mlp_bias),
            ]);
        }
        modules.extend([
            linear("self_attn.o_proj", (queries, width), settings.o_proj_bias),
            linear("mlp.down_proj", (inner, width), mlp_bias),
        ]);
        let qk_widths = match settings.qk_norms {
            QkNorms::None => None,
            QkNorms::PerHead => Some((settings.head_width, settings.head_width)),
            QkNorms::WholeProjection => Some((queries, keys)),
        };
        if let Some((query_width, key_width)) = qk_widths {
            modules.extend([
                Module::rms_norm(path("self_attn.q_norm"), query_width),
                Module::rms_norm(path("self_attn.k_norm"), key_width),
            ]);
        }
    }
    modules.push(Module::rms_norm("model.norm".to_owned(), width));
    modules
}
