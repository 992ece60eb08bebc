//! Attention of documents that stand one behind the other, all of them at once, as a GPU wants it: a launch for each document would take
//! longer than its attention.
//!
//! LibTorch has kernels that are told where documents begin. What they do not serve (a soft cap on the scores, wide heads, the processor)
//! goes through documents that are padded on the right to the longest of them: under a causal mask no token sees what comes after it, so that
//! padding needs no mask.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};
use torch_device::operations::{PackedDocuments, efficient_attention_packed, flash_attention_packed};
use torch_device::upload::upload;

use super::attention::attend_to;
use super::{Attention, Masks, Span};
use crate::Error;

/// The widest heads that flash attention takes, and what their width must be a multiple of.
const WIDEST_FLASH_HEAD: i64 = 256;
const FLASH_HEAD_STEP: i64 = 8;

/// Documents that are attended to together.
#[derive(Debug)]
pub(crate) struct Together {
    packed: PackedDocuments,
    lengths: Vec<i64>,
    /// Tokens that a windowed layer sees, the query's own included.
    window: Option<i64>,
    padded: OnceCell<Box<Padded>>,
}

/// Where padded documents have their tokens, and where the tokens then are.
#[derive(Debug)]
struct Padded {
    /// The token in each place `[documents · longest]`; in padding the document's last.
    tokens: Tensor,
    /// The place of each token `[tokens]`.
    places: Tensor,
    masks: Masks,
}

impl Together {
    pub(crate) fn new(lengths: &[i64], window: Option<i64>, device: Device) -> Result<Self, Error> {
        let mut cumulative = Vec::with_capacity(lengths.len() + 1);
        let mut end = 0_i32;
        cumulative.push(end);
        for &length in lengths {
            end += length as i32;
            cumulative.push(end);
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        Ok(Self {
            packed: PackedDocuments {
                cumulative: upload(&cumulative, device)?,
                longest,
            },
            lengths: lengths.to_vec(),
            // A window that nothing has left yet hides nothing.
            window: window.filter(|&window| window < longest),
            padded: OnceCell::new(),
        })
    }

    fn padded(&self) -> Result<&Padded, Error> {
        if let Some(padded) = self.padded.get() {
            return Ok(padded);
        }
        let padded = Box::new(self.pad()?);
        Ok(self.padded.get_or_init(|| padded))
    }

    fn pad(&self) -> Result<Padded, Error> {
        let (longest, device) = (self.packed.longest, self.packed.cumulative.device());
        let (mut tokens, mut places, mut first) = (Vec::new(), Vec::new(), 0);
        for (number, &length) in (0..).zip(&self.lengths) {
            tokens.extend((0..longest).map(|place| first + place.min(length - 1)));
            places.extend((0..length).map(|place| number * longest + place));
            first += length;
        }
        Ok(Padded {
            tokens: upload(&tokens, device)?,
            places: upload(&places, device)?,
            masks: Span::of_length(longest, device).masks(self.window)?,
        })
    }
}

/// A kernel of LibTorch's for packed documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kernel {
    Flash,
    Efficient,
}

/// What decides whether a kernel serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    kernel: Kernel,
    device: usize,
    is_half: bool,
    width: i64,
    is_grouped: bool,
    is_windowed: bool,
}

/// Softmax(cap(Q·Kᵀ · scale))·V of `[1, heads, tokens, width]`, each document by itself; in the same shape.
pub(crate) fn attend_together(
    how: &Attention,
    documents: &Together,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor, Error> {
    let window = documents.window.filter(|_| how.windowed);
    if let Some(case) = case_of(how, query, keys, window)
        && serves(case)
    {
        return by_kernel(case.kernel, how, documents, window, query, keys, values);
    }
    by_padding(how, documents, query, keys, values)
}

/// The kernel that may serve here.
fn case_of(how: &Attention, query: &Tensor, keys: &Tensor, window: Option<i64>) -> Option<Case> {
    let Device::Cuda(device) = query.device() else {
        return None;
    };
    let (size, key_size) = (query.size(), keys.size());
    let (&[_, heads, _, width], &[_, key_heads, _, _]) = (&size[..], &key_size[..]) else {
        return None;
    };
    if how.cap.is_some() {
        return None;
    }
    let is_half = query.kind() == Kind::BFloat16;
    let kernel = match query.kind() {
        Kind::BFloat16 if width % FLASH_HEAD_STEP == 0 && width <= WIDEST_FLASH_HEAD => Kernel::Flash,
        Kind::BFloat16 | Kind::Float => Kernel::Efficient,
        _ => return None,
    };
    Some(Case {
        kernel,
        device,
        is_half,
        width,
        is_grouped: heads != key_heads,
        is_windowed: window.is_some(),
    })
}

fn by_kernel(
    kernel: Kernel,
    how: &Attention,
    documents: &Together,
    window: Option<i64>,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor, Error> {
    let (_, heads, _, width) = query.size4()?;
    let scale = how.scale.unwrap_or(1.0 / (width as f64).sqrt());
    // `[tokens, heads, width]`.
    let flat = |tensor: &Tensor| tensor.f_squeeze_dim(0)?.f_transpose(0, 1);
    let (query, keys, values) = (flat(query)?, flat(keys)?, flat(values)?);
    let attended = match kernel {
        Kernel::Flash => flash_attention_packed(&query, &keys, &values, &documents.packed, scale, window)?,
        Kernel::Efficient => {
            let group = heads / keys.size3()?.1;
            let repeated = |tensor: &Tensor| match group {
                1 => Ok(tensor.shallow_clone()),
                group => tensor.f_repeat_interleave_self_int(group, 1, None),
            };
            let (keys, values) = (repeated(&keys)?, repeated(&values)?);
            efficient_attention_packed(&query, &keys, &values, &documents.packed, scale, window)?
        }
    };
    Ok(attended.f_transpose(0, 1)?.f_unsqueeze(0)?)
}

fn by_padding(
    how: &Attention,
    documents: &Together,
    query: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor, Error> {
    let Padded {
        tokens,
        places,
        masks,
    } = documents.padded()?;
    let (count, longest) = (documents.lengths.len() as i64, documents.packed.longest);
    let pad = |tensor: &Tensor| -> Result<Tensor, Error> {
        let (_, heads, _, width) = tensor.size4()?;
        let rows = tensor
            .f_squeeze_dim(0)?
            .f_transpose(0, 1)?
            .f_index_select(0, tokens)?;
        Ok(rows.f_view([count, longest, heads, width])?.f_transpose(1, 2)?)
    };
    let (query, keys, values) = (pad(query)?, pad(keys)?, pad(values)?);
    let attended = attend_to(how, masks, &query, &keys, &values)?;
    let (_, heads, _, width) = attended.size4()?;
    let rows = attended
        .f_transpose(1, 2)?
        .f_reshape([count * longest, heads, width])?
        .f_index_select(0, places)?;
    Ok(rows.f_transpose(0, 1)?.f_unsqueeze(0)?)
}

/// Whether a kernel gives here what plain attention gives, forwards and backwards. Tried once for each case, on documents of a few tokens:
/// what kernels serve depends on the GPU and on how LibTorch was built.
fn serves(case: Case) -> bool {
    static KNOWN: Mutex<BTreeMap<Case, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(case).or_insert_with(|| match error_of(case) {
        Ok(error) if error < tolerance(case) => true,
        Ok(error) => {
            tracing::warn!(
                "LibTorch's {:?} attention is {error:.1e} away from plain attention here: documents are padded",
                case.kernel
            );
            false
        }
        Err(error) => {
            tracing::warn!("LibTorch's {:?} attention does not serve here: {error}", case.kernel);
            false
        }
    })
}

/// Largest difference, as a share of the largest number, that rounding explains.
fn tolerance(case: Case) -> f64 {
    if case.is_half { 3e-2 } else { 1e-4 }
}

/// Largest difference of a kernel from plain attention, of the result and of the gradients, each as a share of the largest number in it.
fn error_of(case: Case) -> Result<f64, Error> {
    let device = Device::Cuda(case.device);
    let kind = if case.is_half { Kind::BFloat16 } else { Kind::Float };
    let (heads, key_heads) = if case.is_grouped { (4, 2) } else { (2, 2) };
    let documents = Together::new(&[5, 1, 9], case.is_windowed.then_some(3), device)?;
    let window = documents.window;
    // Numbers between −1 and 1 that do not touch the generator of random ones.
    let some = |heads: i64, start: f64| -> Result<Tensor, Error> {
        let count = 15 * heads * case.width;
        let numbers = Tensor::f_arange(count, (Kind::Float, device))?.f_mul_scalar(1.7)?;
        let numbers = numbers.f_add_scalar(start)?.f_sin()?.f_to_kind(kind)?;
        let numbers = numbers.f_view([1, 15, heads, case.width])?.f_transpose(1, 2)?;
        Ok(numbers.f_detach()?.f_set_requires_grad(true)?)
    };
    let (query, keys, values) = (some(heads, 0.0)?, some(key_heads, 1.0)?, some(key_heads, 2.0)?);
    let masks = Masks::none();
    let how = Attention {
        layer: 0,
        masks: &masks,
        windowed: case.is_windowed,
        scale: None,
        cap: None,
    };
    let results = |attended: Tensor| -> Result<Vec<Tensor>, Error> {
        let number = tch::with_grad(|| attended.f_mul(&query.f_detach()?)?.f_sum(Kind::Float))?;
        let mut all = Tensor::f_run_backward(&[number], &[&query, &keys, &values], false, false)?;
        all.push(attended.f_detach()?);
        Ok(all)
    };
    let found = tch::with_grad(|| by_kernel(case.kernel, &how, &documents, window, &query, &keys, &values))?;
    let expected = tch::with_grad(|| by_padding(&how, &documents, &query, &keys, &values))?;
    let mut worst = 0.0_f64;
    for (found, expected) in results(found)?.iter().zip(results(expected)?) {
        let (found, expected) = (found.f_to_kind(Kind::Float)?, expected.f_to_kind(Kind::Float)?);
        let difference = found.f_sub(&expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
        let largest = expected.f_abs()?.f_max()?.f_double_value(&[])?;
        // What is no number is as far away as can be.
        let share = difference / largest;
        worst = if share.is_nan() {
            f64::INFINITY
        } else {
            worst.max(share)
        };
    }
    Ok(worst)
}
