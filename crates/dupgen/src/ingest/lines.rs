//! The lines of a file as bytes, with their numbers.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use contract::Error;

use super::cannot_open;

/// Reads a file line by line. A byte order mark before the first line and the line ends (LF or CRLF) are left out.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
}

/// One line.
pub(super) struct Line {
    /// Its number, counted from 1.
    pub(super) number: u64,
    /// Its bytes without the line end.
    pub(super) bytes: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(cannot_open(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            reader: BufReader::with_capacity(1 << 18, file),
            number: 0,
        })
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        match self.reader.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => {
                return Some(Err(Error::input(
                    &self.path,
                    format!("line {}: cannot be read: {error}", self.number + 1),
                )));
            }
        }
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        if self.number == 0 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        self.number += 1;
        Some(Ok(Line {
            number: self.number,
            bytes,
        }))
    }
}
