//! What was left out, passed over, guessed or changed is a result: `corpus.parquet`.

use std::fs;
use std::io::Write;

use contract::records::{CorpusFact, CorpusFactKind as Kind, DocumentKind, Split};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Folder, WORDS, numbered};

/// The parts of a fact that a test looks at.
fn brief(fact: &CorpusFact) -> (Option<&str>, Option<&str>, Option<Split>, Option<i64>) {
    (
        fact.reason.as_deref(),
        fact.file.as_deref(),
        fact.split,
        fact.documents,
    )
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Every document that was read was left out, is a copy, or is in one of the results.
fn adds_up(folder: &Folder) {
    let sum = |kind| -> i64 {
        folder
            .facts_of(kind)
            .iter()
            .filter_map(|fact| fact.documents)
            .sum()
    };
    let training = folder
        .train()
        .iter()
        .filter(|row| row.kind == DocumentKind::Document && row.copy == 0)
        .count();
    let held_out = folder
        .held_out()
        .iter()
        .filter(|row| row.kind == DocumentKind::Document)
        .count();
    let accounted = sum(Kind::LeftOut) + sum(Kind::Copies) + (training + held_out) as i64;
    assert_eq!(sum(Kind::Read), accounted, "{:?}", folder.facts());
}

#[test]
fn every_document_read_is_accounted_for() {
    let lines = |texts: &[&str]| -> String {
        texts
            .iter()
            .map(|text| serde_json::json!({"id": "same", "text": text}).to_string() + "\n")
            .collect()
    };
    let folder = Folder::new();
    folder
        .write(
            "a.jsonl",
            lines(&["One.", "Two.", "one.", "Two.", "x", "Three.", "Four."]) + "{\"text\": 5}\n",
        )
        .write("b.jsonl", lines(&["Five.", "ONE."]))
        .write("c.jsonl", lines(&["Held.", "two.", "Held.", "y"]) + "nothing\n");
    for layout in ["found", "uniform"] {
        folder.pipeline(&format!(
            "corpus = {{ files = [\"a.jsonl\", \"b.jsonl\"], held_out_files = \"c.jsonl\", held_out = 0.0, identity = \"id\", min_chars = 2, \
             bad_documents = \"skip\", max_left_out = 0.5, documents = 4 }}\n\
             duplication = {{ layout = \"{layout}\", copies = [1] }}"
        ));
        folder.succeed(&[]);
        let read = folder.facts_of(Kind::Read);
        let read: Vec<_> = read.iter().map(brief).collect();
        assert_eq!(
            read,
            [
                (None, Some("a.jsonl"), None, Some(8)),
                (None, Some("b.jsonl"), None, Some(2)),
                (None, Some("c.jsonl"), Some(Split::Heldout), Some(5)),
            ]
        );
        let left_out = folder.facts_of(Kind::LeftOut);
        let of = |reason: &str, split| {
            let found = left_out
                .iter()
                .find(|fact| fact.reason.as_deref() == Some(reason) && fact.split == split);
            found.map(|fact| (fact.documents.unwrap(), fact.detail.clone().unwrap_or_default()))
        };
        let (count, detail) = of("of the wrong type", None).unwrap();
        assert_eq!(count, 1);
        assert!(
            detail.starts_with("a.jsonl: line 8: column text: expected a string"),
            "{detail}"
        );
        assert_eq!(of("malformed", Some(Split::Heldout)).unwrap().0, 1);
        assert_eq!(
            of("too short", None).unwrap(),
            (1, "a.jsonl: row 5".replace("row", "line"))
        );
        assert_eq!(of("too short", Some(Split::Heldout)).unwrap().0, 1);
        assert_eq!(of("over the number asked for", None).unwrap().0, 1);
        assert!(left_out.iter().any(
            |fact| fact.reason.as_deref().unwrap().starts_with("held-out texts")
                && fact.split == Some(Split::Heldout)
        ));
        let copies = folder.facts_of(Kind::Copies);
        let copies: Vec<_> = copies
            .iter()
            .map(|fact| (fact.reason.as_deref().unwrap(), fact.documents.unwrap()))
            .collect();
        if layout == "found" {
            assert_eq!(
                copies,
                [("exact", 1), ("up to white space, case and normal form", 2)]
            );
        } else {
            assert!(copies.is_empty());
        }
        assert_eq!(folder.facts_of(Kind::Renamed)[0].documents, Some(5));
        adds_up(&folder);
    }
    // With a fixed budget too.
    folder.write("many.jsonl", numbered(50));
    folder.pipeline(
        "corpus = { files = \"many.jsonl\", held_out = 0.2 }\nduplication = { copies = [1], budget = \"fixed\", instances = 10 }",
    );
    folder.succeed(&[]);
    let over: Vec<_> = folder.facts_of(Kind::LeftOut);
    assert_eq!(over[0].split, Some(Split::Train));
    adds_up(&folder);
}

#[test]
fn what_was_passed_over_guessed_and_replaced_is_told() {
    let folder = Folder::new();
    folder
        .write("snapshot/README.md", "# Notes")
        .write("snapshot/LICENSE", "You may copy these notes.")
        .write("snapshot/data/a.jsonl", numbered(6))
        .write(
            "snapshot/data/b.jsonl.gz",
            gzip("{\"text\": \"six \\ud83d\"}\n{\"text\": \"seven\"}\n"),
        )
        .write("more", "{\"text\": \"eight\"}\n")
        .write("held.csv", "id;text\n1;held\n");
    folder.pipeline(
        "corpus = { files = [\"snapshot\", \"more\"], held_out_files = \"held.csv\", held_out = 0.0 }\nduplication.copies = [1]",
    );
    let said = folder.succeed(&[]);
    let passed: Vec<_> = folder.facts_of(Kind::PassedOver);
    let passed: Vec<_> = passed.iter().map(brief).collect();
    assert_eq!(
        passed,
        [
            (Some("about the data"), Some("LICENSE"), None, None),
            (Some("about the data"), Some("README.md"), None, None),
        ]
    );
    let guessed: Vec<_> = folder.facts_of(Kind::Guessed);
    let guessed: Vec<_> = guessed.iter().map(brief).collect();
    assert_eq!(
        guessed,
        [
            (Some("format"), Some("more"), None, None),
            (Some("delimiter"), Some("held.csv"), Some(Split::Heldout), None),
        ]
    );
    let replaced = folder.facts_of(Kind::Replaced);
    assert_eq!(brief(&replaced[0]).1, Some("b.jsonl.gz"));
    assert_eq!((replaced.len(), replaced[0].documents), (1, Some(1)));
    assert_eq!(folder.sides().0.len(), 9);
    for piece in [
        "README.md: its name says",
        "more: format: JSON, by its content",
        "held.csv: delimiter: ';'",
        "U+FFFD",
    ] {
        assert!(said.contains(piece), "expected `{piece}` in: {said}");
    }
    adds_up(&folder);
}

#[test]
fn a_prompt_without_its_input_is_told_and_a_template_has_it() {
    let folder = Folder::new();
    folder.write(
        "a.jsonl",
        "{\"instruction\": \"Add.\", \"input\": \"1 2\", \"output\": \"3\"}\n{\"instruction\": \"Say hi.\", \"input\": \"\", \"output\": \"Hi.\"}\n",
    );
    let settings = "prompt = \"instruction\", response = \"output\", held_out = 0.0";
    folder.pipeline(&format!(
        "corpus = {{ files = \"a.jsonl\", {settings} }}\nduplication.copies = [1]"
    ));
    let said = folder.succeed(&[]);
    assert!(
        said.contains("in 1 documents, the column input is no part of the text"),
        "{said}"
    );
    let guessed = folder.facts_of(Kind::Guessed);
    assert_eq!(
        brief(&guessed[0]),
        (Some("column"), Some("a.jsonl"), None, Some(1))
    );
    folder.pipeline(&format!(
        "corpus = {{ files = \"a.jsonl\", {settings}, template = \"alpaca\" }}\nduplication.copies = [1]"
    ));
    folder.succeed(&[]);
    assert!(folder.facts_of(Kind::Guessed).is_empty());
    for row in folder.train() {
        let prompt: String = row.text.chars().take(row.prompt_chars as usize).collect();
        assert!(prompt.ends_with("### Response:\n"), "{prompt}");
        assert_eq!(prompt.contains("### Input:\n1 2\n"), row.text.ends_with("\n3"));
    }
}

#[test]
fn documents_that_the_context_cuts_are_told_for_each_model_and_side() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", "{\"text\": \"one two three\"}\n{\"text\": \"one\"}\n")
        .write("b.jsonl", "{\"text\": \"four five six\"}\n")
        .write("words/tokenizer.json", WORDS);
    folder.pipeline(
        "corpus = { files = \"a.jsonl\", held_out_files = \"b.jsonl\", held_out = 0.0 }\nduplication.copies = [1]\n\
         model = [{ name = \"words\", path = \"words\" }, { name = \"new\" }]",
    );
    let cut = |context: &str| {
        let said = folder.succeed(&["--set", context]);
        let facts = folder.facts_of(Kind::Cut);
        let facts: Vec<_> = facts
            .into_iter()
            .map(|fact| (fact.reason.unwrap(), fact.split, fact.documents))
            .collect();
        (said, facts)
    };
    let without = ("new".to_owned(), None, None);
    let (_, facts) = cut("tuning.context=3");
    assert_eq!(
        facts,
        [
            ("words".to_owned(), Some(Split::Train), Some(1)),
            ("words".to_owned(), Some(Split::Heldout), Some(1)),
            without.clone(),
        ]
    );
    // What the context changes is written anew, and the training set is left alone.
    let written = |name: &str| fs::read(folder.path(&format!("corpus/{name}"))).unwrap();
    let before = written("train.parquet");
    let (said, facts) = cut("tuning.context=4");
    assert!(!said.contains("up to date"));
    assert_eq!(facts, [without]);
    assert_eq!(written("train.parquet"), before);
    assert!(cut("tuning.context=4").0.contains("up to date"));
    // As it is where it is missing.
    fs::remove_file(folder.path("corpus/corpus.parquet")).unwrap();
    assert!(!cut("tuning.context=4").0.contains("up to date"));
    assert_eq!(written("train.parquet"), before);
    assert_eq!(
        folder.results(),
        ["corpus.parquet", "heldout.parquet", "train.parquet"]
    );
}

#[test]
fn a_run_stops_where_more_documents_cannot_be_read_than_a_setting_allows() {
    let folder = Folder::new();
    let bad = |bad: usize| numbered(200 - bad) + &"{\"text\": \"\"}\n".repeat(bad);
    let pipeline = |more: &str| {
        folder.pipeline(&format!(
            "corpus = {{ files = \"a.jsonl\", held_out_files = \"b.jsonl\", held_out = 0.0, bad_documents = \"skip\"{more} }}\n\
             duplication.copies = [1]"
        ));
    };
    folder
        .write("a.jsonl", bad(2))
        .write("b.jsonl", "{\"text\": \"held\"}\n");
    pipeline("");
    folder.succeed(&[]);
    fs::remove_dir_all(folder.path("corpus")).unwrap();
    folder.write("a.jsonl", bad(3));
    folder.fail(
        &[],
        3,
        &[
            "a.jsonl: expected at most a share of 0.01 of the documents of corpus.files",
            "found 3 of 200 (1.5%): 3 empty (the first: a.jsonl: line 198: column text: expected text, found none)",
            "SET=\"corpus.max_left_out=0.015\"",
        ],
    );
    folder.succeed(&["--set", "corpus.max_left_out=0.015"]);
    fs::remove_dir_all(folder.path("corpus")).unwrap();
    // Held-out text is counted apart.
    folder
        .write("a.jsonl", bad(0))
        .write("b.jsonl", "{\"text\": \"held\"}\n{}\n");
    folder.fail(
        &[],
        3,
        &[
            "b.jsonl: expected at most",
            "corpus.held_out_files",
            "found 1 of 2 (50.0%)",
        ],
    );
    // Documents that are left out for other reasons do not count.
    folder
        .write("b.jsonl", "{\"text\": \"held\"}\n")
        .write("a.jsonl", numbered(50) + &numbered(50));
    pipeline(", min_chars = 17");
    folder.succeed(&[]);
    adds_up(&folder);
}

#[test]
fn an_older_account_of_the_corpus_is_never_beside_newer_results() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(60))
        .pipeline("corpus = { files = \"a.jsonl\" }");
    folder.succeed(&[]);
    let account = fs::read(folder.path("corpus/corpus.parquet")).unwrap();
    folder.write("a.jsonl", numbered(61));
    folder.succeed(&[]);
    assert_eq!(folder.facts_of(Kind::Read)[0].documents, Some(61));
    // One of another run that lies there is replaced.
    fs::write(folder.path("corpus/corpus.parquet"), account).unwrap();
    folder.succeed(&[]);
    assert_eq!(folder.facts_of(Kind::Read)[0].documents, Some(61));
}
