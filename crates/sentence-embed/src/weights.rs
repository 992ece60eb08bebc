//! Reading `model.safetensors`.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::EmbedError;

const FILE: &str = "model.safetensors";

/// Files of the same weights that can run code when they are read, and so are not.
const PICKLED: [&str; 2] = ["pytorch_model.bin", "model.pt"];

/// The tensors of a weights file, handed out in single precision on one device.
pub(crate) struct Weights<'file> {
    path: PathBuf,
    tensors: SafeTensors<'file>,
    device: Device,
}

impl<'file> Weights<'file> {
    /// The content of a folder's `model.safetensors`.
    pub(crate) fn read(folder: &Path) -> Result<Vec<u8>, EmbedError> {
        let path = folder.join(FILE);
        if let Some(found) = PICKLED.into_iter().find(|name| folder.join(name).is_file())
            && !path.exists()
        {
            return Err(EmbedError::Pickled {
                path: folder.to_path_buf(),
                found: found.to_owned(),
            });
        }
        std::fs::read(&path).map_err(|source| EmbedError::Read { path, source })
    }

    /// `bytes` is the content of that file.
    pub(crate) fn parse(folder: &Path, bytes: &'file [u8], device: Device) -> Result<Self, EmbedError> {
        let path = folder.join(FILE);
        let tensors = SafeTensors::deserialize(bytes).map_err(|source| EmbedError::Weights {
            path: path.clone(),
            tensor: String::new(),
            source,
        })?;
        Ok(Self {
            path,
            tensors,
            device,
        })
    }

    /// `prefix` if names begin with it, as those of a transformer under a task's head do, and nothing otherwise.
    pub(crate) fn prefix(&self, prefix: &'static str) -> &'static str {
        let headed = self.tensors.names().iter().any(|name| name.starts_with(prefix));
        if headed { prefix } else { "" }
    }

    /// The tensor `name`, which must have the shape `expected`.
    pub(crate) fn tensor(&self, name: &str, expected: &[i64]) -> Result<Tensor, EmbedError> {
        let view = self
            .tensors
            .tensor(name)
            .map_err(|source| self.error(name, source))?;
        let found: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        if found != expected {
            let (path, expected) = (self.path.clone(), expected.to_vec());
            return Err(EmbedError::Shape {
                path,
                tensor: name.to_owned(),
                expected,
                found,
            });
        }
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            other => {
                return Err(EmbedError::Unsupported {
                    path: self.path.clone(),
                    found: format!("{other:?} for {name}"),
                    supported: "F32, F16 or BF16",
                });
            }
        };
        Ok(Tensor::f_from_data_size(view.data(), &found, kind)?
            .f_to_kind(Kind::Float)?
            .f_to_device(self.device)?)
    }

    fn error(&self, tensor: &str, source: SafeTensorError) -> EmbedError {
        EmbedError::Weights {
            path: self.path.clone(),
            tensor: tensor.to_owned(),
            source,
        }
    }
}
