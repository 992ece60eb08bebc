//! Separated values with a header (RFC 4180). Fields may be quoted and may then hold separators, line ends and doubled quotes.
//!
//! Quotes are strict: one that never closes swallows every row behind it, and one that closes too early splits a text. Both are
//! errors of the file, since nobody can say where its next row begins.

use std::io::{self, BufRead};
use std::path::PathBuf;

use contract::Error;
use contract::pipeline::CorpusFormat;

use super::{Format, Opened, never, unknown_size};
use crate::columns::{Columns, Row, Value};
use crate::discovery::CorpusFile;
use crate::document::{Fault, Flaw, FlawKind, Guess, Item, Position, RawDocument};
use crate::encoding::decode;
use crate::input::{Input, TextInput, extension, without_compression};
use crate::limits::too_long;

pub(super) static CSV: Format = Format {
    name: "CSV",
    setting: CorpusFormat::Csv,
    endings: &[&["csv"], &["tsv", "tab"]],
    has_columns: true,
    is_certain: never,
    is_likely: never,
    open,
    size: unknown_size,
};

/// Delimiters that a header may turn out to have.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

fn open(input: Input, file: &CorpusFile, columns: &Columns) -> Result<Opened, Fault> {
    let TextInput {
        path,
        mut reader,
        mut guesses,
    } = input.into_text()?;
    let unreadable = |error: io::Error| Error::input(&path, format!("line 1: {error}"));
    let beginning = reader.fill_buf().map_err(unreadable)?;
    let declared = declared_delimiter(beginning);
    let usual = match extension(&without_compression(&path)).as_str() {
        "tsv" | "tab" => b'\t',
        _ => b',',
    };
    let delimiter = match (file.delimiter, declared) {
        (Some(asked), _) => asked,
        (None, Some(declared)) => declared,
        (None, None) => delimiter_of_header(beginning, usual, columns),
    };
    if file.delimiter.is_none() && delimiter != usual {
        guesses.push(Guess::new(
            "delimiter",
            format!("{:?}, by the header", char::from(delimiter)),
        ));
    }
    let mut records = Records::new(reader, delimiter, file.max_document_bytes);
    let mut header = Record::default();
    if declared.is_some() {
        records
            .read(&mut header)
            .map_err(|problem| problem.at(&path, 0, &[]))?;
    }
    // A file without a header is an empty file, which is reported where all formats meet.
    let any = records
        .read(&mut header)
        .map_err(|problem| problem.at(&path, 0, &[]))?;
    let names = header
        .fields()
        .map(|name| decode(name).map(str::to_owned))
        .collect::<Result<Vec<String>, Flaw>>()
        .map_err(|flaw| Fault::Document(Position::Line(header.line), flaw))?;
    if any {
        check_header(&names, columns).map_err(|flaw| Fault::Document(Position::Line(header.line), flaw))?;
    }
    Ok(Opened {
        items: Box::new(Rows {
            path,
            columns: columns.clone(),
            header: names,
            records,
            record: Record::default(),
            row: 0,
        }),
        guesses,
    })
}

/// Whether each column that is asked for is there, once.
fn check_header(header: &[String], columns: &Columns) -> Result<(), Flaw> {
    let found: Vec<&str> = header.iter().map(String::as_str).collect();
    for name in columns.names(|name| found.contains(&name), &found)? {
        match header.iter().filter(|column| *column == name).count() {
            0 | 1 => {}
            times => {
                return Err(Flaw::new(
                    FlawKind::Malformed,
                    format!("expected the column {name} once, found it {times} times"),
                ));
            }
        }
    }
    Ok(())
}

/// The delimiter that spreadsheets put into a first line of its own, `sep=;`.
fn declared_delimiter(beginning: &[u8]) -> Option<u8> {
    match beginning.strip_prefix(b"sep=")? {
        [delimiter, b'\r' | b'\n', ..] if delimiter.is_ascii() => Some(*delimiter),
        _ => None,
    }
}

/// The usual delimiter, unless the columns asked for are found with another alone.
fn delimiter_of_header(beginning: &[u8], usual: u8, columns: &Columns) -> u8 {
    let has_columns = |delimiter: u8| {
        let mut header = Record::default();
        let beginning = Box::new(io::Cursor::new(beginning.to_vec()));
        let mut records = Records::new(beginning, delimiter, usize::MAX);
        let is_read = records.read(&mut header).is_ok_and(|any| any);
        let has = |name: &str| header.fields().any(|field| field == name.as_bytes());
        is_read && columns.names(has, &[]).is_ok()
    };
    if has_columns(usual) {
        return usual;
    }
    let found = DELIMITERS.into_iter().find(|&delimiter| has_columns(delimiter));
    found.unwrap_or(usual)
}

struct Rows {
    path: PathBuf,
    columns: Columns,
    header: Vec<String>,
    records: Records,
    record: Record,
    row: u64,
}

impl Iterator for Rows {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match self.records.read(&mut self.record) {
            Ok(false) => return None,
            Ok(true) => self.row += 1,
            Err(problem) => {
                return Some(Err(Fault::File(problem.at(
                    &self.path,
                    self.row + 1,
                    &self.header,
                ))));
            }
        }
        let line = Position::Line(self.record.line);
        let document = self.document();
        Some(document.map_err(|flaw| Fault::of_document(&self.path, line, flaw)))
    }
}

impl Rows {
    fn document(&self) -> Result<RawDocument, Flaw> {
        let (expected, found) = (self.header.len(), self.record.ends.len());
        if expected != found {
            let problem = format!("expected {expected} fields as in the header, found {found}");
            return Err(Flaw::new(FlawKind::Malformed, problem));
        }
        self.columns.document(Position::Row(self.row), self)
    }
}

impl Row for Rows {
    fn value(&self, name: &str) -> Result<Value<'_>, Flaw> {
        let column = self.header.iter().position(|column| column == name);
        let field = column
            .and_then(|column| self.record.fields().nth(column))
            .unwrap_or_default();
        let text = decode(field).map_err(|flaw| flaw.at(format_args!("column {name}, ")))?;
        Ok(Value::text(text))
    }

    fn has(&self, name: &str) -> bool {
        self.header.iter().any(|column| column == name)
    }

    fn names(&self) -> Vec<String> {
        self.header.clone()
    }
}

/// One row: its fields one behind another.
#[derive(Default)]
struct Record {
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`.
    ends: Vec<usize>,
    /// The line that it begins in.
    line: u64,
}

impl Record {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.bytes[start..end])
    }

    fn clear(&mut self, line: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.line = line;
    }

    fn end_field(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Bytes that it takes in memory: an empty field takes some too.
    fn size(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }
}

/// Why it is not known where the rows of a file end.
enum Problem {
    Unreadable(io::Error),
    /// A row of more bytes than these that begins in this line.
    TooLong {
        line: u64,
        max_bytes: usize,
    },
    /// A quote that begins a field in this line, the field's number, and never closes.
    NeverCloses {
        line: u64,
        field: usize,
    },
    /// Text behind the closing quote of a field, and whether a backslash is before the quote.
    BehindQuote {
        line: u64,
        field: usize,
        backslash: bool,
    },
}

impl Problem {
    fn at(self, path: &std::path::Path, row: u64, header: &[String]) -> Error {
        let place = |line: u64, field: usize| {
            let column = header
                .get(field)
                .map_or(String::new(), |name| format!(", column {name}"));
            let row = if row == 0 {
                "header".to_owned()
            } else {
                format!("row {row}")
            };
            format!("line {line} ({row}{column})")
        };
        let problem = match self {
            Self::Unreadable(error) => format!("row {row}: {error}"),
            Self::TooLong { line, max_bytes } => format!(
                "the row that begins in line {line} (row {row}): {}. Or a quote in it never closes",
                too_long(max_bytes)
            ),
            Self::NeverCloses { line, field } => format!(
                "{}: expected a closing quote, found none to the end of the file. A field that begins with a quote ends with one; \
                 quotes within it are doubled",
                place(line, field)
            ),
            Self::BehindQuote {
                line,
                field,
                backslash,
            } => {
                let advice = if backslash {
                    "Quotes within a field are doubled, not written with a backslash: save the file so"
                } else {
                    "Quotes within a field are doubled, or one before never closes"
                };
                format!(
                    "{}: expected a separator or a line end behind the closing quote, found text. {advice}",
                    place(line, field)
                )
            }
        };
        Error::input(path, problem)
    }
}

/// Splits a file into rows.
struct Records {
    reader: Box<dyn BufRead>,
    delimiter: u8,
    /// Most bytes of a row.
    max_bytes: usize,
    /// The line of the next byte.
    line: u64,
    /// Whether the last byte was a carriage return, which a line feed may complete.
    behind_return: bool,
}

/// Where in a row the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote within a quoted field: its end, or the first of two.
    BehindQuote,
}

impl Records {
    fn new(reader: Box<dyn BufRead>, delimiter: u8, max_bytes: usize) -> Self {
        Self {
            reader,
            delimiter,
            max_bytes,
            line: 1,
            behind_return: false,
        }
    }

    /// Reads the next row that is not an empty line; false at the end of the file.
    fn read(&mut self, record: &mut Record) -> Result<bool, Problem> {
        record.clear(self.line);
        let mut place = Place::FieldStart;
        let (mut quote_line, mut was_quoted) = (self.line, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::Unreadable(error)),
            };
            if buffer.is_empty() {
                if place == Place::Quoted {
                    return Err(Problem::NeverCloses {
                        line: quote_line,
                        field: record.ends.len(),
                    });
                }
                let nothing = place == Place::FieldStart && record.ends.is_empty();
                if !nothing {
                    record.end_field();
                }
                return Ok(!nothing);
            }
            let mut used = 0;
            let mut complete = false;
            for &byte in buffer {
                used += 1;
                if std::mem::take(&mut self.behind_return) && byte == b'\n' {
                    // The carriage return before it was counted, and has ended the row if it was to.
                    if place == Place::Quoted {
                        record.bytes.push(byte);
                    } else {
                        record.line = self.line;
                    }
                    continue;
                }
                let ends_line = byte == b'\n' || byte == b'\r';
                if ends_line {
                    self.line += 1;
                    self.behind_return = byte == b'\r';
                }
                match place {
                    Place::Quoted if byte == b'"' => place = Place::BehindQuote,
                    Place::Quoted => record.bytes.push(byte),
                    Place::FieldStart if byte == b'"' => {
                        place = Place::Quoted;
                        quote_line = self.line;
                        was_quoted = true;
                    }
                    Place::BehindQuote if byte == b'"' => {
                        record.bytes.push(byte);
                        place = Place::Quoted;
                    }
                    _ if byte == self.delimiter => {
                        record.end_field();
                        place = Place::FieldStart;
                    }
                    _ if ends_line => {
                        record.end_field();
                        if record.bytes.is_empty() && record.ends.len() == 1 && !was_quoted {
                            record.clear(self.line);
                            place = Place::FieldStart;
                        } else {
                            complete = true;
                            break;
                        }
                    }
                    Place::BehindQuote => {
                        return Err(Problem::BehindQuote {
                            line: self.line,
                            field: record.ends.len(),
                            backslash: record.bytes.last() == Some(&b'\\'),
                        });
                    }
                    _ => {
                        record.bytes.push(byte);
                        place = Place::Plain;
                    }
                }
            }
            self.reader.consume(used);
            if record.size() > self.max_bytes {
                return Err(Problem::TooLong {
                    line: record.line,
                    max_bytes: self.max_bytes,
                });
            }
            if complete {
                return Ok(true);
            }
        }
    }
}
