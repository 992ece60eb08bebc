//! Numbers brought to a device.

use tch::{Device, TchError, Tensor};

use crate::operations;

/// A tensor `[count]` on a device, of numbers in the host's memory. To a GPU they go through memory that it reads by itself, so that the
/// program does not wait for what the GPU is doing: an ordinary copy does.
///
/// # Errors
/// [`TchError`] where memory runs out.
pub fn upload<T: tch::kind::Element>(numbers: &[T], device: Device) -> Result<Tensor, TchError> {
    let tensor = Tensor::f_from_slice(numbers)?;
    match device {
        Device::Cuda(index) => operations::upload(&tensor, index),
        _ => tensor.f_to_device(device),
    }
}
