//! The device and the arithmetic that settings name.

use contract::pipeline::Precision;
use tch::{Cuda, Device, Kind};

use crate::Error;

/// The device for `auto` (a GPU where LibTorch sees one), `cpu`, `cuda`, or `cuda:N`.
///
/// # Errors
/// [`contract::Error::Configuration`] for another name, or for a GPU that LibTorch does not see.
pub fn device(name: &str) -> Result<Device, Error> {
    let index = match name {
        "auto" => return Ok(Device::cuda_if_available()),
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        other => other
            .strip_prefix("cuda:")
            .and_then(|index| index.parse::<i64>().ok())
            .ok_or_else(|| {
                contract::Error::Configuration(format!(
                    "device `{other}`: expected auto, cpu, cuda, or cuda:N"
                ))
            })?,
    };
    let seen = Cuda::device_count();
    if index >= seen {
        return Err(contract::Error::Configuration(format!(
            "device `{name}`: this program sees {seen} GPUs; it was built with LibTorch for CPU alone, or no driver answers. \
             Use device = \"cpu\""
        ))
        .into());
    }
    Ok(Device::Cuda(index as usize))
}

/// The precision that a setting means on a device: `auto` is one of the others.
pub fn resolve(precision: Precision, device: Device) -> Precision {
    match precision {
        Precision::Auto if device.is_cuda() || cpu_kernels::is_bf16_fast() => Precision::Bf16,
        Precision::Auto => Precision::Float32,
        settled => settled,
    }
}

/// The kind of number that a precision means on a device.
pub fn arithmetic(precision: Precision, device: Device) -> Kind {
    match resolve(precision, device) {
        Precision::Bf16 => Kind::BFloat16,
        Precision::Float32 | Precision::Auto => Kind::Float,
    }
}
