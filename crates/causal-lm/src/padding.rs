//! Rows of different lengths in one batch: padded on the left, so that the last column is every row's newest token.

use tch::{Device, Kind, Tensor};

use crate::Error;

/// How many padding tokens stand before each row of a batch.
#[derive(Debug)]
pub struct LeftPadding {
    counts: Tensor,
}

impl LeftPadding {
    /// Padding of `counts[row]` tokens; `None` where no row has any, since attention then needs no mask.
    pub fn new(counts: &[i64], device: Device) -> Option<Self> {
        counts.iter().any(|&count| count > 0).then(|| Self {
            counts: Tensor::from_slice(counts).to_device(device),
        })
    }

    /// Positions `[rows, length]` of the tokens in columns `past..past + length`, counted from each row's first token.
    pub(crate) fn positions(&self, past: i64, length: i64) -> Result<Tensor, Error> {
        let columns = Tensor::f_arange_start(past, past + length, (Kind::Int64, self.counts.device()))?;
        Ok(columns
            .f_unsqueeze(0)?
            .f_sub(&self.counts.f_unsqueeze(1)?)?
            .f_clamp_min(0)?)
    }

    /// The columns `[rows, count]` of the first tokens of each row.
    pub(crate) fn first_columns(&self, count: i64) -> Result<Tensor, Error> {
        let columns = Tensor::f_arange(count, (Kind::Int64, self.counts.device()))?;
        Ok(self.counts.f_unsqueeze(1)?.f_add(&columns.f_unsqueeze(0)?)?)
    }

    /// Which keys each query may attend to, `[rows, 1, length, past + length]`: its row's own tokens up to itself. A padding
    /// query attends to itself, since attention to nothing has no value.
    pub(crate) fn mask(&self, past: i64, length: i64) -> Result<Tensor, Error> {
        let device = self.counts.device();
        let queries =
            Tensor::f_arange_start(past, past + length, (Kind::Int64, device))?.f_view([1, length, 1])?;
        let keys = Tensor::f_arange(past + length, (Kind::Int64, device))?.f_view([1, 1, past + length])?;
        let begun = keys.f_ge_tensor(&self.counts.f_view([-1, 1, 1])?)?;
        let visible = keys.f_le_tensor(&queries)?.f_logical_and(&begun)?;
        Ok(visible
            .f_logical_or(&keys.f_eq_tensor(&queries)?)?
            .f_unsqueeze(1)?)
    }

    /// The padding of some of the rows, for a batch that has lost the others.
    ///
    /// # Errors
    /// [`Error::Torch`] where a row does not exist.
    pub fn select(&self, rows: &Tensor) -> Result<Self, Error> {
        Ok(Self {
            counts: self.counts.f_index_select(0, rows)?,
        })
    }
}
