//! Plain text. A document is a whole file, a paragraph or a line; line ends become single line feeds.

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
    let unit = match file.unit {
        Unit::ParagraphOrLine
            if has_only_full_lines(beginning, if returns_alone { b'\r' } else { b'\n' }) =>
        {
            guesses.push(Guess::new(
                "documents",
                "a line each, for no line is blank (corpus.unit = \"paragraph\" or \"file\" takes them together)",
            ));
            Unit::Line
        }
        Unit::ParagraphOrLine => Unit::Paragraph,
        unit => unit,
    };
    let lines = Lines {
        path,
        reader,
        number: 0,
        end: if returns_alone { b'\r' } else { b'\n' },
        max_bytes: file.max_document_bytes,
    };
    Ok(Opened {
        items: Box::new(Texts { lines, unit }),
        guesses,
    })
}

/// Whether there are several lines, none of them blank.
fn has_only_full_lines(beginning: &[u8], end: u8) -> bool {
    let mut lines: Vec<&[u8]> = beginning.split(|byte| *byte == end).collect();
    // The last is empty behind a line end, or cut.
    lines.pop();
    lines.len() > 1 && lines.iter().all(|line| !line.trim_ascii().is_empty())
}

/// A line that stands between documents, as some programs that join them write it.
const SEPARATOR: &str = "<|endoftext|>";

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
        Some(Ok(Line {
            number: self.number,
            bytes,
        }))
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
                Unit::File => gathered.add(&line, false),
                Unit::Paragraph | Unit::ParagraphOrLine => gathered.add(&line, true),
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
    /// Adds a line, unless it is a blank one that `ends_at_blank`; says whether that ends the document.
    fn add(&mut self, line: &Line, ends_at_blank: bool) -> bool {
        let text = match decode(&line.bytes) {
            Ok(text) if ends_at_blank && (text.trim().is_empty() || text.trim() == SEPARATOR) => {
                return self.first.is_some();
            }
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
