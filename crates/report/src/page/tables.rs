//! The tables behind the plots: rates by copies and by prompts for what is shown, and every cell.

use std::collections::BTreeSet;

use contract::records::Split;
use maud::{Markup, html};

use super::{chip, control_cell, dense_table, number_cell, rate_cell, similarity_cell, visible};
use crate::analysis::{Analysis, Series, Setting, Variant};
use crate::claims::Control;
use crate::format::{count, rate_name};
use crate::measure::{Against, EXTRACTED_CHARS, Measure};
use crate::tallies::Where;

/// For each strategy what came out of the prompt's own document, by its copies, and of any training document, by what the
/// prompts were.
pub(super) fn rates(setting: &Setting) -> Markup {
    html! {
        section {
            h2 { "Every rate" }
            p {
                "Share of generations in each class, with 95% intervals: Wilson’s where each document was continued once, "
                "the bootstrap over documents where more often. First what a generation shares with the document that it was prompted with, by "
                "that document’s copies; “came out”: the share of training documents of so many copies that came out of some generation, whatever its "
                "prompt. Then what it shares with any training document, by what the prompts were. “Matched” is the share of generated characters "
                "inside a matched passage: long generations have more chances. “Boilerplate”: verbatim, but only with passages that occur in "
                "many training documents, common phrases that are not specific to one. “Personal details”: a name, number, e-mail "
                "address or phone number stands in a passage that the class rests on, found by patterns. “Leaks”: generations out of which a training "
                "document came, of a thousand."
            }
            @for strategy in setting.plain_strategies() {
                @if setting.strategies.len() > 1 { h3 { (visible(strategy)) } }
                (tables_of(setting, strategy))
            }
            @for strategy in setting.strategies.iter().filter(|strategy| !strategy.is_plain()) {
                details {
                    summary { (visible(&strategy.name)) }
                    (tables_of(setting, &strategy.name))
                }
            }
        }
    }
}

fn tables_of(setting: &Setting, strategy: &str) -> Markup {
    html! {
        (dense_table(&format!("Own document, by its copies, {strategy}"), &own_document(setting, strategy)))
        (dense_table(&format!("Any training document, by prompts, {strategy}"), &any_document(setting, strategy)))
    }
}

fn own_document(setting: &Setting, strategy: &str) -> Markup {
    let seen = Where {
        split: Split::Train,
        strategy: Some(strategy),
    };
    let scored = Where {
        strategy: None,
        ..seen
    };
    html! {
        thead { tr {
            th scope="col" { "Tuning" }
            th scope="col" class="n" { "Copies" }
            th scope="col" class="n" { "Docs" }
            th scope="col" class="n" { "Verbatim" }
            th scope="col" class="n" { "Paraphrase" }
            th scope="col" class="n" { "Idea" }
            th scope="col" class="n" { "Any" }
            th scope="col" class="n" { "Control" small { "verbatim" } }
            th scope="col" class="n" { "Control" small { "any" } }
            th scope="col" class="n" { "Came out" small { "any generation" } }
            th scope="col" class="n" { "Similarity" small { "own document" } }
            th scope="col" class="n" { "Loss" small { "nats per token" } }
        } }
        @for (label, series) in setting.shown() {
            tbody {
                @for (position, &copies) in setting.copies.iter().enumerate() {
                    @let estimate = |measure| series.estimate(measure, seen, Some(copies));
                    @let control = |measure| Control::of(series, measure, seen, Some(copies));
                    @let any = estimate(Measure::OwnAny);
                    tr {
                        th scope="row" { @if position == 0 { (chip(&series.mode, label)) } }
                        td class="n" { (copies) }
                        td class="n" { (any.map_or(0, |any| any.documents)) }
                        (rate_cell(estimate(Measure::OwnVerbatim).as_ref()))
                        (rate_cell(estimate(Measure::OwnParaphrase).as_ref()))
                        (rate_cell(estimate(Measure::OwnIdea).as_ref()))
                        (rate_cell(any.as_ref()))
                        (control_cell(control(Measure::OwnVerbatim).as_ref()))
                        (control_cell(control(Measure::OwnAny).as_ref()))
                        (rate_cell(estimate(Measure::DocumentsEmitted).as_ref()))
                        (similarity_cell(series, estimate(Measure::Similarity(Against::Own)).as_ref()))
                        (number_cell(series.estimate(Measure::Loss, scored, Some(copies)).as_ref(), 2))
                    }
                }
            }
        }
    }
}

fn any_document(setting: &Setting, strategy: &str) -> Markup {
    let prompts = [
        ("seen", Split::Train),
        ("never seen", Split::Heldout),
        ("none", Split::None),
    ];
    html! {
        thead { tr {
            th scope="col" { "Tuning" }
            th scope="col" { "Prompts" }
            th scope="col" class="n" { "Verbatim" }
            th scope="col" class="n" { "Boilerplate" }
            th scope="col" class="n" { "Personal" small { "details" } }
            th scope="col" class="n" { "Paraphrase" }
            th scope="col" class="n" { "Idea" }
            th scope="col" class="n" { "Any" }
            th scope="col" class="n" { "Control" small { "verbatim" } }
            th scope="col" class="n" { "Control" small { "any" } }
            th scope="col" class="n" { "Leaks" small { "of 1000" } }
            th scope="col" class="n" { "≥ " (EXTRACTED_CHARS) " chars" }
            th scope="col" class="n" { "Matched" }
            th scope="col" class="n" { "Similarity" small { "training text" } }
            th scope="col" class="n" { "Similarity" small { "as many sentences" } }
            th scope="col" class="n" { "Similarity" small { "held-out text" } }
        } }
        @for (label, series) in setting.shown() {
            tbody {
                @for (position, (name, split)) in prompts.into_iter().enumerate() {
                    (any_document_row(series, (position == 0).then_some(label), name, Where { split, strategy: Some(strategy) }))
                }
            }
        }
    }
}

fn any_document_row(series: &Series, label: Option<&str>, prompts: &str, at: Where<'_>) -> Markup {
    let estimate = |measure| series.estimate(measure, at, None);
    let control = |measure| Control::of(series, measure, at, None);
    let similarity = |against| similarity_cell(series, estimate(Measure::Similarity(against)).as_ref());
    let Some(any) = estimate(Measure::Any) else {
        return html! {};
    };
    html! {
        tr {
            th scope="row" { @if let Some(label) = label { (chip(&series.mode, label)) } }
            td { (prompts) }
            (rate_cell(estimate(Measure::Verbatim).as_ref()))
            (rate_cell(estimate(Measure::Boilerplate).as_ref()))
            (rate_cell(estimate(Measure::PersonalDetails).as_ref()))
            (rate_cell(estimate(Measure::Paraphrase).as_ref()))
            (rate_cell(estimate(Measure::Idea).as_ref()))
            (rate_cell(Some(&any)))
            (control_cell(control(Measure::Verbatim).as_ref()))
            (control_cell(control(Measure::Any).as_ref()))
            (number_cell(estimate(Measure::Leaks).as_ref(), 0))
            (rate_cell(estimate(Measure::Extracted).as_ref()))
            (rate_cell(estimate(Measure::MatchedCharsShare).as_ref()))
            (similarity(Against::Training))
            (similarity(Against::Comparable))
            (similarity(Against::HeldOut))
        }
    }
}

/// One row a cell: every model, learning rate, layout and seed.
pub(super) fn by_cell(analysis: &Analysis<'_>) -> Markup {
    let content = html! {
        thead { tr {
            th scope="col" { "Cell" }
            th scope="col" class="n" { "Trained" small { "parameters" } }
            th scope="col" class="n" { "Rate" }
            th scope="col" { "Decoding" }
            th scope="col" class="n" { "Copies" }
            th scope="col" class="n" { "Verbatim" small { "own document" } }
            th scope="col" class="n" { "Any" small { "own document" } }
            th scope="col" class="n" { "Any" small { "training text after unseen openings" } }
            th scope="col" class="n" { "Held-out loss" }
        } }
        tbody {
            @for setting in &analysis.settings {
                @for series in setting.base.iter().chain(setting.variants.iter().flat_map(Variant::every_series)) {
                    @for &cell in &series.cells { (cell_rows(analysis, setting, cell)) }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Every cell" }
            @let cells = analysis.cell_names().len();
            @let apart = analysis.cells.iter().filter(|cell| cell.data.cell.canaries_apart)
                .map(|cell| cell.data.cell.name.as_str()).collect::<BTreeSet<_>>().len();
            details open[cells <= 6] {
                summary { (cells) " cells: models × ways of tuning × learning rates × layouts × seeds" @if apart > 0 { "; " (apart) " of them with canaries apart, of which exposure alone is shown" } }
                (dense_table("Every cell", &content))
            }
        }
    }
}

fn cell_rows(analysis: &Analysis<'_>, setting: &Setting, index: usize) -> Markup {
    let cell = &analysis.cells[index];
    let facts = &cell.data.cell;
    let estimate = |measure: Measure, split, strategy, copies| {
        let at = Where { split, strategy };
        cell.tallies.estimate(measure, at, copies, analysis.bootstrap)
    };
    let name = match cell.data.checkpoint {
        Some(checkpoint) => format!("{}, {checkpoint}", facts.name),
        None => facts.name.clone(),
    };
    let copies = cell.tallies.copies().last().copied();
    html! {
        @for (position, strategy) in setting.plain_strategies().enumerate() {
            tr class=[(position > 0).then_some("more")] {
                th scope="row" { @if position == 0 { (chip(&facts.mode, &visible(&name))) } }
                td class="n" { @if position == 0 { (count(u64::try_from(facts.trainable_parameters).unwrap_or(0))) } }
                td class="n" { @if position == 0 && let Some(rate) = facts.learning_rate { (rate_name(rate)) } }
                td { (visible(strategy)) }
                td class="n" { @if let Some(copies) = copies { (copies) } }
                (rate_cell(estimate(Measure::OwnVerbatim, Split::Train, Some(strategy), copies).as_ref()))
                (rate_cell(estimate(Measure::OwnAny, Split::Train, Some(strategy), copies).as_ref()))
                (rate_cell(estimate(Measure::Any, Split::Heldout, Some(strategy), None).as_ref()))
                (number_cell(estimate(Measure::Loss, Split::Heldout, None, None).as_ref(), 2))
            }
        }
    }
}
