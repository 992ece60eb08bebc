//! LoKr (Yeh et al. 2024): the Kronecker product of two small matrices, each whole or a product of low rank.

use contract::Error;

use super::super::AdapterConfig;
use super::super::keys::{KeyList, Treatment};
use super::super::tensors::{Chosen, StoredTensors};
use super::{BLOCKS, COMMON, Change, EXCLUDE, Facts, Kind, KindSpec, PLAIN, Reading, Sizes};

use Treatment::{Harmless, Read};

/// LoKr.
pub(super) static SPEC: KindSpec = KindSpec {
    peft_type: "LOKR",
    name: "LoKr",
    keys: &[COMMON, EXCLUDE, BLOCKS, KEYS],
    read,
    ..PLAIN
};

const KEYS: KeyList = &[
    ("alpha", Read),
    ("alpha_pattern", Read),
    ("decompose_both", Read),
    ("decompose_factor", Read),
    ("r", Read),
    ("rank_pattern", Read),
    // How to begin, and what training dropped.
    ("init_weights", Harmless),
    ("module_dropout", Harmless),
    ("rank_dropout", Harmless),
    ("rank_dropout_scale", Harmless),
    // Of convolutions.
    ("use_effective_conv2d", Harmless),
];

/// An update scale · first ⊗ second of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct LoKr {
    /// alpha / rank.
    pub scale: f64,
    /// The first matrix.
    pub first: Factor,
    /// The second matrix.
    pub second: Factor,
}

/// A matrix of a Kronecker product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// It is stored whole.
    Whole(String),
    /// It is the product of these.
    Product(String, String),
}

#[derive(Debug)]
struct Settings {
    sizes: Sizes,
    decomposes_both: bool,
    /// The divisor to look for; none for the one next to the square root.
    factor: Option<usize>,
}

fn read(reading: &Reading<'_>) -> Result<Box<dyn Kind>, String> {
    let keys = reading.keys;
    let factor = match keys.number("decompose_factor")? {
        None | Some(-1.0) => None,
        Some(factor) if factor >= 1.0 && factor.fract() == 0.0 => Some(factor as usize),
        Some(factor) => {
            return Err(format!(
                "decompose_factor: expected -1 or a whole number of at least 1, found {factor}"
            ));
        }
    };
    Ok(Box::new(Settings {
        sizes: Sizes::read(reading, "alpha")?,
        decomposes_both: keys.flag("decompose_both")?,
        factor,
    }))
}

/// Two numbers whose product is `size`, the smaller first: `factor` and the rest where that divides it, else the divisors that are
/// nearest to each other with the smaller at most `factor`. As peft's `factorization`, which comes from LyCORIS.
fn factorization(size: usize, factor: Option<usize>) -> (usize, usize) {
    if let Some(factor) = factor
        && size.is_multiple_of(factor)
    {
        return (factor, size / factor);
    }
    let most = factor.unwrap_or(size);
    let (mut small, mut large) = (1, size);
    while small < large {
        let mut next = small + 1;
        while !size.is_multiple_of(next) {
            next += 1;
        }
        if next > most {
            break;
        }
        (small, large) = (next, size / next);
    }
    (small.min(large), small.max(large))
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
            let (rank, scale) = self.sizes.of(path)?;
            let columns = factorization(inputs, self.factor);
            let rows = factorization(outputs, self.factor);
            let mut factor = |name: &str, rows: usize, columns: usize, is_product: bool| {
                let name = format!("{path}.lokr_{name}");
                if is_product {
                    let left = stored.expect(&format!("{name}_a"), &[rows, rank])?;
                    let right = stored.expect(&format!("{name}_b"), &[rank, columns])?;
                    Ok::<_, Error>(Factor::Product(left, right))
                } else {
                    stored.expect(&name, &[rows, columns]).map(Factor::Whole)
                }
            };
            // A product where it has fewer numbers than the matrix.
            let is_low = |rows: usize, columns: usize| 2 * rank < rows.max(columns);
            let is_product = self.decomposes_both && is_low(rows.0, columns.0);
            let first = factor("w1", rows.0, columns.0, is_product)?;
            let second = factor("w2", rows.1, columns.1, is_low(rows.1, columns.1))?;
            Ok(Change::LoKr(LoKr { scale, first, second }))
        });
        updates.collect()
    }

    fn facts(&self) -> Facts {
        Facts {
            others: self
                .factor
                .map(|factor| format!("factor {factor}"))
                .into_iter()
                .collect(),
            ..self.sizes.facts()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::factorization;

    /// The examples of peft's own description, and numbers that the factor does not divide.
    #[test]
    fn numbers_are_divided_as_peft_divides_them() {
        for (size, factor, expected) in [
            (256, None, (16, 16)),
            (128, None, (8, 16)),
            (127, None, (1, 127)),
            (128, Some(4), (4, 32)),
            (20, Some(8), (4, 5)),
            (36, Some(5), (4, 9)),
        ] {
            assert_eq!(factorization(size, factor), expected, "{size} by {factor:?}");
        }
    }
}
