//! The headers of safetensors files: names, types and shapes of tensors, without the tensors.
//!
//! A safetensors file begins with the length of its header (8 bytes, little-endian) and the header as JSON, which gives each
//! tensor's type, shape and place.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use contract::Error;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
    if header_length > MAX_HEADER_BYTES {
        return Err(damaged(&format!(
            "a header of {header_length} bytes, where the format allows {MAX_HEADER_BYTES}"
        )));
    }
    if header_length + 8 > length {
        return Err(damaged(&format!(
            "a header of {header_length} bytes in a file of {length}"
        )));
    }
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header).map_err(unreadable)?;
    let Entries(entries) =
        serde_json::from_slice(&header).map_err(|error| damaged(&format!("its header: {error}")))?;
    let mut headers = BTreeMap::new();
    for (name, entry) in entries {
        let (start, end) = entry.data_offsets;
        let place = |offset: u64| offset.saturating_add(header_length + 8);
        if place(end) > length || start > end {
            return Err(damaged(&format!(
                "tensor {name} ends at byte {} of a file of {length}",
                place(end)
            )));
        }
        check_length(&entry).map_err(|problem| damaged(&format!("tensor {name}: {problem}")))?;
        let header = Header {
            file: path.to_path_buf(),
            name: name.clone(),
            dtype: entry.dtype,
            shape: entry.shape,
            bytes: (place(start), place(end)),
        };
        headers.insert(name, header);
    }
    if let Some((one, other)) = overlapping(&headers) {
        return Err(damaged(&format!(
            "tensor {} and tensor {} share bytes of the file",
            one.name, other.name
        )));
    }
    Ok(headers)
}

/// Whether a tensor takes as many bytes as its type and shape need; of a type that is not known here, no fewer than a bit a number.
fn check_length(entry: &Entry) -> Result<(), String> {
    let Entry { dtype, shape, .. } = entry;
    let (start, end) = entry.data_offsets;
    let numbers = shape
        .iter()
        .try_fold(1, |numbers: usize, &size| numbers.checked_mul(size));
    let numbers = numbers.ok_or_else(|| format!("the shape {shape:?} has more numbers than there can be"))?;
    let bits = match dtype.as_str() {
        "F64" | "I64" | "U64" => 64,
        "F32" | "I32" | "U32" => 32,
        "F16" | "BF16" | "I16" | "U16" => 16,
        "I8" | "U8" | "BOOL" => 8,
        _ => 1,
    };
    let needed = (numbers as u128 * bits).div_ceil(8);
    let found = u128::from(end - start);
    if found == needed || (bits == 1 && found > needed) {
        return Ok(());
    }
    Err(format!(
        "expected {needed} bytes for {dtype} {shape:?}, found {found}"
    ))
}

/// Two tensors that have bytes in common, where there are any.
fn overlapping(headers: &BTreeMap<String, Header>) -> Option<(&Header, &Header)> {
    let mut in_order: Vec<&Header> = headers
        .values()
        .filter(|header| header.bytes.0 < header.bytes.1)
        .collect();
    in_order.sort_by_key(|header| header.bytes);
    let pairs = in_order.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.into_iter().find(|(one, other)| one.bytes.1 > other.bytes.0)
}

/// The tensors of a header; what it says beside them is passed over without being kept.
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the tensors of a file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry = map
                .next_value()
                .map_err(|error| A::Error::custom(format!("tensor {name}: {error}")))?;
            entries.insert(name, entry);
        }
        Ok(Entries(entries))
    }
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
