//! One file per family; what the rest of the crate asks of them all.

mod gpt2;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

pub(crate) use gpt2::Gpt2;

use crate::linear::Linear;
use crate::{Config, Error, KvCache, LeftPadding};

/// The body of a decoder: everything but the output head.
pub(crate) trait Decoder: std::fmt::Debug + Send {
    /// Final hidden states `[rows, tokens, width]` of token ids `[rows, tokens]`, computed in `compute`, after what the
    /// cache holds already.
    fn hidden(
        &self,
        tokens: &Tensor,
        padding: Option<&LeftPadding>,
        cache: Option<&mut KvCache>,
        compute: Kind,
        training: bool,
    ) -> Result<Tensor, Error>;

    /// The input embedding `[vocabulary, width]`, which a tied head shares.
    fn embedding(&self) -> &Tensor;

    /// Every parameter by its `state_dict` name, adapters left out.
    fn parameters_mut(&mut self) -> Vec<(String, &mut Tensor)>;

    /// Every linear layer by its module path.
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)>;
}

/// Weights being handed to a family: each is taken once, by name and expected shape.
#[derive(Debug)]
pub(crate) struct Source {
    tensors: BTreeMap<String, Tensor>,
    file: std::path::PathBuf,
    prefix: &'static str,
}

impl Source {
    pub(crate) fn new(
        file: std::path::PathBuf,
        tensors: BTreeMap<String, Tensor>,
        prefix: &'static str,
    ) -> Self {
        Self {
            tensors,
            file,
            prefix,
        }
    }

    /// Takes the tensor `name`, with or without the family's prefix, checking its shape.
    pub(crate) fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, Error> {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        let tensor = self
            .tensors
            .remove(name)
            .or_else(|| self.tensors.remove(bare))
            .ok_or_else(|| {
                contract::Error::input(
                    &self.file,
                    format!("tensor {name}: expected shape {shape:?}, found no such tensor"),
                )
            })?;
        if tensor.size() != shape {
            let problem = format!(
                "tensor {name}: expected shape {shape:?}, found {:?}",
                tensor.size()
            );
            return Err(contract::Error::input(&self.file, problem).into());
        }
        Ok(tensor)
    }

    /// Refuses what nobody took, unless it is one of the buffers that older files carry.
    pub(crate) fn finish(mut self, ignored: &[&str]) -> Result<(), Error> {
        self.tensors
            .retain(|name, _| !ignored.iter().any(|ending| name.ends_with(ending)));
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => {
                let problem = format!(
                    "tensor {name}: expected no such tensor for this model_type and number of layers"
                );
                Err(contract::Error::input(&self.file, problem).into())
            }
        }
    }
}

/// Normally distributed weights for a new model, from LibTorch's seeded generator.
pub(crate) fn normal(shape: &[i64], deviation: f64, device: Device) -> Result<Tensor, Error> {
    Ok(Tensor::f_randn(shape, (Kind::Float, device))?.f_mul_scalar(deviation)?)
}

/// Builds the body that `config` names from weights.
pub(crate) fn load(config: &Config, source: &mut Source) -> Result<Box<dyn Decoder>, Error> {
    Ok(Box::new(Gpt2::load(config, source)?))
}
