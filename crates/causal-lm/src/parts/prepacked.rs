//! Weights prepacked for decoding: x·Wᵀ + b of a few rows, in float32 on the CPU.
//!
//! A matrix product rearranges its weights so that the processor reads them in the order of memory. LibTorch's does so at every call, which
//! pays for thousands of rows; with the few that decoding has, rearranging takes longer than multiplying. Here it is done once.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::Error;

/// Columns of the output that are computed together: what the widest instructions hold.
const LANES: usize = 16;

/// Rows that are computed together, so that weights are read once for all of them.
const ROWS: usize = 8;

/// Multiplications that are worth a thread of their own.
const WORTH_A_THREAD: usize = 1 << 18;

/// A weight `[out, in]` as panels of [`LANES`] outputs: for each input its weights to them, side by side.
#[derive(Debug)]
pub(crate) struct Prepacked {
    panels: Vec<[f32; LANES]>,
    bias: Vec<f32>,
    from: usize,
    to: usize,
}

impl Prepacked {
    /// Prepacks a weight `[out, in]` and its bias; `None` where it is not in float32 on the CPU.
    pub(crate) fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Self>, Error> {
        if weight.kind() != Kind::Float || weight.device() != Device::Cpu {
            return Ok(None);
        }
        let (to, from) = weight.size2()?;
        let (to, from) = (to as usize, from as usize);
        let numbers = Vec::<f32>::try_from(&weight.f_detach()?.f_contiguous()?.f_view([-1])?)?;
        let mut panels = vec![[0.0; LANES]; to.div_ceil(LANES) * from];
        for (output, row) in numbers.chunks_exact(from).enumerate() {
            let first = output / LANES * from;
            for (panel, &number) in panels[first..first + from].iter_mut().zip(row) {
                panel[output % LANES] = number;
            }
        }
        let bias = match bias {
            Some(bias) => Vec::<f32>::try_from(&bias.f_detach()?)?,
            None => vec![0.0; to],
        };
        Ok(Some(Self {
            panels,
            bias,
            from,
            to,
        }))
    }

    /// `input` `[…, in]` times the transpose of the weight, plus the bias.
    pub(crate) fn multiply(&self, input: &Tensor) -> Result<Tensor, Error> {
        let rows = input.numel() / self.from;
        let numbers = Vec::<f32>::try_from(&input.f_contiguous()?.f_view([-1])?)?;
        let blocks = Blocks::of(&numbers, self.from);
        let mut output = vec![0.0; rows * self.to];
        let panels = self.to.div_ceil(LANES);
        let threads =
            (tch::get_num_threads().max(1) as usize).min(rows * self.to * self.from / WORTH_A_THREAD);
        if threads < 2 {
            self.columns(0, panels, &blocks, &mut output);
        } else {
            // Each thread has columns of its own, which do not lie together in the output.
            let share = panels.div_ceil(threads);
            let parts: Vec<Vec<f32>> = (0..threads)
                .into_par_iter()
                .map(|thread| {
                    let (first, end) = ((thread * share).min(panels), ((thread + 1) * share).min(panels));
                    let width = (end * LANES).min(self.to).saturating_sub(first * LANES);
                    let mut part = vec![0.0; rows * width];
                    self.columns(first, end, &blocks, &mut part);
                    part
                })
                .collect();
            for (thread, part) in parts.iter().enumerate() {
                let first = (thread * share).min(panels) * LANES;
                let width = part.len() / rows.max(1);
                for (row, numbers) in part.chunks_exact(width.max(1)).enumerate() {
                    let start = row * self.to + first;
                    output[start..start + width].copy_from_slice(numbers);
                }
            }
        }
        let mut shape = input.size();
        shape.pop();
        shape.push(self.to as i64);
        Ok(Tensor::f_from_slice(&output)?.f_view(&shape[..])?)
    }

    /// The columns of the panels from `first` to `end`, row by row.
    fn columns(&self, first: usize, end: usize, input: &Blocks, output: &mut [f32]) {
        let width = (end * LANES).min(self.to).saturating_sub(first * LANES);
        for number in first..end {
            let panel = &self.panels[number * self.from..(number + 1) * self.from];
            let column = (number - first) * LANES;
            let count = LANES.min(width - column);
            let bias = &self.bias[number * LANES..number * LANES + count];
            for block in &input.blocks {
                let numbers = &input.numbers[block.start..];
                let output = &mut output[block.row * width + column..];
                match block.rows {
                    1 => store(&products::<1>(panel, numbers), bias, width, output),
                    2 => store(&products::<2>(panel, numbers), bias, width, output),
                    3..=4 => store(&products::<4>(panel, numbers), bias, width, output),
                    _ => store(&products::<ROWS>(panel, numbers), bias, width, output),
                }
            }
        }
    }
}

/// Rows of an input in blocks; within a block the numbers of one place stand side by side, so that they are read in the order of memory
/// beside the weights to them.
struct Blocks {
    numbers: Vec<f32>,
    blocks: Vec<Block>,
}

struct Block {
    row: usize,
    rows: usize,
    start: usize,
}

impl Blocks {
    fn of(input: &[f32], from: usize) -> Self {
        let count = input.len() / from;
        let (mut numbers, mut blocks) = (Vec::with_capacity(input.len() + ROWS * from), Vec::new());
        for row in (0..count).step_by(ROWS) {
            let rows = ROWS.min(count - row);
            blocks.push(Block {
                row,
                rows,
                start: numbers.len(),
            });
            // Rows that are missing to a full block are computed as zeros, and not stored.
            let full = rows.next_power_of_two();
            let start = numbers.len();
            numbers.resize(start + full * from, 0.0);
            for offset in 0..rows {
                let places = numbers[start + offset..].iter_mut().step_by(full);
                for (place, number) in places.zip(&input[(row + offset) * from..][..from]) {
                    *place = *number;
                }
            }
        }
        Self { numbers, blocks }
    }
}

/// The products of a block's rows with a panel, with the widest instructions that the processor has.
fn products<const COUNT: usize>(panel: &[[f32; LANES]], numbers: &[f32]) -> [[f32; LANES]; COUNT] {
    let numbers = numbers.as_chunks::<COUNT>().0;
    #[cfg(target_arch = "x86_64")]
    {
        #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
        // SAFETY: each is called only where the processor was found to have its instructions.
        unsafe {
            if is_x86_feature_detected!("avx512f") {
                return x86::products_512(panel, numbers);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return x86::products_256(panel, numbers);
            }
        }
    }
    let mut sums = [[0.0; LANES]; COUNT];
    for (weights, numbers) in panel.iter().zip(numbers) {
        for (sums, number) in sums.iter_mut().zip(numbers) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += number * weight;
            }
        }
    }
    sums
}

/// Stores sums with the bias added, a row each `width` numbers; what is beyond the bias or the output is of no row or column.
fn store(sums: &[[f32; LANES]], bias: &[f32], width: usize, output: &mut [f32]) {
    for (row, sums) in output.chunks_mut(width).zip(sums) {
        for ((output, sum), bias) in row.iter_mut().zip(sums).zip(bias) {
            *output = sum + bias;
        }
    }
}

/// Written out, since left to itself the compiler keeps the sums in memory.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector loads and stores take pointers")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::LANES;

    #[target_feature(enable = "avx512f")]
    pub(super) fn products_512<const COUNT: usize>(
        panel: &[[f32; LANES]],
        numbers: &[[f32; COUNT]],
    ) -> [[f32; LANES]; COUNT] {
        let mut sums = [_mm512_setzero_ps(); COUNT];
        for (weights, numbers) in panel.iter().zip(numbers) {
            // SAFETY: an array of as many numbers as are loaded.
            let weights = unsafe { _mm512_loadu_ps(weights.as_ptr()) };
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(*number), weights, *sum);
            }
        }
        let mut stored = [[0.0; LANES]; COUNT];
        for (stored, sum) in stored.iter_mut().zip(sums) {
            // SAFETY: an array of as many numbers as are stored.
            unsafe { _mm512_storeu_ps(stored.as_mut_ptr(), sum) };
        }
        stored
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn products_256<const COUNT: usize>(
        panel: &[[f32; LANES]],
        numbers: &[[f32; COUNT]],
    ) -> [[f32; LANES]; COUNT] {
        const HALF: usize = LANES / 2;
        let mut stored = [[0.0; LANES]; COUNT];
        for half in 0..2 {
            let mut sums = [_mm256_setzero_ps(); COUNT];
            for (weights, numbers) in panel.iter().zip(numbers) {
                // SAFETY: the second half of an array ends with it.
                let weights = unsafe { _mm256_loadu_ps(weights.as_ptr().add(half * HALF)) };
                for (sum, number) in sums.iter_mut().zip(numbers) {
                    *sum = _mm256_fmadd_ps(_mm256_set1_ps(*number), weights, *sum);
                }
            }
            for (stored, sum) in stored.iter_mut().zip(sums) {
                // SAFETY: as above.
                unsafe { _mm256_storeu_ps(stored.as_mut_ptr().add(half * HALF), sum) };
            }
        }
        stored
    }

    #[cfg(test)]
    #[test]
    fn both_widths_agree() {
        let panel: Vec<[f32; LANES]> = (0..5)
            .map(|place| std::array::from_fn(|lane| (place * 7 + lane) as f32 / 3.0))
            .collect();
        let numbers = [[0.5, -2.0], [1.5, 0.25], [3.0, -1.0], [0.0, 4.0], [-0.75, 1.0]];
        let expected: [[f32; LANES]; 2] = std::array::from_fn(|row| {
            std::array::from_fn(|lane| {
                panel
                    .iter()
                    .zip(&numbers)
                    .map(|(weights, numbers)| weights[lane] * numbers[row])
                    .sum()
            })
        });
        let close = |found: [[f32; LANES]; 2]| {
            found
                .iter()
                .flatten()
                .zip(expected.iter().flatten())
                .all(|(found, expected)| (found - expected).abs() < 1e-4)
        };
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: just asked.
            assert!(close(unsafe { products_512(&panel, &numbers) }));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: just asked.
            assert!(close(unsafe { products_256(&panel, &numbers) }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn it_is_libtorchs_product() {
        tch::manual_seed(0);
        for (shape, from, to, biased) in [
            (vec![1], 3, 5, true),
            (vec![16, 1], 64, 48, true),
            (vec![3, 7], 33, 100, false),
            (vec![90], 256, 1030, true),
        ] {
            let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
            let input = random(&[&shape[..], &[from]].concat());
            let (weight, bias) = (random(&[to, from]), random(&[to]));
            let bias = biased.then_some(&bias);
            let prepacked = Prepacked::new(&weight, bias).unwrap().unwrap();
            let expected = input.linear(&weight, bias);
            for threads in [1, 2, 3] {
                tch::set_num_threads(threads);
                let found = prepacked.multiply(&input).unwrap();
                assert_eq!(found.size(), expected.size());
                let error = (&found - &expected).abs().max().double_value(&[]);
                assert!(error < 1e-4, "{shape:?} {from} {to}: {error}");
            }
        }
    }
}
