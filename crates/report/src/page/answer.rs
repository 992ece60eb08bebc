//! The answer: a verdict on each model in a word, and the paragraph that says why.

use maud::{Markup, html};

use super::components::{chip, figure, sentence};
use super::view::View;
use crate::estimate::{Estimates, GroupVerdict, Verdict};
use crate::findings::{ModelAnswer, answer, capital};

pub(super) fn section(view: &View<'_>) -> Markup {
    view.by_experiment(|experiment| {
        let answer = answer(view.estimates, experiment);
        html! {
            @for model in &answer.models { (block(view, model)) }
            @if !answer.remarks.is_empty() {
                ul { @for remark in &answer.remarks { li { (sentence(remark)) } } }
            }
        }
    })
}

fn block(view: &View<'_>, model: &ModelAnswer) -> Markup {
    let class = match model.verdict {
        Verdict::Leaks => "is-leaking",
        Verdict::MembershipVisible
        | Verdict::Repeats
        | Verdict::MembershipVisibleAndRepeats
        | Verdict::NotSettled => "is-visible",
        Verdict::NotEnoughData | Verdict::NothingFound => "",
    };
    html! {
        div class={ "verdict " (class) } {
            p class="verdict-word" {
                (chip(view.style(model.group), &capital(&view.group(model.group).label))) ": "
                @match view.estimates.verdicts.get(&model.group) {
                    Some(verdict) => (word(view.estimates, verdict)),
                    None => (model.verdict.word()),
                }
                "."
            }
            p { (sentence(&model.paragraph)) }
        }
    }
}

/// The verdict's word, and of how many training runs it is true.
fn word(estimates: &Estimates<'_>, verdict: &GroupVerdict) -> Markup {
    html! {
        @match estimates.table.get(&verdict.key) {
            Some(shown) => {
                (figure(verdict.verdict.word(), shown.number))
                @if verdict.of_runs > 1 { " (" (figure(&format!("{} of {} training runs", verdict.runs, verdict.of_runs), shown.number)) ")" }
            },
            None => (verdict.verdict.word()),
        }
    }
}
