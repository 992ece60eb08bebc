//! The bytes of a file, decompressed. The compression is recognised by the content: names lie.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::Error;
use flate2::bufread::MultiGzDecoder;

use crate::document::Guess;
use crate::encoding;
use crate::limits::{MAX_UNFOLDED, Unfolded};

/// Bytes at the beginning of a file by which its format is recognised.
const BEGINNING: u64 = 1 << 16;

/// Endings of compressed files; what comes before them says the format.
pub(crate) const COMPRESSED_ENDINGS: [&str; 5] = ["gz", "gzip", "bgz", "zst", "zstd"];

/// Compressions and containers that are not read, by how they begin.
const REFUSED: [(&str, &[u8]); 6] = [
    ("bzip2", b"BZh91AY&SY"),
    ("xz", b"\xfd7zXZ\0"),
    ("lz4", b"\x04\x22\x4d\x18"),
    ("7-Zip", b"7z\xbc\xaf\x27\x1c"),
    ("zip", b"PK\x03\x04"),
    ("PDF", b"%PDF-"),
];

/// How many bytes of a file were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumed(Arc<AtomicU64>);

impl Consumed {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An open file.
pub(crate) struct Input {
    path: PathBuf,
    /// The first bytes of the content, decompressed.
    beginning: Vec<u8>,
    rest: Box<dyn Read>,
    is_compressed: bool,
    consumed: Consumed,
    guesses: Vec<Guess>,
}

/// The text of an open file as UTF-8, and what was guessed about it.
pub(crate) struct TextInput {
    pub(crate) path: PathBuf,
    pub(crate) reader: Box<dyn BufRead>,
    pub(crate) guesses: Vec<Guess>,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(cannot_read(path))?;
        let consumed = Consumed::default();
        let mut raw = BufReader::with_capacity(
            1 << 16,
            Counting {
                inner: file,
                consumed: consumed.clone(),
            },
        );
        let magic = raw.fill_buf().map_err(cannot_read(path))?;
        let compression = Compression::of(magic);
        refuse(path, magic)?;
        let mut guesses = Vec::new();
        match (compression, Compression::of_name(path)) {
            (None, Some(expected)) if magic.len() < 4 => {
                return Err(Error::input(path, expected.damaged("it ends too early")));
            }
            (None, Some(expected)) => guesses.push(Guess::new(
                "compression",
                format!("read as it is: it is named as if compressed with {expected}, and is not"),
            )),
            (Some(found), None) => {
                guesses.push(Guess::new("compression", format!("decompressed with {found}")));
            }
            _ => {}
        }
        let mut rest: Box<dyn Read> = match compression {
            None => Box::new(raw),
            Some(compression) => {
                let reader = compression.reader(raw, consumed.clone());
                Box::new(reader.map_err(cannot_read(path))?)
            }
        };
        let mut beginning = Vec::new();
        rest.by_ref()
            .take(BEGINNING)
            .read_to_end(&mut beginning)
            .map_err(|error| Error::input(path, error))?;
        if compression.is_some() {
            refuse(path, &beginning)?;
        }
        if beginning.get(257..262) == Some(b"ustar") {
            return Err(Error::input(
                path,
                "expected text, found a tar archive. Unpack it and name its files",
            ));
        }
        Ok(Self {
            path: path.to_path_buf(),
            beginning,
            rest,
            is_compressed: compression.is_some(),
            consumed,
            guesses,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The first bytes of the content, decompressed.
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    pub(crate) fn consumed(&self) -> Consumed {
        self.consumed.clone()
    }

    pub(crate) fn guess(&mut self, guess: Guess) {
        self.guesses.push(guess);
    }

    /// The content as text.
    ///
    /// # Errors
    /// [`Error::Input`] for an encoding that is recognised and cannot be read.
    pub(crate) fn into_text(mut self) -> Result<TextInput, Error> {
        let encoding = encoding::of(&self.beginning).map_err(|problem| Error::input(&self.path, problem))?;
        self.guesses.extend(encoding.guess());
        self.beginning.drain(..encoding.mark_bytes());
        let bytes = Cursor::new(self.beginning).chain(self.rest);
        Ok(TextInput {
            path: self.path,
            reader: Box::new(BufReader::with_capacity(1 << 18, encoding.decoder(bytes))),
            guesses: self.guesses,
        })
    }

    /// The content as bytes to be read in order.
    pub(crate) fn into_stream(self) -> (impl Read + use<>, Vec<Guess>) {
        (Cursor::new(self.beginning).chain(self.rest), self.guesses)
    }

    /// The content as a file whose places can be sought: what is compressed goes through a temporary file without a name.
    ///
    /// # Errors
    /// [`Error::Input`] where it cannot be read, [`Error::Output`] where the temporary file cannot be written.
    pub(crate) fn into_file(self) -> Result<(File, Vec<Guess>), Error> {
        let path = self.path.clone();
        if !self.is_compressed {
            return Ok((File::open(&path).map_err(cannot_read(&path))?, self.guesses));
        }
        let (mut bytes, guesses) = self.into_stream();
        let temporary = std::env::temp_dir();
        let mut file = tempfile::tempfile().map_err(|error| Error::output(&temporary, error))?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = bytes
                .read(&mut buffer)
                .map_err(|error| Error::input(&path, error))?;
            if count == 0 {
                break;
            }
            io::Write::write_all(&mut file, &buffer[..count])
                .map_err(|error| Error::output(&temporary, error))?;
        }
        file.rewind().map_err(|error| Error::output(&temporary, error))?;
        Ok((file, guesses))
    }
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Zstandard,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstandard => "zstd",
        })
    }
}

impl Compression {
    fn of(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or one that decoders skip.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstandard),
            _ => None,
        }
    }

    fn of_name(path: &Path) -> Option<Self> {
        match extension(path).as_str() {
            "gz" | "gzip" | "bgz" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstandard),
            _ => None,
        }
    }

    fn reader(self, raw: impl BufRead + 'static, consumed: Consumed) -> io::Result<Decompressing> {
        let inner: Box<dyn Read> = match self {
            // All members, one behind another.
            Self::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Self::Zstandard => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
                // Up to what `zstd --long=31` writes.
                decoder.window_log_max(31)?;
                Box::new(decoder)
            }
        };
        Ok(Decompressing {
            inner,
            compression: self,
            consumed,
            unfolded: 0,
            max: MAX_UNFOLDED,
        })
    }

    fn damaged(self, problem: impl std::fmt::Display) -> String {
        format!(
            "expected a whole file compressed with {self}, found one that is cut short or damaged: {problem}"
        )
    }
}

/// A decompressing reader whose errors say what they are about.
struct Decompressing {
    inner: Box<dyn Read>,
    compression: Compression,
    /// What was read of the compressed file, and what it became.
    consumed: Consumed,
    unfolded: u64,
    max: Unfolded,
}

impl Read for Decompressing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, self.compression.damaged(error)),
        })?;
        self.unfolded += count as u64;
        let Unfolded { bytes, times } = self.max;
        let consumed = self.consumed.bytes();
        if self.unfolded > bytes.saturating_add(consumed.saturating_mul(times)) {
            return Err(io::Error::other(format!(
                "expected a file compressed with {} that unfolds into at most {times} times its length and {bytes} bytes more, found \
                 that its first {consumed} bytes unfold into more. It is made to bring programs down; if it is not, decompress it first",
                self.compression
            )));
        }
        Ok(count)
    }
}

struct Counting<R> {
    inner: R,
    consumed: Consumed,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.consumed.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn refuse(path: &Path, beginning: &[u8]) -> Result<(), Error> {
    match REFUSED.iter().find(|(_, magic)| beginning.starts_with(magic)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::input(
            path,
            format!(
                "expected text, a table, or either compressed with gzip or zstd; found a {name} file. Unpack or convert it first"
            ),
        )),
    }
}

/// The ending of a name, in lower case.
pub(crate) fn extension(path: &Path) -> String {
    path.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

/// The path without the ending of a compression.
pub(crate) fn without_compression(path: &Path) -> PathBuf {
    if COMPRESSED_ENDINGS.contains(&extension(path).as_str()) {
        path.with_extension("")
    } else {
        path.to_path_buf()
    }
}

pub(crate) fn cannot_read(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::input(path, format!("expected a readable file: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use super::{Compression, Consumed, Counting, Unfolded};

    /// How many bytes of what a compressed file unfolds into are read, and the error in the end.
    fn read(compression: Compression, file: Vec<u8>, max: Unfolded) -> (usize, Option<String>) {
        let consumed = Consumed::default();
        let counting = Counting {
            inner: Cursor::new(file),
            consumed: consumed.clone(),
        };
        let raw = std::io::BufReader::new(counting);
        let mut reader = compression.reader(raw, consumed).expect("a reader");
        reader.max = max;
        let (mut buffer, mut all) = (vec![0; 1000], 0);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (all, None),
                Ok(count) => all += count,
                Err(error) => return (all, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn files_that_unfold_into_too_much_are_refused_before_they_do() {
        let zeros = vec![0; 1_000_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).expect("compressed");
        let zstd = zstd::encode_all(&zeros[..], 1).expect("compressed");
        for (compression, file) in [
            (Compression::Gzip, gzip.finish().expect("compressed")),
            (Compression::Zstandard, zstd),
        ] {
            let allowed = 500_000 + 100 * file.len() as u64;
            let small = Unfolded {
                bytes: 500_000,
                times: 100,
            };
            let (count, error) = read(compression, file.clone(), small);
            assert!(count as u64 <= allowed, "{compression}: {count} of {allowed}");
            assert!(
                count as u64 + 1000 > allowed,
                "{compression}: {count} of {allowed}"
            );
            assert!(error.is_some_and(|error| error.contains("100 times its length")));
            let enough = Unfolded {
                bytes: 1_000_000,
                times: 0,
            };
            assert_eq!(read(compression, file, enough), (1_000_000, None));
        }
    }
}
