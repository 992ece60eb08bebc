//! Σ x², as the norm of gradients needs it.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use tch::{TchError, Tensor};

use crate::dispatch::{Instructions, LANES, dispatch};
use crate::{slice, threads};

/// Σ x² of a tensor. Of a dense float32 tensor on the CPU it is the same bits with any number of threads.
///
/// # Errors
/// [`TchError`] where memory runs out.
pub fn sum_of_squares(tensor: &Tensor) -> Result<f64, TchError> {
    let (dense, _) = slice::dense_view(tensor)?;
    let Some(elements) = slice::contiguous::<f32>(&dense) else {
        let norm = tensor.f_norm()?.f_double_value(&[])?;
        return Ok(norm * norm);
    };
    let instructions = Instructions::widest();
    let blocks: Vec<&[f32]> = elements.chunks(threads::BLOCK).collect();
    let sums = threads::map(threads::count(blocks.len()), blocks, |block| {
        sum_of_block(instructions, block)
    });
    Ok(sums.iter().sum())
}

dispatch! {
    fn sum_of_block[](block: &[f32]) -> f64 = sum_by_lanes
}

#[inline(always)]
fn sum_by_lanes(block: &[f32]) -> f64 {
    let (groups, rest) = block.as_chunks::<LANES>();
    let mut total = 0.0;
    // Sums in float32 stay short enough to be exact to six digits.
    for groups in groups.chunks(256) {
        let mut sums = [0.0_f32; LANES];
        for group in groups {
            for (sum, value) in sums.iter_mut().zip(group) {
                *sum += value * value;
            }
        }
        total += sums.iter().copied().map(f64::from).sum::<f64>();
    }
    total + rest.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_instructions_give_the_same_bits() {
        let block: Vec<f32> = (0..10_007).map(|place| (place as f32 * 0.37).sin()).collect();
        let sums: Vec<f64> = Instructions::available()
            .map(|instructions| sum_of_block(instructions, &block))
            .collect();
        assert!(sums.iter().all(|&sum| sum == sums[0]), "{sums:?}");
        let expected: f64 = block.iter().map(|&value| f64::from(value).powi(2)).sum();
        assert!((sums[0] - expected).abs() < 1e-6 * expected);
    }
}
