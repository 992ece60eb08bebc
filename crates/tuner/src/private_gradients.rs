//! Gradients with differential privacy (DP-SGD, Abadi et al. 2016): no row moves a step by more than a known amount, and noise hides
//! that much.

use causal_lm::Error;
use contract::pipeline::Privacy;
use tch::{Kind, Tensor};
use torch_device::ComputePath;

use crate::Gradients;

/// The sum of one step's gradients, each row's brought down to a norm.
#[derive(Debug)]
pub(crate) struct PrivateGradients {
    privacy: Privacy,
    path: ComputePath,
    sum: Gradients,
    rows: usize,
}

impl PrivateGradients {
    /// Of a step without rows so far; `count` tensors change.
    pub(crate) fn new(privacy: Privacy, path: ComputePath, count: usize) -> Self {
        Self {
            privacy,
            path,
            sum: Gradients::none(count),
            rows: 0,
        }
    }

    /// Counts a row that is in the step `copies` times, and adds its gradient as often. A row of which nothing is learned has none, and counts.
    ///
    /// # Errors
    /// [`Error::Torch`] where a gradient does not fit.
    pub(crate) fn add_row(&mut self, gradients: Option<Gradients>, copies: usize) -> Result<(), Error> {
        self.rows += copies;
        let Some(gradients) = gradients else { return Ok(()) };
        let norm = if self.path.is_device() {
            gradients.norm_on_device()?.f_double_value(&[])?
        } else {
            gradients.norm()?
        };
        // A norm of 0 divides by nothing, and one that is no number makes the sum none, which ends the run.
        let factor = if norm > self.privacy.max_grad_norm {
            self.privacy.max_grad_norm / norm
        } else {
            1.0
        };
        self.sum.add_times(gradients, factor * copies as f64)
    }

    /// The mean over the rows of the step, with noise in every number of the tensors that change. What noise it is follows from `seed`.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn noisy_mean(mut self, tensors: &[Tensor], seed: u64) -> Result<Gradients, Error> {
        let _guard = tch::no_grad_guard();
        tch::manual_seed(seed as i64);
        let deviation = self.privacy.noise_multiplier * self.privacy.max_grad_norm;
        for (place, tensor) in tensors.iter().enumerate() {
            let noise = tensor.f_detach()?.f_to_kind(Kind::Float)?.f_randn_like()?;
            self.sum.add(place, noise.f_mul_scalar(deviation)?)?;
        }
        let mut mean = Gradients::none(tensors.len());
        mean.add_times(self.sum, 1.0 / self.rows.max(1) as f64)?;
        Ok(mean)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use tch::Device;

    use super::*;

    fn of(values: &[f32]) -> Gradients {
        let mut gradients = Gradients::none(2);
        gradients.add(0, Tensor::from_slice(&values[..1])).unwrap();
        gradients.add(1, Tensor::from_slice(&values[1..])).unwrap();
        gradients
    }

    fn values(gradients: &Gradients) -> Vec<f64> {
        let all = [gradients.get(0).unwrap(), gradients.get(1).unwrap()];
        Vec::try_from(Tensor::cat(&all, 0).to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn each_row_is_clipped_and_counted_as_often_as_it_is_there() {
        let tensors = [
            Tensor::zeros([1], (Kind::Float, Device::Cpu)),
            Tensor::zeros([1], (Kind::Float, Device::Cpu)),
        ];
        let privacy = Privacy {
            noise_multiplier: 1e-9,
            max_grad_norm: 1.0,
        };
        for path in [ComputePath::Host, ComputePath::Device] {
            let mut sum = PrivateGradients::new(privacy, path, 2);
            // A norm of 5 becomes 1, twice; one of ½ stays; the last teaches nothing, and is one of four.
            sum.add_row(Some(of(&[3.0, 4.0])), 2).unwrap();
            sum.add_row(Some(of(&[0.3, -0.4])), 1).unwrap();
            sum.add_row(None, 1).unwrap();
            let mean = values(&sum.noisy_mean(&tensors, 1).unwrap());
            let expected = [(2.0 * 0.6 + 0.3) / 4.0, (2.0 * 0.8 - 0.4) / 4.0];
            for (found, expected) in mean.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{path:?}: {mean:?}");
            }
        }
    }

    #[test]
    fn noise_is_in_every_number_and_as_wide_as_was_promised() {
        let tensors = [Tensor::zeros([100, 200], (Kind::Float, Device::Cpu))];
        let privacy = Privacy {
            noise_multiplier: 3.0,
            max_grad_norm: 0.5,
        };
        let noise = |seed| {
            let mut sum = PrivateGradients::new(privacy, ComputePath::Host, 1);
            sum.add_row(None, 10).unwrap();
            sum.noisy_mean(&tensors, seed)
                .unwrap()
                .get(0)
                .unwrap()
                .shallow_clone()
        };
        // 3 · 0.5 / 10, over 20,000 numbers: within 4 deviations of the sample deviation, 0.5% each.
        let found = noise(7);
        assert!((found.std(true).double_value(&[]) - 0.15).abs() < 0.003);
        assert!(found.mean(Kind::Float).double_value(&[]).abs() < 0.005);
        assert_eq!(i64::try_from(found.eq(0.0).sum(Kind::Int64)).unwrap(), 0);
        assert!(found.equal(&noise(7)) && !found.equal(&noise(8)));
    }
}
