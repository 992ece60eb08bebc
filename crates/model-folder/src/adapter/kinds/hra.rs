//! HRA (Yuan et al. 2024): what a layer reads is mirrored, by one Householder reflection after another.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, rank};

use Treatment::{Harmless, Read};

/// HRA.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "HRA",
    name: "HRA",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    own_bias: "hra_only",
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("apply_GS", Read),
    ("bias", Read),
    ("r", Read),
    ("init_weights", Harmless),
];

/// Reflections of what a module reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hra {
    /// The directions of the mirrors, `[in, rank]`.
    pub directions: String,
    /// Whether each is first made orthogonal to those before it (Gram-Schmidt).
    pub is_orthogonal: bool,
}

#[derive(Debug)]
struct Settings {
    rank: usize,
    is_orthogonal: bool,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    Ok(Box::new(Settings {
        rank: rank(reading.keys, "r")?,
        is_orthogonal: reading.keys.flag("apply_GS")?,
    }))
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let reflections = chosen.iter().map(|module| {
            let (inputs, _) = module.linear_sizes(config)?;
            module.refuse_conv1d(config)?;
            let name = format!("{}.hra_u", module.stored_path);
            Ok(Change::Hra(Hra {
                directions: stored.expect(&name, &[inputs, self.rank])?,
                is_orthogonal: self.is_orthogonal,
            }))
        });
        reflections.collect()
    }

    fn facts(&self) -> Facts {
        Facts {
            rank: Some(self.rank),
            ..Facts::default()
        }
    }
}
