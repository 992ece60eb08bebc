//! Loss on held-out text.

use causal_lm::{CausalLm, Error};

use crate::{Rows, loss};

/// Mean loss in nats per counted token over all rows; `None` where there are none.
///
/// # Errors
/// [`Error::Torch`] where memory runs out.
pub(crate) fn mean_loss(model: &CausalLm, rows: &Rows, batch_size: usize) -> Result<Option<f64>, Error> {
    let _guard = tch::no_grad_guard();
    let (mut sum, mut counted) = (0.0, 0);
    let order: Vec<usize> = (0..rows.len()).collect();
    for chunk in order.chunks(batch_size) {
        let batch = rows.batch(chunk, model.config.end_token(), model.device());
        if batch.counted > 0 {
            sum += loss::sum_of_losses(model, &batch)?.f_double_value(&[])?;
            counted += batch.counted;
        }
    }
    Ok((counted > 0).then(|| sum / counted as f64))
}
