//! How far a device is from the processor, family by family: `device_parity DEVICE [FOLDER]`, with the folder of the families' fixtures.
//!
//! One line of JSON for each figure: the largest difference from the processor in float32, as a share of the largest number compared, and
//! beside it that of the processor in the same precision. Run by `scripts/device_check.sh`; on `cpu` it compares the ways of computing alone.

#![expect(clippy::print_stdout, reason = "the result of the example")]

use std::error::Error;
use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, weights};
use tch::{Device, Kind, Tensor};
use torch_device::ComputePath;

const FIXTURES: &str = "crates/causal-lm/tests/fixtures/families";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "auto".to_owned());
    let fixtures = arguments
        .next()
        .map_or_else(|| PathBuf::from(FIXTURES), PathBuf::from);
    contract::arguments::start_program();
    let device = torch_device::device(&name)?;
    let mut families: Vec<PathBuf> = std::fs::read_dir(&fixtures)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    families.retain(|folder| folder.join("config.json").is_file());
    families.sort();
    if families.is_empty() {
        return Err(format!("{}: expected folders of models, found none", fixtures.display()).into());
    }
    for folder in families {
        let exact = Figures::of(&folder, Kind::Float, Device::Cpu, ComputePath::Host)?;
        for (precision, kind) in [("float32", Kind::Float), ("bf16", Kind::BFloat16)] {
            let found = Figures::of(&folder, kind, device, ComputePath::Device)?;
            let reference = Figures::of(&folder, kind, Device::Cpu, ComputePath::Host)?;
            let family = folder.file_name().unwrap_or_default().to_string_lossy();
            for ((what, error), (_, reference)) in
                found.errors(&exact).into_iter().zip(reference.errors(&exact))
            {
                println!(
                    "{{\"family\": \"{family}\", \"precision\": \"{precision}\", \"what\": \"{what}\", \"error\": {error:e}, \
                     \"reference\": {reference:e}}}"
                );
            }
        }
    }
    Ok(())
}

/// What a model gives, on the processor and in float32.
struct Figures {
    logits: Tensor,
    documents: Tensor,
    steps: Tensor,
    gradients: Vec<Tensor>,
}

impl Figures {
    fn of(folder: &Path, kind: Kind, device: Device, path: ComputePath) -> Result<Self, Box<dyn Error>> {
        let expected = weights::read(&folder.join("expected.safetensors"), Kind::Float, Device::Cpu)?;
        let tokens = expected
            .get("tokens")
            .ok_or("expected.safetensors lacks tokens")?
            .f_narrow(0, 0, 1)?
            .f_to_kind(Kind::Int64)?
            .f_to_device(device)?;
        let mut model = CausalLm::load(folder, kind, device)?;
        model.set_path(path);
        let plain = |tensor: &Tensor| tensor.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu);
        let length = tokens.size2()?.1;
        let (logits, documents, steps) = tch::no_grad(|| -> Result<_, Box<dyn Error>> {
            let logits = model.logits(&model.hidden(&tokens, None, None)?)?;
            let documents = packed(&model, &tokens, length)?;
            let mut cache = model.cache(length as usize);
            let begun = length / 2;
            drop(model.hidden(&tokens.f_narrow(1, 0, begun)?, None, Some(&mut cache))?);
            let mut steps = Vec::new();
            for place in begun..length {
                let hidden = model.hidden(&tokens.f_narrow(1, place, 1)?, None, Some(&mut cache))?;
                steps.push(model.logits(&hidden)?);
            }
            Ok((
                plain(&logits)?,
                plain(&documents)?,
                plain(&Tensor::f_cat(&steps, 1)?)?,
            ))
        })?;
        model.tune_all(kind)?;
        let given = packed(&model, &tokens, length)?.f_to_kind(Kind::Float)?;
        // A number that depends on all that was given, by a different share each.
        let shares = Tensor::f_arange(given.numel() as i64, (Kind::Float, device))?
            .f_sin()?
            .f_view_as(&given)?;
        let number = given.f_mul(&shares)?.f_sum(Kind::Float)?;
        let trainable = model.trainable();
        let variables: Vec<&Tensor> = trainable.iter().map(|(_, tensor)| tensor).collect();
        let gradients = Tensor::f_run_backward(&[number], &variables, false, false)?;
        let gradients = gradients
            .iter()
            .map(|gradient| {
                if gradient.defined() {
                    plain(gradient)
                } else {
                    Tensor::f_zeros([1], (Kind::Float, Device::Cpu))
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            logits,
            documents,
            steps,
            gradients,
        })
    }

    fn errors(&self, exact: &Self) -> [(&'static str, f64); 4] {
        let of = |found: &Tensor, exact: &Tensor| {
            let difference = (found - exact).abs().max().double_value(&[]);
            difference / exact.abs().max().double_value(&[]).max(1e-12)
        };
        let all = |tensors: &[Tensor]| {
            let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.reshape([-1])).collect();
            Tensor::cat(&flat, 0)
        };
        [
            ("logits", of(&self.logits, &exact.logits)),
            ("packed documents", of(&self.documents, &exact.documents)),
            ("cached steps", of(&self.steps, &exact.steps)),
            ("gradients", of(&all(&self.gradients), &all(&exact.gradients))),
        ]
    }
}

/// Hidden states of documents of several lengths, one behind the other.
fn packed(model: &CausalLm, tokens: &Tensor, length: i64) -> Result<Tensor, Box<dyn Error>> {
    let lengths = [length, 1, length - 3, 5];
    let mut parts = Vec::new();
    for length in lengths {
        parts.push(tokens.f_narrow(1, 0, length)?);
    }
    let tokens = Tensor::f_cat(&parts, 1)?.f_view([-1])?;
    Ok(model.packed_forward(&tokens, &lengths, false)?.hidden()?)
}
