//! Tokens and masks of conversations against TRL's SFT trainer, from the file to the rows that are trained
//! (`scripts/fixtures/chat_template.py`).

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use causal_lm::Config;
use chat_template::Candidate;
use contract::pipeline::{Corpus, LossOn, OneOrMany, Rows as RowLayout, Tuning};
use corpus_files::{Columns, RawDocument, documents, find_files};
use serde_json::Value;
use tch::{Device, Tensor};
use text_tokens::{TextTokenizer, TokenCache};
use torch_device::ComputePath;
use tuner::{Document, Rows};

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn config() -> Config {
    Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2"))
        .unwrap()
}

/// A row as our programs read it from a file.
fn read(row: &Value, template: &str) -> RawDocument {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.jsonl"), format!("{row}\n")).unwrap();
    let tokens = r#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), tokens).unwrap();
    let corpus = Corpus {
        files: OneOrMany::One("a.jsonl".to_owned()),
        template: Some(template.to_owned()),
        ..Corpus::default()
    };
    let model = Candidate {
        name: "tiny".to_owned(),
        folders: vec![folder.path().to_path_buf()],
    };
    let columns = Columns::of_models(&corpus, folder.path(), &[model]).unwrap();
    let found = find_files(&corpus, folder.path()).unwrap();
    documents(&found.files[0], &columns)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
}

fn rows(document: &RawDocument, loss_on: LossOn, layout: RowLayout) -> Rows {
    let tokenizer = TextTokenizer::load(&fixtures()).unwrap();
    let spans: Option<Vec<i32>> = document.assistant_spans.as_ref().map(|spans| {
        spans
            .iter()
            .flat_map(|&(start, end)| [start as i32, end as i32])
            .collect()
    });
    let one = Document {
        doc_id: "a",
        text: &document.text,
        prompt_chars: document.prompt_chars,
        assistant_spans: spans.as_deref(),
    };
    let tuning = Tuning {
        loss_on,
        rows: layout,
        context: 512,
        ..Tuning::default()
    };
    let copies = if layout == RowLayout::Packed { 2 } else { 1 };
    let texts = TokenCache::without(&tokenizer);
    Rows::for_training(std::iter::repeat_n(one, copies), &texts, &config(), &tuning, 0).unwrap()
}

/// Whether each token of a row is learned; the first has nothing before it that could predict it.
fn learned(rows: &Rows) -> Vec<bool> {
    let batch = rows.batch(&[(0, 1)], Device::Cpu, ComputePath::Host).unwrap();
    let tokens = rows.tokens(0).len();
    let positions: Vec<i64> = match &batch.target_positions {
        Some(positions) => Vec::try_from(positions).unwrap(),
        None => (0..tokens as i64 - 1).collect(),
    };
    (0..tokens as i64)
        .map(|token| positions.contains(&(token - 1)))
        .collect()
}

#[test]
fn tokens_and_masks_of_conversations_are_those_of_trl() {
    let fixture: Value =
        serde_json::from_str(&std::fs::read_to_string(fixtures().join("trl.json")).unwrap()).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let (template, name) = (
            case["template"].as_str().unwrap(),
            case["loss_on"].as_str().unwrap(),
        );
        let loss_on = match name {
            "text" => LossOn::Text,
            "response" => LossOn::Response,
            _ => LossOn::Assistant,
        };
        let place = format!("{template}, {}, {name}", case["conversation"]);
        let rows = rows(&read(&case["row"], template), loss_on, RowLayout::Documents);
        let expected: Vec<i32> = serde_json::from_value(case["input_ids"].clone()).unwrap();
        assert_eq!(rows.tokens(0), expected, "{place}");
        let mut expected: Vec<bool> = serde_json::from_value(case["learned"].clone()).unwrap();
        expected[0] = false;
        assert_eq!(learned(&rows), expected, "{place}");
    }
    assert_eq!(cases.len(), 18);
    // Several spans, and no BOS twice: the cases are no trivial ones.
    let spans = |case: &Value| {
        let learned: Vec<bool> = serde_json::from_value(case["learned"].clone()).unwrap();
        learned.windows(2).filter(|pair| !pair[0] && pair[1]).count()
    };
    assert!(cases.iter().any(|case| spans(case) == 2));
}

#[test]
fn packed_conversations_follow_each_other_without_any_token_between_them() {
    let row = serde_json::json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]});
    let document = read(&row, "chatml");
    let alone = rows(&document, LossOn::Assistant, RowLayout::Documents);
    let packed = rows(&document, LossOn::Assistant, RowLayout::Packed);
    assert_eq!(packed.tokens(0), [alone.tokens(0), alone.tokens(0)].concat());
}

#[test]
fn held_out_conversations_are_evaluated_on_the_same_tokens() {
    let row = serde_json::json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]});
    let document = read(&row, "llama-2");
    let trained = rows(&document, LossOn::Assistant, RowLayout::Documents);
    let spans: Vec<i32> = document
        .assistant_spans
        .iter()
        .flatten()
        .flat_map(|&(start, end)| [start as i32, end as i32])
        .collect();
    let one = Document {
        doc_id: "a",
        text: &document.text,
        prompt_chars: document.prompt_chars,
        assistant_spans: Some(&spans),
    };
    let tuning = Tuning {
        loss_on: LossOn::Assistant,
        ..Tuning::default()
    };
    let tokenizer = TextTokenizer::load(&fixtures()).unwrap();
    let evaluated = Rows::for_evaluation(
        std::iter::once(one),
        &TokenCache::without(&tokenizer),
        &config(),
        &tuning,
    )
    .unwrap();
    assert_eq!(evaluated.tokens(0), trained.tokens(0));
    assert_eq!(learned(&evaluated), learned(&trained));
    let targets = |rows: &Rows| {
        Tensor::from_slice(
            &rows
                .batch(&[(0, 1)], Device::Cpu, ComputePath::Host)
                .unwrap()
                .reported,
        )
    };
    assert_eq!(targets(&evaluated), targets(&trained));
}
