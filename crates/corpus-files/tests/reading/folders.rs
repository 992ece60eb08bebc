//! A folder is what it mainly holds, and names are taken literally.

use std::sync::Arc;

use arrow::array::StringArray;
use contract::pipeline::{CorpusFormat, OneOrMany};

use crate::support::{Folder, arrow_stream, batch, corpus, gzip, letters, lines, write_parquet, zstd};

const STATE: &str = r#"{"_data_files": [{"filename": "data-00000-of-00002.arrow"}, {"filename": "data-00001-of-00002.arrow"}],
    "_fingerprint": "1", "_format_columns": null, "_split": "train"}"#;

fn stream(from: usize, count: usize) -> Vec<u8> {
    arrow_stream(&[batch(vec![(
        "text",
        Arc::new(StringArray::from_iter_values(letters(from, count))),
    )])])
}

/// Writes a data set as `save_to_disk` does, with a file of the cache that `map` left.
fn saved(folder: &Folder, name: &str) {
    folder
        .write(
            &format!("{name}/dataset_info.json"),
            r#"{"features": {"text": {"dtype": "string"}}}"#,
        )
        .write(&format!("{name}/state.json"), STATE)
        .write(&format!("{name}/data-00000-of-00002.arrow"), stream(0, 7))
        .write(&format!("{name}/data-00001-of-00002.arrow"), stream(7, 5))
        .write(&format!("{name}/cache-0123.arrow"), stream(50, 5));
}

#[test]
fn a_folder_stands_for_what_it_mainly_holds() {
    type Files = Vec<(&'static str, Vec<u8>)>;
    let text = |from: usize, count: usize| lines(from, count).into_bytes();
    let note = || b"---\nlicense: cc-by-4.0\n---\nA note.\n".to_vec();
    let cases: Vec<(Files, Vec<&str>)> = vec![
        (
            vec![
                ("README.md", note()),
                ("LICENSE", note()),
                ("data/train.jsonl", text(0, 12)),
            ],
            vec!["LICENSE (about the data)", "README.md (about the data)"],
        ),
        (
            vec![
                ("part-0.jsonl", text(0, 6)),
                ("part-1.jsonl.gz", gzip(&text(6, 6))),
            ],
            vec![],
        ),
        (
            vec![
                ("a.jsonl", text(0, 3)),
                ("b.ndjson.zst", zstd(&text(3, 3))),
                ("c.jsonl", text(6, 6)),
            ],
            vec![],
        ),
        (
            vec![("a.jsonl", text(0, 12)), ("a.jsonl.gz", gzip(&text(0, 12)))],
            vec!["a.jsonl.gz (compressed copy)"],
        ),
        (
            vec![
                ("train.jsonl", text(0, 12)),
                ("dataset_infos.json", b"{}".to_vec()),
                (".gitattributes", note()),
                (".git/config", note()),
                ("_SUCCESS", vec![]),
                ("load.py", note()),
                ("notes.txt", note()),
                ("train.jsonl.sha256", note()),
            ],
            vec![
                ".git (hidden)",
                ".gitattributes (hidden)",
                "_SUCCESS (hidden)",
                "dataset_infos.json (about the data)",
                "load.py (plain text)",
                "notes.txt (plain text)",
                "train.jsonl.sha256 (about the data)",
            ],
        ),
        // Of several formats, the one that has the column.
        (
            vec![
                ("train.jsonl", text(0, 12)),
                ("labels.csv", b"id,label\n1,2\n".to_vec()),
                ("config.json", b"{\"name\": \"x\"}".to_vec()),
            ],
            vec!["config.json (no such column)", "labels.csv (no such column)"],
        ),
        (
            (0..12)
                .map(|number| {
                    let names = [
                        "0.txt", "1.txt", "2.txt", "3.txt", "4.txt", "5.txt.gz", "6.md", "7", "8.log",
                        "9.txt", "a.txt", "b.txt",
                    ];
                    let content = format!("Letter number {number}.\n").into_bytes();
                    (names[number], if number == 5 { gzip(&content) } else { content })
                })
                .chain([
                    ("README", note()),
                    ("scan.png", b"\x89PNG\r\n\x1a\n\0\0\0".to_vec()),
                ])
                .collect(),
            vec!["README (about the data)", "scan.png (not text)"],
        ),
    ];
    for (files, passed_over) in cases {
        let folder = Folder::new();
        for (name, content) in files {
            folder.write(&format!("corpus/{name}"), content);
        }
        let reading = folder
            .read(&corpus("corpus"))
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reading.texts(), letters(0, 12), "{passed_over:?}");
        let expected: Vec<String> = passed_over.iter().map(|name| format!("corpus/{name}")).collect();
        assert_eq!(reading.passed_over, expected);
        // The same by a glob; it does not match what is hidden.
        let reading = folder.read(&corpus("corpus/*")).unwrap();
        assert_eq!(reading.texts(), letters(0, 12), "{passed_over:?}");
    }
}

#[test]
fn a_folder_whose_data_are_in_several_formats_is_asked_about() {
    let folder = Folder::new();
    folder
        .write("corpus/a.jsonl", lines(0, 5))
        .write("corpus/b.csv", "text\nfrom csv\n")
        .write("corpus/c.json", "{\"n\": 1}");
    let error = folder.read(&corpus("corpus")).unwrap_err().to_string();
    assert!(
        error.contains("found several: 1 .csv, 1 .jsonl, 1 .json. Name the files"),
        "{error}"
    );
    let mut asked = corpus("corpus");
    asked.format = CorpusFormat::Csv;
    let reading = folder.read(&asked).unwrap();
    assert_eq!(reading.texts(), ["from csv"]);
    assert_eq!(
        reading.passed_over,
        [
            "corpus/a.jsonl (another format)",
            "corpus/c.json (another format)"
        ]
    );
    // Files that are named one by one are all read.
    let mut asked = corpus("");
    asked.files = OneOrMany::Many(vec!["corpus/b.csv".to_owned(), "corpus/a.jsonl".to_owned()]);
    assert_eq!(folder.read(&asked).unwrap().documents.len(), 6);
    folder
        .write("notes/README.md", "A note.")
        .write("empty/.hidden", "");
    for (name, expected) in [
        ("notes", "found none; passed over: "),
        ("empty", "found none; passed over: "),
    ] {
        let error = folder.read(&corpus(name)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_damaged_file_is_not_passed_over_for_another_format() {
    let folder = Folder::new();
    folder
        .write("corpus/a.parquet", "PAR1 and nothing more")
        .write("corpus/b.jsonl", lines(0, 5));
    let error = folder.read(&corpus("corpus")).unwrap_err().to_string();
    assert!(error.contains("found several"), "{error}");
}

#[test]
fn saved_data_sets_are_read_by_their_list_of_files() {
    let folder = Folder::new();
    saved(&folder, "one");
    let reading = folder
        .read(&corpus("one"))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reading.texts(), letters(0, 12));
    assert_eq!(
        reading.passed_over,
        [
            "one/cache-0123.arrow (not listed)",
            "one/dataset_info.json (about the data)",
            "one/state.json (about the data)"
        ]
    );
    // A dictionary of data sets.
    folder.write("both/dataset_dict.json", r#"{"splits": ["train", "test"]}"#);
    saved(&folder, "both/train");
    assert_eq!(folder.read(&corpus("both")).unwrap().texts(), letters(0, 12));
    saved(&folder, "both/test");
    let error = folder.read(&corpus("both")).unwrap_err().to_string();
    assert!(
        error.contains("expected one saved data set, found several: ") && error.contains("train"),
        "{error}"
    );
    assert_eq!(
        folder.read(&corpus("both/train")).unwrap().texts(),
        letters(0, 12)
    );
    // A shard that is missing.
    std::fs::remove_file(folder.path("one/data-00001-of-00002.arrow")).unwrap();
    let error = folder.read(&corpus("one")).unwrap_err().to_string();
    assert!(
        error.contains("state.json: expected the data files that it lists, found none at"),
        "{error}"
    );
}

#[test]
fn splits_that_are_read_as_one_are_told() {
    let folder = Folder::new();
    let table = |from: usize| {
        batch(vec![(
            "text",
            Arc::new(StringArray::from_iter_values(letters(from, 3))),
        )])
    };
    write_parquet(&folder.path("hub/data/train-00000-of-00002.parquet"), &table(0));
    write_parquet(&folder.path("hub/data/train-00001-of-00002.parquet"), &table(3));
    assert_eq!(folder.read(&corpus("hub")).unwrap().guesses, Vec::<String>::new());
    write_parquet(&folder.path("hub/data/test-00000-of-00001.parquet"), &table(6));
    let reading = folder.read(&corpus("hub")).unwrap();
    assert_eq!(reading.documents.len(), 9);
    assert!(
        reading
            .guesses
            .concat()
            .contains("test (1 files), train (2 files)"),
        "{:?}",
        reading.guesses
    );
    assert_eq!(
        folder.read(&corpus("hub/data/train-*")).unwrap().guesses,
        Vec::<String>::new()
    );
}

#[test]
fn names_with_signs_of_globs_are_taken_literally() {
    for name in [
        "train (1).jsonl",
        "a b.jsonl",
        "[x].jsonl",
        "a*.jsonl",
        "what?.jsonl",
        "{a}.jsonl",
        "50%.jsonl",
        "ü=#$.jsonl",
    ] {
        let folder = Folder::new();
        folder.write(name, lines(0, 3)).write("other.jsonl", lines(5, 2));
        assert_eq!(
            folder.read(&corpus(name)).unwrap().texts(),
            letters(0, 3),
            "{name}"
        );
        folder.write(&format!("dir {name}/x.jsonl"), lines(0, 3));
        assert_eq!(
            folder.read(&corpus(&format!("dir {name}"))).unwrap().texts(),
            letters(0, 3)
        );
        // In a folder of such a name a glob is still a glob.
        let mut absolute = corpus("");
        absolute.files = OneOrMany::One("*.jsonl".to_owned());
        let found = corpus_files::find_files(&absolute, &folder.path(&format!("dir {name}"))).unwrap();
        assert_eq!(found.files.len(), 1, "{name}");
    }
    let folder = Folder::new();
    folder
        .write("train (1).jsonl", lines(0, 3))
        .write("train (2).jsonl", lines(3, 3));
    let mut several = corpus("");
    several.files = OneOrMany::Many(vec!["train (2).jsonl".to_owned(), "train*.jsonl".to_owned()]);
    assert_eq!(
        folder.read(&several).unwrap().texts(),
        [letters(3, 3), letters(0, 3)].concat()
    );
    let error = folder.read(&corpus("a[.jsonl")).unwrap_err();
    assert_eq!(error.exit_status(), 2, "{error}");
}
