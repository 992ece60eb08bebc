//! Texts that need not fit in memory together: written one after another into a file, and read from
//! it where it is mapped.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::Mmap;

use crate::{IndexError, section};

/// A text, in memory or in the mapped file of a [`TextStore`]; it dereferences to it.
#[derive(Clone)]
pub struct StoredText(Place);

#[derive(Clone)]
enum Place {
    Memory(Box<str>),
    File {
        file: Arc<Mapped>,
        start: u64,
        bytes: u32,
    },
}

/// Takes texts one by one. As long as they are few they stay in memory; beyond that they go to a
/// file, which has no name and is gone with the last of its texts, however the program ends.
///
/// Texts of a store can be read once [`TextStore::finish`] has been called.
#[derive(Debug)]
pub struct TextStore {
    folder: PathBuf,
    /// Bytes that are still kept in memory.
    room: usize,
    file: Option<Growing>,
}

#[derive(Debug)]
struct Growing {
    writer: BufWriter<File>,
    length: u64,
    mapped: Arc<Mapped>,
}

/// A file that is mapped when all of it is written.
struct Mapped {
    path: PathBuf,
    map: OnceLock<Mmap>,
}

impl TextStore {
    /// A store that keeps texts of `room` bytes together in memory, and others in a file in
    /// `folder`, which is made when it is needed.
    pub fn new(folder: &Path, room: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            room,
            file: None,
        }
    }

    /// A store that keeps all texts in memory.
    pub fn in_memory() -> Self {
        Self::new(Path::new(""), usize::MAX)
    }

    /// Takes a text.
    ///
    /// # Errors
    /// [`IndexError::File`] where it cannot be written.
    pub fn add(&mut self, text: StoredText) -> Result<StoredText, IndexError> {
        if let Some(room) = self.room.checked_sub(text.len()) {
            self.room = room;
            return Ok(text);
        }
        // Once there is a file, all texts go there, but one of 4 GiB, whose length its place has no
        // room for.
        self.room = 0;
        let Ok(bytes) = u32::try_from(text.len()) else {
            return Ok(text);
        };
        let growing = match &mut self.file {
            Some(growing) => growing,
            none => none.insert(Growing::begin(&self.folder)?),
        };
        let start = growing.length;
        let failed = IndexError::file(&growing.mapped.path);
        growing.writer.write_all(text.as_bytes()).map_err(failed)?;
        growing.length += u64::from(bytes);
        let file = Arc::clone(&growing.mapped);
        Ok(StoredText(Place::File { file, start, bytes }))
    }

    /// Makes the texts ready to be read.
    ///
    /// # Errors
    /// [`IndexError::File`] where the file cannot be written or mapped.
    pub fn finish(self) -> Result<(), IndexError> {
        let Some(Growing { writer, mapped, .. }) = self.file else {
            return Ok(());
        };
        let failed = IndexError::file(&mapped.path);
        let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        let map = section::map_file(&file).map_err(IndexError::file(&mapped.path))?;
        // It was begun here and is finished once.
        _ = mapped.map.set(map);
        Ok(())
    }
}

impl Growing {
    /// A file without a name in `folder`: other programs can neither find nor change it.
    fn begin(folder: &Path) -> Result<Self, IndexError> {
        let failed = IndexError::file;
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join(format!(
            "texts.{}.{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed(&path))?;
        std::fs::remove_file(&path).map_err(failed(&path))?;
        Ok(Self {
            writer: BufWriter::with_capacity(1 << 20, file),
            length: 0,
            mapped: Arc::new(Mapped {
                path,
                map: OnceLock::new(),
            }),
        })
    }
}

/// Numbers the files of this process.
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Mapped {
    fn text(&self, start: u64, bytes: u32) -> &str {
        let start = start as usize;
        let part = self
            .map
            .get()
            .and_then(|map| map.get(start..start + bytes as usize));
        let text = part.map(std::str::from_utf8);
        match text {
            Some(Ok(text)) => text,
            // Nobody else can have changed the file, so a disk did; and no comparison with such a
            // text would be right.
            _ => panic!(
                "{}: the temporary file of texts does not hold what was written to it, or is not finished",
                self.path.display()
            ),
        }
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Mapped({})", self.path.display())
    }
}

impl Deref for StoredText {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Place::Memory(text) => text,
            Place::File { file, start, bytes } => file.text(*start, *bytes),
        }
    }
}

impl StoredText {
    /// Bytes of the text, which is not read for it.
    #[expect(clippy::len_without_is_empty, reason = "what it dereferences to has that")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Memory(text) => text.len(),
            Place::File { bytes, .. } => *bytes as usize,
        }
    }
}

impl From<String> for StoredText {
    fn from(text: String) -> Self {
        Self(Place::Memory(text.into_boxed_str()))
    }
}

impl PartialEq for StoredText {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for StoredText {}

impl fmt::Debug for StoredText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}
