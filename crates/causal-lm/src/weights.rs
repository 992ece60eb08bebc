//! Tensors in safetensors files: read through a memory map into the precision asked for, written whole with sorted names.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, View};
use tch::{Device, Kind, TchError, Tensor};

use crate::Error;

/// Bytes of a file that are copied at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// Reads every tensor of a safetensors file, in the precision `kind` where it is floating point. Memory holds the tensors
/// and one block of the file beside them.
///
/// # Errors
/// [`contract::Error::Input`] for a missing or damaged file, or a type of number not supported here.
pub fn read(path: &Path, kind: Kind, device: Device) -> Result<BTreeMap<String, Tensor>, Error> {
    let bad = |problem: String| contract::Error::input(path, problem);
    let file = File::open(path).map_err(|error| bad(format!("cannot be opened: {error}")))?;
    let map = map(&file).map_err(|error| bad(format!("cannot be mapped: {error}")))?;
    let tensors =
        SafeTensors::deserialize(&map).map_err(|error| bad(format!("expected safetensors: {error}")))?;
    let mut read = BTreeMap::new();
    for (name, view) in tensors.iter() {
        let stored = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            // Masks that older files carry; they are ignored later.
            Dtype::U8 | Dtype::BOOL => Kind::Uint8,
            Dtype::I64 => Kind::Int64,
            other => {
                return Err(bad(format!(
                    "tensor {name}: expected F32, F16 or BF16, found {other:?}"
                ))
                .into());
            }
        };
        let kept = if matches!(stored, Kind::Uint8 | Kind::Int64) {
            stored
        } else {
            kind
        };
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_empty(&shape[..], (kept, device))?;
        copy_blocks(&tensor, view.data(), stored, &map)?;
        read.insert(name.to_owned(), tensor);
    }
    Ok(read)
}

/// Copies numbers of the type `stored` into `tensor`, and lets go of the file's pages block by block: else the whole file
/// would count as resident beside the tensors.
fn copy_blocks(tensor: &Tensor, data: &[u8], stored: Kind, map: &Mmap) -> Result<(), Error> {
    let flat = tensor.f_view([-1])?;
    let width = stored.elt_size_in_bytes();
    for (number, block) in data.chunks(BLOCK_BYTES).enumerate() {
        let count = (block.len() / width) as i64;
        let source = Tensor::f_from_data_size(block, &[count], stored)?;
        let start = (number * BLOCK_BYTES / width) as i64;
        flat.f_narrow(0, start, count)?.f_copy_(&source)?;
        forget(map, block);
    }
    Ok(())
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

/// Reads all weights of a model folder: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
///
/// # Errors
/// [`contract::Error::Input`] where there are none, or one is damaged.
pub fn read_folder(
    folder: &Path,
    kind: Kind,
    device: Device,
) -> Result<(PathBuf, BTreeMap<String, Tensor>), Error> {
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok((single.clone(), read(&single, kind, device)?));
    }
    let index = folder.join("model.safetensors.index.json");
    let Ok(text) = std::fs::read_to_string(&index) else {
        let pickled = folder.join("pytorch_model.bin").exists();
        let problem = if pickled {
            "expected model.safetensors, found only pickled weights (pytorch_model.bin), which can run code when read. \
             Load the model with transformers and save it again with save_pretrained(..., safe_serialization=True)"
        } else {
            "expected model.safetensors or model.safetensors.index.json, found neither"
        };
        return Err(contract::Error::input(folder, problem).into());
    };
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| contract::Error::input(&index, format!("expected JSON: {error}")))?;
    let shards = json.get("weight_map").and_then(serde_json::Value::as_object);
    let shards =
        shards.ok_or_else(|| contract::Error::input(&index, "expected a table weight_map, found none"))?;
    let mut names: Vec<&str> = shards.values().filter_map(serde_json::Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let mut tensors = BTreeMap::new();
    for name in names {
        tensors.extend(read(&folder.join(name), kind, device)?);
    }
    Ok((index, tensors))
}

/// Writes tensors in the precision that each has; the folder must exist. The caller makes the file appear whole.
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
        .collect();
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|error| contract::Error::output(path, error.to_string()))?;
    failure.into_inner().map_or(Ok(()), |error| Err(error.into()))
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
