//! x·Wᵀ + b by the faster of LibTorch's two kernels.
//!
//! On CPUs LibTorch multiplies float32 matrices with MKL, which on processors that are not Intel's uses half of the width of AVX-512.
//! Convolutions go to oneDNN, which uses all of it: twice the rate, forwards and backwards (measured on an AMD EPYC with AVX-512: 425
//! against 200 GFLOP/s on two threads). A linear layer is a convolution with a kernel of one pixel over images whose pixels are the
//! rows. On Intel's own processors MKL is as fast or faster (on a Xeon with AVX-512, 512 rows of 768 to 3,072: 254 against 197
//! GFLOP/s). So it is on AMD's without AVX-512, where oneDNN's gradient of the weight is slow (one thread of an EPYC with AVX2, 2,032
//! rows of 256 to 8,192: 22 against 68 GFLOP/s, and 50 against 43 forwards).

use tch::{Device, Kind, TchError, Tensor};

use crate::processor::IS_CONVOLUTION_FASTER;

/// Images that the rows are divided into. From sixteen on LibTorch convolves with oneDNN on any number of threads, so that
/// results do not change with it.
const IMAGES: i64 = 16;

/// Rows below which dividing and reordering cost more than is saved, where gradients follow; the same where they don't, so that what
/// the backward pass computes again is the same.
const MIN_ROWS: i64 = 256;

/// The same of widths.
const MIN_WIDTH: i64 = 128;

/// Whether an input `[…, in]` is so few rows, and needs no gradient, that prepacked weights are faster.
pub fn is_few_rows(input: &Tensor) -> bool {
    let width = input.size().last().copied().unwrap_or(1).max(1);
    let rows = input.numel() as i64 / width;
    input.kind() == Kind::Float && !input.requires_grad() && rows < MIN_ROWS
}

/// Which of the two kernels a product goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Linear,
    Convolution,
}

fn kernel(input: &Tensor, weight: &Tensor) -> Result<Kernel, TchError> {
    let (to, from) = weight.size2()?;
    let rows = input.numel() as i64 / from.max(1);
    let worth_it = *IS_CONVOLUTION_FASTER && rows >= MIN_ROWS && from.min(to) >= MIN_WIDTH;
    if worth_it && input.kind() == Kind::Float && input.device() == Device::Cpu {
        Ok(Kernel::Convolution)
    } else {
        Ok(Kernel::Linear)
    }
}

/// `input` `[…, in]` times the transpose of `weight` `[out, in]`, plus `bias` `[out]`.
///
/// # Errors
/// [`TchError`] for shapes that do not fit, or where memory runs out.
pub fn product(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    match kernel(input, weight)? {
        Kernel::Linear => input.f_linear(weight, bias),
        Kernel::Convolution => convolution(input, weight, bias),
    }
}

fn convolution(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    let (to, from) = weight.size2()?;
    let rows = input.numel() as i64 / from.max(1);
    let flat = input.f_reshape([rows, from])?;
    let missing = (IMAGES - rows % IMAGES) % IMAGES;
    let flat = if missing == 0 {
        flat
    } else {
        flat.f_constant_pad_nd([0, 0, 0, missing])?
    };
    // Channels are last in memory, as they are in the rows.
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

/// Elements of float32 in a line of the cache.
const LINE: i64 = 16;

/// `input` `[rows, in]` times the transpose of `weight` `[out, in]`, in rows that each begin a line of the cache, an odd number of lines
/// behind the one before: MKL takes up to 1.4 times as long to write rows that begin anywhere (a vocabulary of 50,257), or that lie a
/// power of two apart (8,192), and up to 1.1 times as long to read them.
fn in_spaced_rows(input: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    let (to, _) = weight.size2()?;
    if input.kind() != Kind::Float || input.device() != Device::Cpu {
        return input.f_linear(weight, None::<Tensor>);
    }
    let lines = ((to + LINE - 1) / LINE) | 1;
    let spaced = Tensor::f_empty([input.size2()?.0, lines * LINE], (Kind::Float, Device::Cpu))?;
    input.f_mm_out(&spaced.f_narrow(1, 0, to)?, &weight.f_tr()?)
}

/// A product of a matrix with a weight, and its backward pass by hand from any gradient of the product: LibTorch's own begins with a
/// number, not with a matrix.
#[derive(Debug)]
pub struct DifferentiableProduct {
    input: Tensor,
    weight: Tensor,
    output: Tensor,
    kernel: Kernel,
}

impl DifferentiableProduct {
    /// `input` `[rows, in]` times the transpose of `weight` `[out, in]`. Gradients will be asked for of the input, the weight, or
    /// both.
    ///
    /// # Errors
    /// As [`product`].
    pub fn new(input: &Tensor, weight: &Tensor, of_input: bool, of_weight: bool) -> Result<Self, TchError> {
        let input = input.f_detach()?.f_set_requires_grad(of_input)?;
        let weight = weight.f_detach()?.f_set_requires_grad(of_weight)?;
        let kernel = kernel(&input, &weight)?;
        Self::by(kernel, input, weight)
    }

    fn by(kernel: Kernel, input: Tensor, weight: Tensor) -> Result<Self, TchError> {
        let output = match kernel {
            Kernel::Linear => tch::no_grad(|| in_spaced_rows(&input, &weight))?,
            Kernel::Convolution => tch::with_grad(|| convolution(&input, &weight, None))?,
        };
        Ok(Self {
            input,
            weight,
            output,
            kernel,
        })
    }

    /// The product `[rows, out]`, the elements of a row side by side. It may be overwritten: nothing here reads it again.
    ///
    /// # Errors
    /// [`TchError`] where memory runs out.
    pub fn output(&self) -> Result<Tensor, TchError> {
        self.output.f_detach()
    }

    /// Gradients of input and weight, those that were asked for, from `upstream` `[rows, out]`, the gradient of the product.
    ///
    /// # Errors
    /// [`TchError`] for a shape that does not fit, or where memory runs out.
    pub fn gradients(&self, upstream: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>), TchError> {
        let (of_input, of_weight) = (self.input.requires_grad(), self.weight.requires_grad());
        if self.kernel == Kernel::Linear {
            let _guard = tch::no_grad_guard();
            return Ok((
                of_input.then(|| upstream.f_matmul(&self.weight)).transpose()?,
                of_weight
                    .then(|| upstream.f_tr()?.f_matmul(&self.input))
                    .transpose()?,
            ));
        }
        // The scalar product is the number whose gradient is `upstream`; its value is of no interest.
        let number = tch::with_grad(|| self.output.f_flatten(0, 1)?.f_dot(&upstream.f_flatten(0, 1)?))?;
        let variables: Vec<&Tensor> = [(&self.input, of_input), (&self.weight, of_weight)]
            .into_iter()
            .filter_map(|(tensor, wanted)| wanted.then_some(tensor))
            .collect();
        let mut found = Tensor::f_run_backward(&[number], &variables, false, false)?.into_iter();
        let first = if of_input { found.next() } else { None };
        Ok((first, found.next()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    /// Product and gradients with both kernels; shapes on either side of where the second begins, with rows left over.
    #[test]
    fn products_of_both_kernels_equal_libtorchs() {
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
            // Transposed, as in GPT-2.
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
            let found = convolution(&input, &weight.tr(), bias).unwrap();
            assert_eq!(product(&input, &weight.tr(), bias).unwrap().size(), found.size());
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

    /// Gradients by hand against LibTorch's, with both kernels, of a product that was overwritten by its own gradient.
    #[test]
    fn gradients_of_both_kernels_equal_libtorchs() {
        tch::manual_seed(0);
        for (rows, from, to) in [(300, 160, 192), (256, 128, 130)] {
            let random = |size: [i64; 2]| Tensor::randn(size, (Kind::Float, Device::Cpu));
            let (input, weight, upstream) = (
                random([rows, from]).set_requires_grad(true),
                random([to, from]).set_requires_grad(true),
                random([rows, to]),
            );
            (input.linear(&weight, None::<Tensor>) * &upstream)
                .sum(Kind::Float)
                .backward();
            for kernel in [Kernel::Linear, Kernel::Convolution] {
                for (of_input, of_weight) in [(true, true), (true, false), (false, true)] {
                    let leaf =
                        |tensor: &Tensor, wanted: bool| tensor.detach().copy().set_requires_grad(wanted);
                    let product =
                        DifferentiableProduct::by(kernel, leaf(&input, of_input), leaf(&weight, of_weight))
                            .unwrap();
                    let mut output = product.output().unwrap();
                    output.copy_(&upstream);
                    let (found_input, found_weight) = product.gradients(&output).unwrap();
                    for (found, expected, wanted) in [
                        (found_input, input.grad(), of_input),
                        (found_weight, weight.grad(), of_weight),
                    ] {
                        assert_eq!(found.is_some(), wanted);
                        if let Some(found) = found {
                            let error = (&found - &expected).abs().max().double_value(&[]);
                            let scale = expected.abs().max().double_value(&[]);
                            assert!(error < 1e-5 * scale, "{kernel:?}: {error} of {scale}");
                        }
                    }
                }
            }
        }
    }
}
