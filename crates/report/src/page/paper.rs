//! The claims of the paper, held against this run.

use maud::{Markup, html};

use super::components::{Figure, Form, inline};
use super::view::{View, capital};
use crate::estimate::paper::Outcome;

pub(super) fn section(view: &View<'_>) -> Markup {
    let claims = &view.estimates.paper;
    html! {
        @if !claims.is_empty() {
            p { "Wang and Li, “Leaner Training, Lower Leakage” (2025), each claim by a rule that is stated with it." }
            dl class="advice" { @for claim in claims { div {
                dt { (capital(claim.outcome.words())) }
                dd {
                    p { "“" (claim.says) "”" }
                    @if !claim.figures.is_empty() {
                        ul { @for (what, key) in &claim.figures {
                            @if let Some(shown) = view.estimates.table.get(key) {
                                @let form = if key.against.is_some() && shown.row.unit == "share" { Form::Points } else { Form::of_unit(shown.row.unit) };
                                li { (what) ": " (inline(&Figure::from(shown), form)) }
                            }
                        } }
                    }
                    p class="note" {
                        "Rule: " (claim.rule)
                        @if claim.outcome == Outcome::CannotTell { " To tell, it takes: " (claim.takes) }
                    }
                }
            } } }
        }
    }
}

