//! Every format gives the same documents, and every corpus setting does what it says.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    UInt16Array,
};
use arrow::datatypes::Int32Type;
use contract::records::TrainingInstance;
use parquet::arrow::ArrowWriter;

use crate::support::{Folder, numbered};

/// Texts with what the formats must escape: quotes, separators, letters of several bytes.
const TEXTS: [&str; 6] = [
    "She said \"no\", twice.",
    "Tablets, 20 mg; one a day",
    "Zoë's café — naïve 😀",
    "a\ttab",
    "back\\slash",
    "The last one.",
];

pub(crate) fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The training set of a corpus in the file `name`, all else being equal.
fn training_set(folder: &Folder, name: &str, settings: &str) -> Vec<TrainingInstance> {
    folder.pipeline(&format!(
        "corpus = {{ files = \"{name}\", held_out = 0.0 {settings} }}\nduplication = {{ layout = \"bucketed\", copies = [1, 3] }}"
    ));
    folder.succeed(&["--force"]);
    folder.train()
}

#[test]
fn every_format_gives_the_same_training_set() {
    let folder = Folder::new();
    let jsonl: String = TEXTS
        .iter()
        .map(|text| format!("{{\"text\": {}, \"other\": [1, null]}}\n", json(text)))
        .collect();
    let csv = format!(
        "other,text\n{}",
        TEXTS.map(|text| format!("1,{}\n", quoted(text))).concat()
    );
    let tsv = format!(
        "text\tother\n{}",
        TEXTS.map(|text| format!("{}\t1\n", quoted(text))).concat()
    );
    folder
        .write("a.jsonl", &jsonl)
        .write(
            "bom_and_blank.jsonl",
            format!("\u{feff}\r\n{}\r\n", jsonl.replace('\n', "\r\n\r\n")),
        )
        .write("no_last_newline.json", jsonl.trim_end())
        .write("a.csv", &csv)
        .write("crlf.csv", format!("\u{feff}{}", csv.replace('\n', "\r\n")))
        .write("a.tsv", tsv)
        .write("paragraphs.txt", TEXTS.join("\n\n"))
        .write(
            "crlf.txt",
            format!("\u{feff}\r\n\r\n{}\r\n", TEXTS.join("\r\n \r\n\r\n")),
        )
        .write("lines.txt", TEXTS.join("\n"));
    for (number, text) in TEXTS.iter().enumerate() {
        folder.write(&format!("folder/{number}.txt"), format!("{text}\n"));
    }
    folder
        .write("folder/.hidden", "not part of it")
        .write("folder/_SUCCESS", "nor this");
    let columns: [(&str, ArrayRef); 4] = [
        ("plain.parquet", Arc::new(StringArray::from(TEXTS.to_vec()))),
        ("large.parquet", Arc::new(LargeStringArray::from(TEXTS.to_vec()))),
        ("view.parquet", Arc::new(StringViewArray::from(TEXTS.to_vec()))),
        (
            "dictionary.parquet",
            Arc::new(TEXTS.into_iter().collect::<DictionaryArray<Int32Type>>()),
        ),
    ];
    for (name, column) in columns {
        write_parquet(&folder.path(name), vec![("text", column)]);
    }

    let expected = training_set(&folder, "a.jsonl", "");
    assert_eq!(expected.len(), 3 + 3 * 3);
    for (name, settings) in [
        ("bom_and_blank.jsonl", ""),
        ("no_last_newline.json", ""),
        ("a.csv", ""),
        ("crlf.csv", ""),
        ("a.tsv", ""),
        ("paragraphs.txt", ""),
        ("crlf.txt", ""),
        ("lines.txt", ", unit = \"line\""),
        ("folder", ""),
        ("folder/*.txt", ""),
        ("plain.parquet", ""),
        ("large.parquet", ""),
        ("view.parquet", ""),
        ("dictionary.parquet", ""),
    ] {
        assert_eq!(training_set(&folder, name, settings), expected, "{name}");
    }
}

#[test]
fn the_order_of_the_files_does_not_matter_to_the_training_set() {
    let folder = Folder::new();
    folder
        .write("one.txt", "first\n\nsecond")
        .write("two.txt", "third\n\nfourth")
        .write("all.jsonl", numbered(0));
    folder.pipeline("corpus = { files = [\"one.txt\", \"two.txt\"], unit = \"paragraph\", held_out = 0.0 }\nduplication.copies = [2, 3]");
    folder.succeed(&[]);
    let expected = folder.train();
    // `--in` is relative to the current folder; a file named twice is read once.
    folder.succeed(&["--in", "two.txt", "one.txt", "two.txt"]);
    assert_eq!(folder.train(), expected);
}

#[test]
fn csv_fields_may_hold_line_ends() {
    let folder = Folder::new();
    folder.write("a.csv", "id,text\n7,\"two\nlines, \"\"quoted\"\"\"\n8,plain\n");
    let rows = training_set(&folder, "a.csv", ", identity = \"id\"");
    assert!(
        rows.iter()
            .any(|row| row.doc_id == "7" && row.text == "two\nlines, \"quoted\"")
    );
}

#[test]
fn a_folder_of_several_formats_is_asked_about_and_a_format_narrows_it() {
    let folder = Folder::new();
    folder
        .write("mixed/b.jsonl", numbered(2))
        .write("mixed/deep/a.csv", "text\nfrom csv\n")
        .write("mixed/README", "a note");
    folder.pipeline("corpus = { files = \"mixed\", held_out = 0.0 }\nduplication.copies = [1]");
    folder.fail(
        &[],
        3,
        &[
            "mixed: expected a folder with data of one format",
            "1 .csv, 1 .jsonl",
        ],
    );
    folder.pipeline(
        "corpus = { files = \"mixed\", format = \"jsonl\", held_out = 0.0 }\nduplication.copies = [1]",
    );
    folder.succeed(&[]);
    assert_eq!(folder.sides().0, ["Letter number 0.", "Letter number 1."]);
}

#[test]
fn prompt_and_response_are_joined() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        "{\"q\": \"Où ça?\", \"a\": \"Here.\"}\n{\"q\": \"\", \"a\": \"Alone.\"}\n",
    );
    write_parquet(
        &folder.path("a.parquet"),
        vec![
            ("a", Arc::new(StringArray::from(vec!["Here.", "Alone."]))),
            ("q", Arc::new(StringArray::from(vec!["Où ça?", ""]))),
        ],
    );
    for name in ["a.jsonl", "a.parquet"] {
        let rows = training_set(
            &folder,
            name,
            ", prompt = \"q\", response = \"a\", separator = \"\\n→ \"",
        );
        let prompt_chars = |text: &str| {
            rows.iter()
                .find(|row| row.text == text)
                .map(|row| row.prompt_chars)
        };
        // 6 characters of prompt, 3 of separator; an empty prompt needs no separator.
        assert_eq!(
            (prompt_chars("Où ça?\n→ Here."), prompt_chars("Alone.")),
            (Some(9), Some(0)),
            "{name}"
        );
    }
}

#[test]
fn identities_are_strings_or_integers_or_digests() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        "{\"id\": 7, \"text\": \"one\"}\n{\"id\": \"x y\", \"text\": \"two\"}\n",
    );
    let ids = |rows: Vec<TrainingInstance>| {
        let mut ids: Vec<String> = rows.into_iter().map(|row| row.doc_id).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    assert_eq!(
        ids(training_set(&folder, "a.jsonl", ", identity = \"id\"")),
        ["7", "x y"]
    );
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["one", "two"]));
    let numbers: [ArrayRef; 2] = [
        Arc::new(Int64Array::from(vec![-7, i64::MAX])),
        Arc::new(UInt16Array::from(vec![7, 9])),
    ];
    let expected = [["-7", "9223372036854775807"], ["7", "9"]];
    for (numbers, expected) in numbers.into_iter().zip(expected) {
        write_parquet(
            &folder.path("a.parquet"),
            vec![("id", numbers), ("text", Arc::clone(&texts))],
        );
        assert_eq!(
            ids(training_set(&folder, "a.parquet", ", identity = \"id\"")),
            expected
        );
    }
    let digests = ids(training_set(&folder, "a.jsonl", ""));
    assert!(
        digests
            .iter()
            .all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
}

#[test]
fn exact_duplicates_are_dropped_and_counted() {
    let folder = Folder::new();
    folder
        .write(
            "a.jsonl",
            "{\"text\":\"same\"}\n{\"text\":\"other\"}\n{\"text\":\"same\"}\n",
        )
        .write("b.jsonl", "{\"text\":\"same\"}");
    folder.pipeline("corpus = { files = \"*.jsonl\", held_out = 0.0 }\nduplication = { layout = \"uniform\", copies = [2] }");
    let said = folder.succeed(&[]);
    assert!(
        said.contains("4 documents in 2 files") && said.contains("2 exact duplicates"),
        "{said}"
    );
    assert_eq!(folder.train().len(), 4);
}

#[test]
fn texts_with_the_same_identity_are_numbered_where_bad_documents_are_skipped() {
    let folder = Folder::new();
    folder.write("a.csv", "id,text\na,one\na,two\na-2,three\na,four\n");
    let rows = training_set(&folder, "a.csv", ", identity = \"id\", bad_documents = \"skip\"");
    let mut ids: Vec<(String, String)> = rows
        .into_iter()
        .filter(|row| row.copy == 0)
        .map(|row| (row.text, row.doc_id))
        .collect();
    ids.sort();
    let expected = [("four", "a-3"), ("one", "a"), ("three", "a-2-2"), ("two", "a-2")];
    assert_eq!(ids, expected.map(|(text, id)| (text.to_owned(), id.to_owned())));
}

#[test]
fn lengths_and_numbers_of_documents_are_limited() {
    let folder = Folder::new();
    // 1, 4 and 6 characters; é counts as one.
    folder.write(
        "a.jsonl",
        "{\"text\":\"é\"}\n{\"text\":\"ééée\"}\n{\"text\":\"sixsix\"}\n",
    );
    folder.pipeline("corpus = { files = \"a.jsonl\", min_chars = 2, max_chars = 5, held_out = 0.0 }\nduplication.copies = [1]");
    let said = folder.succeed(&[]);
    assert_eq!(folder.sides().0, ["ééée"]);
    assert!(
        said.contains("1 too short") && said.contains("1 too long"),
        "{said}"
    );

    folder.write("many.jsonl", numbered(50));
    let chosen = |documents: usize| {
        folder.pipeline(&format!(
            "corpus = {{ files = \"many.jsonl\", documents = {documents} }}\nduplication.copies = [1]"
        ));
        folder.succeed(&["--seed", &documents.to_string()]);
        let (train, held_out) = folder.sides();
        assert_eq!(train.len() + held_out.len(), documents);
        (train, held_out)
    };
    // Fewer are chosen from the same, and they stay on their sides.
    let (few, more) = (chosen(20), chosen(30));
    assert!(few.0.iter().all(|text| more.0.contains(text)) && few.1.iter().all(|text| more.1.contains(text)));
}

#[test]
fn bad_documents_are_skipped_and_counted() {
    let folder = Folder::new();
    let lines: [&[u8]; 8] = [
        b"{\"text\": \"good\"}",
        b"{\"text\": \" \\n\"}",
        b"{\"text\": ",
        b"[1]",
        b"{\"text\": \"\xff\"}",
        b"{\"other\": 1}",
        b"{\"text\": null}",
        b"{\"text\": 5}",
    ];
    folder
        .write("a.jsonl", lines.join(&b'\n'))
        .write("b.csv", b"text,x\nfine,1\nragged\n\xff,1\n,1\n")
        .write("c.txt", "");
    folder.pipeline("corpus = { files = [\"a.jsonl\", \"b.csv\", \"c.txt\"], held_out = 0.0, bad_documents = \"skip\", max_left_out = 0.9 }\nduplication.copies = [1]");
    let said = folder.succeed(&[]);
    assert_eq!(folder.sides().0, ["fine", "good"]);
    for piece in [
        "13 documents",
        "3 empty",
        "2 not UTF-8",
        "3 malformed",
        "2 without a value",
        "1 of the wrong type",
        "a.jsonl: line 2",
    ] {
        assert!(said.contains(piece), "expected `{piece}` in: {said}");
    }
}
