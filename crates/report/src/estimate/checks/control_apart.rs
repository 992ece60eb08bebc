//! Held-out text that is training text hides every leak: whatever comes out, the control has it too.

use contract::records::{CorpusFact, CorpusFactKind, Split};
use measures::interval::mover_difference;

use super::{Evidence, Finding, PlausibilityCheck};
use crate::estimate::AnalysedCell;
use crate::estimate::figure::Estimate;
use crate::estimate::measure::Measure;
use crate::estimate::membership::MembershipScore;
use crate::estimate::tallies::Slice;
use crate::format::{count, figure, listing, rate};

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "control_apart",
    title: "Held-out text is not training text",
    applies: |evidence| !evidence.is_untuned() && !evidence.is_of_canaries(),
    find,
};

const REMEDY: &str =
    "Name text of the same kind that the model was not tuned on (`corpus.held_out_files`, `HELD_OUT=`).";

/// Share of held-out documents that may be near-duplicates, or equal to training documents, before the rest is no control.
const MAX_SHARED: f64 = 0.5;

fn find(evidence: &Evidence<'_>) -> Finding {
    let corpus = evidence.cell.corpus;
    let left_out: Vec<&CorpusFact> = corpus
        .facts_of(CorpusFactKind::LeftOut)
        .filter(|fact| fact.split == Some(Split::Heldout))
        .collect();
    let held_out = corpus.held_out.documents;
    if held_out == 0 {
        return match documents(&left_out) {
            0 => Finding::not_made("there is no held-out text"),
            gone => nothing_left(gone, &left_out),
        };
    }
    let equal = usize::try_from(corpus.also_trained_documents()).unwrap_or(0);
    let near = corpus.held_out.near_duplicates.unwrap_or(0);
    let given = held_out + equal;
    let shared = format!(
        "{} of {} held-out documents {} training documents or near-duplicates of them{}",
        count((near + equal) as u64),
        count(given as u64),
        if near + equal == 1 {
            "is equal to"
        } else {
            "are equal to"
        },
        if equal > 0 {
            format!(" ({} equal, left out)", count(equal as u64))
        } else {
            String::new()
        }
    );
    if near + equal > 0 && (near + equal) as f64 >= MAX_SHARED * given as f64 {
        return Finding::failed(
            "the control is training text",
            format!(
                "The control is training text: {shared}. What the model repeats of it is no chance. {REMEDY}"
            ),
            given,
        );
    }
    repeated(evidence, &shared)
}

fn documents(facts: &[&CorpusFact]) -> usize {
    facts
        .iter()
        .filter_map(|fact| usize::try_from(fact.documents?).ok())
        .sum()
}

fn nothing_left(gone: usize, left_out: &[&CorpusFact]) -> Finding {
    let mut reasons: Vec<String> = left_out.iter().filter_map(|fact| fact.reason.clone()).collect();
    reasons.dedup();
    let reasons = if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", listing(&reasons))
    };
    Finding::failed(
        "there is no control: none of the held-out text can be used",
        format!(
            "All {} held-out documents were left out{reasons}, so that there is no control. Held-out text that is training text \
             shows nothing. {REMEDY}",
            count(gone as u64)
        ),
        gone,
    )
}

/// Held-out text that comes out as training text does, and is as likely, was trained on too.
fn repeated(evidence: &Evidence<'_>, shared: &str) -> Finding {
    let held_out = evidence.cell.corpus.held_out.documents;
    let strategy = super::rate_and_membership::headline(evidence.cell);
    let (Some(strategy), Some(separation)) = (strategy, evidence.separation(MembershipScore::Loss, None))
    else {
        return Finding::passed(
            format!("{shared}; whether the model repeats it was not measured."),
            held_out,
        );
    };
    let auc = &separation.auc;
    let as_likely = auc.ends().is_some_and(|interval| interval.low <= 0.5);
    let repeats = [Split::Train, Split::Heldout].into_iter().find_map(|split| {
        let at = Slice {
            split,
            strategy: Some(strategy),
        };
        repeats_held_out(evidence, at).filter(|_| as_likely)
    });
    let Some(repeats) = repeats else {
        return Finding::passed(format!("{shared}; AUC by loss {}.", figure(auc, 2)), held_out);
    };
    Finding::failed(
        "the held-out text looks like training text",
        format!(
            "Held-out text comes out word for word in {} of generations, and held-out documents are as likely as training documents \
             (AUC by loss {}): the control looks like training text, or both are made of the same phrases. {REMEDY}",
            rate(&repeats),
            figure(auc, 2)
        ),
        held_out,
    )
}

/// The rate at which held-out text comes out word for word, where it is over the untuned model's and at least half as high as that
/// of training text; without an untuned model, where its interval lies over 5%.
fn repeats_held_out(evidence: &Evidence<'_>, at: Slice<'_>) -> Option<Estimate> {
    const BY_CHANCE: f64 = 0.05;
    let of = |cell: &AnalysedCell<'_>, measure| cell.tallies.estimate(measure, at, None);
    let found = of(evidence.cell, Measure::ControlVerbatim)?;
    let trained = of(evidence.cell, Measure::Verbatim)?;
    let untuned = evidence
        .untuned
        .iter()
        .find_map(|cell| of(cell, Measure::ControlVerbatim));
    let over = match untuned {
        Some(untuned) => exceeds(&found, &untuned),
        None => found.ends().is_some_and(|ends| ends.low > BY_CHANCE),
    };
    (over && found.value >= 0.5 * trained.value).then_some(found)
}

/// Whether the interval of the difference lies over 0.
fn exceeds(first: &Estimate, second: &Estimate) -> bool {
    let (Some(around_first), Some(around_second)) = (first.ends(), second.ends()) else {
        return false;
    };
    mover_difference((first.value, around_first), (second.value, around_second)).low > 0.0
}
