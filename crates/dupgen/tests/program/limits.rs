//! Files that are made to take all memory or time end the program with their name, and leave nothing behind.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, LargeStringArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::support::Folder;

const CHAT: &str =
    r#"{"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]}"#;

#[test]
fn templates_that_grow_or_loop_end_the_program() {
    let doubles = "{% set all = namespace(text='x' * 1000000) %}{% for i in range(40) %}{% set all.text = all.text ~ all.text %}\
                   {% endfor %}{{ all.text }}";
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    for (template, limit) in [
        (doubles, "more than 1024 MiB of memory"),
        (loops, "20000000 steps"),
    ] {
        let folder = Folder::new();
        folder.write("a.jsonl", format!("{CHAT}\n").repeat(9));
        folder.write("strange.jinja", template);
        folder.pipeline(
            "corpus = { files = \"a.jsonl\", chat_template = \"strange.jinja\", bad_documents = \"skip\", max_left_out = 1 }",
        );
        folder.fail(&[], 3, &["strange.jinja", limit]);
    }
}

/// Runs on one file whose documents may have a megabyte.
fn refused(folder: &Folder, name: &str, pieces: &[&str]) {
    folder.pipeline(&format!("corpus = {{ files = \"{name}\", max_document_mb = 1 }}"));
    folder.fail(&[], 3, &[&[name], pieces].concat());
}

#[test]
fn tables_that_unfold_end_the_program() {
    let folder = Folder::new();
    // Two thousand rows that share one string of two megabytes: four gigabytes once each row has its own.
    let strings = LargeStringArray::from(vec!["abcdefgh".repeat(1 << 18)]);
    let keys = Int32Array::from(vec![0; 2000]);
    let shared: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(strings)));
    let batch = RecordBatch::try_from_iter([("text", shared)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_page_size_limit(1 << 30)
        .build();
    let file = File::create(folder.path("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(folder.path("a.parquet").metadata().unwrap().len() < 3_000_000);
    refused(
        &folder,
        "a.parquet",
        &["reading its rows takes more than", "MiB of memory"],
    );
}

#[test]
fn lengths_that_are_only_claimed_are_not_believed() {
    let folder = Folder::new();
    let letter = "A letter that says nearly the same as all others. ".repeat(1000);
    let texts: Vec<String> = (10..30).map(|number| format!("{number}. {letter}")).collect();
    let bytes_of_texts: usize = texts.iter().map(String::len).sum();
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))
        .unwrap();
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    folder.write("a.feather", &bytes);
    folder.pipeline("corpus = { files = \"a.feather\", held_out = 0, validation = 0 }");
    folder.succeed(&[]);
    std::fs::remove_dir_all(folder.path("corpus")).unwrap();
    // Before the compressed bytes of the texts stands how long they were.
    let length = (bytes_of_texts as u64).to_le_bytes();
    let place = bytes.windows(8).position(|window| window == length).unwrap();
    for claimed in [1_u64 << 40, 1 << 62] {
        bytes[place..place + 8].copy_from_slice(&claimed.to_le_bytes());
        folder.write("a.feather", &bytes);
        refused(&folder, "a.feather", &[]);
    }
}

#[test]
fn archives_that_unfold_into_one_line_end_the_program() {
    let folder = Folder::new();
    let mut line = GzEncoder::new(
        File::create(folder.path("a.txt.gz")).unwrap(),
        Compression::fast(),
    );
    let part = vec![b'a'; 1 << 20];
    for _ in 0..64 {
        std::io::Write::write_all(&mut line, &part).unwrap();
    }
    line.finish().unwrap();
    refused(&folder, "a.txt.gz", &["line 1", "corpus.max_document_mb"]);
}
