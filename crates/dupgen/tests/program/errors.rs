//! What a user is told when the corpus or the settings are wrong.

use std::fs;
use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, ListArray, StringArray};
use arrow::datatypes::Int32Type;

use crate::formats::write_parquet;
use crate::support::{Folder, numbered};

/// Runs on one file with further corpus settings; the exit status and pieces of the message are expected.
fn check(name: &str, content: &[u8], settings: &str, status: i32, pieces: &[&str]) {
    let folder = Folder::new();
    folder.write(name, content);
    folder.pipeline(&format!("corpus = {{ files = \"{name}\" {settings} }}"));
    folder.fail(&[], status, pieces);
}

#[test]
fn unusable_documents_are_named_by_file_and_line() {
    for (name, content, settings, pieces) in [
        (
            "a.jsonl",
            &b""[..],
            "",
            &["a.jsonl: expected at least one document, found an empty file"][..],
        ),
        ("a.jsonl", b"\n \n", "", &["a.jsonl", "found an empty file"]),
        ("a.csv", b"", "", &["a.csv", "found an empty file"]),
        ("a.csv", b"text\n", "", &["a.csv", "found an empty file"]),
        ("a.txt", b"\n\n", "", &["a.txt", "found an empty file"]),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n\n{\"text\" 5}\n",
            "",
            &["a.jsonl: line 3: byte 9: expected one JSON object a line"],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n\"y\"\n",
            "",
            &["line 2: expected one JSON object a line or an array of them, found a string"],
        ),
        (
            "a.json",
            b"[\n{}]",
            "",
            &["a.json: line 2: no such column: expected text, found the columns none"],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\r\n{\"text\": \"\xc3\"}\r\n",
            "",
            &["line 2: byte 11: expected UTF-8, found 0xC3"],
        ),
        (
            "a.jsonl",
            b"{\"body\": \"x\", \"title\": 1}\n",
            "",
            &["line 1: no such column: expected text, found the columns body, title"],
        ),
        (
            "a.jsonl",
            b"{\"text\": [1]}\n",
            "",
            &["line 1: column text: expected a string, found an array"],
        ),
        (
            "a.jsonl",
            b"{\"text\": null}\n",
            "",
            &["line 1: column text: expected a value, found none"],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"  \"}\n",
            "",
            &["line 1: column text: expected text, found none"],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\", \"id\": true}\n",
            ", identity = \"id\"",
            &["line 1: column id: expected a string, found true or false"],
        ),
        (
            "a.jsonl",
            b"{\"q\": \"x\", \"a\": \"\"}\n",
            ", prompt = \"q\", response = \"a\"",
            &["line 1: column a: expected text, found none"],
        ),
        (
            "a.csv",
            b"body,title\nx,y\n",
            "",
            &["a.csv: line 1: no such column: expected text, found the columns body, title"],
        ),
        // Line ends before a row and within a field count, as an editor counts them.
        (
            "a.csv",
            b"id,text\n\n1,\"two\nlines\"\n2\n",
            "",
            &["a.csv: line 5: expected 2 fields as in the header, found 1"],
        ),
        (
            "a.csv",
            b"id,text\r\n1,x\r\n2,y,z\r\n",
            "",
            &["line 3: expected 2 fields as in the header, found 3"],
        ),
        (
            "a.csv",
            b"id,text\r1,x\r2,\r",
            "",
            &["line 3: column text: expected text, found none"],
        ),
        (
            "a.csv",
            b"id,text\n1,x\n2,ab\xe9\n",
            "",
            &["line 3: column text, byte 3: expected UTF-8, found 0xE9"],
        ),
        (
            "a.csv",
            b"id,text\n,x\n",
            ", identity = \"id\"",
            &["line 2: column id: expected a value, found none"],
        ),
        (
            "a.txt",
            b"good\n\nbad\n\xff\n",
            "",
            &["a.txt: line 4: byte 1: expected UTF-8, found 0xFF"],
        ),
        (
            "a.parquet",
            b"PAR1 and nothing more",
            "",
            &["a.parquet: expected a Parquet file, found a damaged or foreign one"],
        ),
        (
            "a.csv",
            b"id,text\n1,x\n1,y\n",
            ", identity = \"id\"",
            &["a.csv: row 2", "`1` again", "a.csv, row 1"],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n",
            ", documents = 2",
            &["test.toml: corpus.documents: expected 2 documents, found 1"],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n",
            ", min_chars = 5",
            &["expected at least one document that can be used, found none: of 1 read, 1 too short"],
        ),
        (
            "a.jsonl",
            b"{}\n",
            ", bad_documents = \"skip\"",
            &[
                "found none: of 1 read, 1 without a value; the first:",
                "line 1: no such column",
            ],
        ),
        (
            "a.jsonl",
            b"{\"text\": \"x\"}\n",
            "",
            &["expected at least one document for each of [1, 4, 16] copies"],
        ),
    ] {
        check(name, content, &format!("{settings}, held_out = 0.0"), 3, pieces);
    }
}

#[test]
fn missing_files_are_told_with_what_was_asked() {
    for (files, pieces) in [
        (
            "gone.jsonl",
            &["gone.jsonl: expected a file, a folder or a glob, found none"][..],
        ),
        (
            "*.jsonl",
            &["*.jsonl: expected a glob that matches at least one file, found none"],
        ),
        (
            "empty",
            &["empty: expected a folder with at least one corpus file, found none"],
        ),
    ] {
        let folder = Folder::new();
        fs::create_dir(folder.path("empty")).unwrap();
        folder.pipeline(&format!("corpus.files = \"{files}\""));
        folder.fail(&[], 3, pieces);
        // What is wrong with a file is no matter of single documents.
        folder.fail(&["--set", "corpus.bad_documents=skip"], 3, pieces);
    }
}

#[test]
fn parquet_columns_are_checked_by_name_and_type() {
    let folder = Folder::new();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    write_parquet(
        &folder.path("a.parquet"),
        vec![
            ("number", Arc::new(Int32Array::from(vec![1]))),
            ("real", Arc::new(Float64Array::from(vec![1.0]))),
            ("list", Arc::new(list)),
            ("words", Arc::new(StringArray::from(vec!["x"]))),
        ],
    );
    for (settings, pieces) in [
        (
            "",
            &["a.parquet: no such column: expected text, found the columns number, real, list, words"][..],
        ),
        (
            ", text = \"number\"",
            &["a.parquet: column number: expected string, found Int32"],
        ),
        (", text = \"list\"", &["column list: expected string, found List"]),
        (
            ", text = \"words\", identity = \"list\"",
            &["column list: expected string, number or UUID, found List"],
        ),
    ] {
        folder.pipeline(&format!("corpus = {{ files = \"a.parquet\" {settings} }}"));
        folder.fail(&[], 3, pieces);
    }
}

#[test]
fn a_row_without_a_value_and_a_truncated_parquet_file_are_told() {
    let folder = Folder::new();
    let texts: Vec<Option<String>> = (0..1000)
        .map(|row| (row != 700).then(|| format!("text {row}")))
        .collect();
    write_parquet(
        &folder.path("a.parquet"),
        vec![("text", Arc::new(StringArray::from(texts)))],
    );
    folder.pipeline("corpus.files = \"a.parquet\"");
    folder.fail(
        &[],
        3,
        &["a.parquet: row 701: column text: expected a value, found none"],
    );

    let whole = fs::read(folder.path("a.parquet")).unwrap();
    folder.write("a.parquet", &whole[..whole.len() / 2]);
    folder.fail(
        &[],
        3,
        &["a.parquet: expected a Parquet file, found a damaged or foreign one"],
    );
    // The footer is whole, the data is not.
    let mut overwritten = whole.clone();
    overwritten[4..whole.len() / 2].fill(0xAA);
    folder.write("a.parquet", overwritten);
    folder.fail(
        &[],
        3,
        &["a.parquet: expected a whole Parquet file, found damage after row 0"],
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (tables, arguments, pieces) in [
        (
            "corpus = { files = \"a.jsonl\", prompt = \"q\" }",
            &[][..],
            &["corpus.response: expected a column"][..],
        ),
        (
            "corpus = { files = \"a.jsonl\", response = \"a\" }",
            &[],
            &["corpus.prompt: expected a column"],
        ),
        (
            "corpus = { files = \"a.jsonl\", documents = 0 }",
            &[],
            &["corpus.documents"],
        ),
        (
            "corpus = { files = \"a.jsonl\", min_chars = 9, max_chars = 8 }",
            &[],
            &["corpus.max_chars"],
        ),
        ("corpus = { files = [] }", &[], &["corpus.files"]),
        (
            "corpus = { files = \"a.jsonl\", delimiter = \"é\" }",
            &[],
            &["corpus.delimiter: expected one ASCII character"],
        ),
        (
            "corpus = { files = \"a.jsonl\", template = \"vicuna\" }",
            &[],
            &["corpus.template: expected `alpaca`, or text with columns in braces"],
        ),
        (
            "corpus = { files = \"a[.jsonl\" }",
            &[],
            &["corpus.files: a[.jsonl: expected a glob"],
        ),
        (
            "corpus = { files = \"a.txt\", identity = \"id\" }",
            &[],
            &["corpus.identity", "a.txt is read as plain text"],
        ),
        (
            "corpus = { files = \"a.jsonl\", txet = \"q\" }",
            &[],
            &["line 2", "txet", "Did you mean `text`?"],
        ),
        (
            "corpus.files = \"a.jsonl\"\nduplication.layout = [\"uniform\", \"bucketed\"]",
            &[],
            &["duplication.layout", "--layout"],
        ),
        (
            "corpus.files = \"a.jsonl\"\nduplication.layout = \"uniform\"",
            &[],
            &["duplication.copies", "[1, 4, 16]", "--copies"],
        ),
        (
            "corpus.files = \"a.jsonl\"",
            &["--copies", "4"],
            &["--copies goes with the uniform layout"],
        ),
        (
            "corpus.files = \"a.jsonl\"\nduplication = { budget = \"fixed\", instances = 20 }",
            &[],
            &[
                "duplication.instances: 20 training instances",
                "leave room for 2 documents",
            ],
        ),
    ] {
        let folder = Folder::new();
        folder
            .write("a.jsonl", numbered(30))
            .write("a.txt", "text")
            .pipeline(tables);
        folder.fail(arguments, 2, pieces);
    }
}

#[test]
fn a_results_folder_that_cannot_be_made_is_an_output_error() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(30))
        .write("corpus", "a file in the way")
        .pipeline("corpus.files = \"a.jsonl\"");
    folder.fail(&[], 1, &["cannot write"]);
}
