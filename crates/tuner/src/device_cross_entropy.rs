//! Cross-entropy of a softmax and its gradient in place, as a GPU wants it: a few readings of all logits, and nothing copied to the host.

use causal_lm::Error;
use tch::{Device, Kind, Tensor};
use torch_device::upload::upload;

use crate::scalar::Scalar;

/// What is asked of each row of logits, on the device.
#[derive(Debug)]
pub struct DevicePredictions {
    /// The token to predict, `[rows]`, int64.
    targets: Tensor,
    /// How many times the gradient counts the prediction, `[rows]`, float32.
    weights: Tensor,
    /// How many times the sum counts it, `[rows]`, float32.
    reported: Tensor,
}

impl DevicePredictions {
    /// Brings predictions to a device.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn new(
        targets: &[i64],
        weights: &[f32],
        reported: &[f32],
        device: Device,
    ) -> Result<Self, Error> {
        Ok(Self {
            targets: upload(targets, device)?,
            weights: upload(weights, device)?,
            reported: upload(reported, device)?,
        })
    }

    /// Some of them, from place `first` on.
    ///
    /// # Errors
    /// [`Error::Torch`] where there are not so many.
    pub(crate) fn narrow(&self, first: usize, count: usize) -> Result<Self, Error> {
        let narrow = |tensor: &Tensor| tensor.f_narrow(0, first as i64, count as i64);
        Ok(Self {
            targets: narrow(&self.targets)?,
            weights: narrow(&self.weights)?,
            reported: narrow(&self.reported)?,
        })
    }
}

/// Sum of −ln p(target) over the rows of `logits` `[rows, vocabulary]`, in nats, as it is reported.
///
/// With a `scale` the logits are overwritten by the gradient of `scale` times the weighted sum, −ln p(target)'s being p − 1 at the target
/// and p elsewhere.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn cross_entropy_on_device(
    logits: &mut Tensor,
    predictions: &DevicePredictions,
    scale: Option<f32>,
) -> Result<Scalar, Error> {
    let _guard = tch::no_grad_guard();
    let targets = predictions.targets.f_unsqueeze(1)?;
    let logarithms = logits.f_log_softmax(-1, Kind::Float)?;
    let of_targets = logarithms.f_gather(1, &targets, false)?;
    let sum = of_targets
        .f_squeeze_dim(1)?
        .f_dot(&predictions.reported)?
        .f_neg()?;
    if let Some(scale) = scale {
        let factors = predictions
            .weights
            .f_mul_scalar(f64::from(scale))?
            .f_unsqueeze(1)?;
        // In float32, since p of a token that is known well and 1 are close together.
        let at_targets = of_targets.f_exp()?.f_sub_scalar(1.0)?.f_mul(&factors)?;
        let _ = logarithms.f_exp_out(logits)?;
        let _ = logits.f_mul_(&factors)?;
        let _ = logits.f_scatter_(1, &targets, &at_targets.f_to_kind(logits.kind())?)?;
    }
    Scalar::on_device(&sum)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use cpu_kernels::{Predictions, cross_entropy};

    use super::*;

    #[test]
    fn it_is_that_of_the_processors_kernel() {
        tch::manual_seed(0);
        for (kind, tolerance) in [(Kind::Float, 1e-7), (Kind::BFloat16, 4e-3)] {
            let logits = Tensor::randn([5, 37], (Kind::Float, Device::Cpu)) * 4.0;
            // One that is known well.
            let _ = logits.narrow(0, 2, 1).narrow(1, 7, 1).fill_(30.0);
            let logits = logits.to_kind(kind);
            let (targets, weights, reported) = (
                [3, 0, 7, 36, 11],
                [1.0, 3.0, 1.0, 2.0, 1.0],
                [1.0, 3.0, 1.0, 0.0, 1.0],
            );
            let predictions = DevicePredictions::new(&targets, &weights, &reported, Device::Cpu).unwrap();
            let on_host = Predictions {
                targets: &targets,
                weights: &weights,
                reported: &reported,
            };
            for scale in [None, Some(0.25)] {
                let (mut found, mut expected) = (logits.copy(), logits.copy());
                let sum = cross_entropy_on_device(&mut found, &predictions, scale).unwrap();
                let goal = cross_entropy(&mut expected, on_host, scale).unwrap();
                assert!((sum.value().unwrap() - goal).abs() < 1e-5 * goal);
                let error = (found - expected).abs().max().double_value(&[]);
                assert!(error <= tolerance, "{kind:?} {scale:?}: {error}");
            }
        }
    }
}
