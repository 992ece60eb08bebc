//! Any documents, written in any format, come back.

use std::sync::Arc;

use arrow::array::{Array, StringArray};
use contract::pipeline::Corpus;
use proptest::prelude::*;

use crate::support::{Folder, arrow_file, arrow_stream, batch, corpus, gzip, utf16, write_parquet, zstd};

/// Texts with some visible character, and many signs of the formats.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = "[a\"',;|\\\\\\t\\r\\n{}\\[\\]é😀\u{feff}\u{0}\u{2028}\u{85} ]{0,12}";
    proptest::collection::vec(text.prop_map(|text: String| format!("{text}x")), 1..8)
}

fn read(folder: &Folder, corpus: &Corpus) -> Vec<String> {
    let reading = folder.read(corpus).unwrap_or_else(|error| panic!("{error}"));
    reading
        .documents
        .into_iter()
        .map(|document| document.text)
        .collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_documents_come_back_from_every_format(texts in texts(), compression in 0..3, array in any::<bool>()) {
        let compressed = |content: Vec<u8>| match compression {
            0 => content,
            1 => gzip(&content),
            _ => zstd(&content),
        };
        let ending = ["", ".gz", ".zst"][compression as usize];
        let objects: Vec<String> = texts.iter().map(|text| serde_json::json!({"text": text, "n": [1, "]"]}).to_string()).collect();
        let json = if array { format!("[{}]", objects.join(",")) } else { objects.join("\n") };
        let table = batch(vec![("text", Arc::new(StringArray::from(texts.clone())))]);
        let folder = Folder::new();
        write_parquet(&folder.path("plain.parquet"), &table);
        let tables: Vec<_> = (0..texts.len()).map(|row| table.slice(row, 1)).collect();
        assert_eq!(table.column(0).len(), texts.len());
        let parquet = std::fs::read(folder.path("plain.parquet")).unwrap();
        for (name, content) in [
            ("a.jsonl", json.into_bytes()),
            ("a.parquet", parquet),
            ("a.arrow", arrow_stream(&tables)),
            ("a.feather", arrow_file(&tables, Some(arrow_ipc::CompressionType::ZSTD))),
        ] {
            let name = format!("{name}{ending}");
            folder.write(&name, compressed(content));
            prop_assert_eq!(&read(&folder, &corpus(&name)), &texts, "{}", name);
        }
        for (number, delimiter) in [',', ';', '\t', '|'].into_iter().enumerate() {
            for line_end in ["\n", "\r\n", "\r"] {
                let rows: String = texts.iter().map(|text| format!("1{delimiter}{}{line_end}", quoted(text))).collect();
                let content = format!("n{delimiter}text{line_end}{rows}");
                let name = format!("{number}.csv{ending}");
                folder.write(&name, compressed(content.clone().into_bytes()));
                prop_assert_eq!(&read(&folder, &corpus(&name)), &texts, "{}", content);
                folder.write(&name, compressed(utf16(&content, array)));
                prop_assert_eq!(&read(&folder, &corpus(&name)), &texts, "{}", content);
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:0-9.eENaInfinity\\\\u \n]{0,40}") {
        let folder = Folder::new();
        for name in ["a.jsonl", "a.csv", "a.txt", "a.parquet", "a.arrow", "a.gz", "a.zst"] {
            for (prefix, content) in [(&b""[..], bytes.as_slice()), (b"", text.as_bytes()), (b"text\n", &bytes), (b"PAR1", &bytes),
                (b"ARROW1\0\0", &bytes), (b"\xff\xff\xff\xff\x10\0\0\0", &bytes), (b"\x1f\x8b", &bytes), (b"\xff\xfe", &bytes)] {
                folder.write(name, [prefix, content].concat());
                // Whatever it is, it is read or refused.
                let _ = folder.read(&corpus(name));
            }
        }
    }
}
