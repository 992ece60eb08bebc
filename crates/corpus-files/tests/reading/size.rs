//! The size of a file is guessed from its beginning.

use std::sync::Arc;

use arrow::array::StringArray;
use corpus_files::{Columns, FileSize};

use crate::support::{Folder, arrow_stream, batch, corpus, gzip, letters, lines, write_parquet, zstd};

fn estimate(folder: &Folder, name: &str) -> FileSize {
    let asked = corpus(name);
    let columns = Columns::of(&asked).unwrap();
    let found = folder.find(&asked).unwrap();
    FileSize::estimate(&found.files[0], &columns).unwrap()
}

#[test]
fn small_files_are_counted_and_large_ones_guessed_from_their_beginning() {
    let folder = Folder::new();
    let small = letters(10, 50);
    let table = batch(vec![("text", Arc::new(StringArray::from_iter_values(&small)))]);
    folder
        .write("a.jsonl", lines(10, 50))
        .write(
            "a.json.gz",
            gzip(format!("[{}]", lines(10, 50).trim_end().replace('\n', ",")).as_bytes()),
        )
        .write("a.csv", format!("text\n{}\n", small.join("\n")))
        .write("a.txt.zst", zstd(small.join("\n\n").as_bytes()))
        .write("a.arrow", arrow_stream(std::slice::from_ref(&table)));
    let bytes = small.iter().map(|text| text.len() as f64).sum::<f64>();
    for name in ["a.jsonl", "a.json.gz", "a.csv", "a.txt.zst", "a.arrow"] {
        let size = estimate(&folder, name);
        assert_eq!(
            (size.documents, size.text_bytes, size.sampled.len()),
            (50.0, bytes, 50),
            "{name}"
        );
    }
    write_parquet(&folder.path("a.parquet"), &table);
    let size = estimate(&folder, "a.parquet");
    assert_eq!((size.documents, size.sampled.len()), (50.0, 0));
    // Five MiB, of which one is read.
    let large: String = (0..40_000)
        .map(|number| format!("{{\"text\": \"{number:0100}\"}}\n"))
        .collect();
    folder.write("large.jsonl", &large).write(
        "large.csv",
        format!("text\n{}", format!("{:0125}\n", 1).repeat(40_000)),
    );
    folder.write("huge.txt", format!("{}\n\n", "x".repeat(3_000_000)).repeat(4));
    let size = estimate(&folder, "huge.txt");
    assert!((2.0..8.0).contains(&size.documents), "{}", size.documents);
    for name in ["large.jsonl", "large.csv"] {
        let size = estimate(&folder, name);
        assert!(
            (36_000.0..44_000.0).contains(&size.documents),
            "{name}: {}",
            size.documents
        );
        assert!(size.sampled.len() < 20_000, "{name}");
    }
}
