//! Logits are float32 products, whatever precision a model is kept in.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use causal_lm::CausalLm;
use tch::{Device, Kind, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn tokens() -> Tensor {
    Tensor::from_slice(&[7_i64, 18, 33, 15, 12, 31, 2, 29, 24, 5]).unsqueeze(0)
}

/// A head that is the embedding, and one of its own.
#[test]
fn logits_of_a_bf16_model_are_the_float32_product_of_its_hidden_states_and_head() {
    let _guard = tch::no_grad_guard();
    for name in ["tiny-gpt2", "families/gpt_neox"] {
        let mut model = CausalLm::load(&fixture(name), Kind::BFloat16, Device::Cpu).unwrap();
        let hidden = model.hidden(&tokens(), None, None).unwrap();
        assert_eq!(
            (hidden.kind(), model.head().kind()),
            (Kind::BFloat16, Kind::BFloat16)
        );
        // Computed in double precision from the very numbers in bf16.
        let exact = hidden
            .to_kind(Kind::Double)
            .matmul(&model.head().to_kind(Kind::Double).tr());
        for way in ["as loaded", "again", "prepared to decode"] {
            if way == "prepared to decode" {
                model.prepare_to_decode().unwrap();
            }
            let found = model.logits(&hidden).unwrap();
            assert_eq!((found.kind(), found.size()), (Kind::Float, exact.size()));
            let largest = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
            let error = largest(&(&exact - &found)) / largest(&exact);
            assert!(error < 1e-6, "{name} {way}: {error}");
            // Rounded to bf16 they are others, and far from the product.
            let rounded = found.to_kind(Kind::BFloat16).to_kind(Kind::Float);
            assert!(
                largest(&(&exact - &rounded)) / largest(&exact) > 1e-4,
                "{name} {way}"
            );
        }
    }
}

/// The copy of the head in float32 is none of a head that has changed since.
#[test]
fn a_changed_head_gives_other_logits() {
    let _guard = tch::no_grad_guard();
    let mut model = CausalLm::load(&fixture("tiny-gpt2"), Kind::BFloat16, Device::Cpu).unwrap();
    let hidden = model.hidden(&tokens(), None, None).unwrap();
    let before = model.logits(&hidden).unwrap();
    let name = model.head_name();
    for parameter in model.parameters_mut() {
        if parameter.name == name {
            *parameter.tensor = &*parameter.tensor * 2.0;
        }
    }
    let after = model.logits(&hidden).unwrap();
    assert!(after.allclose(&(before * 2.0), 1e-6, 1e-6, false));
}

/// What is trained through has its gradient.
#[test]
fn gradients_of_hidden_states_pass_through_the_float32_product() {
    let model = CausalLm::load(&fixture("tiny-gpt2"), Kind::BFloat16, Device::Cpu).unwrap();
    let hidden = tch::no_grad(|| model.hidden(&tokens(), None, None).unwrap()).set_requires_grad(true);
    model
        .logits(&hidden)
        .unwrap()
        .narrow(2, 3, 1)
        .sum(Kind::Float)
        .backward();
    // Of the sum of token 3's logits it is that token's row of the head at every place.
    let row = model.head().select(0, 3);
    for place in 0..10 {
        assert!(hidden.grad().get(0).get(place).equal(&row));
    }
}
