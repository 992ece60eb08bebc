//! The program as a whole on a tiny model: what it writes, that it does not depend on batches, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod chat;
mod checkpoints;
mod decoded;
mod details;
mod forms;
mod membership;
mod other;
mod parts;
mod secrets;
mod special_tokens;
mod support;
mod trained_tokens;

use std::collections::BTreeMap;

use contract::records::{DocumentKind, FinishReason, Sample, Score, Split};

use support::Bench;

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found == expected || (found - expected).abs() < 1e-4,
            "{found} for {expected}"
        );
    }
}

#[test]
fn prompts_come_from_each_document_once_and_never_from_canaries() {
    let (samples, _) = Bench::new("").extract("tiny-gpt2", "cell", &[]);
    let mut counts: BTreeMap<(Option<String>, Split, i32, String), usize> = BTreeMap::new();
    for sample in &samples {
        *counts
            .entry((
                sample.doc_id.clone(),
                sample.split,
                sample.copies,
                sample.strategy.clone(),
            ))
            .or_default() += 1;
        assert_eq!(sample.prompt_tokens.len(), 8);
        assert_eq!(sample.generated_tokens.len(), sample.logprobs.len());
        assert!(sample.logprobs.iter().all(|logprob| *logprob <= 0.0));
        match sample.finish {
            FinishReason::Length => assert_eq!(sample.generated_tokens.len(), 12),
            FinishReason::End => assert_eq!(sample.generated_tokens.last(), Some(&299)),
        }
    }
    let expected = [
        ("d1", Split::Train, 1),
        ("d2", Split::Train, 3),
        ("d3", Split::Train, 1),
        ("h1", Split::Heldout, 0),
    ];
    assert_eq!(counts.len(), 2 * expected.len());
    for (doc_id, split, copies) in expected {
        for (strategy, count) in [("greedy", 1), ("nucleus", 3)] {
            assert_eq!(
                counts[&(Some(doc_id.to_owned()), split, copies, strategy.to_owned())],
                count,
                "{doc_id} {strategy}"
            );
        }
    }
    assert_eq!(
        samples.iter().map(|sample| sample.sample_id).collect::<Vec<_>>(),
        (0..16).collect::<Vec<_>>()
    );
}

#[test]
fn results_do_not_depend_on_the_size_of_batches() {
    let bench = Bench::new("prompts = [\"train\", \"heldout\", \"none\"]\nunprompted = 3");
    let (expected, scores) = bench.extract("tiny-gpt2", "one", &["--set", "extraction.batch_size=1"]);
    for size in ["3", "64"] {
        let (found, found_scores) = bench.extract(
            "tiny-gpt2",
            size,
            &["--set", &format!("extraction.batch_size={size}")],
        );
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            close(&found.logprobs, &expected.logprobs);
            assert_eq!(
                Sample {
                    logprobs: Vec::new(),
                    ..found.clone()
                },
                Sample {
                    logprobs: Vec::new(),
                    ..expected.clone()
                }
            );
        }
        assert_eq!(found_scores, scores);
    }
}

#[test]
fn results_do_not_depend_on_where_tokens_are_chosen() {
    let bench = Bench::new("prompts = [\"train\", \"heldout\", \"none\"]\nunprompted = 3");
    let on = |place: &str, out: &str| {
        let decoding = format!("extraction.compute_path={place}");
        bench.extract("tiny-gpt2", out, &["--set", &decoding])
    };
    let (host, host_scores) = on("host", "host");
    let (device, device_scores) = on("device", "device");
    assert_eq!(host.len(), device.len());
    for (host, device) in host.iter().zip(&device) {
        close(&host.logprobs, &device.logprobs);
        let rounded = |sample: &Sample| Sample {
            logprobs: Vec::new(),
            ..sample.clone()
        };
        assert_eq!(rounded(host), rounded(device));
    }
    assert_eq!(host_scores.len(), device_scores.len());
    for (host, device) in host_scores.iter().zip(&device_scores) {
        close(&host.logprobs, &device.logprobs);
        close(&host.scheme_logprobs, &device.scheme_logprobs);
        close(&host.vocab_mean, &device.vocab_mean);
        close(&host.vocab_std, &device.vocab_std);
        assert_eq!(host.argmax_hits, device.argmax_hits);
    }
    // Neither is it part of what results were made with.
    let more = ["--set", "extraction.compute_path=device"];
    assert!(bench.told("tiny-gpt2", "host", &more).contains("up to date"));
    let output = bench.run(
        "tiny-gpt2",
        "wrong",
        &["--set", "extraction.compute_path=elsewhere"],
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn log_probabilities_of_generations_are_those_of_scoring_them() {
    // What greedy decoding writes is the most probable at every step, so where the truth agrees the scores do too.
    let (samples, scores) = Bench::new("").extract("tiny-gpt2", "cell", &[]);
    for score in scores.iter().filter(|score| score.prefix_tokens == 8) {
        let greedy = samples.iter().find(|sample| {
            sample.doc_id.as_ref() == Some(&score.doc_id)
                && sample.split == score.split
                && sample.strategy == "greedy"
        });
        let (first, hit) = (greedy.unwrap().logprobs[0], score.argmax_hits[0]);
        if hit {
            assert!((first - score.logprobs[0]).abs() < 1e-4);
        } else {
            assert!(first > score.logprobs[0]);
        }
    }
}

#[test]
fn scores_cover_documents_and_canaries_and_agree_with_themselves() {
    let (_, scores) = Bench::new("").extract("tiny-gpt2", "cell", &[]);
    let whole: BTreeMap<&str, &Score> = scores
        .iter()
        .filter(|score| score.prefix_tokens == 0)
        .map(|score| (score.doc_id.as_str(), score))
        .collect();
    assert_eq!(
        whole.keys().copied().collect::<Vec<_>>(),
        ["canary", "d1", "d2", "d3", "h1", "r1"]
    );
    assert_eq!(whole["d2"].copies, 3);
    assert_eq!(whole["r1"].kind, DocumentKind::CanaryReference);
    for score in &scores {
        let all = whole[score.doc_id.as_str()];
        let start = score.prefix_tokens as usize;
        let end = start + score.suffix_tokens as usize;
        assert_eq!(score.logprobs, all.logprobs[start..end]);
        assert!(score.zlib_bytes > 8);
        for place in 0..score.logprobs.len() {
            // The scheme keeps part of the vocabulary and re-normalises, so what can be drawn is more probable than before.
            let (plain, scheme) = (score.logprobs[place], score.scheme_logprobs[place]);
            assert!(
                scheme == f32::NEG_INFINITY || scheme >= plain - 1e-4,
                "{scheme} {plain}"
            );
            assert!(!score.argmax_hits[place] || scheme > f32::NEG_INFINITY);
            // The mean log-probability weighted by probability is minus an entropy of 300 tokens.
            assert!((-(300f32.ln()) - 1e-3..=0.0).contains(&score.vocab_mean[place]));
            assert!(score.vocab_std[place] >= 0.0);
        }
    }
}

#[test]
fn an_adapter_is_taken_with_its_base() {
    let bench = Bench::new("");
    let (plain, _) = bench.extract("tiny-gpt2", "plain", &[]);
    let (adapted, _) = bench.extract("peft-adapter", "adapted", &[]);
    assert_ne!(
        plain
            .iter()
            .map(|sample| &sample.generated_tokens)
            .collect::<Vec<_>>(),
        adapted
            .iter()
            .map(|sample| &sample.generated_tokens)
            .collect::<Vec<_>>()
    );
}

#[test]
fn the_seed_decides_and_finished_work_is_not_done_again() {
    let bench = Bench::new("");
    let (first, _) = bench.extract("tiny-gpt2", "cell", &["--seed", "1"]);
    assert!(
        String::from_utf8_lossy(&bench.run("tiny-gpt2", "cell", &["--seed", "1"]).stderr)
            .contains("up to date")
    );
    let (again, _) = bench.extract("tiny-gpt2", "cell", &["--seed", "1", "--force"]);
    assert_eq!(first, again);
    let (other, _) = bench.extract("tiny-gpt2", "cell", &["--seed", "2"]);
    assert_ne!(first, other);
}

#[test]
fn mistakes_are_told() {
    let cases: [(&str, &[&str], i32, &[&str]); 4] = [
        (
            "tiny-gpt2",
            &["--set", "extraction.prefix_tokens=60"],
            2,
            &["prefix_tokens = 60", "context is 64"],
        ),
        (
            "tiny-gpt2",
            &[
                "--set",
                "extraction.prefix_tokens=45",
                "--set",
                "extraction.short_documents=error",
            ],
            2,
            &["only", "tokens", "skip"],
        ),
        ("nowhere", &[], 3, &["nowhere"]),
        (
            "tiny-gpt2",
            &["--set", "extraction.strategy.1.top_p=0"],
            2,
            &["top_p", "over 0"],
        ),
    ];
    for (checkpoint, more, status, pieces) in cases {
        let bench = Bench::new("");
        let output = bench.run(checkpoint, "cell", more);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{message}");
        for piece in pieces {
            assert!(message.contains(piece), "{message}\nlacks {piece}");
        }
        assert!(!bench.folder.path().join("cell/samples.parquet").exists());
    }
}

#[test]
fn a_damaged_corpus_is_refused_by_name() {
    let bench = Bench::new("");
    let train = bench.folder.path().join("train.parquet");
    let bytes = std::fs::read(&train).unwrap();
    std::fs::write(&train, &bytes[..bytes.len() / 2]).unwrap();
    let output = bench.run("tiny-gpt2", "cell", &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("train.parquet"));
}
