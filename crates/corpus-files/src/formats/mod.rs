//! The formats, each in a file of its own.

mod arrow;
mod csv;
mod json;
mod parquet;
mod table;
mod text;

pub(crate) use self::json::parse as parse_json;

use std::fmt;
use std::path::Path;

use contract::Error;
use contract::pipeline::CorpusFormat;

use crate::columns::Columns;
use crate::discovery::{CorpusFile, Unit};
use crate::document::{Fault, Guess, Item};
use crate::input::{Input, extension, without_compression};
use crate::size::FileSize;

/// A way of writing documents into a file.
pub struct Format {
    /// Its name in messages.
    pub name: &'static str,
    /// The setting `corpus.format` that asks for it.
    pub setting: CorpusFormat,
    /// Endings of its files, in lower case and below that of a compression. Files in one folder belong together where their endings
    /// are in one group.
    pub endings: &'static [&'static [&'static str]],
    /// Whether its documents have columns.
    pub has_columns: bool,
    /// Whether content that begins so can be in no other format, however the file is named.
    pub(crate) is_certain: fn(&[u8]) -> bool,
    /// Whether content that begins so is likely in this format, where the file's name does not say.
    pub(crate) is_likely: fn(&[u8]) -> bool,
    /// Begins to read.
    pub(crate) open: fn(Input, &CorpusFile, &Columns) -> Result<Opened, Fault>,
    /// The size of a file, where it can be had without reading the documents.
    pub(crate) size: fn(&CorpusFile, &Columns) -> Result<Option<FileSize>, Error>,
}

/// All formats; plain text is the last, and what everything is that is nothing else.
pub static FORMATS: [&Format; 5] = [
    &parquet::PARQUET,
    &arrow::ARROW,
    &json::JSON,
    &csv::CSV,
    &text::TEXT,
];

impl fmt::Debug for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.setting == other.setting
    }
}

impl Eq for Format {}

/// A file that is being read.
pub(crate) struct Opened {
    pub(crate) items: Box<dyn Iterator<Item = Item>>,
    pub(crate) guesses: Vec<Guess>,
}

impl Format {
    /// Whether a file's name has one of the endings.
    pub(crate) fn has_ending_of(&self, path: &Path) -> bool {
        self.group_of(path).is_some()
    }

    /// The group of endings that a file's name has one of.
    pub(crate) fn group_of(&self, path: &Path) -> Option<&'static [&'static str]> {
        let ending = extension(&without_compression(path));
        self.endings
            .iter()
            .find(|group| group.contains(&ending.as_str()))
            .copied()
    }
}

/// The format by a file's name; plain text where no other has its ending.
pub(crate) fn of_name(path: &Path) -> &'static Format {
    let named = FORMATS.into_iter().find(|format| format.has_ending_of(path));
    named.unwrap_or(&text::TEXT)
}

/// The format that a setting asks for; none for `auto`.
pub(crate) fn of_setting(setting: CorpusFormat) -> Option<&'static Format> {
    FORMATS.into_iter().find(|format| format.setting == setting)
}

/// The format of an open file: as asked for, or by its name unless the content says otherwise.
pub(crate) fn of_content(file: &CorpusFile, input: &mut Input) -> &'static Format {
    if file.is_asked {
        return file.format;
    }
    let beginning = input.beginning();
    let is_named = file.format.has_ending_of(&file.path);
    let found = FORMATS
        .into_iter()
        .find(|format| (format.is_certain)(beginning) || (!is_named && (format.is_likely)(beginning)));
    match found {
        Some(found) if found != file.format => {
            input.guess(Guess::new("format", format!("{}, by its content", found.name)));
            found
        }
        _ => {
            // Of many files it was seen that they are mainly text.
            if !is_named && file.unit != Unit::File {
                input.guess(Guess::new(
                    "format",
                    format!("{}, for nothing says otherwise", file.format.name),
                ));
            }
            file.format
        }
    }
}

fn never(_: &[u8]) -> bool {
    false
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the size of some formats can be had, and reading it can fail"
)]
fn unknown_size(_: &CorpusFile, _: &Columns) -> Result<Option<FileSize>, Error> {
    Ok(None)
}
