//! Whole outputs or none: a file or folder is written beside its final name, synced, and renamed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::Error;

/// Everything half-written by this process, so that Ctrl-C can take it away.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// How many outputs this process has given their final name.
static FINISHED: AtomicU64 = AtomicU64::new(0);

/// An output under way: written to `<name>.partial`, and given its final name by [`Unfinished::finish`].
///
/// Dropped before that, it is removed. A process that was killed leaves the partial behind; the next run overwrites it.
#[derive(Debug)]
pub struct Unfinished {
    partial: PathBuf,
    destination: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// Begins a file that will be `destination`, creating the folders above it.
    ///
    /// # Errors
    /// [`Error::Output`] where the folder cannot be created or a left-over partial cannot be removed.
    pub fn file(destination: &Path) -> Result<Self, Error> {
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|error| Error::output(parent, error))?;
        let partial = beside(destination, ".partial");
        for left_over in [&partial, &beside(destination, ".replaced")] {
            remove(left_over).map_err(|error| Error::output(left_over, error))?;
        }
        UNFINISHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partial.clone());
        Ok(Self {
            partial,
            destination: destination.to_path_buf(),
            finished: false,
        })
    }

    /// Begins a folder that will be `destination`; the partial folder exists and is empty.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be created.
    pub fn folder(destination: &Path) -> Result<Self, Error> {
        let unfinished = Self::file(destination)?;
        fs::create_dir(&unfinished.partial).map_err(|error| Error::output(&unfinished.partial, error))?;
        Ok(unfinished)
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Syncs what was written and gives it its final name, replacing what stood there.
    ///
    /// # Errors
    /// [`Error::Output`] where syncing or renaming fails.
    pub fn finish(mut self) -> Result<(), Error> {
        let failed = |error| Error::output(&self.destination, error);
        sync(&self.partial).map_err(failed)?;
        // A folder cannot be renamed over another that has content, and taking that one away file by file could be
        // interrupted half-way: it is first put aside whole.
        let replaced = beside(&self.destination, ".replaced");
        let replaces = self.partial.is_dir() && self.destination.is_dir();
        if replaces {
            fs::rename(&self.destination, &replaced).map_err(failed)?;
        }
        fs::rename(&self.partial, &self.destination).map_err(failed)?;
        if replaces {
            remove(&replaced).map_err(failed)?;
        }
        if let Some(parent) = self
            .destination
            .parent()
            .and_then(|parent| File::open(parent).ok())
        {
            // Not every file system can sync a folder; the rename itself has succeeded.
            let _ = parent.sync_all();
        }
        self.finished = true;
        FINISHED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            let _ = remove(&self.partial);
        }
        UNFINISHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.partial);
    }
}

/// How many outputs this process has finished so far.
pub(crate) fn finished() -> u64 {
    FINISHED.load(Ordering::Relaxed)
}

/// Removes every partial output of this process; for the handler of Ctrl-C.
pub fn remove_unfinished() {
    for partial in &*UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = remove(partial);
    }
}

/// Writes a small file whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write_whole(destination: &Path, content: &[u8]) -> Result<(), Error> {
    let unfinished = Unfinished::file(destination)?;
    fs::write(unfinished.path(), content).map_err(|error| Error::output(destination, error))?;
    unfinished.finish()
}

/// Like [`write_whole`], but leaves a file alone that holds this content already, so that make sees no change.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write_if_changed(destination: &Path, content: &[u8]) -> Result<(), Error> {
    if fs::read(destination).is_ok_and(|present| present == content) {
        return Ok(());
    }
    write_whole(destination, content)
}

/// Sets a file's time to now: an output found up to date is thereby newer than its inputs, and make asks no more.
///
/// # Errors
/// [`Error::Output`] where the time cannot be set.
pub fn touch(file: &Path) -> Result<(), Error> {
    let opened = File::options()
        .append(true)
        .open(file)
        .map_err(|error| Error::output(file, error))?;
    opened
        .set_modified(SystemTime::now())
        .map_err(|error| Error::output(file, error))
}

/// The path of the same folder with `ending` put behind the name.
fn beside(destination: &Path, ending: &str) -> PathBuf {
    let mut name = destination
        .file_name()
        .map_or_else(|| OsString::from("output"), OsString::from);
    name.push(ending);
    destination.with_file_name(name)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn sync(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync(&entry?.path())?;
        }
        return Ok(());
    }
    // Opened for reading, because a copy of a read-only file is read-only too.
    File::open(path)?.sync_all()
}
