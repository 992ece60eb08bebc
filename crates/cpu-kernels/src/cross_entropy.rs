//! Cross-entropy of a softmax and its gradient in place, in one reading of the logits.
//!
//! The gradient of the loss −ln p(target) is p − 1 at the target and p elsewhere. LibTorch's operations write the log-probabilities,
//! a matrix of zeros and ones, and the gradient, each as large as the logits, which with a vocabulary of fifty thousand is most of
//! the memory that training takes. Here a row of logits stays in the cache while it is replaced by its gradient.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use half::bf16;
use tch::{Kind, Reduction, TchError, Tensor};

use crate::dispatch::{Instructions, LANES, dispatch};
use crate::slice::{self, Element};
use crate::threads;

/// What is asked of each row of logits. The three have one length, the number of rows.
#[derive(Debug, Clone, Copy)]
pub struct Predictions<'a> {
    /// The token to predict.
    pub targets: &'a [i64],
    /// Weight of the prediction in the gradient.
    pub weights: &'a [f32],
    /// Its weight in the sum.
    pub reported: &'a [f32],
}

/// Sum of −ln p(target) over the rows of `logits` `[rows, vocabulary]`, in nats, each times its weight in `reported`.
///
/// With a `scale` the logits are overwritten by the gradient of `scale` times the sum weighted by `weights`.
///
/// # Errors
/// [`TchError`] where a target is not in the vocabulary, where rows and predictions differ in number, or where memory runs out.
pub fn cross_entropy(
    logits: &mut Tensor,
    predictions: Predictions,
    scale: Option<f32>,
) -> Result<f64, TchError> {
    let (rows, vocabulary) = logits.size2()?;
    let lengths = [
        predictions.targets.len(),
        predictions.weights.len(),
        predictions.reported.len(),
    ];
    if lengths != [rows as usize; 3] {
        let problem = format!("targets, weights and reported are {lengths:?} for {rows} rows of logits");
        return Err(TchError::Shape(problem));
    }
    let is_beyond = |target: &&i64| !(0..vocabulary).contains(*target);
    if let Some(beyond) = predictions.targets.iter().find(is_beyond) {
        let problem = format!("token {beyond} is not in the model's vocabulary of {vocabulary}");
        return Err(TchError::Shape(problem));
    }
    if rows == 0 {
        return Ok(0.0);
    }
    if let Some(logits) = slice::rows_mut::<f32>(logits) {
        return Ok(on_cpu(logits, vocabulary as usize, predictions, scale));
    }
    if let Some(logits) = slice::rows_mut::<bf16>(logits) {
        return Ok(on_cpu(logits, vocabulary as usize, predictions, scale));
    }
    by_libtorch(logits, predictions, scale)
}

fn by_libtorch(logits: &mut Tensor, predictions: Predictions, scale: Option<f32>) -> Result<f64, TchError> {
    let _guard = tch::no_grad_guard();
    let device = logits.device();
    let targets = Tensor::f_from_slice(predictions.targets)?.f_to_device(device)?;
    let weights = Tensor::f_from_slice(predictions.weights)?.f_to_device(device)?;
    let logprobs = logits.f_log_softmax(-1, Kind::Float)?;
    let losses = logprobs.f_nll_loss(&targets, None::<Tensor>, Reduction::None, -100)?;
    let reported = Tensor::f_from_slice(predictions.reported)?.f_to_device(device)?;
    let sum = losses.f_dot(&reported)?.f_double_value(&[])?;
    if let Some(scale) = scale {
        let factors = weights.f_mul_scalar(f64::from(scale))?.f_unsqueeze(1)?;
        let mut gradient = logprobs.f_exp()?.f_mul(&factors)?;
        let _ = gradient.f_scatter_add_(1, &targets.f_unsqueeze(1)?, &factors.f_neg()?)?;
        logits.f_copy_(&gradient)?;
    }
    Ok(sum)
}

fn on_cpu<N: Element>(
    (logits, between): (&mut [N], usize),
    vocabulary: usize,
    predictions: Predictions,
    scale: Option<f32>,
) -> f64 {
    let rows = predictions.targets.len();
    let instructions = Instructions::widest();
    let threads = threads::count(rows);
    let share = rows.div_ceil(threads);
    let mut losses = vec![0.0; rows];
    let shares = logits.chunks_mut(share * between).zip(losses.chunks_mut(share));
    threads::map(
        threads,
        shares.enumerate().collect(),
        |(part, (logits, losses))| {
            let mut powers = vec![0.0; vocabulary.next_multiple_of(LANES)];
            for (offset, (logits, loss)) in logits.chunks_mut(between).zip(losses).enumerate() {
                let row = part * share + offset;
                let target = predictions.targets[row] as usize;
                let factor = scale.map(|scale| scale * predictions.weights[row]);
                let entropy = row_loss(
                    instructions,
                    &mut logits[..vocabulary],
                    &mut powers,
                    target,
                    factor,
                );
                *loss = f64::from(predictions.reported[row]) * entropy;
            }
        },
    );
    // In the order of the rows, so that the sum does not depend on the number of threads.
    losses.iter().sum()
}

dispatch! {
    /// −ln p(target) of one row, which is overwritten by its gradient times `factor` if there is one.
    fn row_loss[N: Element](row: &mut [N], powers: &mut [f32], target: usize, factor: Option<f32>) -> f64 = row_by_lanes
}

#[inline(always)]
fn row_by_lanes<N: Element>(row: &mut [N], powers: &mut [f32], target: usize, factor: Option<f32>) -> f64 {
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
    // NaN is passed over here, and comes out of the sum of powers.
    let mut max = f32::NEG_INFINITY;
    for number in largest
        .into_iter()
        .chain(rest.iter().map(|number| number.widen()))
    {
        max = if number > max { number } else { max };
    }
    let target_logit = row[target].widen();

    // The last lanes beyond the vocabulary have no probability.
    let (mut sums, mut last) = ([0.0_f32; LANES], [f32::NEG_INFINITY; LANES]);
    for (number, place) in rest.iter().zip(&mut last) {
        *place = number.widen();
    }
    let (powers, _) = powers.as_chunks_mut::<LANES>();
    for (block, powers) in blocks.iter().zip(powers.iter_mut()) {
        for lane in 0..LANES {
            powers[lane] = exponential(block[lane].widen() - max);
            sums[lane] += powers[lane];
        }
    }
    if !rest.is_empty() {
        let powers = &mut powers[blocks.len()];
        for lane in 0..LANES {
            powers[lane] = exponential(last[lane] - max);
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
    f64::from(max) + f64::from(sum).ln() - f64::from(target_logit)
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

    use tch::Device;

    use super::*;

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
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
    fn losses_and_gradients_equal_libtorchs() {
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
    fn a_logit_that_is_nan_makes_the_loss_nan() {
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

    #[test]
    fn all_instructions_give_the_same_bits() {
        for vocabulary in [15, 16, 333] {
            let logits: Vec<f32> = (0..vocabulary)
                .map(|token| (token as f32 * 0.7).sin() * 9.0)
                .collect();
            let found: Vec<_> = Instructions::available()
                .map(|instructions| {
                    let (mut row, mut powers) = (logits.clone(), vec![0.0; 336]);
                    let loss = row_loss(instructions, &mut row, &mut powers, 3, Some(0.5));
                    (loss, row)
                })
                .collect();
            assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{vocabulary}");
        }
    }

    #[test]
    fn wrong_targets_and_lengths_are_refused() {
        let mut logits = Tensor::zeros([2, 5], (Kind::Float, Device::Cpu));
        let mut refusal = |targets: &[i64], weights: &[f32]| {
            let predictions = Predictions {
                targets,
                weights,
                reported: weights,
            };
            cross_entropy(&mut logits, predictions, None)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(refusal(&[0, 4], &[1.0, 1.0]), None);
        for token in [-1, 5] {
            let message = refusal(&[0, token], &[1.0, 1.0]).unwrap();
            assert!(
                message.contains(&format!("token {token} is not in the model's vocabulary of 5")),
                "{message}"
            );
        }
        assert!(refusal(&[0], &[1.0]).is_some());
        assert!(refusal(&[0, 1], &[1.0]).is_some());
    }
}
