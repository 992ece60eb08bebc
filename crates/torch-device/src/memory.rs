//! The memory of a GPU.

use tch::Device;

pub use crate::operations::DeviceMemory;

/// The memory of a device; `None` for the processor, or where LibTorch does not say.
pub fn of(device: Device) -> Option<DeviceMemory> {
    match device {
        Device::Cuda(index) => crate::operations::memory(index).ok(),
        _ => None,
    }
}

/// Bytes that this program can still take of a GPU.
pub fn free_bytes(device: Device) -> Option<u64> {
    of(device).map(|memory| memory.free)
}

/// Most bytes that this program's tensors have taken of a GPU.
pub fn peak_bytes(device: Device) -> Option<u64> {
    of(device).map(|memory| memory.peak)
}
