//! Tensors in safetensors files: read through a memory map into the precision asked for, written whole with sorted names.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use contract::seal::{self, Seal};
use memmap2::Mmap;
use model_folder::Model;
use safetensors::tensor::{Dtype, SafeTensors, View};
use tch::{Device, Kind, TchError, Tensor};

use crate::{Error, four_bit};

/// Key of the seal in a file's header.
const SEAL: &str = "seal";

/// Bytes of a file that are copied at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// Reads every tensor of a safetensors file, in the precision `kind` where it is floating point. Memory holds the tensors
/// and one block of the file beside them.
///
/// # Errors
/// [`contract::Error::Input`] for a missing or damaged file, or a type of number not supported here.
pub fn read(path: &Path, kind: Kind, device: Device) -> Result<BTreeMap<String, Tensor>, Error> {
    read_some(path, &|_| true, kind, device, false)
}

/// Reads the `wanted` tensors of a safetensors file, all of whose numbers must be finite.
///
/// # Errors
/// As [`read`], and [`contract::Error::Input`] naming a tensor that holds a number that is not finite.
pub(crate) fn read_finite(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
    kind: Kind,
    device: Device,
) -> Result<BTreeMap<String, Tensor>, Error> {
    read_some(path, wanted, kind, device, true)
}

fn read_some(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
    kind: Kind,
    device: Device,
    must_be_finite: bool,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let bad = |problem: String| contract::Error::input(path, problem);
    let file = File::open(path).map_err(|error| bad(format!("cannot be opened: {error}")))?;
    let map = map(&file).map_err(|error| bad(format!("cannot be mapped: {error}")))?;
    let tensors =
        SafeTensors::deserialize(&map).map_err(|error| bad(format!("expected safetensors: {error}")))?;
    check_seal(path)?;
    let mut read = BTreeMap::new();
    for (name, view) in tensors.iter().filter(|(name, _)| wanted(name)) {
        let stored = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            Dtype::U8 | Dtype::BOOL => Kind::Uint8,
            Dtype::I64 => Kind::Int64,
            other => {
                return Err(bad(format!(
                    "tensor {name}: expected F32, F16 or BF16, found {other:?}"
                ))
                .into());
            }
        };
        let is_float = !matches!(stored, Kind::Uint8 | Kind::Int64);
        let kept = if is_float { kind } else { stored };
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_empty(&shape[..], (kept, device))?;
        let are_finite = copy_blocks(&tensor, view.data(), stored, &map, must_be_finite && is_float)?;
        if !are_finite {
            return Err(bad(format!(
                "tensor {name}: expected finite numbers, found one that is infinite or not a number. Training most likely \
                 diverged before it was saved; take an earlier checkpoint"
            ))
            .into());
        }
        read.insert(name.to_owned(), tensor);
    }
    Ok(read)
}

/// Copies numbers of the type `stored` into `tensor`, and lets go of the file's pages block by block: else the whole file
/// would count as resident beside the tensors. Returns whether all numbers are finite, where that `is_asked`.
fn copy_blocks(
    tensor: &Tensor,
    data: &[u8],
    stored: Kind,
    map: &Mmap,
    is_asked: bool,
) -> Result<bool, Error> {
    let flat = tensor.f_view([-1])?;
    let mut are_finite = true;
    let width = stored.elt_size_in_bytes();
    for (number, block) in data.chunks(BLOCK_BYTES).enumerate() {
        let count = (block.len() / width) as i64;
        let source = Tensor::f_from_data_size(block, &[count], stored)?;
        let start = (number * BLOCK_BYTES / width) as i64;
        let mut place = flat.f_narrow(0, start, count)?;
        place.f_copy_(&source)?;
        // As they are kept: a number may be too large for that.
        if is_asked && are_finite {
            are_finite = place.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        }
        forget(map, block);
    }
    Ok(are_finite)
}

/// Tells the system that a part of the map will not be read again. Only advice: where it fails, nothing is lost.
#[allow(
    unsafe_code,
    reason = "the advice drops pages, which is unsafe for maps that were written to"
)]
fn forget(map: &Mmap, part: &[u8]) {
    #[cfg(unix)]
    {
        let offset = part.as_ptr() as usize - map.as_ptr() as usize;
        // SAFETY: the map is of a file and never written, so a dropped page is read from the file again.
        let advised =
            unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, part.len()) };
        if let Err(error) = advised {
            tracing::debug!("pages of a weight file stay resident: {error}");
        }
    }
}

/// Reads the parameters of a model by their names in the `state_dict`; whatever else its files hold is left there.
///
/// # Errors
/// [`contract::Error::Input`] where a file is damaged, or a number is not finite.
pub(crate) fn read_model(
    model: &Model,
    kind: Kind,
    device: Device,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let names: HashMap<&str, &str> = model
        .stored
        .iter()
        .map(|(name, stored)| (stored.as_str(), name.as_str()))
        .collect();
    let companions = four_bit::read_companions(&model.four_bit, &model.shards)?;
    let mut parameters = BTreeMap::new();
    for shard in &model.shards {
        let is_plain = |name: &str| names.contains_key(name) && !model.four_bit.contains_key(name);
        let mut tensors = read_finite(shard, &is_plain, kind, device)?;
        // One after the other, so that memory holds the packed bytes of one alone.
        for (name, weight) in &model.four_bit {
            let packed = read_finite(shard, &|known| known == name, Kind::Float, Device::Cpu)?;
            if let Some(packed) = packed.get(name) {
                let dequantised = four_bit::dequantise(weight, packed, &companions, kind, device)?;
                tensors.insert(name.clone(), dequantised);
            }
        }
        parameters.extend(
            tensors
                .into_iter()
                .map(|(stored, tensor)| (names[stored.as_str()].to_owned(), tensor)),
        );
    }
    Ok(parameters)
}

/// Writes tensors in the precision that each has, with a seal; the folder must exist. The caller makes the file appear whole.
///
/// # Errors
/// [`contract::Error::Output`] where it cannot be written.
pub fn write(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &[(&str, &str)],
) -> Result<(), Error> {
    let failure = RefCell::new(None);
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        views.push((name.as_str(), Stored::new(tensor, &failure)?));
    }
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .chain([(SEAL.to_owned(), seal::open())])
        .collect();
    let failed = |error: String| contract::Error::output(path, error);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| failed(error.to_string()))?;
    failure.into_inner().map_or(Ok(()), Err)?;
    let header = seal::safetensors_header(path).map_err(|error| failed(error.to_string()))?;
    order_metadata(path, header.clone()).map_err(|error| failed(error.to_string()))?;
    Ok(seal::close(path, header)?)
}

/// Puts the text facts, with which a header begins, in order of their keys: the library writes them in one by chance, and the same weights
/// would have other bytes each time.
fn order_metadata(path: &Path, header: Range<u64>) -> std::io::Result<()> {
    const BEGINNING: &[u8] = br#"{"__metadata__":"#;
    let file = File::options().read(true).write(true).open(path)?;
    let mut bytes = vec![0; (header.end - header.start) as usize];
    file.read_exact_at(&mut bytes, header.start)?;
    let Some(rest) = bytes.strip_prefix(BEGINNING) else {
        return Ok(());
    };
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<BTreeMap<String, String>>();
    let Some(Ok(facts)) = values.next() else {
        return Ok(());
    };
    let ordered = serde_json::to_vec(&facts)?;
    if ordered.len() == values.byte_offset() {
        file.write_all_at(&ordered, header.start + BEGINNING.len() as u64)?;
    }
    Ok(())
}

/// Whether a file that was written here is what was written.
fn check_seal(path: &Path) -> Result<(), Error> {
    let header = seal::safetensors_header(path).map_err(|error| contract::Error::input(path, error))?;
    if seal::check(path, header)? == Seal::Broken {
        let problem = "is damaged: its bytes are not those that were written. Make it again with the stage that writes it; or where another \
                       program changed the weights and kept the header's facts, remove `seal` from these";
        return Err(contract::Error::input(path, problem).into());
    }
    Ok(())
}

/// The text facts in a file's header.
///
/// # Errors
/// [`contract::Error::Input`] for a missing or damaged file.
pub fn metadata(path: &Path) -> Result<HashMap<String, String>, Error> {
    let bad = |problem: String| contract::Error::input(path, problem);
    let file = File::open(path).map_err(|error| bad(format!("cannot be opened: {error}")))?;
    let map = map(&file).map_err(|error| bad(format!("cannot be mapped: {error}")))?;
    let (_, metadata) =
        SafeTensors::read_metadata(&map).map_err(|error| bad(format!("expected safetensors: {error}")))?;
    check_seal(path)?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

#[allow(unsafe_code, reason = "a memory map has no safe constructor")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read once, right away, and dropped before this module's functions return. A file that another
    // process shortens meanwhile would end this one; outputs of the pipeline are renamed into place, never rewritten.
    unsafe { Mmap::map(file) }
}

/// A tensor as safetensors wants it. Its bytes are taken out only while they are written, so that memory does not hold all weights
/// twice.
struct Stored<'a> {
    tensor: Tensor,
    shape: Vec<usize>,
    dtype: Dtype,
    /// The first failure to take bytes out, which the trait has no way to return.
    failure: &'a RefCell<Option<TchError>>,
}

impl<'a> Stored<'a> {
    fn new(tensor: &Tensor, failure: &'a RefCell<Option<TchError>>) -> Result<Self, Error> {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Half => Dtype::F16,
            Kind::BFloat16 => Dtype::BF16,
            Kind::Int64 => Dtype::I64,
            Kind::Uint8 => Dtype::U8,
            other => return Err(contract::Error::Run(format!("no safetensors type for {other:?}")).into()),
        };
        Ok(Self {
            tensor: tensor.f_detach()?,
            shape: tensor.size().iter().map(|&size| size as usize).collect(),
            dtype,
            failure,
        })
    }

    fn bytes(&self) -> Result<Vec<u8>, TchError> {
        let tensor = self.tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut bytes = vec![0; self.data_len()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(bytes)
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.bytes().unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}
