//! Comma- and tab-separated values with a header. Fields may be quoted and may then hold line ends.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use contract::Error;
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::columns::{Cell, Columns, missing};
use super::{Fault, Flaw, Item, Position, Reason, cannot_open, decode};

pub(super) fn open(
    path: &Path,
    delimiter: u8,
    columns: &Columns,
) -> Result<impl Iterator<Item = Item> + use<>, Error> {
    let file = File::open(path).map_err(cannot_open(path))?;
    // Rows of another length are told by this reader, which knows their line.
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(file);
    let header = reader
        .byte_headers()
        .map_err(|error| damaged(path, &error))?
        .clone();
    let header = header
        .iter()
        .map(|name| decode(name).map(str::to_owned))
        .collect::<Result<Vec<String>, Flaw>>();
    let header = header.map_err(|flaw| Error::input(path, format!("line 1: {}", flaw.problem)))?;
    // A file without a header is an empty file, which is told where all formats meet.
    if !header.is_empty() {
        for name in columns.names() {
            if !header.iter().any(|column| column == name) {
                return Err(Error::input(
                    path,
                    format!("line 1: {}", missing(name, header.iter().map(String::as_str))),
                ));
            }
        }
    }
    let lines = LineCounter::open(path)?;
    Ok(Rows {
        path: path.to_path_buf(),
        columns: columns.clone(),
        header,
        reader,
        lines,
        row: 0,
    })
}

struct Rows {
    path: PathBuf,
    columns: Columns,
    header: Vec<String>,
    reader: Reader<File>,
    lines: LineCounter,
    row: u64,
}

impl Iterator for Rows {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let mut record = ByteRecord::new();
        match self.reader.read_byte_record(&mut record) {
            Ok(false) => return None,
            Ok(true) => self.row += 1,
            Err(error) => return Some(Err(Fault::File(damaged(&self.path, &error)))),
        }
        Some(self.document(&record).or_else(|flaw| {
            let start = record.position().map_or(0, csv::Position::byte);
            let line = self
                .lines
                .line_at(start)
                .map_err(|error| Fault::File(damaged(&self.path, &error)))?;
            Err(Fault::Document(Position::Line(line), flaw))
        }))
    }
}

impl Rows {
    fn document(&self, record: &ByteRecord) -> Result<super::RawDocument, Flaw> {
        let (expected, found) = (self.header.len(), record.len());
        if expected != found {
            let problem = format!("expected {expected} fields as in the header, found {found}");
            return Err(Flaw::new(Reason::Malformed, problem));
        }
        self.columns.read(Position::Row(self.row), |name| {
            let column = self.header.iter().position(|column| column == name);
            let field = column.and_then(|column| record.get(column)).unwrap_or_default();
            let text = decode(field).map_err(|flaw| Flaw {
                problem: format!("column {name}, {}", flaw.problem),
                ..flaw
            })?;
            Ok(Cell::Text(Cow::Owned(text.to_owned())))
        })
    }
}

/// Finds the lines of places that come in ascending order, by reading the file a second time as far as they lie. (The CSV
/// reader's own count is behind by the line ends that it passes over before a row.)
struct LineCounter {
    reader: BufReader<File>,
    at: u64,
    line: u64,
}

impl LineCounter {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(cannot_open(path))?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 16, file),
            at: 0,
            line: 1,
        })
    }

    /// The line of the first byte from `start` on that ends no line.
    fn line_at(&mut self, start: u64) -> std::io::Result<u64> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(self.line);
            }
            let wanted = buffer
                .iter()
                .zip(self.at..)
                .take_while(|&(&byte, at)| at < start || byte == b'\n' || byte == b'\r')
                .inspect(|&(&byte, _)| self.line += u64::from(byte == b'\n'))
                .count();
            let found = wanted < buffer.len();
            self.at += wanted as u64;
            self.reader.consume(wanted);
            if found {
                return Ok(self.line);
            }
        }
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::input(path, format!("cannot be read as separated values: {error}"))
}
