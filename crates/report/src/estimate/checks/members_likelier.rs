//! Training documents that are less likely than held-out ones were not trained on.

use measures::test::auc_exceeds;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::membership::MembershipScore;
use crate::format::figure;

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "members_likelier",
    title: "Training documents are not less likely than held-out ones",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

/// The largest p-value, one-sided, at which the area counts as under 0.5.
const MAX_P_VALUE: f64 = 0.025;

/// By the loss less the untuned model's, where there is one: the two sets may differ by themselves.
fn find(evidence: &Evidence<'_>) -> Finding {
    let found = [MembershipScore::Reference, MembershipScore::Loss]
        .into_iter()
        .find_map(|score| evidence.separation(score, None));
    let Some(separation) = found else {
        return Finding::not_made("there are no scores of training and of held-out documents");
    };
    let auc = &separation.auc;
    let measured = format!("AUC by {} {}", separation.score.title(), figure(auc, 2));
    let (members, others) = evidence.cell.scored.sides(separation.score, None);
    let Ok(p_value) = auc_exceeds(&others, &members) else {
        return Finding::not_made("there are no scores of training and of held-out documents");
    };
    if p_value > MAX_P_VALUE {
        return Finding::passed(format!("{measured}."), auc.observations);
    }
    Finding::failed(
        "corpus and held-out text look swapped, or the corpus is not what the model was tuned on",
        format!(
            "Training documents are less likely than held-out ones: {measured}, where 0.5 is guessing. Corpus and held-out text look \
             swapped, or the corpus is not what the model was tuned on: check which file is which."
        ),
        auc.observations,
    )
}
