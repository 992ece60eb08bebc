//! What the files that a run is given were when it was planned: where they really lie, how long they are, and their times and inode.
//!
//! make compares times, and a model that is replaced by an older one (`cp -a`, `mv`, `rsync -a`, `tar x`, a link that leads elsewhere
//! now) has no newer time than the results of the one before. So each run of a stage that reads given files depends on a list of them,
//! which is written anew where anything about them has changed, and then is newer than those results. The stage itself compares
//! digests, and stops at once where the bytes are the same.
//!
//! `report` reads the lists too (`report/src/gate/given.rs`): where nothing in them has changed, it need not read weights again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use contract::{Error, files};
use model_folder::{Endpoint, TOKENIZER_FILES};
use serde::Serialize;

use crate::stage_runs::{RUN, StageRuns};

/// What the name of a list ends in; it lies beside the settings of its stage, under their name.
const ENDING: &str = "inputs";

const NOTE: &str = "# Written by plan: the files that this stage was given, as they were then. Where one is another now, make starts the stage again.\n";

/// A file as it was.
#[derive(Serialize)]
struct Given {
    /// As the stage is given it.
    file: PathBuf,
    /// Where it really lies; below the current folder, as seen from there. The rest is empty where it is not there.
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Serialize)]
struct Found {
    lies: PathBuf,
    bytes: u64,
    /// When its bytes were changed, in seconds since 1970.
    modified: String,
    /// When anything about it was changed: copied over it, renamed to it, its rights.
    changed: String,
    inode: u64,
}

impl Given {
    fn of(file: &Path, here: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            found: Found::of(file, here).ok(),
        }
    }
}

impl Found {
    fn of(file: &Path, here: &Path) -> std::io::Result<Self> {
        let real = file.canonicalize()?;
        let metadata: Metadata = fs::metadata(&real)?;
        let time = |seconds: i64, nanoseconds: i64| format!("{seconds}.{nanoseconds:09}");
        Ok(Self {
            lies: real.strip_prefix(here).unwrap_or(&real).to_path_buf(),
            bytes: metadata.len(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        })
    }
}

/// The list that belongs to the settings of a stage.
pub(crate) fn list_of(settings: &str) -> String {
    let name = settings.strip_suffix("toml").unwrap_or(settings);
    format!("{name}{ENDING}")
}

/// The files of a model's folder that results depend on, as far as they are there: more than the rules of make name.
pub(crate) fn of_model(folder: &Path) -> Vec<PathBuf> {
    const OTHERS: [&str; 2] = ["generation_config.json", "model.safetensors.index.json"];
    let mut found = model_folder::inputs(folder).unwrap_or_default();
    let others = TOKENIZER_FILES.iter().chain(&OTHERS);
    found.extend(others.map(|name| folder.join(name)).filter(|file| file.is_file()));
    if let Ok(Some(endpoint)) = Endpoint::open(folder) {
        found.extend(
            endpoint
                .tokenizer_folder(folder)
                .map(|tokenizer| tokenizer.join("tokenizer.json")),
        );
    }
    found.sort();
    found.dedup();
    found
}

/// Writes the lists of all runs of stages, leaving alone those of which nothing has changed.
///
/// # Errors
/// [`Error::Output`] where one cannot be written.
pub(crate) fn write_all(runs: &StageRuns, run: &Path) -> Result<(), Error> {
    let here = std::env::current_dir()
        .and_then(|here| here.canonicalize())
        .unwrap_or_default();
    // Two runs of a stage on one cell share its settings and its list.
    let lists: BTreeMap<&String, &Vec<PathBuf>> = runs
        .runs
        .iter()
        .filter_map(|run| Some((run.list.as_ref()?, &run.given)))
        .collect();
    for (list, given) in lists {
        let path = list.strip_prefix(RUN).unwrap_or(list).trim_start_matches('/');
        let path = run.join(path);
        let mut text = NOTE.to_owned();
        for file in given {
            let line = serde_json::to_string(&Given::of(file, &here))
                .map_err(|error| Error::output(&path, error))?;
            // A String takes everything.
            let _ = writeln!(text, "{line}");
        }
        files::write_if_changed(&path, text.as_bytes())?;
    }
    Ok(())
}
