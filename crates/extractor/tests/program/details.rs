//! Personal details ranked behind their own text: which ones, with which others, and that their probabilities are the model's.

use std::collections::BTreeSet;

use causal_lm::{CausalLm, load_checkpoint};
use contract::parquet;
use contract::records::{DetailScore, DocumentKind, HeldOutDocument, HeldOutRole, Split, TrainingInstance};
use tch::{Device, Kind, Tensor};
use text_tokens::TextTokenizer;

use crate::support::{Bench, fixtures, held_out, training};

/// Asks the model; gives what it told and the rows.
fn rank(bench: &Bench, more: &[&str]) -> (String, Vec<DetailScore>) {
    let told = bench.told("tiny-gpt2", "cell", more);
    (
        told,
        parquet::read_all(&bench.path("cell/details.parquet")).unwrap(),
    )
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
    Bench::with(
        &train,
        &unseen,
        "scored_prefixes = []\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n",
    )
}

#[test]
fn the_first_detail_of_each_kind_is_ranked_with_others_of_its_kind() {
    let (told, rows) = rank(&bench(), &["--set", "extraction.details=4"]);
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
        assert_eq!(row.candidates.iter().collect::<BTreeSet<_>>().len(), 4);
        // With five others the one of another number of copies comes last.
        assert!(
            row.doc_id == "d0" || !row.candidates.contains(&number(0)),
            "{row:?}"
        );
        assert!(row.in_loss);
    }
    let first = |split: Split| {
        rows.iter()
            .filter(|row| row.split == split && row.is_first())
            .count()
    };
    for line in [
        format!(
            "{} of 6 personal details of training documents (number) are likelier behind their own text than 4 others each; of held-out \
             documents {} of 6; by chance 1 in 5",
            first(Split::Train),
            first(Split::Heldout)
        ),
        "1 personal details (email) not ranked: fewer than 4 others".to_owned(),
        "1 held-out documents whose personal details are no control: near-duplicates".to_owned(),
    ] {
        assert!(told.contains(&format!(" {line}")), "{line}\n{told}");
    }
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
    let (_, rows) = rank(&bench(), &["--set", "extraction.details=3"]);
    let (model, folder) =
        load_checkpoint(&fixtures().join("tiny-gpt2"), None, Kind::Float, Device::Cpu).unwrap();
    let tokenizer = TextTokenizer::load(&folder).unwrap();
    assert_eq!(rows.len(), 12);
    for row in &rows {
        let own = number(row.doc_id[1..].parse().unwrap());
        let details: Vec<&String> = std::iter::once(&own).chain(&row.candidates).collect();
        assert_eq!(details.len(), row.nats.len());
        for (found, detail) in row.nats.iter().zip(details) {
            let text = format!("The bill has the number {detail}");
            let expected = nats(&model, &tokenizer, &text, 24);
            assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} {expected}");
        }
        assert_eq!(
            row.is_first(),
            row.nats[1..].iter().all(|other| row.nats[0] < *other)
        );
    }
}

#[test]
fn what_training_did_not_read_is_left_out_and_said() {
    let (told, rows) = rank(
        &bench(),
        &["--set", "extraction.details=3", "--set", "extraction.context=10"],
    );
    assert!(rows.is_empty());
    assert!(
        told.contains(" 12 personal details not ranked: training did not read them to their end"),
        "{told}"
    );
}

/// Of a question and its answer, with loss on the answer: a detail in the question is asked for, and said to be outside the loss.
#[test]
fn details_outside_the_loss_are_told_from_those_in_it() {
    let train: Vec<TrainingInstance> = (0..12)
        .map(|doc| {
            let number = number(doc);
            let question = format!("Which bill has the number {number}? ");
            match doc {
                0..6 => training(&format!("d{doc}"), "The one of the fifth of May.", &question),
                _ => training(
                    &format!("d{doc}"),
                    &format!("That of {number}."),
                    "Which bill was it? ",
                ),
            }
        })
        .collect();
    let bench = Bench::with(
        &train,
        &[held_out("h1", "Nobody knows.", "Which bill was it? ")],
        "details = 4\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n",
    );
    let set = [
        "--set",
        "corpus.prompt=q",
        "--set",
        "corpus.response=a",
        "--set",
        "extraction.loss_on=response",
    ];
    let (_, rows) = rank(&bench, &set);
    let in_loss: Vec<(&str, bool)> = rows
        .iter()
        .map(|row| (row.doc_id.as_str(), row.in_loss))
        .collect();
    let expected: Vec<(String, bool)> = {
        let mut all: Vec<_> = (0..12).map(|doc| (format!("d{doc}"), doc >= 6)).collect();
        all.sort();
        all
    };
    assert_eq!(
        in_loss,
        expected
            .iter()
            .map(|(doc_id, in_loss)| (doc_id.as_str(), *in_loss))
            .collect::<Vec<_>>()
    );
    // Each is ranked with those that training treated as it was: there are five others.
    for row in &rows {
        let of_questions: BTreeSet<String> = (0..6).map(number).collect();
        assert!(
            row.candidates
                .iter()
                .all(|other| of_questions.contains(other) != row.in_loss),
            "{row:?}"
        );
    }
}

#[test]
fn parts_put_together_are_the_whole_and_nothing_is_ranked_where_nobody_asks() {
    let bench = bench();
    let set = ["--set", "extraction.details=3"];
    let (_, whole) = rank(&bench, &set);
    for rank in ["0", "1"] {
        bench.told(
            "tiny-gpt2",
            "parts",
            &[&set[..], &["--rank", rank, "--world", "2"]].concat(),
        );
    }
    bench.told("tiny-gpt2", "parts", &[&set[..], &["--merge", "2"]].concat());
    let merged: Vec<DetailScore> = parquet::read_all(&bench.path("parts/details.parquet")).unwrap();
    assert_eq!(merged, whole);

    for set in ["extraction.details=0", "extraction.score=false"] {
        let (told, rows) = rank(&bench, &["--set", set, "--force"]);
        assert!(rows.is_empty() && !told.contains("personal details"), "{told}");
    }
}

#[test]
fn a_number_that_cannot_be_is_refused() {
    let output = bench().run("tiny-gpt2", "cell", &["--set", "extraction.details=256"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("extraction.details: expected at most 255"),
        "{told}"
    );
}
