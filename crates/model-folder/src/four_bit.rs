//! Weights of four bits a number, as bitsandbytes writes them (QLoRA, Dettmers et al. 2023, arXiv 2305.14314): NF4 and FP4, with
//! and without double quantisation.
//!
//! Beside the packed bytes `X.weight` lie `X.weight.absmax`, the largest number of each block; `X.weight.quant_map`, the sixteen
//! numbers between −1 and 1; and `X.weight.quant_state.bitsandbytes__nf4` (or `__fp4`), a JSON of the shape, the type and the block
//! size. With double quantisation `absmax` is bytes, and `X.weight.nested_absmax`, `X.weight.nested_quant_map` and an offset in the
//! JSON give them back.

use std::collections::BTreeMap;

use contract::Error;
use serde::Deserialize;

use crate::headers::Header;

/// The longest JSON of a weight that is read, in bytes.
const MAX_STATE_BYTES: u64 = 1 << 16;

/// A weight of four bits a number. Number i of the whole weight, row by row, is quant_map[nibble i] · absmax[i / block_size]; two
/// nibbles make a byte, the high one first.
#[derive(Debug, Clone, PartialEq)]
pub struct FourBit {
    /// `nf4` or `fp4`.
    pub quant_type: &'static str,
    /// Numbers that share a largest number.
    pub block_size: usize,
    /// The type that the numbers are given in: F32, F16 or BF16.
    pub dtype: &'static str,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    /// Name of the largest numbers, F32, or bytes where they are quantised themselves.
    pub absmax: String,
    /// Name of the sixteen numbers.
    pub quant_map: String,
    /// How the largest numbers are quantised.
    pub nested: Option<Nested>,
}

/// Double quantisation: largest number i is quant_map[byte i] · absmax[i / block_size] + offset.
#[derive(Debug, Clone, PartialEq)]
pub struct Nested {
    /// Largest numbers that share one of their own.
    pub block_size: usize,
    /// Added to each.
    pub offset: f32,
    /// Name of their largest numbers, F32.
    pub absmax: String,
    /// Name of the 256 numbers.
    pub quant_map: String,
}

impl FourBit {
    /// The tensors that belong to the weight beside its packed bytes.
    pub fn companions(&self) -> impl Iterator<Item = &str> {
        let nested = self.nested.iter();
        let nested = nested.flat_map(|nested| [nested.absmax.as_str(), nested.quant_map.as_str()]);
        [self.absmax.as_str(), self.quant_map.as_str()]
            .into_iter()
            .chain(nested)
    }

    /// Numbers of the weight.
    pub fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What the JSON says.
#[derive(Deserialize)]
struct State {
    blocksize: usize,
    dtype: String,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f64>,
}

/// Takes the tensors of four-bit weights out of the headers, and gives the packed ones the shape and type that they stand for.
/// Returns them by the names of the packed tensors.
pub(crate) fn take(headers: &mut BTreeMap<String, Header>) -> Result<BTreeMap<String, FourBit>, Error> {
    let mut found = BTreeMap::new();
    for quant_type in ["nf4", "fp4"] {
        let ending = format!(".quant_state.bitsandbytes__{quant_type}");
        let weights: Vec<String> = headers
            .keys()
            .filter_map(|name| name.strip_suffix(&ending).map(str::to_owned))
            .collect();
        for weight in weights {
            let four_bit = take_weight(headers, &weight, quant_type, &ending)?;
            found.insert(weight, four_bit);
        }
    }
    Ok(found)
}

fn take_weight(
    headers: &mut BTreeMap<String, Header>,
    weight: &str,
    quant_type: &'static str,
    ending: &str,
) -> Result<FourBit, Error> {
    let header = take_named(headers, weight, ending)?;
    let bad = |problem: String| Error::input(&header.file, format!("tensor {}: {problem}", header.name));
    if header.numbers() > MAX_STATE_BYTES || header.dtype != "U8" {
        return Err(bad(format!(
            "expected a JSON as U8, found {} {:?}",
            header.dtype, header.shape
        )));
    }
    let state: State = serde_json::from_slice(&header.read()?).map_err(|error| {
        bad(format!(
            "expected a JSON with blocksize, dtype and shape: {error}"
        ))
    })?;
    let dtype = match state.dtype.as_str() {
        "float32" => "F32",
        "float16" => "F16",
        "bfloat16" => "BF16",
        other => {
            return Err(bad(format!(
                "dtype: expected float32, float16 or bfloat16, found {other}"
            )));
        }
    };
    let numbers = state
        .shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    let numbers =
        numbers.filter(|&numbers| numbers > 0 && state.blocksize > 0 && state.blocksize.is_multiple_of(2));
    let numbers =
        numbers.ok_or_else(|| bad("expected a shape over 0 and an even blocksize over 0".to_owned()))?;
    let blocks = numbers.div_ceil(state.blocksize);
    let mut companion = |name: &str, dtype: &str, count: usize| -> Result<String, Error> {
        let header = take_named(headers, weight, &format!(".{name}"))?;
        header.check_flat(dtype, count)?;
        Ok(header.name)
    };
    let nested = match (state.nested_blocksize, state.nested_offset) {
        (None, None) => None,
        (Some(block_size), Some(offset)) if block_size > 0 => Some(Nested {
            block_size,
            offset: offset as f32,
            absmax: companion("nested_absmax", "F32", blocks.div_ceil(block_size))?,
            quant_map: companion("nested_quant_map", "F32", 256)?,
        }),
        _ => {
            return Err(bad(
                "expected nested_blocksize over 0 and nested_offset, or neither".to_owned(),
            ));
        }
    };
    let absmax_type = if nested.is_some() { "U8" } else { "F32" };
    let four_bit = FourBit {
        quant_type,
        block_size: state.blocksize,
        dtype,
        shape: state.shape,
        absmax: companion("absmax", absmax_type, blocks)?,
        quant_map: companion("quant_map", "F32", 16)?,
        nested,
    };
    let Some(packed) = headers.get_mut(weight) else {
        return Err(bad(format!("expected {weight} beside it, found no such tensor")));
    };
    packed.check_flat("U8", numbers.div_ceil(2))?;
    packed.shape.clone_from(&four_bit.shape);
    dtype.clone_into(&mut packed.dtype);
    Ok(four_bit)
}

/// Takes the tensor whose name is that of `weight` with `ending`.
fn take_named(headers: &mut BTreeMap<String, Header>, weight: &str, ending: &str) -> Result<Header, Error> {
    let name = format!("{weight}{ending}");
    let missing = |headers: &BTreeMap<String, Header>| {
        let file = headers
            .values()
            .next()
            .map(|header| header.file.clone())
            .unwrap_or_default();
        Error::input(
            file,
            format!(
                "tensor {name}: expected it beside {weight}, which has four bits a number; found no such tensor"
            ),
        )
    };
    match headers.remove(&name) {
        Some(header) => Ok(header),
        None => Err(missing(headers)),
    }
}
