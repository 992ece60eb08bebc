//! The processor or GPU that LibTorch computes on.
//!
//! Programs are built against LibTorch for CPU. Where a GPU is asked for, [`device`] finds LibTorch for CUDA and loads it before the first
//! tensor is made, so that one program serves both. [`operations`] are those of LibTorch that tch does not bind, [`memory`] is what a GPU
//! has of it, [`upload`] brings numbers there without waiting, and [`sharing`] keeps threads from spinning where processors are busy.

mod choice;
mod cuda_library;
mod driver;
pub mod memory;
pub mod operations;
pub mod sharing;
pub mod upload;

pub use choice::{compute_path, device, gpu_name};
pub use contract::pipeline::ComputePath;
pub use cuda_library::VARIABLE;
