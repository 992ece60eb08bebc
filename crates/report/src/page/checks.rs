//! Plausibility on the page: what failed, before the answer; and every check, at the end.

use maud::{Markup, html};

use super::{dense_table, visible};
use crate::analysis::Analysis;
use crate::checks::{self, CHECKS, CheckStatus, FindingOfModels, Severity};
use crate::format::listing;

/// Labels that are listed by name where a finding is about several models.
const MAX_NAMED: usize = 4;

/// What failed, and how many checks were made.
pub(super) fn top(analysis: &Analysis<'_>) -> Markup {
    let failures = checks::failures(analysis);
    let [passed, failed, missing] = checks::counts(analysis);
    let blocks = failures.iter().any(is_blocking);
    html! {
        @if !failures.is_empty() {
            section class="checks" {
                h2 { @if blocks { "To settle before anything is concluded" } @else { "To know beside the figures" } }
                @for failure in &failures {
                    div class={ "check " @if is_blocking(failure) { "blocking" } @else { "warning" } } {
                        p class="who" {
                            @if is_blocking(failure) { "Failed check" } @else { "Warning" } ": “" (failure.title) "” · " (visible(&labels(failure)))
                        }
                        p { (message(&failure.finding.message)) }
                    }
                }
            }
        }
        @if passed + failed + missing > 0 {
            p class="note" {
                "Plausibility: " (passed) " checks passed, " (failed) " failed, " (missing) " could not be made."
                @if missing > 0 { " Not checked: " (not_checked(analysis)) "; why is said below, under “Plausibility checks”." }
            }
        }
    }
}

/// A message whose names of settings, between backticks, are set as code.
fn message(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (visible(part)) } } @else { (visible(part)) }
        }
    }
}

/// The titles of the checks that could not be made of some model.
fn not_checked(analysis: &Analysis<'_>) -> String {
    let mut titles: Vec<String> = checks::not_made(analysis)
        .iter()
        .map(|missing| format!("“{}”", missing.title))
        .collect();
    titles.dedup();
    listing(&titles)
}

fn is_blocking(failure: &FindingOfModels) -> bool {
    failure.finding.status == CheckStatus::Failed(Severity::Blocking)
}

fn labels(finding: &FindingOfModels) -> String {
    let more = finding.labels.len().saturating_sub(MAX_NAMED);
    let mut named: Vec<String> = finding.labels.iter().take(MAX_NAMED).cloned().collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join("; ")
}

/// Every check of every model, and what each found.
pub(super) fn section(analysis: &Analysis<'_>) -> Markup {
    let mut columns: Vec<(String, Vec<usize>)> = Vec::new();
    for (label, cell) in checks::labelled_cells(analysis) {
        match columns.iter_mut().find(|(known, _)| *known == label) {
            Some((_, cells)) => cells.push(cell),
            None => columns.push((label, vec![cell])),
        }
    }
    let content = html! {
        thead { tr {
            th scope="col" { "Check" }
            @for (label, _) in &columns { th scope="col" class="n" { (visible(label)) } }
        } }
        tbody {
            @for check in CHECKS {
                tr {
                    th scope="row" { (check.title) }
                    @for (_, cells) in &columns { td class="n" { (status(analysis, cells, check.name)) } }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Plausibility checks" }
            p {
                "Made before anything is claimed. Where one fails, a rate that is not over its controls is no evidence of anything, and "
                "this page concludes nothing from it. “Warning”: to know beside the figures."
            }
            (dense_table("Plausibility checks", &content))
            details {
                summary { "What each check found" }
                ul {
                    @for finding in checks::all_findings(analysis) {
                        li { (finding.title) " · " (visible(&labels(&finding))) ": " (status_name(finding.finding.status)) ". " (message(&finding.finding.message)) }
                    }
                }
            }
        }
    }
}

/// The worst that a check found in some cells.
fn status(analysis: &Analysis<'_>, cells: &[usize], name: &str) -> &'static str {
    let found = cells
        .iter()
        .flat_map(|&cell| &analysis.cells[cell].checks)
        .filter(|result| result.check.name == name)
        .map(|result| result.finding.status);
    let order = |status: &CheckStatus| match status {
        CheckStatus::Failed(Severity::Blocking) => 0,
        CheckStatus::Failed(Severity::Warning) => 1,
        CheckStatus::NotMade => 2,
        CheckStatus::Passed => 3,
    };
    found.min_by_key(order).map_or("–", status_name)
}

fn status_name(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Passed => "passed",
        CheckStatus::Failed(Severity::Blocking) => "failed",
        CheckStatus::Failed(Severity::Warning) => "warning",
        CheckStatus::NotMade => "not made",
    }
}
