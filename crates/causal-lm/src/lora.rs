//! Low-rank adaptation (Hu et al. 2021): which linear layers get an update, and how large it is.

use std::collections::BTreeMap;

use fancy_regex::Regex;
use tch::{Kind, Tensor};

use crate::Error;
use crate::parts::{Linear, LowRank};

/// Settings of an adapter, under the rules by which peft 0.21 reads its own.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSettings {
    /// Rank r of the update.
    pub rank: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f64,
    /// Share of the adapter's input dropped in training.
    pub dropout: f64,
    /// Scale by alpha / √r instead (rsLoRA, Kalajdzievski 2023).
    pub rank_stabilized: bool,
    /// Learn the norm of each output's weights apart from their direction (DoRA, Liu et al. 2024).
    pub magnitude: bool,
    /// The layers to adapt.
    pub targets: LoraTargets,
    /// Layers not to adapt, chosen as targets are.
    pub excluded: Option<LoraTargets>,
    /// Numbers of the blocks to adapt; all where there are none.
    pub blocks: Vec<usize>,
    /// Ranks of layers whose path ends with one of these regular expressions, the first that fits.
    pub rank_pattern: Vec<(String, usize)>,
    /// The same for alpha.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Modules that were trained whole beside the adapter, by the ends of their paths; they get no update.
    pub whole_modules: Vec<String>,
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
    /// Layers whose whole path fits a regular expression.
    Pattern(String),
}

impl LoraSettings {
    /// An adapter of one rank on the family's usual layers.
    pub fn new(rank: usize, alpha: f64) -> Self {
        Self {
            rank,
            alpha,
            dropout: 0.0,
            rank_stabilized: false,
            magnitude: false,
            targets: LoraTargets::FamilyDefault,
            excluded: None,
            blocks: Vec::new(),
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            whole_modules: Vec::new(),
        }
    }

    /// Whether a layer is adapted.
    fn chooses(&self, path: &str, model_type: &str) -> Result<bool, Error> {
        if self
            .whole_modules
            .iter()
            .any(|module| path.split('.').any(|part| part == module) || path.ends_with(module))
        {
            return Ok(false);
        }
        if let Some(excluded) = &self.excluded
            && excluded.matches(path, model_type)?
        {
            return Ok(false);
        }
        let block = path.split('.').find_map(|part| part.parse::<usize>().ok());
        let in_block = self.blocks.is_empty() || block.is_some_and(|block| self.blocks.contains(&block));
        Ok(in_block && self.targets.matches(path, model_type)?)
    }

    /// Rank and factor on B·A of the layer at `path`.
    fn size(&self, path: &str) -> Result<(usize, f64), Error> {
        let rank = fitting(&self.rank_pattern, path)?.unwrap_or(self.rank);
        let alpha = fitting(&self.alpha_pattern, path)?.unwrap_or(self.alpha);
        let divisor = if self.rank_stabilized {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        Ok((rank, alpha / divisor))
    }
}

/// The value of the first pattern that fits the end of `path`, beginning after a dot.
fn fitting<Value: Copy>(patterns: &[(String, Value)], path: &str) -> Result<Option<Value>, Error> {
    for (pattern, value) in patterns {
        if is_match(&format!(r"\A(?:.*\.)?(?:{pattern})\z"), pattern, path)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn is_match(anchored: &str, pattern: &str, path: &str) -> Result<bool, Error> {
    let wrong = |error: fancy_regex::Error| {
        contract::Error::Configuration(format!("LoRA's regular expression `{pattern}`: {error}"))
    };
    let regex = Regex::new(anchored).map_err(wrong)?;
    Ok(regex.is_match(path).map_err(wrong)?)
}

impl LoraTargets {
    /// Targets as a pipeline file gives them: names, "all-linear", or one regular expression; a single word without any
    /// character that has a meaning in one is a name.
    pub fn from_setting(setting: Option<&contract::pipeline::Targets>) -> Self {
        match setting.map(contract::pipeline::OneOrMany::as_slice) {
            None => Self::FamilyDefault,
            Some([all]) if all == "all-linear" => Self::AllLinear,
            Some([pattern]) if pattern.contains(['*', '+', '(', '[', '|', '\\', '^', '$', '?']) => {
                Self::Pattern(pattern.clone())
            }
            Some(names) => Self::Names(names.to_vec()),
        }
    }

    fn matches(&self, path: &str, model_type: &str) -> Result<bool, Error> {
        let is_named = |name: &str| {
            path.strip_suffix(name)
                .is_some_and(|head| head.is_empty() || head.ends_with('.'))
        };
        Ok(match self {
            Self::AllLinear => true,
            Self::FamilyDefault => default_targets(model_type).iter().any(|name| is_named(name)),
            Self::Names(names) => names.iter().any(|name| is_named(name)),
            Self::Pattern(pattern) => is_match(&format!(r"\A(?:{pattern})\z"), pattern, path)?,
        })
    }
}

/// peft's own choice of layers for each family.
fn default_targets(model_type: &str) -> &'static [&'static str] {
    match model_type {
        "gpt2" => &["c_attn"],
        "gpt_neox" => &["query_key_value"],
        _ => &["q_proj", "v_proj"],
    }
}

/// Adds a fresh adapter to every layer that the settings choose: A kaiming-uniform with a = √5, B zero, so that the model
/// starts unchanged. Random numbers come from LibTorch's seeded generator. Returns the paths of the adapted layers.
pub(crate) fn attach(
    linears: Vec<&mut Linear>,
    settings: &LoraSettings,
    model_type: &str,
) -> Result<Vec<String>, Error> {
    let paths: Vec<String> = linears.iter().map(|linear| linear.path.clone()).collect();
    let mut adapted = Vec::new();
    for linear in linears {
        if !settings.chooses(&linear.path, model_type)? {
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
