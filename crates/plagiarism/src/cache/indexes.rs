//! Indexes of large corpora kept on disk beside them, because all cells of a pipeline are compared with the same few corpora.
//!
//! Each lies in a folder that is named by the digest of the documents, is there whole or not at all, and is compared with its
//! own digests when it is opened; where anything is wrong with it, it is made anew.

use std::fs;
use std::path::{Path, PathBuf};

use contract::Error;
use contract::files::AtomicFile;
use text_index::{ExactIndex, IndexError};

use super::lock::Lock;
use crate::corpus::sources::Document;
use crate::failed;

/// Smaller corpora, in bytes of text, are indexed anew each time, in memory: that takes about a second.
const LARGE: usize = 16 << 20;

/// Larger corpora, in bytes of text, are not indexed in memory where an index cannot be kept: that would take many times as much.
const MAX_IN_MEMORY: usize = 512 << 20;

/// What the indexes of some documents are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CorpusName {
    digest: u128,
    /// Bytes of text.
    pub(crate) bytes: usize,
    /// Bytes of other text whose indexes are open beside these.
    pub(crate) bytes_beside: usize,
}

impl CorpusName {
    /// Reads the documents once.
    pub(crate) fn of(documents: &[Document]) -> Self {
        let bytes = documents.iter().map(|document| document.text.len()).sum();
        // The name of an index that is not kept is asked of nobody.
        let texts = documents.iter().map(|document| &*document.text);
        let digest = if bytes < LARGE {
            0
        } else {
            ExactIndex::digest_of(texts)
        };
        Self {
            digest,
            bytes,
            bytes_beside: 0,
        }
    }

    /// The same where indexes of so many bytes of other text are open beside.
    pub(crate) fn beside(self, bytes_beside: usize) -> Self {
        Self { bytes_beside, ..self }
    }

    /// The name of the index of a kind.
    pub(crate) fn index_of(&self, kind: &str) -> String {
        format!("{kind}-{:032x}", self.digest)
    }

    /// Does two things: at once for few documents, and one after the other for many, each of which takes all threads and much memory.
    pub(crate) fn both<Left: Send, Right: Send>(
        &self,
        left: impl FnOnce() -> Left + Send,
        right: impl FnOnce() -> Right + Send,
    ) -> (Left, Right) {
        if self.bytes < LARGE {
            rayon::join(left, right)
        } else {
            (left(), right())
        }
    }
}

/// Where indexes are kept, if anywhere.
#[derive(Debug, Clone, Default)]
pub struct IndexCache {
    folder: Option<PathBuf>,
}

/// The ways to come by an index.
pub struct Ways<Open, BuildIn, Build> {
    /// Opens the one in a folder.
    pub open: Open,
    /// Builds it in a folder.
    pub build_in: BuildIn,
    /// Builds it in memory.
    pub build: Build,
}

impl IndexCache {
    /// A cache in the folder `detection-cache` of `corpus`.
    pub fn beside(corpus: &Path) -> Self {
        Self {
            folder: Some(corpus.join("detection-cache")),
        }
    }

    /// The index called `name` over so many `bytes` of text: as kept, or else built and kept. Where it cannot be kept the work
    /// goes on without, and the log says why.
    ///
    /// # Errors
    /// [`Error::Run`] where it cannot be built, [`Error::Output`] where that of a corpus too large for memory cannot be kept.
    pub fn index<Index>(
        &self,
        name: &str,
        bytes: usize,
        ways: &Ways<
            impl Fn(&Path) -> Result<Index, IndexError>,
            impl Fn(&Path) -> Result<Index, IndexError>,
            impl Fn() -> Result<Index, IndexError>,
        >,
    ) -> Result<Index, Error> {
        let Some(folder) = self.folder.as_ref().filter(|_| bytes >= LARGE) else {
            return (ways.build)().map_err(failed("indexing the training documents"));
        };
        let place = folder.join(name);
        if let Ok(index) = (ways.open)(&place) {
            return Ok(index);
        }
        let _lock = Lock::wait(&place);
        // Another process may have built it meanwhile.
        if let Ok(index) = (ways.open)(&place) {
            return Ok(index);
        }
        match build_at(&place, &ways.build_in) {
            Ok(index) => Ok(index),
            Err(error) if bytes <= MAX_IN_MEMORY => {
                tracing::warn!("an index is not kept for the next run: {error}");
                (ways.build)().map_err(failed("indexing the training documents"))
            }
            // Without it memory would have to hold many times the corpus.
            Err(error) => Err(error),
        }
    }
}

/// Builds an index under a name of this process's own and moves it to its `place`.
fn build_at<Index>(
    place: &Path,
    build_in: impl Fn(&Path) -> Result<Index, IndexError>,
) -> Result<Index, Error> {
    let partial = AtomicFile::create_shared_folder(place)?;
    let index = build_in(partial.path()).map_err(|error| Error::output(place, error))?;
    // What is there could not be opened, or comes from another process just now. Files in use stay mapped.
    if place.exists() {
        fs::remove_dir_all(place).map_err(|error| Error::output(place, error))?;
    }
    // Not synced: what a power failure spoils has the wrong digest. Another process may come first with the same.
    if let Err(error) = fs::rename(partial.path(), place) {
        tracing::warn!("an index is not kept for the next run: {error}");
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use text_index::ExactIndex;

    use super::*;

    #[test]
    fn large_corpora_are_indexed_once_and_damaged_indexes_again() {
        let corpus = tempfile::tempdir().unwrap();
        let cache = IndexCache::beside(corpus.path());
        let (built, built_in_memory) = (Cell::new(0), Cell::new(0));
        let texts = ["one fish", "two fish"];
        let ask = |bytes: usize| {
            let ways = Ways {
                open: ExactIndex::open,
                build_in: |folder: &Path| {
                    built.set(built.get() + 1);
                    ExactIndex::build(&texts)?.save(folder)?;
                    ExactIndex::open(folder)
                },
                build: || {
                    built_in_memory.set(built_in_memory.get() + 1);
                    ExactIndex::build(&texts)
                },
            };
            let index = cache.index("exact", bytes, &ways).unwrap();
            assert_eq!(index.documents_containing("two", 5), [1]);
            (built.get(), built_in_memory.get())
        };
        assert_eq!(ask(LARGE - 1), (0, 1));
        assert_eq!(ask(LARGE), (1, 1));
        assert_eq!(ask(LARGE), (1, 1), "as kept");
        for file in fs::read_dir(corpus.path().join("detection-cache/exact")).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
        assert_eq!(ask(LARGE), (2, 1), "damaged");
        assert_eq!(ask(LARGE), (2, 1));
        let names: Vec<_> = fs::read_dir(corpus.path().join("detection-cache"))
            .unwrap()
            .collect();
        assert_eq!(names.len(), 1, "nothing unfinished is left");
    }
}
