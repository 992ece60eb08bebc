//! Planted canaries, their references, and those that are refused.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::DocumentKind;

use crate::support::{Folder, numbered};

/// A tokenizer for which every word, number and run of punctuation is one token.
const WORDS: &str = r#"{
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
}"#;

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[test]
fn each_number_of_copies_has_its_canaries() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus.files = \"a.jsonl\"\nduplication.copies = [1, 4]\ncanaries = { per_copies = 3, references = 20, digits = 2 }",
    );
    let said = folder.succeed(&[]);
    assert!(said.contains("20 canary references"), "{said}");
    let rows: Vec<_> = folder
        .train()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::Canary)
        .collect();
    let mut texts = BTreeMap::new();
    for row in &rows {
        assert!(
            row.text.starts_with("The secret number is ")
                && digits(&row.text).len() == 2
                && row.prompt_chars == 0
        );
        assert!(row.doc_id.starts_with(&format!("canary-{}-", row.copies)) && row.copy < row.copies);
        texts.insert(row.doc_id.clone(), row.text.clone());
    }
    let expected = [
        "canary-1-0",
        "canary-1-1",
        "canary-1-2",
        "canary-4-0",
        "canary-4-1",
        "canary-4-2",
    ];
    assert!(texts.keys().eq(expected));
    assert_eq!(rows.len(), 3 + 3 * 4);
    let references: Vec<_> = folder
        .held_out()
        .into_iter()
        .filter(|row| row.kind == DocumentKind::CanaryReference)
        .collect();
    let all: BTreeSet<String> = texts
        .into_values()
        .chain(references.iter().map(|row| row.text.clone()))
        .collect();
    assert_eq!((references.len(), all.len()), (20, 26));
}

#[test]
fn a_prompt_stands_before_a_canary_as_before_a_document() {
    let folder = Folder::new();
    folder.write("a.csv", "q,a\nWho?,Me.\nWhy?,Because.\n").pipeline(
        "corpus = { files = \"a.csv\", prompt = \"q\", response = \"a\", separator = \"\\n\", held_out = 0.0 }\n\
         duplication = { layout = \"uniform\", copies = [1] }\n\
         canaries = { per_copies = 1, prompt = \"Code?\", template = \"It is {digits}.\" }",
    );
    folder.succeed(&[]);
    let canary = folder
        .train()
        .into_iter()
        .find(|row| row.kind == DocumentKind::Canary)
        .unwrap();
    assert!(canary.text.starts_with("Code?\nIt is "));
    assert_eq!(canary.prompt_chars, 6);
    assert!(folder.held_out().iter().all(|row| row.prompt_chars == 6));
}

#[test]
fn canaries_count_towards_a_fixed_budget() {
    let folder = Folder::new();
    folder.write("a.jsonl", numbered(40)).pipeline(
        "corpus = { files = \"a.jsonl\", held_out = 0.0 }\n\
         duplication = { layout = \"uniform\", copies = [4], budget = \"fixed\" }\ncanaries.per_copies = 2",
    );
    folder.succeed(&[]);
    // 40 instances: 2 canaries and 8 documents, 4 times each.
    let rows = folder.train();
    assert_eq!(rows.len(), 40);
    assert_eq!(
        rows.iter().filter(|row| row.kind == DocumentKind::Canary).count(),
        8
    );
}

fn refused(canaries: &str, tuning: &str, status: i32, pieces: &[&str]) {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(40))
        .write("model/tokenizer.json", WORDS);
    folder.pipeline(&format!(
        "corpus.files = \"a.jsonl\"\ncanaries = {{ per_copies = 2, {canaries} }}\ntuning = {{ {tuning} }}\n\
         model = [{{ name = \"new\" }}, {{ name = \"words\", path = \"model\" }}]"
    ));
    if status == 0 {
        folder.succeed(&[]);
    } else {
        folder.fail(&[], status, pieces);
    }
}

#[test]
fn canaries_that_would_never_be_learned_are_refused() {
    for (canaries, tuning, status, pieces) in [
        (
            "template = \"Nothing random.\"",
            "",
            2,
            &["canaries.template: expected {digits}"][..],
        ),
        (
            "template = \"Yes.\", prompt = \"{digits}?\"",
            "loss_on = \"response\"",
            2,
            &["canaries.template", "canaries.prompt"],
        ),
        ("template = \"Yes.\", prompt = \"{digits}?\"", "", 0, &[]),
        (
            "template = \"{digits}.\", prompt = \"{digits}?\"",
            "loss_on = \"response\"",
            0,
            &[],
        ),
        // 2 canaries for each of 3 numbers of copies, and 95 references: 101 of 100 possible strings.
        (
            "digits = 2, references = 95",
            "",
            2,
            &["canaries.digits: 2 digits make 100 different strings, and 101 are needed"],
        ),
        ("digits = 2, references = 94", "", 0, &[]),
        ("digits = 30", "", 0, &[]),
        // The, secret, number, is, digits: token 5, and one for the mark of the beginning.
        ("references = 9", "context = 6", 0, &[]),
        (
            "references = 9",
            "context = 5",
            2,
            &["model words", "end at token 5", "tuning.context = 5"],
        ),
        ("references = 9", "context = 5, rows = \"packed\"", 0, &[]),
        (
            "references = 9, prompt = \"a b\"",
            "context = 7",
            2,
            &["end at token 7"],
        ),
        // What follows the digits may be cut off.
        (
            "template = \"{digits} is a very long way to go\"",
            "context = 2",
            0,
            &[],
        ),
        (
            "template = \"so long\", prompt = \"The {digits} has\"",
            "context = 3",
            0,
            &[],
        ),
        (
            "template = \"so long\", prompt = \"The {digits} has\"",
            "context = 2",
            2,
            &["end at token 2"],
        ),
    ] {
        refused(canaries, tuning, status, pieces);
    }
}

#[test]
fn a_canary_that_the_corpus_holds_already_is_refused() {
    let folder = Folder::new();
    let corpus: String = (0..10)
        .map(|digit| format!("{{\"id\": \"{digit}\", \"text\": \"{digit}\"}}\n"))
        .collect();
    folder
        .write("a.jsonl", corpus)
        .write("b.csv", "id,text\ncanary-1-0,words\n");
    folder.pipeline(
        "corpus = { files = \"a.jsonl\", identity = \"id\" }\nduplication.copies = [1]\n\
         canaries = { per_copies = 1, references = 9, digits = 1, template = \"{digits}\" }",
    );
    folder.fail(&[], 3, &["a.jsonl: line 1", "stands in the corpus itself"]);
    folder.fail(&["--in", "b.csv"], 3, &["b.csv: row 1", "a planted canary"]);
}
