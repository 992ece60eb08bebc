//! JSON as Python's `json.dumps` writes it with `ensure_ascii=False`: what transformers' `tojson` gives.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Blanks behind commas and colons, on one line.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A value as JSON; with `indent`, over several lines with so many blanks a level.
pub(crate) fn python_json(
    value: &impl Serialize,
    indent: Option<usize>,
) -> Result<String, serde_json::Error> {
    let mut written = Vec::new();
    match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut written, Spaced))?,
        Some(blanks) => {
            let blanks = vec![b' '; blanks];
            let formatter = PrettyFormatter::with_indent(&blanks);
            value.serialize(&mut Serializer::with_formatter(&mut written, formatter))?;
        }
    }
    Ok(String::from_utf8_lossy(&written).into_owned())
}
