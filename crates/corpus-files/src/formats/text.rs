//! Plain text. A document is a whole file, a paragraph or a line; line ends become single line feeds.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::PathBuf;

use contract::Error;
use contract::pipeline::CorpusFormat;

use super::{Format, Opened, never};
use crate::columns::Columns;
use crate::discovery::{CorpusFile, Unit};
use crate::document::{Fault, Flaw, Guess, Item, Position, RawDocument};
use crate::encoding::decode;
use crate::input::{Input, TextInput, without_compression};
use crate::limits::too_long;
use crate::size::FileSize;

pub(super) static TEXT: Format = Format {
    name: "plain text",
    setting: CorpusFormat::Text,
    endings: &[&["txt", "text", "md", "markdown", "rst", "log", "eml", "tex"]],
    has_columns: false,
    is_certain: never,
    is_likely: never,
    open,
    size,
};

/// Bytes of the longest end of a line.
const LINE_END_BYTES: usize = 2;

fn open(input: Input, file: &CorpusFile, columns: &Columns) -> Result<Opened, Fault> {
    if let Some(key) = columns.asked_by() {
        return Err(Fault::File(Error::Configuration(format!(
            "{key}: {} is read as plain text, which has no columns. Leave the key out, or set corpus.format",
            file.path.display()
        ))));
    }
    let TextInput {
        path,
        mut reader,
        mut guesses,
    } = input.into_text()?;
    let beginning = reader
        .fill_buf()
        .map_err(|error| Error::input(&path, format!("line 1: {error}")))?;
    // Files of old Macs have no line feeds.
    let returns_alone = beginning.contains(&b'\r') && !beginning.contains(&b'\n');
    if returns_alone {
        guesses.push(Guess::new(
            "line ends",
            "carriage returns, for there is no line feed",
        ));
    }
    let end = if returns_alone { b'\r' } else { b'\n' };
    let (unit, guess) = unit_of(file.unit, beginning, end);
    guesses.extend(guess.map(|guess| Guess::new("documents", guess)));
    let lines = Lines {
        path,
        reader,
        number: 0,
        end,
        max_bytes: file.max_document_bytes,
        divided: (unit == Unit::Separated).then(VecDeque::new),
    };
    Ok(Opened {
        items: Box::new(Texts { lines, unit }),
        guesses,
    })
}

/// What divides documents, in files that programs wrote which join them with the end token of GPT-2.
const SEPARATOR: &str = "<|endoftext|>";

/// What a document of a file is, as its beginning shows where that is to be guessed, and what was guessed.
fn unit_of(unit: Unit, beginning: &[u8], end: u8) -> (Unit, Option<&'static str>) {
    if unit != Unit::Guessed {
        return (unit, None);
    }
    let separator = SEPARATOR.as_bytes();
    if beginning.windows(separator.len()).any(|bytes| bytes == separator) {
        return (
            Unit::Separated,
            Some("what <|endoftext|> divides (corpus.unit takes them otherwise)"),
        );
    }
    if has_only_full_lines(beginning, end) {
        let guess =
            "a line each, for no line is blank (corpus.unit = \"paragraph\" or \"file\" takes them together)";
        return (Unit::Line, Some(guess));
    }
    (Unit::Paragraph, None)
}

/// Whether there are several lines, and no blank one between them.
fn has_only_full_lines(beginning: &[u8], end: u8) -> bool {
    let lines: Vec<&[u8]> = beginning.trim_ascii().split(|byte| *byte == end).collect();
    lines.len() > 1 && lines.iter().all(|line| !line.trim_ascii().is_empty())
}

/// A file that is one document is as long as its text.
fn size(file: &CorpusFile, _: &Columns) -> Result<Option<FileSize>, Error> {
    if file.unit != Unit::File || without_compression(&file.path) != file.path {
        return Ok(None);
    }
    let metadata = std::fs::metadata(&file.path)
        .map_err(|error| Error::input(&file.path, format!("cannot be read: {error}")))?;
    let bytes = metadata.len() as f64;
    Ok(Some(FileSize {
        documents: 1.0,
        text_bytes: bytes,
        sampled: vec![bytes],
    }))
}

/// Reads a file line by line, without the line ends.
struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    number: u64,
    end: u8,
    /// Most bytes of a document, and so of a line.
    max_bytes: usize,
    /// Where a separator divides documents, the parts of a line that are still to come, separators among them.
    divided: Option<VecDeque<Line>>,
}

/// One line.
struct Line {
    /// Its number, counted from 1.
    number: u64,
    /// Its bytes without the line end.
    bytes: Vec<u8>,
}

impl Iterator for Lines {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(part) = self.divided.as_mut().and_then(VecDeque::pop_front) {
            return Some(Ok(part));
        }
        let mut bytes = Vec::new();
        // With its end, and one byte by which a longer line is known.
        let limit = self.max_bytes.saturating_add(LINE_END_BYTES + 1) as u64;
        match self.reader.by_ref().take(limit).read_until(self.end, &mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(self.failure(self.number + 1, &error))),
        }
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        self.number += 1;
        if bytes.len() > self.max_bytes {
            return Some(Err(self.failure(self.number, &too_long(self.max_bytes))));
        }
        let line = Line {
            number: self.number,
            bytes,
        };
        let Some(divided) = &mut self.divided else {
            return Some(Ok(line));
        };
        divided.extend(line.parts());
        divided.pop_front().map(Ok)
    }
}

impl Line {
    /// The line as parts of which every second one is a separator.
    fn parts(self) -> Vec<Self> {
        let separator = SEPARATOR.as_bytes();
        let mut parts = Vec::new();
        let mut rest = self.bytes.as_slice();
        let mut add = |bytes: &[u8]| {
            parts.push(Self {
                number: self.number,
                bytes: bytes.to_vec(),
            });
        };
        while let Some(place) = rest.windows(separator.len()).position(|bytes| bytes == separator) {
            add(&rest[..place]);
            add(separator);
            rest = &rest[place + separator.len()..];
        }
        add(rest);
        parts
    }

    fn is_separator(&self) -> bool {
        self.bytes == SEPARATOR.as_bytes()
    }
}

impl Lines {
    fn failure(&self, line: u64, problem: &dyn std::fmt::Display) -> Error {
        Error::input(&self.path, format!("line {line}: {problem}"))
    }
}

struct Texts {
    lines: Lines,
    unit: Unit,
}

/// The lines of one document as far as they were read.
#[derive(Default)]
struct Gathered {
    text: String,
    first: Option<u64>,
    flaw: Option<(u64, Flaw)>,
}

impl Iterator for Texts {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let mut gathered = Gathered::default();
        while let Some(line) = self.lines.next() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(Fault::File(error))),
            };
            let max_bytes = self.lines.max_bytes;
            if gathered.text.len() + line.bytes.len() > max_bytes {
                let error = self.lines.failure(line.number, &too_long(max_bytes));
                return Some(Err(Fault::File(error)));
            }
            let ended = match self.unit {
                Unit::Paragraph | Unit::Guessed => gathered.add(&line, true),
                Unit::Separated if line.is_separator() => {
                    // Nothing but blank space between two of them is no document.
                    let is_document = gathered.is_document();
                    if !is_document {
                        gathered = Gathered::default();
                    }
                    is_document
                }
                // What a separator leaves of its line is no line of the next document.
                Unit::Separated if line.bytes.is_empty() && gathered.first.is_none() => false,
                Unit::Separated | Unit::File => gathered.add(&line, false),
                Unit::Line => gathered.add(&line, true) || gathered.first.is_some(),
            };
            if ended {
                break;
            }
        }
        gathered.into_document(self.unit)
    }
}

impl Gathered {
    /// Whether what was gathered is a document, if one that cannot be read.
    fn is_document(&self) -> bool {
        self.flaw.is_some() || !self.text.trim().is_empty()
    }

    /// Adds a line, unless it is a blank one that `ends_at_blank`; says whether that ends the document.
    fn add(&mut self, line: &Line, ends_at_blank: bool) -> bool {
        let text = match decode(&line.bytes) {
            Ok(text) if ends_at_blank && text.trim().is_empty() => return self.first.is_some(),
            Ok(text) => text,
            Err(flaw) => {
                self.flaw.get_or_insert((line.number, flaw));
                ""
            }
        };
        if self.first.is_some() {
            self.text.push('\n');
        }
        self.first.get_or_insert(line.number);
        self.text.push_str(text);
        false
    }

    fn into_document(self, unit: Unit) -> Option<Item> {
        let first = self.first?;
        if let Some((line, flaw)) = self.flaw {
            return Some(Err(Fault::Document(Position::Line(line), flaw)));
        }
        // Blank lines at the end belong to the file, not to the document.
        let text = self.text.trim_end_matches('\n');
        if text.trim().is_empty() {
            return None;
        }
        let position = if unit == Unit::File {
            Position::File
        } else {
            Position::Line(first)
        };
        Some(Ok(RawDocument {
            identity: None,
            text: text.to_owned(),
            prompt_chars: 0,
            position,
            replaced: false,
            assistant_spans: None,
            system: None,
            recognised: None,
            unused: None,
        }))
    }
}
