//! Generation and scoring where the model is against the same on the host, with models of every family.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use causal_lm::CausalLm;
use contract::pipeline::{ComputePath, Extraction, Strategy};
use contract::records::{DocumentKind, FinishReason, PromptForm, Sample, Score, Split};
use extractor::documents::{Document, Documents};
use extractor::generation::generate;
use extractor::prompts::{Prompt, Prompts};
use extractor::{LoadedModel, scoring};
use tch::{Device, Kind};
use text_tokens::TextTokenizer;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures")
}

fn families() -> Vec<String> {
    let folders = std::fs::read_dir(fixtures().join("families")).unwrap();
    let mut names: Vec<String> = folders
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 15, "{names:?}");
    names
}

/// A model of a family; the tokenizer is that of the tiny GPT-2, whose first tokens it has.
fn family(name: &str, bos: Vec<i64>) -> LoadedModel {
    let model = CausalLm::load(&fixtures().join("families").join(name), Kind::Float, Device::Cpu).unwrap();
    LoadedModel {
        tokenizer: TextTokenizer::load(&fixtures().join("tiny-gpt2")).unwrap(),
        end_tokens: model.config.eos_token_ids.clone(),
        model,
        bos,
    }
}

/// Tokens that look like any.
fn tokens(number: usize, length: usize) -> Vec<i64> {
    (0..length)
        .map(|place| 3 + ((number * 31 + place * 17 + place * place * 5) % 61) as i64)
        .collect()
}

/// Prompts of several lengths, so that batches are padded, for strategies that need different operations.
fn prompts(strategies: usize) -> Prompts {
    let all: Vec<Prompt> = [5, 5, 9, 12, 3, 9]
        .iter()
        .enumerate()
        .map(|(number, &length)| Prompt {
            doc_id: None,
            split: Split::None,
            copies: 0,
            form: PromptForm::File,
            number,
            tokens: tokens(number, length),
            begun: None,
            reference: Vec::new(),
        })
        .collect();
    Prompts {
        of_strategy: vec![(0..all.len()).collect(); strategies],
        all,
        ..Prompts::default()
    }
}

fn strategies() -> Vec<Strategy> {
    let strategy = |name: &str, temperature, top_k, top_p, samples| Strategy {
        name: name.to_owned(),
        temperature,
        top_k,
        top_p,
        samples,
        ..Strategy::default()
    };
    vec![
        strategy("greedy", 0.0, 40, 1.0, 1),
        strategy("top-k", 1.0, 10, 1.0, 3),
        strategy("nucleus", 0.8, 0, 0.9, 2),
        strategy("both", 1.2, 20, 0.7, 2),
        strategy("whole", 1.0, 0, 1.0, 1),
    ]
}

fn settings(path: ComputePath, batch_size: usize) -> Extraction {
    Extraction {
        prefix_tokens: 5,
        new_tokens: 45,
        batch_size: Some(batch_size),
        strategy: strategies(),
        scored_prefixes: Vec::new(),
        compute_path: Some(path),
        ..Extraction::default()
    }
}

#[track_caller]
fn check_samples(name: &str, host: &[Sample], device: &[Sample]) {
    assert_eq!(host.len(), device.len());
    for (host, device) in host.iter().zip(device) {
        let without = |sample: &Sample| Sample {
            logprobs: Vec::new(),
            ..sample.clone()
        };
        assert_eq!(without(host), without(device), "{name}");
        close(name, &host.logprobs, &device.logprobs);
    }
}

#[track_caller]
fn close(name: &str, host: &[f32], device: &[f32]) {
    assert_eq!(host.len(), device.len(), "{name}");
    for (place, (host, device)) in host.iter().zip(device).enumerate() {
        assert!(
            host == device || (host - device).abs() < 1e-5,
            "{name}, token {place}: {host} on the host, {device} on the device"
        );
    }
}

/// Tokens with which more than two of five rows end, so that they leave the batch, and no more than three of four.
fn end_tokens(samples: &[Sample]) -> Vec<i64> {
    let share = |end_tokens: &[i64]| {
        let ends = |sample: &&Sample| {
            let mut tokens = sample.generated_tokens.iter();
            tokens.any(|&token| end_tokens.contains(&i64::from(token)))
        };
        samples.iter().filter(ends).count() as f64 / samples.len() as f64
    };
    let mut end_tokens = vec![2];
    for token in samples
        .iter()
        .filter_map(|sample| sample.generated_tokens.get(12))
    {
        let more = [&end_tokens[..], &[i64::from(*token)]].concat();
        if share(&end_tokens) <= 0.4 && share(&more) <= 0.75 {
            end_tokens = more;
        }
    }
    end_tokens
}

#[test]
fn device_decoding_writes_what_host_decoding_writes_in_every_family() {
    for name in families() {
        let mut model = family(&name, vec![1]);
        let prompts = prompts(strategies().len());
        let mut draw = |end_tokens: &[i64], path, batch_size| {
            model.end_tokens = end_tokens.to_vec();
            let settings = settings(path, batch_size);
            generate(std::slice::from_mut(&mut model), &settings, &prompts, 11)
                .unwrap()
                .samples
        };
        let end_tokens = end_tokens(&draw(&[2], ComputePath::Host, 64));
        let mut draw = |path, batch_size| draw(&end_tokens, path, batch_size);
        let host = draw(ComputePath::Host, 64);
        for batch_size in [64, 7] {
            check_samples(&name, &host, &draw(ComputePath::Device, batch_size));
        }
        let ended = host
            .iter()
            .filter(|sample| sample.finish == FinishReason::End)
            .count();
        assert!(ended > host.len() / 4, "{name}: {ended} of {} ended", host.len());
        assert!(
            host.iter().any(|sample| sample.generated_tokens.len() > 16),
            "{name}"
        );
    }
}

#[test]
fn beams_taken_off_the_device_are_those_of_the_host() {
    for name in families() {
        let mut model = family(&name, vec![1]);
        let beams: Vec<Strategy> = strategies()
            .into_iter()
            .enumerate()
            .map(|(number, strategy)| Strategy {
                beams: 2 + number,
                samples: 3,
                ..strategy
            })
            .collect();
        let prompts = prompts(beams.len());
        let mut search = |path| {
            let settings = Extraction {
                new_tokens: 9,
                strategy: beams.clone(),
                ..settings(path, 40)
            };
            let models = std::slice::from_mut(&mut model);
            generate(models, &settings, &prompts, 0).unwrap().samples
        };
        let host = search(ComputePath::Host);
        assert!(host.len() > 6 * beams.len(), "{name}");
        check_samples(&name, &host, &search(ComputePath::Device));
    }
}

fn documents(model: &LoadedModel) -> Documents {
    let all = [11, 30, 30, 17, 50, 2]
        .iter()
        .enumerate()
        .map(|(number, &length)| Document {
            doc_id: format!("d{number}"),
            split: if number == 3 { Split::Heldout } else { Split::Train },
            kind: DocumentKind::Document,
            copies: 1,
            tokens: tokens(number, length),
            document_tokens: length,
            question_tokens: 0,
            preamble_tokens: 0,
            is_answer_alone: false,
            shared_tokens: 0,
            shared_question_tokens: 0,
            assistant_tokens: Vec::new(),
            canary_format: None,
            secret_tokens: None,
            is_other: false,
            is_choosing: false,
        });
    Documents::new(all.collect(), &model.tokenizer)
}

/// What overflows is no certainty: inf − inf is not a number, which a comparison would take for nothing.
#[test]
fn logits_that_are_not_finite_are_an_error_and_no_result() {
    let mut model = family("gpt2", vec![1]);
    for parameter in model.model.parameters_mut() {
        if parameter.name == "transformer.ln_f.weight" {
            let _guard = tch::no_grad_guard();
            let _filled = parameter.tensor.fill_(3e38);
        }
    }
    let documents = documents(&model);
    let prompts = prompts(strategies().len());
    for path in [ComputePath::Host, ComputePath::Device] {
        let settings = settings(path, 8);
        let models = std::slice::from_mut(&mut model);
        for problem in [
            generate(models, &settings, &prompts, 0).unwrap_err(),
            scoring::score(&model, &settings, &documents).unwrap_err(),
        ] {
            assert!(problem.to_string().contains("not finite"), "{problem}");
        }
    }
}

#[test]
fn device_scores_equal_host_scores_in_every_family() {
    for name in families() {
        // With and without a token before texts: without, the first token is predicted by something else.
        for bos in [vec![1], Vec::new()] {
            let model = family(&name, bos);
            let documents = documents(&model);
            for strategy in strategies() {
                let what = format!("{name}, {}", strategy.name);
                let score = |path| -> Vec<Score> {
                    let settings = Extraction {
                        strategy: vec![strategy.clone()],
                        ..settings(path, 8)
                    };
                    scoring::score(&model, &settings, &documents).unwrap()
                };
                let (host, device) = (score(ComputePath::Host), score(ComputePath::Device));
                assert!(host.len() > 6, "{what}");
                assert_eq!(host.len(), device.len(), "{what}");
                let (mut drawable, mut others) = (0, 0);
                for (host, device) in host.iter().zip(&device) {
                    assert_eq!(host.argmax_hits, device.argmax_hits, "{what}");
                    // −∞ in the same places: they are equal, or differ by a finite number.
                    close(&what, &host.scheme_logprobs, &device.scheme_logprobs);
                    close(&what, &host.logprobs, &device.logprobs);
                    close(&what, &host.vocab_mean, &device.vocab_mean);
                    close(&what, &host.vocab_std, &device.vocab_std);
                    let rows = host.scheme_logprobs.iter();
                    others += rows.filter(|logprob| **logprob == f32::NEG_INFINITY).count();
                    drawable += host.scheme_logprobs.len();
                    assert_eq!(
                        (&host.doc_id, host.prefix_tokens),
                        (&device.doc_id, device.prefix_tokens)
                    );
                }
                let truncates = strategy.name != "whole";
                assert_eq!(others > 0, truncates, "{what}: {others} of {drawable}");
                assert!(others < drawable || strategy.name == "greedy", "{what}: {others}");
            }
        }
    }
}
