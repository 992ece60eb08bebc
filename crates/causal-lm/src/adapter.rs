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

/// Features of an adapter that would change its arithmetic and are not known here.
const UNSUPPORTED: [&str; 9] = [
    "target_parameters",
    "trainable_token_indices",
    "layer_replication",
    "layers_pattern",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
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
    let targets = match &settings.targets {
        LoraTargets::Names(names) => json!(names),
        LoraTargets::Pattern(pattern) => json!(pattern),
        LoraTargets::FamilyDefault | LoraTargets::AllLinear => json!(shared_endings(&targets)),
    };
    let excluded = match &settings.excluded {
        Some(LoraTargets::Names(names)) => json!(names),
        Some(LoraTargets::Pattern(pattern)) => json!(pattern),
        _ => Value::Null,
    };
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": number(settings.alpha),
        "lora_dropout": settings.dropout,
        "target_modules": targets,
        "exclude_modules": excluded,
        "use_rslora": settings.rank_stabilized,
        "use_dora": settings.magnitude,
        "fan_in_fan_out": conv1d,
        "bias": "none",
        "inference_mode": true,
        "rank_pattern": settings.rank_pattern.iter().cloned().collect::<BTreeMap<_, _>>(),
        "alpha_pattern": settings.alpha_pattern.iter().map(|(pattern, alpha)| (pattern, number(*alpha))).collect::<BTreeMap<_, _>>(),
        "modules_to_save": null,
        "layers_to_transform": if settings.blocks.is_empty() { Value::Null } else { json!(settings.blocks) },
        "init_lora_weights": true,
    });
    let path = folder.join(ADAPTER_CONFIG);
    std::fs::write(&path, format!("{config:#}\n")).map_err(|error| contract::Error::output(&path, error))?;
    weights::write(&folder.join(ADAPTER_WEIGHTS), &factors, &[("format", "pt")])
}

/// A number as Python writes it: whole where it is whole.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
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
    // A target that matches nothing is the file's fault here, not the pipeline's.
    model.attach_adapter(&settings).map_err(|error| match error {
        Error::Contract(contract::Error::Configuration(problem)) => Error::from(contract::Error::input(
            &path,
            format!("target_modules: {problem}"),
        )),
        error => error,
    })?;
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
        *factor = found.f_to_device(device)?;
    }
    if !settings.whole_modules.is_empty() {
        for module in &settings.whole_modules {
            if !stored.keys().any(|name| name.contains(module.as_str())) {
                let problem = format!(
                    "modules_to_save: {module}: expected its tensors in {ADAPTER_WEIGHTS}, found none"
                );
                return Err(contract::Error::input(&path, problem).into());
            }
        }
        stored = model.replace_whole(stored, &file)?;
    }
    match stored.keys().next() {
        None => Ok(()),
        Some(name) if name.contains("lora_embedding_") || name.starts_with("lm_head.lora") => {
            let problem = format!(
                "tensor {PREFIX}{name}: LoRA on embeddings and on the output head is not supported; merge the adapter into \
                 its base with peft (merge_and_unload) and use that"
            );
            Err(contract::Error::input(&file, problem).into())
        }
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
    let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
    let targets = chosen(config.get("target_modules")).ok_or_else(|| {
        let found = config.get("target_modules").unwrap_or(&Value::Null);
        bad(format!(
            "target_modules: expected a list of names, a regular expression, or all-linear, found {found}"
        ))
    })?;
    let blocks = match config.get("layers_to_transform") {
        Some(Value::Array(numbers)) => numbers.iter().filter_map(Value::as_u64).collect(),
        Some(number) => number.as_u64().into_iter().collect(),
        None => Vec::new(),
    };
    Ok(LoraSettings {
        rank: rank.ok_or_else(|| bad("r: expected a rank of at least 1".to_owned()))? as usize,
        alpha: alpha.ok_or_else(|| bad("lora_alpha: expected a number".to_owned()))?,
        dropout: config.get("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0),
        rank_stabilized: flag("use_rslora"),
        magnitude: flag("use_dora"),
        targets,
        excluded: chosen(config.get("exclude_modules")),
        blocks: blocks.into_iter().map(|block: u64| block as usize).collect(),
        rank_pattern: pattern(&config, "rank_pattern", |value| {
            value.as_u64().map(|rank| rank as usize)
        }),
        alpha_pattern: pattern(&config, "alpha_pattern", Value::as_f64),
        whole_modules: names(config.get("modules_to_save")),
    })
}

/// Modules as peft's files choose them; `None` where none are named.
fn chosen(value: Option<&Value>) -> Option<LoraTargets> {
    match value? {
        Value::String(name) if name == "all-linear" => Some(LoraTargets::AllLinear),
        Value::String(pattern) => Some(LoraTargets::Pattern(pattern.clone())),
        Value::Array(list) if !list.is_empty() => Some(LoraTargets::Names(names(value))),
        _ => None,
    }
}

fn names(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn pattern<Number>(
    config: &Value,
    key: &str,
    read: impl Fn(&Value) -> Option<Number>,
) -> Vec<(String, Number)> {
    let table = config.get(key).and_then(Value::as_object);
    let entries = table.into_iter().flatten();
    entries
        .filter_map(|(pattern, value)| Some((pattern.clone(), read(value)?)))
        .collect()
}

fn is_active(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    }
}
