//! The tables behind the plots: by copies for what is shown, and every cell.

use contract::records::Split;
use maud::{Markup, html};

use super::{chip, dense_table, number_cell, rate_cell, visible};
use crate::analysis::{Analysis, Series, Setting};
use crate::format::{count, rate_name};
use crate::measure::{Against, EXTRACTED_CHARS, Measure};
use crate::tallies::Where;

/// Modes × copies, with what was never seen as a row of its own.
pub(super) fn by_copies(setting: &Setting) -> Markup {
    html! {
        section {
            h2 { "Every rate" }
            p {
                "Share of generations in each class, with 95% intervals: Wilson’s where each document was continued once, "
                "the bootstrap over documents where more often. “Matched” is the share of generated characters inside a "
                "matched passage: long generations have more chances. “Boilerplate”: verbatim, but only with passages that stand in "
                "many training documents, so that they are the secret of none. “Personal details”: a name, number, e-mail "
                "address or phone number stands in a matched passage, found by patterns."
            }
            @for strategy in setting.plain_strategies() {
                @if setting.strategies.len() > 1 { h3 { (visible(strategy)) } }
                (dense_table(&format!("Rates by copies, {strategy}"), &by_copies_content(setting, strategy)))
            }
            @for strategy in setting.strategies.iter().filter(|strategy| !strategy.is_plain()) {
                details {
                    summary { (visible(&strategy.name)) }
                    (dense_table(&format!("Rates by copies, {}", strategy.name), &by_copies_content(setting, &strategy.name)))
                }
            }
        }
    }
}

fn by_copies_content(setting: &Setting, strategy: &str) -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Tuning" }
            th scope="col" class="n" { "Copies" }
            th scope="col" class="n" { "Docs" }
            th scope="col" class="n" { "Verbatim" }
            th scope="col" class="n" { "Boilerplate" }
            th scope="col" class="n" { "Personal" small { "details" } }
            th scope="col" class="n" { "Paraphrase" }
            th scope="col" class="n" { "Idea" }
            th scope="col" class="n" { "Any" }
            th scope="col" class="n" { "≥ " (EXTRACTED_CHARS) " chars" }
            th scope="col" class="n" { "Matched" }
            th scope="col" class="n" { "Similarity" small { "training set" } }
            th scope="col" class="n" { "Similarity" small { "own document" } }
            th scope="col" class="n" { "Loss" small { "nats per token" } }
        } }
        @for (label, series) in setting.shown() {
            tbody {
                @for (position, (name, split, copies)) in groups(setting).into_iter().enumerate() {
                    (by_copies_row(series, (position == 0).then_some(label), &name, Where { split, strategy: Some(strategy) }, copies))
                }
            }
        }
    }
}

fn groups(setting: &Setting) -> Vec<(String, Split, Option<i32>)> {
    let seen = setting
        .copies
        .iter()
        .map(|copies| (copies.to_string(), Split::Train, Some(*copies)));
    let unprompted = [("no prompt".to_owned(), Split::None, None)];
    std::iter::once(("never seen".to_owned(), Split::Heldout, None))
        .chain(seen)
        .chain(unprompted)
        .collect()
}

fn by_copies_row(
    series: &Series,
    label: Option<&str>,
    name: &str,
    at: Where<'_>,
    copies: Option<i32>,
) -> Markup {
    let estimate = |measure| series.estimate(measure, at, copies);
    let Some(any) = estimate(Measure::Any) else {
        return html! {};
    };
    let loss = series.estimate(
        Measure::Loss,
        Where {
            split: at.split,
            strategy: None,
        },
        copies,
    );
    html! {
        tr {
            th scope="row" { @if let Some(label) = label { (chip(&series.mode, label)) } }
            td class="n" { (name) }
            td class="n" { (any.documents) }
            (rate_cell(estimate(Measure::Verbatim).as_ref()))
            (rate_cell(estimate(Measure::Boilerplate).as_ref()))
            (rate_cell(estimate(Measure::PersonalDetails).as_ref()))
            (rate_cell(estimate(Measure::Paraphrase).as_ref()))
            (rate_cell(estimate(Measure::Idea).as_ref()))
            (rate_cell(Some(&any)))
            (rate_cell(estimate(Measure::Extracted).as_ref()))
            (rate_cell(estimate(Measure::MatchedCharsShare).as_ref()))
            (number_cell(estimate(Measure::Similarity(Against::Training)).as_ref(), 2))
            (number_cell(estimate(Measure::Similarity(Against::Own)).as_ref(), 2))
            (number_cell(loss.as_ref(), 2))
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
            th scope="col" class="n" { "Verbatim" }
            th scope="col" class="n" { "Any" }
            th scope="col" class="n" { "Any" small { "never seen" } }
            th scope="col" class="n" { "Held-out loss" }
        } }
        tbody {
            @for setting in &analysis.settings {
                @for series in setting.base.iter().chain(setting.variants.iter().flat_map(|variant| &variant.series)) {
                    @for &cell in &series.cells { (cell_rows(analysis, setting, cell)) }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Every cell" }
            details open[analysis.cells.len() <= 6] {
                summary { (analysis.cells.len()) " cells: models × ways of tuning × learning rates × layouts × seeds" }
                (dense_table("Every cell", &content))
            }
        }
    }
}

fn cell_rows(analysis: &Analysis<'_>, setting: &Setting, index: usize) -> Markup {
    let cell = &analysis.cells[index];
    let facts = &cell.data.cell;
    let estimate = |measure: Measure, split, strategy, copies| {
        let tallies = cell.tallies.of(measure, Where { split, strategy }, copies);
        crate::rates::Estimate::of(&tallies, measure.kind(), analysis.bootstrap)
    };
    let copies = cell.tallies.copies().last().copied();
    html! {
        @for (position, strategy) in setting.plain_strategies().enumerate() {
            tr class=[(position > 0).then_some("more")] {
                th scope="row" { @if position == 0 { (chip(&facts.mode, &visible(&facts.name))) } }
                td class="n" { @if position == 0 { (count(u64::try_from(facts.trainable_parameters).unwrap_or(0))) } }
                td class="n" { @if position == 0 && let Some(rate) = facts.learning_rate { (rate_name(rate)) } }
                td { (visible(strategy)) }
                td class="n" { @if let Some(copies) = copies { (copies) } }
                (rate_cell(estimate(Measure::Verbatim, Split::Train, Some(strategy), copies).as_ref()))
                (rate_cell(estimate(Measure::Any, Split::Train, Some(strategy), copies).as_ref()))
                (rate_cell(estimate(Measure::Any, Split::Heldout, Some(strategy), None).as_ref()))
                (number_cell(estimate(Measure::Loss, Split::Heldout, None, None).as_ref(), 2))
            }
        }
    }
}
