//! A checkpoint that somebody else tuned: a model folder, or an adapter and the base that it belongs to.

use std::path::Path;

use contract::pipeline::Checkpoint;
use contract::{Error, PipelineFile};
use serde::Deserialize;

use crate::model_folder::ModelFolder;
use crate::weights::{self, Weights};

/// What peft calls the settings of an adapter.
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// A checkpoint to audit, as its files have it.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The model folder or adapter folder.
    pub folder: ModelFolder,
    /// The untuned model, where it is known.
    pub base: Option<ModelFolder>,
    /// The adapter's own facts, where it is one.
    pub adapter: Option<Adapter>,
    /// The shapes of the whole model's weights: for an adapter its base's.
    pub weights: Weights,
}

/// What an adapter's files say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// LoRA's rank.
    pub rank: u64,
    /// LoRA's target modules, joined by commas, or a regular expression.
    pub targets: String,
    /// Numbers in its files.
    pub parameters: u64,
}

#[derive(Deserialize)]
struct AdapterConfig {
    base_model_name_or_path: Option<String>,
    r: Option<u64>,
    target_modules: Option<Targets>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Targets {
    Pattern(String),
    Names(Vec<String>),
}

impl Audited {
    /// Finds a checkpoint and its base, which its own entry or an adapter's settings name.
    ///
    /// # Errors
    /// [`Error::Input`] where one of them is not there or cannot be used.
    pub fn locate(pipeline: &PipelineFile, checkpoint: &Checkpoint) -> Result<Self, Error> {
        let beside = pipeline.resolve(".");
        let folder = ModelFolder::beside(&beside, &checkpoint.path)?;
        let named = checkpoint
            .base
            .as_ref()
            .map(|base| ModelFolder::beside(&beside, base))
            .transpose()?;
        let config = folder.path.join(ADAPTER_CONFIG);
        if !config.is_file() {
            return Ok(Self {
                weights: Weights::read(&folder.path)?,
                base: named,
                adapter: None,
                folder,
            });
        }
        let settings: AdapterConfig = weights::json(&config)?;
        let base = match named {
            Some(base) => base,
            None => base_of(&settings, &folder.path, &checkpoint.name)?,
        };
        Ok(Self {
            weights: Weights::read(&base.path)?,
            adapter: Some(Adapter::read(settings, &folder.path)?),
            base: Some(base),
            folder,
        })
    }
}

impl Adapter {
    fn read(settings: AdapterConfig, folder: &Path) -> Result<Self, Error> {
        let targets = match settings.target_modules {
            Some(Targets::Pattern(pattern)) => pattern,
            Some(Targets::Names(mut names)) => {
                names.sort();
                names.join(",")
            }
            None => String::new(),
        };
        Ok(Self {
            rank: settings.r.unwrap_or(0),
            targets,
            parameters: weights::numbers_in(&folder.join("adapter_model.safetensors"))?,
        })
    }
}

/// The base that an adapter's settings name: a folder beside it or anywhere, or a hub name.
fn base_of(settings: &AdapterConfig, folder: &Path, checkpoint: &str) -> Result<ModelFolder, Error> {
    let config = folder.join(ADAPTER_CONFIG);
    let name = settings.base_model_name_or_path.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::input(
            config,
            format!(
                "base_model_name_or_path: expected the adapter's base, found nothing. Name it as `base` of the checkpoint \
                 {checkpoint}"
            ),
        ));
    }
    ModelFolder::beside(folder, name)
        .or_else(|_| ModelFolder::beside(Path::new("."), name))
        .map_err(|_| {
            Error::input(
                config,
                format!(
                    "base_model_name_or_path: {name} is no folder here and no model in the hub's cache. Download it with \
                     hf download {name}, or name another place as `base` of the checkpoint {checkpoint}"
                ),
            )
        })
}
