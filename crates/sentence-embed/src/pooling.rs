//! From one vector per token to one vector per sentence.

use tch::{Kind, TchError, Tensor};

use crate::packing::Run;

/// Keeps the division below from zero; the value of sentence-transformers.
const SMALLEST_NORM: f64 = 1e-12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The mean over the tokens of the sentence, special tokens among them.
    Mean,
    /// The vector of the first token, `[CLS]`.
    FirstToken,
}

impl Pooling {
    /// Sentence vectors of length 1, `[sequences, hidden]`, from token vectors `[tokens, hidden]`.
    pub(crate) fn pool(self, states: &Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        let pooled = runs
            .iter()
            .map(|run| {
                let rows = states.f_narrow(0, run.start, run.rows())?;
                let tokens = rows.f_reshape([run.sequences, run.length, -1])?;
                match self {
                    Self::Mean => tokens.f_mean_dim(1, false, Kind::Float),
                    Self::FirstToken => tokens.f_select(1, 0),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let pooled = Tensor::f_cat(&pooled, 0)?;
        let norm = pooled
            .f_norm_scalaropt_dim(2, 1, true)?
            .f_clamp_min(SMALLEST_NORM)?;
        pooled.f_div(&norm)
    }
}
