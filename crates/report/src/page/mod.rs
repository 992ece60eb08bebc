//! The page: one file that needs no other, no script and no network.
//!
//! It is read from the top: the answer, the figures behind it, then each kind of evidence, passages to look at, what
//! stays open, and how to make it all again. Every text that comes from a corpus, a model or a file name goes through
//! maud's escaping, and its control characters through [`visible`].

pub mod advice;
pub mod components;
pub mod excerpt;
pub mod glossary;
pub mod leaks;

mod answer;
mod attacks;
mod checks;
mod depth;
mod making;
mod memorization;
mod passages;
mod reading;
mod similarity;
mod sizes;
mod tables;
mod training;
mod usefulness;

pub use components::visible;

use contract::pipeline::Reporting;
use contract::{PipelineFile, Provenance};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::analysis::{Analysis, Series, Setting};
use crate::claims::Control;
use crate::format::{number, number_interval, percent, percent_interval};
use crate::plots::{Look, mode_class};
use crate::rates::Estimate;

const STYLE: &str = include_str!("style.css");

/// What stands over the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// The title.
    pub title: String,
    /// What is asked, in a line; may be empty.
    pub description: String,
    /// The pipeline's name.
    pub name: String,
}

impl Heading {
    /// The heading that a pipeline file asks for.
    pub fn of(pipeline: &PipelineFile) -> Self {
        let title = if pipeline.report.title.is_empty() {
            &pipeline.name
        } else {
            &pipeline.report.title
        };
        Self {
            title: title.clone(),
            description: pipeline.description.clone(),
            name: pipeline.name.clone(),
        }
    }
}

/// The whole page as HTML.
pub fn write(
    heading: &Heading,
    analysis: &Analysis<'_>,
    provenance: &Provenance,
    settings: &Reporting,
) -> String {
    let several = analysis.settings.len() > 1;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (visible(&heading.title)) " · memorization report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (answer::header(heading, analysis))
                    (checks::top(analysis))
                    @for setting in &analysis.settings {
                        @if several { h2 class="setting" { (setting_name(setting)) } }
                        (answer::section(setting, analysis))
                    }
                    (reading::forms(analysis))
                    (reading::what_was_read(analysis))
                    @for setting in &analysis.settings {
                        @if several { h2 class="setting" { (setting_name(setting)) } }
                        (memorization::memorization(setting, analysis))
                        (usefulness::usefulness(setting, analysis))
                        (similarity::similarity(setting, analysis))
                        (tables::rates(setting))
                        (depth::extraction(setting, analysis))
                        (depth::canaries(setting, analysis))
                        (depth::membership(setting, analysis))
                        (attacks::section(setting, analysis))
                        (passages::section(setting, analysis, settings.examples))
                        (training::section(setting, analysis))
                    }
                    (sizes::section(analysis))
                    (tables::by_cell(analysis))
                    (checks::section(analysis))
                    (making::limits(analysis))
                    (making::section(heading, analysis, provenance))
                }
            }
        }
    };
    page.into_string()
}

fn setting_name(setting: &Setting) -> String {
    format!("{}, {} copies", setting.model, setting.layout)
}

/// The looks of the shown series, in their order: one colour a mode, dashes where a mode has several.
fn looks(setting: &Setting) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    for (_, series) in setting.shown() {
        let dash = looks.iter().filter(|look| look.mode == series.mode).count();
        looks.push(Look {
            mode: series.mode.clone(),
            dash,
        });
    }
    looks
}

/// The look of a variant among those of its setting.
fn look_of(setting: &Setting, label: &str) -> Look {
    let position = setting.shown().position(|(shown, _)| shown == label);
    position
        .and_then(|position| looks(setting).into_iter().nth(position))
        .unwrap_or(Look {
            mode: String::new(),
            dash: 0,
        })
}

/// A label as a heading begins.
fn capital(label: &str) -> String {
    let mut characters = label.chars();
    let first = characters.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect()
}

/// A name in its mode's colour.
fn chip(mode: &str, label: &str) -> Markup {
    html! { span class={ "chip " (mode_class(mode)) } { (label) } }
}

/// A sentence with its figures held together: no line may end inside an interval.
fn prose(sentence: &str) -> String {
    sentence.replace('–', "\u{2060}–\u{2060}")
}

/// Panels side by side under a section's text.
fn panels(panels: &[(String, Markup)]) -> Markup {
    // Two go with two, and so do four; anything else is set as close as the page allows.
    let class = if matches!(panels.len(), 1 | 2 | 4) {
        "panels two"
    } else {
        "panels"
    };
    html! {
        div class=(class) {
            @for (caption, drawing) in panels {
                figure { figcaption { (caption) } (drawing) }
            }
        }
    }
}

/// A rate in a table cell, its interval under it.
fn rate_cell(estimate: Option<&Estimate>) -> Markup {
    cell(estimate.map(|found| (percent(found.value), found.interval.map(percent_interval))))
}

/// A number in a table cell, its interval under it.
fn number_cell(estimate: Option<&Estimate>, decimals: usize) -> Markup {
    cell(estimate.map(|found| {
        (
            number(found.value, decimals),
            found.interval.map(|interval| number_interval(interval, decimals)),
        )
    }))
}

/// A control in a table cell: carried over to as much text as there is training text, and without near-duplicates where there are
/// any.
fn control_cell(control: Option<&Control>) -> Markup {
    html! {
        td class="n" {
            @match control {
                Some(control) => {
                    (percent(control.carried.value))
                    @if let Some(interval) = control.carried.interval { span class="ci" { (percent_interval(interval)) } }
                    @if let Some(apart) = control.apart { span class="ci" { "without near-duplicates " (percent(apart.value)) } }
                }
                None => { span class="none" { "–" } }
            }
        }
    }
}

/// A similarity in a table cell; "≥" where only some pairs of sentences were compared.
fn similarity_cell(series: &Series, estimate: Option<&Estimate>) -> Markup {
    let bound = if series.similarity_at_least { "≥ " } else { "" };
    cell(estimate.map(|found| {
        (
            format!("{bound}{}", number(found.value, 2)),
            found.interval.map(|interval| number_interval(interval, 2)),
        )
    }))
}

fn cell(content: Option<(String, Option<String>)>) -> Markup {
    html! {
        td class="n" {
            @match content {
                Some((value, interval)) => {
                    (value)
                    @if let Some(interval) = interval { span class="ci" { (interval) } }
                }
                None => { span class="none" { "–" } }
            }
        }
    }
}

/// A table that scrolls by itself where the page is narrower.
fn table(caption: &str, content: &Markup) -> Markup {
    scrolling("scroll", caption, content)
}

/// A table of many columns, set closer.
fn dense_table(caption: &str, content: &Markup) -> Markup {
    scrolling("scroll dense", caption, content)
}

fn scrolling(class: &str, caption: &str, content: &Markup) -> Markup {
    html! {
        div class=(class) tabindex="0" role="region" aria-label=(caption) {
            table { (content) }
        }
    }
}
