//! Files that are missing, cut off, or no Parquet at all are bad input, never a panic.

use std::fs;
use std::path::Path;

use contract::records::{DocumentKind, HeldOutDocument};
use contract::{Error, Provenance, parquet};

use crate::{assert_tells, told};

pub(crate) fn documents() -> Vec<HeldOutDocument> {
    let document = |number: i32| HeldOutDocument {
        doc_id: format!("document {number}"),
        text: "no two rows alike ".repeat(number as usize),
        prompt_chars: number,
        kind: DocumentKind::Document,
        role: None,
        near_duplicate_of: None,
        shared_8grams: None,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    };
    (0..50).map(document).collect()
}

fn whole_file(file: &Path) -> Vec<u8> {
    parquet::write_all(file, &Provenance::new("test"), &documents()).unwrap();
    fs::read(file).unwrap()
}

#[test]
fn a_missing_file_and_a_foreign_one_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("heldout.parquet");
    let (message, status) = told(parquet::read_all::<HeldOutDocument>(&missing));
    assert_tells(&message, &[missing.to_str().unwrap(), "cannot be opened"]);
    assert_eq!(status, 3);

    for content in ["", "PAR1", "id,text\n1,This is a table of another kind.\n"] {
        let foreign = folder.path().join("table.parquet");
        fs::write(&foreign, content).unwrap();
        let (message, status) = told(parquet::read_all::<HeldOutDocument>(&foreign));
        assert_tells(&message, &[foreign.to_str().unwrap(), "expected a Parquet file"]);
        assert_eq!(status, 3);
        assert_eq!(parquet::provenance(&foreign), None);
    }
    assert_eq!(
        told(parquet::read_all::<HeldOutDocument>(folder.path())).1,
        3,
        "a folder is no file"
    );
}

#[test]
fn a_file_cut_off_anywhere_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let whole = whole_file(&file);
    for length in (0..whole.len()).step_by(31).chain([whole.len() - 1]) {
        fs::write(&file, &whole[..length]).unwrap();
        let (_, status) = told(parquet::read_all::<HeldOutDocument>(&file));
        assert_eq!(status, 3, "the first {length} of {} bytes", whole.len());
        assert_eq!(parquet::provenance(&file), None);
    }
}

/// The rows of the first column's pages are damaged, the footer of another program, which seals
/// nothing, is whole: it opens, and reading says where it broke.
#[test]
fn damaged_pages_of_another_program_are_told_with_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let mut bytes = whole_file(&file);
    let writer = b"contract version";
    let place = bytes
        .windows(writer.len())
        .position(|window| window == writer)
        .unwrap();
    bytes[place..place + writer.len()].copy_from_slice(b"somebody version");
    // The first page's header and the beginning of its zstd frame follow the four bytes of the
    // magic.
    bytes[4..60].fill(0xff);
    fs::write(&file, &bytes).unwrap();
    let reader = parquet::Reader::<HeldOutDocument>::open(&file).unwrap();
    assert_eq!(reader.rows(), 50);
    let read: Result<Vec<_>, Error> = reader.collect();
    let (message, status) = told(read);
    assert_tells(&message, &[file.to_str().unwrap(), "damaged after row 0"]);
    assert_eq!(status, 3);
}

/// Whatever byte of the footer is wrong, the file is read or refused. (Offsets below zero once made
/// the Parquet library panic.)
#[test]
fn a_changed_byte_in_the_footer_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let whole = whole_file(&file);
    // The file ends with the footer, its length in four bytes, and the magic.
    let length: [u8; 4] = whole[whole.len() - 8..whole.len() - 4].try_into().unwrap();
    let footer = whole.len() - 8 - u32::from_le_bytes(length) as usize;
    for place in footer..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        fs::write(&file, &bytes).unwrap();
        if let Err(error) = parquet::read_all::<HeldOutDocument>(&file) {
            assert_eq!(error.exit_status(), 3, "{error}");
        }
    }
}
