//! A checkpoint that somebody else tuned: a model folder, or an adapter and the base that it belongs to.

use contract::pipeline;
use contract::{Error, PipelineFile};
use model_folder::{ADAPTER_CONFIG, Adapter, Checkpoint, Endpoint, Model, hub};

use crate::model_folder::ModelFolder;
use crate::other_programs;

/// A checkpoint to audit, as its files have it.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The model folder or adapter folder.
    pub folder: ModelFolder,
    /// The untuned model, where it is known.
    pub base: Option<ModelFolder>,
    /// The adapter's own facts, where it is one.
    pub adapter: Option<Adapter>,
    /// The base that the adapter names, where another was given.
    pub named_base: Option<String>,
    /// The whole model: for an adapter its base. None where only the program that EXTRACTOR names can read it, or none is here.
    pub model: Option<Model>,
    /// Where it is served, if it is.
    pub endpoint: Option<Endpoint>,
}

impl Audited {
    /// Finds a checkpoint and its base, which its own entry or an adapter's settings name; a folder of checkpoints stands for the
    /// last of them. Whatever could not be loaded afterwards is refused, in the words in which loading would refuse it.
    ///
    /// # Errors
    /// [`Error::Input`] where one of them is not there or cannot be used.
    pub fn locate(pipeline: &PipelineFile, checkpoint: &pipeline::Checkpoint) -> Result<Self, Error> {
        let beside = pipeline.resolve(".");
        let folder = ModelFolder::checkpoint(&beside, &checkpoint.path)?;
        let named = checkpoint
            .base
            .as_ref()
            .map(|base| ModelFolder::beside(&beside, base))
            .transpose()?;
        if let Some(endpoint) = Endpoint::open(&folder.path)? {
            // What a run would refuse after the corpus was made.
            endpoint.tokenizer_folder(&folder.path)?;
            return Ok(Self {
                base: named,
                folder,
                adapter: None,
                named_base: None,
                model: None,
                endpoint: Some(endpoint),
            });
        }
        let opened = Checkpoint::open(&folder.path, named.as_ref().map(|base| base.path.as_path()));
        let Some(opened) = other_programs::left_to_extractor(opened)? else {
            return Ok(Self {
                base: named.or_else(|| base_by_name(&folder)),
                folder,
                adapter: None,
                named_base: None,
                model: None,
                endpoint: None,
            });
        };
        let base = match (named, &opened.adapter) {
            (Some(base), None) => {
                // The untuned model of a whole one is asked by itself.
                other_programs::left_to_extractor(Model::open(&base.path))?;
                Some(base)
            }
            (None, Some(_)) => Some(ModelFolder {
                path: contract::paths::normalized(&opened.model.folder),
            }),
            (named, _) => named,
        };
        Ok(Self {
            folder,
            base,
            adapter: opened.adapter,
            named_base: opened.named_base,
            model: Some(opened.model),
            endpoint: None,
        })
    }

    /// Whether it is an adapter folder.
    pub fn is_adapter(&self) -> bool {
        self.folder.path.join(ADAPTER_CONFIG).is_file()
    }

    /// How it was tuned, as `cell.toml` says it: `lora`, or the name of another kind of adapter; `tuned` for a whole model. An
    /// adapter that only the program that EXTRACTOR names can read goes by the name that it gives itself.
    pub fn mode(&self) -> String {
        let lora = pipeline::ModeKind::Lora.name();
        match &self.adapter {
            Some(adapter) if adapter.lora.is_some() => lora.to_owned(),
            Some(adapter) => adapter.spec.name.to_owned(),
            None if self.is_adapter() => match model_folder::adapter::kind_of(&self.folder.path) {
                Some(kind) if kind.eq_ignore_ascii_case(lora) => lora.to_owned(),
                Some(kind) => format!("adapter {kind}"),
                None => "adapter".to_owned(),
            },
            None => pipeline::ModeKind::Tuned.name().to_owned(),
        }
    }

    /// Numbers that tuning changed: those of the adapter, or of the whole model.
    pub fn trainable_parameters(&self) -> u64 {
        match &self.adapter {
            Some(adapter) => adapter.parameters,
            None if self.is_adapter() => model_folder::stored_numbers(&self.folder.path).unwrap_or(0),
            None => self.parameters(),
        }
    }

    /// Numbers in the whole model; of one that is not read here, those in its weight files.
    pub fn parameters(&self) -> u64 {
        match (&self.model, &self.base) {
            (Some(model), _) => model.parameters(),
            (None, Some(base)) if self.is_adapter() => model_folder::stored_numbers(&base.path).unwrap_or(0),
            (None, _) => model_folder::stored_numbers(&self.folder.path).unwrap_or(0),
        }
    }
}

/// The base that an adapter of any kind names, where it is here.
fn base_by_name(folder: &ModelFolder) -> Option<ModelFolder> {
    let settings = std::fs::read_to_string(folder.path.join(ADAPTER_CONFIG)).ok()?;
    let settings: serde_json::Value = serde_json::from_str(&settings).ok()?;
    let name = settings.get("base_model_name_or_path")?.as_str()?;
    let path = hub::find(name, &folder.path).or_else(|| hub::find(name, std::path::Path::new(".")))?;
    Some(ModelFolder {
        path: contract::paths::normalized(&path),
    })
}
