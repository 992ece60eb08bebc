//! Tuning makes its text likelier. Text that it did not make likelier was not trained on, or not in this form.

use contract::records::Split;
use measures::Tally;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::figure::Estimate;
use crate::estimate::measure::Kind;
use crate::estimate::membership::MembershipScore;
use crate::format::{figure, number};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "tuned_text_likelier",
    title: "Tuning made the training text likelier",
    applies: |evidence| !evidence.is_untuned(),
    find,
};

const IN_BRIEF: &str = "this does not look like what the model was tuned on (wrong template or file?)";
const REMEDY: &str = "This does not look like what the model was tuned on: wrong template or file? Give the very text of training, in its \
                      form (`corpus.template`, `extraction.begin`).";

/// Whole documents, each under both models, weighted by tokens: the loss must be lower by more than its 95% interval.
fn find(evidence: &Evidence<'_>) -> Finding {
    let pairs = evidence.paired_losses(Split::Train);
    let tallies: Vec<Tally> = pairs
        .iter()
        .map(|pair| Tally::new(pair.tuned - pair.untuned, pair.tokens as f64))
        .collect();
    let Some(change) = Estimate::of_documents(&tallies, Kind::Mean, None) else {
        return against_held_out(evidence);
    };
    if pairs
        .iter()
        .all(|pair| super::differs_from_untuned::is_same(pair.tuned - pair.untuned, pair.tokens))
    {
        return Finding::not_made("the model does not differ from the untuned one");
    }
    let tokens: usize = pairs.iter().map(|pair| pair.tokens).sum();
    let mean = |nats: f64| number(nats / tokens as f64, 2);
    let losses = format!(
        "{} against {} nats per token untuned, over {} training documents (change {})",
        mean(pairs.iter().map(|pair| pair.tuned).sum()),
        mean(pairs.iter().map(|pair| pair.untuned).sum()),
        pairs.len(),
        figure(&change, 2)
    );
    // One document, or documents that all change alike, have no interval.
    if change.ends().map_or(change.value, |ends| ends.high) < 0.0 {
        return Finding::passed(format!("Loss of the training text: {losses}."), pairs.len());
    }
    let how = if change.value < 0.0 {
        "lower than under the untuned model by no more than chance"
    } else {
        "not lower than under the untuned model"
    };
    Finding::failed(
        IN_BRIEF,
        format!("The loss of the training text is {how}: {losses}. {REMEDY}"),
        pairs.len(),
    )
}

/// Without the untuned model: held-out text is a weaker hint, since it may be harder or easier by itself.
fn against_held_out(evidence: &Evidence<'_>) -> Finding {
    const WITHOUT_BASE: &str = "the untuned model’s scores of the same documents are not in this run (name it as the `base` of the \
                                checkpoint)";
    let Some(separation) = evidence.separation(MembershipScore::Loss, None) else {
        return Finding::not_made(&format!("{WITHOUT_BASE}, nor is there scored held-out text"));
    };
    let auc = &separation.auc;
    let found = format!("AUC by loss against held-out text {}", figure(auc, 2));
    let (low, high) = auc
        .ends()
        .map_or((auc.value, auc.value), |interval| (interval.low, interval.high));
    if low > 0.5 {
        return Finding::passed(
            format!(
                "Training text is likelier than held-out text, which is a hint only, without the untuned model: {found}."
            ),
            auc.observations,
        );
    }
    if high < 0.5 {
        return Finding::failed(
            IN_BRIEF,
            format!("Training text is less likely than held-out text: {found}. {REMEDY}"),
            auc.observations,
        );
    }
    Finding::not_made(&format!(
        "{WITHOUT_BASE}, and training text is not clearly likelier than held-out text: {found}"
    ))
}
