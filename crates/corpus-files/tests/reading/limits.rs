//! Files that would take more memory or time than there is are errors that say which limit they reach.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use contract::pipeline::{Corpus, TextUnit};

use crate::support::{Folder, arrow_stream, batch, corpus, gzip, lines, write_parquet, zstd};

/// A corpus whose documents may have a megabyte.
fn small(files: &str) -> Corpus {
    Corpus {
        max_document_mb: 1,
        ..corpus(files)
    }
}

/// The error of reading a file of this content, whose documents may have a megabyte.
fn refused(name: &str, content: &[u8], settings: impl Fn(Corpus) -> Corpus) -> String {
    let folder = Folder::new();
    folder.write(name, content);
    let read = folder.read(&settings(small(name)));
    let error = read.map(|reading| reading.documents.len()).unwrap_err();
    assert_eq!(error.exit_status(), 3, "{error}");
    let message = error.to_string();
    assert!(message.contains(name), "{message}");
    assert!(
        message.contains("1 MB (corpus.max_document_mb)") && message.contains("corpus.max_document_mb=4"),
        "{message}"
    );
    message
}

fn same(corpus: Corpus) -> Corpus {
    corpus
}

#[test]
fn documents_without_an_end_are_refused_with_their_place() {
    let long = "a".repeat(1_000_001);
    let object = format!("{{\"text\": \"{long}\"}}\n");
    let open = format!("{{\"id\": 1, \"text\": [{}\n", "1,".repeat(600_000));
    let whole = format!("{{\"text\": \"short\"}}\n{object}");
    let message = refused("a.jsonl", whole.as_bytes(), same);
    assert!(message.contains("line 2"), "{message}");
    refused("a.jsonl", open.as_bytes(), same);
    refused("a.json", format!("[{object}]").as_bytes(), same);
    refused("a.json", "[".repeat(1_000_010).as_bytes(), same);
    for content in [gzip(object.as_bytes()), zstd(object.as_bytes())] {
        refused("a.jsonl.gz", &content, same);
    }

    let message = refused("a.csv", format!("text\nshort\n{long}\n").as_bytes(), same);
    assert!(message.contains("line 3 (row 2)"), "{message}");
    let message = refused(
        "a.csv",
        format!("text\nshort\n\"{}", "a\n".repeat(600_000)).as_bytes(),
        same,
    );
    assert!(
        message.contains("begins in line 3 (row 2)") && message.contains("a quote in it never closes"),
        "{message}"
    );
    // An empty field takes memory too.
    refused(
        "a.csv",
        format!("text\n{}\n", ",".repeat(200_000)).as_bytes(),
        same,
    );
    refused("a.csv", format!("{long}\n").as_bytes(), same);

    for unit in [TextUnit::Auto, TextUnit::Line, TextUnit::File] {
        let message = refused("a.txt", format!("short\n\n{long}").as_bytes(), |corpus| Corpus {
            unit,
            ..corpus
        });
        assert!(message.contains("line 3"), "{message}");
    }
    // A document of many lines.
    for unit in [TextUnit::Paragraph, TextUnit::File] {
        refused("a.txt", "line\n".repeat(200_001).as_bytes(), |corpus| Corpus {
            unit,
            ..corpus
        });
    }
}

#[test]
fn long_values_of_tables_are_refused_as_those_of_other_formats() {
    let long = "a".repeat(1_000_001);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["short", &long]));
    let table = batch(vec![("text", texts)]);
    let message = refused("a.arrow", &arrow_stream(std::slice::from_ref(&table)), same);
    assert!(message.contains("row 2"), "{message}");
    let folder = Folder::new();
    write_parquet(&folder.path("a.parquet"), &table);
    let bytes = std::fs::read(folder.path("a.parquet")).unwrap();
    let message = refused("a.parquet", &bytes, same);
    assert!(message.contains("row 2"), "{message}");
}

#[test]
fn documents_of_just_the_limit_are_read() {
    let long = "a".repeat(1_000_000);
    for (name, content) in [
        ("a.txt", format!("{long}\r\n")),
        ("a.csv", format!("text\n{}\n", &long[..999_992])),
        ("a.jsonl", format!("{{\"text\":\"{}\"}}\n", &long[..999_989])),
    ] {
        let folder = Folder::new();
        folder.write(name, content);
        let reading = folder.read(&small(name)).unwrap();
        assert_eq!(reading.documents.len(), 1, "{name}");
    }
}

#[test]
fn what_is_many_documents_or_none_may_be_longer() {
    let objects = lines(0, 40_000);
    assert!(objects.len() > 1_500_000);
    let array = format!("[{}]", objects.trim_end().replace('\n', ","));
    for (name, content) in [
        ("a.jsonl", objects.clone()),
        ("a.json", array),
        ("b.jsonl", format!("{objects}{}{objects}", "\n".repeat(1_500_000))),
        // An object may be followed by more white space than an object may be long.
        (
            "c.jsonl",
            format!("{{\"text\": \"{}\"}}{}", "a".repeat(600_000), " ".repeat(600_000)),
        ),
    ] {
        let folder = Folder::new();
        folder.write(name, content);
        let documents = folder.read(&small(name)).unwrap().documents.len();
        let expected = match name {
            "b.jsonl" => 80_000,
            "c.jsonl" => 1,
            _ => 40_000,
        };
        assert_eq!(documents, expected, "{name}");
    }
}

#[test]
fn lists_of_more_values_than_are_read_cost_their_document() {
    let many = format!("[{}1]", "1,".repeat(4_000_000));
    let folder = Folder::new();
    let chat = r#"[{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]"#;
    folder.write(
        "a.jsonl",
        format!("{{\"messages\": {chat}}}\n{{\"messages\": {many}}}\n{{\"messages\": {chat}}}\n"),
    );
    let (texts, faults) = folder.read_skipping(&Corpus {
        template: Some("chatml".to_owned()),
        ..corpus("a.jsonl")
    });
    assert_eq!((texts.len(), faults.len()), (2, 1));
    assert!(faults[0].contains("at most 4000000 values"), "{}", faults[0]);
}

#[test]
fn templates_that_do_not_end_stop_the_reading() {
    let folder = Folder::new();
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    folder.write("loops.jinja", loops);
    let chat =
        r#"{"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]}"#;
    folder.write("a.jsonl", format!("{chat}\n{chat}\n"));
    let settings = Corpus {
        chat_template: Some(folder.path("loops.jinja").display().to_string()),
        ..corpus("a.jsonl")
    };
    let columns = corpus_files::Columns::of_models(&settings, &folder.path(""), &[]).unwrap();
    let file = &folder.find(&settings).unwrap().files[0];
    let mut items = corpus_files::documents(file, &columns).unwrap();
    let Some(Err(corpus_files::Fault::File(error))) = items.next() else {
        panic!("a fault of the file")
    };
    assert_eq!(error.exit_status(), 3);
    assert!(error.to_string().contains("loops.jinja"), "{error}");
    assert!(items.next().is_none());
}

#[cfg(unix)]
#[test]
fn links_that_lead_back_are_no_further_documents() {
    let folder = Folder::new();
    folder
        .write("texts/a/one.txt", "First.")
        .write("texts/b/two.txt", "Second.");
    folder.write("elsewhere/three.txt", "Third.");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path(name)).unwrap();
    link("..", "texts/a/up");
    link("../../texts", "texts/b/round");
    link("../a", "texts/b/sideways");
    // What is only linked there is read all the same.
    link("../elsewhere", "texts/elsewhere");
    let reading = folder.read(&corpus("texts")).unwrap();
    let mut texts = reading.texts();
    texts.sort_unstable();
    assert_eq!(texts, ["First.", "Second.", "Third."]);
    let links = reading
        .passed_over
        .iter()
        .filter(|passed| passed.ends_with("(link)"));
    assert_eq!(links.count(), 3, "{:?}", reading.passed_over);
}

#[cfg(unix)]
#[test]
fn pipes_and_sockets_in_a_folder_are_passed_over() {
    let folder = Folder::new();
    folder.write("texts/one.txt", "First.");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("texts/socket")).unwrap();
    let reading = folder.read(&corpus("texts")).unwrap();
    assert_eq!(reading.texts(), ["First."]);
    assert_eq!(reading.passed_over, ["texts/socket (no file)"]);
}

/// A Parquet file, and the range of its footer.
fn parquet_file(folder: &Folder) -> (Vec<u8>, std::ops::Range<usize>) {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..40).map(|number| format!("Letter number {number}.")),
    ));
    write_parquet(&folder.path("a.parquet"), &batch(vec![("text", texts)]));
    let whole = std::fs::read(folder.path("a.parquet")).unwrap();
    let end = whole.len() - 8;
    let length = u32::from_le_bytes(whole[end..end + 4].try_into().unwrap()) as usize;
    (whole, end - length..end)
}

#[test]
fn any_changed_byte_of_a_footer_is_read_or_refused() {
    let folder = Folder::new();
    let (whole, footer) = parquet_file(&folder);
    let mut refused = 0;
    for place in footer {
        for value in [0xff, 0x7f, 0x00] {
            let mut changed = whole.clone();
            changed[place] = value;
            folder.write("a.parquet", &changed);
            if let Err(error) = folder.read(&corpus("a.parquet")) {
                assert_eq!(error.exit_status(), 3, "{place}, {value}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn columns_nested_without_end_are_refused() {
    let folder = Folder::new();
    let (whole, footer) = parquet_file(&folder);
    // The schema's elements: a list of a hundred thousand groups, each of the one behind it (Thrift's compact protocol).
    let groups = 100_000;
    let mut nested = vec![0x15, 2, 0x19, 0xfc, 0xa0, 0x8d, 0x06];
    for _ in 0..groups {
        nested.extend([0x35, 0, 0x18, 1, b'g', 0x15, 2, 0]);
    }
    nested.extend(&whole[footer.start + 3..footer.end]);
    let length = u32::try_from(nested.len()).unwrap().to_le_bytes();
    let file = [&whole[..footer.start], &nested, &length, b"PAR1"].concat();
    folder.write("a.parquet", file);
    let error = folder.read(&corpus("a.parquet")).unwrap_err();
    assert_eq!(error.exit_status(), 3, "{error}");
    assert!(error.to_string().contains("nested at most 64 deep"), "{error}");
}
