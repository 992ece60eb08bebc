//! A linear layer as its family stores it, with an optional low-rank update.

use cpu_kernels::{Prepacked, is_few_rows, product};
use model_folder::adapter::Residual;
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::adapter::Updated;
use crate::adapter::kinds::Effect;

/// How a weight lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[out, in]`, as PyTorch's `Linear`.
    OutIn,
    /// `[in, out]`, as GPT-2's `Conv1D`. In memory the transpose is contiguous, which is what a product works on.
    InOut,
}

/// y = x·Wᵀ + b, and with LoRA + scale · dropout(x)·Aᵀ·Bᵀ.
#[derive(Debug)]
pub(crate) struct Linear {
    /// Path of the module, as the names of its parameters have it.
    pub(crate) path: String,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) layout: Layout,
    pub(crate) adapter: Option<LowRank>,
    /// What an adapter adds to the weight, `[out, in]`, where the weight's precision would round it away.
    pub(crate) difference: Option<Tensor>,
    /// The weight, prepacked for few rows, where the model was prepared to decode.
    pub(crate) prepacked: Option<Prepacked>,
}

/// The two factors of a low-rank update (Hu et al. 2021).
#[derive(Debug)]
pub(crate) struct LowRank {
    /// A, `[rank, in]`.
    pub(crate) down: Tensor,
    /// B, `[out, rank]`.
    pub(crate) up: Tensor,
    /// alpha / r, or alpha / √r.
    pub(crate) scale: f64,
    /// Share of the input dropped in training.
    pub(crate) dropout: f64,
    /// DoRA (Liu et al. 2024): the norm `[out]` that each row of W + scale · B·A is given.
    pub(crate) magnitude: Option<Tensor>,
}

impl Linear {
    pub(crate) fn new(path: String, weight: Tensor, bias: Option<Tensor>, layout: Layout) -> Self {
        Self {
            path,
            weight,
            bias,
            layout,
            adapter: None,
            difference: None,
            prepacked: None,
        }
    }

    /// Takes what an adapter's file makes of it.
    pub(crate) fn take_effect(&mut self, effect: Effect) -> Result<Updated, Error> {
        self.prepacked = None;
        match effect {
            Effect::LowRank {
                factors,
                bias,
                residual,
            } => {
                let is_merged = bias.is_some() || residual != Residual::Whole;
                let factors = factors.on(self.weight.device())?;
                // Training may have left a layer nothing (AdaLoRA).
                let is_empty = factors.down.size2()?.0 == 0;
                let has_effect = !is_empty && self.take_low_rank(factors, bias, residual)?;
                Ok(Updated {
                    has_effect,
                    is_merged,
                })
            }
            Effect::Replaced { weight, bias } => {
                let has_effect = self.take_weight(&weight, bias)?;
                Ok(Updated {
                    has_effect,
                    is_merged: true,
                })
            }
        }
    }

    /// Takes another weight `[out, in]`, in float32, and another bias where there is one. What half precision would round away
    /// of the difference is kept beside the weight. Returns whether the layer is another than it was.
    fn take_weight(&mut self, weight: &Tensor, bias: Option<Tensor>) -> Result<bool, Error> {
        let difference = weight.f_sub(&self.float_weight()?)?;
        let mut changes = has_nonzero(&difference)?;
        if self.weight.kind() == Kind::Float {
            self.set_weight(weight)?;
        } else {
            self.difference = Some(difference.f_to_kind(self.weight.kind())?);
        }
        if let Some(bias) = bias {
            let old = self.bias.as_ref().map(|bias| bias.f_to_kind(Kind::Float));
            changes |= match old.transpose()? {
                Some(old) => !old.f_equal(&bias)?,
                None => has_nonzero(&bias)?,
            };
            self.bias = Some(bias);
        }
        Ok(changes)
    }

    /// Puts a weight `[out, in]` in the place of its own, in its own precision and layout.
    fn set_weight(&mut self, weight: &Tensor) -> Result<(), Error> {
        let weight = weight.f_to_kind(self.weight.kind())?;
        self.weight = match self.layout {
            Layout::OutIn => weight,
            Layout::InOut => weight.f_contiguous()?.f_tr()?,
        };
        Ok(())
    }

    /// The weight as `[out, in]` in float32.
    pub(crate) fn float_weight(&self) -> Result<Tensor, Error> {
        Ok(self.out_in_weight()?.f_to_kind(Kind::Float)?)
    }

    /// Takes a low-rank update of an adapter's file, with the bias of B where it has one, and takes out of the weight what training
    /// had taken out. Returns whether the layer is another than it was.
    fn take_low_rank(
        &mut self,
        factors: LowRank,
        bias: Option<Tensor>,
        residual: Residual,
    ) -> Result<bool, Error> {
        let mut changes = factors.has_effect()?;
        if residual != Residual::Whole {
            let weight = self.float_weight()?;
            let (rank, _) = factors.down.size2()?;
            let taken = match residual {
                Residual::Pissa => largest_part(&weight, rank)?,
                _ => first_columns(&weight, rank)?.f_mul_scalar(factors.scale)?,
            };
            let added = factors.product()?.f_sub(&taken)?;
            changes = is_larger(&added, &taken)?;
            self.set_weight(&weight.f_sub(&taken)?)?;
        }
        if let Some(added) = bias {
            let added = added
                .f_to_device(self.weight.device())?
                .f_mul_scalar(factors.scale)?;
            changes |= has_nonzero(&added)?;
            self.bias = Some(match &self.bias {
                Some(bias) => bias.f_to_kind(Kind::Float)?.f_add(&added)?,
                None => added,
            });
        }
        if let Some(magnitude) = &factors.magnitude {
            let norm = self.updated_norm(&factors)?;
            changes |= is_larger(&magnitude.f_sub(&norm)?, &norm)?;
        }
        self.adapter = Some(factors);
        Ok(changes)
    }

    /// The weight as `[out, in]`.
    fn out_in_weight(&self) -> Result<Tensor, Error> {
        Ok(match self.layout {
            Layout::OutIn => self.weight.shallow_clone(),
            Layout::InOut => self.weight.f_tr()?,
        })
    }

    /// Prepacks the weight for decoding. A layer with an adapter goes without.
    pub(crate) fn prepack(&mut self) -> Result<(), Error> {
        if self.adapter.is_none() && self.difference.is_none() {
            self.prepacked = Prepacked::new(&self.out_in_weight()?, self.bias.as_ref())?;
        }
        Ok(())
    }

    pub(crate) fn in_features(&self) -> i64 {
        self.weight.size()[usize::from(self.layout == Layout::OutIn)]
    }

    pub(crate) fn out_features(&self) -> i64 {
        self.weight.size()[usize::from(self.layout == Layout::InOut)]
    }

    /// Applies the layer to `input` `[…, in]` in the input's own precision, whatever precision the weights are kept in.
    pub(crate) fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, Error> {
        if let Some(prepacked) = self.prepacked.as_ref().filter(|_| is_few_rows(input)) {
            return Ok(prepacked.multiply(input)?);
        }
        let bias = self
            .bias
            .as_ref()
            .map(|bias| cast(bias, input.kind()))
            .transpose()?;
        let Some(adapter) = &self.adapter else {
            return self.multiply(input, bias.as_ref());
        };
        let dropped = if training && adapter.dropout > 0.0 {
            Some(input.f_dropout(adapter.dropout, true)?)
        } else {
            None
        };
        let Some(magnitude) = &adapter.magnitude else {
            let product = self.multiply(input, bias.as_ref())?;
            return adapter.add_to(&product, dropped.as_ref().unwrap_or(input));
        };
        let update = adapter.update(dropped.as_ref().unwrap_or(input))?;
        // The norm counts as a constant in the backward pass (section 4.3 of the paper).
        let norm = tch::no_grad(|| self.updated_norm(adapter))?;
        let factor = cast(&magnitude.f_div(&norm)?, input.kind())?;
        let product = self.multiply(input, None)?;
        let scaled = match &dropped {
            None => product.f_add(&update)?.f_mul(&factor)?,
            // As in peft, the direction is taken from the dropped input and the rest from the whole one.
            Some(dropped) => {
                let product_of_dropped = self.multiply(dropped, None)?;
                product
                    .f_add(&product_of_dropped.f_mul(&factor.f_sub_scalar(1.0)?)?)?
                    .f_add(&update.f_mul(&factor)?)?
            }
        };
        Ok(match bias {
            Some(bias) => scaled.f_add(&bias)?,
            None => scaled,
        })
    }

    fn multiply(&self, input: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, Error> {
        let weight = cast(&self.weight, input.kind())?;
        let result = match self.layout {
            Layout::OutIn => product(input, &weight, bias)?,
            Layout::InOut => product(input, &weight.f_tr()?, bias)?,
        };
        match &self.difference {
            None => Ok(result),
            Some(difference) => {
                let added = product(input, &cast(difference, input.kind())?, None)?;
                Ok(result.f_add(&added)?)
            }
        }
    }

    /// Norms `[out]` of the rows of W + scale · B·A, in float32.
    pub(crate) fn updated_norm(&self, adapter: &LowRank) -> Result<Tensor, Error> {
        let updated = self.float_weight()?.f_add(&adapter.product()?)?;
        Ok(updated.f_norm_scalaropt_dim(2.0, [1].as_slice(), false)?)
    }

    /// Puts the adapter's update into the weight; the layer has no adapter afterwards.
    pub(crate) fn merge(&mut self) -> Result<(), Error> {
        if let Some(difference) = self.difference.take() {
            self.prepacked = None;
            self.set_weight(&self.float_weight()?.f_add(&difference)?)?;
        }
        let Some(adapter) = self.adapter.take() else {
            return Ok(());
        };
        self.prepacked = None;
        let update = adapter.product()?;
        let (update, factor) = match (&adapter.magnitude, self.layout) {
            (None, Layout::OutIn) => (update, None),
            (None, Layout::InOut) => (update.f_tr()?, None),
            (Some(magnitude), layout) => {
                let factor = magnitude.f_div(&self.updated_norm(&adapter)?)?;
                match layout {
                    Layout::OutIn => (update, Some(factor.f_unsqueeze(1)?)),
                    Layout::InOut => (update.f_tr()?, Some(factor.f_unsqueeze(0)?)),
                }
            }
        };
        // In float32, since half precision would round a small update away before it is added.
        let mut merged = self.weight.f_to_kind(Kind::Float)?.f_add(&update)?;
        if let Some(factor) = factor {
            merged = merged.f_mul(&factor)?;
        }
        self.weight = merged.f_to_kind(self.weight.kind())?;
        Ok(())
    }
}

impl LowRank {
    /// `product` `[…, out]` + scale · x·Aᵀ·Bᵀ, added while the second product is taken: a wide result is written once.
    fn add_to(&self, product: &Tensor, input: &Tensor) -> Result<Tensor, Error> {
        let kind = input.kind();
        let (rank, from) = self.down.size2()?;
        let narrow = input
            .f_reshape([-1, from])?
            .f_linear(&cast(&self.down, kind)?, None::<Tensor>)?
            .f_mul_scalar(self.scale)?
            .f_view([-1, rank])?;
        let to = self.up.size2()?.0;
        let wide = product
            .f_reshape([-1, to])?
            .f_addmm(&narrow, &cast(&self.up, kind)?.f_tr()?)?;
        Ok(wide.f_view(&product.size()[..])?)
    }

    /// scale · x·Aᵀ·Bᵀ in the input's precision.
    fn update(&self, input: &Tensor) -> Result<Tensor, Error> {
        let kind = input.kind();
        let update = input
            .f_linear(&cast(&self.down, kind)?, None::<Tensor>)?
            .f_linear(&cast(&self.up, kind)?, None::<Tensor>)?;
        Ok(update.f_mul_scalar(self.scale)?)
    }

    /// The same on a device.
    pub(crate) fn on(mut self, device: Device) -> Result<Self, Error> {
        self.down = self.down.f_to_device(device)?;
        self.up = self.up.f_to_device(device)?;
        let magnitude = self.magnitude.map(|magnitude| magnitude.f_to_device(device));
        self.magnitude = magnitude.transpose()?;
        Ok(self)
    }

    /// Whether scale · B·A is anything but zero.
    pub(crate) fn has_effect(&self) -> Result<bool, Error> {
        Ok(self.scale != 0.0 && has_nonzero(&self.down)? && has_nonzero(&self.up)?)
    }

    /// scale · B·A, `[out, in]`, in float32.
    pub(crate) fn product(&self) -> Result<Tensor, Error> {
        let (up, down) = (cast(&self.up, Kind::Float)?, cast(&self.down, Kind::Float)?);
        Ok(up.f_matmul(&down)?.f_mul_scalar(self.scale)?)
    }
}

/// The part of a matrix with its `rank` largest singular values.
fn largest_part(weight: &Tensor, rank: i64) -> Result<Tensor, Error> {
    let (left, values, right) = weight.f_svd(true, true)?;
    let left = left.f_narrow(1, 0, rank)?.f_mul(&values.f_narrow(0, 0, rank)?)?;
    Ok(left.f_matmul(&right.f_narrow(1, 0, rank)?.f_tr()?)?)
}

/// The product of the first `rank` columns of Q with the first rows of R, of a matrix's QR decomposition.
fn first_columns(weight: &Tensor, rank: i64) -> Result<Tensor, Error> {
    let (orthogonal, upper) = Tensor::f_linalg_qr(weight, "reduced")?;
    Ok(orthogonal
        .f_narrow(1, 0, rank)?
        .f_matmul(&upper.f_narrow(0, 0, rank)?)?)
}

fn has_nonzero(tensor: &Tensor) -> Result<bool, Error> {
    Ok(tensor.f_count_nonzero(None::<i64>)?.f_int64_value(&[])? != 0)
}

/// Whether a difference is larger than what rounding makes of `compared`.
fn is_larger(difference: &Tensor, compared: &Tensor) -> Result<bool, Error> {
    let size = |tensor: &Tensor| tensor.f_norm()?.f_double_value(&[]);
    Ok(size(difference)? > 1e-4 * size(compared)?)
}

/// The tensor in another precision; itself where it has that already. Gradients pass through to the original.
pub(crate) fn cast(tensor: &Tensor, kind: Kind) -> Result<Tensor, Error> {
    if tensor.kind() == kind {
        Ok(tensor.shallow_clone())
    } else {
        Ok(tensor.f_to_kind(kind)?)
    }
}
