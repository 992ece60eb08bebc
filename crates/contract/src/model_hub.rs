//! Where a model lies: a folder, or a name of the Hugging Face hub whose files were downloaded into the local cache.
//!
//! Nothing is downloaded here; that is the hub's own command, `hf download OWNER/NAME`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// How to get a model that is not there, for messages.
pub const HOW_TO_DOWNLOAD: &str = "a model of the hub is downloaded first: hf download OWNER/NAME";

/// The folder that `name` means: one relative to `beside`, or else a hub name (`owner/name`) in the hub's cache.
pub fn find(name: &str, beside: &Path) -> Option<PathBuf> {
    let folder = beside.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    snapshot(&cache()?, name)
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

/// The files of `name` in the cache: `refs/main` names the commit, `snapshots/<commit>` holds its files.
fn snapshot(cache: &Path, name: &str) -> Option<PathBuf> {
    let model = cache.join(format!("models--{}", name.replace('/', "--")));
    let commit = fs::read_to_string(model.join("refs/main")).ok()?;
    Some(model.join("snapshots").join(commit.trim())).filter(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

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
