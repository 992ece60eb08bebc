//! The filters against transformers' on a committed fixture, and against a slow reference on random logits.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use extractor::sampling::{SamplingParams, most_probable};
use proptest::prelude::*;

#[derive(Debug, serde::Deserialize)]
struct Case {
    name: String,
    logits: Vec<Option<f32>>,
    temperature: f64,
    top_k: usize,
    top_p: f64,
    probabilities: Vec<f64>,
}

fn dense(params: SamplingParams, logits: &[f32]) -> Vec<f64> {
    let mut probabilities = vec![0.0; logits.len()];
    for entry in params.distribution(logits) {
        probabilities[entry.token] = entry.probability;
    }
    probabilities
}

#[test]
fn filters_are_those_of_transformers() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/filters.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let logits: Vec<f32> = case
            .logits
            .iter()
            .map(|logit| logit.unwrap_or(f32::NEG_INFINITY))
            .collect();
        let params = SamplingParams {
            temperature: case.temperature,
            top_k: case.top_k,
            top_p: case.top_p,
        };
        for (token, (found, expected)) in dense(params, &logits)
            .into_iter()
            .zip(&case.probabilities)
            .enumerate()
        {
            assert!(
                (found - expected).abs() < 1e-5,
                "{}: token {token}: {found} for {expected}",
                case.name
            );
        }
    }
}

/// The definition word for word: sort, scale, cut, re-normalise.
fn slow(params: SamplingParams, logits: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&first, &second| logits[second].total_cmp(&logits[first]));
    let kept = if params.top_k == 0 {
        logits.len()
    } else {
        params.top_k.min(logits.len())
    };
    let threshold = logits[order[kept - 1]];
    let largest = f64::from(logits[order[0]]);
    let weight = |token: usize| {
        if logits[token] < threshold {
            0.0
        } else {
            ((f64::from(logits[token]) - largest) / params.temperature).exp()
        }
    };
    let mut probabilities: Vec<f64> = (0..logits.len()).map(weight).collect();
    let sum: f64 = probabilities.iter().sum();
    for probability in &mut probabilities {
        *probability /= sum;
    }
    // The nucleus: the fewest tokens, most probable first, that reach top_p.
    let mut reached = 0.0;
    for &token in &order {
        if reached >= params.top_p {
            probabilities[token] = 0.0;
        }
        reached += probabilities[token];
    }
    let sum: f64 = probabilities.iter().sum();
    probabilities
        .iter()
        .map(|probability| probability / sum)
        .collect()
}

proptest! {
    #[test]
    fn sampling_follows_its_definition(
        logits in proptest::collection::vec(-8.0f32..8.0, 1..40),
        temperature in 0.2f64..3.0,
        top_k in 0usize..50,
        top_p in 0.05f64..0.999,
    ) {
        let params = SamplingParams { temperature, top_k, top_p };
        let (found, expected) = (dense(params, &logits), slow(params, &logits));
        // A nucleus that ends within rounding of a token's edge may fall either way.
        let differing = found.iter().zip(&expected).filter(|(found, expected)| (*found - *expected).abs() > 1e-9).count();
        let sizes = [&found, &expected].map(|values| values.iter().filter(|value| **value > 0.0).count());
        prop_assert!(differing == 0 || sizes[0].abs_diff(sizes[1]) == 1, "{found:?}\n{expected:?}");
        prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn draws_follow_the_distribution(logits in proptest::collection::vec(-4.0f32..4.0, 1..12), top_k in 0usize..12) {
        let params = SamplingParams { temperature: 1.0, top_k, top_p: 1.0 };
        let mut counts = vec![0.0; logits.len()];
        // Equally spaced numbers invert the cumulative distribution exactly, up to one step.
        for step in 0..1000 {
            counts[params.draw(&logits, (f64::from(step) + 0.5) / 1000.0)] += 1e-3;
        }
        for (count, probability) in counts.iter().zip(dense(params, &logits)) {
            prop_assert!((count - probability).abs() < 2e-3, "{count} for {probability}");
        }
    }

    #[test]
    fn greedy_is_certain(logits in proptest::collection::vec(-4.0f32..4.0, 1..12), uniform in 0.0f64..1.0) {
        let params = SamplingParams { temperature: 0.0, top_k: 0, top_p: 1.0 };
        let best = most_probable(&logits);
        prop_assert_eq!(params.draw(&logits, uniform), best);
        prop_assert_eq!(params.log_probability(&logits, best), 0.0);
        prop_assert!(logits.iter().all(|&logit| logit <= logits[best]));
    }
}
