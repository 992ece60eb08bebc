//! Loss on held-out text.

use causal_lm::{CausalLm, Error};

use crate::Rows;
use crate::head_loss::head_loss;
use crate::hidden_states::{self, HiddenStates};
use crate::rows::passes;

/// Held-out rows, with their hidden states where these do not change.
#[derive(Debug)]
pub(crate) struct HeldOut {
    pub(crate) rows: Rows,
    pub(crate) hidden: Option<HiddenStates>,
}

impl HeldOut {
    /// Mean loss in nats per counted token over all rows, in passes of at most so many rows and tokens; `None` where no token
    /// counts.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn mean_loss(
        &mut self,
        model: &CausalLm,
        (most_rows, most_tokens): (usize, usize),
    ) -> Result<Option<f64>, Error> {
        let _guard = tch::no_grad_guard();
        let Self { rows, hidden } = self;
        let (mut sum, mut counted) = (0.0, 0);
        let order: Vec<(usize, usize)> = (0..rows.len()).map(|row| (row, 1)).collect();
        for pass in passes(&order, most_rows, most_tokens, |row| rows.length(row)) {
            let batch = rows.batch(pass, model.device());
            if batch.counted == 0 {
                continue;
            }
            let states = match hidden {
                Some(hidden) => hidden.of(model, rows, pass)?,
                None => hidden_states::compute(model, rows, pass)?,
            };
            sum += head_loss(&states, model.head(), &batch, None)?.sum;
            counted += batch.counted;
        }
        Ok((counted > 0).then(|| sum / counted as f64))
    }
}
