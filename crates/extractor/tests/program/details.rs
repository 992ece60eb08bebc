//! `extractor details`: which personal details are ranked, with which others, and that their probabilities are the model's.

use std::path::Path;
use std::process::Command;

use causal_lm::{CausalLm, load_checkpoint};
use contract::parquet;
use contract::records::{DetailScore, DocumentKind, HeldOutDocument, HeldOutRole, Split, TrainingInstance};
use tch::{Device, Kind, Tensor};
use text_tokens::TextTokenizer;

use crate::support::{Bench, fixtures, held_out, training};

/// Runs the command on the documents; gives what it told and its rows.
fn rank(bench: &Bench, more: &[&str]) -> (String, Vec<DetailScore>) {
    let out = bench.path("details.parquet");
    let output = Command::new(env!("CARGO_BIN_EXE_extractor"))
        .arg("details")
        .arg(fixtures().join("tiny-gpt2"))
        .arg("--in")
        .arg(bench.folder.path())
        .arg("--out")
        .arg(&out)
        .args(more)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    (told, parquet::read_all(&out).unwrap())
}

fn number(doc: usize) -> String {
    format!("{}", 20_011 + 7919 * doc)
}

fn bench() -> Bench {
    let mut train: Vec<TrainingInstance> = (0..6)
        .map(|doc| {
            training(
                &format!("d{doc}"),
                &format!("The bill has the number {}.", number(doc)),
                "",
            )
        })
        .collect();
    // A second number and an address, of which there is but one; a copy; and a canary.
    train[1].text += &format!(" An older one had {}; write to jo@example.org.", number(40));
    train.push(TrainingInstance {
        copy: 1,
        ..train[0].clone()
    });
    train[0].copies = 2;
    train.last_mut().unwrap().copies = 2;
    train.push(TrainingInstance {
        kind: DocumentKind::Canary,
        ..training("canary", "The code is 99887766.", "")
    });
    // Nobody's: what a text begins with, what it has said before, what two texts have.
    let twice = number(43);
    train.push(training("begins", &format!("{} is the number.", number(41)), ""));
    train.push(training(
        "repeats",
        &format!("{} is the number, {0}.", number(42)),
        "",
    ));
    train.push(training(
        "common",
        &format!("The bill has the number {twice}."),
        "",
    ));
    let mut unseen: Vec<HeldOutDocument> = (50..56)
        .map(|doc| {
            held_out(
                &format!("h{doc}"),
                &format!("The bill has the number {}.", number(doc)),
                "",
            )
        })
        .collect();
    unseen.push(held_out(
        "shared",
        &format!("The bill has the number {twice}."),
        "",
    ));
    unseen.push(HeldOutDocument {
        near_duplicate_of: Some("d0".to_owned()),
        ..held_out("near", &format!("The bill has the number {}.", number(60)), "")
    });
    unseen.push(HeldOutDocument {
        role: Some(HeldOutRole::Other),
        ..held_out("other", "The year had 36524219 parts.", "")
    });
    Bench::with(&train, &unseen, "")
}

#[test]
fn the_first_detail_of_each_kind_is_ranked_with_others_of_its_kind() {
    let (told, rows) = rank(&bench(), &["--candidates", "4"]);
    let asked: Vec<(&str, Split, i32, &str)> = rows
        .iter()
        .map(|row| (row.doc_id.as_str(), row.split, row.copies, row.detail.as_str()))
        .collect();
    let training = (0..6).map(|doc| (format!("d{doc}"), Split::Train, if doc == 0 { 2 } else { 1 }));
    let unseen = (50..56).map(|doc| (format!("h{doc}"), Split::Heldout, 0));
    let expected: Vec<(String, Split, i32)> = training.chain(unseen).collect();
    let expected: Vec<(&str, Split, i32, &str)> = expected
        .iter()
        .map(|(doc_id, split, copies)| (doc_id.as_str(), *split, *copies, "number"))
        .collect();
    assert_eq!(asked, expected);
    for row in &rows {
        let known: Vec<String> = if row.split == Split::Train { 0..6 } else { 50..56 }
            .map(number)
            .collect();
        let own = number(row.doc_id[1..].parse().unwrap());
        assert_eq!((row.start, row.end), (24, 24 + own.len() as i32));
        assert_eq!((row.candidates.len(), row.nats.len()), (4, 5));
        // Of documents that were trained on as it was, and none twice.
        assert!(
            row.candidates
                .iter()
                .all(|other| known.contains(other) && *other != own),
            "{row:?}"
        );
        assert_eq!(
            row.candidates
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            4
        );
        // With five others the one of another number of copies comes last.
        assert!(
            row.doc_id == "d0" || !row.candidates.contains(&number(0)),
            "{row:?}"
        );
        assert!(row.untuned_nats.is_none());
    }
    assert!(told.contains("by chance it would be 1 in 5."), "{told}");
    assert!(
        told.contains("1 of kind email, with which not as many others"),
        "{told}"
    );
    assert!(
        told.contains("near-duplicates of training documents among those held out: 1\n"),
        "{told}"
    );
    assert!(!told.contains("gained by tuning"), "{told}");
}

/// −ln p of a text's tokens from the one that holds its character `start` on, token after token.
fn nats(model: &CausalLm, tokenizer: &TextTokenizer, text: &str, start: usize) -> f64 {
    let tokens = tokenizer.tokenize(text).unwrap();
    let first = tokens
        .characters
        .iter()
        .position(|token| token.end > start)
        .unwrap();
    let read = [&[model.config.bos_token_id], tokens.ids.as_slice()].concat();
    let hidden = model
        .hidden(&Tensor::from_slice(&read).unsqueeze(0), None, None)
        .unwrap();
    let logprobs = model.logits(&hidden).unwrap().log_softmax(-1, Kind::Double);
    (first..tokens.ids.len())
        .map(|place| -logprobs.double_value(&[0, place as i64, tokens.ids[place]]))
        .sum()
}

#[test]
fn probabilities_are_those_of_the_model() {
    let bench = bench();
    let untuned = fixtures().join("tiny-gpt2");
    let (told, rows) = rank(
        &bench,
        &["--candidates", "3", "--untuned", untuned.to_str().unwrap()],
    );
    let (model, folder) = load_checkpoint(&untuned, None, Kind::Float, Device::Cpu).unwrap();
    let tokenizer = TextTokenizer::load(&folder).unwrap();
    let mut first = 0;
    for row in &rows {
        let own = number(row.doc_id[1..].parse().unwrap());
        let details = std::iter::once(&own).chain(&row.candidates);
        for (found, detail) in row.nats.iter().zip(details) {
            let expected = nats(
                &model,
                &tokenizer,
                &format!("The bill has the number {detail}"),
                24,
            );
            assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} {expected}");
        }
        // The same model: tuning has made nothing more probable.
        assert_eq!(row.untuned_nats.as_ref(), Some(&row.nats));
        first +=
            usize::from(row.split == Split::Train && row.nats[1..].iter().all(|other| row.nats[0] < *other));
    }
    let line = told
        .lines()
        .find(|line| line.contains("number") && line.contains("training"))
        .unwrap();
    let counts: Vec<&str> = line
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    assert_eq!(counts[..2], ["number", "training"]);
    for (cell, count) in counts[2..].iter().zip([first, 0, first]) {
        assert!(cell.starts_with(&format!("{count} of 6, ")), "{line}");
    }
}

#[test]
fn what_training_did_not_read_is_left_out_and_said() {
    let (told, rows) = rank(&bench(), &["--candidates", "3", "--context", "4"]);
    assert!(rows.is_empty());
    assert!(told.contains("each of 3 others"), "{told}");
    assert!(told.contains("12 behind what training read"), "{told}");
    assert!(told.contains("taken to have read 4 tokens of a text"), "{told}");
}

#[test]
fn with_nothing_to_rank_it_says_what_to_do() {
    let bench = Bench::new("");
    let refused = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_extractor"))
            .args(["details", fixtures().join("tiny-gpt2").to_str().unwrap(), "--in"])
            .arg(bench.folder.path())
            .arg("--out")
            .arg(bench.path("details.parquet"))
            .args(more)
            .output()
            .unwrap();
        assert!(!Path::exists(&bench.path("details.parquet")));
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (status, told) = refused(&[]);
    assert_eq!(status, Some(3));
    assert!(told.contains("--candidates with a smaller number"), "{told}");
    let (status, told) = refused(&["--candidates", "0"]);
    assert_eq!(status, Some(2));
    assert!(told.contains("expected at least 1"), "{told}");
}
