//! One step of AdamW against PyTorch's, on the fixture that `scripts/fixtures/causal_lm.py` makes.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use causal_lm::{CausalLm, weights};
use tch::{Device, Kind, Reduction, Tensor};
use tuner::AdamW;

#[test]
fn one_step_is_that_of_pytorch() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures");
    let expected = weights::read(&fixtures.join("expected.safetensors"), Kind::Float, Device::Cpu).unwrap();
    let mut model = CausalLm::load(&fixtures.join("tiny-gpt2"), Kind::Float, Device::Cpu).unwrap();
    model.tune_all(Kind::Float).unwrap();
    let mut optimizer = AdamW::new(model.trainable(), [0.9, 0.999], 0.1).unwrap();

    let tokens = &expected["tokens"];
    let predictions = tokens.size()[1] - 1;
    let logits = model
        .logits(
            &model
                .hidden(&tokens.narrow(1, 0, predictions), None, None)
                .unwrap(),
        )
        .unwrap();
    let target = tokens.narrow(1, 1, predictions).reshape([-1]);
    let logits = logits.reshape([-1, model.config.vocabulary as i64]);
    logits
        .cross_entropy_loss(&target, None::<Tensor>, Reduction::Mean, -100, 0.0)
        .backward();
    let norm = optimizer.clip(0.0).unwrap();
    assert!(norm > 0.0);
    optimizer.step(1e-2).unwrap();

    let mut compared = 0;
    for (name, tensor) in model.trainable() {
        let Some(goal) = expected.get(&format!("stepped.{name}")) else {
            continue;
        };
        // Adam divides a gradient by its own size, so a gradient of rounding noise steps anywhere within the learning rate;
        // where the true gradient is well over that, the step must agree.
        let gradient = &expected[&format!("gradient.{name}")];
        let sure = gradient.abs().gt(1e-5);
        let difference = ((tensor - goal) * sure).abs().max().double_value(&[]);
        assert!(difference < 2e-5, "{name}: differs by {difference}");
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn clipping_scales_all_gradients_by_one_factor() {
    // Gradients (3, 4) and (12): the norm is √(9 + 16 + 144) = 13; clipped to 6.5, each is halved.
    let first = Tensor::from_slice(&[1.0f32, 1.0]).set_requires_grad(true);
    let second = Tensor::from_slice(&[1.0f32]).set_requires_grad(true);
    let loss =
        (&first * Tensor::from_slice(&[3.0f32, 4.0])).sum(Kind::Float) + (&second * 12.0).sum(Kind::Float);
    loss.backward();
    let optimizer = AdamW::new(
        vec![
            ("a".into(), first.shallow_clone()),
            ("b".into(), second.shallow_clone()),
        ],
        [0.9, 0.999],
        0.0,
    )
    .unwrap();
    assert_eq!(optimizer.clip(6.5).unwrap(), 13.0);
    for (tensor, goal) in [(first, vec![1.5, 2.0]), (second, vec![6.0])] {
        let found = Vec::<f32>::try_from(tensor.grad()).unwrap();
        assert!(
            found
                .iter()
                .zip(&goal)
                .all(|(found, goal)| (found - goal).abs() < 1e-5),
            "{found:?}"
        );
    }
}
