//! What the processor is good at.

use std::sync::LazyLock;
use std::time::Instant;

use tch::{Device, Kind, TchError, Tensor};

use crate::product;

/// Whether oneDNN's convolutions are faster than MKL's products: on processors with AVX-512 that are not Intel's, on which MKL uses half
/// of the vector width. Without AVX-512 both use the same, and oneDNN's gradient of the weight takes several times as long.
pub(crate) static IS_CONVOLUTION_FASTER: LazyLock<bool> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    {
        !is_intel() && is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
});

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    // The vendor's name is in three registers, in this order.
    let vendor = std::arch::x86_64::__cpuid(0);
    let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    name.concat() == b"GenuineIntel"
}

/// Whether the processor multiplies matrices faster in bf16 than in float32. Those with tiles (AMX) do, and AMD's with AVX-512's
/// instructions for it. Intel's without tiles are half as fast at it (LibTorch's products of 2,048 × 2,048 on two threads of a Xeon: 166
/// against 330 GFLOP/s).
pub fn is_bf16_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let has_leaf = std::arch::x86_64::__cpuid(0).eax >= 7;
        // Bit 22 of the fourth register says that there are tiles for bf16.
        let has_tiles = has_leaf && std::arch::x86_64::__cpuid_count(7, 0).edx >> 22 & 1 == 1;
        has_tiles || !is_intel() && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// How many times as fast as float32 this processor multiplies matrices in bf16, measured in some hundredths of a second.
///
/// # Errors
/// [`TchError`] where memory runs out.
pub fn bf16_over_float32() -> Result<f64, TchError> {
    let seconds = |kind: Kind| -> Result<f64, TchError> {
        let input = Tensor::f_ones([512, 1024], (kind, Device::Cpu))?;
        let weight = Tensor::f_ones([1024, 1024], (kind, Device::Cpu))?;
        let mut best = f64::INFINITY;
        // The first time also loads and compiles the kernel.
        for _ in 0..4 {
            let started = Instant::now();
            let _ = product(&input, &weight, None)?;
            best = best.min(started.elapsed().as_secs_f64());
        }
        Ok(best)
    };
    Ok(seconds(Kind::Float)? / seconds(Kind::BFloat16)?)
}
