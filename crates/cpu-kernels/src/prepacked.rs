//! Weights prepacked for decoding: x·Wᵀ + b of a few rows, in float32 on the CPU.
//!
//! A matrix product rearranges its weights so that the processor reads them in the order of memory. LibTorch's does so at every call,
//! which pays for thousands of rows; with the few that decoding has, rearranging takes longer than multiplying. Here it is done once.

use tch::{Device, Kind, TchError, Tensor};

use crate::dispatch::{Instructions, LANES, dispatch};
use crate::{slice, threads};

/// Rows that are computed together, so that weights are read once for all of them.
const ROWS: usize = 8;

/// Sums of one register each that are computed together, since a single one waits for each of its additions.
const SUMS: usize = 4;

/// Multiplications that are worth a thread of their own.
const MIN_WORK_OF_A_THREAD: usize = 1 << 18;

/// A weight `[out, in]` as panels of 16 outputs: for each input its weights to them, side by side.
#[derive(Debug)]
pub struct Prepacked {
    panels: Vec<[f32; LANES]>,
    bias: Vec<f32>,
    in_features: usize,
    out_features: usize,
}

impl Prepacked {
    /// Prepacks a weight `[out, in]` and its bias `[out]`; `None` where the weight is empty or not in float32 on the CPU.
    ///
    /// # Errors
    /// [`TchError`] for a weight that is no matrix, and for a bias of another length or precision.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Self>, TchError> {
        let (out_features, in_features) = weight.size2()?;
        if weight.kind() != Kind::Float || weight.device() != Device::Cpu || weight.numel() == 0 {
            return Ok(None);
        }
        let (out_features, in_features) = (out_features as usize, in_features as usize);
        let weight = weight.f_detach()?.f_contiguous()?;
        let elements = floats(&weight)?;
        let mut panels = vec![[0.0; LANES]; out_features.div_ceil(LANES) * in_features];
        for (output, row) in elements.chunks_exact(in_features).enumerate() {
            let first = output / LANES * in_features;
            for (panel, &element) in panels[first..first + in_features].iter_mut().zip(row) {
                panel[output % LANES] = element;
            }
        }
        let bias = match bias {
            Some(bias) => floats(&bias.f_detach()?.f_contiguous()?)?.to_vec(),
            None => vec![0.0; out_features],
        };
        if bias.len() != out_features {
            let problem = format!("a bias of {} for {out_features} outputs", bias.len());
            return Err(TchError::Shape(problem));
        }
        Ok(Some(Self {
            panels,
            bias,
            in_features,
            out_features,
        }))
    }

    /// `input` `[…, in]` in float32 times the transpose of the weight, plus the bias.
    ///
    /// # Errors
    /// [`TchError`] for another width or precision, or where memory runs out.
    pub fn multiply(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let mut shape = input.size();
        let width = shape.pop();
        if width != Some(self.in_features as i64) {
            let expected = self.in_features;
            return Err(TchError::Shape(format!(
                "an input of {width:?} for a weight of {expected} inputs"
            )));
        }
        shape.push(self.out_features as i64);
        let input = input.f_contiguous()?;
        let elements = floats(&input)?;
        let rows = elements.len() / self.in_features;
        let blocks = BlockedInput::new(elements, self.in_features);
        let mut output = vec![0.0; rows * self.out_features];
        let work = rows * self.out_features * self.in_features;
        let threads = threads::count(work / MIN_WORK_OF_A_THREAD);
        self.columns_on(threads, &blocks, &mut output);
        Tensor::f_from_slice(&output)?.f_view(&shape[..])
    }

    /// All columns of the output `[rows, out]`, divided over threads.
    fn columns_on(&self, threads: usize, input: &BlockedInput, output: &mut [f32]) {
        let instructions = Instructions::widest();
        let panels = self.out_features.div_ceil(LANES);
        if threads < 2 {
            return self.columns(instructions, 0, panels, input, output);
        }
        // The columns of one thread do not lie together in the output.
        let rows = output.len() / self.out_features;
        let share = panels.div_ceil(threads);
        let firsts: Vec<usize> = (0..panels).step_by(share).collect();
        let parts = threads::map(threads, firsts, |first| {
            let end = (first + share).min(panels);
            let mut part = vec![0.0; rows * self.width(first, end)];
            self.columns(instructions, first, end, input, &mut part);
            (first, part)
        });
        for (first, part) in parts {
            let (start, width) = (first * LANES, part.len() / rows);
            let rows = output.chunks_exact_mut(self.out_features);
            for (row, part) in rows.zip(part.chunks_exact(width)) {
                row[start..start + width].copy_from_slice(part);
            }
        }
    }

    /// Columns that the panels from `first` to `end` hold.
    fn width(&self, first: usize, end: usize) -> usize {
        (end * LANES).min(self.out_features).saturating_sub(first * LANES)
    }

    /// The columns of the panels from `first` to `end`, row by row.
    fn columns(
        &self,
        instructions: Instructions,
        first: usize,
        end: usize,
        input: &BlockedInput,
        output: &mut [f32],
    ) {
        let width = self.width(first, end);
        let mut number = first;
        while number < end {
            let together = match input.rows {
                rows @ 1..=2 if number + SUMS / rows <= end => SUMS / rows,
                _ => 1,
            };
            for block in &input.blocks {
                let elements = &input.elements[block.start..];
                let mut output = Columns {
                    bias: &self.bias[number * LANES..],
                    width,
                    output: &mut output[block.row * width..],
                    column: (number - first) * LANES,
                };
                match (block.rows, together) {
                    (1, SUMS) => output.store(&self.products::<1, SUMS>(instructions, number, elements)),
                    (2, 2..) => {
                        output.store(&self.products::<2, { SUMS / 2 }>(instructions, number, elements));
                    }
                    (1, _) => output.store(&self.products::<1, 1>(instructions, number, elements)),
                    (2, _) => output.store(&self.products::<2, 1>(instructions, number, elements)),
                    (3..=4, _) => output.store(&self.products::<4, 1>(instructions, number, elements)),
                    _ => output.store(&self.products::<ROWS, 1>(instructions, number, elements)),
                }
            }
            number += together;
        }
    }

    /// The products of a block's rows with the panels from `first` on.
    fn products<const COUNT: usize, const PANELS: usize>(
        &self,
        instructions: Instructions,
        first: usize,
        elements: &[f32],
    ) -> [[[f32; LANES]; COUNT]; PANELS] {
        let panels = std::array::from_fn(|offset| {
            let start = (first + offset) * self.in_features;
            &self.panels[start..start + self.in_features]
        });
        products(instructions, panels, elements.as_chunks().0)
    }
}

fn floats(tensor: &Tensor) -> Result<&[f32], TchError> {
    slice::contiguous(tensor).ok_or_else(|| {
        let (kind, device) = (tensor.kind(), tensor.device());
        TchError::Kind(format!(
            "expected float32 on the CPU, found {kind:?} on {device:?}"
        ))
    })
}

/// Rows of an input in blocks; within a block the elements of one column stand side by side, so that they are read in the order of
/// memory beside the weights to them.
struct BlockedInput {
    rows: usize,
    elements: Vec<f32>,
    blocks: Vec<Block>,
}

struct Block {
    row: usize,
    rows: usize,
    start: usize,
}

impl BlockedInput {
    fn new(input: &[f32], in_features: usize) -> Self {
        let count = input.len() / in_features;
        let mut elements = Vec::with_capacity(input.len() + ROWS * in_features);
        let mut blocks = Vec::new();
        for row in (0..count).step_by(ROWS) {
            let rows = ROWS.min(count - row);
            let start = elements.len();
            blocks.push(Block { row, rows, start });
            // Rows that are missing to a full block are computed as zeros, and not stored.
            let full = rows.next_power_of_two();
            elements.resize(start + full * in_features, 0.0);
            for offset in 0..rows {
                let column = elements[start + offset..].iter_mut().step_by(full);
                for (to, from) in column.zip(&input[(row + offset) * in_features..][..in_features]) {
                    *to = *from;
                }
            }
        }
        Self {
            rows: count,
            elements,
            blocks,
        }
    }
}

dispatch! {
    /// The products of a block's rows with some panels.
    fn products[const COUNT: usize, const PANELS: usize](
        panels: [&[[f32; LANES]]; PANELS],
        elements: &[[f32; COUNT]],
    ) -> [[[f32; LANES]; COUNT]; PANELS] {
        avx512: x86::products_512,
        avx2: x86::products_256,
        baseline: products_in_order,
    }
}

fn products_in_order<const COUNT: usize, const PANELS: usize>(
    panels: [&[[f32; LANES]]; PANELS],
    elements: &[[f32; COUNT]],
) -> [[[f32; LANES]; COUNT]; PANELS] {
    panels.map(|panel| {
        let mut sums = [[0.0; LANES]; COUNT];
        for (weights, elements) in panel.iter().zip(elements) {
            for (sums, element) in sums.iter_mut().zip(elements) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += element * weight;
                }
            }
        }
        sums
    })
}

/// Where the products of a block with some panels go: rows of an output that is `width` wide, from one column on.
struct Columns<'a> {
    /// From the first of the columns on.
    bias: &'a [f32],
    width: usize,
    /// From the first of the rows on.
    output: &'a mut [f32],
    column: usize,
}

impl Columns<'_> {
    /// Stores sums with the bias added; what is beyond the output is of no row or column.
    fn store<const COUNT: usize>(&mut self, sums: &[[[f32; LANES]; COUNT]]) {
        for (panel, sums) in sums.iter().enumerate() {
            let column = self.column + panel * LANES;
            let bias = &self.bias[panel * LANES..];
            for (row, sums) in self.output.chunks_mut(self.width).zip(sums) {
                for ((output, sum), bias) in row[column..].iter_mut().zip(sums).zip(bias) {
                    *output = sum + bias;
                }
            }
        }
    }
}

/// In intrinsics, since the compiler by itself keeps the sums in memory. Both give the same bits.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector loads and stores take pointers")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::LANES;

    #[target_feature(enable = "avx512f")]
    pub(super) fn products_512<const COUNT: usize, const PANELS: usize>(
        panels: [&[[f32; LANES]]; PANELS],
        elements: &[[f32; COUNT]],
    ) -> [[[f32; LANES]; COUNT]; PANELS] {
        let length = panels
            .iter()
            .map(|panel| panel.len())
            .fold(elements.len(), usize::min);
        let mut sums = [[_mm512_setzero_ps(); COUNT]; PANELS];
        for (input, elements) in elements[..length].iter().enumerate() {
            for (sums, panel) in sums.iter_mut().zip(panels) {
                // SAFETY: an array of as many values as are loaded, of a panel that has `length` of them.
                let weights = unsafe { _mm512_loadu_ps(panel.get_unchecked(input).as_ptr()) };
                for (sum, element) in sums.iter_mut().zip(elements) {
                    *sum = _mm512_fmadd_ps(_mm512_set1_ps(*element), weights, *sum);
                }
            }
        }
        let mut stored = [[[0.0; LANES]; COUNT]; PANELS];
        for (stored, sum) in stored.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            // SAFETY: an array of as many values as are stored.
            unsafe { _mm512_storeu_ps(stored.as_mut_ptr(), *sum) };
        }
        stored
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn products_256<const COUNT: usize, const PANELS: usize>(
        panels: [&[[f32; LANES]]; PANELS],
        elements: &[[f32; COUNT]],
    ) -> [[[f32; LANES]; COUNT]; PANELS] {
        const HALF: usize = LANES / 2;
        let length = panels
            .iter()
            .map(|panel| panel.len())
            .fold(elements.len(), usize::min);
        let mut stored = [[[0.0; LANES]; COUNT]; PANELS];
        for half in 0..2 {
            let mut sums = [[_mm256_setzero_ps(); COUNT]; PANELS];
            for (input, elements) in elements[..length].iter().enumerate() {
                for (sums, panel) in sums.iter_mut().zip(panels) {
                    // SAFETY: the second half of an array ends with it; the panel has `length` arrays.
                    let weights =
                        unsafe { _mm256_loadu_ps(panel.get_unchecked(input).as_ptr().add(half * HALF)) };
                    for (sum, element) in sums.iter_mut().zip(elements) {
                        *sum = _mm256_fmadd_ps(_mm256_set1_ps(*element), weights, *sum);
                    }
                }
            }
            for (stored, sum) in stored.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                // SAFETY: as above.
                unsafe { _mm256_storeu_ps(stored.as_mut_ptr().add(half * HALF), *sum) };
            }
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn products_with_prepacked_weights_equal_libtorchs() {
        tch::manual_seed(0);
        for (shape, from, to, biased) in [
            (vec![1], 3, 5, true),
            (vec![1], 40, 137, true),
            (vec![2, 1], 40, 150, false),
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

    #[test]
    fn all_instructions_agree() {
        let panel: Vec<[f32; LANES]> = (0..37)
            .map(|input| std::array::from_fn(|lane| ((input * 7 + lane) as f32 / 3.0).sin()))
            .collect();
        let elements: Vec<[f32; 4]> = (0..37)
            .map(|input| std::array::from_fn(|row| ((input * 5 + row) as f32 / 2.0).cos()))
            .collect();
        let expected = products_in_order([&panel, &panel], &elements);
        for instructions in Instructions::available() {
            let found = products(instructions, [&panel, &panel], &elements);
            for (found, expected) in found
                .as_flattened()
                .as_flattened()
                .iter()
                .zip(expected.as_flattened().as_flattened())
            {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{instructions:?}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn inputs_and_biases_that_do_not_fit_are_refused() {
        let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let prepacked = Prepacked::new(&zeros(&[5, 3]), None).unwrap().unwrap();
        assert!(prepacked.multiply(&zeros(&[2, 4])).is_err());
        assert!(prepacked.multiply(&zeros(&[2, 3]).to_kind(Kind::Double)).is_err());
        assert_eq!(prepacked.multiply(&zeros(&[0, 3])).unwrap().size(), [0, 5]);
        assert!(Prepacked::new(&zeros(&[5, 3]), Some(&zeros(&[4]))).is_err());
        assert!(
            Prepacked::new(&zeros(&[5, 3]).to_kind(Kind::BFloat16), None)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_row_does_not_depend_on_the_rows_beside_it() {
        tch::manual_seed(1);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let (input, weight) = (random(&[13, 50]), random(&[201, 50]));
        let prepacked = Prepacked::new(&weight, None).unwrap().unwrap();
        let together = prepacked.multiply(&input).unwrap();
        for rows in [1, 2, 3, 5, 8] {
            let part = prepacked.multiply(&input.narrow(0, 0, rows)).unwrap();
            assert_eq!(part, together.narrow(0, 0, rows), "{rows}");
        }
    }
}
