//! Files that are cut short, broken, or something else are errors that say so, and never a short corpus.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::support::{
    Folder, arrow_file, arrow_stream, batch, corpus, gzip, lines, utf16, write_parquet, zstd,
};

/// The error of reading one file; it names the file.
fn refused(name: &str, content: &[u8]) -> String {
    let folder = Folder::new();
    folder.write(name, content);
    let read = folder.read(&corpus(name));
    let error = read.map(|reading| reading.documents.len()).unwrap_err();
    assert_eq!(error.exit_status(), 3, "{error}");
    let message = error.to_string();
    assert!(message.contains(name), "{message}");
    message
}

#[test]
fn files_that_end_too_early_are_no_short_corpora() {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..400).map(|n| format!("Letter number {n}.")),
    ));
    let table = batch(vec![("text", texts)]);
    let tables: Vec<_> = (0..4).map(|part| table.slice(100 * part, 100)).collect();
    let parquet = Folder::new();
    write_parquet(&parquet.path("a"), &table);
    let array = format!("[{}]", lines(0, 400).trim_end().replace('\n', ",\n"));
    for (name, content) in [
        ("a.jsonl.gz", gzip(lines(0, 400).as_bytes())),
        ("a.jsonl.zst", zstd(lines(0, 400).as_bytes())),
        (
            "b.jsonl.gz",
            [gzip(lines(0, 9).as_bytes()), gzip(lines(9, 400).as_bytes())].concat(),
        ),
        (
            "b.jsonl.zst",
            [zstd(lines(0, 9).as_bytes()), zstd(lines(9, 400).as_bytes())].concat(),
        ),
        ("a.json", array.into_bytes()),
        ("a.parquet", std::fs::read(parquet.path("a")).unwrap()),
        ("a.parquet.gz", gzip(&std::fs::read(parquet.path("a")).unwrap())),
        ("a.arrow", arrow_stream(&tables)),
        ("b.arrow", arrow_file(&tables, None)),
    ] {
        let folder = Folder::new();
        folder.write(name, &content);
        assert_eq!(
            folder.read(&corpus(name)).unwrap().documents.len() % 100,
            if name.starts_with("b.jsonl") { 9 } else { 0 }
        );
        // Of two members, the cut falls into the second.
        let from = if name.starts_with("b.jsonl") {
            content.len() * 3 / 4
        } else {
            content.len() / 3
        };
        for end in [from, content.len() - 9, content.len() - 1] {
            let message = refused(name, &content[..end]);
            assert!(message.contains("expected"), "{message}");
        }
    }
    // An Arrow stream that is cut between two batches still lacks its end.
    let whole = arrow_stream(&tables);
    let message = refused("a.arrow", &whole[..whole.len() - 8]);
    assert!(
        message.contains("the file ends before the stream does"),
        "{message}"
    );
    for (name, content) in [
        ("a.txt.gz", &b""[..]),
        ("a.txt.zst", b"\x28"),
        ("a.csv.gz", b"\x1f\x8b"),
    ] {
        assert!(refused(name, content).contains("cut short or damaged"));
    }
}

#[test]
fn quotes_of_separated_values_must_close_where_a_field_ends() {
    for (content, expected) in [
        // A speech that nobody ended swallows what follows.
        (
            "id,text\n0,one\n1,\"two\n2,three\n3,four\n",
            "line 3 (row 2, column text): expected a closing quote, found none",
        ),
        (
            "id,text\n0,\"one\n1,\"two\"\n2,three\n",
            "line 3 (row 1, column text): expected a separator or a line end behind the closing quote",
        ),
        ("id,text\n0,\"one\" more\n", "line 2 (row 1, column text)"),
        ("id,text\n0,\"say \\\"no\\\"\"\n", "not written with a backslash"),
        ("id,text\r\n0,one\r\n1,\"two\r\n", "line 3 (row 2, column text)"),
        ("id,text\r0,one\r1,\"two\r", "line 3 (row 2, column text)"),
        ("id,\"text\n0,one\n", "line 1 (header): expected a closing quote"),
    ] {
        let message = refused("a.csv", content.as_bytes());
        assert!(message.contains(expected), "{message}");
        let message = refused("a.csv.gz", &gzip(content.as_bytes()));
        assert!(message.contains(expected), "{message}");
    }
    // A quote within a field that has none around it is a character like others.
    let folder = Folder::new();
    folder.write("a.csv", "id,text\n0,a 5\" pipe\n1,\"\"\"quoted\"\"\"\n");
    assert_eq!(
        folder.read(&corpus("a.csv")).unwrap().texts(),
        ["a 5\" pipe", "\"quoted\""]
    );
}

#[test]
fn arrays_that_are_broken_or_hold_no_objects_are_refused_with_the_place() {
    for (content, expected) in [
        (
            "[[\"a\"], [\"b\"]]",
            "line 1: expected one JSON object a line or an array of them, found an array",
        ),
        ("[\"a\", \"b\"]", "found a string"),
        (
            "[{\"text\": \"a\"}\n{\"text\": \"b\"}]",
            "line 2: byte 1: expected an array of JSON objects: a comma or the end of the array is missing",
        ),
        ("[{\"text\": \"a\"},\n]", "line 2: byte 1"),
        (
            "[{\"text\": \"a\"},\n {\"text\" \"b\"}]",
            "line 2: byte 10: expected an array of JSON objects: a colon behind the key is missing",
        ),
        (
            "[{\"text\": \"a\"}",
            "expected the array that begins in line 1 to end, found the end of the file",
        ),
        (
            "{\"data\": [{\"body\": \"a\"}]}",
            "no such column: expected text, found the columns data",
        ),
        (
            "{\"text\": \"a\"}\n{\"text\": \"b\"",
            "line 2: byte 13: expected one JSON object a line or an array of them: it ends within a value",
        ),
        (
            "{\"text\": \"a\"}\n{\"text\": \"b\nc\"}",
            "line 2: byte 12: expected one JSON object a line or an array of them: the line ends within a string",
        ),
        ("{\"text\": \"a\"},\n", "line 1: byte 14"),
        ("{\"text\": 'a'}\n", "line 1: byte 10"),
        ("{\"text\": \"\\x\"}\n", "there is no such escape"),
        ("{\"text\": \"a\", \"b\": 01}\n", "line 1: byte 20"),
        ("{\"text\": \"a\", \"b\": nul}\n", "a value is missing"),
        ("{\n \"text\": \"a\",\n \"b\" 1\n}\n", "line 1: line 3, byte 6"),
    ] {
        let message = refused("a.json", content.as_bytes());
        assert!(message.contains(expected), "{content}: {message}");
    }
}

#[test]
fn a_line_that_is_broken_costs_no_other_line() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        b"{\"text\": \"one\"}\n{\"text\": \"cut\nnonsense\n{\"text\": \"t\xc3\"}\n{\"text\": \"two\"} {\"text\": \"three\"}\n[1]\n{\"text\": \"cut\",\n{\"text\": \"four\"}\n{\"text\":",
    );
    let (texts, faults) = folder.read_skipping(&corpus("a.jsonl"));
    assert_eq!(texts, ["one", "two", "three", "four"]);
    let places: Vec<&str> = faults
        .iter()
        .map(|fault| fault.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        places,
        ["line 2", "line 3", "line 4", "line 6", "line 7", "line 9"]
    );
    assert!(
        faults[2].contains("line 4: byte 12: expected UTF-8, found 0xC3"),
        "{}",
        faults[2]
    );
}

#[test]
fn encodings_and_files_of_other_kinds_are_named() {
    let mut utf32: Vec<u8> = vec![0xff, 0xfe, 0, 0];
    utf32.extend(
        "text"
            .chars()
            .flat_map(|character| u32::from(character).to_le_bytes()),
    );
    let tar = {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        tar
    };
    let half = {
        let mut bytes = utf16("text\nab", false);
        bytes.extend([0x3d, 0xd8, b'c', 0]);
        bytes
    };
    let unmarked = &utf16("text\none and two and three\n", false)[2..];
    let unmarked_big = &utf16("text\none and two and three\n", true)[2..];
    for (name, content, expected) in [
        (
            "a.csv",
            utf32,
            "found UTF-32. Convert it: iconv -f UTF-32 -t UTF-8",
        ),
        (
            "a.csv",
            unmarked.to_vec(),
            "found UTF-16 without a byte order mark. Convert it: iconv -f UTF-16LE",
        ),
        ("a.csv", unmarked_big.to_vec(), "iconv -f UTF-16BE"),
        (
            "a.csv",
            half,
            "byte 17: expected UTF-16: found half a surrogate pair",
        ),
        (
            "a.csv",
            utf16("text\nab", false)[..15].to_vec(),
            "the file ends within a character",
        ),
        (
            "a.csv",
            b"text\ncaf\xe9\n".to_vec(),
            "line 2: column text, byte 4: expected UTF-8, found 0xE9",
        ),
        (
            "a.txt",
            b"caf\xe9\n".to_vec(),
            "line 1: byte 4: expected UTF-8, found 0xE9. If the file is in Windows-1252",
        ),
        (
            "a.jsonl",
            b"{\"text\":\"caf\xe9\"}\n".to_vec(),
            "line 1: byte 13: expected UTF-8, found 0xE9",
        ),
        ("a.txt", vec![0; 100], "this is no text file"),
        (
            "a.jsonl.bz2",
            b"BZh91AY&SY and so on".to_vec(),
            "found a bzip2 file",
        ),
        ("a.jsonl.xz", b"\xfd7zXZ\0\0".to_vec(), "found a xz file"),
        ("a.zip", b"PK\x03\x04 and so on".to_vec(), "found a zip file"),
        ("a.docx", b"PK\x03\x04 and so on".to_vec(), "found a zip file"),
        ("a.pdf", b"%PDF-1.7".to_vec(), "found a PDF file"),
        ("a.tar", tar.clone(), "found a tar archive"),
        ("a.tar.gz", gzip(&tar), "found a tar archive"),
        (
            "a.parquet",
            b"PAR1 and nothing more".to_vec(),
            "expected a Parquet file, found a damaged or foreign one",
        ),
        (
            "a.arrow",
            b"nothing of the kind".to_vec(),
            "expected an Arrow file",
        ),
        (
            "a.csv",
            b"text,text\na,b\n".to_vec(),
            "line 1: expected the column text once, found it 2 times",
        ),
        (
            "a.csv",
            b"id,text\n1\n".to_vec(),
            "line 2: expected 2 fields as in the header, found 1",
        ),
    ] {
        let message = refused(name, &content);
        assert!(message.contains(expected), "{message}");
    }
}
