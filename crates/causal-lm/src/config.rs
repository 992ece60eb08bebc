//! `config.json` of a model folder.

use std::path::Path;

use serde_json::Value;

use crate::Error;

/// A model's configuration: the file as it is, and the shape read from it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file's content; fields that nobody here knows pass through untouched when it is written again.
    pub json: Value,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub inner_width: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Epsilon of the layer norms.
    pub norm_epsilon: f64,
    /// Whether the output head is the input embedding.
    pub tied_head: bool,
    /// Token that begins a text; also what generation from nothing starts with.
    pub begin_token: i64,
    /// Token that ends a text.
    pub end_token: i64,
}

impl Config {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// [`contract::Error::Input`] for a missing or malformed file, an unknown `model_type`, a missing or impossible field,
    /// and a setting that would change the arithmetic in a way not supported here.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            contract::Error::input(&path, format!("cannot be read: {error}; expected a model folder"))
        })?;
        let json = serde_json::from_str(&text)
            .map_err(|error| contract::Error::input(&path, format!("expected JSON: {error}")))?;
        Self::from_json(json).map_err(|problem| contract::Error::input(&path, problem).into())
    }

    /// Reads a GPT-2 configuration.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_json(json: Value) -> Result<Self, String> {
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or("(none)");
        if model_type != "gpt2" {
            return Err(format!("model_type: expected one of gpt2, found {model_type}"));
        }
        let size = |key: &str| {
            json.get(key)
                .and_then(Value::as_u64)
                .filter(|&value| value > 0)
                .map(|value| value as usize)
                .ok_or_else(|| {
                    format!(
                        "{key}: expected a whole number over 0, found {}",
                        found(&json, key)
                    )
                })
        };
        let flag = |key: &str, default: bool| json.get(key).and_then(Value::as_bool).unwrap_or(default);
        let token = |key: &str| {
            json.get(key).map_or(Some(50256), |value| {
                value
                    .as_array()
                    .map_or(value.as_i64(), |ids| ids.first()?.as_i64())
            })
        };
        let activation = json
            .get("activation_function")
            .and_then(Value::as_str)
            .unwrap_or("gelu_new");
        if !["gelu_new", "gelu_pytorch_tanh"].contains(&activation) {
            return Err(format!(
                "activation_function: expected gelu_new, found {activation}"
            ));
        }
        for (key, usual) in [
            ("scale_attn_weights", true),
            ("scale_attn_by_inverse_layer_idx", false),
            ("add_cross_attention", false),
        ] {
            if flag(key, usual) != usual {
                return Err(format!("{key}: only {usual} is supported, found {}", !usual));
            }
        }
        let (width, heads, vocabulary) = (size("n_embd")?, size("n_head")?, size("vocab_size")?);
        if width % heads != 0 {
            return Err(format!(
                "n_head: expected a divisor of n_embd {width}, found {heads}"
            ));
        }
        let within = |key: &str, default: i64| {
            let id = token(key).unwrap_or(default);
            if (0..vocabulary as i64).contains(&id) {
                Ok(id)
            } else {
                Err(format!(
                    "{key}: expected a token below vocab_size {vocabulary}, found {id}"
                ))
            }
        };
        let end_token = within("eos_token_id", vocabulary as i64 - 1)?;
        Ok(Self {
            layers: size("n_layer")?,
            heads,
            width,
            inner_width: json
                .get("n_inner")
                .and_then(Value::as_u64)
                .map_or(4 * width, |inner| inner as usize),
            context: size("n_positions").or_else(|problem| size("n_ctx").map_err(|_| problem))?,
            vocabulary,
            norm_epsilon: json
                .get("layer_norm_epsilon")
                .and_then(Value::as_f64)
                .unwrap_or(1e-5),
            tied_head: flag("tie_word_embeddings", true),
            begin_token: within("bos_token_id", end_token)?,
            end_token,
            json,
        })
    }

    /// The configuration of a new GPT-2 of the given shape, without dropout.
    ///
    /// # Errors
    /// What is wrong with the shape, in words.
    pub fn gpt2(shape: &contract::pipeline::Architecture, end_token: i64) -> Result<Self, String> {
        Self::from_json(serde_json::json!({
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
            "bos_token_id": end_token,
            "eos_token_id": end_token,
            "tie_word_embeddings": true,
            "use_cache": true,
        }))
    }

    /// The same model with an output head of its own.
    pub fn untied(mut self) -> Self {
        self.tied_head = false;
        self.json["tie_word_embeddings"] = Value::Bool(false);
        self
    }

    /// The family, as `model_type` names it.
    pub fn model_type(&self) -> &str {
        self.json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn found(json: &Value, key: &str) -> String {
    json.get(key)
        .map_or_else(|| "nothing".to_owned(), Value::to_string)
}
