//! Where a model lies: a folder, or a name of the Hugging Face hub whose files were downloaded into the local cache.
//!
//! Nothing is downloaded here; that is the hub's own command, `hf download OWNER/NAME`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// How to get a model that is not there, for messages.
pub const HOW_TO_DOWNLOAD: &str = "a model of the hub is downloaded first: hf download OWNER/NAME";

/// The branch that is meant where no revision is named.
const MAIN: &str = "main";

/// The folder that `name` means: one relative to `beside`, or else a hub name (`owner/name`) in the hub's cache.
pub fn find(name: &str, beside: &Path) -> Option<PathBuf> {
    find_revision(name, None, beside)
}

/// The folder that `name` means: one relative to `beside`, which has no revisions, or else a hub name in the hub's cache at
/// `revision`, a branch, a tag or a commit; `main` where none is named.
pub fn find_revision(name: &str, revision: Option<&str>, beside: &Path) -> Option<PathBuf> {
    let folder = beside.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    snapshot(&cache()?, name, revision.unwrap_or(MAIN))
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

/// The files of `name` in the cache at a revision: `refs/<branch or tag>` names the commit, `snapshots/<commit>` holds its files.
/// A commit may be shortened as long as one snapshot alone begins so.
fn snapshot(cache: &Path, name: &str, revision: &str) -> Option<PathBuf> {
    let model = cache.join(format!("models--{}", name.replace('/', "--")));
    let snapshots = model.join("snapshots");
    let commit = match fs::read_to_string(model.join("refs").join(revision)) {
        Ok(commit) => commit.trim().to_owned(),
        Err(_) => whole_commit(&snapshots, revision)?,
    };
    Some(snapshots.join(commit)).filter(|folder| folder.is_dir())
}

/// The one commit among the snapshots that begins with `short`.
fn whole_commit(snapshots: &Path, short: &str) -> Option<String> {
    if short.len() < 7 || !short.chars().all(|character| character.is_ascii_hexdigit()) {
        return None;
    }
    let mut fitting = fs::read_dir(snapshots)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|commit| commit.starts_with(short));
    let commit = fitting.next()?;
    fitting.next().is_none().then_some(commit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn a_hub_name_leads_to_the_snapshot_of_its_revision() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--owner--small");
        let commits = ["aaaaaaaaaa", "bbbbbbbbbb", "bbbbbbbccc"];
        for commit in commits {
            fs::create_dir_all(model.join("snapshots").join(commit)).unwrap();
        }
        fs::create_dir_all(model.join("refs/pr")).unwrap();
        let find = |name: &str, revision: &str| {
            snapshot(cache.path(), name, revision).map(|folder| folder.file_name().unwrap().to_owned())
        };
        assert_eq!(find("owner/small", "main"), None);
        fs::write(model.join("refs/main"), "aaaaaaaaaa\n").unwrap();
        fs::write(model.join("refs/step3000"), "bbbbbbbbbb").unwrap();
        fs::write(model.join("refs/pr/1"), "bbbbbbbccc").unwrap();
        for (revision, commit) in [
            ("main", Some("aaaaaaaaaa")),
            ("step3000", Some("bbbbbbbbbb")),
            ("pr/1", Some("bbbbbbbccc")),
            ("bbbbbbbbbb", Some("bbbbbbbbbb")),
            ("aaaaaaa", Some("aaaaaaaaaa")),
            // Two commits begin so.
            ("bbbbbbb", None),
            ("step4000", None),
        ] {
            assert_eq!(
                find("owner/small", revision),
                commit.map(Into::into),
                "{revision}"
            );
        }
        assert_eq!(find("owner/large", "main"), None);
    }
}
