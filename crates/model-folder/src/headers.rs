//! The headers of safetensors files: names, types and shapes of tensors, without the tensors.
//!
//! A safetensors file begins with the length of its header (8 bytes, little-endian) and the header as JSON, which gives each
//! tensor's type, shape and place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use contract::Error;
use serde::Deserialize;

/// The safetensors format allows no longer header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Types of numbers that weights may have.
const FLOATS: [&str; 4] = ["F64", "F32", "F16", "BF16"];

/// Bytes of two tensors that are compared at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) file: PathBuf,
    /// Its name in the file.
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// First byte in the file, and the one behind the last.
    bytes: (u64, u64),
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// The headers of a file, by the names of the tensors.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Header>, Error> {
    let unreadable = |error: std::io::Error| Error::input(path, format!("cannot be read: {error}"));
    let damaged = |problem: &str| {
        Error::input(
            path,
            format!("expected safetensors, found something else or a damaged file: {problem}"),
        )
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)
        .map_err(|_| damaged("shorter than the length of its header"))?;
    if &bytes == b"version " {
        return Err(damaged(
            "a pointer of Git LFS, which stands for the file; git lfs pull gets it",
        ));
    }
    let header_length = u64::from_le_bytes(bytes);
    if header_length > MAX_HEADER_BYTES || header_length + 8 > length {
        return Err(damaged(&format!(
            "a header of {header_length} bytes in a file of {length}"
        )));
    }
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header).map_err(unreadable)?;
    let mut entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| damaged(&format!("its header: {error}")))?;
    entries.remove("__metadata__");
    let mut headers = BTreeMap::new();
    for (name, entry) in entries {
        let entry: Entry =
            serde_json::from_value(entry).map_err(|error| damaged(&format!("tensor {name}: {error}")))?;
        let (start, end) = entry.data_offsets;
        let place = |offset: u64| offset.saturating_add(header_length + 8);
        if place(end) > length || start > end {
            return Err(damaged(&format!(
                "tensor {name} ends at byte {} of a file of {length}",
                place(end)
            )));
        }
        let header = Header {
            file: path.to_path_buf(),
            name: name.clone(),
            dtype: entry.dtype,
            shape: entry.shape,
            bytes: (place(start), place(end)),
        };
        headers.insert(name, header);
    }
    Ok(headers)
}

impl Header {
    /// Refuses another shape than `expected`, and numbers that are no floating-point numbers. `name` is how the tensor is called
    /// in the message.
    pub(crate) fn check(&self, name: &str, expected: &[usize]) -> Result<(), Error> {
        if self.shape != expected {
            return Err(Error::input(
                &self.file,
                format!(
                    "tensor {name}: expected shape {expected:?}, found {:?}",
                    self.shape
                ),
            ));
        }
        if !FLOATS.contains(&self.dtype.as_str()) {
            return Err(Error::input(
                &self.file,
                format!("tensor {name}: expected F32, F16 or BF16, found {}", self.dtype),
            ));
        }
        Ok(())
    }

    /// Refuses another type than `dtype`, and another number of numbers than `count`, whatever the shape.
    pub(crate) fn check_flat(&self, dtype: &str, count: usize) -> Result<(), Error> {
        if self.dtype == dtype && self.numbers() == count as u64 {
            return Ok(());
        }
        Err(Error::input(
            &self.file,
            format!(
                "tensor {}: expected {count} numbers of type {dtype}, found {} {:?}",
                self.name, self.dtype, self.shape
            ),
        ))
    }

    /// Its bytes.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; (self.bytes.1 - self.bytes.0) as usize];
        let mut file = self.bytes_of()?;
        let read = file.read_exact(&mut bytes);
        read.map_err(|error| Error::input(&self.file, format!("cannot be read: {error}")))?;
        Ok(bytes)
    }

    /// Numbers in it.
    pub(crate) fn numbers(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64
    }

    /// Whether two tensors are the same, byte for byte.
    pub(crate) fn equals(&self, other: &Self) -> Result<bool, Error> {
        let length = |header: &Self| header.bytes.1 - header.bytes.0;
        if (&self.dtype, &self.shape, length(self)) != (&other.dtype, &other.shape, length(other)) {
            return Ok(false);
        }
        let mut left = self.bytes_of()?;
        let mut right = other.bytes_of()?;
        let (mut one, mut two) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
        let mut rest = (self.bytes.1 - self.bytes.0) as usize;
        while rest > 0 {
            let count = rest.min(BLOCK_BYTES);
            let unreadable = |error| Error::input(&self.file, format!("cannot be read: {error}"));
            left.read_exact(&mut one[..count]).map_err(unreadable)?;
            right.read_exact(&mut two[..count]).map_err(unreadable)?;
            if one[..count] != two[..count] {
                return Ok(false);
            }
            rest -= count;
        }
        Ok(true)
    }

    /// The file, at the first byte of the tensor.
    fn bytes_of(&self) -> Result<File, Error> {
        let opened = File::open(&self.file).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.bytes.0))?;
            Ok(file)
        });
        opened.map_err(|error| Error::input(&self.file, format!("cannot be read: {error}")))
    }
}
