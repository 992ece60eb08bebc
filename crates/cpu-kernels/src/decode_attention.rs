//! Attention of one new token to a cache, on the CPU.
//!
//! LibTorch's kernel is made for many queries: for a single one it calls MKL's matrix-vector product for each head of each row, which
//! takes a third of the time of decoding with a small model. Here the keys and values of each head are read once, in the order of memory.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use half::bf16;
use tch::{Device, Kind, TchError, Tensor};

use crate::dispatch::{Instructions, LANES, dispatch};
use crate::slice::{self, Element};
use crate::threads;

/// Multiplications below which a second thread costs more than it saves.
const MIN_WORK_FOR_THREADS: usize = 1 << 22;

/// Softmax(cap(q·Kᵀ · scale))·V of one query a row, `[rows, 1, heads · width]`; `None` where this kernel does not apply and
/// LibTorch's has to be taken.
///
/// `query` is `[rows, heads, 1, width]`, keys and values `[rows, key heads, held, width]`; `mask`, where there is one, is boolean
/// and broadcasts to `[rows, 1, 1, held]`. `scale` is 1/√width where there is none.
///
/// # Errors
/// [`TchError`] for a mask that does not broadcast, or where memory runs out.
pub fn decode_attention(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
    scale: Option<f64>,
    cap: Option<f64>,
) -> Result<Option<Tensor>, TchError> {
    let (rows, heads, tokens, width) = query.size4()?;
    let (_, key_heads, held, _) = keys.size4()?;
    let is_one_query = tokens == 1 && query.device() == Device::Cpu && !query.requires_grad();
    if !is_one_query || query.numel() == 0 || key_heads == 0 || heads % key_heads != 0 || held == 0 {
        return Ok(None);
    }
    let has_cache_layout = |tensor: &Tensor| {
        tensor.size() == [rows, key_heads, held, width] && tensor.stride()[2..] == [width, 1]
    };
    if !has_cache_layout(keys) || !has_cache_layout(values) {
        return Ok(None);
    }
    let visible = match mask {
        None => None,
        Some(mask) => {
            let mask = mask
                .f_expand([rows, 1, 1, held], false)?
                .f_to_kind(Kind::Uint8)?
                .f_contiguous()?;
            Some(Vec::<u8>::try_from(&mask.f_view([-1])?)?)
        }
    };
    let shape = Shape {
        rows: rows as usize,
        heads: heads as usize,
        group: (heads / key_heads) as usize,
        held: held as usize,
        width: width as usize,
        scale: scale.unwrap_or(1.0 / (width as f64).sqrt()) as f32,
        cap: cap.map(|cap| cap as f32),
    };
    let query = query.f_contiguous()?;
    let visible = visible.as_deref();
    let output = match query.kind() {
        Kind::Float => attend::<f32>(&query, keys, values, visible, shape),
        Kind::BFloat16 => attend::<bf16>(&query, keys, values, visible, shape),
        _ => None,
    };
    let Some(output) = output else {
        return Ok(None);
    };
    let output = Tensor::f_from_slice(&output)?.f_to_kind(query.kind())?;
    Ok(Some(output.f_view([rows, 1, heads * width])?))
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    heads: usize,
    /// Heads of queries that share one head of keys.
    group: usize,
    held: usize,
    width: usize,
    scale: f32,
    /// Soft cap of the scores.
    cap: Option<f32>,
}

/// The elements of a tensor whose two last dimensions are contiguous, head by head.
struct Heads<'a, N> {
    elements: &'a [N],
    strides: [usize; 2],
    /// Elements of one head.
    length: usize,
}

impl<'a, N: Element> Heads<'a, N> {
    fn new(tensor: &'a Tensor) -> Option<Self> {
        let (size, stride) = (tensor.size(), tensor.stride());
        Some(Self {
            elements: slice::memory(tensor)?,
            strides: [stride[0] as usize, stride[1] as usize],
            length: (size[2] * size[3]) as usize,
        })
    }

    fn head(&self, row: usize, head: usize) -> &'a [N] {
        let start = row * self.strides[0] + head * self.strides[1];
        &self.elements[start..start + self.length]
    }
}

/// The attended values in float32; `None` where the tensors are not `N` on the CPU.
fn attend<N: Element>(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    visible: Option<&[u8]>,
    shape: Shape,
) -> Option<Vec<f32>> {
    let query = Heads::<N>::new(query)?;
    let (keys, values) = (Heads::<N>::new(keys)?, Heads::<N>::new(values)?);
    let instructions = Instructions::widest();
    let Shape {
        rows,
        heads,
        held,
        width,
        ..
    } = shape;
    let mut output = vec![0.0_f32; rows * heads * width];
    let attend_rows = |first: usize, output: &mut [f32]| {
        let mut scratch = Scratch::new(shape);
        for (number, output) in output.chunks_mut(width).enumerate() {
            let (row, head) = (first + number / heads, number % heads);
            let input = Head {
                query: query.head(row, head),
                keys: keys.head(row, head / shape.group),
                values: values.head(row, head / shape.group),
                visible: visible.map(|visible| &visible[row * held..(row + 1) * held]),
            };
            attend_head(instructions, &input, shape, &mut scratch, output);
        }
    };
    let is_worth_threads = rows * heads * held * width >= MIN_WORK_FOR_THREADS;
    let threads = if is_worth_threads { threads::count(rows) } else { 1 };
    let share = rows.div_ceil(threads);
    let shares = output.chunks_mut(share * heads * width).enumerate();
    threads::map(threads, shares.collect(), |(part, output)| {
        attend_rows(part * share, output);
    });
    Some(output)
}

/// What one head of one row attends to.
struct Head<'a, N> {
    query: &'a [N],
    keys: &'a [N],
    values: &'a [N],
    /// Not 0 where a key may be attended to; all may be where there is none.
    visible: Option<&'a [u8]>,
}

/// Memory that one head needs while it is computed.
struct Scratch {
    query: Vec<f32>,
    scores: Vec<f32>,
}

impl Scratch {
    fn new(shape: Shape) -> Self {
        Self {
            query: vec![0.0; shape.width],
            scores: vec![0.0; shape.held],
        }
    }
}

fn attend_head<N: Element>(
    instructions: Instructions,
    head: &Head<'_, N>,
    shape: Shape,
    scratch: &mut Scratch,
    output: &mut [f32],
) {
    let Scratch { query, scores } = scratch;
    for (scaled, element) in query.iter_mut().zip(head.query) {
        *scaled = element.widen() * shape.scale;
    }
    score_keys(instructions, query, head.keys, scores);
    if let Some(cap) = shape.cap {
        for score in scores.iter_mut() {
            *score = cap * (*score / cap).tanh();
        }
    }
    if let Some(visible) = head.visible {
        for (score, &visible) in scores.iter_mut().zip(visible) {
            if visible == 0 {
                *score = f32::NEG_INFINITY;
            }
        }
    }
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        total += *score;
    }
    for score in scores.iter_mut() {
        *score /= total;
    }
    add_values(instructions, scores, head.values, output);
}

dispatch! {
    /// The product of the query with each key.
    fn score_keys[N: Element](query: &[f32], keys: &[N], scores: &mut [f32]) {
        avx512: x86::score_keys,
        avx2: score_keys_by_lanes,
        baseline: score_keys_in_order,
    }
}

/// A sum for each lane, so that no addition waits for the one before it. Widths that are no multiple of [`LANES`] go in order.
#[inline(always)]
fn score_keys_by_lanes<N: Element>(query: &[f32], keys: &[N], scores: &mut [f32]) {
    let (groups, rest) = query.as_chunks::<LANES>();
    if !rest.is_empty() {
        return score_keys_in_order(query, keys, scores);
    }
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
        let mut sums = [0.0; LANES];
        for (query, key) in groups.iter().zip(key.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                sums[lane] += query[lane] * key[lane].widen();
            }
        }
        *score = sums.iter().sum();
    }
}

#[inline(always)]
fn score_keys_in_order<N: Element>(query: &[f32], keys: &[N], scores: &mut [f32]) {
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
        *score = query
            .iter()
            .zip(key)
            .map(|(left, right)| left * right.widen())
            .sum();
    }
}

dispatch! {
    /// The sum of the values, each times its probability.
    fn add_values[N: Element](probabilities: &[f32], values: &[N], output: &mut [f32]) {
        avx512: x86::add_values,
        avx2: add_values_in_order,
        baseline: add_values_in_order,
    }
}

#[inline(always)]
fn add_values_in_order<N: Element>(probabilities: &[f32], values: &[N], output: &mut [f32]) {
    output.fill(0.0);
    for (&probability, value) in probabilities.iter().zip(values.chunks_exact(output.len())) {
        for (output, element) in output.iter_mut().zip(value) {
            *output += probability * element.widen();
        }
    }
}

/// In intrinsics, since the compiler by itself keeps the sums in memory. Widths that are no multiple of [`LANES`] go in order.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector loads and stores take pointers")]
mod x86 {
    use std::arch::x86_64::{
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{Element, LANES, add_values_in_order, score_keys_in_order};

    #[target_feature(enable = "avx512f")]
    pub(super) fn score_keys<N: Element>(query: &[f32], keys: &[N], scores: &mut [f32]) {
        let (groups, rest) = query.as_chunks::<LANES>();
        if !rest.is_empty() {
            return score_keys_in_order(query, keys, scores);
        }
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
            let mut sum = _mm512_setzero_ps();
            for (query, key) in groups.iter().zip(key.as_chunks::<LANES>().0) {
                // SAFETY: an array of as many values as are loaded; this function needs AVX-512 itself.
                sum = unsafe { _mm512_fmadd_ps(_mm512_loadu_ps(query.as_ptr()), N::load(key), sum) };
            }
            *score = _mm512_reduce_add_ps(sum);
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_values<N: Element>(probabilities: &[f32], values: &[N], output: &mut [f32]) {
        let width = output.len();
        if !width.is_multiple_of(LANES) {
            return add_values_in_order(probabilities, values, output);
        }
        let mut groups = output.as_chunks_mut::<LANES>().0;
        let mut first = 0;
        // As many at once as there are, so that values are read in the order of memory.
        while !groups.is_empty() {
            let count = match groups.len() {
                4.. => add_groups::<N, 4>(probabilities, values, width, first, groups),
                2..=3 => add_groups::<N, 2>(probabilities, values, width, first, groups),
                _ => add_groups::<N, 1>(probabilities, values, width, first, groups),
            };
            groups = &mut groups[count..];
            first += count;
        }
    }

    #[target_feature(enable = "avx512f")]
    fn add_groups<N: Element, const COUNT: usize>(
        probabilities: &[f32],
        values: &[N],
        width: usize,
        first: usize,
        output: &mut [[f32; LANES]],
    ) -> usize {
        let mut sums = [_mm512_setzero_ps(); COUNT];
        for (&probability, value) in probabilities.iter().zip(values.chunks_exact(width)) {
            let probability = _mm512_set1_ps(probability);
            let value = &value.as_chunks::<LANES>().0[first..first + COUNT];
            for (sum, value) in sums.iter_mut().zip(value) {
                // SAFETY: this function needs AVX-512 itself.
                *sum = unsafe { _mm512_fmadd_ps(probability, N::load(value), *sum) };
            }
        }
        for (output, sum) in output.iter_mut().zip(sums) {
            // SAFETY: an array of as many values as are stored.
            unsafe { _mm512_storeu_ps(output.as_mut_ptr(), sum) };
        }
        COUNT
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn decode_attention_equals_libtorchs() {
        tch::manual_seed(0);
        for (kind, tolerance) in [(Kind::Float, 2e-5), (Kind::BFloat16, 2e-2)] {
            for (rows, heads, key_heads, held, width, masked) in [
                (1, 1, 1, 1, 4, false),
                (3, 4, 2, 37, 20, true),
                (2, 3, 3, 200, 64, false),
                (40, 12, 12, 150, 64, true),
            ] {
                let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(kind);
                let query = random(&[rows, heads, 1, width]);
                // As in a cache: room for more behind what is held.
                let (keys, values) = (
                    random(&[rows, key_heads, held + 9, width]),
                    random(&[rows, key_heads, held + 9, width]),
                );
                let (keys, values) = (keys.narrow(2, 0, held), values.narrow(2, 0, held));
                let mask = masked.then(|| {
                    let counts = Tensor::arange(rows, (Kind::Int64, Device::Cpu)).view([rows, 1, 1, 1]);
                    Tensor::arange(held, (Kind::Int64, Device::Cpu))
                        .view([1, 1, 1, held])
                        .ge_tensor(&counts.remainder(held))
                });
                for cap in [None, Some(0.7)] {
                    let found = decode_attention(&query, &keys, &values, mask.as_ref(), Some(0.3), cap)
                        .unwrap()
                        .unwrap();
                    let wide = |tensor: &Tensor| {
                        let wide = tensor.to_kind(Kind::Float);
                        let group = heads / tensor.size()[1];
                        wide.repeat_interleave_self_int(group, 1, None::<i64>)
                    };
                    let mut scores = wide(&query).matmul(&wide(&keys).transpose(2, 3)) * 0.3;
                    if let Some(cap) = cap {
                        scores = (scores / cap).tanh() * cap;
                    }
                    if let Some(mask) = &mask {
                        scores = scores.masked_fill(&mask.logical_not(), f64::NEG_INFINITY);
                    }
                    let expected = scores.softmax(-1, Kind::Float).matmul(&wide(&values));
                    let expected = expected.transpose(1, 2).reshape([rows, 1, heads * width]);
                    assert_eq!((found.kind(), found.size()), (kind, expected.size()));
                    let error = (found.to_kind(Kind::Float) - &expected)
                        .abs()
                        .max()
                        .double_value(&[]);
                    let scale = expected.abs().max().double_value(&[]);
                    assert!(
                        error <= tolerance * scale.max(1.0),
                        "{kind:?} {held} {width} {cap:?}: {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn all_instructions_agree() {
        tch::manual_seed(0);
        for width in [20, 48, 64, 112] {
            let random = |count: usize| {
                let values = Tensor::randn([count as i64], (Kind::Float, Device::Cpu));
                Vec::<f32>::try_from(&values).unwrap()
            };
            let (query, probabilities) = (random(width), random(9));
            let (keys, values) = (random(9 * width), random(9 * width));
            let (mut expected_scores, mut expected_output) = (vec![0.0; 9], vec![0.0; width]);
            score_keys_in_order(&query, &keys, &mut expected_scores);
            add_values_in_order(&probabilities, &values, &mut expected_output);
            for instructions in Instructions::available() {
                let (mut scores, mut output) = (vec![0.0; 9], vec![0.0; width]);
                score_keys(instructions, &query, &keys, &mut scores);
                add_values(instructions, &probabilities, &values, &mut output);
                let found = scores.iter().chain(&output);
                for (found, expected) in found.zip(expected_scores.iter().chain(&expected_output)) {
                    assert!(
                        (found - expected).abs() < 1e-4,
                        "{instructions:?} {width}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_left_to_libtorch() {
        let zeros = |size: [i64; 4]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let applies = |query: &Tensor, keys: &Tensor, values: &Tensor| {
            decode_attention(query, keys, values, None, None, None)
                .unwrap()
                .is_some()
        };
        let (query, keys) = (zeros([2, 4, 1, 16]), zeros([2, 2, 5, 16]));
        assert!(applies(&query, &keys, &keys));
        assert!(!applies(&zeros([2, 4, 2, 16]), &keys, &keys));
        assert!(!applies(&query, &keys, &zeros([2, 2, 4, 16])));
        assert!(!applies(&query, &zeros([2, 3, 5, 16]), &zeros([2, 3, 5, 16])));
        assert!(!applies(&query, &keys, &keys.to_kind(Kind::BFloat16)));
        assert!(!applies(&zeros([2, 4, 1, 8]), &keys, &keys));
        assert!(!applies(&query, &zeros([2, 2, 0, 16]), &zeros([2, 2, 0, 16])));
    }
}
