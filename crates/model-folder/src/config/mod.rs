//! `config.json` of a model folder.

mod fields;
pub(crate) mod quantised;
mod special_tokens;

use std::path::Path;

use contract::Error;
use contract::foreign::{MAX_SETTINGS_BYTES, read_text};
use serde_json::Value;

use crate::Module;
use crate::families::{self, Family, FamilySpec};

pub(crate) use fields::{Fields, RotaryDefaults};

/// A model's configuration: the file as it is, and what is read from it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file's content; fields that nobody here knows pass through untouched when it is written again.
    pub json: Value,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Entries of the embedding; a tokenizer may know fewer.
    pub vocabulary: usize,
    /// Whether the output head is the input embedding.
    pub tied_head: bool,
    /// Token that begins a text; also what generation from nothing starts with. Where the model names none, it is the one
    /// that ends a text.
    pub bos_token_id: i64,
    /// Tokens that end a text; the first is the one to write. Never empty.
    pub eos_token_ids: Vec<i64>,
    /// What only the model's family knows about it.
    pub family: Family,
    /// What holds for every model of the family.
    pub spec: &'static FamilySpec,
}

/// What every family's configuration tells, under names of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    pub(crate) width: usize,
    pub(crate) context: usize,
    pub(crate) vocabulary: usize,
}

impl Config {
    /// Reads `config.json` of a model folder, and from `generation_config.json` which tokens end a text, where it says.
    ///
    /// # Errors
    /// [`contract::Error::Input`] for a missing or malformed file, an unknown `model_type`, a missing or impossible field,
    /// and a setting that would change the arithmetic in a way not supported here.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("config.json");
        if !path.is_file() {
            let problem = "cannot be read: there is no such file; expected a model folder";
            return Err(Error::input(&path, problem));
        }
        let text = read_text(&path, MAX_SETTINGS_BYTES)?;
        let json = parse(&path, &text)?;
        let named = Fields(&json).get("eos_token_id").is_some();
        let more = special_tokens::ends(folder, named)?;
        Self::from_json(json, &more).map_err(|problem| Error::input(&path, problem))
    }

    /// Reads the configuration of a family that is known here. `more_ends` are tokens that end a text beside those named.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_json(json: Value, more_ends: &[i64]) -> Result<Self, String> {
        let fields = Fields(&json);
        let spec = families::named(fields.text_or("model_type", "(none)")?)?;
        let (family, shape) = (spec.read)(fields)?;
        let known = |id: &i64| (0..shape.vocabulary as i64).contains(id);
        let or_default = |named: Vec<i64>, default: Option<i64>| match default.filter(known) {
            Some(default) if named.is_empty() => vec![default],
            _ => named,
        };
        let begin = fields.tokens("bos_token_id", shape.vocabulary)?;
        // Where a configuration says that there is none, its family's does not take the place.
        let says_none = fields.says_none("bos_token_id");
        let default = spec.default_tokens.map(|(begin, _)| begin).filter(|_| !says_none);
        let begin = or_default(begin, default);
        let mut eos_token_ids = fields.tokens("eos_token_id", shape.vocabulary)?;
        for &token in more_ends.iter().filter(|token| known(token)) {
            if !eos_token_ids.contains(&token) {
                eos_token_ids.push(token);
            }
        }
        let eos_token_ids = or_default(eos_token_ids, spec.default_tokens.map(|(_, end)| end));
        let Some(&end) = eos_token_ids.first().or(begin.first()) else {
            return Err("eos_token_id: expected the token that ends a text, found nothing".to_owned());
        };
        Ok(Self {
            layers: shape.layers,
            width: shape.width,
            context: shape.context,
            vocabulary: shape.vocabulary,
            tied_head: fields.flag_or("tie_word_embeddings", spec.tied_by_default)?,
            bos_token_id: begin.first().copied().unwrap_or(end),
            eos_token_ids: if eos_token_ids.is_empty() {
                vec![end]
            } else {
                eos_token_ids
            },
            family,
            spec,
            json,
        })
    }

    /// The configuration of a new GPT-2 of the given shape, without dropout.
    ///
    /// # Errors
    /// What is wrong with the shape, in words.
    pub fn gpt2(shape: &contract::pipeline::Architecture, eos_token_id: i64) -> Result<Self, String> {
        Self::from_json(
            serde_json::json!({
                "architectures": ["GPT2LMHeadModel"],
                "model_type": "gpt2",
                "activation_function": "gelu_new",
                "n_layer": shape.layers,
                "n_embd": shape.width,
                "n_head": shape.heads,
                "n_positions": shape.context,
                "vocab_size": shape.vocabulary,
                "layer_norm_epsilon": 1e-5,
                "initializer_range": 0.02,
                "attn_pdrop": 0.0,
                "embd_pdrop": 0.0,
                "resid_pdrop": 0.0,
                "bos_token_id": eos_token_id,
                "eos_token_id": eos_token_id,
                "tie_word_embeddings": true,
                "use_cache": true,
            }),
            &[],
        )
    }

    /// The modules of the model, an LM head of its own among them.
    pub fn modules(&self) -> Vec<Module> {
        let mut modules = self.family.modules(self);
        if !self.tied_head {
            modules.push(Module {
                path: self.spec.head_modules[0].to_owned(),
                role: crate::Role::Head {
                    entries: self.vocabulary,
                    width: self.width,
                },
                bias: false,
            });
        }
        modules
    }

    /// The same model with tables of `entries` rows.
    pub(crate) fn with_vocabulary(mut self, entries: usize) -> Self {
        self.vocabulary = entries;
        self.json["vocab_size"] = Value::from(entries);
        self
    }

    /// The same model with weights that are quantised no more.
    pub(crate) fn dequantised(mut self) -> Self {
        if let Some(fields) = self.json.as_object_mut() {
            fields.remove("quantization_config");
        }
        self
    }

    /// The same model with an output head of its own.
    pub fn untied(mut self) -> Self {
        self.tied_head = false;
        self.json["tie_word_embeddings"] = Value::Bool(false);
        self
    }

    /// The token that ends a text.
    pub fn eos_token_id(&self) -> i64 {
        self.eos_token_ids[0]
    }

    /// The family, as `model_type` names it.
    pub fn model_type(&self) -> &str {
        self.json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn parse(path: &Path, text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|error| Error::input(path, format!("expected JSON: {error}")))
}
