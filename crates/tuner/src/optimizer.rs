//! AdamW (Loshchilov and Hutter 2019) with decay decoupled from the gradient.

use std::collections::BTreeMap;

use causal_lm::Error;
use cpu_kernels::{AdamWStep, adamw_step};
use tch::{Kind, Tensor};

use crate::Gradients;

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
        for (place, parameter) in self.parameters.iter_mut().enumerate() {
            let Some(gradient) = gradients.get(place) else {
                continue;
            };
            let step = AdamWStep {
                step: self.steps,
                learning_rate,
                betas: self.betas,
                epsilon: EPSILON,
                weight_decay: if parameter.decays { self.weight_decay } else { 0.0 },
                gradient_factor: factor,
            };
            let (first, second) = (&parameter.first_moment, &parameter.second_moment);
            adamw_step(&parameter.tensor, first, second, gradient, &step)?;
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
