//! (IA)³ (Liu et al. 2022): vectors that scale what a module writes, or what a feed-forward module reads.

use contract::Error;

use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::super::{AdapterConfig, WAY_OUT};
use super::{COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading};
use crate::LoraTargets;
use crate::module_choice::is_whole_match;

use Treatment::{Harmless, Read};

/// (IA)³.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "IA3",
    name: "IA3",
    keys: &[COMMON, EXCLUDE, KEYS],
    read,
    ..PLAIN
};

const KEYS: KeyList = &[("feedforward_modules", Read), ("init_ia3_weights", Harmless)];

/// A vector that scales a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ia3 {
    /// The vector.
    pub scales: String,
    /// What it scales.
    pub side: Side,
}

/// A side of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What it reads.
    Inputs,
    /// What it writes, its bias with it.
    Outputs,
}

#[derive(Debug)]
struct Settings {
    feedforward: LoraTargets,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    // peft chooses by family where nothing is said, and saves what it chose.
    if reading.keys.get("feedforward_modules").is_none() {
        return Err(format!(
            "feedforward_modules: expected a list of names, which may be empty, or a regular expression, found none. {WAY_OUT}"
        ));
    }
    let feedforward = reading.keys.modules("feedforward_modules")?;
    Ok(Box::new(Settings {
        feedforward: feedforward.unwrap_or_else(|| LoraTargets::Names(Vec::new())),
    }))
}

impl Settings {
    fn side(&self, path: &str) -> Result<Side, Error> {
        let is_feedforward = match &self.feedforward {
            // Unlike targets, the name may be the end of a longer one.
            LoraTargets::Names(names) => names.iter().any(|name| path.ends_with(name.as_str())),
            LoraTargets::Pattern(pattern) => is_whole_match(pattern, path)?,
            // The words mean nothing here: no path is called so.
            LoraTargets::AllLinear | LoraTargets::FamilyDefault => false,
        };
        Ok(if is_feedforward {
            Side::Inputs
        } else {
            Side::Outputs
        })
    }
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let scales = chosen.iter().map(|module| {
            let (inputs, outputs) = module.linear_sizes(config)?;
            let path = &module.stored_path;
            let side = self.side(path)?;
            let shape = match side {
                Side::Inputs => [1, inputs],
                Side::Outputs => [outputs, 1],
            };
            let scales = stored.expect(&format!("{path}.ia3_l"), &shape)?;
            Ok(Change::Ia3(Ia3 { scales, side }))
        });
        scales.collect()
    }

    fn facts(&self) -> Facts {
        let others = match &self.feedforward {
            LoraTargets::Names(names) if names.is_empty() => Vec::new(),
            LoraTargets::Names(names) => {
                let mut names = names.clone();
                names.sort();
                vec![format!("feed-forward {}", names.join("+"))]
            }
            LoraTargets::Pattern(pattern) => vec![format!("feed-forward {pattern}")],
            LoraTargets::AllLinear | LoraTargets::FamilyDefault => Vec::new(),
        };
        Facts {
            others,
            ..Facts::default()
        }
    }
}
