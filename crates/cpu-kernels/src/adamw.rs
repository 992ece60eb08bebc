//! One step of AdamW (Loshchilov and Hutter 2019) in one reading of the memory.
//!
//! LibTorch's single operations read and write the four tensors a dozen times; here all that a step does to a weight is done while
//! it is in the processor.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use tch::{Kind, TchError, Tensor};

use crate::dispatch::{Instructions, dispatch};
use crate::{slice, threads};

/// The settings of one step for one tensor.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Steps that were taken, this one included; 1 or more.
    pub step: i32,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first and the second moment, from 0 up to but not 1.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Factor that the gradient is multiplied by first, such as that of clipping.
    pub gradient_factor: f64,
}

/// What follows from the settings, as the loop takes it.
#[derive(Debug, Clone, Copy)]
struct Coefficients {
    gradient_factor: f64,
    betas: [f64; 2],
    epsilon: f64,
    /// Share of the weight that decay leaves.
    kept: f64,
    /// Learning rate over the bias correction of the first moment.
    rate: f64,
    /// Bias correction of the second moment's root.
    correction: f64,
}

impl AdamWStep {
    fn coefficients(&self) -> Coefficients {
        let [first_beta, second_beta] = self.betas;
        Coefficients {
            gradient_factor: self.gradient_factor,
            betas: self.betas,
            epsilon: self.epsilon,
            kept: 1.0 - self.learning_rate * self.weight_decay,
            rate: self.learning_rate / (1.0 - first_beta.powi(self.step)),
            correction: 1.0 / (1.0 - second_beta.powi(self.step)).sqrt(),
        }
    }
}

/// Changes `weights` and both moments in place along `gradient`. All four have one shape; a matrix may be transposed in memory.
///
/// # Errors
/// [`TchError`] where shapes differ, or where memory runs out.
pub fn adamw_step(
    weights: &Tensor,
    first_moment: &Tensor,
    second_moment: &Tensor,
    gradient: &Tensor,
    step: &AdamWStep,
) -> Result<(), TchError> {
    let _guard = tch::no_grad_guard();
    let shape = weights.size();
    for (name, tensor) in [
        ("first moment", first_moment),
        ("second moment", second_moment),
        ("gradient", gradient),
    ] {
        if tensor.size() != shape {
            let found = tensor.size();
            let problem = format!("AdamW's {name} is {found:?}, and the weight {shape:?}");
            return Err(TchError::Shape(problem));
        }
    }
    let coefficients = step.coefficients();
    let gradient = gradient.f_to_kind(Kind::Float)?;
    if change_in_memory([weights, first_moment, second_moment], &gradient, &coefficients)? {
        return Ok(());
    }
    change_by_libtorch(
        [
            weights.f_detach()?,
            first_moment.f_detach()?,
            second_moment.f_detach()?,
        ],
        &gradient,
        &coefficients,
    )
}

/// Changes dense float32 tensors on the CPU that lie alike; false, and nothing is changed, where they are others.
fn change_in_memory(
    changed: [&Tensor; 3],
    gradient: &Tensor,
    coefficients: &Coefficients,
) -> Result<bool, TchError> {
    if slice::share_memory(&[changed[0], changed[1], changed[2], gradient]) {
        return Ok(false);
    }
    let (mut weights, is_transposed) = slice::dense_view(changed[0])?;
    let (mut first, first_is_transposed) = slice::dense_view(changed[1])?;
    let (mut second, second_is_transposed) = slice::dense_view(changed[2])?;
    let gradient = if is_transposed {
        gradient.f_tr()?
    } else {
        gradient.shallow_clone()
    };
    let gradient = gradient.f_contiguous()?;
    let are_alike = first_is_transposed == is_transposed && second_is_transposed == is_transposed;
    if are_alike
        && let (Some(weights), Some(first), Some(second), Some(gradient)) = (
            slice::contiguous_mut::<f32>(&mut weights),
            slice::contiguous_mut::<f32>(&mut first),
            slice::contiguous_mut::<f32>(&mut second),
            slice::contiguous::<f32>(&gradient),
        )
    {
        change_slices([weights, first, second], gradient, coefficients);
        return Ok(true);
    }
    Ok(false)
}

fn change_slices(changed: [&mut [f32]; 3], gradient: &[f32], coefficients: &Coefficients) {
    let instructions = Instructions::widest();
    let [weights, first, second] = changed.map(|values| values.chunks_mut(threads::BLOCK));
    let gradient = gradient.chunks(threads::BLOCK);
    let blocks: Vec<_> = weights.zip(first).zip(second).zip(gradient).collect();
    threads::map(
        threads::count(blocks.len()),
        blocks,
        |(((weights, first), second), gradient)| {
            change_block(instructions, weights, first, second, gradient, coefficients);
        },
    );
}

dispatch! {
    fn change_block[](
        weights: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradient: &[f32],
        coefficients: &Coefficients,
    ) = change_values
}

#[inline(always)]
fn change_values(
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    coefficients: &Coefficients,
) {
    let [first_beta, second_beta] = coefficients.betas.map(|beta| beta as f32);
    let [first_new, second_new] = coefficients.betas.map(|beta| (1.0 - beta) as f32);
    let (factor, kept) = (coefficients.gradient_factor as f32, coefficients.kept as f32);
    let (rate, correction) = (coefficients.rate as f32, coefficients.correction as f32);
    let epsilon = coefficients.epsilon as f32;
    let moments = first.iter_mut().zip(second);
    for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * factor;
        *first = *first * first_beta + gradient * first_new;
        *second = *second * second_beta + gradient * gradient * second_new;
        *weight = *weight * kept - rate * *first / (second.sqrt() * correction + epsilon);
    }
}

fn change_by_libtorch(
    changed: [Tensor; 3],
    gradient: &Tensor,
    coefficients: &Coefficients,
) -> Result<(), TchError> {
    let [mut weights, mut first_moment, mut second_moment] = changed;
    let [first_beta, second_beta] = coefficients.betas;
    let gradient = gradient.f_mul_scalar(coefficients.gradient_factor)?;
    let _ = weights.f_mul_scalar_(coefficients.kept)?;
    let _ = first_moment.f_lerp_(&gradient, 1.0 - first_beta)?;
    let squares = gradient.f_square()?.f_mul_scalar(1.0 - second_beta)?;
    let _ = second_moment.f_mul_scalar_(second_beta)?.f_add_(&squares)?;
    let root = second_moment
        .f_sqrt()?
        .f_mul_scalar(coefficients.correction)?
        .f_add_scalar(coefficients.epsilon)?;
    let _ = weights.f_sub_(&first_moment.f_div(&root)?.f_mul_scalar(coefficients.rate)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_instructions_give_the_same_bits() {
        let values =
            |factor: f32| -> Vec<f32> { (0..1003).map(|place| (place as f32 * factor).sin()).collect() };
        let coefficients = AdamWStep {
            step: 3,
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.1,
            gradient_factor: 0.5,
        }
        .coefficients();
        let gradient = values(1.3);
        let changed: Vec<_> = Instructions::available()
            .map(|instructions| {
                let [mut weights, mut first] = [values(0.7), values(0.2)];
                let mut second: Vec<f32> = values(0.9).iter().map(|value| value * value).collect();
                change_block(
                    instructions,
                    &mut weights,
                    &mut first,
                    &mut second,
                    &gradient,
                    &coefficients,
                );
                [weights, first, second]
            })
            .collect();
        assert!(changed.iter().all(|found| *found == changed[0]));
        assert_ne!(changed[0][0], values(0.7));
    }
}
