//! Steps of AdamW against the published formula in double precision, however the tensors lie in memory.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use cpu_kernels::{AdamWStep, adamw_step, sum_of_squares};
use tch::{Device, Kind, Tensor};

const STEP: AdamWStep = AdamWStep {
    step: 1,
    learning_rate: 1e-2,
    betas: [0.9, 0.99],
    epsilon: 1e-8,
    weight_decay: 0.1,
    gradient_factor: 0.5,
};

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}

/// Weights after `steps` steps along one gradient, by algorithm 2 of Loshchilov and Hutter (2019).
fn by_formula(weights: &Tensor, gradient: &Tensor, steps: i32) -> Tensor {
    let [first_beta, second_beta] = STEP.betas;
    let gradient = gradient.to_kind(Kind::Double) * STEP.gradient_factor;
    let mut weights = weights.to_kind(Kind::Double).copy();
    let (mut first, mut second) = (gradient.zeros_like(), gradient.zeros_like());
    for step in 1..=steps {
        first = first * first_beta + &gradient * (1.0 - first_beta);
        second = second * second_beta + gradient.square() * (1.0 - second_beta);
        let corrected_first = &first / (1.0 - first_beta.powi(step));
        let corrected_second = &second / (1.0 - second_beta.powi(step));
        weights = &weights * (1.0 - STEP.learning_rate * STEP.weight_decay)
            - STEP.learning_rate * corrected_first / (corrected_second.sqrt() + STEP.epsilon);
    }
    weights
}

fn transposed_in_memory(tensor: &Tensor) -> Tensor {
    tensor.copy().tr().contiguous().tr()
}

fn by_kernel(weights: &Tensor, moments: [Tensor; 2], gradient: &Tensor, steps: i32) -> Tensor {
    let [first, second] = moments;
    for step in 1..=steps {
        adamw_step(weights, &first, &second, gradient, &AdamWStep { step, ..STEP }).unwrap();
    }
    weights.shallow_clone()
}

#[test]
fn steps_equal_the_formula_in_every_memory_layout() {
    tch::manual_seed(0);
    // The last is divided into blocks, with a rest.
    for size in [[1, 1], [3, 17], [300, 500]] {
        let (weights, gradient) = (random(&size), random(&size));
        let expected = by_formula(&weights, &gradient, 3);
        let zeros = || [weights.zeros_like(), weights.zeros_like()];
        let turned = |moments: [Tensor; 2]| moments.map(|moment| transposed_in_memory(&moment));
        let view = Tensor::zeros([size[0], size[1] + 3], (Kind::Float, Device::Cpu)).narrow(1, 1, size[1]);
        view.shallow_clone().copy_(&weights);
        for (layout, weights, moments, gradient) in [
            ("contiguous", weights.copy(), zeros(), gradient.shallow_clone()),
            (
                "gradient transposed",
                weights.copy(),
                zeros(),
                transposed_in_memory(&gradient),
            ),
            (
                "all transposed",
                transposed_in_memory(&weights),
                turned(zeros()),
                transposed_in_memory(&gradient),
            ),
            (
                "weights transposed",
                transposed_in_memory(&weights),
                zeros(),
                gradient.shallow_clone(),
            ),
            (
                "weights in a larger matrix",
                view,
                zeros(),
                gradient.shallow_clone(),
            ),
        ] {
            let found = by_kernel(&weights, moments, &gradient, 3);
            let error = (found.to_kind(Kind::Double) - &expected)
                .abs()
                .max()
                .double_value(&[]);
            assert!(error < 1e-6, "{layout} {size:?}: {error}");
        }
    }
}

#[test]
fn a_step_does_not_depend_on_the_number_of_threads() {
    tch::manual_seed(1);
    let (weights, gradient) = (random(&[400, 500]), random(&[400, 500]));
    let stepped = [1, 2, 3].map(|threads| {
        tch::set_num_threads(threads);
        let squares = sum_of_squares(&gradient).unwrap();
        let zeros = [weights.zeros_like(), weights.zeros_like()];
        (by_kernel(&weights.copy(), zeros, &gradient, 2), squares)
    });
    for (weights, squares) in &stepped[1..] {
        assert_eq!(*weights, stepped[0].0);
        assert_eq!(*squares, stepped[0].1);
    }
}

#[test]
fn shapes_that_differ_are_refused() {
    let (weights, moment) = (random(&[2, 3]), random(&[2, 3]));
    let error = adamw_step(&weights, &moment, &moment.copy(), &random(&[3, 2]), &STEP).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("gradient is [3, 2], and the weight [2, 3]"),
        "{error}"
    );
}
