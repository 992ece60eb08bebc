//! The families, one file each; what holds for every model of one is its line in [`FAMILIES`].

mod gemma2;
mod gemma3_text;
pub mod gpt2;
pub mod gpt_neo;
pub mod gpt_neox;
mod granite;
pub mod llama;
mod ministral;
mod mistral;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

use crate::config::{Fields, Shape};
use crate::{Config, LogitSettings, Module};

/// What holds for every model of a family.
#[derive(Debug)]
pub struct FamilySpec {
    /// What `model_type` in config.json says.
    pub model_type: &'static str,
    /// What names of tensors begin with, unless a file leaves it out.
    pub prefix: &'static str,
    /// The module of an LM head of its own: first as files have it, then as it may be named besides.
    pub head_modules: &'static [&'static str],
    /// The table of the input embedding.
    pub input_embedding: &'static str,
    /// Whether the LM head is the input embedding where config.json is silent.
    pub tied_by_default: bool,
    /// The modules that peft adapts where nothing is said (peft 0.21).
    pub lora_targets: &'static [&'static str],
    /// Tokens that begin and end a text where config.json is silent.
    pub(crate) default_tokens: Option<(i64, i64)>,
    pub(crate) read: fn(Fields<'_>) -> Result<(Family, Shape), String>,
}

/// Every family that is known.
pub static FAMILIES: &[&FamilySpec] = &[
    &gemma2::SPEC,
    &gemma3_text::SPEC,
    &gpt2::SPEC,
    &gpt_neo::SPEC,
    &gpt_neox::SPEC,
    &granite::SPEC,
    &llama::SPEC,
    &ministral::SPEC,
    &mistral::SPEC,
    &olmo2::SPEC,
    &phi3::SPEC,
    &qwen2::SPEC,
    &qwen3::SPEC,
    &smollm3::SPEC,
];

/// Endings of buffers in older files that are computed, not learned.
pub const BUFFERS: [&str; 7] = [
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    "rotary_emb.inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
];

/// What a configuration says about the arithmetic. Families that compute alike share a variant.
#[derive(Debug, Clone)]
pub enum Family {
    /// GPT-2.
    Gpt2(gpt2::Settings),
    /// GPT-Neo.
    GptNeo(gpt_neo::Settings),
    /// GPT-NeoX, the family of Pythia.
    GptNeoX(gpt_neox::Settings),
    /// Llama, and the families that differ from it by their settings.
    Llama(llama::Settings),
}

impl Family {
    /// The modules of the body: all but the LM head.
    pub(crate) fn modules(&self, config: &Config) -> Vec<Module> {
        match self {
            Self::Gpt2(settings) => gpt2::modules(config, settings),
            Self::GptNeo(settings) => gpt_neo::modules(config, settings),
            Self::GptNeoX(settings) => gpt_neox::modules(config, settings),
            Self::Llama(settings) => llama::modules(config, settings),
        }
    }

    /// Whether embeddings are scaled in a module of their own, so that vectors in their place need not be.
    pub(crate) fn has_scaled_embeddings(&self) -> bool {
        match self {
            Self::Llama(settings) => settings.embedding_scale.is_some_and(|scale| scale.is_rounded),
            Self::Gpt2(_) | Self::GptNeo(_) | Self::GptNeoX(_) => false,
        }
    }

    /// Heads of keys and values, and the width of each, in a model of this width.
    pub fn key_heads(&self, width: usize) -> (usize, usize) {
        let divided = |heads: usize| (heads, width / heads);
        match self {
            Self::Gpt2(settings) => divided(settings.heads),
            Self::GptNeo(settings) => divided(settings.heads),
            Self::GptNeoX(settings) => divided(settings.heads),
            Self::Llama(settings) => (settings.key_heads, settings.head_width),
        }
    }

    /// What becomes of the LM head's products before they are logits.
    pub fn logits(&self) -> LogitSettings {
        match self {
            Self::Llama(settings) => settings.logits,
            Self::Gpt2(_) | Self::GptNeo(_) | Self::GptNeoX(_) => LogitSettings::default(),
        }
    }
}

/// Families that are not read, whose text models are, and what a person may do. (Gemma3ForCausalLM.from_pretrained of the whole
/// finds none of its weights in transformers 5.23, and leaves them random.)
const TEXT_MODELS: &[(&str, &str)] = &[(
    "gemma3",
    "This model reads images too; its text model (text_config) is a gemma3_text, which is read once it is saved by itself, the \
     tokenizer's files beside it: full = transformers.AutoModelForCausalLM.from_pretrained(MODEL); text = \
     transformers.Gemma3ForCausalLM(full.config.text_config); text.model, text.lm_head = full.model.language_model, \
     full.lm_head; text.save_pretrained(FOLDER)",
)];

/// The family that `model_type` names.
pub(crate) fn named(model_type: &str) -> Result<&'static FamilySpec, String> {
    FAMILIES
        .iter()
        .find(|spec| spec.model_type == model_type)
        .copied()
        .ok_or_else(|| {
            let hint = TEXT_MODELS.iter().find(|(name, _)| *name == model_type);
            let hint = hint.map(|(_, hint)| format!(". {hint}")).unwrap_or_default();
            let known: Vec<&str> = FAMILIES.iter().map(|spec| spec.model_type).collect();
            format!(
                "model_type: expected one of {}, found {model_type}{hint}. Another family is audited by an extractor of one's own, a \
                 program that writes samples.parquet and scores.parquet: scripts/example_extractor.py reads whatever transformers \
                 reads (EXTRACTOR=\"python3 scripts/example_extractor.py\")",
                known.join(", ")
            )
        })
}
