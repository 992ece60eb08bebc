//! What of a Parquet file's footer would bring the library down, looked for before it reads that.
//!
//! The footer is a structure in Thrift's compact protocol whose second field lists the elements of
//! the schema, each group before its children, with their number in its fifth field.
//!
//! The library goes into a group by calling itself, so that many groups within each other would
//! overflow the stack. And it passes over a list of truth values as if they took no bytes, so that a
//! few bytes may claim so many of them that it is busy for hours; no list of them has a place in a
//! footer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Error;

/// Most groups within each other. Conversations have five.
const MAX_DEPTH: usize = 64;

/// Why a footer is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Columns are nested too deep.
    Depth,
    /// There are lists, sets or maps of truth values.
    TruthValues,
    /// It ends early, or is no such structure: the library says what is wrong with it.
    Damage,
}

/// Refuses a file whose columns are nested too deep, or whose footer has lists of truth values. What
/// else is wrong with its footer is left to the library.
///
/// # Errors
/// [`Error::Input`] for such a file.
pub(super) fn check_footer(path: &Path, file: &File) -> Result<(), Error> {
    let footer = footer(file).unwrap_or_default();
    let problem = match check(&footer, MAX_DEPTH) {
        Ok(()) | Err(Flaw::Damage) => return Ok(()),
        Err(Flaw::Depth) => {
            format!("expected columns nested at most {MAX_DEPTH} deep, found deeper ones")
        }
        Err(Flaw::TruthValues) => {
            "expected a Parquet file, found a footer with lists of truth values, which none has: it is damaged, or made to \
             bring programs down"
                .to_owned()
        }
    };
    Err(Error::input(path, problem))
}

fn footer(file: &File) -> Option<Vec<u8>> {
    let length = file.metadata().ok()?.len();
    let mut ending = [0; 8];
    file.read_exact_at(&mut ending, length.checked_sub(8)?).ok()?;
    let (&footer_length, _) = ending.split_first_chunk()?;
    let footer_length = u64::from(u32::from_le_bytes(footer_length));
    let start = length.checked_sub(8 + footer_length)?;
    let mut footer = vec![0; usize::try_from(footer_length).ok()?];
    file.read_exact_at(&mut footer, start).ok()?;
    Some(footer)
}

/// Passes over the whole of a footer whose groups may lie `max_depth` deep.
fn check(footer: &[u8], max_depth: usize) -> Result<(), Flaw> {
    let mut reader = Compact(footer);
    let mut field = 0;
    loop {
        let (id, kind) = reader.field(field)?;
        field = id;
        match (id, kind) {
            (_, STOP) => return Ok(()),
            (2, LIST) => {
                let (count, STRUCT) = reader.list()? else {
                    return Err(Flaw::Damage);
                };
                check_schema(&mut reader, count, max_depth)?;
            }
            _ => reader.skip(kind, 0)?,
        }
    }
}

fn check_schema(reader: &mut Compact<'_>, elements: u64, max_depth: usize) -> Result<(), Flaw> {
    // Of each group around the next element, the children that are still to come.
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..elements {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(rest) = open.last_mut() {
            *rest -= 1;
        }
        let children = reader.children()?;
        if children > 0 {
            open.push(children);
            if open.len() > max_depth {
                return Err(Flaw::Depth);
            }
        }
    }
    Ok(())
}

const STOP: u8 = 0;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Levels of what is passed over, as the library has them.
const MAX_SKIPPED: usize = 64;

/// The rest of a structure.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Result<u8, Flaw> {
        let (&byte, rest) = self.0.split_first().ok_or(Flaw::Damage)?;
        self.0 = rest;
        Ok(byte)
    }

    fn advance(&mut self, bytes: u64) -> Result<(), Flaw> {
        let bytes = usize::try_from(bytes).map_err(|_| Flaw::Damage)?;
        self.0 = self.0.get(bytes..).ok_or(Flaw::Damage)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Flaw> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Flaw::Damage)
    }

    fn integer(&mut self) -> Result<i64, Flaw> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Number and type of the next field, after the field `before`.
    fn field(&mut self, before: i64) -> Result<(i64, u8), Flaw> {
        let header = self.byte()?;
        let kind = header & 0xf;
        if kind == STOP {
            return Ok((before, STOP));
        }
        let id = match header >> 4 {
            0 => self.integer()?,
            step => before.checked_add(i64::from(step)).ok_or(Flaw::Damage)?,
        };
        Ok((id, kind))
    }

    /// Length of a list, and the type of its elements.
    fn list(&mut self) -> Result<(u64, u8), Flaw> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Ok((count, header & 0xf))
    }

    /// The children of the element that comes next.
    fn children(&mut self) -> Result<u64, Flaw> {
        let (mut field, mut children) = (0, 0);
        loop {
            let (id, kind) = self.field(field)?;
            field = id;
            match (id, kind) {
                (_, STOP) => return Ok(children),
                // An i32.
                (5, 5) => children = u64::try_from(self.integer()?).unwrap_or(0),
                _ => self.skip(kind, 0)?,
            }
        }
    }

    /// Passes over an element of a list or a map.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Result<(), Flaw> {
        match kind {
            1 | 2 => Err(Flaw::TruthValues),
            _ => self.skip(kind, depth),
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Flaw> {
        if depth >= MAX_SKIPPED {
            return Err(Flaw::Damage);
        }
        match kind {
            // The truth value of a field is in its type.
            1 | 2 => Ok(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(|_| ()),
            DOUBLE => self.advance(8),
            BINARY => {
                let length = self.varint()?;
                self.advance(length)
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, depth + 1))
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 0xf, depth + 1)
                })
            }
            STRUCT => {
                let mut field = 0;
                loop {
                    let (id, kind) = self.field(field)?;
                    if kind == STOP {
                        return Ok(());
                    }
                    field = id;
                    self.skip(kind, depth + 1)?;
                }
            }
            UUID => self.advance(16),
            _ => Err(Flaw::Damage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flaw, check};

    /// A footer whose schema has so many groups within each other and a column in the innermost.
    fn footer(groups: u32) -> Vec<u8> {
        let varint = |mut number: u32| {
            let mut bytes = Vec::new();
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
            bytes
        };
        // Version 1; a list of structures.
        let mut bytes = vec![0x15, 2, 0x19, 0xfc];
        bytes.extend(varint(groups + 1));
        for _ in 0..groups {
            // The repetition (field 3), the name "g" (field 4) and one child (field 5), as Thrift
            // writes them.
            bytes.extend([0x35, 0, 0x18, 1, b'g', 0x15, 2, 0]);
        }
        // A type (field 1), the repetition and the name.
        bytes.extend([0x15, 2, 0x25, 0, 0x18, 1, b'c', 0]);
        bytes.push(0);
        bytes
    }

    #[test]
    fn groups_within_each_other_are_counted() {
        assert_eq!(check(&footer(64), 64), Ok(()));
        assert_eq!(check(&footer(65), 64), Err(Flaw::Depth));
        assert_eq!(check(&footer(1_000_000), 64), Err(Flaw::Depth));
        for end in 0..footer(5).len() - 1 {
            assert_ne!(check(&footer(5)[..end], 3), Ok(()), "{end}");
        }
        assert_eq!(check(&[], 64), Err(Flaw::Damage));
    }

    #[test]
    fn truth_values_in_lists_are_refused_wherever_they_are() {
        // A list, a set or a map of 2^62 truth values, and nothing behind it.
        let many = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
        for (kind, kinds) in [(0x9, 0xf1), (0xa, 0xf2), (0xb, 0x11), (0xb, 0x32), (0xb, 0x25)] {
            let content: Vec<u8> = match kind {
                0xb => many.iter().copied().chain([kinds, 0, 0]).collect(),
                _ => [kinds].into_iter().chain(many).collect(),
            };
            // As field 1; in the last element of the schema (field 2), as its field 6; in field 4.
            let first = vec![0x10 | kind];
            let in_schema = vec![0x15, 2, 0x19, 0x1c, 0x60 | kind];
            let mut after_schema = footer(3);
            after_schema.pop();
            after_schema.push(0x20 | kind);
            for before in [first, in_schema, after_schema] {
                let footer = [before.as_slice(), content.as_slice()].concat();
                assert_eq!(check(&footer, 64), Err(Flaw::TruthValues), "{footer:x?}");
            }
        }
        // None of them is no harm, and neither is one by itself.
        assert_eq!(check(&[0x19, 0x01, 0x1b, 0x00, 0x11, 0x12, 0], 64), Ok(()));
    }

    #[test]
    fn numbers_of_elements_that_are_not_there_take_no_time() {
        let many = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
        for kind in 3..16 {
            let footer = [&[0x19, 0xf0 | kind], many.as_slice()].concat();
            assert_eq!(check(&footer, 64), Err(Flaw::Damage), "{kind}");
        }
    }
}
