//! How deep the columns of a Parquet file are nested, read from its footer before the library reads
//! it: that goes into a group by calling itself, so that a footer of many groups within each other
//! would overflow the stack.
//!
//! The footer is a structure in Thrift's compact protocol whose second field lists the elements of
//! the schema, each group before its children, with their number in its fifth field.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Error;

/// Most groups within each other. Conversations have five.
const MAX_DEPTH: usize = 64;

/// Refuses a file whose columns are nested too deep. What else is wrong with its footer is left to
/// the library.
///
/// # Errors
/// [`Error::Input`] for such a file.
pub fn check_nesting(path: &Path, file: &File) -> Result<(), Error> {
    let footer = footer(file).unwrap_or_default();
    if depth_exceeds(&footer, MAX_DEPTH) == Some(true) {
        let problem = format!("expected columns nested at most {MAX_DEPTH} deep, found deeper ones");
        return Err(Error::input(path, problem));
    }
    Ok(())
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

/// Whether groups lie more than `max` deep; none where the footer is no such structure.
fn depth_exceeds(footer: &[u8], max: usize) -> Option<bool> {
    let mut reader = Compact(footer);
    let mut field = 0;
    loop {
        let (id, kind) = reader.field(field)?;
        field = id;
        match (id, kind) {
            (_, STOP) => return Some(false),
            (2, LIST) => {
                let (count, STRUCT) = reader.list()? else {
                    return None;
                };
                return elements_exceed(&mut reader, count, max);
            }
            _ => reader.skip(kind, 0)?,
        }
    }
}

fn elements_exceed(reader: &mut Compact<'_>, count: u64, max: usize) -> Option<bool> {
    // Of each group around the next element, the children that are still to come.
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..count {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(rest) = open.last_mut() {
            *rest -= 1;
        }
        let children = reader.children()?;
        if children > 0 {
            open.push(children);
            if open.len() > max {
                return Some(true);
            }
        }
    }
    Some(false)
}

const STOP: u8 = 0;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Levels of structures in an element that are passed over.
const MAX_SKIPPED: usize = 32;

/// The rest of a structure.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn advance(&mut self, bytes: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Number and type of the next field, after the field `before`.
    fn field(&mut self, before: i64) -> Option<(i64, u8)> {
        let header = self.byte()?;
        let kind = header & 0xf;
        if kind == STOP {
            return Some((before, STOP));
        }
        let id = match header >> 4 {
            0 => self.integer()?,
            step => before.checked_add(i64::from(step))?,
        };
        Some((id, kind))
    }

    /// Length of a list, and the type of its elements.
    fn list(&mut self) -> Option<(u64, u8)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((count, header & 0xf))
    }

    /// The children of the element that comes next.
    fn children(&mut self) -> Option<u64> {
        let (mut field, mut children) = (0, 0);
        loop {
            let (id, kind) = self.field(field)?;
            field = id;
            match (id, kind) {
                (_, STOP) => return Some(children),
                // An i32.
                (5, 5) => children = u64::try_from(self.integer()?).unwrap_or(0),
                _ => self.skip(kind, 0)?,
            }
        }
    }

    /// Passes over an element of a list or a map, where a truth value has a byte of its own: what
    /// takes no bytes could be there any number of times.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        self.skip(if matches!(kind, 1 | 2) { 3 } else { kind }, depth)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_SKIPPED {
            return None;
        }
        match kind {
            // Truth values are in the type.
            1 | 2 => Some(()),
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
                    return Some(());
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
                        return Some(());
                    }
                    field = id;
                    self.skip(kind, depth + 1)?;
                }
            }
            UUID => self.advance(16),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::depth_exceeds;

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
        assert_eq!(depth_exceeds(&footer(64), 64), Some(false));
        assert_eq!(depth_exceeds(&footer(65), 64), Some(true));
        assert_eq!(depth_exceeds(&footer(1_000_000), 64), Some(true));
        for end in 0..footer(5).len() - 1 {
            assert_ne!(depth_exceeds(&footer(5)[..end], 3), Some(false), "{end}");
        }
        assert_eq!(depth_exceeds(&[], 64), None);
    }

    #[test]
    fn numbers_of_elements_that_are_not_there_take_no_time() {
        // Field 1 is a list, a set or a map of 2^62 truth values; then nothing is left.
        let many = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
        for (field, kinds) in [(0x19, 0xf1), (0x1a, 0xf2), (0x1b, 0x11), (0x1b, 0x22)] {
            let header: Vec<u8> = match field {
                0x1b => many.iter().copied().chain([kinds]).collect(),
                _ => [kinds].into_iter().chain(many).collect(),
            };
            let footer = [&[field], header.as_slice()].concat();
            assert_eq!(depth_exceeds(&footer, 64), None, "{field:x} {kinds:x}");
        }
    }
}
