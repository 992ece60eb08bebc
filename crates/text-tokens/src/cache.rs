//! Tokens of texts kept on disk beside a corpus, because every checkpoint of a model, and every cell, reads the same texts.
//!
//! A file holds what one process was the first to read with a tokenizer. Texts are known by their digest, so a text that was changed is
//! never found. A file is there whole or not at all; in a damaged one the damaged texts alone are read anew.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::Error;
use contract::files::AtomicFile;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::{TextTokenizer, TokenizedText};

/// Begins a file; changes with the layout.
const MAGIC: &[u8; 16] = b"text tokens\0\0\0\0\x01";

/// Bytes that are written at once.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// Bytes of a text in the index: its digest, where its tokens begin, how many bytes they take, and their digest.
const ENTRY_BYTES: usize = 16 + 8 + 8 + 8;

/// Bytes at the end of a file: the number of texts, and the digest of the index before it.
const END_BYTES: usize = 8 + 16;

/// A tokenizer that remembers the texts of a corpus. Threads may share it.
#[derive(Debug)]
pub struct TokenCache<'a> {
    tokenizer: &'a TextTokenizer,
    known: HashMap<u128, (usize, Entry)>,
    files: Vec<File>,
    /// What this process reads first; none where nothing is to be kept, or can be.
    new: Option<Mutex<NewFile>>,
}

/// Where the tokens of a text are.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    length: u64,
    digest: u64,
}

impl<'a> TokenCache<'a> {
    /// A cache in the folder `token-cache` of `corpus`. What cannot be read there is read from the texts.
    pub fn beside(corpus: &Path, tokenizer: &'a TextTokenizer) -> Self {
        let folder = corpus.join("token-cache");
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("tokens-{version}-{}-", tokenizer.digest());
        let mut cache = Self::without(tokenizer);
        for file in files_named(&folder, &name) {
            if let Some((file, entries)) = read_index(&file) {
                let number = cache.files.len();
                let entries = entries.into_iter().map(|(text, entry)| (text, (number, entry)));
                cache.known.extend(entries);
                cache.files.push(file);
            }
        }
        cache.new = Some(Mutex::new(NewFile {
            folder,
            name,
            output: Output::None,
            entries: HashMap::new(),
        }));
        cache
    }

    /// One that keeps nothing.
    pub fn without(tokenizer: &'a TextTokenizer) -> Self {
        Self {
            tokenizer,
            known: HashMap::new(),
            files: Vec::new(),
            new: None,
        }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &'a TextTokenizer {
        self.tokenizer
    }

    /// As [`TextTokenizer::tokenize`], for a text that may have been read before.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::tokenize`].
    pub fn tokenize(&self, text: &str) -> Result<TokenizedText, Error> {
        let digest = xxh3_128(text.as_bytes());
        if let Some(kept) = self.find(digest) {
            self.tokenizer.check(&kept.ids, text)?;
            return Ok(kept);
        }
        let tokenized = self.tokenizer.tokenize(text)?;
        if let Some(mut new) = self.added() {
            new.add(digest, &tokenized);
        }
        Ok(tokenized)
    }

    fn find(&self, digest: u128) -> Option<TokenizedText> {
        if let Some(&(number, entry)) = self.known.get(&digest) {
            return read_text(&self.files[number], entry);
        }
        self.added()?.find(digest)
    }

    fn added(&self) -> Option<MutexGuard<'_, NewFile>> {
        let new = self.new.as_ref()?;
        Some(new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what was read first, for whoever reads these texts next. Where it cannot be kept, the log says why.
    pub fn keep(self) {
        if let Some(new) = self.new {
            new.into_inner().unwrap_or_else(PoisonError::into_inner).keep();
        }
    }
}

/// The files of a folder whose names begin so, in order of name; those that are being written have a dot in theirs.
fn files_named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let is_one = |file: &Path| {
        let file = file.file_name().and_then(OsStr::to_str);
        let rest = file.and_then(|file| file.strip_prefix(name));
        rest.is_some_and(|rest| !rest.contains('.'))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|file| is_one(file))
        .collect();
    files.sort();
    files
}

/// Texts that were read first by this process.
#[derive(Debug)]
struct NewFile {
    folder: PathBuf,
    name: String,
    output: Output,
    entries: HashMap<u128, Entry>,
}

/// Where they go.
#[derive(Debug)]
enum Output {
    /// To a file, as soon as there is one of them.
    None,
    /// To this one.
    File(Written),
    /// Nowhere, since it cannot be written.
    Refused,
}

/// A file under way.
#[derive(Debug)]
struct Written {
    /// Two processes may be the first at once.
    output: AtomicFile,
    file: File,
    /// Bytes that are in the file.
    length: u64,
    /// Bytes that follow them.
    pending: Vec<u8>,
}

impl NewFile {
    fn add(&mut self, digest: u128, text: &TokenizedText) {
        if self.entries.contains_key(&digest) {
            return;
        }
        if let Output::None = self.output {
            self.output = match Written::begin(&self.folder, &self.name) {
                Ok(written) => Output::File(written),
                Err(error) => refused(&error),
            };
        }
        let Output::File(written) = &mut self.output else {
            return;
        };
        match written.add(text) {
            Ok(entry) => drop(self.entries.insert(digest, entry)),
            Err(error) => {
                self.output = refused(&error);
                self.entries.clear();
            }
        }
    }

    fn find(&self, digest: u128) -> Option<TokenizedText> {
        let entry = *self.entries.get(&digest)?;
        let Output::File(written) = &self.output else {
            return None;
        };
        match entry.start.checked_sub(written.length) {
            None => read_text(&written.file, entry),
            Some(start) => {
                let start = start as usize;
                decode(written.pending.get(start..start + entry.length as usize)?)
            }
        }
    }

    fn keep(self) {
        let Output::File(written) = self.output else {
            return;
        };
        // The same texts have the same name, in whatever order they were read.
        let texts = self
            .entries
            .keys()
            .fold(0_u128, |sum, text| sum.wrapping_add(*text));
        let destination = self.folder.join(format!("{}{texts:032x}", self.name));
        if let Err(error) = written.finish(&self.entries, &destination) {
            refused(&error);
        }
    }
}

/// A cache is a convenience: without it the work goes on.
fn refused(error: &Error) -> Output {
    tracing::warn!("tokens of the corpus are not kept for the next stage: {error}");
    Output::Refused
}

impl Written {
    fn begin(folder: &Path, name: &str) -> Result<Self, Error> {
        let output = AtomicFile::create_shared(&folder.join(name))?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(output.path());
        let file = file.map_err(|error| Error::output(output.path(), error))?;
        Ok(Self {
            output,
            file,
            length: 0,
            pending: MAGIC.to_vec(),
        })
    }

    fn add(&mut self, text: &TokenizedText) -> Result<Entry, Error> {
        let start = self.pending.len();
        encode(text, &mut self.pending);
        let bytes = &self.pending[start..];
        let entry = Entry {
            start: self.length + start as u64,
            length: bytes.len() as u64,
            digest: xxh3_64(bytes),
        };
        if self.pending.len() >= WRITTEN_AT_ONCE {
            self.flush()?;
        }
        Ok(entry)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file
            .write_all_at(&self.pending, self.length)
            .map_err(|error| Error::output(self.output.path(), error))?;
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn finish(mut self, entries: &HashMap<u128, Entry>, destination: &Path) -> Result<(), Error> {
        let mut index = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (text, entry) in entries {
            index.extend(text.to_le_bytes());
            for number in [entry.start, entry.length, entry.digest] {
                index.extend(number.to_le_bytes());
            }
        }
        self.pending.extend(&index);
        self.pending.extend((entries.len() as u64).to_le_bytes());
        self.pending.extend(xxh3_128(&index).to_le_bytes());
        self.flush()?;
        drop(self.file);
        self.output.commit_as(destination)
    }
}

/// A file with the texts that it holds; `None` where it is damaged.
fn read_index(path: &Path) -> Option<(File, Vec<(u128, Entry)>)> {
    let file = File::open(path).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let read = |range: Range<usize>| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; range.len()];
        file.read_exact_at(&mut bytes, range.start as u64)?;
        Ok(bytes)
    };
    let end_start = length.checked_sub(END_BYTES)?;
    let end = read(end_start..length).ok()?;
    let (count, index_digest) = end.split_first_chunk()?;
    let index_digest = u128::from_le_bytes(*index_digest.first_chunk()?);
    let index_bytes = usize::try_from(u64::from_le_bytes(*count))
        .ok()?
        .checked_mul(ENTRY_BYTES)?;
    let index = read(end_start.checked_sub(index_bytes)?..end_start).ok()?;
    let whole = read(0..MAGIC.len()).ok()? == MAGIC && xxh3_128(&index) == index_digest;
    let entries = index.as_chunks::<ENTRY_BYTES>().0.iter();
    whole
        .then(|| entries.filter_map(entry).collect())
        .map(|entries| (file, entries))
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Option<(u128, Entry)> {
    let (text, numbers) = bytes.split_first_chunk()?;
    let [start, length, digest] = numbers.as_chunks().0 else {
        return None;
    };
    let entry = Entry {
        start: u64::from_le_bytes(*start),
        length: u64::from_le_bytes(*length),
        digest: u64::from_le_bytes(*digest),
    };
    Some((u128::from_le_bytes(*text), entry))
}

/// `None` where its bytes are not what was written.
fn read_text(file: &File, entry: Entry) -> Option<TokenizedText> {
    if entry.length > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(entry.length).ok()?];
    file.read_exact_at(&mut bytes, entry.start).ok()?;
    (xxh3_64(&bytes) == entry.digest).then(|| decode(&bytes))?
}

/// Of each token its id, how far it begins behind the token before it, and its characters; small numbers take one byte.
fn encode(text: &TokenizedText, bytes: &mut Vec<u8>) {
    let mut before = 0;
    for (id, characters) in text.ids.iter().zip(&text.characters) {
        put(*id as u64, bytes);
        let step = characters.start as i64 - before;
        put(((step << 1) ^ (step >> 63)) as u64, bytes);
        put(characters.len() as u64, bytes);
        before = characters.start as i64;
    }
}

fn decode(mut bytes: &[u8]) -> Option<TokenizedText> {
    let mut text = TokenizedText::default();
    let mut start = 0_i64;
    while !bytes.is_empty() {
        text.ids.push(take(&mut bytes)? as i64);
        let step = take(&mut bytes)?;
        start = start.checked_add(((step >> 1) as i64) ^ -((step & 1) as i64))?;
        let first = usize::try_from(start).ok()?;
        let end = first.checked_add(usize::try_from(take(&mut bytes)?).ok()?)?;
        text.characters.push(first..end);
    }
    Some(text)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
