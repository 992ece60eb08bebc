//! Low-rank adaptation (Hu et al. 2021): fresh updates of linear layers, and the names of their factors.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::parts::{Linear, LowRank};
use crate::{Config, Error, LoraSettings};

/// Adds a fresh adapter to every layer that the settings choose: A kaiming-uniform with a = √5, B zero, so that the model
/// starts unchanged. Random numbers come from LibTorch's seeded generator. Returns the paths of the adapted layers.
pub(crate) fn attach(
    linears: Vec<&mut Linear>,
    settings: &LoraSettings,
    config: &Config,
) -> Result<Vec<String>, Error> {
    let paths: Vec<String> = linears.iter().map(|linear| linear.path.clone()).collect();
    let mut adapted = Vec::new();
    for linear in linears {
        if !settings.modules.chooses(&linear.path, config)? {
            continue;
        }
        let (rank, scale) = settings.size(&linear.path)?;
        let rank = rank as i64;
        let (from, to) = (linear.in_features(), linear.out_features());
        let options = (Kind::Float, linear.weight.device());
        // Kaiming-uniform with a = √5 has the bound √(6 / ((1 + 5) · in)) = 1/√in.
        let bound = 1.0 / (from as f64).sqrt();
        let down = Tensor::f_rand([rank, from], options)?
            .f_mul_scalar(2.0 * bound)?
            .f_sub_scalar(bound)?;
        let mut adapter = LowRank {
            down,
            up: Tensor::f_zeros([to, rank], options)?,
            scale,
            dropout: settings.dropout,
            magnitude: None,
        };
        if settings.magnitude {
            adapter.magnitude = Some(linear.updated_norm(&adapter)?);
        }
        linear.adapter = Some(adapter);
        adapted.push(linear.path.clone());
    }
    if adapted.is_empty() {
        return Err(contract::Error::Configuration(format!(
            "LoRA targets match no linear layer of this model; it has {}",
            paths.join(", ")
        ))
        .into());
    }
    Ok(adapted)
}

/// The adapter's factors by their `state_dict` names without peft's prefix: `<path>.lora_A.weight`, `<path>.lora_B.weight`,
/// and with DoRA `<path>.lora_magnitude_vector`.
pub(crate) fn factors(linears: Vec<&mut Linear>) -> BTreeMap<String, &mut Tensor> {
    let mut factors = BTreeMap::new();
    for Linear { path, adapter, .. } in linears {
        if let Some(LowRank {
            down, up, magnitude, ..
        }) = adapter
        {
            factors.insert(format!("{path}.lora_A.weight"), down);
            factors.insert(format!("{path}.lora_B.weight"), up);
            if let Some(magnitude) = magnitude {
                factors.insert(format!("{path}.lora_magnitude_vector"), magnitude);
            }
        }
    }
    factors
}
