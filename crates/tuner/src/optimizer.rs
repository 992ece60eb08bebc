//! AdamW (Loshchilov and Hutter 2019) with decay decoupled from the gradient, and clipping by the norm of all gradients.

use std::collections::BTreeMap;

use causal_lm::Error;
use tch::{Kind, Tensor};

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

    /// Scales all gradients so that their joint norm is at most `largest` (0: leaves them); returns the norm before that.
    ///
    /// # Errors
    /// [`Error::Torch`] where a tensor has no gradient.
    pub fn clip(&self, largest: f64) -> Result<f64, Error> {
        let _guard = tch::no_grad_guard();
        let mut squares = 0.0;
        let mut gradients = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            let gradient = parameter.tensor.f_grad()?;
            let norm = gradient.f_norm()?.f_double_value(&[])?;
            squares += norm * norm;
            gradients.push(gradient);
        }
        let norm = squares.sqrt();
        if largest > 0.0 && norm > largest {
            for mut gradient in gradients {
                let _ = gradient.f_mul_scalar_(largest / (norm + 1e-6))?;
            }
        }
        Ok(norm)
    }

    /// One step at `learning_rate`, after which the gradients are 0.
    ///
    /// # Errors
    /// [`Error::Torch`] where a tensor has no gradient.
    pub fn step(&mut self, learning_rate: f64) -> Result<(), Error> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let [first_beta, second_beta] = self.betas;
        let first_correction = 1.0 - first_beta.powi(self.steps);
        let second_correction = 1.0 - second_beta.powi(self.steps);
        for Parameter {
            tensor,
            first_moment,
            second_moment,
            decays,
            ..
        } in &mut self.parameters
        {
            let mut gradient = tensor.f_grad()?;
            if *decays && self.weight_decay > 0.0 {
                let _ = tensor.f_mul_scalar_(1.0 - learning_rate * self.weight_decay)?;
            }
            let _ = first_moment.f_lerp_(&gradient, 1.0 - first_beta)?;
            let squares = gradient.f_square()?.f_mul_scalar(1.0 - second_beta)?;
            let _ = second_moment.f_mul_scalar_(second_beta)?.f_add_(&squares)?;
            let root = second_moment
                .f_sqrt()?
                .f_div_scalar(second_correction.sqrt())?
                .f_add_scalar(EPSILON)?;
            let _ = tensor.f_sub_(
                &first_moment
                    .f_div(&root)?
                    .f_mul_scalar(learning_rate / first_correction)?,
            )?;
            let _ = gradient.f_zero_()?;
        }
        Ok(())
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
