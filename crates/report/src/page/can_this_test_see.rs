//! Whether the test could have seen anything: without that a 0% is worth nothing.

use contract::records::TextForm;
use maud::{Markup, html};

use super::components::{
    Cell, Column, Figure, Form, Layout, Row, Table, code_in, definitions, details, inline, inline_main, term,
    visible,
};
use super::glossary::anchors;
use super::view::{View, copies_name};
use crate::estimate::checks::{self, CheckStatus, FindingOfModels, Severity};
use crate::estimate::measure::{CANARY_FALSE_POSITIVE_PERCENT, Secret};
use crate::estimate::rows::{
    DETAILS_NOT_RANKED, EPSILON, EPSILON_AT_LEAST, EPSILON_HIGHEST, EXPOSURE_BY_CHANCE, EXPOSURE_HIGHEST,
    NON_MEMBERS,
};
use crate::estimate::{Experiment, HELD_OUT, Key, Measure, TRAINED};
use crate::findings::capital;
use crate::format::{listing, number};

pub(super) fn section(view: &View<'_>) -> Markup {
    html! {
        p { "A rate of 0 shows something only where the test could have found what is there." }
        (view.by_experiment(|experiment| html! { (definitions(&evidence(view, experiment))) }))
        (forms(view))
        (checks_made(view))
    }
}

fn evidence(view: &View<'_>, experiment: &Experiment) -> Vec<(Markup, Markup)> {
    let copies = experiment.most_canary_copies();
    let mut entries = vec![(html! { "Documents asked" }, asked(view, experiment))];
    let exposure = |group: usize| view.figure(group, Measure::Exposure, TRAINED, copies);
    let tuned: Vec<usize> = experiment
        .shown()
        .into_iter()
        .filter(|group| !view.group(*group).method.is_untuned())
        .collect();
    let exposed = tuned.iter().any(|group| exposure(*group).is_some());
    if exposed || copies.is_some() {
        entries.push((
            term(anchors::CANARY, "Planted canaries"),
            html! {
                @if !exposed { "There is no string that was never planted to rank them among. " } @else {
                "Exposure with " @if let Some(copies) = copies { (copies_name(copies)) } @else { "their copies" } ": "
                @for (index, (group, found)) in tuned.iter().filter_map(|group| Some((*group, exposure(*group)?))).enumerate() {
                    @if index > 0 { "; " }
                    (visible(&view.group(group).label)) " " (inline(&found, Form::Number(1)))
                }
                " bits"
                @if let Some(chance) = tuned.iter().find_map(|group| view.figure(*group, EXPOSURE_BY_CHANCE, HELD_OUT, None)) {
                    "; never planted ones have " (inline(&chance, Form::Number(1)))
                }
                @if let Some(most) = tuned.iter().find_map(|group| view.figure(*group, EXPOSURE_HIGHEST, HELD_OUT, None)) {
                    "; the most that can be seen is " (inline_main(&most, Form::Number(1)))
                }
                ". "
                }
                (secrets(view, &tuned, copies))
            },
        ));
    } else {
        entries.push((
            term(anchors::CANARY, "Planted canaries"),
            html! { "None that can be ranked: this run has no positive control of its own." },
        ));
    }
    entries.extend(privacy(view, &tuned));
    entries.push((
        term(anchors::CONTROL, "Controls"),
        controls(view, experiment, &tuned),
    ));
    let not_ranked = |at| {
        tuned
            .iter()
            .find_map(|group| view.figure_of_a_run(*group, DETAILS_NOT_RANKED, at, None))
    };
    if let Some((training, held_out)) = not_ranked(TRAINED).zip(not_ranked(HELD_OUT)) {
        entries.push((
            term(anchors::DETAILS_RANKED, "Personal details"),
            html! {
                "Of those that patterns find, " (inline_main(&training, Form::Whole)) " of training documents and " (inline_main(&held_out, Form::Whole))
                " of unseen ones were not ranked among others: nothing is said of them. " code { "details.parquet" } " says why of each."
            },
        ));
    }
    if let Some(non_members) = tuned
        .iter()
        .find_map(|group| view.figure_of_a_run(*group, NON_MEMBERS, HELD_OUT, None))
    {
        entries.push((
            html! { "Non-members" },
            html! { (inline_main(&non_members, Form::Whole)) " unseen documents that chose no checkpoint and are no near-duplicates of training documents." },
        ));
    }
    entries
}

/// The ε that was promised, and what canaries by coin flip show of it; none where there is neither.
fn privacy(view: &View<'_>, tuned: &[usize]) -> Option<(Markup, Markup)> {
    // Of a text that occurs once, whatever the layout.
    let found = |group: usize, measure: &str| {
        let subject = *view.group(group).run_subjects.first()?;
        let shown = view
            .estimates
            .table
            .get(&Key::new(subject, &measure, TRAINED, Some(1)))?;
        Some(Figure::from(shown))
    };
    let of_each = |measure: &str| -> Vec<(usize, Figure)> {
        let figures = tuned
            .iter()
            .filter_map(|group| Some((*group, found(*group, measure)?)));
        figures.collect()
    };
    let (promised, shown) = (of_each(EPSILON), of_each(EPSILON_AT_LEAST));
    if promised.is_empty() && shown.is_empty() {
        return None;
    }
    let listed = |figures: &[(usize, Figure)]| {
        html! {
            @for (index, (group, figure)) in figures.iter().enumerate() {
                @if index > 0 { "; " }
                (visible(&view.group(*group).label)) " " (inline(figure, Form::Number(2)))
            }
        }
    };
    let most = tuned.iter().find_map(|group| found(*group, EPSILON_HIGHEST));
    let told = html! {
        @if promised.is_empty() { "No tuning here is private. " }
        @else { "ε promised to a row, at δ = 10⁻⁵, against those who can neither know nor guess the seed of the noise: " (listed(&promised)) ". " }
        @if shown.is_empty() { "No canary by coin flip was planted to look at it (" code { "canaries.coin_flips" } ")." }
        @else {
            "ε that canaries by coin flip show it to be at least, at 95%: " (listed(&shown))
            @if let Some(most) = most { "; the most that these canaries can show is " (inline_main(&most, Form::Number(2))) }
            "."
        }
    };
    Some((term(anchors::PRIVACY, "Differential privacy"), told))
}

/// How many secrets of planted canaries come out, and how many canaries are recognised as planted.
fn secrets(view: &View<'_>, tuned: &[usize], copies: Option<i32>) -> Markup {
    let found = |measure: Measure, at, copies| {
        let figures = tuned
            .iter()
            .filter_map(move |group| Some((*group, view.figure(*group, measure, at, copies)?)));
        figures.collect::<Vec<_>>()
    };
    let listed = |figures: &[(usize, Figure)]| {
        html! {
            @for (index, (group, figure)) in figures.iter().enumerate() {
                @if index > 0 { "; " }
                (visible(&view.group(*group).label)) " " (inline(figure, Form::Count))
            }
        }
    };
    let extracted = [
        (
            Secret::NothingGiven,
            "Greedy decoding gives the whole secret behind the canary’s own beginning: ",
        ),
        (
            Secret::HalfGiven,
            "With the first half of the secret as well it gives the rest: ",
        ),
    ];
    html! {
        @for (secret, said) in extracted {
            @let planted = found(Measure::SecretExtracted(secret), TRAINED, copies);
            @let never_planted = found(Measure::SecretExtracted(secret), HELD_OUT, None);
            @if !planted.is_empty() {
                (said) (listed(&planted))
                @if !never_planted.is_empty() { " (of those never planted: " (listed(&never_planted)) ")" }
                ". "
            }
        }
        @for percent in CANARY_FALSE_POSITIVE_PERCENT {
            @let detected = found(Measure::CanariesDetected(percent), TRAINED, copies);
            @if !detected.is_empty() {
                "Recognised as planted by their loss, at " (percent) "% false alarms: " (listed(&detected)) ". "
            }
        }
    }
}

fn asked(view: &View<'_>, experiment: &Experiment) -> Markup {
    let first = experiment
        .every_group()
        .into_iter()
        .map(|group| view.group(group).run_subjects[0])
        .collect::<Vec<_>>();
    let find = |measure: &str, at| {
        first.iter().find_map(|&subject| {
            let copies = view.estimates.group_of(subject).uniform_copies;
            view.estimates
                .table
                .find(subject, measure, at, copies)
                .map(Figure::from)
        })
    };
    let counted = |asked: &str, all: &str, at| Some((find(asked, at)?, find(all, at)?));
    html! {
        @if let Some((asked, all)) = counted("documents_prompted", "documents", TRAINED) {
            (inline_main(&asked, Form::Whole)) " of " (inline_main(&all, Form::Whole)) " training documents"
        }
        @if let Some((asked, all)) = counted("documents_prompted", "documents", HELD_OUT) {
            " and " (inline_main(&asked, Form::Whole)) " of " (inline_main(&all, Form::Whole)) " unseen ones gave a prompt"
        }
        "; what is too short for half a prompt and something behind it cannot be asked."
        @if let Some(left_out) = find("documents_left_out", TRAINED).or_else(|| find("documents_left_out", HELD_OUT)) {
            " Reading left out " (inline_main(&left_out, Form::Whole)) " documents."
        }
        @if let Some(near) = find("near_duplicates", HELD_OUT) {
            " " (inline_main(&near, Form::Whole)) " unseen documents are near-duplicates of training documents."
        }
    }
}

fn controls(view: &View<'_>, experiment: &Experiment, tuned: &[usize]) -> Markup {
    let copies = experiment.most_copies();
    let untuned = experiment
        .untuned
        .iter()
        .find_map(|group| view.figure(*group, Measure::OwnVerbatim, experiment.seen(), copies));
    let control = tuned.iter().find_map(|group| {
        Figure::control(
            view.estimates
                .find(*group, Measure::OwnVerbatim, experiment.seen(), copies)?,
        )
    });
    html! {
        @match untuned {
            Some(untuned) => { "The untuned model goes on word for word with " (inline(&untuned, Form::Count)) " of the same documents. " },
            None => "The untuned model was not asked. ",
        }
        @match control {
            Some(control) => { "What the same generations share with their documents is in unseen text too in " (inline(&control, Form::Count)) "." },
            None => "There is no unseen text to compare generations with.",
        }
    }
}

/// The forms of prompts that were tried, with the loss of training documents in each.
fn forms(view: &View<'_>) -> Markup {
    let tried = &view.estimates.facts.forms;
    let rows = tried
        .iter()
        .flat_map(|(label, forms)| forms.iter().map(move |form| form_row(label, form)));
    let table = Table {
        caption: "Forms in which training documents were scored. A model brings out a text that begins as its training text began; the form \
                  with the lowest loss on training documents was used."
            .to_owned(),
        columns: vec![
            Column::new("Model"),
            Column::new("Begins with"),
            Column::new("Template"),
            Column::new("Ends with"),
            Column::new("Loss of training documents").with_help("nats per token"),
            Column::new("Untuned model"),
            Column::new("Used"),
        ],
        rows: rows.collect(),
        layout: Layout::Scroll,
    };
    html! { @if !tried.is_empty() { h3 { "How prompts begin" } (table.render()) } }
}

fn form_row(label: &str, form: &TextForm) -> Row {
    Row {
        head: html! { (visible(label)) },
        cells: vec![
            Cell::value(html! { (visible(&form.begin)) }),
            Cell::value(html! { (visible(form.template.as_deref().unwrap_or("none"))) }),
            Cell::value(html! { (visible(&form.end)) }),
            Cell::value(html! { (number(form.loss, 2)) }),
            match form.base_loss {
                Some(loss) => Cell::value(html! { (number(loss, 2)) }),
                None => Cell::not_measured("the untuned model was not asked"),
            },
            Cell::value(html! { @if form.chosen { strong { "used" } } @else { "" } }),
        ],
    }
}

/// What failed, before anything else on the page.
pub(super) fn banner(view: &View<'_>) -> Markup {
    let failures = checks::failures(view.estimates);
    html! {
        @for failure in &failures {
            @let blocks = is_blocking(failure);
            @let severity = if blocks { super::components::Severity::Blocking } else { super::components::Severity::Notice };
            @let title = format!("{}: {}", if blocks { "Failed check" } else { "Warning" }, failure.title);
            (super::components::banner(severity, &title, &html! {
                p class="check" {
                    (visible(&capital(&listing(&failure.labels)))) ": " (code_in(&failure.finding.in_brief)) ". "
                    a href="#test" { "What that means, and what to do" } "."
                }
            }))
        }
    }
}

/// Every check and what it found.
fn checks_made(view: &View<'_>) -> Markup {
    let [passed, failed, missing] = checks::counts(view.estimates);
    let found = checks::all_findings(view.estimates);
    html! {
        @if passed + failed + missing > 0 {
            h3 { "Plausibility checks" }
            @for failure in &checks::failures(view.estimates) {
                p class="check" {
                    strong { (failure.title) } " (" (visible(&listing(&failure.labels))) "): " (code_in(&failure.finding.message))
                }
            }
            p class="check" { (passed) " passed, " (failed) " failed, " (missing) " could not be made. Where one fails, nothing is concluded from a low rate." }
            (details("What each check found", &html! {
                ul class="check" { @for finding in &found { li {
                    strong { (finding.title) } ", " (visible(&listing(&finding.labels))) ": " (status_name(finding.finding.status)) ". "
                    (code_in(&finding.finding.message))
                } } }
            }))
        }
    }
}

fn is_blocking(failure: &FindingOfModels) -> bool {
    failure.finding.status == CheckStatus::Failed(Severity::Blocking)
}

fn status_name(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Passed => "passed",
        CheckStatus::Failed(Severity::Blocking) => "failed",
        CheckStatus::Failed(Severity::Warning) => "warning",
        CheckStatus::NotMade => "could not be made",
    }
}
