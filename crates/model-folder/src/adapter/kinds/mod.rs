//! Kinds of adapters: what each one's settings say, which tensors it stores for a module, and what they do there.
//!
//! A kind is one file here with its line in [`KINDS`] and in [`Change`], and one file in `causal-lm`, which computes the change.

mod adalora;
mod fourierft;
mod hra;
mod ia3;
mod loha;
mod lokr;
mod lora;
mod oft;
mod prompt;
mod vblora;
mod vera;
mod whole;

use std::fmt::Debug;

use contract::Error;

pub use adalora::AdaLora;
pub use fourierft::FourierFt;
pub use hra::Hra;
pub use ia3::{Ia3, Side};
pub use loha::LoHa;
pub use lokr::{Factor, LoKr};
pub use lora::{LowRank, Residual};
pub use oft::Oft;
pub use vblora::VbLora;
pub use vera::{Projections, Vera};

use super::AdapterConfig;
use super::keys::{KeyList, Keys, Order, Treatment};
use super::settings::{self, BiasMode, TokenRows};
use super::tensors::{Chosen, Prompt, StoredTensors};
use crate::{Config, LoraSettings};

use Treatment::{Harmless, Read};

/// Every kind that is read.
pub(super) static KINDS: [&KindSpec; 15] = [
    &lora::SPEC,
    &adalora::SPEC,
    &vera::SPEC,
    &ia3::SPEC,
    &loha::SPEC,
    &lokr::SPEC,
    &oft::SPEC,
    &hra::SPEC,
    &fourierft::SPEC,
    &vblora::SPEC,
    &whole::NORMS,
    &whole::TOKENS,
    &prompt::PROMPT_TUNING,
    &prompt::P_TUNING,
    &prompt::PREFIX_TUNING,
];

/// What a kind's tensors do to a module.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// LoRA, DoRA and what begins as PiSSA or OLoRA.
    LowRank(LowRank),
    /// AdaLoRA.
    AdaLora(AdaLora),
    /// VeRA.
    Vera(Vera),
    /// (IA)³.
    Ia3(Ia3),
    /// LoHa.
    LoHa(LoHa),
    /// LoKr.
    LoKr(LoKr),
    /// OFT.
    Oft(Oft),
    /// HRA.
    Hra(Hra),
    /// FourierFT.
    FourierFt(FourierFt),
    /// VB-LoRA.
    VbLora(VbLora),
}

/// A kind of adapter.
#[derive(Debug)]
pub struct KindSpec {
    /// `peft_type` in the settings.
    pub peft_type: &'static str,
    /// Its name in words.
    pub name: &'static str,
    /// Its keys, list by list.
    pub(super) keys: &'static [KeyList],
    /// What `bias` says where the biases of adapted layers alone were trained; empty where the kind has no such setting.
    pub(super) own_bias: &'static str,
    /// Reads the settings that only this kind has.
    pub(super) read: fn(&Reading<'_>) -> Result<Box<dyn Kind>, String>,
    /// Reads which rows of tables were trained.
    pub(super) token_rows: fn(Keys<'_>) -> Result<Vec<TokenRows>, String>,
    /// What its tensors are.
    pub(super) stores: Stores,
}

/// What the tensors of a kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stores {
    /// What is done to the chosen modules.
    Changes,
    /// The chosen modules themselves.
    Modules,
    /// Rows of tables.
    Rows,
    /// What stands before every text.
    Prompt,
}

/// What most kinds have in common.
const PLAIN: KindSpec = KindSpec {
    peft_type: "",
    name: "",
    keys: &[],
    own_bias: "",
    read: |_| Err("no kind of adapter".to_owned()),
    token_rows: settings::token_rows,
    stores: Stores::Changes,
};

/// A settings file being read.
pub(super) struct Reading<'a> {
    pub(super) keys: Keys<'a>,
    /// Tables in the order in which the file has their entries.
    pub(super) order: &'a Order,
    /// Which modules are adapted.
    pub(super) modules: crate::ModuleChoice,
}

/// The settings of an adapter, of its kind.
pub(super) trait Kind: Debug {
    /// Takes the tensors of every chosen module out of the file.
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error>;

    /// Takes what stands before every text out of the file.
    fn prompt(
        &self,
        _config: &AdapterConfig,
        _base: &Config,
        _stored: &mut StoredTensors<'_>,
    ) -> Result<Option<Prompt>, Error> {
        Ok(None)
    }

    /// What a report says of it.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// The settings of LoRA, where it is that.
    fn lora(&self) -> Option<&LoraSettings> {
        None
    }
}

/// What tells two adapters of a kind apart, beside the modules that they adapt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Rank of an update.
    pub rank: Option<usize>,
    /// Alpha.
    pub alpha: Option<f64>,
    /// Share of the input that training dropped.
    pub dropout: Option<f64>,
    /// Whether it is DoRA; none for a kind that cannot be.
    pub dora: Option<bool>,
    /// Whether it is rsLoRA; none for a kind that cannot be.
    pub rslora: Option<bool>,
    /// Ranks of single modules.
    pub rank_pattern: Vec<(String, usize)>,
    /// Alphas of single modules.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Other settings that differ from peft's own, in words.
    pub others: Vec<String>,
}

/// The kind that peft calls so.
pub(super) fn named(peft_type: &str) -> Option<&'static KindSpec> {
    KINDS.into_iter().find(|kind| kind.peft_type == peft_type)
}

/// The names of all kinds, as messages list them.
pub(super) fn known() -> String {
    KINDS.map(|kind| kind.peft_type).join(", ")
}

/// Keys that every kind has.
pub(super) const COMMON: KeyList = &[
    ("auto_mapping", Harmless),
    ("base_model_name_or_path", Read),
    ("inference_mode", Harmless),
    ("modules_to_save", Read),
    ("peft_type", Read),
    ("peft_version", Harmless),
    ("revision", Read),
    ("target_modules", Read),
    ("task_type", Read),
    // peft goes by the kind of the layer.
    ("fan_in_fan_out", Harmless),
];

/// Keys of kinds that can leave modules out.
const EXCLUDE: KeyList = &[("exclude_modules", Read)];

/// Keys of kinds that can adapt some blocks alone.
const BLOCKS: KeyList = &[("layers_pattern", Read), ("layers_to_transform", Read)];

/// Which biases were trained along, of kinds that can do so.
pub(super) fn bias_mode(keys: Keys<'_>, own: &str) -> Result<BiasMode, String> {
    match keys.text("bias")?.unwrap_or("none") {
        "none" => Ok(BiasMode::None),
        // peft goes by the ending.
        found if !own.is_empty() && (found == "all" || found.ends_with("_only")) => Ok(BiasMode::Stored),
        other => Err(format!("bias: expected none, all or {own}, found {other}")),
    }
}

/// Rank and alpha, with those of single modules, of kinds that scale by alpha / rank.
#[derive(Debug)]
struct Sizes {
    rank: usize,
    alpha: f64,
    rank_pattern: Vec<(String, usize)>,
    alpha_pattern: Vec<(String, f64)>,
}

impl Sizes {
    fn read(reading: &Reading<'_>, alpha: &str) -> Result<Self, String> {
        Ok(Self {
            rank: rank(reading.keys, "r")?,
            alpha: reading
                .keys
                .number(alpha)?
                .ok_or_else(|| format!("{alpha}: expected a number, found none"))?,
            rank_pattern: reading.order.ranks()?,
            alpha_pattern: reading.order.alphas()?,
        })
    }

    /// Rank of the module at `path`, and alpha / rank.
    fn of(&self, path: &str) -> Result<(usize, f64), Error> {
        use crate::module_choice::fitting;
        let rank = fitting(&self.rank_pattern, path)?.unwrap_or(self.rank);
        let alpha = fitting(&self.alpha_pattern, path)?.unwrap_or(self.alpha);
        Ok((rank, alpha / rank as f64))
    }

    fn facts(&self) -> Facts {
        Facts {
            rank: Some(self.rank),
            alpha: Some(self.alpha),
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: self.alpha_pattern.clone(),
            ..Facts::default()
        }
    }
}

/// A rank of at least 1.
fn rank(keys: Keys<'_>, key: &str) -> Result<usize, String> {
    let rank = keys.whole(key)?.filter(|&rank| rank > 0);
    rank.ok_or_else(|| format!("{key}: expected a rank of at least 1, found none"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_listed_once() {
        for kind in KINDS {
            let mut seen = BTreeSet::new();
            for (key, _) in kind.keys.iter().copied().flatten() {
                assert!(seen.insert(key), "{}: {key}", kind.name);
            }
        }
    }
}
