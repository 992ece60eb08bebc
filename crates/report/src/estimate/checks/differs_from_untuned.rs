//! An adapter whose B is zero, or whose weights match no layer, leaves the untuned model as it was.

use contract::records::Split;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::format::count;
use crate::read::WhichCheckpoint;

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "differs_from_untuned",
    title: "The model differs from the untuned one",
    applies: |evidence| !evidence.is_untuned(),
    find,
};

/// Nats per token up to which two losses of a document are the same but for rounding.
const SAME: f64 = 1e-4;

/// Whether a difference of losses over so many tokens is one of rounding.
pub(super) fn is_same(nats: f64, tokens: usize) -> bool {
    nats.abs() <= SAME * tokens as f64
}

fn find(evidence: &Evidence<'_>) -> Finding {
    let pairs: Vec<_> = [Split::Train, Split::Heldout]
        .into_iter()
        .flat_map(|split| evidence.paired_losses(split))
        .collect();
    if pairs.is_empty() {
        return Finding::not_made("the untuned model’s scores of the same documents are not in this run");
    }
    let differ = pairs
        .iter()
        .filter(|pair| !is_same(pair.tuned - pair.untuned, pair.tokens))
        .count();
    let all = count(pairs.len() as u64);
    if differ > 0 {
        return Finding::passed(
            format!(
                "{} of {all} documents have another loss than under the untuned model.",
                count(differ as u64)
            ),
            pairs.len(),
        );
    }
    let meaning = if evidence.cell.data.checkpoint == Some(WhichCheckpoint::Best) {
        "Where no step of training made held-out loss better, the best checkpoint is the untuned model itself; the last checkpoint says \
         what training did."
    } else {
        "Tuning changes nothing: an adapter of zeros, one whose weights match no layer, or the untuned model by mistake. Check which \
         folder is given as the checkpoint."
    };
    Finding::failed(
        "it changes nothing: its losses are those of the untuned model",
        format!(
            "All {all} documents have the same loss as under the untuned model, to {SAME} nats per token. {meaning}"
        ),
        pairs.len(),
    )
}
