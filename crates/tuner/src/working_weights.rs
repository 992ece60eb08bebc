//! The weights that training changes, and what the model computes with.
//!
//! Weights are kept and changed in float32: in half precision a step of the usual size would be rounded away. Where the model computes in
//! half precision on a GPU, it is given copies, renewed once a step; else each pass would make them anew, and again for every block that is
//! computed twice.

use causal_lm::CausalLm;
use contract::Error;
use tch::{Kind, Tensor};
use torch_device::operations;

/// Named weights in float32, with the copies that the model computes with where these are others.
#[derive(Debug)]
pub(crate) struct WorkingWeights {
    names: Vec<String>,
    masters: Vec<Tensor>,
    copies: Option<Vec<Tensor>>,
}

impl WorkingWeights {
    /// Of all that a model lets change. With `are_copied`, the model is given copies in the precision that it computes in, where that is another.
    ///
    /// # Errors
    /// [`Error::Run`] where memory runs out.
    pub(crate) fn new(model: &mut CausalLm, are_copied: bool) -> Result<Self, Error> {
        let (names, masters): (Vec<String>, Vec<Tensor>) = model.trainable().into_iter().unzip();
        let compute = model.compute();
        let mut weights = Self {
            names,
            masters,
            copies: None,
        };
        if are_copied && compute != Kind::Float {
            let copies = weights.masters.iter().map(|master| {
                let copy = master.f_detach()?.f_to_kind(compute)?;
                copy.f_set_requires_grad(true)
            });
            let copies = copies
                .collect::<Result<Vec<_>, _>>()
                .map_err(causal_lm::Error::from)?;
            put_into(model, &weights.names, &copies);
            weights.copies = Some(copies);
        }
        Ok(weights)
    }

    /// The weights in float32, by name.
    pub(crate) fn masters(&self) -> Vec<(String, Tensor)> {
        let tensors = self.masters.iter().map(Tensor::shallow_clone);
        self.names.iter().cloned().zip(tensors).collect()
    }

    /// What the model computes with, by name, in the same order.
    pub(crate) fn working(&self) -> Vec<(String, Tensor)> {
        let tensors = self.copies.as_ref().unwrap_or(&self.masters);
        let tensors = tensors.iter().map(Tensor::shallow_clone);
        self.names.iter().cloned().zip(tensors).collect()
    }

    /// Numbers in them.
    pub(crate) fn count(&self) -> usize {
        self.masters.iter().map(Tensor::numel).sum()
    }

    /// Whether the weight of a module, or an adapter of it, is among them.
    pub(crate) fn changes(&self, module: &str) -> bool {
        self.names.iter().any(|name| {
            name.strip_prefix(module)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// Renews the copies after weights were changed.
    ///
    /// # Errors
    /// [`Error::Run`] where the device fails.
    pub(crate) fn renew(&self) -> Result<(), Error> {
        let Some(copies) = &self.copies else { return Ok(()) };
        let _guard = tch::no_grad_guard();
        Ok(operations::copy(copies, &self.masters).map_err(causal_lm::Error::from)?)
    }

    /// Does something with a model that has the weights themselves in place of the copies.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn with_masters<M: AsMut<CausalLm>, T>(
        &self,
        holder: &mut M,
        work: impl FnOnce(&mut M) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(copies) = &self.copies else {
            return work(holder);
        };
        put_into(holder.as_mut(), &self.names, &self.masters);
        let result = work(holder);
        put_into(holder.as_mut(), &self.names, copies);
        result
    }
}

/// Puts tensors in the places of those of their names.
fn put_into(model: &mut CausalLm, names: &[String], tensors: &[Tensor]) {
    let place_of = |name: &str| names.iter().position(|known| known == name);
    for parameter in model.parameters_mut() {
        if let Some(place) = place_of(&parameter.name) {
            *parameter.tensor = tensors[place].shallow_clone();
        }
    }
    for (name, tensor) in model.adapter_mut() {
        if let Some(place) = place_of(&name) {
            *tensor = tensors[place].shallow_clone();
        }
    }
}
