//! FourierFT (Gao et al. 2024): an update with few frequencies, at places that are drawn.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, rank};

use Treatment::{Harmless, Read, Refused};

/// FourierFT.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "FOURIERFT",
    name: "FourierFT",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    own_bias: "fourier_only",
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("bias", Read),
    ("n_frequency", Read),
    (
        "n_frequency_pattern",
        Refused("single modules have other numbers of frequencies"),
    ),
    ("random_loc_seed", Read),
    ("scaling", Read),
    ("init_weights", Harmless),
];

/// An update of a module by its spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct FourierFt {
    /// The spectrum's numbers, `[frequencies]`. They stand at the first places of a permutation of all that PyTorch's generator for
    /// the CPU draws, counted row by row over `[out, in]`.
    pub spectrum: String,
    /// The generator's seed.
    pub seed: i64,
    /// The factor on the inverse transform.
    pub scale: f64,
}

#[derive(Debug)]
struct Settings {
    frequencies: usize,
    seed: i64,
    scale: f64,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    let seed = keys.whole("random_loc_seed")?;
    Ok(Box::new(Settings {
        frequencies: rank(keys, "n_frequency")?,
        seed: seed.ok_or("random_loc_seed: expected a whole number, found none")? as i64,
        scale: keys
            .number("scaling")?
            .ok_or("scaling: expected a number, found none")?,
    }))
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
            if self.frequencies > inputs * outputs {
                return Err(config.bad(format!(
                    "n_frequency: expected at most {} as {} has numbers, found {}",
                    inputs * outputs,
                    module.module.path,
                    self.frequencies
                )));
            }
            let name = format!("{}.fourierft_spectrum", module.stored_path);
            Ok(Change::FourierFt(FourierFt {
                spectrum: stored.expect(&name, &[self.frequencies])?,
                seed: self.seed,
                scale: self.scale,
            }))
        });
        updates.collect()
    }

    fn facts(&self) -> Facts {
        Facts {
            others: vec![
                format!("{} frequencies", self.frequencies),
                format!("scaling {}", self.scale),
            ],
            ..Facts::default()
        }
    }
}
