//! The arithmetic that settings name.

use contract::pipeline::Precision;
use tch::{Device, Kind};

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
