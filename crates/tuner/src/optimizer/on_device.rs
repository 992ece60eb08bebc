//! A step as a GPU wants it: all tensors in a few launches, with the norm of the gradient left where it is.

use causal_lm::Error;
use tch::{Kind, Tensor};
use torch_device::operations::{self, AdamWStep};

use super::{AdamW, EPSILON, Parameter};
use crate::Gradients;
use crate::scalar::Scalar;

/// Added to a norm that gradients are divided by.
const NORM_EPSILON: f64 = 1e-6;

impl AdamW {
    /// One step at `learning_rate`, along gradients whose norm is brought down to `clip` (0: any norm is left); the norm, on the device, is
    /// that of before. Where it or the `loss` is no number nothing changes, so that weights are still good when somebody looks. What has no
    /// gradient stays as it is.
    ///
    /// # Errors
    /// [`Error::Torch`] where a gradient does not fit.
    pub(crate) fn step_on_device(
        &mut self,
        gradients: &Gradients,
        loss: &Scalar,
        clip: f64,
        learning_rate: f64,
    ) -> Result<Tensor, Error> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let norm = gradients.norm_on_device()?;
        let divisor = if clip > 0.0 {
            let divisor = norm.f_add_scalar(NORM_EPSILON)?.f_div_scalar(clip)?;
            Some(divisor.f_clamp_min(1.0)?)
        } else {
            None
        };
        let is_number = norm.f_isfinite()?.f_mul(&loss.is_finite_on(norm.device())?)?;
        let is_skipped = is_number.f_eq(0.0)?.f_to_kind(Kind::Float)?;
        let step = norm.f_full_like(f64::from(self.steps))?;
        for decays in [true, false] {
            let mut group = Group::default();
            for (place, parameter) in self.parameters.iter().enumerate() {
                if let Some(gradient) = gradients.get(place)
                    && parameter.decays == decays
                {
                    group.add(parameter, gradient)?;
                }
            }
            let step = AdamWStep {
                rate: learning_rate,
                betas: self.betas,
                weight_decay: if decays { self.weight_decay } else { 0.0 },
                epsilon: EPSILON,
                step: &step,
                gradient_divisor: divisor.as_ref(),
                is_skipped: Some(&is_skipped),
            };
            let Group {
                weights,
                gradients,
                first,
                second,
            } = &group;
            operations::adamw(weights, gradients, first, second, &step)?;
        }
        Ok(norm)
    }
}

/// Tensors that are changed alike, each contiguous.
#[derive(Default)]
struct Group {
    weights: Vec<Tensor>,
    gradients: Vec<Tensor>,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
}

impl Group {
    fn add(&mut self, parameter: &Parameter, gradient: &Tensor) -> Result<(), Error> {
        let is_transposed = parameter.tensor.dim() == 2 && !parameter.tensor.is_contiguous();
        // A matrix that is kept transposed is turned, so that its numbers lie in the order of its places.
        let turned = |tensor: &Tensor| -> Result<Tensor, Error> {
            let tensor = tensor.f_detach()?;
            Ok(if is_transposed { tensor.f_tr()? } else { tensor })
        };
        let gradient = turned(gradient)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        self.gradients.push(gradient);
        self.weights.push(turned(&parameter.tensor)?);
        self.first.push(turned(&parameter.first_moment)?);
        self.second.push(turned(&parameter.second_moment)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use tch::Device;

    use super::*;

    /// A matrix, one that lies transposed in memory, and a vector, which does not decay.
    fn parameters() -> Vec<(String, Tensor)> {
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        vec![
            ("a.weight".to_owned(), random(&[5, 7])),
            ("b.weight".to_owned(), random(&[6, 4]).tr()),
            ("c.bias".to_owned(), random(&[9])),
        ]
    }

    fn gradients(parameters: &[(String, Tensor)], size: f64, missing: Option<usize>) -> Gradients {
        let mut gradients = Gradients::none(parameters.len());
        for (place, (_, tensor)) in parameters.iter().enumerate() {
            if Some(place) != missing {
                // Contiguous, also where the parameter is not.
                gradients.add(place, (tensor * size).sin().contiguous()).unwrap();
            }
        }
        gradients
    }

    fn weights(parameters: &[(String, Tensor)]) -> Vec<Tensor> {
        parameters.iter().map(|(_, tensor)| tensor.copy()).collect()
    }

    #[test]
    fn steps_are_those_of_the_host() {
        let host = parameters();
        let copies = host.iter().map(|(name, tensor)| (name.clone(), tensor.copy()));
        let device: Vec<(String, Tensor)> = copies.collect();
        assert!(!device[1].1.is_contiguous());
        let optimizer = |parameters: &[(String, Tensor)]| {
            let shared = parameters
                .iter()
                .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
            AdamW::new(shared.collect(), [0.9, 0.99], 0.1).unwrap()
        };
        let (mut of_host, mut of_device) = (optimizer(&host), optimizer(&device));
        // Clipped, not clipped, without a limit, and a step in which one tensor has no gradient.
        for (size, clip, missing) in [
            (1.0, 0.5, None),
            (0.01, 5.0, None),
            (1.0, 0.0, None),
            (1.0, 0.5, Some(0)),
        ] {
            let on_host = gradients(&host, size, missing);
            let norm = on_host.norm().unwrap();
            let factor = if clip > 0.0 && norm > clip {
                clip / (norm + NORM_EPSILON)
            } else {
                1.0
            };
            of_host.step(&on_host, factor, 0.05).unwrap();
            let found = of_device
                .step_on_device(&gradients(&device, size, missing), &Scalar::Host(2.0), clip, 0.05)
                .unwrap();
            assert!((found.double_value(&[]) - norm).abs() < 1e-5 * norm);
            for (found, expected) in weights(&device).iter().zip(weights(&host)) {
                let error = (found - expected).abs().max().double_value(&[]);
                assert!(error < 1e-6, "{size} {clip} {missing:?}: {error}");
            }
        }
    }

    #[test]
    fn losses_and_gradients_that_are_no_numbers_change_nothing() {
        let parameters = parameters();
        let before = weights(&parameters);
        let shared = parameters
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        let mut optimizer = AdamW::new(shared.collect(), [0.9, 0.99], 0.1).unwrap();
        let loss = |number: f64| Scalar::on_device(&Tensor::from_slice(&[number])).unwrap();
        let broken = gradients(&parameters, f64::INFINITY, None);
        let norm = optimizer.step_on_device(&broken, &loss(1.0), 1.0, 0.05).unwrap();
        assert!(norm.double_value(&[]).is_nan());
        for number in [f64::INFINITY, f64::NAN] {
            let norm = optimizer.step_on_device(&gradients(&parameters, 1.0, None), &loss(number), 1.0, 0.05);
            assert!(norm.unwrap().double_value(&[]).is_finite());
        }
        for (found, expected) in weights(&parameters).iter().zip(&before) {
            assert_eq!(found, expected);
        }
    }
}
