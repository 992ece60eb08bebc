//! Checkpoints as folders: a whole model in the Hugging Face layout, or an adapter in peft's beside its base.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model_folder::hub::BaseName;
use model_folder::{Checkpoint, Module, TOKENIZER_FILES};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::{CausalLm, Error, adapter, weights};

/// Reads a checkpoint: a model folder, or an adapter folder with its base, which is `base` or else what the adapter's settings
/// name: a folder beside it or anywhere, or a hub name in the local cache; a folder of checkpoints stands for the last of them.
/// Returns the folder that holds the tokenizer as well.
///
/// # Errors
/// As [`Checkpoint::open`]; and [`contract::Error::Input`] for a weight that is not finite.
pub fn load_checkpoint(
    folder: &Path,
    base: Option<&Path>,
    kind: Kind,
    device: Device,
) -> Result<(CausalLm, PathBuf), Error> {
    let checkpoint = Checkpoint::open(folder, base)?;
    let mut model = CausalLm::of_folder(&checkpoint.model, kind, device)?;
    if let Some(adapter) = &checkpoint.adapter {
        adapter::apply(&mut model, adapter)?;
    }
    Ok((model, checkpoint.tokenizer))
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
    // A bias that an adapter gave to a layer without one has no place in a folder of this family.
    let known: BTreeSet<String> = model
        .config
        .modules()
        .iter()
        .flat_map(Module::tensors)
        .map(|(name, _)| name)
        .collect();
    if let Some(name) = tensors.keys().find(|name| !known.contains(*name)) {
        let problem = format!(
            "{name}: a {} has no such parameter; the adapter cannot be merged",
            model.config.model_type()
        );
        return Err(contract::Error::Run(problem).into());
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
        "bos_token_id": model.config.bos_token_id,
        "eos_token_id": match &model.config.eos_token_ids[..] {
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
    base: impl Into<BaseName>,
    tokenizer: &Path,
) -> Result<(), Error> {
    adapter::write(model, folder, &base.into())?;
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
