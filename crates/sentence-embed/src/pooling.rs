//! From one vector per token to one vector per sentence.

use tch::{Kind, TchError, Tensor};

/// Keeps the division below from zero; the value of sentence-transformers.
const SMALLEST_NORM: f64 = 1e-12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The mean over the tokens of the sentence, special tokens among them, padding not.
    Mean,
    /// The vector of the first token, `[CLS]`.
    FirstToken,
}

impl Pooling {
    /// Sentence vectors of length 1, `[batch, hidden]`, from token vectors `[batch, length, hidden]` and a mask
    /// `[batch, length]` that is true at the tokens; every row needs one.
    pub(crate) fn pool(self, states: &Tensor, mask: &Tensor) -> Result<Tensor, TchError> {
        let pooled = match self {
            Self::Mean => {
                let mask = mask.f_to_kind(Kind::Float)?.f_unsqueeze(2)?;
                let sum = states.f_mul(&mask)?.f_sum_dim_intlist(1, false, None)?;
                sum.f_div(&mask.f_sum_dim_intlist(1, false, None)?)?
            }
            Self::FirstToken => states.f_select(1, 0)?,
        };
        let norm = pooled
            .f_norm_scalaropt_dim(2, 1, true)?
            .f_clamp_min(SMALLEST_NORM)?;
        pooled.f_div(&norm)
    }
}
