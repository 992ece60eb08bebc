//! Where a family's parameters come from: tensors of a file, each taken once, or a seeded random start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tch::{Device, Kind, Tensor};

use super::{Embedding, Layout, Linear, Norm};
use crate::Error;

/// How a parameter of a new model starts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Zero,
    One,
    /// Normally distributed, with this deviation.
    Normal(f64),
}

/// Parameters being handed to a family.
#[derive(Debug)]
pub(crate) enum Source {
    File {
        file: PathBuf,
        tensors: BTreeMap<String, Tensor>,
        /// What names begin with in files of this family, unless it was left out.
        prefix: &'static str,
    },
    /// LibTorch's seeded generator.
    Random { device: Device },
}

impl Source {
    pub(crate) fn embedding(
        &mut self,
        path: &str,
        entries: usize,
        width: usize,
        start: Start,
    ) -> Result<Embedding, Error> {
        let shape = [entries as i64, width as i64];
        Ok(Embedding {
            weight: self.take(&format!("{path}.weight"), &shape, start)?,
            path: path.to_owned(),
        })
    }

    /// A linear layer `from → to`; a bias of a new one starts at 0.
    pub(crate) fn linear(
        &mut self,
        path: String,
        (from, to): (usize, usize),
        bias: bool,
        layout: Layout,
        start: Start,
    ) -> Result<Linear, Error> {
        let (from, to) = (from as i64, to as i64);
        let shape = match layout {
            Layout::OutIn => [to, from],
            Layout::InOut => [from, to],
        };
        let mut weight = self.take(&format!("{path}.weight"), &shape, start)?;
        if layout == Layout::InOut {
            // Within its own memory: weights that come and go would leave holes that nothing fits into.
            let transposed = weight.f_tr()?.f_contiguous()?;
            let mut stored = weight.f_view([to, from])?;
            stored.f_copy_(&transposed)?;
            weight = stored.f_tr()?;
        }
        let bias = bias
            .then(|| self.take(&format!("{path}.bias"), &[to], Start::Zero))
            .transpose()?;
        Ok(Linear::new(path, weight, bias, layout))
    }

    pub(crate) fn layer_norm(&mut self, path: String, width: usize, epsilon: f64) -> Result<Norm, Error> {
        let mut norm = self.root_mean_square_norm(path, width, epsilon)?;
        let name = format!("{}.bias", norm.path);
        norm.bias = Some(self.take(&name, &[width as i64], Start::Zero)?);
        Ok(norm)
    }

    pub(crate) fn root_mean_square_norm(
        &mut self,
        path: String,
        width: usize,
        epsilon: f64,
    ) -> Result<Norm, Error> {
        Ok(Norm {
            weight: self.take(&format!("{path}.weight"), &[width as i64], Start::One)?,
            bias: None,
            epsilon,
            path,
        })
    }

    /// Takes the tensor `name`, with or without the family's prefix, checking its shape; or makes a new one.
    pub(crate) fn take(&mut self, name: &str, shape: &[i64], start: Start) -> Result<Tensor, Error> {
        match self {
            Self::Random { device } => {
                let options = (Kind::Float, *device);
                Ok(match start {
                    Start::Zero => Tensor::f_zeros(shape, options)?,
                    Start::One => Tensor::f_ones(shape, options)?,
                    Start::Normal(deviation) => Tensor::f_randn(shape, options)?.f_mul_scalar(deviation)?,
                })
            }
            Self::File {
                file,
                tensors,
                prefix,
            } => {
                let bare = name.strip_prefix(*prefix).unwrap_or(name);
                let tensor = tensors.remove(name).or_else(|| tensors.remove(bare));
                let problem = match tensor {
                    Some(tensor) if tensor.size() == shape => return Ok(tensor),
                    Some(tensor) => {
                        format!(
                            "tensor {name}: expected shape {shape:?}, found {:?}",
                            tensor.size()
                        )
                    }
                    None => format!("tensor {name}: expected shape {shape:?}, found no such tensor"),
                };
                Err(contract::Error::input(file, problem).into())
            }
        }
    }

    /// Refuses what nobody took, unless it is one of the buffers that older files carry.
    pub(crate) fn finish(self, buffers: &[&str]) -> Result<(), Error> {
        let Self::File { file, tensors, .. } = self else {
            return Ok(());
        };
        let foreign = tensors
            .keys()
            .find(|name| !buffers.iter().any(|ending| name.ends_with(ending)));
        match foreign {
            None => Ok(()),
            Some(name) => {
                let problem = format!(
                    "tensor {name}: expected no such tensor for this model_type and number of layers"
                );
                Err(contract::Error::input(file, problem).into())
            }
        }
    }
}
