//! Where a model lies: a folder, or a name of the Hugging Face hub that was downloaded into the local cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use contract::{Error, PipelineFile};

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
        let folder = pipeline.resolve(path);
        if folder.is_dir() {
            return Ok(Self {
                path: crate::paths::normalized(&folder),
            });
        }
        if let Some(path) = cache().and_then(|cache| snapshot(&cache, path)) {
            return Ok(Self { path });
        }
        Err(Error::input(
            crate::paths::normalized(&folder),
            format!(
                "no such model folder (model.path = \"{path}\"). Give a folder with config.json and model.safetensors, or \
                 download a model of the hub first: hf download OWNER/NAME"
            ),
        ))
    }

    /// The files of the folder that tuning and extraction read, in a fixed order.
    ///
    /// # Errors
    /// [`Error::Input`] where the folder cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let unreadable = |error| Error::input(&self.path, format!("cannot be listed: {error}"));
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            if name.ends_with(".safetensors") || ["config.json", "tokenizer.json"].contains(&name.as_str()) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The hub's cache folder, found the way the hub's own tools find it.
fn cache() -> Option<PathBuf> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("HF_HUB_CACHE")
        .or_else(|| set("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("huggingface/hub")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/huggingface/hub")))
}

/// The files of `name` (`owner/name`) in the cache: `refs/main` names the commit, `snapshots/<commit>` holds its files.
fn snapshot(cache: &Path, name: &str) -> Option<PathBuf> {
    let model = cache.join(format!("models--{}", name.replace('/', "--")));
    let commit = fs::read_to_string(model.join("refs/main")).ok()?;
    Some(model.join("snapshots").join(commit.trim())).filter(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_name_leads_to_the_snapshot_of_its_main_branch() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--owner--small");
        fs::create_dir_all(model.join("snapshots/abc")).unwrap();
        fs::create_dir_all(model.join("refs")).unwrap();
        assert_eq!(snapshot(cache.path(), "owner/small"), None);
        fs::write(model.join("refs/main"), "abc\n").unwrap();
        assert_eq!(
            snapshot(cache.path(), "owner/small"),
            Some(model.join("snapshots/abc"))
        );
        assert_eq!(snapshot(cache.path(), "owner/large"), None);
    }
}
