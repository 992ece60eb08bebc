//! Operations of LibTorch that tch does not bind: attention of documents that stand one behind the other, and work on many tensors in
//! a few launches.

#![allow(
    unsafe_code,
    reason = "LibTorch is C++: what it is given and gives are pointers"
)]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

type Handle = *const C_tensor;

unsafe extern "C" {
    fn torch_device_free_message(message: *mut c_char);
    fn torch_device_flash_packed(
        result: *mut *mut C_tensor,
        query: Handle,
        keys: Handle,
        values: Handle,
        cumulative: Handle,
        longest: i64,
        scale: f64,
        window_left: i64,
    ) -> *mut c_char;
    fn torch_device_efficient_packed(
        result: *mut *mut C_tensor,
        query: Handle,
        keys: Handle,
        values: Handle,
        cumulative: Handle,
        longest: i64,
        scale: f64,
        with_gradient: bool,
        window_size: i64,
    ) -> *mut c_char;
    fn torch_device_norms(result: *mut *mut C_tensor, tensors: *const Handle, count: usize) -> *mut c_char;
    fn torch_device_copy(into: *const Handle, from: *const Handle, count: usize) -> *mut c_char;
    fn torch_device_add(into: *const Handle, from: *const Handle, count: usize) -> *mut c_char;
    fn torch_device_adamw(
        weights: *const Handle,
        gradients: *const Handle,
        first: *const Handle,
        second: *const Handle,
        count: usize,
        step: Handle,
        gradient_divisor: Handle,
        is_skipped: Handle,
        rate: f64,
        first_beta: f64,
        second_beta: f64,
        weight_decay: f64,
        epsilon: f64,
    ) -> *mut c_char;
    fn torch_device_upload(result: *mut *mut C_tensor, tensor: Handle, index: c_int) -> *mut c_char;
    fn torch_device_allow_cudnn_attention(allowed: bool);
    fn torch_device_memory(
        index: c_int,
        free: *mut usize,
        total: *mut usize,
        peak: *mut usize,
        reserved: *mut usize,
    ) -> *mut c_char;
}

/// What a call came to, from the message that it gave.
fn outcome(message: *mut c_char) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the other side gives a string that ends with a zero and is nobody else's.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above; it is not read again.
    unsafe { torch_device_free_message(message) };
    Err(TchError::Torch(text))
}

/// The tensor that a call leaves.
fn given(call: impl FnOnce(*mut *mut C_tensor) -> *mut c_char) -> Result<Tensor, TchError> {
    let mut result = ptr::null_mut();
    outcome(call(&raw mut result))?;
    // SAFETY: a call that succeeds leaves a tensor, of which a handle of our own is taken, and then lets go of its own.
    unsafe {
        let tensor = Tensor::clone_from_ptr(result);
        torch_sys::at_free(result);
        Ok(tensor)
    }
}

fn handles(tensors: &[Tensor]) -> Vec<Handle> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

fn optional(tensor: Option<&Tensor>) -> Handle {
    tensor.map_or(ptr::null(), Tensor::as_ptr)
}

fn same_count(first: &[Tensor], second: &[Tensor]) -> Result<(), TchError> {
    if first.len() == second.len() {
        return Ok(());
    }
    let problem = format!("{} tensors and {} to go with them", first.len(), second.len());
    Err(TchError::Torch(problem))
}

/// Documents that stand one behind the other, as attention takes them.
#[derive(Debug)]
pub struct PackedDocuments {
    /// Where each begins and the last ends, `[documents + 1]`, int32, on the device.
    pub cumulative: Tensor,
    /// Tokens of the longest.
    pub longest: i64,
}

/// Softmax(Q·Kᵀ · scale)·V of `[tokens, heads, width]`, where each token sees itself and those before it of its own document; with a
/// `window`, only the last so many of them, its own included. Keys and values may have fewer heads. In bf16 on a GPU, by flash attention.
///
/// # Errors
/// [`TchError`] where this device, precision or width is not served, or memory runs out.
pub fn flash_attention_packed(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    documents: &PackedDocuments,
    scale: f64,
    window: Option<i64>,
) -> Result<Tensor, TchError> {
    let left = window.map_or(-1, |window| window - 1);
    // SAFETY: tensors live through the call.
    given(|result| unsafe {
        torch_device_flash_packed(
            result,
            query.as_ptr(),
            keys.as_ptr(),
            values.as_ptr(),
            documents.cumulative.as_ptr(),
            documents.longest,
            scale,
            left,
        )
    })
}

/// The same in any precision, by memory-efficient attention; keys and values have as many heads as queries.
///
/// # Errors
/// As [`flash_attention_packed`].
pub fn efficient_attention_packed(
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    documents: &PackedDocuments,
    scale: f64,
    window: Option<i64>,
) -> Result<Tensor, TchError> {
    let with_gradient = [query, keys, values].iter().any(|tensor| tensor.requires_grad());
    // SAFETY: tensors live through the call.
    given(|result| unsafe {
        torch_device_efficient_packed(
            result,
            query.as_ptr(),
            keys.as_ptr(),
            values.as_ptr(),
            documents.cumulative.as_ptr(),
            documents.longest,
            scale,
            with_gradient,
            window.unwrap_or(-1),
        )
    })
}

/// The norms of tensors, `[count]`, in float32 and on their device.
///
/// # Errors
/// [`TchError`] for no tensors, or where memory runs out.
pub fn norms(tensors: &[Tensor]) -> Result<Tensor, TchError> {
    let tensors = handles(tensors);
    // SAFETY: tensors live through the call; the list has as many as is said.
    given(|result| unsafe { torch_device_norms(result, tensors.as_ptr(), tensors.len()) })
}

/// Copies each tensor of `from` into that of `into`, in its precision.
///
/// # Errors
/// [`TchError`] for lists or shapes that do not fit.
pub fn copy(into: &[Tensor], from: &[Tensor]) -> Result<(), TchError> {
    same_count(into, from)?;
    let (into, from) = (handles(into), handles(from));
    // SAFETY: as above.
    outcome(unsafe { torch_device_copy(into.as_ptr(), from.as_ptr(), into.len()) })
}

/// Adds each tensor of `from` to that of `into`.
///
/// # Errors
/// As [`copy`].
pub fn add(into: &[Tensor], from: &[Tensor]) -> Result<(), TchError> {
    same_count(into, from)?;
    let (into, from) = (handles(into), handles(from));
    // SAFETY: as above.
    outcome(unsafe { torch_device_add(into.as_ptr(), from.as_ptr(), into.len()) })
}

/// The settings of one step of AdamW.
#[derive(Debug)]
pub struct AdamWStep<'a> {
    /// Learning rate.
    pub rate: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Decay of the weights, times the rate.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Steps so far, this one included: one number in float32 on the device.
    pub step: &'a Tensor,
    /// What gradients are divided by first, one number in float32 on the device.
    pub gradient_divisor: Option<&'a Tensor>,
    /// Where 1, nothing happens: one number in float32 on the device.
    pub is_skipped: Option<&'a Tensor>,
}

/// One step of AdamW (Loshchilov and Hutter 2019) for all weights at once. Gradients are overwritten.
///
/// # Errors
/// [`TchError`] for lists or shapes that do not fit.
pub fn adamw(
    weights: &[Tensor],
    gradients: &[Tensor],
    first_moments: &[Tensor],
    second_moments: &[Tensor],
    step: &AdamWStep,
) -> Result<(), TchError> {
    for others in [gradients, first_moments, second_moments] {
        same_count(weights, others)?;
    }
    if weights.is_empty() {
        return Ok(());
    }
    let [weights, gradients, first, second] =
        [weights, gradients, first_moments, second_moments].map(handles);
    // SAFETY: as above.
    outcome(unsafe {
        torch_device_adamw(
            weights.as_ptr(),
            gradients.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            weights.len(),
            step.step.as_ptr(),
            optional(step.gradient_divisor),
            optional(step.is_skipped),
            step.rate,
            step.betas[0],
            step.betas[1],
            step.weight_decay,
            step.epsilon,
        )
    })
}

/// A copy on GPU number `index` of a tensor in the host's memory.
pub(crate) fn upload(tensor: &Tensor, index: usize) -> Result<Tensor, TchError> {
    // SAFETY: the tensor lives through the call; what is read later LibTorch keeps.
    given(|result| unsafe { torch_device_upload(result, tensor.as_ptr(), index as c_int) })
}

/// Keeps LibTorch's scaled dot-product attention from cuDNN, which prepares a plan for every shape that it meets: 143 ms for each length
/// on an H200, against 0.4 ms for the attention.
pub(crate) fn keep_attention_from_cudnn() {
    // SAFETY: sets a flag.
    unsafe { torch_device_allow_cudnn_attention(false) };
}

/// The memory of a GPU in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// What this program can still take, with what its allocator holds for it already.
    pub free: u64,
    /// All that there is.
    pub total: u64,
    /// Most that this program's tensors have taken.
    pub peak: u64,
    /// What this program has taken from the GPU now.
    pub reserved: u64,
}

pub(crate) fn memory(index: usize) -> Result<DeviceMemory, TchError> {
    let (mut free, mut total, mut peak, mut reserved) = (0, 0, 0, 0);
    // SAFETY: four numbers to write to.
    outcome(unsafe {
        torch_device_memory(
            index as c_int,
            &raw mut free,
            &raw mut total,
            &raw mut peak,
            &raw mut reserved,
        )
    })?;
    Ok(DeviceMemory {
        free: free as u64,
        total: total as u64,
        peak: peak as u64,
        reserved: reserved as u64,
    })
}
