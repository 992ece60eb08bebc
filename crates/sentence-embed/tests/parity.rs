//! The encoder against sentence-transformers; `scripts/fixtures/sentence_embed.py` says how the figures came about.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use sentence_embed::{Embeddings, Encoder, Precision};
use serde_json::Value;
use tch::Device;

const TOLERANCE: f64 = 1e-4;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn minilm(precision: Precision) -> Encoder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/toolchain/all-MiniLM-L6-v2");
    assert!(
        folder.join("model.safetensors").exists(),
        "{} is not there: run make setup",
        folder.display()
    );
    Encoder::load_in(precision, folder, Device::Cpu).unwrap()
}

fn cosine(embeddings: &Embeddings, left: usize, right: usize) -> f64 {
    let (left, right) = (embeddings.row(left).unwrap(), embeddings.row(right).unwrap());
    left.iter()
        .zip(right)
        .map(|(left, right)| f64::from(*left) * f64::from(*right))
        .sum()
}

/// Encodes the sentences of a fixture and compares the first dimensions and all cosines.
fn check(encoder: &Encoder, fixture: &str) {
    let fixture: Value = serde_json::from_slice(&std::fs::read(fixtures().join(fixture)).unwrap()).unwrap();
    let list = |key: &str| fixture[key].as_array().unwrap();
    let numbers = |row: &Value| -> Vec<f64> {
        row.as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };

    let sentences: Vec<&str> = list("sentences")
        .iter()
        .map(|sentence| sentence.as_str().unwrap())
        .collect();
    let embeddings = encoder.encode(&sentences).unwrap();
    assert_eq!(embeddings.len(), sentences.len());
    assert_eq!(
        embeddings.dimensions() as u64,
        fixture["dimensions"].as_u64().unwrap()
    );
    for (index, sentence) in sentences.iter().enumerate() {
        let row = embeddings.row(index).unwrap();
        for (found, expected) in row.iter().zip(numbers(&list("vectors")[index])) {
            assert!(
                (f64::from(*found) - expected).abs() < TOLERANCE,
                "{found} for {expected} in {sentence:?}"
            );
        }
        for (other, expected) in numbers(&list("cosines")[index]).into_iter().enumerate() {
            let found = cosine(&embeddings, index, other);
            assert!(
                (found - expected).abs() < TOLERANCE,
                "{found} for {expected}: {sentence:?}, {other}"
            );
        }
    }
}

#[test]
fn minilm_agrees_with_sentence_transformers() {
    check(&minilm(Precision::Single), "minilm.json");
}

#[test]
fn minilm_gives_the_cosines_measured_in_python() {
    let embeddings = minilm(Precision::Single)
        .encode(&[
            "That is a happy person",
            "That is a happy dog",
            "That is a very happy person",
            "Today is a sunny day",
        ])
        .unwrap();
    for (other, expected) in [(1, 0.6946), (2, 0.9429), (3, 0.2569)] {
        assert!(
            (cosine(&embeddings, 0, other) - expected).abs() < TOLERANCE,
            "{}",
            cosine(&embeddings, 0, other)
        );
    }
}

#[test]
fn bfloat16_keeps_the_direction_of_every_vector() {
    let fixture: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("minilm.json")).unwrap()).unwrap();
    let sentences: Vec<&str> = fixture["sentences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sentence| sentence.as_str().unwrap())
        .collect();
    let [exact, rounded] = [Precision::Single, Precision::BFloat16]
        .map(|precision| minilm(precision).encode(&sentences).unwrap());
    assert_ne!(exact, rounded, "bfloat16 rounds");
    for (sentence, (exact, rounded)) in sentences.iter().zip(exact.rows().zip(rounded.rows())) {
        let cosine: f64 = exact
            .iter()
            .zip(rounded)
            .map(|(exact, rounded)| f64::from(*exact) * f64::from(*rounded))
            .sum();
        assert!(cosine > 1.0 - TOLERANCE, "{cosine} for {sentence:?}");
    }
}

#[test]
fn a_tiny_half_precision_encoder_agrees() {
    check(
        &Encoder::load(fixtures().join("tiny"), Device::Cpu).unwrap(),
        "tiny.json",
    );
}

#[test]
fn first_token_pooling_agrees_under_its_newer_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "sentence_bert_config.json",
    ] {
        std::fs::copy(fixtures().join("tiny").join(name), folder.path().join(name)).unwrap();
    }
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(
        folder.path().join("1_Pooling/config.json"),
        r#"{"pooling_mode": "cls"}"#,
    )
    .unwrap();
    check(
        &Encoder::load(folder.path(), Device::Cpu).unwrap(),
        "tiny_cls.json",
    );
}
