//! The one way from a tensor to a slice of its elements: kind, device and layout are checked here and nowhere else.

#![allow(
    clippy::inline_always,
    reason = "a loop is compiled for the widest instructions only inside the function that has them"
)]

use half::bf16;
use tch::{Device, Kind, TchError, Tensor};

use crate::dispatch::LANES;

/// A floating-point type of a tensor's elements.
pub(crate) trait Element: Copy + Send + Sync {
    /// What LibTorch calls it.
    const KIND: Kind;

    /// The same value in float32.
    fn widen(self) -> f32;

    /// The nearest value; halfway between two of them the even one.
    fn narrow(value: f32) -> Self;

    /// [`LANES`] elements in float32 in one register.
    ///
    /// # Safety
    /// The processor must have AVX-512F.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "only a processor with these instructions can run it")]
    unsafe fn load(elements: &[Self; LANES]) -> std::arch::x86_64::__m512;
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code, reason = "vector loads take pointers")]
    unsafe fn load(elements: &[Self; LANES]) -> std::arch::x86_64::__m512 {
        // SAFETY: an array of as many elements as are loaded.
        unsafe { std::arch::x86_64::_mm512_loadu_ps(elements.as_ptr()) }
    }
}

impl Element for bf16 {
    const KIND: Kind = Kind::BFloat16;

    /// Without the branch for NaN of `to_f32`: the upper half of a float32 is the bf16.
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    /// Without a branch; NaN stays NaN.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        Self::from_bits(if value.is_nan() { 0x7fc0 } else { rounded as u16 })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code, reason = "vector loads take pointers")]
    unsafe fn load(elements: &[Self; LANES]) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::{
            _mm256_loadu_si256, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_slli_epi32,
        };
        // SAFETY: an array of as many elements as are loaded, sixteen bits each.
        let halves = unsafe { _mm256_loadu_si256(elements.as_ptr().cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }
}

/// The memory from a tensor's first element to its last, of any strides; `None` where that is not memory of `N` that the CPU
/// can read.
pub(crate) fn memory<N: Element>(tensor: &Tensor) -> Option<&[N]> {
    let (pointer, length) = checked_memory::<N>(tensor)?;
    #[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
    // SAFETY: `checked_memory` has checked both; the tensor is borrowed for as long as the slice lives.
    Some(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// The elements of a contiguous tensor of `N` on the CPU; `None` for any other.
pub(crate) fn contiguous<N: Element>(tensor: &Tensor) -> Option<&[N]> {
    // In this order: a sparse tensor cannot be asked whether it is contiguous.
    memory(tensor).filter(|_| tensor.is_contiguous())
}

/// The same, to be changed. The caller sees to it that no other tensor which shares the memory is used meanwhile.
pub(crate) fn contiguous_mut<N: Element>(tensor: &mut Tensor) -> Option<&mut [N]> {
    let (pointer, length) = checked_memory::<N>(tensor).filter(|_| tensor.is_contiguous())?;
    #[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
    // SAFETY: `checked_memory` has checked both; the tensor is borrowed mutably for as long as the slice lives.
    Some(unsafe { std::slice::from_raw_parts_mut(pointer, length) })
}

/// The memory of a matrix of `N` on the CPU whose rows each stand side by side, to be changed, and how far the beginnings of two rows
/// are apart; `None` for any other. The caller sees to it that no other tensor which shares the memory is used meanwhile.
pub(crate) fn rows_mut<N: Element>(matrix: &mut Tensor) -> Option<(&mut [N], usize)> {
    let (rows, columns) = matrix.size2().ok()?;
    let (pointer, length) = checked_memory::<N>(matrix)?;
    let [between, 1] = matrix.stride()[..] else {
        return None;
    };
    if rows > 1 && between < columns {
        return None;
    }
    #[allow(unsafe_code, reason = "LibTorch gives a tensor's memory as a pointer alone")]
    // SAFETY: `checked_memory` has checked both; the tensor is borrowed mutably for as long as the slice lives.
    Some((
        unsafe { std::slice::from_raw_parts_mut(pointer, length) },
        between.max(columns) as usize,
    ))
}

/// Where a tensor's memory begins, and how many `N` it reaches over.
fn checked_memory<N: Element>(tensor: &Tensor) -> Option<(*mut N, usize)> {
    let is_strided = !tensor.is_sparse() && !tensor.is_mkldnn();
    if tensor.device() != Device::Cpu || tensor.kind() != N::KIND || !is_strided {
        return None;
    }
    if tensor.numel() == 0 {
        return Some((std::ptr::NonNull::dangling().as_ptr(), 0));
    }
    let pointer = tensor.data_ptr().cast::<N>();
    // LibTorch has no negative strides.
    let steps = tensor.size().into_iter().zip(tensor.stride());
    let last: i64 = steps.map(|(size, stride)| (size - 1) * stride).sum();
    (!pointer.is_null() && pointer.is_aligned()).then_some((pointer, last as usize + 1))
}

/// Whether any two of these float32 tensors on the CPU share memory. Others are not looked at.
pub(crate) fn share_memory(tensors: &[&Tensor]) -> bool {
    let memories = tensors.iter().filter_map(|tensor| memory::<f32>(tensor));
    let mut ranges: Vec<_> = memories
        .map(<[f32]>::as_ptr_range)
        .filter(|range| !range.is_empty())
        .collect();
    ranges.sort_by_key(|range| range.start);
    ranges.windows(2).any(|pair| pair[1].start < pair[0].end)
}

/// A view of the tensor that is contiguous where the tensor or its transpose is, and whether it is that of the transpose.
///
/// # Errors
/// [`TchError`] where memory runs out.
pub(crate) fn dense_view(tensor: &Tensor) -> Result<(Tensor, bool), TchError> {
    let view = tensor.f_detach()?;
    if tensor.dim() == 2 && !tensor.is_contiguous() {
        let transposed = view.f_tr()?;
        if transposed.is_contiguous() {
            return Ok((transposed, true));
        }
    }
    Ok((view, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_of_the_asked_kind_is_given_out() {
        let tensor = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]);
        assert_eq!(contiguous::<f32>(&tensor).map(<[f32]>::len), Some(12));
        assert!(contiguous::<bf16>(&tensor).is_none());
        assert!(contiguous::<f32>(&tensor.to_kind(Kind::Double)).is_none());
        assert!(contiguous::<f32>(&tensor.tr()).is_none());
        assert!(contiguous_mut::<f32>(&mut tensor.tr()).is_none());
        assert!(contiguous::<f32>(&tensor.to_sparse_sparse_dim(2)).is_none());
        let empty = Tensor::zeros([0, 4], (Kind::Float, Device::Cpu));
        assert_eq!(contiguous::<f32>(&empty), Some(&[][..]));
    }

    #[test]
    fn the_memory_of_a_strided_view_ends_with_its_last_element() {
        let tensor = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([4, 6]);
        let view = tensor.narrow(0, 1, 2).narrow(1, 2, 3);
        let expected: Vec<f32> = (8..17).map(|value| value as f32).collect();
        assert_eq!(memory::<f32>(&view), Some(&expected[..]));
        assert_eq!(memory::<f32>(&tensor.tr()).map(<[f32]>::len), Some(24));
    }

    #[test]
    fn shared_memory_is_found() {
        let [left, right] = [0, 1].map(|_| Tensor::zeros([4, 6], (Kind::Float, Device::Cpu)));
        assert!(!share_memory(&[&left, &right]));
        assert!(share_memory(&[&left, &right, &left.tr()]));
        assert!(!share_memory(&[&left.narrow(0, 0, 2), &left.narrow(0, 2, 2)]));
        assert!(share_memory(&[&left.narrow(0, 0, 3), &left.narrow(0, 2, 2)]));
    }

    #[test]
    fn a_transposed_matrix_has_a_dense_view() {
        let tensor = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]);
        let is_transposed = |tensor: &Tensor| dense_view(tensor).map(|(_, transposed)| transposed).ok();
        assert_eq!(is_transposed(&tensor), Some(false));
        assert_eq!(is_transposed(&tensor.tr()), Some(true));
        assert_eq!(is_transposed(&tensor.narrow(1, 0, 2)), Some(false));
    }

    #[test]
    fn bf16_is_rounded_to_the_nearest_as_half_rounds() {
        for value in [
            0.0,
            1.0,
            -1.003_906_2,
            1.011_718_8,
            3.389_531e38,
            f32::INFINITY,
            1e-40,
        ] {
            assert_eq!(
                <bf16 as Element>::narrow(value).to_bits(),
                bf16::from_f32(value).to_bits(),
                "{value}"
            );
        }
        assert!(<bf16 as Element>::narrow(f32::NAN).is_nan());
    }
}
