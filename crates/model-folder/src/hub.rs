//! Where a model lies: a folder, or a name of the Hugging Face hub whose files were downloaded into the local cache.
//!
//! Nothing is downloaded here; that is the hub's own command, `hf download OWNER/NAME`.

use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};

use contract::paths::relative;

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
    // A revision is what a foreign file says: it must not lead out of the cache.
    if !is_below(revision) {
        return None;
    }
    let commit = match fs::read_to_string(model.join("refs").join(revision)) {
        Ok(commit) => commit.trim().to_owned(),
        Err(_) => whole_commit(&snapshots, revision)?,
    };
    let is_name = is_below(&commit) && !commit.contains('/');
    is_name
        .then(|| snapshots.join(commit))
        .filter(|folder| folder.is_dir())
}

/// Whether a path leads to something below where it starts.
fn is_below(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// How an adapter's settings name its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseName {
    /// A name of the hub, or a folder.
    pub name: String,
    /// The commit, for a name of the hub.
    pub revision: Option<String>,
}

impl From<&str> for BaseName {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            revision: None,
        }
    }
}

impl BaseName {
    /// The name of the model in the folder `base`, for an adapter in `folder`: what the hub calls it, where it is in the hub's cache;
    /// else the way there from the adapter. An adapter is given to others, and where things lie on this machine is no business of theirs:
    /// a way that would go through the root of the file system is only the name of the folder, and the base must then be named with `--base`.
    /// [`find_revision`] finds what it can be found by. Both folders must be there.
    ///
    /// # Errors
    /// What the system says of a folder.
    pub fn of(base: &Path, folder: &Path) -> std::io::Result<Self> {
        let base = base.canonicalize()?;
        let in_cache = cache().and_then(|cache| cache.canonicalize().ok());
        if let Some(named) = in_cache.and_then(|cache| name_in(&cache, &base)) {
            return Ok(named);
        }
        let way = relative(&folder.canonicalize()?, &base);
        let depth = folder.canonicalize()?.components().count();
        let up = way.components().take_while(|part| *part == Component::ParentDir);
        // The root is one of the folder's parts.
        let goes_through_root = up.count() + 1 >= depth;
        let name = if goes_through_root {
            base.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        } else {
            way.to_string_lossy().into_owned()
        };
        Ok(Self::from(name.as_str()))
    }
}

/// The name that the hub has for a folder of its cache.
fn name_in(cache: &Path, folder: &Path) -> Option<BaseName> {
    let mut parts = folder.strip_prefix(cache).ok()?.iter();
    let (model, snapshots, commit) = (parts.next()?, parts.next()?, parts.next()?.to_str()?);
    let name = model.to_str()?.strip_prefix("models--")?.replace("--", "/");
    let is_snapshot = snapshots == "snapshots" && parts.next().is_none();
    (is_snapshot && snapshot(cache, &name, commit).as_deref() == Some(folder)).then(|| BaseName {
        name,
        revision: Some(commit.to_owned()),
    })
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

    #[test]
    fn revisions_lead_nowhere_but_to_snapshots() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--owner--small");
        fs::create_dir_all(model.join("snapshots/aaaaaaaaaa")).unwrap();
        fs::create_dir_all(model.join("refs")).unwrap();
        let outside = cache.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(cache.path().join("ref"), "aaaaaaaaaa").unwrap();
        fs::write(model.join("refs/climbs"), "../../outside").unwrap();
        fs::write(model.join("refs/absolute"), outside.to_str().unwrap()).unwrap();
        fs::write(model.join("refs/main"), "aaaaaaaaaa").unwrap();
        for revision in ["../../ref", "climbs", "absolute", "", "/", ".", "./main"] {
            let found = snapshot(cache.path(), "owner/small", revision);
            let is_usual =
                revision == "./main" && found.as_ref() == Some(&model.join("snapshots/aaaaaaaaaa"));
            assert!(found.is_none() || is_usual, "{revision}: {found:?}");
        }
    }

    #[test]
    fn a_base_is_named_as_the_hub_does_or_by_the_way_from_the_adapter() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let make = |name: &str| {
            fs::create_dir_all(place.join(name)).unwrap();
            place.join(name)
        };
        let snapshot = make("hub/models--owner--small/snapshots/aaaaaaaaaa");
        assert_eq!(
            name_in(&place.join("hub"), &snapshot),
            Some(BaseName {
                name: "owner/small".to_owned(),
                revision: Some("aaaaaaaaaa".to_owned())
            })
        );
        assert_eq!(
            name_in(&place.join("hub"), &make("hub/models--owner--small")),
            None
        );
        let (base, adapter) = (make("models/small"), make("runs/test/checkpoint"));
        let named = BaseName::of(&base, &adapter).unwrap();
        assert_eq!(named, BaseName::from("../../../models/small"));
        assert_eq!(find(&named.name, &adapter).unwrap().canonicalize().unwrap(), base);
        // The temporary folder and this one have nothing in common but the root.
        let elsewhere = Path::new("/proc/self").canonicalize().unwrap();
        let name = elsewhere.file_name().unwrap().to_str().unwrap();
        assert_eq!(BaseName::of(&elsewhere, &adapter).unwrap(), BaseName::from(name));
    }
}
