//! Cross-entropy of the predictions that count.

use causal_lm::{CausalLm, Error};
use tch::{Reduction, Tensor};

use crate::Batch;

/// Sum over a batch's counted predictions of −ln p(target), in nats, in float32.
///
/// The head is applied at counted places alone: a prompt or padding costs no logits.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn sum_of_losses(model: &CausalLm, batch: &Batch) -> Result<Tensor, Error> {
    let hidden = model.hidden_in_training(&batch.tokens)?;
    let width = hidden.size3()?.2;
    let counted = hidden.f_reshape([-1, width])?.f_index_select(0, &batch.places)?;
    let logits = model.logits(&counted)?;
    Ok(logits.f_cross_entropy_loss(&batch.targets, None::<Tensor>, Reduction::Sum, -100, 0.0)?)
}
