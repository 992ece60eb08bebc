//! Documents that the tokenizer gives back otherwise than they are written stand in decoded.parquet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::parquet;
use contract::records::{DecodedDocument, DocumentKind, HeldOutDocument, Split, TrainingInstance};
use serde_json::json;

use crate::support::{Bench, copy_folder, edit_json, fixtures, held_out, training};

/// The tiny GPT-2 with a tokenizer that takes no notice of accents and case.
fn without_accents(bench: &Bench) -> PathBuf {
    let folder = bench.path("model");
    copy_folder(&fixtures().join("tiny-gpt2"), &folder);
    edit_json(&folder.join("tokenizer.json"), |json| {
        json["normalizer"] = json!({"type": "Sequence", "normalizers": [
            {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]});
    });
    folder
}

fn bench() -> Bench {
    let accents = "Été à la crème: the pilot boat came in at dawn. ".repeat(3);
    Bench::with(
        &[
            training("accents", &accents, "Où? "),
            training("plain", "the pilot boat came in at dawn with mail.", ""),
            TrainingInstance {
                kind: DocumentKind::Canary,
                ..training("canary", "Code É4711", "")
            },
        ],
        &[
            held_out("unseen", "Çà et là the tide turned, and nobody had seen it.", ""),
            HeldOutDocument {
                kind: DocumentKind::CanaryReference,
                ..held_out("reference", "code 4712", "")
            },
        ],
        "[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n",
    )
}

fn decoded(bench: &Bench, folder: &str) -> Vec<DecodedDocument> {
    parquet::read_all(&bench.path(folder).join("decoded.parquet")).unwrap()
}

#[test]
fn documents_are_written_as_the_tokenizer_gives_them_back() {
    let bench = bench();
    let model = without_accents(&bench);
    let best = model.to_str().unwrap().to_owned();
    let told = bench.told(&model, "cell", &["--best", &best]);
    assert!(
        told.contains("3 of 5 documents read differently from how they are written (tokenizer: \"Où? É")
            && told.contains("becomes \"ou? e"),
        "{told}"
    );
    let rows = decoded(&bench, "cell");
    assert_eq!(rows, decoded(&bench, "cell/best"));
    let texts: BTreeMap<&str, &str> = rows
        .iter()
        .map(|row| (row.doc_id.as_str(), row.text.as_str()))
        .collect();
    let accents = "ete a la creme: the pilot boat came in at dawn. ".repeat(3);
    let expected = [
        ("accents", format!("ou? {accents}")),
        ("canary", "code e4711".to_owned()),
        (
            "unseen",
            "ca et la the tide turned, and nobody had seen it.".to_owned(),
        ),
    ];
    assert_eq!(
        texts,
        expected
            .iter()
            .map(|(doc_id, text)| (*doc_id, text.as_str()))
            .collect()
    );
    // One character each, so that every one comes from its own place.
    for row in &rows {
        assert_eq!(
            row.origins,
            (0..=row.text.chars().count() as i32).collect::<Vec<_>>()
        );
    }
    // Prompts and references are in the same form.
    let (samples, _) = bench.results("cell");
    for sample in samples.iter().filter(|sample| sample.split != Split::None) {
        let written = format!("{}{}", sample.prompt, sample.truth.as_deref().unwrap());
        let plain = "the pilot boat came in at dawn with mail.";
        let document = texts
            .get(sample.doc_id.as_deref().unwrap())
            .copied()
            .unwrap_or(plain);
        assert!(document.starts_with(&written), "{written}");
    }
}

#[test]
fn the_file_is_there_without_rows_where_all_are_given_back_as_written() {
    let bench = bench();
    let told = bench.told("tiny-gpt2", "cell", &[]);
    assert!(!told.contains("read differently"), "{told}");
    assert_eq!(decoded(&bench, "cell"), []);
}

#[test]
fn a_run_without_the_file_is_not_done() {
    let bench = bench();
    let model = without_accents(&bench);
    bench.told(&model, "cell", &[]);
    assert!(bench.told(&model, "cell", &[]).contains("up to date"));
    std::fs::remove_file(bench.path("cell/decoded.parquet")).unwrap();
    assert!(!bench.told(&model, "cell", &[]).contains("up to date"));
    assert_eq!(decoded(&bench, "cell").len(), 3);
}

#[test]
fn results_of_another_best_checkpoint_are_taken_away_whole() {
    let bench = bench();
    let model = without_accents(&bench);
    let best = model.to_str().unwrap().to_owned();
    bench.told(&model, "cell", &["--best", &best]);
    bench.told(&model, "cell", &[]);
    assert!(!bench.path("cell/best/decoded.parquet").exists());
}
