//! LoHa (Hyeon-Woo et al. 2022): the product, number by number, of two low-rank matrices.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, Sizes};

use Treatment::{Harmless, Read};

/// LoHa.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "LOHA",
    name: "LoHa",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("alpha", Read),
    ("alpha_pattern", Read),
    ("r", Read),
    ("rank_pattern", Read),
    // How to begin, and what training dropped.
    ("init_weights", Harmless),
    ("module_dropout", Harmless),
    ("rank_dropout", Harmless),
    // Of convolutions.
    ("use_effective_conv2d", Harmless),
];

/// An update scale · (first A·first B) ∘ (second A·second B) of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct LoHa {
    /// alpha / rank.
    pub scale: f64,
    /// `[out, rank]` and `[rank, in]`.
    pub first: [String; 2],
    /// The same of the second matrix.
    pub second: [String; 2],
}

#[derive(Debug)]
struct Settings(Sizes);

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    Ok(Box::new(Settings(Sizes::read(reading, "alpha")?)))
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let updates = chosen.iter().map(|module| {
            let (inputs, outputs) = module.linear_sizes(config)?;
            module.refuse_conv1d(config)?;
            let path = &module.stored_path;
            let (rank, scale) = self.0.of(path)?;
            let mut pair = |number: u8| -> Result<[String; 2], Error> {
                Ok([
                    stored.expect(&format!("{path}.hada_w{number}_a"), &[outputs, rank])?,
                    stored.expect(&format!("{path}.hada_w{number}_b"), &[rank, inputs])?,
                ])
            };
            Ok(Change::LoHa(LoHa {
                scale,
                first: pair(1)?,
                second: pair(2)?,
            }))
        });
        updates.collect()
    }

    fn facts(&self) -> Facts {
        self.0.facts()
    }
}
