//! What the tensors of each kind of adapter make of a layer: a file for each kind that `model-folder` knows.

mod adalora;
mod fourierft;
mod hra;
mod ia3;
mod loha;
mod lokr;
mod lora;
mod oft;
mod vblora;
mod vera;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use model_folder::adapter::{Change, Residual};
use tch::{Kind, Tensor};

use crate::Error;
use crate::parts::{Linear, LowRank};

/// What becomes of a layer.
pub(crate) enum Effect {
    /// A low-rank update is kept beside its weight.
    LowRank {
        factors: LowRank,
        /// The bias of B.
        bias: Option<Tensor>,
        /// What training had taken out of the weight.
        residual: Residual,
    },
    /// It has another weight `[out, in]`, in float32, and another bias where there is one here.
    Replaced { weight: Tensor, bias: Option<Tensor> },
}

impl Effect {
    /// A low-rank update of a layer that is otherwise as it was.
    fn low_rank(down: Tensor, up: Tensor, scale: f64) -> Self {
        Self::LowRank {
            factors: LowRank {
                down,
                up,
                scale,
                dropout: 0.0,
                magnitude: None,
            },
            bias: None,
            residual: Residual::Whole,
        }
    }

    /// The weight with something added to it.
    fn added(layer: &Linear, update: &Tensor) -> Result<Self, Error> {
        let weight = layer.float_weight()?;
        Ok(Self::Replaced {
            weight: weight.f_add(&update.f_to_device(weight.device())?)?,
            bias: None,
        })
    }
}

/// What a change makes of a layer.
pub(crate) fn effect(change: &Change, layer: &Linear, stored: &Stored<'_>) -> Result<Effect, Error> {
    match change {
        Change::LowRank(change) => lora::effect(change, stored),
        Change::AdaLora(change) => adalora::effect(change, stored),
        Change::Vera(change) => vera::effect(change, layer, stored),
        Change::Ia3(change) => ia3::effect(change, layer, stored),
        Change::LoHa(change) => loha::effect(change, layer, stored),
        Change::LoKr(change) => lokr::effect(change, layer, stored),
        Change::Oft(change) => oft::effect(change, layer, stored),
        Change::Hra(change) => hra::effect(change, layer, stored),
        Change::FourierFt(change) => fourierft::effect(change, layer, stored),
        Change::VbLora(change) => vblora::effect(change, stored),
    }
}

/// The tensors of an adapter's file, in float32 on the CPU.
pub(crate) struct Stored<'a> {
    pub(super) file: &'a Path,
    pub(super) tensors: BTreeMap<String, Tensor>,
    /// Tensors that were drawn, which modules share.
    pub(super) drawn: RefCell<BTreeMap<String, Vec<Tensor>>>,
}

impl Stored<'_> {
    /// A tensor by its name in the file.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        let missing = || contract::Error::input(self.file, format!("tensor {name}: found no such tensor"));
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        Ok(tensor.f_to_kind(Kind::Float)?)
    }

    /// What `draw` draws from LibTorch's generator, once for each key.
    fn drawn(
        &self,
        key: &str,
        draw: impl FnOnce() -> Result<Vec<Tensor>, Error>,
    ) -> Result<Vec<Tensor>, Error> {
        if !self.drawn.borrow().contains_key(key) {
            self.drawn.borrow_mut().insert(key.to_owned(), draw()?);
        }
        let drawn = self.drawn.borrow();
        Ok(drawn[key].iter().map(Tensor::shallow_clone).collect())
    }
}
