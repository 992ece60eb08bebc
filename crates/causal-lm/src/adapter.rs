//! A PEFT adapter folder: `adapter_config.json` and `adapter_model.safetensors`, as peft 0.21 writes and reads them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::{CausalLm, Error, LoraSettings, LoraTargets, weights};

/// Name of the settings file.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of the weights file.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What peft puts before every key.
const PREFIX: &str = "base_model.model.";

/// Features of an adapter that would change its arithmetic, each with the values that leave it off.
const UNSUPPORTED: [&str; 8] = [
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "layer_replication",
];

/// Writes a model's adapter into an existing folder.
pub(crate) fn write(model: &mut CausalLm, folder: &Path, base: &str) -> Result<(), Error> {
    let Some(settings) = model.lora().cloned() else {
        return Err(contract::Error::Run("this model has no adapter to write".to_owned()).into());
    };
    let conv1d = model.config.model_type() == "gpt2";
    let mut targets = Vec::new();
    let mut factors = BTreeMap::new();
    for (name, tensor) in model.adapter_mut() {
        if let Some(path) = name.strip_suffix(".lora_A.weight") {
            targets.push(path.to_owned());
        }
        factors.insert(format!("{PREFIX}{name}"), tensor.shallow_clone());
    }
    let names = match &settings.targets {
        LoraTargets::Names(names) => names.clone(),
        LoraTargets::FamilyDefault | LoraTargets::AllLinear => shared_endings(&targets),
    };
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": names,
        "use_rslora": settings.rank_stabilized,
        "use_dora": false,
        "fan_in_fan_out": conv1d,
        "bias": "none",
        "inference_mode": true,
        "rank_pattern": {},
        "alpha_pattern": {},
        "modules_to_save": null,
        "layers_to_transform": null,
        "init_lora_weights": true,
    });
    let path = folder.join(ADAPTER_CONFIG);
    std::fs::write(&path, format!("{config:#}\n")).map_err(|error| contract::Error::output(&path, error))?;
    weights::write(&folder.join(ADAPTER_WEIGHTS), &factors, &[("format", "pt")])
}

/// The shortest names that choose the same layers: module paths without their layer numbers, each once.
fn shared_endings(paths: &[String]) -> Vec<String> {
    let mut names: Vec<String> = paths
        .iter()
        .map(|path| {
            let parts: Vec<&str> = path.split('.').collect();
            let number = parts.iter().rposition(|part| part.parse::<usize>().is_ok());
            parts[number.map_or(0, |index| index + 1)..].join(".")
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Reads an adapter folder into `model`, which must be the adapter's base.
pub(crate) fn read(model: &mut CausalLm, folder: &Path) -> Result<(), Error> {
    let path = folder.join(ADAPTER_CONFIG);
    let settings = settings(&path)?;
    model.attach_adapter(&settings)?;
    let file = folder.join(ADAPTER_WEIGHTS);
    let mut stored: BTreeMap<String, Tensor> = weights::read(&file, Kind::Float, Device::Cpu)?
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), tensor))
        .collect();
    let device = model.device();
    for (name, factor) in model.adapter_mut() {
        let expected = factor.size();
        let found = stored.remove(&name).ok_or_else(|| {
            contract::Error::input(
                &file,
                format!("tensor {PREFIX}{name}: expected shape {expected:?}, found no such tensor"),
            )
        })?;
        if found.size() != expected {
            let problem = format!(
                "tensor {PREFIX}{name}: expected shape {expected:?}, found {:?}",
                found.size()
            );
            return Err(contract::Error::input(&file, problem).into());
        }
        *factor = found.to_device(device);
    }
    match stored.keys().next() {
        None => Ok(()),
        Some(name) => {
            let problem = format!("tensor {PREFIX}{name}: belongs to no layer that {ADAPTER_CONFIG} adapts");
            Err(contract::Error::input(&file, problem).into())
        }
    }
}

/// The base model that an adapter folder names.
pub(crate) fn base(folder: &Path) -> Result<String, Error> {
    let path = folder.join(ADAPTER_CONFIG);
    let config = config(&path)?;
    let base = config
        .get("base_model_name_or_path")
        .and_then(Value::as_str)
        .filter(|base| !base.is_empty());
    base.map(str::to_owned).ok_or_else(|| {
        contract::Error::input(&path, "base_model_name_or_path: expected a folder, found nothing").into()
    })
}

fn config(path: &Path) -> Result<Value, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| contract::Error::input(path, format!("cannot be read: {error}")))?;
    Ok(serde_json::from_str(&text)
        .map_err(|error| contract::Error::input(path, format!("expected JSON: {error}")))?)
}

fn settings(path: &Path) -> Result<LoraSettings, Error> {
    let config = config(path)?;
    let bad = |problem: String| Error::from(contract::Error::input(path, problem));
    let kind = config
        .get("peft_type")
        .and_then(Value::as_str)
        .unwrap_or("(none)");
    if kind != "LORA" {
        return Err(bad(format!("peft_type: expected LORA, found {kind}")));
    }
    for key in UNSUPPORTED {
        if let Some(value) = config.get(key).filter(|value| is_active(value)) {
            return Err(bad(format!(
                "{key}: this feature is not supported, found {value}"
            )));
        }
    }
    if let Some(bias) = config
        .get("bias")
        .and_then(Value::as_str)
        .filter(|bias| *bias != "none")
    {
        return Err(bad(format!("bias: only none is supported, found {bias}")));
    }
    let rank = config.get("r").and_then(Value::as_u64).filter(|&rank| rank > 0);
    let alpha = config.get("lora_alpha").and_then(Value::as_f64);
    let targets = match config.get("target_modules") {
        Some(Value::String(name)) if name == "all-linear" => LoraTargets::AllLinear,
        Some(Value::Array(names)) => LoraTargets::Names(
            names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        other => {
            return Err(bad(format!(
                "target_modules: expected a list of names or all-linear, found {other:?}"
            )));
        }
    };
    Ok(LoraSettings {
        rank: rank.ok_or_else(|| bad("r: expected a rank of at least 1".to_owned()))? as usize,
        alpha: alpha.ok_or_else(|| bad("lora_alpha: expected a number".to_owned()))?,
        dropout: config.get("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0),
        rank_stabilized: config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
        targets,
    })
}

fn is_active(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    }
}
