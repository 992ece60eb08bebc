//! The top of the page: what was asked, the answer, and the handful of figures that it rests on.

use contract::records::Split;
use maud::{Markup, html};

use super::{Heading, chip, control_cell, number_cell, prose, rate_cell, table, visible};
use crate::analysis::{Analysis, Series, Setting};
use crate::claims::Control;
use crate::findings::{answer, control_sentence, cut_sentence, loss_sentence, room_left};
use crate::format::{count, listing, parameters, rate_name, times};
use crate::measure::Measure;
use crate::membership::Attack;
use crate::run::HeldOutCounts;
use crate::tallies::Where;

pub(super) fn header(heading: &Heading, analysis: &Analysis<'_>) -> Markup {
    html! {
        header {
            p class="kicker" { "How much of its fine-tuning text a language model gives back" }
            h1 { (visible(&heading.title)) }
            @if !heading.description.is_empty() { p class="description" { (visible(&heading.description)) } }
            p class="facts" { (facts(analysis)) }
        }
    }
}

/// Models, documents and cells in a line.
fn facts(analysis: &Analysis<'_>) -> String {
    let mut models: Vec<String> = analysis
        .settings
        .iter()
        .map(|setting| {
            format!(
                "{} ({} parameters)",
                setting.model,
                parameters(setting.parameters)
            )
        })
        .collect();
    models.dedup();
    let mut corpora: Vec<String> = Vec::new();
    for cell in &analysis.cells {
        let copies: Vec<String> = cell.corpus.training.keys().map(i32::to_string).collect();
        let canaries = match cell.corpus.canaries {
            0 => String::new(),
            canaries => format!(", {canaries} canaries"),
        };
        let fact = format!(
            "{} training documents with {} {}{canaries}, {}",
            count(cell.corpus.training_documents() as u64),
            listing(&copies),
            if copies == ["1"] { "copy" } else { "copies" },
            held_out(cell.corpus.held_out)
        );
        if !corpora.contains(&fact) {
            corpora.push(fact);
        }
    }
    let prompted = |split: Split| {
        let documents: std::collections::BTreeSet<&str> = analysis
            .cells
            .iter()
            .flat_map(|cell| &cell.data.samples)
            .filter(|sample| sample.split == split)
            .filter_map(|sample| sample.doc_id.as_deref())
            .collect();
        documents.len()
    };
    let cells = analysis.cell_names().len();
    format!(
        "{} · {} · prompted with the openings of {} and {} of them · {} {}",
        listing(&models),
        corpora.join("; "),
        prompted(Split::Train),
        prompted(Split::Heldout),
        cells,
        if cells == 1 { "cell" } else { "cells" },
    )
}

/// The documents kept back, by what they are for, with the near-duplicates among them where somebody looked.
fn held_out(counts: HeldOutCounts) -> String {
    let mut fact = format!("{} held out", count(counts.documents as u64));
    if counts.validation + counts.test > 0 {
        fact += &format!(
            " ({} for validation, {} for test)",
            counts.validation, counts.test
        );
    }
    match counts.near_duplicates {
        None => {}
        Some(0) => fact += ", none of them a near-duplicate of a training document",
        Some(1) => fact += ", 1 of them a near-duplicate of a training document",
        Some(several) => fact += &format!(", {several} of them near-duplicates of training documents"),
    }
    fact
}

pub(super) fn section(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let answer = answer(setting);
    html! {
        section class="answer" {
            @for lead in &answer.leads { p class="lead" { (prose(lead)) } }
            @if !answer.remarks.is_empty() { ul class="remarks" { @for remark in &answer.remarks { li { (prose(remark)) } } } }
            (key_figures(setting, analysis))
        }
    }
}

fn key_figures(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let Some(copies) = setting.most_copies() else {
        return html! {};
    };
    let exposed = Where {
        split: Split::Train,
        strategy: None,
    };
    let has_exposure = setting
        .shown()
        .any(|(_, series)| !series.tallies.of(Measure::Exposure, exposed, None).is_empty());
    let has_auc = setting
        .shown()
        .any(|(_, series)| series.auc(analysis, Attack::Loss, None).is_some());
    let content = html! {
        thead {
            tr {
                th rowspan="2" scope="col" { "Tuning" }
                th colspan="2" scope="colgroup" class="group" { "Own document, word for word" }
                th rowspan="2" scope="col" class="n" { "Own document, any class" small { (times(copies)) } }
                th rowspan="2" scope="col" class="n" { "Training text, word for word" small { "after unseen openings" } }
                th rowspan="2" scope="col" class="n" { "Held-out loss" small { "nats per token" } }
                @if has_exposure { th rowspan="2" scope="col" class="n" { "Exposure" small { "bits, " (times(copies)) } } }
                @if has_auc { th rowspan="2" scope="col" class="n" { "Membership AUC" small { "by loss; 0.5 is guessing" } } }
            }
            tr {
                th scope="col" class="n" { "seen " (times(copies)) }
                th scope="col" class="n" { "control" small { "held-out text" } }
            }
        }
        tbody {
            @for (label, series) in setting.shown() {
                tr {
                    th scope="row" { (chip(&series.mode, label)) (rate_note(series)) }
                    (rate_cell(series.estimate(Measure::OwnVerbatim, setting.seen(), Some(copies)).as_ref()))
                    (control_cell(Control::of(series, Measure::OwnVerbatim, setting.seen(), Some(copies)).as_ref()))
                    (rate_cell(series.estimate(Measure::OwnAny, setting.seen(), Some(copies)).as_ref()))
                    (rate_cell(series.estimate(Measure::Verbatim, setting.unseen(), None).as_ref()))
                    (number_cell(series.held_out_loss().as_ref(), 2))
                    @if has_exposure { (number_cell(series.estimate(Measure::Exposure, exposed, Some(copies)).as_ref(), 1)) }
                    @if has_auc { (number_cell(series.auc(analysis, Attack::Loss, None).as_ref(), 2)) }
                }
            }
        }
    };
    html! {
        (table("Key figures", &content))
        p class="note" {
            "Share of generations, with its 95% interval. Decoding: " (visible(&setting.strategy)) ". "
            @if let Some(room) = room(setting, copies) { (room) ". " }
            @if setting.has_sweep() { (chosen_rates(setting)) }
        }
        @let notes = [cut_sentence(setting, analysis), control_sentence(setting), loss_sentence(setting, analysis)];
        @for note in notes.iter().flatten() { p class="note" { (prose(note)) } }
    }
}

fn rate_note(series: &Series) -> Markup {
    html! { @if let Some(rate) = series.learning_rate { span class="ci" { "rate " (rate_name(rate)) } } }
}

fn room(setting: &Setting, copies: i32) -> Option<String> {
    setting
        .variants
        .iter()
        .filter(|variant| variant.chosen().failed_checks.is_empty())
        .filter_map(|variant| {
            variant
                .chosen()
                .estimate(Measure::OwnVerbatim, setting.seen(), Some(copies))
        })
        .find_map(|rate| room_left(&rate))
}

fn chosen_rates(setting: &Setting) -> String {
    let chosen: Vec<String> = setting
        .variants
        .iter()
        .map(|variant| {
            let rate = variant.chosen().learning_rate.map_or("–".to_owned(), rate_name);
            format!("{} {rate} (of {})", variant.label, variant.series.len())
        })
        .collect();
    format!(
        "Shown for each way of tuning: the learning rate with the best held-out loss, {}.",
        listing(&chosen)
    )
}
