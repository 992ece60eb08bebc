//! Attention of one new token to a cache, on the CPU.
//!
//! LibTorch's kernel is made for many queries: for a single one it calls MKL's matrix-vector product for each head of each row, which
//! takes a third of the time of decoding with a small model. Here each head's keys and values are read once, in the order of memory.

use half::bf16;
use tch::{Device, Kind, Tensor};

use crate::Error;

/// Numbers that one instruction handles at once where the processor has the widest ones.
const LANES: usize = 16;

/// Multiplications below which a second thread costs more than it does.
const WORTH_A_THREAD: usize = 1 << 22;

/// Softmax(cap(q·Kᵀ · scale))·V of one query a row, `[rows, 1, heads · width]`; `None` where this way does not apply and LibTorch's
/// has to be taken.
///
/// `query` is `[rows, heads, 1, width]`, keys and values `[rows, key heads, held, width]`; `mask`, where there is one, is boolean
/// and broadcasts to `[rows, 1, 1, held]`.
pub(crate) fn decode_attention(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
    scale: Option<f64>,
    cap: Option<f64>,
) -> Result<Option<Tensor>, Error> {
    let (rows, heads, tokens, width) = query.size4()?;
    let (_, key_heads, held, _) = keys.size4()?;
    let on_cpu = query.device() == Device::Cpu && query.kind() == keys.kind();
    let in_order = |tensor: &Tensor| tensor.stride()[2..] == [width, 1];
    if tokens != 1 || !on_cpu || query.requires_grad() || !in_order(keys) || !in_order(values) {
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
        heads: heads as usize,
        group: (heads / key_heads) as usize,
        held: held as usize,
        width: width as usize,
        scale: scale.unwrap_or(1.0 / (width as f64).sqrt()) as f32,
        cap: cap.map(|cap| cap as f32),
    };
    let query = query.f_contiguous()?;
    let output = match query.kind() {
        Kind::Float => attend::<f32>(&query, keys, values, visible.as_deref(), shape),
        Kind::BFloat16 => attend::<bf16>(&query, keys, values, visible.as_deref(), shape),
        _ => return Ok(None),
    };
    let output = Tensor::f_from_slice(&output)?.f_to_kind(query.kind())?;
    Ok(Some(output.f_view([rows, 1, heads * width])?))
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    /// Heads of queries that share one of keys.
    group: usize,
    held: usize,
    width: usize,
    scale: f32,
    /// Soft cap of the scores.
    cap: Option<f32>,
}

/// A number as tensors keep it.
#[cfg(target_arch = "x86_64")]
trait Number: Copy + Send + Sync + x86::Load {
    fn widen(self) -> f32;
}

/// A number as tensors keep it.
#[cfg(not(target_arch = "x86_64"))]
trait Number: Copy + Send + Sync {
    fn widen(self) -> f32;
}

impl Number for f32 {
    fn widen(self) -> f32 {
        self
    }
}

impl Number for bf16 {
    fn widen(self) -> f32 {
        // `to_f32` also looks after NaN, which costs a branch; the upper half of a float is a float.
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// The numbers of a tensor whose two last dimensions are contiguous, head by head.
struct Heads<'a, N> {
    numbers: &'a [N],
    strides: [usize; 2],
    length: usize,
}

impl<'a, N: Number> Heads<'a, N> {
    #[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
    fn of(tensor: &'a Tensor) -> Self {
        let (size, stride) = (tensor.size(), tensor.stride());
        let length = (size[2] * size[3]) as usize;
        let strides = [stride[0] as usize, stride[1] as usize];
        let reach = (size[0] as usize - 1) * strides[0] + (size[1] as usize - 1) * strides[1] + length;
        // SAFETY: the caller has checked kind and device, and that the last two dimensions are dense; sizes and strides are
        // LibTorch's own, so the last number that they lead to is the tensor's. The tensor is borrowed as long as the slice lives,
        // and nothing writes to it meanwhile.
        let numbers =
            unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast_const().cast::<N>(), reach) };
        Self {
            numbers,
            strides,
            length,
        }
    }

    fn head(&self, row: usize, head: usize) -> &'a [N] {
        let start = row * self.strides[0] + head * self.strides[1];
        &self.numbers[start..start + self.length]
    }
}

fn attend<N: Number>(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    visible: Option<&[u8]>,
    shape: Shape,
) -> Vec<f32> {
    let (query, keys, values) = (
        Heads::<N>::of(query),
        Heads::<N>::of(keys),
        Heads::<N>::of(values),
    );
    let Shape {
        heads, held, width, ..
    } = shape;
    let rows = query.numbers.len() / (heads * width);
    let mut output = vec![0.0_f32; rows * heads * width];
    let of_rows = |first: usize, output: &mut [f32]| {
        let mut scratch = Scratch::new(shape);
        for (number, output) in output.chunks_mut(width).enumerate() {
            let (row, head) = (first + number / heads, number % heads);
            let visible = visible.map(|visible| &visible[row * held..(row + 1) * held]);
            let (keys, values) = (
                keys.head(row, head / shape.group),
                values.head(row, head / shape.group),
            );
            head_of(
                query.head(row, head),
                keys,
                values,
                visible,
                shape,
                &mut scratch,
                output,
            );
        }
    };
    let threads = (tch::get_num_threads().max(1) as usize).min(rows);
    if threads < 2 || rows * heads * held * width < WORTH_A_THREAD {
        of_rows(0, &mut output);
        return output;
    }
    let share = rows.div_ceil(threads);
    std::thread::scope(|scope| {
        for (part, output) in output.chunks_mut(share * heads * width).enumerate() {
            let of_rows = &of_rows;
            scope.spawn(move || of_rows(part * share, output));
        }
    });
    output
}

/// Room for one head.
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

/// One head of one row.
fn head_of<N: Number>(
    query: &[N],
    keys: &[N],
    values: &[N],
    visible: Option<&[u8]>,
    shape: Shape,
    scratch: &mut Scratch,
    output: &mut [f32],
) {
    let Scratch { query: wide, scores } = scratch;
    for (wide, number) in wide.iter_mut().zip(query) {
        *wide = number.widen() * shape.scale;
    }
    score_keys(wide, keys, scores);
    if let Some(cap) = shape.cap {
        for score in scores.iter_mut() {
            *score = cap * (*score / cap).tanh();
        }
    }
    if let Some(visible) = visible {
        for (score, &visible) in scores.iter_mut().zip(visible) {
            if visible == 0 {
                *score = f32::NEG_INFINITY;
            }
        }
    }
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    for score in scores.iter_mut() {
        *score /= total;
    }
    add_values(scores, values, output);
}

/// The product of the query with each key.
fn score_keys<N: Number>(query: &[f32], keys: &[N], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if query.len().is_multiple_of(LANES) && is_x86_feature_detected!("avx512f") {
        #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
        // SAFETY: the processor was just found to have these instructions.
        return unsafe { x86::score_keys(query, keys, scores) };
    }
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
        *score = query
            .iter()
            .zip(key)
            .map(|(left, right)| left * right.widen())
            .sum();
    }
}

/// The sum of the values, each times its share.
fn add_values<N: Number>(shares: &[f32], values: &[N], output: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if output.len().is_multiple_of(LANES) && is_x86_feature_detected!("avx512f") {
        #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
        // SAFETY: the processor was just found to have these instructions.
        return unsafe { x86::add_values(shares, values, output) };
    }
    output.fill(0.0);
    for (&share, value) in shares.iter().zip(values.chunks_exact(output.len())) {
        for (output, number) in output.iter_mut().zip(value) {
            *output += share * number.widen();
        }
    }
}

/// Written out, since left to itself the compiler keeps the sums in memory.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector loads and stores take pointers")]
mod x86 {
    use std::arch::x86_64::{
        __m512, _mm256_loadu_si256, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32,
        _mm512_storeu_ps,
    };

    use half::bf16;

    use super::{LANES, Number};

    /// Numbers that are loaded as floats.
    pub(super) trait Load: Sized {
        /// # Safety
        /// Needs AVX-512.
        unsafe fn load(numbers: &[Self; LANES]) -> __m512;
    }

    impl Load for f32 {
        #[target_feature(enable = "avx512f")]
        unsafe fn load(numbers: &[Self; LANES]) -> __m512 {
            // SAFETY: an array of as many numbers as are loaded.
            unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
        }
    }

    impl Load for bf16 {
        #[target_feature(enable = "avx512f")]
        unsafe fn load(numbers: &[Self; LANES]) -> __m512 {
            // SAFETY: as above, sixteen bits each.
            let halves = unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) };
            // The upper half of a float is a float.
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn score_keys<N: Number>(query: &[f32], keys: &[N], scores: &mut [f32]) {
        let parts = query.as_chunks::<LANES>().0;
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
            let mut sum = _mm512_setzero_ps();
            for (query, key) in parts.iter().zip(key.as_chunks::<LANES>().0) {
                // SAFETY: this function needs AVX-512 itself.
                sum = unsafe { _mm512_fmadd_ps(f32::load(query), N::load(key), sum) };
            }
            *score = _mm512_reduce_add_ps(sum);
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_values<N: Number>(shares: &[f32], values: &[N], output: &mut [f32]) {
        let width = output.len();
        let mut parts = output.as_chunks_mut::<LANES>().0;
        let mut first = 0;
        // As many at once as there are, so that values are read in the order of memory.
        while !parts.is_empty() {
            let count = match parts.len() {
                4.. => some_values::<N, 4>(shares, values, width, first, parts),
                2..=3 => some_values::<N, 2>(shares, values, width, first, parts),
                _ => some_values::<N, 1>(shares, values, width, first, parts),
            };
            parts = &mut parts[count..];
            first += count;
        }
    }

    #[target_feature(enable = "avx512f")]
    fn some_values<N: Number, const PARTS: usize>(
        shares: &[f32],
        values: &[N],
        width: usize,
        first: usize,
        output: &mut [[f32; LANES]],
    ) -> usize {
        let mut sums = [_mm512_setzero_ps(); PARTS];
        for (&share, value) in shares.iter().zip(values.chunks_exact(width)) {
            let share = _mm512_set1_ps(share);
            let value = &value.as_chunks::<LANES>().0[first..first + PARTS];
            for (sum, value) in sums.iter_mut().zip(value) {
                // SAFETY: this function needs AVX-512 itself.
                *sum = unsafe { _mm512_fmadd_ps(share, N::load(value), *sum) };
            }
        }
        for (output, sum) in output.iter_mut().zip(sums) {
            // SAFETY: an array of as many numbers as are stored.
            unsafe { _mm512_storeu_ps(output.as_mut_ptr(), sum) };
        }
        PARTS
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn it_is_libtorchs_attention() {
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
}
