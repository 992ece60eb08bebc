//! The device that a setting names.

use std::sync::OnceLock;

use contract::Error;
use contract::pipeline::ComputePath;
use tch::Device;

use crate::cuda_library::{self, Loaded, Missing};

/// What came of looking for a GPU, which is done once.
static SEARCH: OnceLock<Result<Loaded, Missing>> = OnceLock::new();

/// The way of computing that a setting names, or without one what suits the device.
pub fn compute_path(setting: Option<ComputePath>, device: Device) -> ComputePath {
    setting.unwrap_or(match device {
        Device::Cpu => ComputePath::Host,
        _ => ComputePath::Device,
    })
}

/// What the driver calls the GPU that was found, as `NVIDIA H200`.
pub fn gpu_name() -> Option<String> {
    let found = SEARCH.get()?.as_ref().ok()?;
    Some(found.name.clone())
}

/// The device for `auto` (the first GPU where one can be used), `cpu`, `cuda`, or `cuda:N`. LibTorch for CUDA is found and loaded where a GPU
/// may be meant, so that this must come before the first tensor. It may start the program anew.
///
/// # Errors
/// [`Error::Configuration`] for another name, or for a GPU that cannot be used.
pub fn device(name: &str) -> Result<Device, Error> {
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => None,
        "cuda" => Some(0),
        other => {
            let index = other
                .strip_prefix("cuda:")
                .and_then(|index| index.parse::<usize>().ok());
            Some(index.ok_or_else(|| {
                Error::Configuration(format!("device `{other}`: expected auto, cpu, cuda, or cuda:N"))
            })?)
        }
    };
    let search = SEARCH.get_or_init(|| {
        let found = cuda_library::load();
        match &found {
            Ok(loaded) => tracing::info!("GPU: {}", loaded.description),
            Err(missing @ Missing::Library { .. }) if index.is_none() => {
                tracing::warn!("computing on the processor: {missing}");
            }
            Err(_) => {}
        }
        found
    });
    match (search, index) {
        (Ok(loaded), Some(index)) if index >= loaded.gpus => Err(Error::Configuration(format!(
            "device `{name}`: this program sees {} GPU{} ({})",
            loaded.gpus,
            if loaded.gpus == 1 { "" } else { "s" },
            loaded.description
        ))),
        (Ok(_), index) => Ok(Device::Cuda(index.unwrap_or(0))),
        (Err(_), None) => Ok(Device::Cpu),
        (Err(missing), Some(_)) => Err(Error::Configuration(format!("device `{name}`: {missing}"))),
    }
}
