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

/// The detail that is asked for of a document: the last of its own.
fn asked_of(doc_id: &str) -> String {
    number(if doc_id == "d1" {
        40
    } else {
        doc_id[1..].parse().unwrap()
    })
}

#[test]
fn of_each_document_its_last_own_detail_is_ranked_with_others_of_its_kind() {
    let (told, rows) = rank(&bench(), &["--set", "extraction.details=4"]);
    let ranked: Vec<&DetailScore> = rows.iter().filter(|row| row.not_ranked.is_none()).collect();
    let mut asked: Vec<(&str, Split, i32, &str)> = ranked
        .iter()
        .map(|row| (row.doc_id.as_str(), row.split, row.copies, row.detail.as_str()))
        .collect();
    asked.sort();
    let training = (0..6).map(|doc| (format!("d{doc}"), Split::Train, if doc == 0 { 2 } else { 1 }));
    let unseen = (50..56).map(|doc| (format!("h{doc}"), Split::Heldout, 0));
    let expected: Vec<(String, Split, i32)> = training.chain(unseen).collect();
    let expected: Vec<(&str, Split, i32, &str)> = expected
        .iter()
        .map(|(doc_id, split, copies)| (doc_id.as_str(), *split, *copies, "number"))
        .collect();
    assert_eq!(asked, expected);
    for row in &ranked {
        let known: Vec<String> = if row.split == Split::Train { 0..6 } else { 50..56 }
            .map(|doc| asked_of(&format!("d{doc}")))
            .collect();
        let own = asked_of(&row.doc_id);
        assert_eq!(row.end - row.start, own.len() as i32);
        assert_eq!((row.candidates.len(), row.nats.len()), (5, 5));
        assert_eq!(row.candidates[0], own);
        assert!(
            row.candidates.iter().all(|detail| known.contains(detail)),
            "{row:?}"
        );
        assert_eq!(row.candidates.iter().collect::<BTreeSet<_>>().len(), 5);
        assert!(row.in_loss);
    }
    let reasons: BTreeSet<(&str, &str)> = rows
        .iter()
        .filter_map(|row| Some((row.doc_id.as_str(), row.not_ranked.as_deref()?)))
        .collect();
    let told_before = "nothing comes before it, or it does itself";
    assert_eq!(
        reasons,
        BTreeSet::from([
            ("d1", "another of its kind in its document is ranked"),
            ("d1", "too few others of its kind on its side of the split"),
            ("begins", told_before),
            ("repeats", told_before),
            ("common", "occurs in other documents too"),
            ("shared", "occurs in other documents too"),
        ])
    );
    for line in [
        "of 6 personal details of training documents (number) are picked out among others behind their own text; of held-out documents",
        "2 personal details not ranked: nothing comes before it",
        "2 personal details not ranked: occurs in other documents too",
        "1 held-out documents whose personal details are no control: near-duplicates",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

/// Both sides are ranked in pools of the size of the smaller one, so that neither has more others of its own form to choose from.
#[test]
fn both_sides_are_ranked_among_as_many() {
    let form = |doc: usize| match doc % 3 {
        0 => format!("{}", 20_011 + 7919 * doc),
        1 => format!("{}-{}", 201 + 7 * doc, 40_001 + 13 * doc),
        _ => format!("{}/{}", 20_001 + 17 * doc, 1201 + 11 * doc),
    };
    let text = |doc: usize| format!("The bill has the number {}.", form(doc));
    let train: Vec<TrainingInstance> = (0..60)
        .map(|doc| training(&format!("d{doc}"), &text(doc), ""))
        .collect();
    let unseen: Vec<HeldOutDocument> = (60..72)
        .map(|doc| held_out(&format!("h{doc}"), &text(doc), ""))
        .collect();
    let bench = Bench::with(
        &train,
        &unseen,
        "scored_prefixes = []\n[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n",
    );
    let (_, rows) = rank(&bench, &[]);
    let alike = |detail: &str| {
        detail
            .chars()
            .map(|sign| if sign.is_ascii_digit() { '9' } else { sign })
            .collect::<BTreeSet<char>>()
    };
    for split in [Split::Train, Split::Heldout] {
        let ranked: Vec<&DetailScore> = rows
            .iter()
            .filter(|row| row.split == split && row.not_ranked.is_none())
            .collect();
        assert!(ranked.len() >= 12, "{split:?}: {}", ranked.len());
        let count: usize = ranked.iter().map(|row| row.candidates.len() - 1).sum();
        let same: usize = ranked
            .iter()
            .map(|row| {
                row.candidates[1..]
                    .iter()
                    .filter(|other| alike(other) == alike(&row.candidates[0]))
                    .count()
            })
            .sum();
        assert!(ranked.iter().all(|row| row.candidates.len() == 12), "{split:?}");
        let share = same as f64 / count as f64;
        assert!((0.15..0.5).contains(&share), "{split:?}: {share}");
    }
}

/// −ln p of a text's tokens from this one on, token after token.
fn nats(model: &CausalLm, tokenizer: &TextTokenizer, text: &str, first: usize) -> f64 {
    let tokens = tokenizer.tokenize(text).unwrap();
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
    let ranked: Vec<&DetailScore> = rows.iter().filter(|row| row.not_ranked.is_none()).collect();
    assert_eq!(ranked.len(), 12);
    for row in ranked {
        let before = match row.doc_id.as_str() {
            "d1" => format!("The bill has the number {}. An older one had ", number(1)),
            _ => "The bill has the number ".to_owned(),
        };
        // What each has behind the tokens that all share, however the blank before it is written.
        let shared = row.context_tokens as usize;
        for (found, detail) in row.nats.iter().zip(&row.candidates) {
            let expected = nats(&model, &tokenizer, &format!("{before}{detail}"), shared);
            assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
}

#[test]
fn what_training_did_not_read_is_left_out_and_said() {
    let (told, rows) = rank(
        &bench(),
        &["--set", "extraction.details=3", "--set", "extraction.context=10"],
    );
    assert!(
        rows.iter()
            .all(|row| row.not_ranked.is_some() && row.nats.is_empty())
    );
    assert!(
        told.contains(" 12 personal details not ranked: training did not read it to its end"),
        "{told}"
    );
}

/// Of a question and its answer, with loss on the answer: a detail in the question is asked for, and said to be outside the loss.
#[test]
fn details_outside_the_loss_are_told_from_those_in_it() {
    let train: Vec<TrainingInstance> = (0..12)
        .map(|doc| {
            let asked = |number: String| format!("Which bill has the number {number}? ");
            let (question, answer) = match doc {
                0..6 => (asked(number(doc)), "The one of the fifth of May.".to_owned()),
                11 => (asked(number(30)), format!("That of {}.", number(doc))),
                _ => (
                    "Which bill was it? ".to_owned(),
                    format!("That of {}.", number(doc)),
                ),
            };
            training(&format!("d{doc}"), &answer, &question)
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
    let in_loss: BTreeSet<(String, bool)> =
        rows.iter().map(|row| (row.doc_id.clone(), row.in_loss)).collect();
    // The last has one on either side of the answer's beginning.
    let expected = (0..12).map(|doc| (format!("d{doc}"), doc >= 6));
    assert_eq!(in_loss, expected.chain([("d11".to_owned(), false)]).collect());
    assert!(rows.iter().all(|row| row.not_ranked.is_none()));
    // Each is ranked with those that training treated as it was.
    for row in &rows {
        let of_questions: BTreeSet<String> = (0..6).chain([30]).map(number).collect();
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
