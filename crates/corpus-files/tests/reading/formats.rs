//! Every layout, compression and encoding gives the same documents.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int64Array, LargeStringArray, StringArray, StringViewArray,
};
use arrow::datatypes::Int32Type;
use contract::pipeline::{Corpus, CorpusFormat, TextUnit};

use crate::support::{
    Folder, Reading, arrow_file, arrow_stream, batch, corpus, gzip, utf16, write_parquet, zstd,
};

const TEXTS: [&str; 4] = [
    "She said \"no\", twice; then\nleft.",
    "Zoë's café — naïve 😀",
    "back\\slash {and} [brackets]",
    "The last one.",
];

fn json_objects() -> Vec<String> {
    let object = |(number, text): (usize, &&str)| {
        format!(
            "{{\"id\": {number}, \"text\": {}, \"other\": [1, {{\"text\": null}}]}}",
            serde_json::to_string(text).unwrap()
        )
    };
    TEXTS.iter().enumerate().map(object).collect()
}

fn csv(delimiter: &str, line_end: &str) -> String {
    let rows = TEXTS.iter().enumerate();
    let rows =
        rows.map(|(number, text)| format!("{number}{delimiter}\"{}\"{line_end}", text.replace('"', "\"\"")));
    format!("id{delimiter}text{line_end}{}", rows.collect::<String>())
}

fn table() -> arrow::array::RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..4))),
        ("text", Arc::new(StringArray::from(TEXTS.to_vec()))),
    ])
}

fn check(name: &str, content: &[u8], settings: impl Fn(&mut Corpus)) -> Reading {
    let folder = Folder::new();
    folder.write(name, content);
    let mut corpus = corpus(name);
    settings(&mut corpus);
    let reading = folder.read(&corpus).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reading.texts(), TEXTS, "{name}");
    reading
}

#[test]
fn json_is_read_in_every_layout_whatever_the_ending() {
    let objects = json_objects();
    let pretty: Vec<String> = objects
        .iter()
        .map(|object| {
            let value: serde_json::Value = serde_json::from_str(object).unwrap();
            serde_json::to_string_pretty(&value).unwrap()
        })
        .collect();
    let layouts = [
        objects.join("\n"),
        objects.join("\r\n\r\n") + "\r\n",
        objects.join(" "),
        objects.concat(),
        format!("[{}]", objects.join(",")),
        format!("[\n{}\n]\n", objects.join(",\n")),
        format!("  [\n  {}\n, {}]\n", objects[..3].join("\n, "), objects[3]),
        format!("[{}]\n[]\n[{}]", objects[..2].join(","), objects[2..].join(",")),
        pretty.join("\n"),
        pretty.concat(),
        format!("[{}]", pretty.join(",\n")),
        format!("{}\n{}\n{}", objects[0], pretty[1..3].join("\n"), objects[3]),
        format!("\u{feff}{}", objects.join("\n")),
    ];
    for layout in layouts {
        for name in ["a.json", "a.jsonl", "a.ndjson"] {
            let reading = check(name, layout.as_bytes(), |_| {});
            assert_eq!(reading.guesses, Vec::<String>::new(), "{layout}");
        }
    }
}

#[test]
fn every_format_is_read_in_every_compression() {
    let paragraphs = TEXTS.join("\n\n") + "\n";
    let parquet = Folder::new();
    write_parquet(&parquet.path("a.parquet"), &table());
    let formats: Vec<(&str, Vec<u8>)> = vec![
        ("a.jsonl", json_objects().join("\n").into_bytes()),
        ("a.json", format!("[{}]", json_objects().join(",\n")).into_bytes()),
        ("a.csv", csv(",", "\n").into_bytes()),
        ("a.tsv", csv("\t", "\r\n").into_bytes()),
        ("a.txt", paragraphs.into_bytes()),
        ("a.parquet", std::fs::read(parquet.path("a.parquet")).unwrap()),
        (
            "a.arrow",
            arrow_stream(&[table().slice(0, 1), table().slice(1, 3)]),
        ),
        (
            "b.arrow",
            arrow_file(&[table().slice(0, 2), table().slice(2, 2)], None),
        ),
        (
            "c.feather",
            arrow_file(&[table()], Some(arrow_ipc::CompressionType::LZ4_FRAME)),
        ),
        (
            "d.ipc",
            arrow_file(&[table()], Some(arrow_ipc::CompressionType::ZSTD)),
        ),
    ];
    for (name, content) in formats {
        let middle = content.len() / 2;
        let members = [gzip(&content[..middle]), gzip(&content[middle..])].concat();
        let frames = [zstd(&content[..middle]), zstd(b""), zstd(&content[middle..])].concat();
        for (ending, content) in [
            ("", content.clone()),
            (".gz", gzip(&content)),
            (".gz", members.clone()),
            (".bgz", members),
            (".zst", zstd(&content)),
            (".ZST", frames),
        ] {
            let reading = check(&format!("{name}{ending}"), &content, |_| {});
            assert_eq!(reading.guesses, Vec::<String>::new(), "{name}{ending}");
        }
        // The content says how it is compressed; a name that says otherwise is told.
        for (ending, content, said) in [
            ("", gzip(&content), "compression: decompressed with gzip"),
            (".gz", content.clone(), "compression: read as it is"),
            (".gz", zstd(&content), ""),
        ] {
            let reading = check(&format!("{name}{ending}"), &content, |_| {});
            assert!(
                reading.guesses.concat().starts_with(said),
                "{name}{ending}: {:?}",
                reading.guesses
            );
        }
    }
}

/// What a document of a single file of plain text is shows in the file: none is lost in another.
#[test]
fn a_single_plain_file_is_read_by_what_divides_it() {
    const LINE: &str = "documents: a line each";
    const DIVIDED: &str = "documents: what <|endoftext|> divides";
    let cases: [(&str, &[&str], &str); 8] = [
        ("one\ntwo\nthree\n", &["one", "two", "three"], LINE),
        ("\none\r\ntwo\r\n\r\n", &["one", "two"], LINE),
        ("one\nmore\n\ntwo\n", &["one\nmore", "two"], ""),
        ("one", &["one"], ""),
        ("one\n", &["one"], ""),
        (
            "one<|endoftext|>two\n\nmore<|endoftext|>",
            &["one", "two\n\nmore"],
            DIVIDED,
        ),
        (
            "<|endoftext|>\none\n<|endoftext|>\ntwo\n",
            &["one", "two"],
            DIVIDED,
        ),
        (
            "one<|endoftext|> \n <|endoftext|><|endoftext|>two",
            &["one", "two"],
            DIVIDED,
        ),
    ];
    for (content, texts, guess) in cases {
        let folder = Folder::new();
        folder.write("a.txt", content);
        let reading = folder.read(&corpus("a.txt")).unwrap();
        assert_eq!(reading.texts(), texts, "{content:?}");
        let guessed = reading.guesses.concat();
        assert!(
            guessed.contains(guess) && guessed.is_empty() == guess.is_empty(),
            "{content:?}: {guessed}"
        );
    }
}

#[test]
fn utf16_is_read_and_said() {
    for (name, content) in [
        ("a.jsonl", json_objects().join("\n")),
        ("a.csv", csv(",", "\r\n")),
        ("a.txt", TEXTS.join("\n\n")),
    ] {
        for big_endian in [false, true] {
            let bytes = utf16(&content, big_endian);
            let reading = check(name, &bytes, |_| {});
            assert_eq!(reading.guesses, ["encoding: UTF-16, by its byte order mark"]);
            check(&format!("{name}.gz"), &gzip(&bytes), |_| {});
        }
    }
}

#[test]
fn separators_and_line_ends_are_told_by_the_header_or_the_settings() {
    for (name, content, said) in [
        ("a.csv", csv(",", "\r"), ""),
        ("a.csv", csv(";", "\n"), "delimiter: ';', by the header"),
        ("a.csv", csv("\t", "\r\n"), "delimiter: '\\t', by the header"),
        ("a.tsv", csv("|", "\n"), "delimiter: '|', by the header"),
        ("a.tsv", csv(",", "\n"), "delimiter: ',', by the header"),
        (
            "a.csv",
            format!("sep=^\r\n{}", csv("^", "\r\n")),
            "delimiter: '^', by the header",
        ),
        ("a.csv", format!("\u{feff}{}", csv(",", "\n\n")), ""),
    ] {
        let reading = check(name, content.as_bytes(), |_| {});
        assert_eq!(reading.guesses.concat(), said, "{content}");
    }
    let reading = check("a.csv", csv("^", "\n").as_bytes(), |corpus| {
        corpus.delimiter = Some('^');
    });
    assert!(reading.guesses.is_empty());
    // Carriage returns alone end the lines of plain text where it has no line feeds.
    let folder = Folder::new();
    folder.write("a.txt", "one\rtwo\r\rthree\r");
    let reading = folder.read(&corpus("a.txt")).unwrap();
    assert_eq!(reading.texts(), ["one\ntwo", "three"]);
    assert!(
        reading
            .guesses
            .concat()
            .starts_with("line ends: carriage returns")
    );
}

#[test]
fn files_without_a_known_ending_are_told_by_their_content() {
    let parquet = Folder::new();
    write_parquet(&parquet.path("a"), &table());
    for (content, said) in [
        (
            json_objects().join("\n").into_bytes(),
            "format: JSON, by its content",
        ),
        (
            format!("[{}]", json_objects().join(",")).into_bytes(),
            "format: JSON, by its content",
        ),
        (
            std::fs::read(parquet.path("a")).unwrap(),
            "format: Parquet, by its content",
        ),
        (arrow_stream(&[table()]), "format: Arrow, by its content"),
        (arrow_file(&[table()], None), "format: Arrow, by its content"),
        (
            TEXTS.join("\n\n").into_bytes(),
            "format: plain text, for nothing says otherwise",
        ),
    ] {
        let reading = check("export", &content, |_| {});
        assert_eq!(reading.guesses, [said]);
        check("export.2024", &content, |_| {});
    }
    // Text that begins with a bracket is text.
    let folder = Folder::new();
    folder.write("notes", "{sic} and so on\n\n[1] a reference");
    assert_eq!(
        folder.read(&corpus("notes")).unwrap().texts(),
        ["{sic} and so on", "[1] a reference"]
    );
    // A setting is not doubted.
    folder.write("objects", "{\"text\": \"x\"}\n");
    let mut corpus = corpus("objects");
    corpus.format = CorpusFormat::Text;
    corpus.unit = TextUnit::Line;
    assert_eq!(folder.read(&corpus).unwrap().texts(), ["{\"text\": \"x\"}"]);
}

#[test]
fn what_is_not_used_costs_no_document() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = "9".repeat(10_000);
    for (other, layout) in [
        ("NaN", "lines"),
        ("-Infinity", "lines"),
        ("1e99999", "array"),
        (long.as_str(), "lines"),
        ("\"\\ud83d and no more\"", "array"),
        ("1, \"other\": 2", "lines"),
        (deep.as_str(), "lines"),
        (deep.as_str(), "array"),
        ("{\"text\": \"\\udc00\", \"a\": [NaN]}", "lines"),
        ("[{\"text\": [], \"b\": {}}, \"]}\"]", "array"),
    ] {
        let object = |text: &str| format!("{{\"text\": \"{text}\", \"other\": {other}}}");
        let content = match layout {
            "array" => format!("[{},\n{}]", object("one"), object("two")),
            _ => format!("{}\n{}\n", object("one"), object("two")),
        };
        let folder = Folder::new();
        folder.write("a.json", content);
        let reading = folder
            .read(&corpus("a.json"))
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reading.texts(), ["one", "two"]);
        assert!(reading.documents.iter().all(|document| !document.replaced));
    }
    // Nor do bytes of another encoding in another column.
    let folder = Folder::new();
    folder
        .write("a.jsonl", b"{\"city\": \"K\xf6ln\", \"text\": \"one\"}\n")
        .write("a.csv", b"city,text\nK\xf6ln,one\n");
    for name in ["a.jsonl", "a.csv"] {
        assert_eq!(folder.read(&corpus(name)).unwrap().texts(), ["one"]);
    }
}

#[test]
fn half_surrogate_pairs_in_the_text_are_replaced_and_whole_ones_read() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        r#"{"text": "a \ud83d\ude00 b"}
{"text": "a \ud83d b"}
{"text": "\ude00\ud83d"}
{"te\u0078t": "last", "text": "first", "text": "\u006Cast"}
"#,
    );
    let reading = folder.read(&corpus("a.jsonl")).unwrap();
    assert_eq!(
        reading.texts(),
        ["a 😀 b", "a \u{fffd} b", "\u{fffd}\u{fffd}", "last"]
    );
    let replaced: Vec<bool> = reading
        .documents
        .iter()
        .map(|document| document.replaced)
        .collect();
    assert_eq!(replaced, [false, true, true, false]);
}

#[test]
fn strings_of_every_arrow_type_are_text() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(TEXTS.to_vec())),
        Arc::new(LargeStringArray::from(TEXTS.to_vec())),
        Arc::new(StringViewArray::from(TEXTS.to_vec())),
        Arc::new(TEXTS.into_iter().collect::<DictionaryArray<Int32Type>>()),
        Arc::new(BinaryArray::from_iter_values(TEXTS)),
    ];
    for column in columns {
        let table = batch(vec![("text", column)]);
        let folder = Folder::new();
        write_parquet(&folder.path("a.parquet"), &table);
        assert_eq!(folder.read(&corpus("a.parquet")).unwrap().texts(), TEXTS);
        check("a.arrow", &arrow_stream(std::slice::from_ref(&table)), |_| {});
    }
}
