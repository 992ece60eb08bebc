//! VB-LoRA (Li et al. 2024): a low-rank update whose factors are mixed from a bank of vectors that all modules share.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, rank};

use Treatment::{Harmless, Read, Refused};

/// VB-LoRA.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "VBLORA",
    name: "VB-LoRA",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    own_bias: "vblora_only",
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("bias", Read),
    ("num_vectors", Read),
    ("r", Read),
    (
        "save_only_topk_weights",
        Refused("of the logits only the largest are stored"),
    ),
    ("topk", Read),
    ("vblora_dropout", Read),
    ("vector_length", Read),
    // How to begin.
    ("init_logits_std", Harmless),
    ("init_vector_bank_bound", Harmless),
];

/// An update B·A of a module, both in pieces of the bank's length, each a mix of the vectors with the largest logits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VbLora {
    /// `[rank, pieces of the inputs, vectors]`.
    pub logits_a: String,
    /// `[pieces of the outputs, rank, vectors]`.
    pub logits_b: String,
    /// The bank, `[vectors, length]`.
    pub bank: String,
    /// Vectors in a mix, weighted by the softmax of their logits.
    pub mixed: usize,
}

#[derive(Debug)]
struct Settings {
    rank: usize,
    vectors: usize,
    length: usize,
    mixed: usize,
    dropout: f64,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    let settings = Settings {
        rank: rank(keys, "r")?,
        vectors: rank(keys, "num_vectors")?,
        length: rank(keys, "vector_length")?,
        mixed: rank(keys, "topk")?,
        dropout: keys.number("vblora_dropout")?.unwrap_or(0.0),
    };
    if settings.mixed > settings.vectors {
        return Err(format!(
            "topk: expected at most num_vectors, {}, found {}",
            settings.vectors, settings.mixed
        ));
    }
    Ok(Box::new(settings))
}

impl Kind for Settings {
    fn changes(
        &self,
        config: &AdapterConfig,
        chosen: &[Chosen],
        stored: &mut StoredTensors<'_>,
    ) -> Result<Vec<Change>, Error> {
        let mut sizes = Vec::with_capacity(chosen.len());
        for module in chosen {
            let (inputs, outputs) = module.linear_sizes(config)?;
            if let Some(size) = [inputs, outputs]
                .into_iter()
                .find(|size| !size.is_multiple_of(self.length))
            {
                return Err(config.bad(format!(
                    "vector_length: expected a divisor of {size}, a side of {}, found {}",
                    module.stored_path, self.length
                )));
            }
            sizes.push((inputs / self.length, outputs / self.length));
        }
        let mut bank = String::new();
        if !chosen.is_empty() {
            bank = stored.expect("base_model.vblora_vector_bank", &[self.vectors, self.length])?;
        }
        let updates = chosen.iter().zip(sizes).map(|(module, (inputs, outputs))| {
            let path = &module.stored_path;
            let shape_a = [self.rank, inputs, self.vectors];
            let shape_b = [outputs, self.rank, self.vectors];
            Ok(Change::VbLora(VbLora {
                logits_a: stored.expect(&format!("{path}.vblora_logits_A"), &shape_a)?,
                logits_b: stored.expect(&format!("{path}.vblora_logits_B"), &shape_b)?,
                bank: bank.clone(),
                mixed: self.mixed,
            }))
        });
        updates.collect()
    }

    fn facts(&self) -> Facts {
        Facts {
            rank: Some(self.rank),
            dropout: Some(self.dropout),
            others: vec![format!(
                "{} of {} vectors of {}",
                self.mixed, self.vectors, self.length
            )],
            ..Facts::default()
        }
    }
}
