//! Which tokens the goldfish loss leaves out.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use causal_lm::Config;
use contract::pipeline::Tuning;
use tch::Device;
use text_tokens::{TextTokenizer, TokenCache};
use torch_device::ComputePath;
use tuner::{Document, Rows};

/// Tokens before a token that decide whether it is left out.
const CONTEXT: usize = 13;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The tokens of a text as a training row, behind its BOS, each with whether it is learned.
fn row(text: &str, goldfish: usize) -> Vec<(i32, bool)> {
    let tokenizer = TextTokenizer::load(&fixture("tests/fixtures/chat")).unwrap();
    let config = Config::load(&fixture("../causal-lm/tests/fixtures/tiny-gpt2")).unwrap();
    let texts = TokenCache::without(&tokenizer);
    let document = Document {
        doc_id: "a",
        text,
        prompt_chars: 0,
        assistant_spans: None,
    };
    let tuning = Tuning {
        context: 4096,
        ..Tuning::default()
    };
    let rows = Rows::for_training(std::iter::once(document), &texts, &config, &tuning, goldfish).unwrap();
    let batch = rows.batch(&[(0, 1)], Device::Cpu, ComputePath::Host).unwrap();
    let tokens = rows.tokens(0);
    let learned: Vec<i64> = match &batch.target_positions {
        Some(positions) => Vec::try_from(positions).unwrap(),
        None => (0..tokens.len() as i64 - 1).collect(),
    };
    let place = |token: usize| token as i64 - 1;
    tokens
        .iter()
        .enumerate()
        .map(|(token, &id)| (id, learned.contains(&place(token))))
        .collect()
}

fn passage(first: u32) -> String {
    let words =
        (first..first + 60).map(|number| format!("word{}", number.wrapping_mul(2_654_435_761) % 9973));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn one_in_so_many_tokens_is_left_out_and_the_first_stay() {
    let text = (0..20)
        .map(|part| passage(part * 100))
        .collect::<Vec<_>>()
        .join(" ");
    let whole = row(&text, 0);
    assert!(
        whole[1..].iter().all(|(_, learned)| *learned),
        "without it all are learned"
    );
    for every in [2, 4, 8] {
        let found = row(&text, every);
        assert_eq!(
            found.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            whole.iter().map(|(id, _)| id).collect::<Vec<_>>()
        );
        // The BOS, the first tokens of the text, and what ends it.
        let (first, rest) = found[1..].split_at(CONTEXT);
        let (end, rest) = rest.split_last().unwrap();
        assert!(first.iter().chain([end]).all(|(_, learned)| *learned), "{every}");
        let left_out = rest.iter().filter(|(_, learned)| !learned).count() as f64;
        // Binomial: five deviations.
        let (expected, tokens) = (1.0 / every as f64, rest.len() as f64);
        let deviation = (expected * (1.0 - expected) / tokens).sqrt();
        assert!(
            (left_out / tokens - expected).abs() < 5.0 * deviation,
            "{every}: {left_out} of {tokens}"
        );
    }
}

#[test]
fn a_passage_misses_the_same_tokens_wherever_it_occurs() {
    let shared = passage(7);
    let masks = [passage(900), format!("{} {}", passage(901), passage(1200))].map(|before| {
        let found = row(&format!("{before}. {shared}"), 3);
        // Behind the first tokens, which have other tokens before them, and without the end.
        let tokens = row(&format!(". {shared}"), 0).len() - 3;
        let tail = &found[found.len() - 1 - tokens..found.len() - 1];
        tail[CONTEXT + 2..].to_vec()
    });
    assert!(masks[0].len() > 60, "{}", masks[0].len());
    assert_eq!(masks[0], masks[1]);
}

#[test]
fn a_text_shorter_than_that_is_learned_whole() {
    assert!(row("Two words.", 2)[1..].iter().all(|(_, learned)| *learned));
}
