//! Weights of four bits a number, back in full precision. The format is described in `model-folder`.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use model_folder::{FourBit, Nested};
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::{Error, weights};

/// Blocks that are dequantised at a time.
const BLOCKS_AT_ONCE: usize = 1 << 14;

/// What belongs to the four-bit weights of a model beside their packed bytes, from whatever shard holds it.
pub(crate) fn read_companions(
    four_bit: &BTreeMap<String, FourBit>,
    shards: &[impl AsRef<Path>],
) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut companions = BTreeMap::new();
    let is_wanted = |name: &str| {
        four_bit
            .values()
            .any(|weight| weight.companions().any(|known| known == name))
    };
    if four_bit.is_empty() {
        return Ok(companions);
    }
    for shard in shards {
        companions.extend(weights::read_finite(
            shard.as_ref(),
            &is_wanted,
            Kind::Float,
            Device::Cpu,
        )?);
    }
    Ok(companions)
}

/// The weight that `packed` bytes stand for, in `kind` on `device`. Its numbers are first rounded to the type that bitsandbytes gives
/// them in.
pub(crate) fn dequantise(
    weight: &FourBit,
    packed: &Tensor,
    companions: &BTreeMap<String, Tensor>,
    kind: Kind,
    device: Device,
) -> Result<Tensor, Error> {
    let floats = |name: &str| -> Result<Vec<f32>, Error> {
        Ok(Vec::<f32>::try_from(
            &companion(companions, name)?.f_flatten(0, -1)?,
        )?)
    };
    let packed = Vec::<u8>::try_from(&packed.f_flatten(0, -1)?)?;
    let quant_map = floats(&weight.quant_map)?;
    let absmax = match &weight.nested {
        None => floats(&weight.absmax)?,
        Some(nested) => {
            let bytes = Vec::<u8>::try_from(&companion(companions, &weight.absmax)?.f_flatten(0, -1)?)?;
            largest_numbers(
                nested,
                &bytes,
                &floats(&nested.quant_map)?,
                &floats(&nested.absmax)?,
            )
        }
    };
    let shape: Vec<i64> = weight.shape.iter().map(|&size| size as i64).collect();
    let dequantised = Tensor::f_empty(&shape[..], (kind, device))?;
    let flat = dequantised.f_view([-1])?;
    let (total, at_once) = (weight.numbers(), BLOCKS_AT_ONCE * weight.block_size);
    let parts = packed.chunks(at_once / 2).zip(absmax.chunks(BLOCKS_AT_ONCE));
    let mut numbers = vec![0.0; at_once.min(packed.len() * 2)];
    for (part, (packed, absmax)) in parts.enumerate() {
        let first = part * at_once;
        let numbers = &mut numbers[..packed.len() * 2];
        let blocks = Blocks {
            packed,
            absmax,
            quant_map: &quant_map,
            size: weight.block_size,
        };
        match weight.dtype {
            "F16" => blocks.write(numbers, |number| f16::from_f32(number).to_f32()),
            "BF16" => blocks.write(numbers, |number| bf16::from_f32(number).to_f32()),
            _ => blocks.write(numbers, |number| number),
        }
        // The last byte holds one number where their number is odd.
        let count = numbers.len().min(total - first);
        let mut place = flat.f_narrow(0, first as i64, count as i64)?;
        place.f_copy_(&Tensor::f_from_slice(&numbers[..count])?)?;
    }
    Ok(dequantised)
}

/// Some blocks of a weight.
struct Blocks<'a> {
    packed: &'a [u8],
    absmax: &'a [f32],
    quant_map: &'a [f32],
    size: usize,
}

impl Blocks<'_> {
    /// Writes their numbers, each rounded by `round`.
    fn write(&self, numbers: &mut [f32], round: impl Fn(f32) -> f32 + Sync) {
        let blocks = numbers.par_chunks_mut(self.size);
        let blocks = blocks.zip(self.packed.par_chunks(self.size / 2)).zip(self.absmax);
        blocks.for_each(|((numbers, packed), absmax)| {
            for (pair, byte) in numbers.chunks_exact_mut(2).zip(packed) {
                pair[0] = round(self.quant_map[usize::from(byte >> 4)] * absmax);
                pair[1] = round(self.quant_map[usize::from(byte & 15)] * absmax);
            }
        });
    }
}

/// The largest numbers of blocks, of the bytes that double quantisation made of them.
fn largest_numbers(nested: &Nested, bytes: &[u8], quant_map: &[f32], absmax: &[f32]) -> Vec<f32> {
    let numbered = bytes.iter().enumerate();
    numbered
        .map(|(number, &byte)| {
            quant_map[usize::from(byte)] * absmax[number / nested.block_size] + nested.offset
        })
        .collect()
}

fn companion<'a>(companions: &'a BTreeMap<String, Tensor>, name: &str) -> Result<&'a Tensor, Error> {
    let missing = || contract::Error::Run(format!("tensor {name} was not read"));
    Ok(companions.get(name).ok_or_else(missing)?)
}
