//! One step of AdamW against PyTorch's, on the fixture that `scripts/fixtures/causal_lm.py` makes.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use causal_lm::{CausalLm, weights};
use tch::{Device, Kind, Reduction, Tensor};
use tuner::{AdamW, Gradients};

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
    let mut gradients = Gradients::none(model.trainable().len());
    for (place, (_, tensor)) in model.trainable().into_iter().enumerate() {
        gradients.add(place, tensor.grad()).unwrap();
    }
    optimizer.step(&gradients, 1.0, 1e-2).unwrap();

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
fn the_norm_is_that_of_all_gradients() {
    // (3, 4) and (12): √(9 + 16 + 144) = 13. Some more than is summed at once: 100,000 times 0.5² is 25,000.
    let mut gradients = Gradients::none(3);
    gradients.add(0, Tensor::from_slice(&[3.0f32, 4.0])).unwrap();
    gradients.add(2, Tensor::from_slice(&[10.0f32])).unwrap();
    gradients.add(2, Tensor::from_slice(&[2.0f32])).unwrap();
    assert_eq!(gradients.norm().unwrap(), 13.0);
    gradients
        .add(1, Tensor::full([250, 400], 0.5, (Kind::Float, Device::Cpu)).tr())
        .unwrap();
    assert_eq!(gradients.norm().unwrap(), 25_169.0_f64.sqrt());
}

/// Weights that lie transposed in memory, gradients in either order, and as many numbers as several threads share.
#[test]
fn a_step_does_not_depend_on_how_numbers_lie() {
    tch::manual_seed(0);
    let (weight, gradient) = (
        Tensor::randn([300, 500], (Kind::Float, Device::Cpu)),
        Tensor::randn([300, 500], (Kind::Float, Device::Cpu)),
    );
    let transposed = |tensor: &Tensor| tensor.tr().contiguous().tr();
    let stepped = |weight: Tensor, gradient: Tensor, factor: f64| {
        let mut optimizer = AdamW::new(vec![("w".into(), weight.shallow_clone())], [0.9, 0.99], 0.1).unwrap();
        for _ in 0..3 {
            let mut gradients = Gradients::none(1);
            gradients.add(0, gradient.shallow_clone()).unwrap();
            optimizer.step(&gradients, factor, 1e-2).unwrap();
        }
        weight
    };
    let expected = stepped(weight.copy(), gradient.copy(), 0.5);
    assert!((&expected - &weight).abs().min().double_value(&[]) > 0.0);
    for (weight, gradient, factor) in [
        (transposed(&weight), gradient.copy(), 0.5),
        (weight.copy(), transposed(&gradient), 0.5),
        (transposed(&weight), transposed(&gradient), 0.5),
        (weight.copy(), &gradient * 0.5, 1.0),
    ] {
        assert_eq!(stepped(weight, gradient, factor), expected);
    }
}
