//! Files of an index in a folder: written whole or not at all, and checked when they are opened.

mod header;
mod sections;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

pub(crate) use header::{FileEntry, read_header, write_header};
pub(crate) use sections::{ShardEntry, open_shard, write_shard};

use crate::IndexError;
use crate::section::{self, Section};

/// Where in a file a section may begin: a multiple of this, so that elements of every size are
/// aligned.
const ALIGNMENT: usize = 64;

/// Makes `folder` ready for a new index: whatever index it held is gone.
pub(crate) fn clear(folder: &Path) -> Result<(), IndexError> {
    fs::create_dir_all(folder).map_err(IndexError::file(folder))?;
    header::remove(folder)?;
    for entry in fs::read_dir(folder).map_err(IndexError::file(folder))? {
        let path = entry.map_err(IndexError::file(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("shard-") || name == "vocabulary") {
            fs::remove_file(&path).map_err(IndexError::file(&path))?;
        }
    }
    Ok(())
}

/// Writes `path` through `fill`, under another name until it is complete.
fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), IndexError> {
    let partial = with_suffix(path, ".partial");
    let write = || {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        fill(&mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        fs::rename(&partial, path)
    };
    write().map_err(IndexError::file(path))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes sections one after another and digests what it writes.
pub(crate) struct SectionWriter<'file> {
    file: &'file mut BufWriter<File>,
    digest: Xxh3,
    written: usize,
}

impl SectionWriter<'_> {
    /// Writes `elements`, which thus begin at a multiple of [`ALIGNMENT`].
    pub(crate) fn section<T: Pod>(&mut self, elements: &[T]) -> std::io::Result<()> {
        let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.write(&[0; ALIGNMENT][..padding])?;
        self.write(bytemuck::cast_slice(elements))
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.digest.update(bytes);
        self.written += bytes.len();
        self.file.write_all(bytes)
    }
}

/// Writes a file of sections at `path` and says its length and digest.
pub(crate) fn write_sections(
    path: &Path,
    sections: impl FnOnce(&mut SectionWriter<'_>) -> std::io::Result<()>,
) -> Result<FileEntry, IndexError> {
    let mut entry = FileEntry::default();
    write_atomic(path, |file| {
        let mut writer = SectionWriter {
            file,
            digest: Xxh3::new(),
            written: 0,
        };
        sections(&mut writer)?;
        entry = FileEntry {
            bytes: writer.written,
            digest: hexadecimal(writer.digest.digest128()),
        };
        Ok(())
    })?;
    Ok(entry)
}

/// Hands out the sections of a mapped file, in the order in which they were written.
pub(crate) struct SectionReader {
    path: PathBuf,
    file: Arc<Mmap>,
    read: usize,
}

impl SectionReader {
    /// Maps the file at `path`. Where `check` is set, its digest must be that of `entry`; its
    /// length must in any case.
    pub(crate) fn open(path: &Path, entry: &FileEntry, check: bool) -> Result<Self, IndexError> {
        let file = section::map(path).map_err(IndexError::file(path))?;
        if file.len() != entry.bytes {
            let reason = format!("expected {} bytes, found {}", entry.bytes, file.len());
            return Err(IndexError::damaged(path, reason));
        }
        if check {
            let found = hexadecimal(xxh3_128(&file));
            if found != entry.digest {
                let reason = format!("expected digest {}, found {found}", entry.digest);
                return Err(IndexError::damaged(path, reason));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            read: 0,
        })
    }

    /// Says that the file is going to be read in places here and there: then the system reads those
    /// alone, not what is around them.
    pub(crate) fn expect_random_reads(&self) {
        // Without the advice all is as right, and slower.
        _ = self.file.advise(memmap2::Advice::Random);
    }

    /// The next section, of `length` elements.
    pub(crate) fn section<T: Pod>(&mut self, length: usize) -> Result<Section<T>, IndexError> {
        let start = self.read.next_multiple_of(ALIGNMENT);
        let bytes = length.checked_mul(size_of::<T>());
        let end = bytes.and_then(|bytes| start.checked_add(bytes));
        let Some(end) = end.filter(|&end| end <= self.file.len()) else {
            return Err(IndexError::damaged(
                &self.path,
                "it is too short for its contents",
            ));
        };
        self.read = end;
        Ok(Section::Mapped {
            file: Arc::clone(&self.file),
            bytes: Range { start, end },
        })
    }
}

/// A digest as written in headers.
pub(crate) fn hexadecimal(digest: u128) -> String {
    format!("{digest:032x}")
}

/// The digest that [`hexadecimal`] wrote.
pub(crate) fn parse_digest(folder: &Path, digest: &str) -> Result<u128, IndexError> {
    u128::from_str_radix(digest, 16).map_err(|error| IndexError::damaged(folder, error.to_string()))
}
