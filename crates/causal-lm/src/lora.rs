//! Low-rank adaptation (Hu et al. 2021): which linear layers get an update, and how large it is.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::Error;
use crate::linear::{Linear, LowRank};

/// Settings of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSettings {
    /// Rank r of the update.
    pub rank: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f64,
    /// Share of the adapter's input dropped in training.
    pub dropout: f64,
    /// Scale by alpha / √r instead (Kalajdzievski 2023).
    pub rank_stabilized: bool,
    /// The layers to adapt.
    pub targets: LoraTargets,
}

/// Layers to adapt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoraTargets {
    /// peft's own choice for the family; for GPT-2 `c_attn`.
    FamilyDefault,
    /// Every linear layer but the output head.
    AllLinear,
    /// Layers whose path is one of these or ends with a dot and one of these.
    Names(Vec<String>),
}

impl LoraSettings {
    /// The factor on B·A.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        if self.rank_stabilized {
            self.alpha / rank.sqrt()
        } else {
            self.alpha / rank
        }
    }
}

impl LoraTargets {
    /// Targets as a pipeline file gives them.
    pub fn from_setting(setting: Option<&contract::pipeline::Targets>) -> Self {
        match setting.map(contract::pipeline::OneOrMany::as_slice) {
            None => Self::FamilyDefault,
            Some([all]) if all == "all-linear" => Self::AllLinear,
            Some(names) => Self::Names(names.to_vec()),
        }
    }

    fn matches(&self, path: &str, model_type: &str) -> bool {
        let names_match = |names: &[&str]| {
            names.iter().any(|name| {
                path.strip_suffix(name)
                    .is_some_and(|head| head.is_empty() || head.ends_with('.'))
            })
        };
        match self {
            Self::AllLinear => true,
            Self::FamilyDefault => names_match(default_targets(model_type)),
            Self::Names(names) => names_match(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }
}

fn default_targets(model_type: &str) -> &'static [&'static str] {
    match model_type {
        "gpt2" => &["c_attn"],
        _ => &[],
    }
}

/// Adds a fresh adapter to every layer that the settings choose: A kaiming-uniform with a = √5, B zero, so that the model
/// starts unchanged. Random numbers come from LibTorch's seeded generator. Returns the paths of the adapted layers.
pub(crate) fn attach(
    linears: Vec<(String, &mut Linear)>,
    settings: &LoraSettings,
    model_type: &str,
) -> Result<Vec<String>, Error> {
    let paths: Vec<String> = linears.iter().map(|(path, _)| path.clone()).collect();
    let mut adapted = Vec::new();
    for (path, linear) in linears {
        if !settings.targets.matches(&path, model_type) {
            continue;
        }
        let rank = settings.rank as i64;
        let (from, to) = (linear.in_features(), linear.out_features());
        let options = (Kind::Float, linear.weight.device());
        // Kaiming-uniform with a = √5 has the bound √(6 / ((1 + 5) · in)) = 1/√in.
        let bound = 1.0 / (from as f64).sqrt();
        let down = Tensor::f_rand([rank, from], options)?
            .f_mul_scalar(2.0 * bound)?
            .f_sub_scalar(bound)?;
        let up = Tensor::f_zeros([to, rank], options)?;
        linear.adapter = Some(LowRank {
            down,
            up,
            scale: settings.scale(),
            dropout: settings.dropout,
        });
        adapted.push(path);
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

/// The adapter's factors by their `state_dict` names without peft's prefix: `<path>.lora_A.weight`, `<path>.lora_B.weight`.
pub(crate) fn factors(linears: Vec<(String, &mut Linear)>) -> BTreeMap<String, &mut Tensor> {
    let mut factors = BTreeMap::new();
    for (path, linear) in linears {
        if let Some(LowRank { down, up, .. }) = &mut linear.adapter {
            factors.insert(format!("{path}.lora_A.weight"), down);
            factors.insert(format!("{path}.lora_B.weight"), up);
        }
    }
    factors
}

/// W + scale · B·A in place of each adapted weight; the adapters are gone afterwards.
pub(crate) fn merge(linears: Vec<(String, &mut Linear)>) -> Result<(), Error> {
    let _guard = tch::no_grad_guard();
    for (_, linear) in linears {
        if let Some(LowRank { down, up, scale, .. }) = linear.adapter.take() {
            let update = up.f_matmul(&down)?.f_mul_scalar(scale)?;
            let update = match linear.layout {
                crate::linear::Layout::OutIn => update,
                crate::linear::Layout::InOut => update.f_tr()?,
            };
            linear.weight = linear.weight.f_add(&update.f_to_kind(linear.weight.kind())?)?;
        }
    }
    Ok(())
}
