//! Reading `model.safetensors`.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::EmbedError;

/// The tensors of a weights file, handed out in single precision on one device.
pub(crate) struct Weights<'file> {
    path: PathBuf,
    tensors: SafeTensors<'file>,
    /// What stands before every name: a bare encoder has nothing there, one saved under a task's head has `bert.`.
    prefix: &'static str,
    device: Device,
}

impl<'file> Weights<'file> {
    /// `bytes` is the content of the file `path`, which is named in errors.
    pub(crate) fn parse(path: &Path, bytes: &'file [u8], device: Device) -> Result<Self, EmbedError> {
        let path = path.to_path_buf();
        let tensors = SafeTensors::deserialize(bytes).map_err(|source| EmbedError::Weights {
            path: path.clone(),
            tensor: String::new(),
            source,
        })?;
        let headed = tensors.names().iter().any(|name| name.starts_with("bert."));
        Ok(Self {
            path,
            tensors,
            prefix: if headed { "bert." } else { "" },
            device,
        })
    }

    /// The tensor `name`, which must have the shape `expected`.
    pub(crate) fn tensor(&self, name: &str, expected: &[i64]) -> Result<Tensor, EmbedError> {
        let name = format!("{}{name}", self.prefix);
        let view = self
            .tensors
            .tensor(&name)
            .map_err(|source| self.error(&name, source))?;
        let found: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        if found != expected {
            let (path, expected) = (self.path.clone(), expected.to_vec());
            return Err(EmbedError::Shape {
                path,
                tensor: name,
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
