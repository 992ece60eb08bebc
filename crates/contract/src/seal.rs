//! Seals: a digest of a file inside the file itself, so that whoever reads the file finds a bit
//! that was turned.
//!
//! A seal is a mark and 32 hexadecimal digits, which are zeros while the file is written and while
//! it is digested. It is where the format has room for text: a Parquet file's footer, the header of
//! safetensors, a comment. Small files that have no such room are listed in [`CHECKSUMS`] beside
//! them. What another program wrote has no seal, and is taken as it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::Error;

/// What a seal begins with.
const MARK: &str = "seal-xxh3-128:";

/// Hexadecimal digits of a digest.
const DIGITS: usize = 32;

/// Bytes of the longest header that the safetensors library reads.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Bytes that are digested at once.
const DIGESTED_AT_ONCE: usize = 1 << 20;

/// The file that lists other files of its folder with their digests.
pub const CHECKSUMS: &str = "checksums.json";

/// What is to be done with a file whose bytes are not those that were written.
const DAMAGED: &str =
    "is damaged: its bytes are not those that were written. Make it again with the stage that writes it";

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Its bytes are those that were sealed.
    Whole,
    /// They are not.
    Broken,
    /// It has no seal.
    None,
}

impl Seal {
    /// # Errors
    /// [`Error::Input`] for a broken seal.
    pub fn unbroken(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Whole | Self::None => Ok(()),
            Self::Broken => Err(Error::input(path, DAMAGED)),
        }
    }
}

/// The seal of a file that is still written: put it into the file once, then call [`close`].
pub fn open() -> String {
    format!("{MARK}{:0DIGITS$}", 0)
}

/// Closes the open seal within `part`, some bytes of a file that is otherwise complete.
///
/// # Errors
/// [`Error::Output`] where the file cannot be read or written, or has no open seal there.
pub fn close(path: &Path, part: Range<u64>) -> Result<(), Error> {
    let failed = |error: io::Error| Error::output(path, error);
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed)?;
    let found = seals(&file, part).map_err(failed)?;
    let open = found
        .iter()
        .rev()
        .find(|(_, digits)| digits.bytes().all(|digit| digit == b'0'));
    let Some((place, _)) = open else {
        return Err(Error::output(
            path,
            "it was to be sealed, and has no place for a seal",
        ));
    };
    let digest = digest_without(&file, *place).map_err(failed)?;
    file.write_all_at(format!("{digest:032x}").as_bytes(), *place)
        .map_err(failed)
}

/// Where the seal of a Parquet file is: in its footer, as the last bytes of the file say. Nowhere
/// in other files.
///
/// # Errors
/// Those of reading the file.
pub fn parquet_footer(path: &Path) -> io::Result<Range<u64>> {
    let mut file = File::open(path)?;
    let content = crate::provenance::content_length(&mut file)?;
    Ok(content..file.metadata()?.len())
}

/// Where the seal of safetensors is: in their header, whose length the first eight bytes give.
///
/// # Errors
/// Those of reading the file.
pub fn safetensors_header(path: &Path) -> io::Result<Range<u64>> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let end = u64::from_le_bytes(length).min(MAX_HEADER_BYTES) + 8;
    Ok(8..end.min(file.metadata()?.len()).max(8))
}

/// Whether a file is what was sealed; the seal is looked for within `part` of its bytes.
///
/// # Errors
/// [`Error::Input`] where the file cannot be read.
pub fn check(path: &Path, part: Range<u64>) -> Result<Seal, Error> {
    let unreadable = |error| Error::input(path, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let found = seals(&file, part).map_err(unreadable)?;
    // A text that is stored may look like a seal; one of them is.
    for (place, digits) in &found {
        let digest = digest_without(&file, *place).map_err(unreadable)?;
        if format!("{digest:032x}") == *digits {
            return Ok(Seal::Whole);
        }
    }
    Ok(if found.is_empty() || cfg!(fuzzing) {
        Seal::None
    } else {
        Seal::Broken
    })
}

/// Where digits of seals begin within a part of a file, and what they are.
fn seals(file: &File, part: Range<u64>) -> io::Result<Vec<(u64, String)>> {
    let mut bytes = vec![0; usize::try_from(part.end.saturating_sub(part.start)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, part.start)?;
    let length = MARK.len() + DIGITS;
    let places = bytes
        .windows(length)
        .enumerate()
        .filter(|(_, window)| window.starts_with(MARK.as_bytes()));
    let digits = places.filter_map(|(place, window)| {
        let digits = std::str::from_utf8(&window[MARK.len()..]).ok()?;
        Some((part.start + (place + MARK.len()) as u64, digits.to_owned()))
    });
    Ok(digits.collect())
}

/// The digest of a file with zeros in place of the digits of its seal.
fn digest_without(file: &File, place: u64) -> io::Result<u128> {
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; DIGESTED_AT_ONCE];
    let mut start = 0;
    loop {
        let read = file.read_at(&mut buffer, start)?;
        if read == 0 {
            return Ok(hasher.digest128());
        }
        let end = start + read as u64;
        for digit in place.max(start)..(place + DIGITS as u64).min(end) {
            buffer[(digit - start) as usize] = b'0';
        }
        hasher.update(&buffer[..read]);
        start = end;
    }
}

/// A text, as of a TOML file, with a comment before it that seals it.
pub fn sealed_text(text: &str) -> String {
    format!(
        "# {MARK}{:032x} of what follows\n{text}",
        xxh3_128(text.as_bytes())
    )
}

/// Whether a text is what was sealed by [`sealed_text`].
pub fn check_text(text: &str) -> Seal {
    let Some((digits, rest)) = text
        .strip_prefix("# ")
        .and_then(|text| text.strip_prefix(MARK))
        .and_then(|text| text.split_at_checked(DIGITS))
    else {
        return Seal::None;
    };
    let sealed = rest.split_once('\n').map_or("", |(_, sealed)| sealed);
    if format!("{:032x}", xxh3_128(sealed.as_bytes())) == digits {
        Seal::Whole
    } else {
        Seal::Broken
    }
}

/// Lists the files of a folder that end in `.json`, `.jinja`, `.txt` or `.model`, each with its
/// digest, in the folder's [`CHECKSUMS`]. Weights have a seal of their own.
///
/// # Errors
/// [`Error::Output`] where a file cannot be read or the list cannot be written.
pub fn write_checksums(folder: &Path) -> Result<(), Error> {
    let list = folder.join(CHECKSUMS);
    let failed = |error: io::Error| Error::output(&list, error);
    let mut checksums = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_listed = ["json", "jinja", "txt", "model"]
            .iter()
            .any(|end| path.extension().is_some_and(|found| found == *end));
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|name| is_listed && *name != CHECKSUMS) {
            checksums.insert(name.to_owned(), digest_of(&path).map_err(failed)?);
        }
    }
    let text = serde_json::to_string_pretty(&checksums).map_err(|error| Error::output(&list, error))?;
    fs::write(&list, text + "\n").map_err(failed)
}

/// Whether the files of a folder are those that its [`CHECKSUMS`] lists; a folder without such a
/// list holds what it holds.
///
/// # Errors
/// [`Error::Input`] for a file that is missing or other than it was written.
pub fn check_folder(folder: &Path) -> Result<(), Error> {
    check_each(folder)?
        .into_iter()
        .try_for_each(|(_, checked)| checked)
}

/// Whether a folder of a model or an adapter is as one of our stages wrote it: all that its
/// [`CHECKSUMS`] lists, and weights, which have seals.
pub fn is_whole_model(folder: &Path) -> bool {
    let is_sealed = |weights: &Path| {
        safetensors_header(weights)
            .is_ok_and(|header| check(weights, header).is_ok_and(|seal| seal == Seal::Whole))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let weights: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    !weights.is_empty() && weights.iter().all(|weights| is_sealed(weights)) && check_folder(folder).is_ok()
}

/// The files that a folder's [`CHECKSUMS`] lists, each with whether it is what was listed; none
/// without such a list.
///
/// # Errors
/// [`Error::Input`] for a list that cannot be read.
pub fn check_each(folder: &Path) -> Result<Vec<(PathBuf, Result<(), Error>)>, Error> {
    let listed = checksums(folder)?.into_iter();
    let checked = listed.map(|(name, expected)| {
        let file = folder.join(&name);
        let checked = check_listed(&file, &expected);
        (file, checked)
    });
    Ok(checked.collect())
}

fn check_listed(file: &Path, expected: &str) -> Result<(), Error> {
    let found = digest_of(file).map_err(|error| {
        Error::input(
            file,
            format!("is listed in {CHECKSUMS}, and cannot be read: {error}"),
        )
    })?;
    if found == expected {
        return Ok(());
    }
    let problem = format!(
        "{DAMAGED}. Where somebody changed it who meant to, remove its line from {CHECKSUMS} beside it"
    );
    Err(Error::input(file, problem))
}

/// The names that a folder's [`CHECKSUMS`] lists, each with its digest.
fn checksums(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let list = folder.join(CHECKSUMS);
    let Ok(text) = fs::read(&list) else {
        return Ok(BTreeMap::new());
    };
    // Without it the list is whole JSON all the same, and yet not what was written.
    if !text.ends_with(b"\n") {
        return Err(Error::input(&list, DAMAGED));
    }
    let checksums: BTreeMap<String, String> =
        serde_json::from_slice(&text).map_err(|error| Error::input(&list, format!("{DAMAGED} ({error})")))?;
    match checksums.keys().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(Error::input(
            &list,
            format!("names {name:?}, which is not in its folder"),
        )),
        None => Ok(checksums),
    }
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut content = Vec::new();
    File::open(path)?.read_to_end(&mut content)?;
    Ok(format!("{:032x}", xxh3_128(&content)))
}
