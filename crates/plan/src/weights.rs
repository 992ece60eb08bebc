//! What a model is made of, read from the headers of its weight files alone: no weight is loaded.
//!
//! A safetensors file begins with the length of its header (8 bytes, little-endian) and the header as JSON, which gives each
//! tensor's shape. Sharded models list their files in `model.safetensors.index.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use contract::Error;
use contract::pipeline::Mode;
use serde::Deserialize;

/// The safetensors format allows no longer header.
const LONGEST_HEADER: u64 = 100_000_000;

/// Last parts of the names of embeddings, which no family's "all-linear" includes.
const EMBEDDINGS: [&str; 5] = ["wte", "wpe", "embed_tokens", "embed_in", "embed_positions"];

/// Names of the output head where a family keeps it apart from the input embedding.
const HEADS: [&str; 2] = ["lm_head", "embed_out"];

/// Names of the input embedding.
const INPUT_EMBEDDINGS: [&str; 3] = ["wte", "embed_tokens", "embed_in"];

/// The shapes of a model's weights, and what its `config.json` says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// The `model_type`: `gpt2`, `llama`, …
    pub family: String,
    /// Transformer blocks; 0 where the configuration does not say.
    pub layers: u64,
    /// Width of the residual stream; 0 where the configuration does not say.
    pub width: u64,
    /// Attention heads; 0 where the configuration does not say.
    pub heads: u64,
    shapes: BTreeMap<String, Vec<u64>>,
}

/// `config.json` under the names that the families give their sizes.
#[derive(Deserialize)]
struct Configuration {
    model_type: Option<String>,
    tie_word_embeddings: Option<bool>,
    #[serde(alias = "n_layer", alias = "num_layers")]
    num_hidden_layers: Option<u64>,
    #[serde(alias = "n_embd")]
    hidden_size: Option<u64>,
    #[serde(alias = "n_head", alias = "num_heads")]
    num_attention_heads: Option<u64>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TensorHeader {
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Weights {
    /// Reads the headers of the model in `folder`.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no `config.json` or no safetensors file, or one is damaged.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let configuration: Configuration = json(&folder.join("config.json"))?;
        let family = configuration
            .model_type
            .ok_or_else(|| Error::input(folder.join("config.json"), "expected a model_type, found none"))?;
        let mut shapes = BTreeMap::new();
        for file in weight_files(folder)? {
            shapes.extend(header(&folder.join(file))?);
        }
        shapes.retain(|name, _| !is_buffer(name));
        // GPT-2 and GPT-Neo tie their head unless told otherwise; the other families keep one of their own.
        let tied = configuration
            .tie_word_embeddings
            .unwrap_or(matches!(family.as_str(), "gpt2" | "gpt_neo"));
        if tied {
            shapes.retain(|name, _| !is_module(name, &HEADS));
        }
        Ok(Self {
            family,
            layers: configuration.num_hidden_layers.unwrap_or(0),
            width: configuration.hidden_size.unwrap_or(0),
            heads: configuration.num_attention_heads.unwrap_or(0),
            shapes,
        })
    }

    /// Parameters of the model; a head tied to the input embedding counts once.
    pub fn parameters(&self) -> u64 {
        self.shapes.values().map(|shape| size(shape)).sum()
    }

    /// Parameters of the output head, vocabulary × width: its own weight, or the embedding that it is tied to.
    pub fn head_parameters(&self) -> u64 {
        let of = |names: &[&str]| {
            self.shapes
                .iter()
                .find(|(name, _)| is_module(name, names))
                .map(|(_, shape)| size(shape))
        };
        of(&HEADS).or_else(|| of(&INPUT_EMBEDDINGS)).unwrap_or(0)
    }

    /// Parameters of LoRA on `targets`: Σ rank · (in + out) over the adapted modules (Hu et al. 2021, arXiv 2106.09685), and
    /// with DoRA one more for each output. As in peft, a target is adapted by every module whose name it ends, and
    /// `all-linear` means every linear layer but the output head.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a target names no module.
    pub fn lora_parameters(&self, mode: &Mode, targets: &[String]) -> Result<u64, Error> {
        let modules: Vec<(&str, &[u64])> = self
            .shapes
            .iter()
            .filter(|(_, shape)| shape.len() == 2)
            .filter_map(|(name, shape)| Some((name.strip_suffix(".weight")?, shape.as_slice())))
            .collect();
        let linear = |module: &str| !EMBEDDINGS.iter().chain(&HEADS).any(|name| ends(module, name));
        let named = |module: &str, target: &str| match target {
            "all-linear" => linear(module),
            target if is_pattern(target) => linear(module) && fits(target, module),
            target => ends(module, target),
        };
        if let Some(target) = targets
            .iter()
            .find(|target| !modules.iter().any(|(module, _)| named(module, target)))
        {
            let known: BTreeSet<&str> = modules
                .iter()
                .filter(|(module, _)| linear(module))
                .map(|(module, _)| last_part(module))
                .collect();
            let known: Vec<&str> = known.into_iter().collect();
            return Err(Error::Configuration(format!(
                "mode.targets: no module of this {} model is named {target}. Its linear modules are named {}; \"all-linear\" \
                 takes all of them",
                self.family,
                known.join(", ")
            )));
        }
        let adapted = modules
            .iter()
            .filter(|(module, _)| targets.iter().any(|target| named(module, target)));
        Ok(adapted
            .map(|(module, shape)| {
                let patterns = mode.rank_pattern.iter();
                let rank = patterns
                    .filter(|(pattern, _)| fits(&format!(r"(?:.*\.)?(?:{pattern})"), module))
                    .map(|(_, &rank)| rank)
                    .next()
                    .unwrap_or(mode.rank) as u64;
                // GPT-2 keeps its weights the other way round.
                let outputs = if self.family == "gpt2" { shape[1] } else { shape[0] };
                rank * shape.iter().sum::<u64>() + if mode.dora { outputs } else { 0 }
            })
            .sum())
    }

    /// Rows of the output head.
    pub fn vocabulary(&self) -> u64 {
        self.head_parameters().checked_div(self.width).unwrap_or(0)
    }
}

/// The modules that peft adapts in a family when nothing is said (peft 0.21).
pub fn default_targets(family: &str) -> Option<&'static [&'static str]> {
    match family {
        "gpt2" => Some(&["c_attn"]),
        "gpt_neox" => Some(&["query_key_value"]),
        "gpt_neo" | "llama" | "qwen2" | "qwen3" => Some(&["q_proj", "v_proj"]),
        _ => None,
    }
}

fn weight_files(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        let index: Index = json(&index)?;
        return Ok(index.weight_map.into_values().collect());
    }
    if folder.join("model.safetensors").is_file() {
        return Ok(BTreeSet::from(["model.safetensors".to_owned()]));
    }
    let pickled = folder.join("pytorch_model.bin").is_file();
    let found = if pickled {
        "only pytorch_model.bin, a pickle, which can run code when it is read"
    } else {
        "none"
    };
    Err(Error::input(
        folder,
        format!("expected weights in model.safetensors, found {found}"),
    ))
}

/// How many numbers a safetensors file holds.
///
/// # Errors
/// [`Error::Input`] where it is missing or damaged.
pub(crate) fn numbers_in(path: &Path) -> Result<u64, Error> {
    Ok(header(path)?.values().map(|shape| size(shape)).sum())
}

/// The shapes of the tensors in one safetensors file.
fn header(path: &Path) -> Result<BTreeMap<String, Vec<u64>>, Error> {
    let unreadable = |error: std::io::Error| Error::input(path, format!("cannot be read: {error}"));
    let damaged =
        |problem: &str| Error::input(path, format!("no safetensors file, or a damaged one: {problem}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|_| damaged("shorter than the length of its header"))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length + 8 > bytes {
        return Err(damaged(&format!(
            "a header of {length} bytes in a file of {bytes}"
        )));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(unreadable)?;
    let mut entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| damaged(&format!("its header: {error}")))?;
    entries.remove("__metadata__");
    let mut shapes = BTreeMap::new();
    for (name, entry) in entries {
        let tensor: TensorHeader =
            serde_json::from_value(entry).map_err(|error| damaged(&format!("tensor {name}: {error}")))?;
        let end = tensor.data_offsets.1.saturating_add(length + 8);
        if end > bytes {
            return Err(damaged(&format!(
                "tensor {name} ends at byte {end} of a file of {bytes}"
            )));
        }
        shapes.insert(name, tensor.shape);
    }
    Ok(shapes)
}

/// Reads a model's JSON file.
///
/// # Errors
/// [`Error::Input`] where it is missing or not what is expected.
pub(crate) fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(|error| Error::input(path, format!("cannot be read: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::input(path, format!("expected a model's JSON, {error}")))
}

/// Masks and frequencies that older files carry beside the weights.
fn is_buffer(name: &str) -> bool {
    [
        "attn.bias",
        "attn.masked_bias",
        "attention.bias",
        "attention.masked_bias",
        "rotary_emb.inv_freq",
    ]
    .iter()
    .any(|buffer| ends(name, buffer))
}

/// Whether a target is a regular expression for whole module paths, as the tuner takes it.
fn is_pattern(target: &str) -> bool {
    target.contains(['*', '+', '(', '[', '|', '\\', '^', '$', '?'])
}

/// Whether a regular expression fits the whole of `module`; one that is none fits nothing, and the tuner says why.
fn fits(pattern: &str, module: &str) -> bool {
    fancy_regex::Regex::new(&format!(r"\A(?:{pattern})\z"))
        .is_ok_and(|regex| regex.is_match(module).unwrap_or(false))
}

fn is_module(weight: &str, names: &[&str]) -> bool {
    weight
        .strip_suffix(".weight")
        .is_some_and(|module| names.iter().any(|name| ends(module, name)))
}

fn ends(name: &str, end: &str) -> bool {
    name.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn last_part(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

fn size(shape: &[u64]) -> u64 {
    shape.iter().product()
}
