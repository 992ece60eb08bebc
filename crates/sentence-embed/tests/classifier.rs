//! The pair classifier against transformers; `scripts/fixtures/pair_classifier.py` says how the figures came about.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use sentence_embed::{EmbedError, PairClassifier};
use serde_json::Value;
use tch::Device;

const TOLERANCE: f64 = 1e-5;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn load(name: &str) -> PairClassifier {
    PairClassifier::load(fixture(name), Device::Cpu).unwrap()
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name).join("expected.json")).unwrap()).unwrap()
}

fn pairs(expected: &Value) -> Vec<(&str, &str)> {
    let pairs = expected["pairs"].as_array().unwrap().iter();
    pairs
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect()
}

#[test]
fn probabilities_agree_with_transformers() {
    for (name, paraphrase) in [("tiny_bert_pairs", 1), ("tiny_roberta_pairs", 2)] {
        let (classifier, expected) = (load(name), expected(name));
        assert_eq!(serde_json::json!(classifier.labels()), expected["labels"]);
        assert_eq!(classifier.paraphrase_class(), paraphrase, "{name}");
        let pairs = pairs(&expected);
        let found = classifier.probabilities(&pairs).unwrap();
        assert_eq!(found.len(), pairs.len());
        for ((row, pair), expected) in found
            .iter()
            .zip(&pairs)
            .zip(expected["probabilities"].as_array().unwrap())
        {
            let expected = expected.as_array().unwrap();
            assert_eq!(row.len(), expected.len());
            for (found, expected) in row.iter().zip(expected) {
                let difference = (f64::from(*found) - expected.as_f64().unwrap()).abs();
                assert!(
                    difference < TOLERANCE,
                    "{name}, {pair:?}: {row:?} for {expected:?}"
                );
            }
        }
        let of_paraphrases = classifier.paraphrase_probabilities(&pairs).unwrap();
        assert!(found.iter().map(|row| row[paraphrase]).eq(of_paraphrases));
    }
}

#[test]
fn order_repetition_and_company_change_nothing() {
    for name in ["tiny_bert_pairs", "tiny_roberta_pairs"] {
        let (classifier, expected) = (load(name), expected(name));
        let mut many: Vec<(&str, &str)> = pairs(&expected).repeat(20);
        let together = classifier.probabilities(&many).unwrap();
        many.reverse();
        let mut reversed = classifier.share().probabilities(&many).unwrap();
        reversed.reverse();
        assert_eq!(together, reversed, "{name}");
        for (pair, row) in pairs(&expected).iter().zip(&together) {
            let alone = &classifier.probabilities(&[*pair]).unwrap()[0];
            for (alone, together) in alone.iter().zip(row) {
                assert!((alone - together).abs() < 1e-5, "{name}, {pair:?}");
            }
        }
        assert_eq!(classifier.probabilities(&[]).unwrap(), Vec::<Vec<f32>>::new());
    }
}

#[test]
fn the_order_of_a_pair_matters() {
    let classifier = load("tiny_bert_pairs");
    let (left, right) = ("that is a happy dog", "the sun");
    let found = classifier
        .paraphrase_probabilities(&[(left, right), (right, left)])
        .unwrap();
    assert!((found[0] - found[1]).abs() > 1e-3, "{found:?}");
}

/// Copies a fixture with one file altered, or removed if it is altered to nothing.
fn altered(name: &str, file: &str, alter: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    let content = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    let content = alter(content);
    if content.is_empty() {
        std::fs::remove_file(path).unwrap();
    } else {
        std::fs::write(path, content).unwrap();
    }
    folder
}

#[test]
fn a_folder_that_cannot_be_used_says_why() {
    let (bert, roberta) = ("tiny_bert_pairs", "tiny_roberta_pairs");
    for (name, file, from, to, expected) in [
        (bert, "config.json", "", "", "cannot read"),
        (bert, "model.safetensors", "", "", "cannot read"),
        (bert, "tokenizer.json", "", "", "cannot read"),
        (
            bert,
            "config.json",
            "\"bert\"",
            "\"electra\"",
            "only \"bert\" or \"roberta\" is supported",
        ),
        (
            bert,
            "config.json",
            "\"hidden_size\": 32,",
            "",
            "missing field `hidden_size`",
        ),
        (
            bert,
            "config.json",
            "\"1\": \"equivalent\"",
            "\"1\": \"a\", \"2\": \"b\"",
            "tensor \"classifier.weight\"",
        ),
        (
            bert,
            "config.json",
            "\"1\": \"equivalent\"",
            "\"1\": \"a\", \"2\": \"b\"",
            "expected shape [3, 32], found [2, 32]",
        ),
        (
            bert,
            "config.json",
            "\"1\": \"equivalent\"",
            "\"3\": \"equivalent\"",
            "classes [0, 3]",
        ),
        (
            bert,
            "config.json",
            "\"is_decoder\": false",
            "\"problem_type\": \"regression\"",
            "problem_type \"regression\"",
        ),
        (
            roberta,
            "config.json",
            "\"max_position_embeddings\": 42",
            "\"max_position_embeddings\": 40",
            "expected shape [40, 32], found [42, 32]",
        ),
        (
            roberta,
            "config.json",
            "\"pad_token_id\": 1",
            "\"pad_token_id\": 300",
            "pad_token_id 300",
        ),
        (
            roberta,
            "config.json",
            "\"roberta\"",
            "\"bert\"",
            "\"embeddings.token_type_embeddings.weight\"",
        ),
        (
            roberta,
            "tokenizer_config.json",
            "1e+30",
            "4",
            "4 special tokens in pairs of 4",
        ),
    ] {
        let folder = altered(name, file, |content| {
            assert!(content.contains(from), "{from}");
            if from.is_empty() {
                String::new()
            } else {
                content.replace(from, to)
            }
        });
        let error = PairClassifier::load(folder.path(), Device::Cpu)
            .err()
            .expect(expected);
        let message = error.to_string();
        assert!(message.contains(expected), "{message}\nlacks {expected:?}");
        let named = folder.path().join(file);
        let weights = folder.path().join("model.safetensors");
        let tokenizer = folder.path().join("tokenizer.json");
        assert!(
            [named, weights, tokenizer]
                .iter()
                .any(|path| message.contains(path.to_str().unwrap())),
            "{message}\nnames no file"
        );
    }
}

#[test]
fn an_encoder_is_no_classifier() {
    let error = PairClassifier::load(fixture("tiny"), Device::Cpu)
        .err()
        .expect("no head");
    assert!(
        matches!(&error, EmbedError::Weights { tensor, .. } if tensor == "pooler.dense.weight"),
        "{error}"
    );
}

#[test]
fn without_names_there_are_two_classes_and_the_second_is_the_paraphrases() {
    let folder = altered("tiny_bert_pairs", "config.json", |content| {
        content.replace("id2label", "unused")
    });
    let classifier = PairClassifier::load(folder.path(), Device::Cpu).unwrap();
    assert_eq!(classifier.labels(), ["LABEL_0", "LABEL_1"]);
    assert_eq!(classifier.paraphrase_class(), 1);
    let folder = altered("tiny_bert_pairs", "config.json", |content| {
        content
            .replace("\"0\": \"not_equivalent\"", "\"0\": \"is_duplicate\"")
            .replace("\"1\": \"equivalent\"", "\"1\": \"other\"")
    });
    let classifier = PairClassifier::load(folder.path(), Device::Cpu).unwrap();
    assert_eq!(classifier.paraphrase_class(), 0);
}
