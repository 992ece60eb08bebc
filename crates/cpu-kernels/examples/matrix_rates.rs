//! How fast this machine multiplies large matrices, by each way that LibTorch has: one line of JSON, operations a second (a product of
//! two numbers and their sum are two).
//!
//! ```text
//! cargo run -p cpu-kernels --example matrix_rates -- THREADS float32|bf16
//! ```

#![expect(clippy::print_stdout, reason = "the result of the example")]

use std::time::Instant;

use tch::{Device, Kind, TchError, Tensor};

/// Rows, inputs and outputs: a square, and layers of small and large models.
const SHAPES: [[i64; 3]; 4] = [
    [2048, 2048, 2048],
    [2048, 768, 3072],
    [2048, 3072, 768],
    [2048, 256, 8192],
];

/// Seconds that each is repeated for; the fastest counts.
const SECONDS: f64 = 0.4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, precision] = arguments.as_slice() else {
        return Err("expected THREADS float32|bf16".into());
    };
    tch::set_num_threads(threads.parse()?);
    let _guard = tch::no_grad_guard();
    let kind = match precision.as_str() {
        "bf16" => Kind::BFloat16,
        _ => Kind::Float,
    };
    let mut rates = Vec::new();
    for (way, multiply) in WAYS {
        rates.push(format!("\"{way}\": {}", rate(kind, multiply)?));
    }
    println!("{{{}}}", rates.join(", "));
    Ok(())
}

type Multiply = fn(&Tensor, &Tensor) -> Result<Tensor, TchError>;

/// Both on rows `[rows, in]` and a weight `[out, in]`.
const WAYS: [(&str, Multiply); 2] = [
    ("LibTorch's product", |rows, weight| {
        rows.f_linear(weight, None::<Tensor>)
    }),
    ("LibTorch's convolution", |rows, weight| {
        let (count, inputs) = rows.size2()?;
        let images = rows
            .f_view([16, count / 16, 1, inputs])?
            .f_permute([0, 3, 1, 2])?;
        let kernel = weight.f_view([-1, inputs, 1, 1])?;
        images.f_conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)
    }),
];

/// The highest rate over all shapes.
fn rate(kind: Kind, multiply: Multiply) -> Result<f64, TchError> {
    let mut best = 0.0_f64;
    for [rows, inputs, outputs] in SHAPES {
        let random = |size: [i64; 2]| Tensor::f_randn(size, (Kind::Float, Device::Cpu))?.f_to_kind(kind);
        let (input, weight) = (random([rows, inputs])?, random([outputs, inputs])?);
        let begun = Instant::now();
        while begun.elapsed().as_secs_f64() < SECONDS {
            let started = Instant::now();
            let _ = multiply(&input, &weight)?;
            let operations = (2 * rows * inputs * outputs) as f64;
            best = best.max(operations / started.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}
