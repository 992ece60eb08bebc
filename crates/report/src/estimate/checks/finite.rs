//! Weights that are NaN generate nothing and score as nothing, which looks like a model that leaks nothing.

use super::{Evidence, Finding, PlausibilityCheck};
use crate::format::count;
use contract::records::Split;

pub(super) const CHECK: PlausibilityCheck = PlausibilityCheck {
    name: "finite",
    title: "Losses are finite, and generations are not all empty",
    applies: |_| true,
    find,
};

fn find(evidence: &Evidence<'_>) -> Finding {
    const REMEDY: &str = "The weights are damaged or not finite, or the precision is too low: load the model elsewhere and look.";
    let data = evidence.cell.data;
    let samples = data.samples.len();
    let scores = data.scores.as_ref().map_or(0, Vec::len) + data.non_finite_scores;
    let not_finite = data.samples.iter().filter(|sample| !sample.is_finite).count();
    if not_finite + data.non_finite_scores > 0 {
        return Finding::failed(
            "losses are not finite",
            format!(
                "{} of {} generations and {} of {} scores have a log-probability that is NaN or infinite; those scores are in no figure. \
                 {REMEDY}",
                count(not_finite as u64),
                count(samples as u64),
                count(data.non_finite_scores as u64),
                count(scores as u64)
            ),
            samples + scores,
        );
    }
    let prompted = data.samples.iter().filter(|sample| sample.split == Split::Train);
    let prompted: Vec<bool> = prompted
        .map(|sample| sample.generation.trim().is_empty())
        .collect();
    let empty = prompted.iter().filter(|empty| **empty).count();
    if samples + scores == 0 {
        return Finding::not_made("nothing was generated or scored");
    }
    if empty > 0 && empty == prompted.len() {
        return Finding::failed(
            "all of its generations are empty",
            format!(
                "All {} generations after training documents are empty, or blank space. Texts may end where the prompts do, or: {REMEDY}",
                count(empty as u64)
            ),
            prompted.len(),
        );
    }
    Finding::passed(
        format!(
            "{} of {} generations after training documents are empty; {} scores are finite.",
            count(empty as u64),
            count(prompted.len() as u64),
            count(scores as u64)
        ),
        samples + scores,
    )
}
