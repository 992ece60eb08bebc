//! Text as bytes: UTF-8, or UTF-16 that begins with a byte order mark.

use std::io::{self, Read};

use crate::document::{Flaw, FlawKind, Guess};

/// How a file writes characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8 { marked: bool },
    Utf16 { big_endian: bool },
}

/// The encoding of a file that begins so; an encoding that is recognised and not read is an error.
pub(crate) fn of(beginning: &[u8]) -> Result<Encoding, String> {
    match beginning {
        [0xef, 0xbb, 0xbf, ..] => return Ok(Encoding::Utf8 { marked: true }),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Err(advice("UTF-32", "UTF-32")),
        [0xff, 0xfe, ..] => return Ok(Encoding::Utf16 { big_endian: false }),
        [0xfe, 0xff, ..] => return Ok(Encoding::Utf16 { big_endian: true }),
        _ => {}
    }
    // Latin letters in UTF-16 have a zero in every other byte.
    let looked_at = &beginning[..beginning.len().min(4096)];
    let zeros = |from: usize| {
        looked_at
            .iter()
            .skip(from)
            .step_by(2)
            .filter(|&&byte| byte == 0)
            .count()
    };
    let many = looked_at.len() / 8;
    match (zeros(0), zeros(1)) {
        (even, odd) if even.max(odd) <= many => Ok(Encoding::Utf8 { marked: false }),
        (even, odd) if even > 4 * odd => Err(advice("UTF-16 without a byte order mark", "UTF-16BE")),
        (even, odd) if odd > 4 * even => Err(advice("UTF-16 without a byte order mark", "UTF-16LE")),
        _ => Err("expected text in UTF-8, found bytes that are zero: this is no text file".to_owned()),
    }
}

fn advice(found: &str, name: &str) -> String {
    format!("expected text in UTF-8, found {found}. Convert it: iconv -f {name} -t UTF-8 FILE")
}

impl Encoding {
    /// Length of the byte order mark.
    pub(crate) fn mark_bytes(self) -> usize {
        match self {
            Self::Utf8 { marked: false } => 0,
            Self::Utf8 { marked: true } => 3,
            Self::Utf16 { .. } => 2,
        }
    }

    pub(crate) fn guess(self) -> Option<Guess> {
        match self {
            Self::Utf8 { .. } => None,
            Self::Utf16 { .. } => Some(Guess::new("encoding", "UTF-16, by its byte order mark")),
        }
    }

    /// The text behind the mark as UTF-8, checked only where it had to be converted.
    pub(crate) fn decoder(self, bytes: impl Read + 'static) -> Box<dyn Read> {
        match self {
            Self::Utf8 { .. } => Box::new(bytes),
            Self::Utf16 { big_endian } => Box::new(Utf16Reader {
                inner: bytes,
                big_endian,
                pending: Vec::new(),
                high: None,
                converted: Vec::new(),
                given: 0,
                offset: 2,
            }),
        }
    }
}

/// Decodes UTF-8, or says at which byte (counted from 1) it fails.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        not_utf8(bytes[at]).at(format_args!("byte {}: ", at + 1))
    })
}

/// What to say of a byte that is no UTF-8.
pub(crate) fn not_utf8(found: u8) -> Flaw {
    Flaw::new(
        FlawKind::NotUtf8,
        format!(
            "expected UTF-8, found 0x{found:02X}. If the file is in Windows-1252 or Latin-1, convert it: iconv -f WINDOWS-1252 -t \
             UTF-8 FILE"
        ),
    )
}

/// UTF-16 read as UTF-8.
struct Utf16Reader<R> {
    inner: R,
    big_endian: bool,
    /// The first byte of a unit whose second is still to come.
    pending: Vec<u8>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    converted: Vec<u8>,
    /// How much of `converted` was given out.
    given: usize,
    /// Place of the next unit in the file.
    offset: u64,
}

impl<R: Read> Utf16Reader<R> {
    /// Converts the next piece of the file; false at its end.
    fn convert(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 15];
        let count = loop {
            match self.inner.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            return if self.pending.is_empty() && self.high.is_none() {
                Ok(false)
            } else {
                Err(self.broken("the file ends within a character"))
            };
        }
        let mut bytes = std::mem::take(&mut self.pending);
        bytes.extend_from_slice(&buffer[..count]);
        let mut units = bytes.chunks_exact(2);
        for unit in units.by_ref() {
            let unit = [unit[0], unit[1]];
            let unit = if self.big_endian {
                u16::from_be_bytes(unit)
            } else {
                u16::from_le_bytes(unit)
            };
            let high = self.high.take();
            let character = match (high, unit) {
                (None, 0xd800..=0xdbff) => {
                    self.high = Some(unit);
                    None
                }
                (None, _) => Some(char::from_u32(u32::from(unit)).ok_or_else(|| self.broken(HALF))?),
                (Some(high), 0xdc00..=0xdfff) => {
                    let value = 0x1_0000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00);
                    Some(char::from_u32(value).ok_or_else(|| self.broken(HALF))?)
                }
                (Some(_), _) => {
                    // The half is the unit before.
                    self.offset -= 2;
                    return Err(self.broken(HALF));
                }
            };
            if let Some(character) = character {
                let mut utf8 = [0; 4];
                self.converted
                    .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            self.offset += 2;
        }
        self.pending = units.remainder().to_vec();
        Ok(true)
    }

    fn broken(&self, problem: &str) -> io::Error {
        let place = self.offset + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("byte {place}: expected UTF-16: {problem}. Save the file as UTF-8"),
        )
    }
}

const HALF: &str = "found half a surrogate pair";

impl<R: Read> Read for Utf16Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.converted.len() {
            self.converted.clear();
            self.given = 0;
            if !self.convert()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.converted.len() - self.given);
        buffer[..count].copy_from_slice(&self.converted[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}
