//! The two ways of computing.

use serde::{Deserialize, Serialize};

/// How a stage goes about its work. Results are the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputePath {
    /// For the processor: each result is looked at when it is there, and inner loops are our own.
    Host,
    /// For a GPU: nothing is copied to the host within a step, and work is launched in few, large
    /// pieces. CPU tensors can take it too, which is how it is tested without a GPU.
    Device,
}

impl ComputePath {
    /// Whether it is that of a GPU.
    pub fn is_device(self) -> bool {
        self == Self::Device
    }
}
