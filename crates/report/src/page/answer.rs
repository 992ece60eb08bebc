//! The answer: a verdict on each model, and what it is based on.

use maud::{Markup, html};

use super::components::{Figure, Form, chip, inline, term, figure};
use super::glossary::anchors;
use super::view::{View, capital, copies_name};
use crate::estimate::{Estimates, Experiment, GroupVerdict, Key, Verdict};

pub(super) fn section(view: &View<'_>) -> Markup {
    view.by_experiment(|experiment| {
        html! {
            @for group in experiment.shown() {
                @if let Some(verdict) = view.estimates.verdicts.get(&group) { (block(view, group, verdict)) }
            }
            (untuned_note(view, experiment))
        }
    })
}

fn block(view: &View<'_>, group: usize, verdict: &GroupVerdict) -> Markup {
    let found = view.group(group);
    let class = match verdict.verdict {
        Verdict::Leaks => "is-leaking",
        Verdict::MembershipVisible | Verdict::NotSettled => "is-visible",
        Verdict::NotEnoughData | Verdict::NothingFound => "",
    };
    html! {
        div class={ "verdict " (class) } {
            p class="verdict-word" {
                (chip(view.style(group), &capital(&found.label))) ": " (word(view.estimates, verdict)) "."
            }
            p { (basis(view, verdict)) }
        }
    }
}

/// The verdict's word, and of how many training runs it is true.
fn word(estimates: &Estimates<'_>, verdict: &GroupVerdict) -> Markup {
    html! {
        @match estimates.table.get(&verdict.key) {
            Some(shown) => (figure(verdict.verdict.word(), shown.number)),
            None => (verdict.verdict.word()),
        }
        @if verdict.of_runs > 1 { " (" (verdict.runs) " of " (verdict.of_runs) " training runs)" }
    }
}

/// The figures that a verdict is based on.
fn basis(view: &View<'_>, verdict: &GroupVerdict) -> Markup {
    let estimates = view.estimates;
    let shown = |key: &Key| estimates.table.get(key);
    html! {
        @if let Some(own) = shown(&verdict.own) {
            "It went on " (term(anchors::VERBATIM, "word for word")) " with "
            (inline(&own.into(), Form::Count)) " of the documents"
            @if let Some(copies) = verdict.own.copies { " with " (copies_name(copies)) } " that it was prompted with"
            @if let Some(untuned) = Figure::untuned(own) { "; the untuned model with " (inline(&untuned, Form::Count)) }
            @if let Some(control) = Figure::control(own) { "; the " (term(anchors::CONTROL, "control")) " is " (inline(&control, Form::Count)) }
            ". "
        }
        @for key in verdict.leaking.iter().filter(|key| **key != verdict.own) {
            @if let Some(other) = shown(key) {
                "By “" (key.strategy.as_deref().unwrap_or("scores")) "”"
                @match key.split {
                    Some(contract::records::Split::Train) => ", from training documents: ",
                    Some(contract::records::Split::Heldout) => ", training text after prompts that it had not seen: ",
                    _ => ", training text after prompts that belong to no document: ",
                }
                (inline(&other.into(), Form::Count)) ". "
            }
        }
        @if let Some(membership) = verdict.membership.as_ref().and_then(shown) {
            "Somebody who reads its probabilities "
            @if verdict.membership_visible { "can tell" } @else { "cannot be shown to tell" }
            " which documents it was tuned on (" (term(anchors::AUC, "AUC")) " " (inline(&membership.into(), Form::Number(2))) "). "
        }
        @if let Some(canaries) = verdict.canaries.as_ref().and_then(shown) {
            "Planted secrets can be ranked: " (term(anchors::EXPOSURE, "exposure")) " " (inline(&canaries.into(), Form::Number(1))) " bits."
        }
    }
}

/// That there is no untuned model, where there is none.
fn untuned_note(view: &View<'_>, experiment: &Experiment) -> Markup {
    let has_runs = experiment.shown().into_iter().any(|group| view.estimates.subjects[view.group(group).subject].runs.len() > 1);
    html! {
        @if experiment.untuned.is_empty() {
            p class="note" { "The untuned model was not asked: what it knew before tuning cannot be subtracted." }
        }
        @if !has_runs { p class="note" { "Each statement is about one training run, and its intervals are about documents." } }
    }
}
