//! The numbers of tensors in the CPU's memory, a block at a time on several threads.

use causal_lm::Error;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

/// Numbers that one thread handles at once; the division does not depend on the number of threads.
pub(crate) const BLOCK: usize = 1 << 16;

/// Whether a tensor has numbers, which are float32 in one piece in the CPU's memory.
pub(crate) fn is_plain(tensor: &Tensor) -> bool {
    let on_cpu = tensor.device() == Device::Cpu && tensor.numel() > 0;
    on_cpu && tensor.kind() == Kind::Float && tensor.is_contiguous()
}

/// The numbers of a tensor that [`is_plain`].
#[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
pub(crate) fn of(tensor: &Tensor) -> Option<&[f32]> {
    // SAFETY: kind, device and density were checked, so that these are the tensor's numbers; it is borrowed as long.
    is_plain(tensor).then(|| unsafe {
        std::slice::from_raw_parts(tensor.data_ptr().cast_const().cast::<f32>(), tensor.numel())
    })
}

/// The same, to be changed.
#[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
pub(crate) fn of_mut(tensor: &mut Tensor) -> Option<&mut [f32]> {
    // SAFETY: as above; the tensor is borrowed mutably.
    is_plain(tensor)
        .then(|| unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
}

/// A view of the tensor whose numbers lie in the order of its places: a matrix that is kept transposed is turned.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn straight(tensor: &Tensor) -> Result<Tensor, Error> {
    if tensor.dim() == 2 && !tensor.is_contiguous() {
        let turned = tensor.f_detach()?.f_tr()?;
        if turned.is_contiguous() {
            return Ok(turned);
        }
    }
    Ok(tensor.f_detach()?)
}

/// The tensor's numbers in one piece: in the order of its places, or `upright` false, of its transpose.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn in_one_piece(tensor: &Tensor, upright: bool) -> Result<Tensor, Error> {
    let turned = if upright {
        tensor.shallow_clone()
    } else {
        tensor.f_tr()?
    };
    Ok(turned.f_contiguous()?)
}

/// Σ x² of a tensor. On the CPU it is the same whatever the number of threads.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn sum_of_squares(tensor: &Tensor) -> Result<f64, Error> {
    let straight = straight(tensor)?;
    let Some(numbers) = of(&straight) else {
        let norm = tensor.f_norm()?.f_double_value(&[])?;
        return Ok(norm * norm);
    };
    let blocks = numbers.chunks(BLOCK).collect::<Vec<_>>();
    let sums: Vec<f64> = in_parallel(blocks, sum_of_block);
    Ok(sums.iter().sum())
}

/// What `work` makes of each part, in their order, on as many threads as LibTorch was told to use.
pub(crate) fn in_parallel<T: Send, R: Send>(parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = tch::get_num_threads().max(1) as usize;
    if threads == 1 || parts.len() < 2 {
        return parts.into_iter().map(work).collect();
    }
    let share = parts.len().div_ceil(threads);
    let mut shares: Vec<Vec<T>> = Vec::with_capacity(threads);
    let mut parts = parts.into_iter().peekable();
    while parts.peek().is_some() {
        shares.push(parts.by_ref().take(share).collect());
    }
    let done: Vec<Vec<R>> = shares
        .into_par_iter()
        .map(|share| share.into_iter().map(&work).collect())
        .collect();
    done.into_iter().flatten().collect()
}

fn sum_of_block(block: &[f32]) -> f64 {
    const LANES: usize = 16;
    let (parts, rest) = block.as_chunks::<LANES>();
    let mut total = 0.0;
    // Sums in float32 stay short enough to be exact to six digits.
    for parts in parts.chunks(256) {
        let mut sums = [0.0_f32; LANES];
        for part in parts {
            for (sum, number) in sums.iter_mut().zip(part) {
                *sum += number * number;
            }
        }
        total += sums.iter().copied().map(f64::from).sum::<f64>();
    }
    total + rest.iter().map(|&number| f64::from(number).powi(2)).sum::<f64>()
}

/// Runs a function with the widest instructions that the processor has. `$body` must be inlined into it.
macro_rules! with_widest_instructions {
    ($name:ident, $body:ident, ($($argument:ident: $kind:ty),*)) => {
        fn $name($($argument: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
            {
                #[target_feature(enable = "avx512f")]
                fn widest($($argument: $kind),*) {
                    $body($($argument),*);
                }
                #[target_feature(enable = "avx2")]
                fn wide($($argument: $kind),*) {
                    $body($($argument),*);
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor was just found to have these instructions.
                    return unsafe { widest($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { wide($($argument),*) };
                }
            }
            $body($($argument),*);
        }
    };
}
pub(crate) use with_widest_instructions;
