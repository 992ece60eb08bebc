//! Cross-entropy of a softmax and its gradient in place, in one reading of the logits.
//!
//! The gradient of the loss −ln p(target) is p − 1 at the target and p elsewhere. LibTorch's operations write the logarithms of all
//! probabilities, a matrix of zeros and ones, and the gradient, each as large as the logits, which with a vocabulary of fifty thousand is
//! most of what training holds. Here a row of logits stays in the cache while it becomes its own gradient.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use causal_lm::Error;
use half::bf16;
use rayon::prelude::*;
use tch::{Device, Kind, Reduction, Tensor};

/// Numbers that are handled side by side: what the widest instructions hold.
const LANES: usize = 16;

/// What is asked of each row of logits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Predictions<'a> {
    /// The token to predict.
    pub(crate) targets: &'a [i64],
    /// How many times the gradient counts the prediction.
    pub(crate) weights: &'a [f32],
    /// How many times the sum counts it.
    pub(crate) reported: &'a [f32],
}

/// Sum of −ln p(target) over the rows of `logits` `[rows, vocabulary]`, in nats, as it is reported.
///
/// With a `scale` the logits are overwritten by the gradient of `scale` times the weighted sum. On the CPU they must be contiguous.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn cross_entropy(
    logits: &mut Tensor,
    predictions: Predictions,
    scale: Option<f32>,
) -> Result<f64, Error> {
    let vocabulary = logits.size2()?.1;
    if let Some(beyond) = predictions
        .targets
        .iter()
        .find(|target| !(0..vocabulary).contains(*target))
    {
        let problem = format!("token {beyond} is not in the model's vocabulary of {vocabulary}");
        return Err(contract::Error::Run(problem).into());
    }
    if predictions.targets.is_empty() {
        return Ok(0.0);
    }
    let dense = logits.device() == Device::Cpu && logits.is_contiguous();
    match logits.kind() {
        Kind::Float if dense => on_cpu::<f32>(logits, predictions, scale),
        Kind::BFloat16 if dense => on_cpu::<bf16>(logits, predictions, scale),
        _ => by_libtorch(logits, predictions, scale),
    }
}

fn by_libtorch(logits: &mut Tensor, predictions: Predictions, scale: Option<f32>) -> Result<f64, Error> {
    let _guard = tch::no_grad_guard();
    let device = logits.device();
    let targets = Tensor::f_from_slice(predictions.targets)?.f_to_device(device)?;
    let weights = Tensor::f_from_slice(predictions.weights)?.f_to_device(device)?;
    let logarithms = logits.f_log_softmax(-1, Kind::Float)?;
    let losses = logarithms.f_nll_loss(&targets, None::<Tensor>, Reduction::None, -100)?;
    let reported = Tensor::f_from_slice(predictions.reported)?.f_to_device(device)?;
    let sum = losses.f_dot(&reported)?.f_double_value(&[])?;
    if let Some(scale) = scale {
        let factors = weights.f_mul_scalar(f64::from(scale))?.f_unsqueeze(1)?;
        let mut gradient = logarithms.f_exp()?.f_mul(&factors)?;
        let _ = gradient.f_scatter_add_(1, &targets.f_unsqueeze(1)?, &factors.f_neg()?)?;
        logits.f_copy_(&gradient)?;
    }
    Ok(sum)
}

fn on_cpu<N: Number>(
    logits: &mut Tensor,
    predictions: Predictions,
    scale: Option<f32>,
) -> Result<f64, Error> {
    let (rows, vocabulary) = logits.size2()?;
    let (rows, vocabulary) = (rows as usize, vocabulary as usize);
    #[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
    // SAFETY: kind, device and density were checked, so that these are the tensor's numbers; it is borrowed mutably.
    let numbers = unsafe { std::slice::from_raw_parts_mut(logits.data_ptr().cast::<N>(), rows * vocabulary) };
    let threads = (tch::get_num_threads().max(1) as usize).min(rows.max(1));
    let share = rows.div_ceil(threads).max(1);
    let mut losses = vec![0.0; rows];
    let some_rows = |first: usize, numbers: &mut [N], losses: &mut [f64]| {
        let mut powers = vec![0.0; vocabulary.next_multiple_of(LANES)];
        for (place, (row, loss)) in numbers.chunks_exact_mut(vocabulary).zip(losses).enumerate() {
            let place = first + place;
            let target = predictions.targets[place] as usize;
            let factor = scale.map(|scale| scale * predictions.weights[place]);
            *loss = f64::from(predictions.reported[place]) * of_row(row, &mut powers, target, factor);
        }
    };
    if threads == 1 {
        some_rows(0, numbers, &mut losses);
    } else {
        let parts = numbers
            .par_chunks_mut(share * vocabulary)
            .zip(losses.par_chunks_mut(share));
        parts
            .enumerate()
            .for_each(|(part, (numbers, losses))| some_rows(part * share, numbers, losses));
    }
    // In the order of the rows, so that the sum does not depend on the number of threads.
    Ok(losses.iter().sum())
}

/// A number as tensors keep it.
trait Number: Copy + Send + Sync {
    fn widen(self) -> f32;
    fn narrow(number: f32) -> Self;
}

impl Number for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(number: f32) -> Self {
        number
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// Rounds to the nearest, ties to even, without a branch; what is no number stays none.
    #[inline(always)]
    fn narrow(number: f32) -> Self {
        let bits = number.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        Self::from_bits(if number.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

/// −ln p(target) of one row, which becomes its gradient times `factor` if there is one.
fn of_row<N: Number>(row: &mut [N], powers: &mut [f32], target: usize, factor: Option<f32>) -> f64 {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
        fn widest<N: Number>(row: &mut [N], powers: &mut [f32], target: usize, factor: Option<f32>) -> f64 {
            row_by_lanes(row, powers, target, factor)
        }
        #[target_feature(enable = "avx2,fma")]
        fn wide<N: Number>(row: &mut [N], powers: &mut [f32], target: usize, factor: Option<f32>) -> f64 {
            row_by_lanes(row, powers, target, factor)
        }
        if is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the processor was just found to have these instructions.
            return unsafe { widest(row, powers, target, factor) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { wide(row, powers, target, factor) };
        }
    }
    row_by_lanes(row, powers, target, factor)
}

#[inline(always)]
fn row_by_lanes<N: Number>(row: &mut [N], powers: &mut [f32], target: usize, factor: Option<f32>) -> f64 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            let number = block[lane].widen();
            largest[lane] = if number > largest[lane] {
                number
            } else {
                largest[lane]
            };
        }
    }
    // What is no number is passed over here, and comes out of the sum of powers.
    let mut most = f32::NEG_INFINITY;
    for number in largest
        .into_iter()
        .chain(rest.iter().map(|number| number.widen()))
    {
        most = if number > most { number } else { most };
    }
    let wanted = row[target].widen();

    // Beyond the vocabulary stands what has no probability.
    let (mut sums, mut last) = ([0.0_f32; LANES], [f32::NEG_INFINITY; LANES]);
    for (number, place) in rest.iter().zip(&mut last) {
        *place = number.widen();
    }
    let (powers, _) = powers.as_chunks_mut::<LANES>();
    for (block, powers) in blocks.iter().zip(powers.iter_mut()) {
        for lane in 0..LANES {
            powers[lane] = exponential(block[lane].widen() - most);
            sums[lane] += powers[lane];
        }
    }
    if !rest.is_empty() {
        let powers = &mut powers[blocks.len()];
        for lane in 0..LANES {
            powers[lane] = exponential(last[lane] - most);
            sums[lane] += if lane < rest.len() { powers[lane] } else { 0.0 };
        }
    }
    let sum: f32 = sums.iter().sum();
    if let Some(factor) = factor {
        let share = factor / sum;
        for (block, powers) in row.chunks_mut(LANES).zip(powers.iter()) {
            if let Ok(block) = <&mut [N; LANES]>::try_from(&mut *block) {
                for lane in 0..LANES {
                    block[lane] = N::narrow(powers[lane] * share);
                }
            } else {
                for (number, power) in block.iter_mut().zip(powers) {
                    *number = N::narrow(power * share);
                }
            }
        }
        // In float32, since p of a token that is known well and 1 are close together.
        let power = powers[target / LANES][target % LANES];
        row[target] = N::narrow(power * share - factor);
    }
    f64::from(most) + f64::from(sum).ln() - f64::from(wanted)
}

/// e to the power of `x` ≤ 0, within two units in the last place; 0 below −87. After Cephes' `expf`: x = n·ln 2 + r, and a polynomial of r.
#[inline(always)]
#[allow(
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "the constants are Cephes'"
)]
fn exponential(x: f32) -> f32 {
    // Added to a small number, its integer part is left in the last bits.
    const ROUNDING: f32 = 12582912.0;
    let bounded = if x < -87.0 { -87.0 } else { x };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUNDING;
    let whole = shifted - ROUNDING;
    let rest = bounded - whole * 0.693359375 + whole * 2.12194440e-4;
    let mut sum = 1.9875691500e-4;
    for coefficient in [
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ] {
        sum = sum * rest + coefficient;
    }
    let mantissa = sum * rest * rest + rest + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let result = mantissa * power;
    if x < -87.0 { 0.0 } else { result }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn the_exponential_is_right_to_the_last_bits() {
        for step in 0..870_000 {
            let x = -(step as f32) * 1e-4;
            let (found, expected) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!(
                (found - expected).abs() <= 2.5e-7 * expected,
                "{x}: {found} {expected}"
            );
        }
        assert_eq!(exponential(0.0), 1.0);
        assert_eq!(exponential(f32::NEG_INFINITY), 0.0);
        assert!(exponential(f32::NAN).is_nan());
    }

    /// Losses and gradients beside LibTorch's own, on vocabularies around the width of an instruction.
    #[test]
    fn it_is_libtorchs_cross_entropy() {
        tch::manual_seed(0);
        for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 4e-3)] {
            for (rows, vocabulary) in [(1, 2), (3, 15), (5, 16), (7, 17), (33, 300), (2, 50_257)] {
                let mut logits =
                    (Tensor::randn([rows, vocabulary], (Kind::Float, Device::Cpu)) * 5.0).to_kind(kind);
                let targets: Vec<i64> = (0..rows).map(|row| row * 7919 % vocabulary).collect();
                let weights: Vec<f32> = (0..rows).map(|row| (row % 3 + 1) as f32).collect();
                // Every fourth is learned and not reported.
                let reported: Vec<f32> = (0..rows)
                    .map(|row| if row % 4 == 3 { 0.0 } else { weights[row as usize] })
                    .collect();
                let leaf = logits
                    .to_kind(Kind::Float)
                    .detach()
                    .copy()
                    .set_requires_grad(true);
                let losses = leaf.log_softmax(-1, Kind::Float).g_nll_loss(
                    &Tensor::from_slice(&targets),
                    None::<Tensor>,
                    Reduction::None,
                    -100,
                );
                let expected = losses.dot(&Tensor::from_slice(&reported)).double_value(&[]);
                (losses.dot(&Tensor::from_slice(&weights)) * 0.25).backward();
                let predictions = Predictions {
                    targets: &targets,
                    weights: &weights,
                    reported: &reported,
                };
                let before = logits.copy();
                let alone = cross_entropy(&mut logits, predictions, None).unwrap();
                assert_eq!(logits, before, "without a scale nothing changes");
                let mut others = logits.copy();
                let found = cross_entropy(&mut logits, predictions, Some(0.25)).unwrap();
                assert_eq!(found, alone);
                let slow = by_libtorch(&mut others, predictions, Some(0.25)).unwrap();
                assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
                assert!((slow - expected).abs() < 1e-5 * expected, "{slow} {expected}");
                for gradient in [&logits, &others] {
                    let error = (gradient.to_kind(Kind::Float) - leaf.grad()).abs().max();
                    let error = error.double_value(&[]);
                    assert!(error <= tolerance, "{kind:?} {rows} {vocabulary}: {error}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_comes_out() {
        for place in [0, 3, 16] {
            let mut logits = Tensor::zeros([1, 17], (Kind::Float, Device::Cpu));
            let _ = logits.narrow(1, place, 1).fill_(f64::NAN);
            let predictions = Predictions {
                targets: &[5],
                weights: &[1.0],
                reported: &[1.0],
            };
            assert!(
                cross_entropy(&mut logits, predictions, Some(1.0))
                    .unwrap()
                    .is_nan()
            );
        }
    }
}
