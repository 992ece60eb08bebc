//! VeRA (Kopiczko et al. 2024): two random matrices that all modules share, and vectors that scale their rows.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::{BLOCKS, COMMON, Change, Facts, Kind, KindSpec, PLAIN, Reading, rank};

use Treatment::{Harmless, Read};

/// VeRA.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "VERA",
    name: "VeRA",
    keys: &[COMMON, BLOCKS, KEYS],
    own_bias: "vera_only",
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("bias", Read),
    ("projection_prng_key", Read),
    ("r", Read),
    ("save_projection", Read),
    ("vera_dropout", Read),
    // How to begin.
    ("d_initial", Harmless),
    ("init_weights", Harmless),
];

/// An update diag(b)·B·diag(d)·A of a module, B cut to its outputs and A to its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Vera {
    /// b, `[out]`.
    pub lambda_b: String,
    /// d, `[rank]`.
    pub lambda_d: String,
    /// A and B.
    pub projections: Projections,
}

/// The matrices that all modules share.
#[derive(Debug, Clone, PartialEq)]
pub enum Projections {
    /// They are in the file.
    Stored {
        /// A, `[rank, most inputs]`.
        a: String,
        /// B, `[most outputs, rank]`.
        b: String,
    },
    /// They are drawn from PyTorch's generator for the CPU, A first: uniform up to ±√(6 / columns).
    Drawn {
        /// The generator's seed.
        seed: i64,
        /// Rows of A.
        rank: usize,
        /// Columns of A: the most inputs of any module.
        inputs: usize,
        /// Rows of B: the most outputs of any module.
        outputs: usize,
    },
}

#[derive(Debug)]
struct Settings {
    rank: usize,
    dropout: f64,
    is_saved: bool,
    seed: i64,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    Ok(Box::new(Settings {
        rank: rank(keys, "r")?,
        dropout: keys.number("vera_dropout")?.unwrap_or(0.0),
        is_saved: keys.flag_or("save_projection", true)?,
        seed: keys.whole("projection_prng_key")?.unwrap_or(0) as i64,
    }))
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let sizes = chosen.iter().map(|module| module.linear_sizes(config));
        let sizes: Vec<(usize, usize)> = sizes.collect::<Result<_, Error>>()?;
        let inputs = sizes.iter().map(|size| size.0).max().unwrap_or(0);
        let outputs = sizes.iter().map(|size| size.1).max().unwrap_or(0);
        let projections = if sizes.is_empty() || !self.is_saved {
            Projections::Drawn {
                seed: self.seed,
                rank: self.rank,
                inputs,
                outputs,
            }
        } else {
            Projections::Stored {
                a: stored.expect("base_model.vera_A", &[self.rank, inputs])?,
                b: stored.expect("base_model.vera_B", &[outputs, self.rank])?,
            }
        };
        let updates = chosen.iter().zip(sizes).map(|(module, (_, outputs))| {
            let path = &module.stored_path;
            Ok(Change::Vera(Vera {
                lambda_b: stored.expect(&format!("{path}.vera_lambda_b"), &[outputs])?,
                lambda_d: stored.expect(&format!("{path}.vera_lambda_d"), &[self.rank])?,
                projections: projections.clone(),
            }))
        });
        updates.collect()
    }

    fn facts(&self) -> Facts {
        Facts {
            rank: Some(self.rank),
            dropout: Some(self.dropout),
            ..Facts::default()
        }
    }
}
