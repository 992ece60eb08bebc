//! What was tried and found, by what an attacker has: text alone, probabilities, or the weights.

use contract::prompt_form::Access;
use contract::records::Split;
use maud::{Markup, html};

use super::components::{Cell, Column, Form, Layout, Row, Table};
use super::glossary::anchors;
use super::view::{View, copies_name};
use crate::estimate::groups::Strategy;
use crate::estimate::measure::RankedDetail;
use crate::estimate::membership::FALSE_POSITIVE_RATES;
use crate::estimate::{Experiment, Measure, MembershipScore, Slice, TRAINED};
use crate::format::percent;

pub(super) fn section(view: &View<'_>) -> Markup {
    html! {
        p { "How much an attacker can do depends on what the model is given out with." }
        (view.by_experiment(|experiment| html! {
            h4 { "Text alone, as through a chat or an API without probabilities" }
            (shown(text_alone(view, experiment), "Nothing of this kind was tried."))
            h4 { "Probabilities of tokens too" }
            (shown(probabilities(view, experiment), "Nothing of this kind was tried: documents were not scored."))
            h4 { "The weights" }
            (shown(weights(view, experiment), "Everything above applies. Nothing that takes the weights, such as prompts found by gradient \
                search, was tried."))
        }))
    }
}

fn shown(table: Table, otherwise: &str) -> Markup {
    let (table, empty) = table.without_empty_columns();
    html! {
        @if table.columns.len() > 1 { (table.render()) (empty.note()) } @else if empty.zero.is_empty() { p { (otherwise) } } @else { (empty.note()) }
    }
}

/// A measure as a column.
struct Asked {
    column: Column,
    measure: String,
    split: Split,
    strategy: Option<String>,
    copies: Option<i32>,
    form: Form,
}

fn table(view: &View<'_>, experiment: &Experiment, caption: &str, asked: Vec<Asked>) -> Table {
    let rows = view.estimates.shown(experiment).into_iter().map(|group| Row {
        head: view.row_head(group),
        cells: asked
            .iter()
            .map(|asked| {
                let at = Slice {
                    split: asked.split,
                    strategy: asked.strategy.as_deref(),
                };
                Cell::shown(
                    view.figure(group, &asked.measure, at, asked.copies),
                    asked.form,
                    "not asked of this model",
                )
            })
            .collect(),
    });
    let rows = rows.collect();
    Table {
        caption: caption.to_owned(),
        columns: std::iter::once(Column::new("Model"))
            .chain(asked.into_iter().map(|asked| asked.column))
            .collect(),
        rows,
        layout: Layout::Scroll,
    }
}

fn text_alone(view: &View<'_>, experiment: &Experiment) -> Table {
    let copies = experiment.most_copies();
    let mut asked = Vec::new();
    for strategy in taking(experiment, Access::Text) {
        asked.extend(what_comes_out(strategy, copies));
    }
    let groups = view.estimates.shown(experiment);
    let mut groups = groups.iter();
    if groups.any(|&group| {
        view.figure(group, Measure::OwnVerbatimPrompts, TRAINED, copies)
            .is_some()
    }) {
        let of_copies = copies.map_or(String::new(), |copies| format!("; {}", copies_name(copies)));
        asked.push(Asked {
            column: Column::new("Prompts of a document").with_help(format!(
                "distinct ones after which it came out, on average, of all strategies{of_copies}"
            )),
            measure: Measure::OwnVerbatimPrompts.to_string(),
            split: Split::Train,
            strategy: None,
            copies,
            form: Form::Number(1),
        });
    }
    let caption = "Training text that came out word for word, by strategy. An attacker who can choose takes the largest, so that a row's largest \
                   figure is a maximum over strategies.";
    table(view, experiment, caption, asked)
}

/// The strategies that take so much of a model.
fn taking(experiment: &Experiment, access: Access) -> impl Iterator<Item = &Strategy> {
    let strategies = experiment.strategies.iter();
    strategies.filter(move |strategy| strategy.access() == access)
}

/// What a strategy brings out word for word: the documents asked for, and any training text.
fn what_comes_out(strategy: &Strategy, copies: Option<i32>) -> [Asked; 3] {
    let of_copies = copies.map_or(String::new(), |copies| format!(", {}", copies_name(copies)));
    [
        (
            format!("own document{of_copies}"),
            Measure::OwnVerbatim,
            Split::Train,
            copies,
        ),
        (
            "any training text, unseen prompts".to_owned(),
            Measure::TrainingTextEmitted,
            Split::Heldout,
            None,
        ),
        (
            "any training text, no document's prompt".to_owned(),
            Measure::TrainingTextEmitted,
            Split::None,
            None,
        ),
    ]
    .map(|(what, measure, split, copies)| Asked {
        column: Column::new(format!("“{}”", strategy.name)).with_help(what),
        measure: measure.to_string(),
        split,
        strategy: Some(strategy.name.clone()),
        copies,
        form: Form::Count,
    })
}

fn probabilities(view: &View<'_>, experiment: &Experiment) -> Table {
    let copies = experiment.most_copies();
    let of_copies = copies.map_or(String::new(), copies_name);
    let mut asked: Vec<Asked> = taking(experiment, Access::Probabilities)
        .flat_map(|strategy| what_comes_out(strategy, copies))
        .collect();
    let mut add = |column: Column, measure: String, form: Form| {
        asked.push(Asked {
            column,
            measure,
            split: Split::Train,
            strategy: None,
            copies,
            form,
        });
    };
    for score in MembershipScore::ALL
        .into_iter()
        .filter(|score| !score.takes_weights())
    {
        let rate = view
            .false_positive_rate(experiment, score)
            .unwrap_or(FALSE_POSITIVE_RATES[0]);
        // How many are found is said of the one score that every table goes by.
        if view.estimates.membership_score(experiment) == Some(score) {
            add(
                Column::new(format!("Members at {} false alarms", percent(rate)))
                    .with_help(format!("by {}; {of_copies}", score.title()))
                    .with_term(anchors::FALSE_ALARMS),
                score.tpr(rate),
                Form::Count,
            );
        }
        add(
            Column::new("AUC")
                .with_help(format!("by {}; {of_copies}", score.title()))
                .with_term(anchors::AUC),
            score.auc(),
            Form::Number(2),
        );
    }
    add(
        Column::new("Secrets ranked")
            .with_help(format!("exposure in bits; {of_copies}"))
            .with_term(anchors::EXPOSURE),
        Measure::Exposure.to_string(),
        Form::Number(1),
    );
    let groups = view.estimates.shown(experiment);
    // Where training took loss on all of the text, there are none outside it.
    let is_there = |details: &RankedDetail| {
        let measure = Measure::DetailPicked(*details);
        let mut groups = groups.iter();
        details.in_loss || groups.any(|&group| view.figure(group, measure, TRAINED, copies).is_some())
    };
    for details in RankedDetail::all().filter(is_there) {
        add(
            Column::new("Details picked")
                .with_help(format!(
                    "{} among others of their kind; {of_copies}",
                    details.title()
                ))
                .with_term(anchors::DETAILS_RANKED),
            Measure::DetailPicked(details).to_string(),
            Form::Count,
        );
    }
    add(
        Column::new("Tokens guessed")
            .with_help(format!("first choices; {of_copies}"))
            .with_term(anchors::EXTRACTABLE),
        Measure::ExactMemorization.to_string(),
        Form::Number(2),
    );
    let caption = "What the probabilities of tokens give away. All scores are shown: the best of them is a maximum. \
                   Words alone ask no model: no membership is claimed that does not exceed them.";
    table(view, experiment, caption, asked)
}

fn weights(view: &View<'_>, experiment: &Experiment) -> Table {
    let mut asked = Vec::new();
    for strategy in taking(experiment, Access::Weights) {
        for (what, measure, form) in [
            (
                "documents that a shorter prompt brings forth",
                Measure::Compressed,
                Form::Count,
            ),
            (
                "tokens of text per token of prompt",
                Measure::CompressionRatio,
                Form::Number(2),
            ),
            ("own document, word for word", Measure::OwnVerbatim, Form::Count),
        ] {
            asked.push(Asked {
                column: Column::new(format!("“{}”", strategy.name)).with_help(what),
                measure: measure.to_string(),
                split: Split::Train,
                strategy: Some(strategy.name.clone()),
                copies: None,
                form,
            });
        }
    }
    let copies = experiment.most_copies();
    for score in MembershipScore::ALL
        .into_iter()
        .filter(|score| score.takes_weights())
    {
        let of_copies = copies.map_or(String::new(), |copies| format!("; {}", copies_name(copies)));
        asked.push(Asked {
            column: Column::new("AUC")
                .with_help(format!("by {}{of_copies}", score.title()))
                .with_term(anchors::AUC),
            measure: score.auc(),
            split: Split::Train,
            strategy: None,
            copies,
            form: Form::Number(2),
        });
    }
    table(
        view,
        experiment,
        "What prompts found by gradient search bring out, and what gradients give away of training documents.",
        asked,
    )
}
