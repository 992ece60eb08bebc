//! A GPT-2 with random weights as a model folder, for benchmarks: nothing is fetched.
//!
//! ```text
//! cargo run -p causal-lm --example random_model -- OUT LAYERS WIDTH HEADS VOCABULARY CONTEXT SCALE TOKENIZER_FOLDER
//! ```
//!
//! SCALE multiplies the matrices, whose standard deviation is GPT-2's 0.02 otherwise.

use std::path::Path;

use causal_lm::{CausalLm, write_model_folder};
use contract::pipeline::Architecture;
use tch::{Device, Kind};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, layers, width, heads, vocabulary, context, scale, tokenizer] = arguments.as_slice() else {
        return Err("expected OUT LAYERS WIDTH HEADS VOCABULARY CONTEXT SCALE TOKENIZER_FOLDER".into());
    };
    let shape = Architecture {
        layers: layers.parse()?,
        width: width.parse()?,
        heads: heads.parse()?,
        context: context.parse()?,
        vocabulary: vocabulary.parse()?,
    };
    let scale: f64 = scale.parse()?;
    let mut model = CausalLm::random(&shape, 0, 0, Device::Cpu)?;
    let _guard = tch::no_grad_guard();
    for parameter in model.parameters_mut() {
        if parameter.tensor.dim() > 1 {
            let _ = parameter.tensor.f_mul_scalar_(scale)?;
        }
    }
    std::fs::create_dir_all(out)?;
    write_model_folder(&mut model, Path::new(out), Kind::Float, Path::new(tokenizer))?;
    Ok(())
}
