//! Whole outputs or none: a file or folder is written beside its final name, synced, and renamed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::Error;

/// Everything half-written by this process, so that Ctrl-C can take it away.
static PARTIAL_OUTPUTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// How many outputs this process has given their final name.
static FINISHED: AtomicU64 = AtomicU64::new(0);

/// What the name of an output ends in until it is whole.
const PARTIAL: &str = ".partial";

/// What a folder is called between the moment in which it is put aside and that in which it is
/// removed.
const REPLACED: &str = ".replaced";

/// An output under way: written to `<name>.partial`, and given its final name by
/// [`AtomicFile::commit`].
///
/// Dropped before that, it is removed. A process that was killed leaves the partial behind; the
/// next run overwrites it. While it is written it is locked, so that no two processes write the
/// same output: the second is refused.
#[derive(Debug)]
pub struct AtomicFile {
    partial: PathBuf,
    destination: PathBuf,
    committed: bool,
    /// The partial itself, with the lock on it.
    _lock: File,
}

impl AtomicFile {
    /// Begins a file that will be `destination`, creating the folders above it. Meanwhile it is
    /// there under its other name, and empty.
    ///
    /// # Errors
    /// [`Error::Output`] where the folder cannot be created, a left-over partial cannot be removed,
    /// or another process is writing the same output.
    pub fn create(destination: &Path) -> Result<Self, Error> {
        Self::begin(destination, PARTIAL, Kind::File)
    }

    /// Begins a folder that will be `destination`; the partial folder exists and is empty.
    ///
    /// # Errors
    /// As [`AtomicFile::create`].
    pub fn create_folder(destination: &Path) -> Result<Self, Error> {
        Self::begin(destination, PARTIAL, Kind::Folder)
    }

    /// Begins a file that other processes may be writing too, each under a name of its own: the
    /// last to finish wins. What processes that are gone left in its folder is removed.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be created.
    pub fn create_shared(destination: &Path) -> Result<Self, Error> {
        Self::begin_shared(destination, Kind::File)
    }

    /// As [`AtomicFile::create_shared`], of a folder.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be created.
    pub fn create_shared_folder(destination: &Path) -> Result<Self, Error> {
        Self::begin_shared(destination, Kind::Folder)
    }

    fn begin_shared(destination: &Path, kind: Kind) -> Result<Self, Error> {
        remove_abandoned(destination);
        Self::begin(destination, &format!(".{}{PARTIAL}", std::process::id()), kind)
    }

    fn begin(destination: &Path, ending: &str, kind: Kind) -> Result<Self, Error> {
        let parent = folder_of(destination);
        fs::create_dir_all(parent).map_err(|error| Error::output(parent, error))?;
        let partial = beside(destination, ending);
        // Ctrl-C finds either nothing or all of it.
        let mut partials = partial_outputs();
        let lock = claim(&partial, kind).map_err(|error| Error::output(&partial, error))?;
        partials.insert(partial.clone());
        drop(partials);
        let begun = Self {
            partial,
            destination: destination.to_path_buf(),
            committed: false,
            _lock: lock,
        };
        let replaced = beside(destination, REPLACED);
        remove(&replaced).map_err(|error| Error::output(&replaced, error))?;
        Ok(begun)
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// As [`AtomicFile::commit`], under a name in the same folder that could not be known before.
    ///
    /// # Errors
    /// As [`AtomicFile::commit`].
    pub fn commit_as(mut self, destination: &Path) -> Result<(), Error> {
        destination.clone_into(&mut self.destination);
        self.commit()
    }

    /// Syncs what was written and gives it its final name, replacing what stood there.
    ///
    /// # Errors
    /// [`Error::Output`] where syncing or renaming fails.
    pub fn commit(mut self) -> Result<(), Error> {
        let failed = |error| Error::output(&self.destination, error);
        sync(&self.partial).map_err(failed)?;
        // A folder cannot be renamed over another that has content, and taking that one away file
        // by file could be interrupted half-way: it is first put aside whole.
        let replaced = beside(&self.destination, REPLACED);
        let replaces = self.partial.is_dir() && self.destination.is_dir();
        if replaces {
            fs::rename(&self.destination, &replaced).map_err(failed)?;
        }
        fs::rename(&self.partial, &self.destination).map_err(failed)?;
        if replaces {
            remove(&replaced).map_err(failed)?;
        }
        if let Ok(parent) = File::open(folder_of(&self.destination)) {
            // Not every file system can sync a folder; the rename itself has succeeded.
            let _ = parent.sync_all();
        }
        self.committed = true;
        FINISHED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = remove(&self.partial);
        }
        partial_outputs().remove(&self.partial);
    }
}

/// How many outputs this process has finished so far.
pub(crate) fn finished() -> u64 {
    FINISHED.load(Ordering::Relaxed)
}

fn partial_outputs() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PARTIAL_OUTPUTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every partial output of this process, and then ends it by `end`. Until then no thread
/// begins or drops an output, and so none tells of the files that it misses.
pub fn exit_without_partial_files(end: impl FnOnce()) {
    let partials = partial_outputs();
    for partial in &*partials {
        let _ = remove(partial);
    }
    end();
}

/// What a partial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// Makes an empty partial and locks it. What a process that is gone left under its name is removed.
fn claim(partial: &Path, kind: Kind) -> io::Result<File> {
    loop {
        match create(partial, kind) {
            Ok(created) => {
                let is_ours = lock(&created) && is_at(&created, partial);
                // Before it was locked, another process may have taken it for abandoned.
                if is_ours {
                    return Ok(created);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_if_abandoned(partial)?,
            Err(error) => return Err(error),
        }
    }
}

fn create(partial: &Path, kind: Kind) -> io::Result<File> {
    match kind {
        Kind::File => File::create_new(partial),
        Kind::Folder => {
            fs::create_dir(partial)?;
            File::open(partial)
        }
    }
}

/// Locks an open file or folder; false where another process has the lock.
fn lock(opened: &File) -> bool {
    match opened.try_lock() {
        // Not every file system has locks, and folders can be locked on fewer.
        Ok(()) | Err(TryLockError::Error(_)) => true,
        Err(TryLockError::WouldBlock) => false,
    }
}

/// Whether an open file is the one at a path.
fn is_at(opened: &File, path: &Path) -> bool {
    let numbers = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (opened.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(found)) => numbers(opened) == numbers(found),
        _ => false,
    }
}

/// Removes a partial that no process is writing.
fn remove_if_abandoned(partial: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.is_file() && !found.is_dir() {
        return fs::remove_file(partial);
    }
    let opened = match File::open(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if !lock(&opened) {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process is writing it. Wait until that one has ended, or end it; then run this once more",
        ));
    }
    // Before it was locked, whoever wrote it may have given it its final name.
    if is_at(&opened, partial) {
        remove(partial)
    } else {
        Ok(())
    }
}

/// Removes partials in the folder of an output that no process is writing. What cannot be removed
/// stays, and harms nobody.
pub(crate) fn remove_abandoned(output: &Path) {
    for entry in fs::read_dir(folder_of(output)).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().ends_with(PARTIAL.as_bytes()) {
            let _ = remove_if_abandoned(&entry.path());
        }
    }
}

/// Writes a small file whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write_atomic(destination: &Path, content: &[u8]) -> Result<(), Error> {
    let file = AtomicFile::create(destination)?;
    fs::write(file.path(), content).map_err(|error| Error::output(destination, error))?;
    file.commit()
}

/// Like [`write_atomic`], but leaves a file alone that holds this content already, so that make
/// sees no change.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write_if_changed(destination: &Path, content: &[u8]) -> Result<(), Error> {
    if fs::read(destination).is_ok_and(|present| present == content) {
        return Ok(());
    }
    write_atomic(destination, content)
}

/// Removes the file that says that others beside it are whole, before the first of them is written
/// anew: a run that is stopped in between is never taken for done.
///
/// # Errors
/// [`Error::Output`] where it cannot be removed.
pub fn remove_if_present(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::output(file, error)),
        _ => Ok(()),
    }
}

/// Sets a file's time to now: an output found up to date is thereby newer than its inputs, and make
/// asks no more.
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

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The path of the same folder with `ending` appended to the name.
fn beside(destination: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(destination.file_name().unwrap_or(OsStr::new("output")));
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
