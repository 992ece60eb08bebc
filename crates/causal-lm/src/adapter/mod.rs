//! A PEFT adapter folder: `adapter_config.json` and `adapter_model.safetensors`, written as peft 0.21 reads them; and the
//! tensors of one put into a model. What may be in it is the matter of `model-folder`.

pub(crate) mod kinds;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use model_folder::adapter::{NewRows, PREFIX, Replacement, Untie};
use model_folder::hub::BaseName;
use model_folder::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter};
use serde_json::{Value, json};
use tch::{Device, Kind};

use crate::{CausalLm, Error, LoraSettings, LoraTargets, weights};

/// An adapter that a model has.
#[derive(Debug, Clone)]
pub(crate) struct LoadedAdapter {
    /// The settings of its updates, where it is LoRA.
    pub(crate) settings: Option<LoraSettings>,
    /// Whether a part of it is in the model's own parameters, so that it cannot be written as an adapter again.
    pub(crate) is_merged: bool,
}

/// Writes a model's adapter into an existing folder.
pub(crate) fn write(model: &mut CausalLm, folder: &Path, base: &BaseName) -> Result<(), Error> {
    let Some(LoadedAdapter {
        settings: Some(settings),
        is_merged: false,
    }) = model.adapter.clone()
    else {
        let problem = "this model has no adapter to write, or one that is a part of its own parameters";
        return Err(contract::Error::Run(problem.to_owned()).into());
    };
    let conv1d = model.has_transposed_weights();
    let mut targets = Vec::new();
    let mut factors = BTreeMap::new();
    for (name, tensor) in model.adapter_mut() {
        if let Some(path) = name.strip_suffix(".lora_A.weight") {
            targets.push(path.to_owned());
        }
        factors.insert(format!("{PREFIX}{name}"), tensor.shallow_clone());
    }
    let targets = match &settings.modules.targets {
        LoraTargets::Names(names) => json!(names),
        LoraTargets::Pattern(pattern) => json!(pattern),
        LoraTargets::FamilyDefault | LoraTargets::AllLinear => json!(shared_endings(&targets)),
    };
    let excluded = match &settings.modules.excluded {
        Some(LoraTargets::Names(names)) => json!(names),
        Some(LoraTargets::Pattern(pattern)) => json!(pattern),
        _ => Value::Null,
    };
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "revision": base.revision,
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
        "layers_to_transform": if settings.modules.blocks.is_empty() { Value::Null } else { json!(settings.modules.blocks) },
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

/// Puts an adapter into `model`, which must be the adapter's base. Low-rank updates of the body's linear layers stay beside the
/// weights; those of the LM head and of embeddings, which only an adapter of peft's has, are added to their tables in float32.
/// Other kinds change the weights themselves.
pub(crate) fn apply(model: &mut CausalLm, adapter: &Adapter) -> Result<(), Error> {
    let _guard = tch::no_grad_guard();
    let stored = kinds::Stored {
        file: &adapter.file,
        tensors: weights::read_finite(&adapter.file, &|_| true, Kind::Float, Device::Cpu)?,
        drawn: RefCell::default(),
    };
    // Whether anything that comes into the model differs from what was there.
    let mut changes = false;
    if adapter.untie == Untie::BeforeReplacing {
        model.untie()?;
    }
    for Replacement { parameter, tensor } in &adapter.replacements {
        changes |= model.replace(parameter, &stored.tensor(tensor)?)?;
    }
    for NewRows {
        table,
        tokens,
        tensor,
    } in &adapter.rows
    {
        changes |= model.replace_rows(*table, tokens, &stored.tensor(tensor)?)?;
    }
    if adapter.untie == Untie::AfterReplacing {
        model.untie()?;
    }
    model.config = adapter.config.clone();
    if let Some(prompt) = &adapter.prompt {
        model.put_before_texts(prompt, &stored.tensor(&prompt.tensor)?)?;
        changes = true;
    }
    let mut is_merged = !adapter.replacements.is_empty() || !adapter.rows.is_empty();
    for update in &adapter.updates {
        let updated = model.update(update, &stored)?;
        changes |= updated.has_effect;
        is_merged |= updated.is_merged;
    }
    model.adapter = Some(LoadedAdapter {
        settings: adapter.lora.clone(),
        is_merged,
    });
    model.is_unchanged_base = !changes;
    if !changes {
        tracing::warn!(
            "{}: the adapter changes nothing: all that it adds is zero. Whatever is measured is the base's",
            adapter.folder.display()
        );
    }
    Ok(())
}

/// What an update did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Updated {
    /// Whether the layer is another than it was.
    pub(crate) has_effect: bool,
    /// Whether a part of it is in the layer's own parameters.
    pub(crate) is_merged: bool,
}
