//! One process at a time makes what several are going to use: parts of one comparison begin at once.

use std::fs::File;
use std::path::{Path, PathBuf};

/// Held while something is made; let go when it is dropped, and by the system when the process ends.
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits until nobody else makes what will be at `place`. `None` where nothing can be locked there: then several may make it, each
    /// under a name of its own.
    pub(super) fn wait(place: &Path) -> Option<Self> {
        let mut path = place.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        std::fs::create_dir_all(path.parent()?).ok()?;
        let file = File::create(&path).ok()?;
        file.lock().ok()?;
        Some(Self { path, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Who waits for the file has it open. Who comes now makes another, and finds what was made.
        _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_makes_what_all_wait_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/index");
        let (made, at_once) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _lock = Lock::wait(&place).unwrap();
                    if !place.exists() {
                        assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        std::fs::write(&place, "index").unwrap();
                        made.fetch_add(1, Ordering::SeqCst);
                        at_once.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        let names: Vec<_> = std::fs::read_dir(folder.path().join("new")).unwrap().collect();
        assert_eq!(names.len(), 1);
    }
}
