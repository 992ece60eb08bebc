//! Membership scores that take passes of their own, against transformers (`scripts/fixtures/membership.py`).

use std::path::Path;

use contract::records::{HeldOutDocument, HeldOutRole};

use crate::support::{Bench, held_out, training};

const GREEDY: &str = "[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n";

#[test]
fn conditional_losses_and_gradients_are_those_of_transformers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/membership.json");
    let expected: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let texts = expected["texts"].as_array().unwrap();
    let train: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| training(&format!("d{number}"), text["text"].as_str().unwrap(), ""))
        .collect();
    let choosing = expected["choosing"].as_array().unwrap().iter().enumerate();
    let choosing: Vec<_> = choosing
        .map(|(number, text)| HeldOutDocument {
            role: Some(HeldOutRole::Validation),
            ..held_out(&format!("h{number}"), text.as_str().unwrap(), "")
        })
        .collect();
    for (membership, is_asked) in [("[\"conditional\", \"gradient-norm\"]", true), ("[]", false)] {
        let bench = Bench::with(&train, &choosing, &format!("membership = {membership}\n{GREEDY}"));
        let (_, scores) = bench.extract("tiny-gpt2", "cell", &[]);
        for (number, text) in texts.iter().enumerate() {
            let mut rows = scores.iter().filter(|score| score.doc_id == format!("d{number}"));
            let whole = rows.find(|score| score.prefix_tokens == 0).unwrap();
            let nats: f32 = whole.logprobs.iter().sum();
            let close = |found: f64, name: &str| {
                let expected = text[name].as_f64().unwrap();
                assert!(
                    (found - expected).abs() < 2e-4 * expected,
                    "{name} of {number}: {found} {expected}"
                );
            };
            close(f64::from(-nats) / f64::from(whole.suffix_tokens), "loss");
            assert_eq!(whole.gradient_norm.is_some(), is_asked);
            assert_eq!(
                whole.conditional_loss.is_some(),
                is_asked && !text["conditional_loss"].is_null()
            );
            if let Some(norm) = whole.gradient_norm {
                close(norm.into(), "gradient_norm");
            }
            if let Some(loss) = whole.conditional_loss {
                close(loss.into(), "conditional_loss");
            }
            assert!(rows.all(|row| row.gradient_norm.is_none() && row.conditional_loss.is_none()));
        }
        // Those that stand before the others have no such score of their own.
        let choosing = scores.iter().filter(|score| score.doc_id.starts_with('h'));
        assert!(choosing.into_iter().all(|score| score.conditional_loss.is_none()));
    }
    // Without documents that choose nothing can stand before the others, which is said.
    let bench = Bench::with(&train, &[], &format!("membership = [\"conditional\"]\n{GREEDY}"));
    let told = bench.told("tiny-gpt2", "cell", &[]);
    assert!(told.contains("nothing can stand before documents"), "{told}");
}
