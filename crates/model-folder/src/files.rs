//! The files of a model's folder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use contract::Error;
use contract::foreign::{self, MAX_SETTINGS_BYTES};
use serde::Deserialize;

use crate::{ADAPTER_CONFIG, ENDPOINT};

/// Files of the tokenizer that go with a model.
pub const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
];

/// The file of a whole model's weights, where there is one file.
const WEIGHTS: &str = "model.safetensors";

/// The file that lists the files of a model in shards.
const INDEX: &str = "model.safetensors.index.json";

/// Whether the folder holds a model or an adapter, or says where a model is served.
pub fn is_model(folder: &Path) -> bool {
    ["config.json", ADAPTER_CONFIG, ENDPOINT]
        .iter()
        .any(|name| folder.join(name).is_file())
}

/// The files of the folder that tuning and extraction read, in a fixed order.
///
/// # Errors
/// [`Error::Input`] where the folder cannot be listed.
pub fn inputs(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error| Error::input(folder, format!("cannot be listed: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let read = ["config.json", "tokenizer.json", ADAPTER_CONFIG, ENDPOINT];
        if name.ends_with(".safetensors") || read.contains(&name.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The weight files of a model's folder: `model.safetensors`, or the shards that the index names. Returns the file to name in
/// messages as well.
pub(crate) fn weights(folder: &Path) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let single = folder.join(WEIGHTS);
    if single.is_file() {
        return Ok((single.clone(), vec![single]));
    }
    let index = folder.join(INDEX);
    if index.is_file() {
        let listed: Index = json(&index)?;
        let shards: BTreeSet<String> = listed.weight_map.into_values().collect();
        // A list of a foreign model must not lead to other files of this machine.
        let is_beside = |shard: &&String| Path::new(shard).file_name() == Some(OsStr::new(shard.as_str()));
        if let Some(outside) = shards.iter().find(|shard| !is_beside(shard)) {
            let problem = format!("weight_map: expected names of files beside it, found {outside:?}");
            return Err(Error::input(index, problem));
        }
        return Ok((
            index,
            shards.into_iter().map(|shard| folder.join(shard)).collect(),
        ));
    }
    Err(missing(
        folder,
        &format!("{WEIGHTS} or {INDEX}"),
        "neither",
        "transformers: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
    ))
}

/// The weight file of an adapter's folder.
pub(crate) fn adapter_weights(folder: &Path) -> Result<PathBuf, Error> {
    let file = folder.join(crate::ADAPTER_WEIGHTS);
    if file.is_file() {
        return Ok(file);
    }
    Err(missing(
        folder,
        crate::ADAPTER_WEIGHTS,
        "no such file",
        "peft: PeftModel.from_pretrained(base, adapter).save_pretrained(...)",
    ))
}

/// Why there are no weights: pickled ones alone, or none. `again` is how they are saved as safetensors.
fn missing(folder: &Path, expected: &str, nothing: &str, again: &str) -> Error {
    let mut pickled: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_pickled(name))
        .collect();
    pickled.sort();
    let problem = match pickled.first() {
        Some(name) => format!(
            "expected {expected}, found only pickled weights ({name}), which can run code when they are read. Load them where \
             you trust them and save them again, as safetensors, with {again}"
        ),
        None => format!("expected {expected}, found {nothing}"),
    };
    Error::input(folder, problem)
}

/// Whether a file's name is that of pickled weights.
fn is_pickled(name: &str) -> bool {
    let is_weights = ["pytorch_model", "adapter_model", "model", "consolidated"]
        .iter()
        .any(|beginning| name.starts_with(beginning));
    let extension = Path::new(name).extension().and_then(|ending| ending.to_str());
    is_weights && matches!(extension, Some("bin" | "pt" | "pth" | "ckpt"))
        || name == "pytorch_model.bin.index.json"
}

/// Reads a JSON file.
pub(crate) fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let text = foreign::read(path, MAX_SETTINGS_BYTES)?;
    serde_json::from_slice(&text).map_err(|error| Error::input(path, format!("expected JSON: {error}")))
}
