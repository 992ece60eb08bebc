//! The two ways of computing.

use contract::Error;
use tch::Device;

/// How a stage goes about its work. Results are the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePath {
    /// For the processor: each result is looked at when it is there, and inner loops are our own.
    Host,
    /// For a GPU: nothing is copied to the host within a step, and work is launched in few, large pieces. CPU tensors can take it too, which
    /// is how it is tested without a GPU.
    Device,
}

impl ComputePath {
    /// The way that suits a device.
    pub fn of(device: Device) -> Self {
        if device == Device::Cpu {
            Self::Host
        } else {
            Self::Device
        }
    }

    /// The way that suits a device, unless a setting (`host` or `device`) names one.
    ///
    /// # Errors
    /// [`Error::Configuration`] for another name, or for `host` on a GPU.
    pub fn new(setting: Option<&str>, device: Device) -> Result<Self, Error> {
        match setting {
            None => Ok(Self::of(device)),
            Some("device") => Ok(Self::Device),
            Some("host") if device == Device::Cpu => Ok(Self::Host),
            Some("host") => Err(Error::Configuration(
                "compute_path = \"host\" is for the processor, and this device is a GPU".to_owned(),
            )),
            Some(other) => Err(Error::Configuration(format!(
                "compute_path = \"{other}\": expected host or device"
            ))),
        }
    }

    /// Whether it is that of a GPU.
    pub fn is_device(self) -> bool {
        self == Self::Device
    }
}
