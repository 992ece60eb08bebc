//! Where a family's parameters come from: tensors of a file, each taken once, or a seeded random start. Names and shapes are
//! those of the list of modules in `model-folder`, which has held the file to them.

use std::collections::BTreeMap;

use model_folder::{Config, Module, RmsNormForm, Role};
use tch::{Device, Kind, Tensor};

use super::{Embedding, Layout, Linear, Norm, NormKind};
use crate::Error;

/// How a parameter of a new model starts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    Zero,
    One,
    /// Normally distributed, with this deviation.
    Normal(f64),
}

/// Parameters being handed to a family.
#[derive(Debug)]
pub(crate) struct WeightSource {
    modules: BTreeMap<String, Module>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// Tensors of a file, by their names in the `state_dict`.
    Stored(BTreeMap<String, Tensor>),
    /// LibTorch's seeded generator.
    Random(Device),
}

impl WeightSource {
    /// The tensors of a file.
    pub(crate) fn stored(config: &Config, tensors: BTreeMap<String, Tensor>) -> Self {
        Self::new(config, Values::Stored(tensors))
    }

    /// A random start from LibTorch's seeded generator.
    pub(crate) fn random(config: &Config, device: Device) -> Self {
        Self::new(config, Values::Random(device))
    }

    fn new(config: &Config, values: Values) -> Self {
        let modules = config.modules().into_iter();
        Self {
            modules: modules.map(|module| (module.path.clone(), module)).collect(),
            values,
        }
    }

    pub(crate) fn embedding(&mut self, path: &str, start: Init) -> Result<Embedding, Error> {
        let module = self.module(path)?;
        Ok(Embedding {
            weight: self.weight(&module, start)?,
            path: module.path,
        })
    }

    /// A linear layer; a bias of a new one starts at 0.
    pub(crate) fn linear(&mut self, path: &str, start: Init) -> Result<Linear, Error> {
        let module = self.module(path)?;
        let mut weight = self.weight(&module, start)?;
        let mut layout = Layout::OutIn;
        if let Role::Linear {
            inputs,
            outputs,
            transposed: true,
        } = module.role
        {
            layout = Layout::InOut;
            // Within its own memory: weights that come and go would leave holes that nothing fits into.
            let transposed = weight.f_tr()?.f_contiguous()?;
            let mut stored = weight.f_view([outputs as i64, inputs as i64])?;
            stored.f_copy_(&transposed)?;
            weight = stored.f_tr()?;
        }
        let bias = self.bias(&module)?;
        Ok(Linear::new(module.path, weight, bias, layout))
    }

    /// A layer norm.
    pub(crate) fn layer_norm(&mut self, path: &str, epsilon: f64) -> Result<Norm, Error> {
        let module = self.module(path)?;
        let bias = self.bias(&module)?;
        let bias = bias.ok_or_else(|| contract::Error::Run(format!("{path}: a layer norm has a bias")))?;
        self.norm(module, NormKind::Layer { bias }, epsilon)
    }

    /// A root-mean-square norm.
    pub(crate) fn rms_norm(&mut self, path: &str, form: RmsNormForm, epsilon: f64) -> Result<Norm, Error> {
        let module = self.module(path)?;
        self.norm(module, NormKind::RootMeanSquare(form), epsilon)
    }

    fn norm(&mut self, module: Module, kind: NormKind, epsilon: f64) -> Result<Norm, Error> {
        Ok(Norm {
            weight: self.weight(&module, Init::One)?,
            kind,
            epsilon,
            path: module.path,
        })
    }

    /// The LM head `[vocabulary, width]`, where it is one of its own.
    pub(crate) fn head(&mut self) -> Result<Option<Tensor>, Error> {
        let mut modules = self.modules.values();
        let head = modules.find(|module| matches!(module.role, Role::Head { .. }));
        match head.cloned() {
            Some(module) => self.weight(&module, Init::Normal(0.02)).map(Some),
            None => Ok(None),
        }
    }

    fn module(&self, path: &str) -> Result<Module, Error> {
        let module = self.modules.get(path).cloned();
        module.ok_or_else(|| {
            Error::from(contract::Error::Run(format!(
                "no module {path} in this family's list"
            )))
        })
    }

    fn weight(&mut self, module: &Module, start: Init) -> Result<Tensor, Error> {
        self.take(&format!("{}.weight", module.path), &module.weight_shape(), start)
    }

    fn bias(&mut self, module: &Module) -> Result<Option<Tensor>, Error> {
        let width = module.bias_width();
        width
            .map(|width| self.take(&format!("{}.bias", module.path), &[width], Init::Zero))
            .transpose()
    }

    fn take(&mut self, name: &str, shape: &[usize], start: Init) -> Result<Tensor, Error> {
        match &mut self.values {
            Values::Random(device) => {
                let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
                let options = (Kind::Float, *device);
                Ok(match start {
                    Init::Zero => Tensor::f_zeros(&shape, options)?,
                    Init::One => Tensor::f_ones(&shape, options)?,
                    Init::Normal(deviation) => Tensor::f_randn(&shape, options)?.f_mul_scalar(deviation)?,
                })
            }
            Values::Stored(tensors) => tensors.remove(name).ok_or_else(|| {
                contract::Error::Run(format!("tensor {name} was taken twice, or is not there")).into()
            }),
        }
    }
}
