//! A checkpoint that somebody else tuned: a model folder, or an adapter and the base that it belongs to.

use contract::pipeline;
use contract::{Error, PipelineFile};
use model_folder::{Adapter, Checkpoint, Model};

use crate::model_folder::ModelFolder;

/// A checkpoint to audit, as its files have it.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The model folder or adapter folder.
    pub folder: ModelFolder,
    /// The untuned model, where it is known.
    pub base: Option<ModelFolder>,
    /// The adapter's own facts, where it is one.
    pub adapter: Option<Adapter>,
    /// The whole model: for an adapter its base.
    pub model: Model,
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
        let opened = Checkpoint::open(&folder.path, named.as_ref().map(|base| base.path.as_path()))?;
        let base = match (named, &opened.adapter) {
            (Some(base), None) => {
                // The untuned model of a whole one is asked by itself.
                Model::open(&base.path)?;
                Some(base)
            }
            (None, Some(_)) => Some(ModelFolder {
                path: crate::paths::normalized(&opened.model.folder),
            }),
            (named, _) => named,
        };
        Ok(Self {
            folder,
            base,
            adapter: opened.adapter,
            model: opened.model,
        })
    }
}
