//! The folder of a model, and the files in it that results depend on.

use std::path::{Path, PathBuf};

use contract::{Error, PipelineFile};
use model_folder::{checkpoints, hub};

/// A model's folder in the Hugging Face format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder, as seen from where the program runs; absolute where it lies in the hub's cache.
    pub path: PathBuf,
}

impl ModelFolder {
    /// Finds what `model.path` of a pipeline file names: a folder relative to that file, or else a hub name in the cache.
    ///
    /// # Errors
    /// [`Error::Input`] where neither is there.
    pub fn locate(pipeline: &PipelineFile, path: &str) -> Result<Self, Error> {
        Self::beside(&pipeline.resolve("."), path)
            .map_err(|error| in_setting(error, &format!("model.path = \"{path}\"")))
    }

    /// Finds a model by a folder relative to `beside`, or by a hub name in the cache.
    ///
    /// # Errors
    /// [`Error::Input`] where neither is there.
    pub fn beside(beside: &Path, name: &str) -> Result<Self, Error> {
        match hub::find(name, beside) {
            Some(path) => Ok(Self {
                path: contract::paths::normalized(&path),
            }),
            None => Err(Error::input(
                contract::paths::normalized(&beside.join(name)),
                format!(
                    "no such model folder. Give a folder with config.json and model.safetensors; {}",
                    hub::HOW_TO_DOWNLOAD
                ),
            )),
        }
    }

    /// Finds a checkpoint as a model is found; a folder of checkpoints stands for the last of them.
    ///
    /// # Errors
    /// As [`ModelFolder::beside`], and [`Error::Input`] for a folder that is no model and holds none.
    pub fn checkpoint(beside: &Path, name: &str) -> Result<Self, Error> {
        let folder = Self::beside(beside, name)?;
        Ok(Self {
            path: checkpoints::last(&folder.path)?,
        })
    }

    /// The files of the folder that tuning and extraction read, in a fixed order.
    ///
    /// # Errors
    /// [`Error::Input`] where the folder cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        model_folder::inputs(&self.path)
    }
}

fn in_setting(error: Error, setting: &str) -> Error {
    match error {
        Error::Input { file, problem } => Error::Input {
            file,
            problem: format!("{problem} ({setting})"),
        },
        other => other,
    }
}
