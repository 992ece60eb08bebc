//! Checkpoints as folders: a whole model in the Hugging Face layout, or an adapter in peft's beside its base.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use contract::model_hub;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::adapter::{self, ADAPTER_CONFIG};
use crate::{CausalLm, Error, weights};

/// Files of the tokenizer that go with a model.
const TOKENIZER_FILES: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
];

/// Reads a checkpoint: a model folder, or an adapter folder with its base, which is `base` or else what the adapter's settings
/// name: a folder beside it or anywhere, or a hub name in the local cache. Returns the folder that holds the tokenizer as well.
///
/// # Errors
/// [`contract::Error::Input`] naming file and tensor, or the base that is not there.
pub fn load_checkpoint(
    folder: &Path,
    base: Option<&Path>,
    kind: Kind,
    device: Device,
) -> Result<(CausalLm, PathBuf), Error> {
    if !folder.join(ADAPTER_CONFIG).exists() {
        return Ok((CausalLm::load(folder, kind, device)?, folder.to_path_buf()));
    }
    let base = match base {
        Some(base) => base.to_path_buf(),
        None => named_base(folder)?,
    };
    let mut model = CausalLm::load(&base, kind, device)?;
    adapter::read(&mut model, folder)?;
    let tokenizer = if folder.join("tokenizer.json").exists() {
        folder.to_path_buf()
    } else {
        base
    };
    Ok((model, tokenizer))
}

/// The base that an adapter's settings name. A relative folder is looked for from the adapter's own first, since that is how a
/// pair of folders is moved about.
fn named_base(folder: &Path) -> Result<PathBuf, Error> {
    let name = adapter::base(folder)?;
    let found = model_hub::find(&name, folder).or_else(|| model_hub::find(&name, Path::new(".")));
    found.ok_or_else(|| {
        let problem = format!(
            "base_model_name_or_path: {name} is no folder here and no model in the hub's cache. Name the base with --base, or \
             download it: hf download {name}"
        );
        contract::Error::input(folder.join(ADAPTER_CONFIG), problem).into()
    })
}

/// Writes a whole model into an existing folder: configuration, weights in `kind`, and the tokenizer found in `tokenizer`.
///
/// # Errors
/// [`contract::Error::Output`] where something cannot be written.
pub fn write_model_folder(
    model: &mut CausalLm,
    folder: &Path,
    kind: Kind,
    tokenizer: &Path,
) -> Result<(), Error> {
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for parameter in model.parameters_mut() {
        tensors.insert(parameter.name, parameter.tensor.f_detach()?.f_to_kind(kind)?);
    }
    let mut config = model.config.json.clone();
    config["dtype"] = Value::String(
        if kind == Kind::BFloat16 {
            "bfloat16"
        } else {
            "float32"
        }
        .to_owned(),
    );
    if let Some(entries) = config.as_object_mut() {
        // The older spelling of the same fact.
        entries.remove("torch_dtype");
    }
    let generation = serde_json::json!({
        "_from_model_config": true,
        "bos_token_id": model.config.begin_token,
        "eos_token_id": match &model.config.end_tokens[..] {
            [one] => Value::from(*one),
            several => Value::from(several),
        },
    });
    for (name, value) in [("config.json", &config), ("generation_config.json", &generation)] {
        let path = folder.join(name);
        std::fs::write(&path, format!("{value:#}\n"))
            .map_err(|error| contract::Error::output(&path, error))?;
    }
    weights::write(&folder.join("model.safetensors"), &tensors, &[("format", "pt")])?;
    copy_tokenizer(tokenizer, folder)
}

/// Writes a model's adapter into an existing folder, naming `base` as the model that it belongs to.
///
/// # Errors
/// [`contract::Error::Output`] where something cannot be written.
pub fn write_adapter_folder(
    model: &mut CausalLm,
    folder: &Path,
    base: &str,
    tokenizer: &Path,
) -> Result<(), Error> {
    adapter::write(model, folder, base)?;
    copy_tokenizer(tokenizer, folder)
}

fn copy_tokenizer(from: &Path, to: &Path) -> Result<(), Error> {
    for name in TOKENIZER_FILES {
        let (source, destination) = (from.join(name), to.join(name));
        if source.exists() && source != destination {
            std::fs::copy(&source, &destination)
                .map_err(|error| contract::Error::output(&destination, error))?;
        }
    }
    Ok(())
}
