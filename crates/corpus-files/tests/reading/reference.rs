//! Files that Hugging Face's datasets, pandas and pyarrow wrote (`scripts/fixtures/corpus_files.py`) give the documents that went in.

use std::path::Path;

use contract::Error;
use contract::pipeline::Corpus;
use corpus_files::{Columns, RawDocument, documents, find_files};

use crate::support::corpus;

fn read(corpus: &Corpus) -> Result<Vec<RawDocument>, Error> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let columns = Columns::of(corpus)?;
    let mut read = Vec::new();
    for file in find_files(corpus, &base)?.files {
        for item in documents(&file, &columns)? {
            read.push(item.map_err(|fault| fault.into_error(&file.path))?);
        }
    }
    Ok(read)
}

fn texts() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/texts.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_other_programs_write_is_read_as_it_went_in() {
    for (name, column) in [
        ("saved", "text"),
        ("saved/*.arrow", "text"),
        ("dictionary/train", "text"),
        ("python.jsonl", "text"),
        ("python.json", "text"),
        ("pandas.json", "text"),
        ("pandas.jsonl.gz", "text"),
        ("members.jsonl.gz", "text"),
        ("pandas.csv", "text"),
        ("semicolons.csv", "text"),
        ("excel.tsv", "text"),
        ("pyarrow.parquet", "text"),
        ("pyarrow.parquet", "bytes"),
        ("lz4.feather", "text"),
        ("zstd.feather", "text"),
    ] {
        let mut asked = corpus(name);
        asked.text = column.to_owned();
        asked.identity = Some("id".to_owned());
        let documents = read(&asked).unwrap_or_else(|error| panic!("{error}"));
        let found: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        assert_eq!(found, texts(), "{name}");
        let identities = documents
            .iter()
            .map(|document| document.identity.clone().unwrap());
        let expected: Vec<String> = (0..texts().len())
            .map(|number| match name {
                "pyarrow.parquet" | "lz4.feather" | "zstd.feather" => {
                    format!("00000000-0000-0000-0000-{number:012}")
                }
                _ => number.to_string(),
            })
            .collect();
        assert_eq!(identities.collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn of_a_dictionary_of_data_sets_one_is_asked_for_and_messages_are_named() {
    let error = read(&corpus("dictionary")).unwrap_err().to_string();
    assert!(
        error.contains("expected one saved data set, found several: test, train")
            && error.contains("dictionary/train)"),
        "{error}"
    );
    for name in ["pyarrow.parquet", "lz4.feather"] {
        let mut asked = corpus(name);
        asked.text = "messages".to_owned();
        let error = read(&asked).unwrap_err().to_string();
        assert!(
            error.contains("column messages: expected string, found a list of messages"),
            "{error}"
        );
    }
}
