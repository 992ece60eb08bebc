//! A linear layer as its family stores it, with an optional low-rank update.

use tch::{Kind, Tensor};

use crate::Error;

/// How a weight lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[out, in]`, as PyTorch's `Linear`.
    OutIn,
    /// `[in, out]`, as GPT-2's `Conv1D`.
    InOut,
}

/// y = x·Wᵀ + b, and with LoRA + scale · dropout(x)·Aᵀ·Bᵀ.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) layout: Layout,
    pub(crate) adapter: Option<LowRank>,
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
}

impl Linear {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>, layout: Layout) -> Self {
        Self {
            weight,
            bias,
            layout,
            adapter: None,
        }
    }

    pub(crate) fn in_features(&self) -> i64 {
        self.weight.size()[usize::from(self.layout == Layout::OutIn)]
    }

    pub(crate) fn out_features(&self) -> i64 {
        self.weight.size()[usize::from(self.layout == Layout::InOut)]
    }

    /// Applies the layer to `input` `[…, in]` in the input's own precision, whatever precision the weights are kept in.
    pub(crate) fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, Error> {
        let kind = input.kind();
        let weight = cast(&self.weight, kind)?;
        let bias = self.bias.as_ref().map(|bias| cast(bias, kind)).transpose()?;
        let output = match (self.layout, &bias) {
            (Layout::InOut, Some(bias)) => {
                let rows = input.f_reshape([-1, self.in_features()])?;
                let mut shape = input.size();
                shape.pop();
                shape.push(self.out_features());
                bias.f_addmm(&rows, &weight)?.f_view(&shape[..])?
            }
            (Layout::InOut, None) => input.f_matmul(&weight)?,
            (Layout::OutIn, bias) => input.f_linear(&weight, bias.as_ref())?,
        };
        let Some(LowRank {
            down,
            up,
            scale,
            dropout,
        }) = &self.adapter
        else {
            return Ok(output);
        };
        let input = if training && *dropout > 0.0 {
            input.f_dropout(*dropout, true)?
        } else {
            input.shallow_clone()
        };
        let update = input
            .f_linear(&cast(down, kind)?, None::<Tensor>)?
            .f_linear(&cast(up, kind)?, None::<Tensor>)?;
        Ok(output.f_add(&update.f_mul_scalar(*scale)?)?)
    }
}

/// The tensor in another precision; itself where it has that already. Gradients pass through to the original.
pub(crate) fn cast(tensor: &Tensor, kind: Kind) -> Result<Tensor, Error> {
    if tensor.kind() == kind {
        Ok(tensor.shallow_clone())
    } else {
        Ok(tensor.f_to_kind(kind)?)
    }
}
