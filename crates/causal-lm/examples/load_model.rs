//! How long a model folder takes to load, and how much memory that takes at its peak.
//!
//! ```text
//! cargo run -p causal-lm --example load_model -- FOLDER [float32|bf16]
//! ```

use std::path::PathBuf;
use std::time::Instant;

use causal_lm::CausalLm;
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("expected a model folder")?);
    let kind = match arguments.next().as_deref() {
        Some("bf16") => Kind::BFloat16,
        _ => Kind::Float,
    };
    // LibTorch's own pages are not the model's.
    let _started =
        Tensor::ones([64, 64], (kind, Device::Cpu)).matmul(&Tensor::ones([64, 64], (kind, Device::Cpu)));
    let before = peak_megabytes()?;
    let start = Instant::now();
    let mut model = CausalLm::load(&folder, kind, Device::Cpu)?;
    let seconds = start.elapsed().as_secs_f64();
    let parameters = model.parameter_count();
    let weights = parameters as f64 * kind.elt_size_in_bytes() as f64 / 1e6;
    println!(
        "{parameters} parameters, {weights:.0} MB in {kind:?}: loaded in {seconds:.2} s, peak {:.0} MB over {before:.0} MB",
        peak_megabytes()? - before
    );
    Ok(())
}

/// The largest resident memory of this process so far.
fn peak_megabytes() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().nth(1))
        .ok_or("no VmHWM")?;
    Ok(kilobytes.parse::<f64>()? / 1000.0)
}
