//! The lists of given files that `plan` leaves beside the settings of stages (`plan/src/given.rs`): what weights and corpora were when
//! the run was planned. Where nothing about a file has changed since, it need not be read to know what is in it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

/// What the name of a list ends in.
const ENDING: &str = "inputs";

/// A file as it was.
#[derive(Debug, Deserialize)]
struct Given {
    file: PathBuf,
    #[serde(default)]
    lies: Option<PathBuf>,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    modified: String,
    #[serde(default)]
    changed: String,
    #[serde(default)]
    inode: u64,
}

/// The lists of a run.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// When each was written, and what is in it.
    lists: Vec<(Option<SystemTime>, Vec<Given>)>,
}

impl Lists {
    /// The lists in some folders. A line that cannot be read says nothing.
    pub(super) fn of(folders: &BTreeSet<PathBuf>) -> Self {
        let entries = folders
            .iter()
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let files = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
        let read = |file: PathBuf| {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let given = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            let written = fs::metadata(&file).and_then(|metadata| metadata.modified());
            (written.ok(), given.collect())
        };
        Self {
            lists: files.map(read).collect(),
        }
    }

    /// The files about which something has changed since they were listed, or all of a list that is newer than the report: no stage
    /// that the report is of has read what it lists. Without links; those that are not there are left out.
    pub(super) fn changed(&self, made: Option<SystemTime>) -> BTreeSet<PathBuf> {
        let here = std::env::current_dir().and_then(|here| here.canonicalize());
        let here = here.unwrap_or_default();
        let changed = self.lists.iter().flat_map(|(written, given)| {
            let is_newer = *written > made;
            let here = &here;
            given
                .iter()
                .filter(move |given| is_newer || !given.is_unchanged(here))
        });
        changed
            .filter_map(|given| given.file.canonicalize().ok())
            .collect()
    }
}

impl Given {
    fn is_unchanged(&self, here: &Path) -> bool {
        let (Ok(real), Ok(metadata)) = (self.file.canonicalize(), fs::metadata(&self.file)) else {
            return true;
        };
        let time = |seconds: i64, nanoseconds: i64| format!("{seconds}.{nanoseconds:09}");
        self.lies.as_deref() == Some(real.strip_prefix(here).unwrap_or(&real))
            && self.bytes == metadata.len()
            && self.inode == metadata.ino()
            && self.modified == time(metadata.mtime(), metadata.mtime_nsec())
            && self.changed == time(metadata.ctime(), metadata.ctime_nsec())
    }
}
