//! Plain text. A document is a whole file, a paragraph or a line; line ends become single line feeds.

use std::path::Path;

use contract::Error;

use super::files::Unit;
use super::lines::{Line, Lines};
use super::{Fault, Flaw, Item, Position, RawDocument, decode};

pub(super) fn open(path: &Path, unit: Unit) -> Result<impl Iterator<Item = Item> + use<>, Error> {
    Ok(Texts {
        lines: Lines::open(path)?,
        unit,
    })
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
        for line in self.lines.by_ref() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(Fault::File(error))),
            };
            let ended = match self.unit {
                Unit::File => gathered.add(&line, false),
                Unit::Paragraph => gathered.add(&line, true),
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
        }))
    }
}
