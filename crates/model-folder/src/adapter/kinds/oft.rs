//! OFT (Qiu et al. 2023): what a layer reads is turned, block by block, by rotations.

use contract::Error;
use serde_json::Value;

use super::super::keys::{KeyList, Keys, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::super::{AdapterConfig, WAY_OUT};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading};

use Treatment::{Harmless, Read};

/// OFT.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "OFT",
    name: "OFT",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    own_bias: "oft_only",
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("bias", Read),
    ("block_share", Read),
    ("coft", Read),
    ("eps", Read),
    ("num_cayley_neumann_terms", Read),
    ("oft_block_size", Read),
    ("r", Read),
    ("use_cayley_neumann", Read),
    // How to begin, and what training dropped.
    ("init_weights", Harmless),
    ("module_dropout", Harmless),
];

/// Rotations of what a module reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Oft {
    /// What lies above the diagonals of skew-symmetric matrices, row by row: `[blocks, size · (size − 1) / 2]`, or one row that all
    /// blocks share.
    pub angles: String,
    /// Number of blocks.
    pub blocks: usize,
    /// Width of a block.
    pub size: usize,
    /// How far from no rotation a block may be (COFT).
    pub limit: Option<f64>,
    /// Terms of the Neumann series that stands for the inverse in Cayley's formula; none for the inverse itself.
    pub terms: Option<usize>,
}

#[derive(Debug)]
struct Settings {
    blocks: usize,
    size: usize,
    is_shared: bool,
    limit: Option<f64>,
    terms: Option<usize>,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    let count = |key: &str| {
        keys.whole(key)?
            .ok_or_else(|| format!("{key}: expected a whole number, found none"))
    };
    let (blocks, size) = (count("r")?, count("oft_block_size")?);
    if (blocks == 0) == (size == 0) {
        return Err(format!(
            "r: expected either r or oft_block_size to be 0, found {blocks} and {size}"
        ));
    }
    let terms = keys
        .flag("use_cayley_neumann")?
        .then(|| neumann_terms(keys))
        .transpose()?;
    Ok(Box::new(Settings {
        blocks,
        size,
        is_shared: keys.flag("block_share")?,
        limit: keys
            .flag("coft")?
            .then(|| Ok::<_, String>(keys.number("eps")?.unwrap_or(6e-5)))
            .transpose()?,
        terms,
    }))
}

/// The terms of the series, which peft before 0.18 summed otherwise.
fn neumann_terms(keys: Keys<'_>) -> Result<usize, String> {
    let version = keys.get("peft_version").and_then(Value::as_str).unwrap_or("");
    let mut numbers = version
        .split(['.', '@'])
        .map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (0, 18) {
        return Err(format!(
            "use_cayley_neumann: expected a peft_version of 0.18 or later, before which the series was another, found {}. {WAY_OUT}",
            keys.text("peft_version")?.unwrap_or("none")
        ));
    }
    Ok(keys.whole("num_cayley_neumann_terms")?.unwrap_or(5))
}

/// The divisor of `inputs` that is nearest to `wanted`, the smaller of two, as peft adjusts what does not divide.
fn nearest_divisor(inputs: usize, wanted: usize) -> usize {
    if wanted >= inputs {
        return inputs;
    }
    let divides = |number: &usize| inputs.is_multiple_of(*number);
    let higher = (wanted..=inputs).find(divides).unwrap_or(inputs);
    let lower = (1..=wanted).rev().find(divides).unwrap_or(1);
    if wanted - lower <= higher - wanted {
        lower
    } else {
        higher
    }
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let rotations = chosen.iter().map(|module| {
            let (inputs, _) = module.linear_sizes(config)?;
            module.refuse_conv1d(config)?;
            let (blocks, size) = if self.blocks == 0 {
                let size = nearest_divisor(inputs, self.size);
                (inputs / size, size)
            } else {
                let blocks = nearest_divisor(inputs, self.blocks);
                (blocks, inputs / blocks)
            };
            let rows = if self.is_shared { 1 } else { blocks };
            let name = format!("{}.oft_R.weight", module.stored_path);
            Ok(Change::Oft(Oft {
                angles: stored.expect(&name, &[rows, size * (size - 1) / 2])?,
                blocks,
                size,
                limit: self.limit,
                terms: self.terms,
            }))
        });
        rotations.collect()
    }

    fn facts(&self) -> Facts {
        let sizes = match self.size {
            0 => format!("{} blocks", self.blocks),
            size => format!("blocks of {size}"),
        };
        Facts {
            others: vec![sizes],
            ..Facts::default()
        }
    }
}
