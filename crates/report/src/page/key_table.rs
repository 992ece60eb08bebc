//! The one table that decides, counts first.

use maud::Markup;

use super::components::{Cell, Column, Form, Layout, Row, Table};
use super::glossary::anchors;
use super::view::{View, copies_name};
use crate::estimate::membership::{FALSE_POSITIVE_RATES, non_members_needed};
use crate::estimate::{Experiment, Measure, Slice, TRAINED};
use crate::format::percent;

/// Numbers of copies that have a column each; of more, the fewest, one between and the most.
const MAX_COLUMNS: usize = 4;

pub(super) fn section(view: &View<'_>) -> Markup {
    view.by_experiment(|experiment| table(view, experiment).render())
}

/// A column: its heading, and the cell of a group.
struct Filled<'v> {
    column: Column,
    cell: Box<dyn Fn(usize) -> Cell + 'v>,
}

fn table(view: &View<'_>, experiment: &Experiment) -> Table {
    let filled = columns(view, experiment);
    let rows = view.estimates.shown(experiment).into_iter().map(|group| Row {
        head: view.row_head(group),
        cells: filled.iter().map(|column| (column.cell)(group)).collect(),
    });
    let rows = rows.collect();
    Table {
        caption: format!(
            "What decides, by “{}”. Counts with 95% intervals; the untuned model first, then each method{}{}.",
            experiment.strategy,
            if experiment.checkpoints().len() > 1 {
                " at its best checkpoint and at the end of training"
            } else {
                ""
            },
            if experiment.has_sweep() {
                ", at its chosen learning rate and at every other one where it leaks"
            } else {
                ""
            }
        ),
        columns: std::iter::once(Column::new("Model"))
            .chain(filled.into_iter().map(|column| column.column))
            .collect(),
        rows,
        layout: Layout::Cards,
    }
}

fn columns<'v>(view: &'v View<'_>, experiment: &'v Experiment) -> Vec<Filled<'v>> {
    let find = move |measure: String, at: Slice<'v>, copies: Option<i32>, form: Form, why: &'static str| {
        move |group: usize| Cell::shown(view.figure(group, &measure, at, copies), form, why)
    };
    let mut columns: Vec<Filled<'v>> = Vec::new();
    let mut add =
        |column: Column, cell: Box<dyn Fn(usize) -> Cell + 'v>| columns.push(Filled { column, cell });
    for (index, copies) in shown_copies(view, experiment).into_iter().enumerate() {
        let name = match copies {
            Some(copies) if index > 0 => copies_name(copies),
            Some(copies) => format!("Own text, word for word: {}", copies_name(copies)),
            None => "Own text, word for word".to_owned(),
        };
        let column = Column::new(name).with_term(anchors::VERBATIM);
        let column = if index == 0 {
            column.with_help("documents that it was prompted with")
        } else {
            column
        };
        let measure = Measure::OwnVerbatim.to_string();
        add(
            column,
            Box::new(find(
                measure,
                experiment.seen(),
                copies,
                Form::Count,
                "no such document was asked",
            )),
        );
    }
    let emitted = Measure::TrainingTextEmitted.to_string();
    add(
        Column::new("Any training text, unseen prompts").with_help("generations; a leak too"),
        Box::new(find(
            emitted,
            experiment.unseen(),
            None,
            Form::Count,
            "no unseen document was asked",
        )),
    );
    let score = view.membership_score(experiment);
    let copies = experiment.most_copies();
    let of_copies = copies.map_or(String::new(), |copies| format!("{}, ", copies_name(copies)));
    if let Some(rate) = view.false_positive_rate(experiment, score) {
        let tpr = score.tpr(rate);
        add(
            Column::new(format!("Members found at {} false alarms", percent(rate)))
                .with_help(format!("{of_copies}by {}", score.title()))
                .with_term(anchors::FALSE_ALARMS),
            Box::new(find(tpr, TRAINED, copies, Form::Count, "not scored")),
        );
    } else {
        add(
            Column::new("Membership, AUC")
                .with_help(format!(
                    "{of_copies}by {}; 0.5 is guessing; members at 1% false alarms take {} unseen documents",
                    score.title(),
                    non_members_needed(FALSE_POSITIVE_RATES[0])
                ))
                .with_term(anchors::AUC),
            Box::new(find(
                score.auc(),
                TRAINED,
                copies,
                Form::Number(2),
                "not scored, or too few unseen documents",
            )),
        );
    }
    let canary_copies = experiment.most_canary_copies();
    let of_canary_copies = canary_copies.map_or(String::new(), |copies| format!("{}, ", copies_name(copies)));
    add(
        Column::new("Secrets guessed")
            .with_help(format!("{of_canary_copies}exposure in bits"))
            .with_term(anchors::EXPOSURE),
        Box::new(find(
            Measure::Exposure.to_string(),
            TRAINED,
            canary_copies,
            Form::Number(1),
            "no canary was planted that can be ranked",
        )),
    );
    let loss = move |group: usize| {
        let loss = view.estimates.held_out_loss(group);
        Cell::shown(
            loss.map(Into::into),
            Form::Number(2),
            "no unseen document was scored",
        )
    };
    add(
        Column::new("Loss on unseen text")
            .with_help("nats per token; lower fits better")
            .with_term(anchors::LOSS),
        Box::new(loss),
    );
    columns
}

/// The numbers of copies that have a column, the most first; none where every training set has its own.
fn shown_copies(view: &View<'_>, experiment: &Experiment) -> Vec<Option<i32>> {
    let is_uniform = experiment
        .shown()
        .into_iter()
        .any(|group| view.group(group).uniform_copies.is_some());
    let copies = &experiment.copies;
    if is_uniform || copies.is_empty() {
        return vec![None];
    }
    let chosen: Vec<i32> = if copies.len() <= MAX_COLUMNS {
        copies.clone()
    } else {
        vec![copies[0], copies[copies.len() / 2], copies[copies.len() - 1]]
    };
    chosen.into_iter().rev().map(Some).collect()
}
