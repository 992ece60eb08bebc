//! A promise of differential privacy that the model breaks: noise that was never added, a gradient that was not clipped, a text that is used
//! more often than was counted.

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::privacy;
use crate::format::{count, number};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "privacy_holds",
    title: "No canary shows less privacy than was promised",
    applies: |evidence| evidence.cell.data.cell.noise_multiplier.is_some(),
    find,
};

fn find(evidence: &Evidence<'_>) -> Finding {
    let Some(stated) = privacy::stated_epsilon(evidence.cell.data, 1) else {
        return Finding::not_made("nobody recorded how many passes tuning made");
    };
    let Some(audit) = privacy::audit(evidence.cell) else {
        return Finding::not_made(
            "there are no canaries by coin flip (`canaries.coin_flips`), or they were not scored",
        );
    };
    let said = format!(
        "Of {} guesses which canaries a coin had put in, {} are right, which shows an ε of at least {} at 95% where {} is promised",
        count(audit.guesses as u64),
        count(audit.correct as u64),
        number(audit.epsilon, 2),
        number(stated, 2)
    );
    if audit.highest <= stated {
        return Finding::not_made(&format!(
            "{} canaries by coin flip can show an ε of {} at most, and {} is promised: it would take more of them (`canaries.coin_flips`)",
            count(audit.canaries as u64),
            number(audit.highest, 2),
            number(stated, 2)
        ));
    }
    if audit.epsilon <= stated {
        return Finding::passed(
            format!(
                "{said}; the most that these canaries can show is {}.",
                number(audit.highest, 2)
            ),
            audit.guesses,
        );
    }
    Finding::failed(
        "canaries show less privacy than was promised",
        format!(
            "{said}: noise or clipping did not do what they should, or canaries were in the training set more often than once. The promise \
             does not hold."
        ),
        audit.guesses,
    )
}
