//! Prompt tuning (Lester et al. 2021) and p-tuning (Liu et al. 2021): vectors that stand before every text; and prefix tuning (Li and
//! Liang 2021): keys and values that stand there in every layer. Of an encoder that training had peft stores only what it gives.

use contract::Error;

use super::super::keys::{KeyList, Keys, Treatment};
use super::super::tensors::{Chosen, Prompt, PromptForm, StoredTensors};
use super::super::{AdapterConfig, OTHER_PROGRAM};
use super::{Change, Facts, Kind, KindSpec, PLAIN, Reading, Stores, rank};
use crate::Config;

use Treatment::{Harmless, Read, Refused};

/// Prompt tuning.
pub(super) static PROMPT_TUNING: KindSpec = KindSpec {
    peft_type: "PROMPT_TUNING",
    name: "prompt tuning",
    keys: &[KEYS, INIT],
    read,
    stores: Stores::Prompt,
    ..PLAIN
};

/// P-tuning.
pub(super) static P_TUNING: KindSpec = KindSpec {
    peft_type: "P_TUNING",
    name: "p-tuning",
    keys: &[KEYS, ENCODER],
    read,
    stores: Stores::Prompt,
    ..PLAIN
};

/// Prefix tuning.
pub(super) static PREFIX_TUNING: KindSpec = KindSpec {
    peft_type: "PREFIX_TUNING",
    name: "prefix tuning",
    keys: &[KEYS, PREFIX_ENCODER],
    read: read_prefix,
    stores: Stores::Prompt,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("auto_mapping", Harmless),
    ("base_model_name_or_path", Read),
    ("inference_mode", Harmless),
    (
        "modules_to_save",
        Refused("modules were trained whole beside the virtual tokens"),
    ),
    ("num_virtual_tokens", Read),
    ("peft_type", Read),
    ("peft_version", Harmless),
    ("revision", Read),
    ("task_type", Read),
    // The sizes of the base, which the stored numbers have to fit.
    ("num_attention_heads", Read),
    ("num_layers", Harmless),
    ("num_transformer_submodules", Read),
    ("token_dim", Read),
];

/// How the vectors began.
const INIT: KeyList = &[
    ("prompt_tuning_init", Harmless),
    ("prompt_tuning_init_text", Harmless),
    ("tokenizer_kwargs", Harmless),
    ("tokenizer_name_or_path", Harmless),
];

/// The encoder that training had in place of the vectors.
const ENCODER: KeyList = &[
    ("encoder_dropout", Harmless),
    ("encoder_hidden_size", Harmless),
    ("encoder_num_layers", Harmless),
    ("encoder_reparameterization_type", Harmless),
];

/// The encoder of prefix tuning, of which peft stores only the keys and values that it gives.
const PREFIX_ENCODER: KeyList = &[
    ("encoder_hidden_size", Harmless),
    ("init_weights", Harmless),
    ("prefix_projection", Harmless),
];

#[derive(Debug)]
struct Settings {
    tokens: usize,
    /// Heads and numbers that a layer's keys have for a token, of prefix tuning.
    keys: Option<(usize, usize)>,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    read_tokens(reading.keys, None)
}

fn read_prefix(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    let sizes = (rank(keys, "num_attention_heads")?, rank(keys, "token_dim")?);
    read_tokens(keys, Some(sizes))
}

fn read_tokens(keys: Keys<'_>, sizes: Option<(usize, usize)>) -> Result<Box<dyn Kind>, String> {
    if let Some(parts) = keys
        .whole("num_transformer_submodules")?
        .filter(|&parts| parts != 1)
    {
        return Err(format!(
            "num_transformer_submodules: expected 1, for a model that is a decoder alone, found {parts}"
        ));
    }
    Ok(Box::new(Settings {
        tokens: rank(keys, "num_virtual_tokens")?,
        keys: sizes,
    }))
}

impl Kind for Settings {
    fn changes(
        &self,
        _: &AdapterConfig,
        _: &[Chosen],
        _: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        Ok(Vec::new())
    }

    fn prompt(
        &self,
        config: &AdapterConfig,
        base: &Config,
        stored: &mut StoredTensors<'_>,
    ) -> Result<Option<Prompt>, Error> {
        let tokens = self.tokens;
        if tokens >= base.context {
            return Err(config.bad(format!(
                "num_virtual_tokens: expected fewer than the base's context of {}, found {tokens}",
                base.context
            )));
        }
        let (form, width) = match self.keys {
            None => {
                refuse_scaled_embeddings(config, base)?;
                (PromptForm::Embeddings, base.width)
            }
            Some(found) => {
                let (heads, width) = base.family.key_heads(base.width);
                if found != (heads, heads * width) {
                    return Err(config.bad(format!(
                        "num_attention_heads and token_dim: expected {heads} and {}, as the base has for keys and values, found {} and \
                         {}. Name the base that the adapter was trained on with BASE= (or --base)",
                        heads * width,
                        found.0,
                        found.1
                    )));
                }
                let form = PromptForm::KeysAndValues { heads, width };
                (form, base.layers * 2 * heads * width)
            }
        };
        Ok(Some(Prompt {
            tensor: stored.expect("prompt_embeddings", &[tokens, width])?,
            tokens,
            form,
        }))
    }

    fn facts(&self) -> Facts {
        Facts {
            others: vec![format!("{} virtual tokens", self.tokens)],
            ..Facts::default()
        }
    }
}

/// Refuses families of which the adapter does not say what was trained.
fn refuse_scaled_embeddings(config: &AdapterConfig, base: &Config) -> Result<(), Error> {
    if !base.family.has_scaled_embeddings() {
        return Ok(());
    }
    Err(config.bad(format!(
        "peft_type: {} is not read for {}: transformers 4 scales virtual tokens as it does embeddings, transformers 5 does not, and \
         the adapter does not say which it was trained with. {OTHER_PROGRAM}",
        config.spec.peft_type,
        base.model_type()
    )))
}
