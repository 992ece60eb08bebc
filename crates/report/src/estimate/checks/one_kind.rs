//! Where words alone distinguish training documents from held-out ones, a score that does so too has not found membership by that.

use measures::test::auc_exceeds;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::membership::MembershipScore;
use crate::format::figure;

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "one_kind",
    title: "Training and held-out documents are of one kind",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// An AUC by words from which on the two sides differ enough to matter.
const CLEAR: f64 = 0.6;

/// The largest p-value, one-sided, at which it is more than chance.
const MAX_P_VALUE: f64 = 0.01;

fn find(evidence: &Evidence<'_>) -> Finding {
    let Some(separation) = evidence.separation(MembershipScore::Words, None) else {
        return Finding::not_made(
            "there are too few scored documents, of training or held out, to compare their words",
        );
    };
    let area = figure(&separation.auc, 2);
    let (members, others) = evidence.cell.scored.sides(MembershipScore::Words, None);
    let more_than_chance = auc_exceeds(&members, &others).is_ok_and(|p_value| p_value <= MAX_P_VALUE);
    if separation.auc.value < CLEAR || !more_than_chance {
        return Finding::passed(
            format!("AUC by words alone, without the model, {area}."),
            separation.auc.observations,
        );
    }
    Finding::warning(
        &format!("training and held-out documents differ by their words alone (AUC {area})"),
        format!(
            "Training and held-out documents can be distinguished by their words alone, without the model (naive Bayes, AUC {area}; 0.5 is \
             guessing): they are of different kinds or times. Membership is claimed only where a score exceeds that, and what is \
             common in one kind of text may come out without having been memorized. Hold out documents of the same source, chosen at random."
        ),
        separation.auc.observations,
    )
}
