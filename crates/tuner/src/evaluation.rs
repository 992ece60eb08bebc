//! Loss on held-out text: which documents choose, and how it is measured.

use std::collections::HashSet;

use causal_lm::{CausalLm, Error};
use contract::records::{HeldOutDocument, HeldOutRole};
use tch::Kind;
use xxhash_rust::xxh3::xxh3_64;

use crate::Rows;
use crate::head_loss::head_loss;
use crate::hidden_states::{self, HiddenStates};
use crate::rows::passes;
use crate::scalar::Scalar;

/// The held-out documents that may choose a checkpoint: those that are not there to test. Text of another kind chooses nothing.
pub(crate) fn choosing(held_out: Vec<HeldOutDocument>) -> Vec<HeldOutDocument> {
    let mut held_out = held_out;
    held_out.retain(|document| document.is_of_corpus() && document.role != Some(HeldOutRole::Test));
    held_out
}

/// At most `most` of the documents, in their order. Which they are follows from their names alone: files may be sorted by date
/// or length, and the first are then not like the others.
pub(crate) fn sample(documents: Vec<HeldOutDocument>, most: usize) -> Vec<HeldOutDocument> {
    let mut places: Vec<usize> = (0..documents.len()).collect();
    places.sort_by_key(|&place| (xxh3_64(documents[place].doc_id.as_bytes()), place));
    let chosen: HashSet<usize> = places.into_iter().take(most).collect();
    let numbered = documents.into_iter().enumerate();
    numbered
        .filter(|(place, _)| chosen.contains(place))
        .map(|(_, document)| document)
        .collect()
}

/// Held-out rows, with their hidden states where these do not change.
#[derive(Debug)]
pub(crate) struct HeldOut {
    pub(crate) rows: Rows,
    pub(crate) hidden: Option<HiddenStates>,
}

impl HeldOut {
    /// Mean loss in nats per token over all rows, in passes of at most so many rows and tokens; `None` where no token counts. The
    /// last product is made in float32, also where the model computes in bf16, as where the extractor scores.
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
        let head = model.lm_head().to_kind(Kind::Float)?;
        let (mut sum, mut counted) = (Scalar::Host(0.0), 0);
        let order: Vec<(usize, usize)> = (0..rows.len()).map(|row| (row, 1)).collect();
        for pass in passes(&order, most_rows, most_tokens, |row| rows.length(row)) {
            let batch = rows.batch(pass, model.device(), model.path())?;
            if batch.targets.is_empty() {
                continue;
            }
            let states = match hidden {
                Some(hidden) => hidden.of(model, rows, pass)?,
                None => hidden_states::compute(model, rows, pass)?,
            };
            let loss = head_loss(&states.f_to_kind(Kind::Float)?, &head, &batch, None)?;
            sum = sum.add(loss.sum)?;
            counted += batch.targets.len();
        }
        let sum = sum.value()?;
        Ok((counted > 0).then(|| sum / counted as f64))
    }
}
