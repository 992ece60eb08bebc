//! x·Wᵀ + b by the faster of LibTorch's two kernels.
//!
//! On CPUs LibTorch multiplies float32 matrices with MKL, which on processors that are not Intel's uses half of the vector
//! width that they have. Convolutions go to oneDNN, which uses all of it: twice the rate, forwards and backwards (measured
//! on an AMD EPYC with AVX-512: 425 against 200 GFLOP/s on two threads). A linear layer is a convolution with a kernel of one
//! pixel over images whose pixels are the rows.

use tch::{Device, Kind, TchError, Tensor};

/// Images that the rows are divided into. From sixteen on LibTorch convolves with oneDNN whatever the number of threads, so that
/// results do not change with it.
const IMAGES: i64 = 16;

/// Rows below which dividing and reordering cost more than is won, where gradients follow and where they don't.
const FEWEST_ROWS_IN_TRAINING: i64 = 256;
const FEWEST_ROWS: i64 = 96;

/// The same of widths.
const LEAST_WIDTH: i64 = 128;

/// Whether an input `[…, in]` is so few rows, and not to be trained through, that weights laid out for decoding are faster.
pub fn is_few_rows(input: &Tensor) -> bool {
    let width = input.size().last().copied().unwrap_or(1).max(1);
    let rows = input.numel() as i64 / width;
    input.kind() == Kind::Float && !input.requires_grad() && rows < FEWEST_ROWS_IN_TRAINING
}

/// `input` `[…, in]` times the transpose of `weight` `[out, in]`, plus `bias` `[out]`.
///
/// # Errors
/// [`TchError`] for shapes that do not fit, or where memory runs out.
pub fn product(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    let (to, from) = weight.size2()?;
    let rows = input.numel() as i64 / from.max(1);
    let fewest = if input.requires_grad() || weight.requires_grad() {
        FEWEST_ROWS_IN_TRAINING
    } else {
        FEWEST_ROWS
    };
    let worth_it = cfg!(target_arch = "x86_64") && rows >= fewest && from.min(to) >= LEAST_WIDTH;
    if !worth_it || input.kind() != Kind::Float || input.device() != Device::Cpu {
        return input.f_linear(weight, bias);
    }
    let flat = input.f_reshape([rows, from])?;
    let missing = (IMAGES - rows % IMAGES) % IMAGES;
    let flat = if missing == 0 {
        flat
    } else {
        flat.f_constant_pad_nd([0, 0, 0, missing])?
    };
    // Channels stand last in memory, as they do in the rows.
    let images = flat
        .f_view([IMAGES, (rows + missing) / IMAGES, 1, from])?
        .f_permute([0, 3, 1, 2])?;
    let kernel = weight.f_reshape([to, from, 1, 1])?;
    let convolved = images.f_conv2d(&kernel, bias, [1, 1], [0, 0], [1, 1], 1)?;
    let mut shape = input.size();
    shape.pop();
    shape.push(to);
    convolved
        .f_permute([0, 2, 3, 1])?
        .f_reshape([rows + missing, to])?
        .f_narrow(0, 0, rows)?
        .f_view(&shape[..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    /// Product and gradients with both kernels; shapes on either side of where the second begins, with rows left over.
    #[test]
    fn both_kernels_agree() {
        tch::manual_seed(0);
        for (shape, from, to, biased) in [
            (vec![2, 128], 128, 192, true),
            (vec![300], 160, 128, false),
            (vec![1, 257], 128, 128, true),
            (vec![255], 128, 128, true),
            (vec![4, 512], 64, 192, true),
        ] {
            let random =
                |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let input = random(&[&shape[..], &[from]].concat());
            // As GPT-2 has it, and as it lies in memory.
            let (weight, bias) = (random(&[from, to]), random(&[to]));
            let bias = biased.then_some(&bias);
            let upstream = Tensor::randn([&shape[..], &[to]].concat(), (Kind::Float, Device::Cpu));
            let gradients = |output: &Tensor| {
                let variables: Vec<&Tensor> = [Some(&input), Some(&weight), bias]
                    .into_iter()
                    .flatten()
                    .collect();
                Tensor::run_backward(&[(output * &upstream).sum(Kind::Float)], &variables, false, false)
            };
            let found = product(&input, &weight.tr(), bias).unwrap();
            let expected = input.linear(&weight.tr(), bias);
            let mut pairs = vec![(found.shallow_clone(), expected.shallow_clone())];
            pairs.extend(gradients(&found).into_iter().zip(gradients(&expected)));
            for (found, expected) in pairs {
                assert_eq!(found.size(), expected.size());
                let error = (&found - &expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(
                    error < 1e-5 * scale,
                    "{shape:?}, {from} to {to}: {error} of {scale}"
                );
            }
        }
    }
}
