//! The file that says what an index is made of. It is written last, so where it exists, the index
//! is complete.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{hexadecimal, write_atomic};
use crate::IndexError;

/// The version that this crate writes, and the only one that it reads.
const VERSION: u64 = 1;

/// Most bytes of a header: it has a line of a hundred bytes for each shard.
const MAX_HEADER_BYTES: u64 = 10_000_000;

/// Numbers lie in the files as in memory, so an index belongs to machines of one byte order.
const BYTE_ORDER: &str = if cfg!(target_endian = "little") {
    "little-endian"
} else {
    "big-endian"
};

/// A file of an index as it must be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub(crate) bytes: usize,
    /// xxh3-128, hexadecimal.
    pub(crate) digest: String,
}

/// The beginning of every header.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header<C> {
    /// What kind of index it is, "text-index characters" for example.
    format: String,
    version: u64,
    byte_order: String,
    pub(crate) contents: C,
    /// xxh3-128 of the contents as JSON, hexadecimal.
    digest: String,
}

pub(crate) fn write_header<C: Serialize>(folder: &Path, kind: &str, contents: C) -> Result<(), IndexError> {
    let path = path(folder);
    let digest = digest(&path, &contents)?;
    let header = Header {
        format: format(kind),
        version: VERSION,
        byte_order: BYTE_ORDER.to_owned(),
        contents,
        digest,
    };
    write_atomic(&path, |file| {
        serde_json::to_writer_pretty(&mut *file, &header)?;
        writeln!(file)
    })
}

/// The contents of the header of an index of this `kind`.
pub(crate) fn read_header<C: Serialize + DeserializeOwned>(
    folder: &Path,
    kind: &str,
) -> Result<C, IndexError> {
    let path = path(folder);
    let foreign = |reason: String| IndexError::NotAnIndex {
        path: path.clone(),
        reason,
    };
    let text = read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => foreign("there is no header".to_owned()),
        _ => IndexError::file(&path)(error),
    })?;
    if text.len() as u64 > MAX_HEADER_BYTES {
        return Err(foreign(format!("a header of more than {MAX_HEADER_BYTES} bytes")));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| foreign(format!("not a header: {error}")))?;
    let (expected, found) = (format(kind), json["format"].as_str().unwrap_or("none"));
    if found != expected {
        return Err(foreign(format!("expected format {expected:?}, found {found:?}")));
    }
    match json["version"].as_u64() {
        Some(VERSION) => {}
        found => {
            return Err(IndexError::Version {
                path,
                found: found.unwrap_or(0),
                expected: VERSION,
            });
        }
    }
    let header: Header<C> =
        serde_json::from_value(json).map_err(|error| IndexError::damaged(&path, error.to_string()))?;
    if header.byte_order != BYTE_ORDER {
        return Err(foreign(format!(
            "expected byte order {BYTE_ORDER}, found {}",
            header.byte_order
        )));
    }
    // A fuzzer changes the contents without their digest; the files have digests in them.
    if header.digest != digest(&path, &header.contents)? && !cfg!(fuzzing) {
        return Err(IndexError::damaged(
            &path,
            "its digest does not agree with its contents",
        ));
    }
    Ok(header.contents)
}

/// The content of a header, or the beginning of what is too long to be one.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(MAX_HEADER_BYTES + 1)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// From here on `folder` holds no complete index.
pub(super) fn remove(folder: &Path) -> Result<(), IndexError> {
    let path = path(folder);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(IndexError::file(&path)(error)),
        _ => Ok(()),
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("header.json")
}

fn format(kind: &str) -> String {
    format!("text-index {kind}")
}

fn digest(path: &Path, contents: &impl Serialize) -> Result<String, IndexError> {
    let json = serde_json::to_vec(contents).map_err(|error| IndexError::file(path)(error.into()))?;
    Ok(hexadecimal(xxh3_128(&json)))
}
