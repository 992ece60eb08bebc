//! A run of numbers that lies either in memory or in a mapped file.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// Read-only elements, owned or mapped; it dereferences to a slice of them.
pub(crate) enum Section<T> {
    Owned(Vec<T>),
    /// `bytes` of `file`, which begin at a multiple of the size of `T` and are a whole number of
    /// them.
    Mapped {
        file: Arc<Mmap>,
        bytes: Range<usize>,
    },
}

/// Bytes that the system is asked to read ahead at a time: what it does of one request is bounded by its settings, by default at 128 KiB.
const READ_AHEAD: usize = 128 << 10;

impl<T> Section<T> {
    /// Says that all of it is about to be used, so that the system reads it in the background, in the order of the file. What lies in
    /// memory needs nothing.
    pub(crate) fn prefetch(&self) {
        let Self::Mapped { file, bytes } = self else {
            return;
        };
        for start in bytes.clone().step_by(READ_AHEAD) {
            let length = READ_AHEAD.min(bytes.end - start);
            // Without the advice all is as right, and slower.
            _ = file.advise_range(memmap2::Advice::WillNeed, start, length);
        }
    }
}

impl<T: Pod> Deref for Section<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(elements) => elements,
            Self::Mapped { file, bytes } => bytemuck::cast_slice(&file[bytes.clone()]),
        }
    }
}

impl<T> From<Vec<T>> for Section<T> {
    fn from(elements: Vec<T>) -> Self {
        Self::Owned(elements)
    }
}

/// Maps the whole file at `path`.
pub(crate) fn map(path: &Path) -> io::Result<Arc<Mmap>> {
    Ok(Arc::new(map_file(&File::open(path)?)?))
}

/// Maps a whole file, to which nothing is written from now on.
pub(crate) fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: a mapping is a slice as long as nobody writes to the file. The programs of this crate never write to a file
    // under its final name: they rename a finished one over it, which leaves the mapped file as it
    // was; and a file without a name is written to its end before it is mapped.
    #[expect(unsafe_code, reason = "there is no other way to map a file")]
    let map = unsafe { Mmap::map(file) }?;
    Ok(map)
}
