//! Text of another kind: it is sampled, marked, and changes nothing else.

use std::collections::BTreeSet;

use contract::parquet;
use contract::records::{CorpusFactKind, HeldOutDocument, HeldOutRole, TrainingInstance};

use crate::support::{Folder, numbered};

fn questions(count: usize) -> String {
    (0..count)
        .map(|number| {
            let line = serde_json::json!({
                "id": format!("q{number}"), "question": format!("What is in box {number}?"), "answer": format!("{number} eggs."),
            });
            format!("{line}\n")
        })
        .collect()
}

const CORPUS: &str = "corpus.files = \"a.jsonl\"\ncorpus.identity = \"id\"\ncorpus.prompt = \"question\"\n\
                      corpus.response = \"answer\"\ncorpus.held_out = 0.4\nduplication.copies = [1, 3]\ncanaries.per_copies = 1\n";

fn other(folder: &Folder) -> Vec<HeldOutDocument> {
    let mut rows = folder.held_out();
    rows.retain(|row| row.role == Some(HeldOutRole::Other));
    rows
}

#[test]
fn other_text_is_added_with_its_role_and_changes_nothing_else() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", questions(40))
        .write(
            "plain.txt",
            "One paragraph on tides.\n\nAnother on the moon.\n\nWHAT is in box 3?\n3  eggs.\n",
        )
        // Its own columns, of which one has an identity that the corpus has too.
        .write(
            "own.jsonl",
            "{\"id\": \"q1\", \"question\": \"Who?\", \"answer\": \"Nobody.\"}\n",
        )
        .write(
            "text.csv",
            "text,note\n\"A row of a table.\",x\n\"A row of a table.\",y\n",
        )
        .write("chat.jsonl", "{\"prompt\": \"Hello\", \"response\": \"there\"}\n");
    folder.pipeline(CORPUS).succeed(&[]);
    let (train, held_out) = (folder.train(), folder.held_out());

    let files = "corpus.other = [\"plain.txt\", \"own.jsonl\", \"text.csv\", \"chat.jsonl\"]\ncorpus.unit = \"paragraph\"\n";
    let said = folder.pipeline(&format!("{CORPUS}{files}")).succeed(&[]);
    assert_eq!(folder.train(), train);
    let without_other: Vec<HeldOutDocument> = folder
        .held_out()
        .into_iter()
        .filter(|row| row.role != Some(HeldOutRole::Other))
        .collect();
    assert_eq!(without_other, held_out);

    let rows: BTreeSet<(String, i32)> = other(&folder)
        .into_iter()
        .map(|row| {
            assert!(
                row.near_duplicate_of.is_none() && row.shared_8grams.is_none() && row.canary_format.is_none()
            );
            (row.text, row.prompt_chars)
        })
        .collect();
    let expected = [
        ("One paragraph on tides.", 0),
        ("Another on the moon.", 0),
        ("Who?\nNobody.", 5),
        ("A row of a table.", 0),
        ("Hello\nthere", 6),
    ];
    assert_eq!(
        rows,
        expected.map(|(text, prompt)| (text.to_owned(), prompt)).into()
    );
    let ids: BTreeSet<String> = folder.held_out().into_iter().map(|row| row.doc_id).collect();
    assert_eq!(ids.len(), folder.held_out().len());

    assert!(
        said.contains("other text      5 documents, which are only scored"),
        "{said}"
    );
    let left_out: Vec<_> = folder
        .facts_of(CorpusFactKind::LeftOut)
        .into_iter()
        .map(|fact| (fact.reason.unwrap(), fact.documents))
        .collect();
    assert_eq!(
        left_out,
        [
            ("exact duplicates (other text)".to_owned(), Some(1)),
            (
                "other texts that are duplicates of texts of the corpus, up to white space, case and normal form (other text)"
                    .to_owned(),
                Some(1)
            ),
        ]
    );
    let read = folder.facts_of(CorpusFactKind::Read);
    let of_other = read
        .iter()
        .filter(|fact| fact.reason.as_deref() == Some("other text"));
    assert_eq!(of_other.filter_map(|fact| fact.documents).sum::<i64>(), 7);
    let guessed: Vec<_> = folder
        .facts_of(CorpusFactKind::Guessed)
        .into_iter()
        .filter(|fact| fact.reason.as_deref() == Some("columns"))
        .filter_map(|fact| fact.file)
        .collect();
    assert_eq!(guessed, ["plain.txt", "text.csv", "chat.jsonl"]);
}

#[test]
fn other_text_is_a_sample_that_no_seed_changes_and_a_larger_one_holds() {
    let texts = |limit: &str, arguments: &[&str]| {
        let folder = Folder::new();
        let sheets: String = (0..500)
            .map(|number| format!("{{\"text\": \"Sheet {number}.\"}}\n"))
            .collect();
        folder.write("a.jsonl", numbered(30)).write("b.jsonl", sheets);
        folder
            .pipeline(&format!(
                "corpus = {{ files = \"a.jsonl\", other = \"b.jsonl\", min_chars = 12{limit} }}"
            ))
            .succeed(arguments);
        let left_out = folder.facts_of(CorpusFactKind::LeftOut);
        let over = left_out
            .iter()
            .find(|fact| fact.reason.as_deref() == Some("over the number asked for (other text)"));
        let texts: BTreeSet<String> = other(&folder).into_iter().map(|row| row.text).collect();
        assert_eq!(
            over.and_then(|fact| fact.documents),
            Some(500 - texts.len() as i64)
        );
        // The others are there for modes to train on.
        let mixed: Vec<TrainingInstance> = parquet::read_all(&folder.path("corpus/other.parquet")).unwrap();
        let mixed: BTreeSet<String> = mixed.into_iter().map(|row| row.text).collect();
        assert!(mixed.is_disjoint(&texts) && mixed.iter().all(|text| text.starts_with("Sheet ")));
        assert_eq!(mixed.len(), 500 - texts.len());
        texts
    };
    let (few, usual) = (texts(", max_other = 50", &[]), texts("", &[]));
    assert_eq!((few.len(), usual.len()), (50, 200));
    assert!(few.is_subset(&usual));
    assert_eq!(texts(", max_other = 50", &["--seed", "7"]), few);
    // Not the first ones of the file.
    let first: BTreeSet<String> = (0..50).map(|number| format!("Sheet {number}.")).collect();
    assert!(few.intersection(&first).count() < 20);
}

#[test]
fn other_text_that_cannot_be_used_is_refused_or_said() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(10))
        .write("titles.csv", "title,year\nx,1999\n")
        .write("half.jsonl", "{\"text\": \"fine\"}\nnot json\n")
        .write("same.jsonl", numbered(3).to_uppercase().replace("TEXT", "text"));
    for (file, pieces) in [
        (
            "titles.csv",
            &["titles.csv", "expected text", "title", "(corpus.other)"][..],
        ),
        ("nowhere.txt", &["nowhere.txt"]),
        ("half.jsonl", &["half.jsonl", "line 2"]),
    ] {
        folder.pipeline(&format!("corpus = {{ files = \"a.jsonl\", other = \"{file}\" }}"));
        folder.fail(&[], 3, pieces);
    }
    folder.pipeline("corpus = { files = \"a.jsonl\", other = \"half.jsonl\", bad_documents = \"skip\" }");
    folder.fail(&[], 3, &["half.jsonl", "corpus.other", "corpus.max_left_out"]);
    folder.pipeline("corpus = { files = \"a.jsonl\", other = \"a.jsonl\", max_other = 0 }");
    folder.fail(&[], 2, &["corpus.max_other"]);
    folder.pipeline("corpus = { files = \"a.jsonl\", other = \"same.jsonl\" }");
    let said = folder.succeed(&[]);
    assert!(
        said.contains("OTHER (corpus.other): all 3 texts occur in the corpus too"),
        "{said}"
    );
    assert_eq!(other(&folder), []);
}
