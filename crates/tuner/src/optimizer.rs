//! AdamW (Loshchilov and Hutter 2019) with decay decoupled from the gradient.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use std::collections::BTreeMap;

use causal_lm::Error;
use tch::{Kind, Tensor};

use crate::Gradients;
use crate::numbers::{self, BLOCK, in_parallel, with_widest_instructions};

mod on_device;

/// AdamW over named float32 tensors, with its state open to be saved.
#[derive(Debug)]
pub struct AdamW {
    parameters: Vec<Parameter>,
    betas: [f64; 2],
    weight_decay: f64,
    steps: i32,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    tensor: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    decays: bool,
}

/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;

impl AdamW {
    /// An optimizer of `tensors`. Weight decay applies to matrices, not to biases and norms, which have one dimension.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn new(tensors: Vec<(String, Tensor)>, betas: [f64; 2], weight_decay: f64) -> Result<Self, Error> {
        let mut parameters = Vec::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            let (first_moment, second_moment) = (tensor.f_zeros_like()?, tensor.f_zeros_like()?);
            let decays = tensor.dim() > 1;
            parameters.push(Parameter {
                name,
                tensor,
                first_moment,
                second_moment,
                decays,
            });
        }
        Ok(Self {
            parameters,
            betas,
            weight_decay,
            steps: 0,
        })
    }

    /// Numbers that training changes.
    pub fn count(&self) -> usize {
        self.parameters
            .iter()
            .map(|parameter| parameter.tensor.numel())
            .sum()
    }

    /// One step at `learning_rate` along `factor` times the gradients. What has no gradient stays as it is.
    ///
    /// # Errors
    /// [`Error::Torch`] where a gradient does not fit.
    pub fn step(&mut self, gradients: &Gradients, factor: f64, learning_rate: f64) -> Result<(), Error> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let [first_beta, second_beta] = self.betas;
        for (place, parameter) in self.parameters.iter_mut().enumerate() {
            let Some(gradient) = gradients.get(place) else {
                continue;
            };
            let decay = if parameter.decays { self.weight_decay } else { 0.0 };
            let update = Update {
                factor,
                betas: self.betas,
                kept: 1.0 - learning_rate * decay,
                rate: learning_rate / (1.0 - first_beta.powi(self.steps)),
                correction: 1.0 / (1.0 - second_beta.powi(self.steps)).sqrt(),
            };
            parameter.change(gradient, &update)?;
        }
        Ok(())
    }

    /// Counts a step in which there was nothing to learn.
    pub fn skip(&mut self) {
        self.steps += 1;
    }

    /// Everything that a resumed run needs: weights and both moments, by name.
    pub(crate) fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state = BTreeMap::new();
        for Parameter {
            name,
            tensor,
            first_moment,
            second_moment,
            ..
        } in &self.parameters
        {
            state.insert(format!("weight.{name}"), tensor.detach());
            state.insert(format!("first_moment.{name}"), first_moment.shallow_clone());
            state.insert(format!("second_moment.{name}"), second_moment.shallow_clone());
        }
        state
    }

    /// Takes over a saved state after `steps` steps.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(crate) fn restore(
        &mut self,
        mut state: BTreeMap<String, Tensor>,
        steps: usize,
    ) -> Result<(), String> {
        let _guard = tch::no_grad_guard();
        for Parameter {
            name,
            tensor,
            first_moment,
            second_moment,
            ..
        } in &mut self.parameters
        {
            for (part, place) in [
                ("weight", tensor),
                ("first_moment", first_moment),
                ("second_moment", second_moment),
            ] {
                let saved = state
                    .remove(&format!("{part}.{name}"))
                    .ok_or_else(|| format!("it lacks {part}.{name}"))?;
                if saved.size() != place.size() || saved.kind() != Kind::Float {
                    return Err(format!("{part}.{name} has another shape"));
                }
                place.f_copy_(&saved).map_err(|error| error.to_string())?;
            }
        }
        self.steps = steps as i32;
        Ok(())
    }
}

/// The numbers of one step for one tensor.
#[derive(Debug, Clone, Copy)]
struct Update {
    /// Factor of the gradient.
    factor: f64,
    betas: [f64; 2],
    /// Share of the weight that decay leaves.
    kept: f64,
    /// Learning rate over the first moment's correction for having begun at 0.
    rate: f64,
    /// The correction of the second moment's root.
    correction: f64,
}

impl Parameter {
    fn change(&mut self, gradient: &Tensor, update: &Update) -> Result<(), Error> {
        let gradient = gradient.f_to_kind(Kind::Float)?;
        let gradient = numbers::in_one_piece(&gradient, self.tensor.is_contiguous())?;
        let [mut tensor, mut first_moment, mut second_moment] = [
            numbers::straight(&self.tensor)?,
            numbers::straight(&self.first_moment)?,
            numbers::straight(&self.second_moment)?,
        ];
        if let (Some(weights), Some(first), Some(second), Some(gradient)) = (
            numbers::of_mut(&mut tensor),
            numbers::of_mut(&mut first_moment),
            numbers::of_mut(&mut second_moment),
            numbers::of(&gradient),
        ) {
            let blocks = weights
                .chunks_mut(BLOCK)
                .zip(first.chunks_mut(BLOCK))
                .zip(second.chunks_mut(BLOCK))
                .zip(gradient.chunks(BLOCK));
            in_parallel(blocks.collect(), |(((weights, first), second), gradient)| {
                change_block(weights, first, second, gradient, update);
            });
            return Ok(());
        }
        let gradient = gradient.f_view_as(&tensor)?;
        change_by_libtorch(
            &mut tensor,
            &mut first_moment,
            &mut second_moment,
            &gradient,
            update,
        )
    }
}

fn change_by_libtorch(
    tensor: &mut Tensor,
    first_moment: &mut Tensor,
    second_moment: &mut Tensor,
    gradient: &Tensor,
    update: &Update,
) -> Result<(), Error> {
    let [first_beta, second_beta] = update.betas;
    let gradient = gradient.f_mul_scalar(update.factor)?;
    let _ = tensor.f_mul_scalar_(update.kept)?;
    let _ = first_moment.f_lerp_(&gradient, 1.0 - first_beta)?;
    let squares = gradient.f_square()?.f_mul_scalar(1.0 - second_beta)?;
    let _ = second_moment.f_mul_scalar_(second_beta)?.f_add_(&squares)?;
    let root = second_moment
        .f_sqrt()?
        .f_mul_scalar(update.correction)?
        .f_add_scalar(EPSILON)?;
    let _ = tensor.f_sub_(&first_moment.f_div(&root)?.f_mul_scalar(update.rate)?)?;
    Ok(())
}

// All that a step does to a number while it is in the processor: LibTorch's operations read and write the four tensors a dozen times.
with_widest_instructions!(change_block, change_numbers, (
    weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], update: &Update
));

#[inline(always)]
fn change_numbers(
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    update: &Update,
) {
    let [first_beta, second_beta] = update.betas.map(|beta| beta as f32);
    let [first_new, second_new] = update.betas.map(|beta| (1.0 - beta) as f32);
    let (factor, kept, rate) = (update.factor as f32, update.kept as f32, update.rate as f32);
    let (correction, epsilon) = (update.correction as f32, EPSILON as f32);
    let moments = first.iter_mut().zip(second);
    for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * factor;
        *first = *first * first_beta + gradient * first_new;
        *second = *second * second_beta + gradient * gradient * second_new;
        *weight = *weight * kept - rate * *first / (second.sqrt() * correction + epsilon);
    }
}
