//! Two plots: what comes out by copies, and against the loss on unseen text.

use maud::{Markup, html};

use super::components::{Cell, Column, Figure, Form, Layout, Row, Table, details, sentence, visible};
use super::view::{View, copies_name};
use crate::estimate::frontier::{dominating, placed};
use crate::estimate::rows::EPOCHS_TRAINED;
use crate::estimate::{Experiment, Measure, TRAINED};
use crate::findings::{Sentence, capital, over_copies, overtrained, usefulness};
use crate::plot::{Axis, Draw, Plot, Point, ScaleKind, Series, SeriesStyle, Unit};
use crate::read::WhichCheckpoint;

pub(super) fn section(view: &View<'_>) -> Markup {
    view.by_experiment(|experiment| {
        let number = view
            .estimates
            .experiments
            .iter()
            .position(|other| std::ptr::eq(other, experiment));
        let number = number.unwrap_or_default() + 1;
        let drawn: Vec<Markup> = [
            by_copies(view, experiment, number),
            against_loss(view, experiment, number),
        ]
        .iter()
        .filter_map(Plot::draw)
        .collect();
        let useful = usefulness(view.estimates, experiment);
        let frontier = frontier_table(view, experiment);
        html! {
            @if !drawn.is_empty() { div class="plots" { @for plot in &drawn { (plot) } } }
            @if let Some(table) = &frontier { (details("Usefulness and leakage of every way of tuning, and which are dominated", &table.render())) }
            @if !useful.is_empty() { ul { @for one in &useful { li { (sentence(one)) } } } }
        }
    })
}

/// A point with the figure that it shows.
fn point(x: Option<f64>, found: &Figure, at: String, is_hollow: bool) -> Point {
    let ends = found.estimate.ends();
    Point {
        x,
        y: found.estimate.value,
        low: ends.map(|ends| ends.low),
        high: ends.map(|ends| ends.high),
        at,
        shown: found.text(Form::Count),
        row: Some(found.row),
        across: None,
        is_hollow,
    }
}

/// The groups that a plot shows, by what it names them: the untuned model, and each family at its chosen learning rate.
fn lines(view: &View<'_>, experiment: &Experiment) -> Vec<(String, SeriesStyle, bool, Vec<usize>)> {
    let mut lines = vec![(
        "Untuned".to_owned(),
        SeriesStyle::UNTUNED,
        false,
        experiment.untuned.clone(),
    )];
    for family in &experiment.families {
        let rate = &family.rates[family.chosen];
        let label = capital(&family.label);
        let style = rate
            .last
            .first()
            .or(rate.best.first())
            .map(|group| view.style(*group))
            .unwrap_or_default();
        if !rate.best.is_empty() {
            lines.push((format!("{label}, best"), style, true, rate.best.clone()));
        }
        lines.push((label, style, false, rate.last.clone()));
    }
    lines
}

fn by_copies(view: &View<'_>, experiment: &Experiment, number: usize) -> Plot {
    let measure = Measure::OwnVerbatim;
    let series = lines(view, experiment)
        .into_iter()
        .map(|(label, style, is_hollow, groups)| {
            let points = groups.iter().flat_map(|&group| {
                let copies: Vec<i32> = view
                    .group(group)
                    .uniform_copies
                    .map_or(experiment.copies.clone(), |copies| vec![copies]);
                copies.into_iter().filter_map(move |copies| {
                    let found = view.figure(group, measure, experiment.seen(), Some(copies))?;
                    Some(point(
                        Some(f64::from(copies)),
                        &found,
                        passes(view, group, copies),
                        is_hollow,
                    ))
                })
            });
            Series {
                is_baseline: style == SeriesStyle::UNTUNED,
                panel: Some(label.trim_end_matches(", best").to_owned()),
                label,
                style,
                draw: Draw::LineAndPoints,
                points: points.collect(),
            }
        });
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    Plot {
        id: format!("plot-copies-{number}"),
        finding: together(
            over_copies(view.estimates, experiment),
            "What comes out, by copies.",
        ),
        caption: format!(
            "Share of training documents that the model goes on with word for word, by “{}”, by their copies in the training set; bars: 95% \
             intervals.{}",
            experiment.strategy,
            hollow(experiment)
        ),
        across: Axis {
            label: "copies in the training set".to_owned(),
            scale: ScaleKind::Log2,
            ticks_at_values: true,
            ..Axis::default()
        },
        up: Axis {
            label: "own document, word for word".to_owned(),
            unit: Unit::Share,
            from_zero: true,
            ..Axis::default()
        },
        references: Vec::new(),
        series,
    }
}

/// Copies and, where they are known, passes.
fn passes(view: &View<'_>, group: usize, copies: i32) -> String {
    let epochs = view
        .figure(group, EPOCHS_TRAINED, TRAINED, None)
        .map(|found| found.estimate.value);
    match epochs {
        Some(epochs) => {
            let reads = if view.estimates.groups[group].each_text_once {
                1
            } else {
                copies
            };
            let passes = format!("{:.1}", epochs * f64::from(reads));
            {
                let passes = passes.trim_end_matches(".0");
                format!(
                    "{}, {passes} {}",
                    copies_name(copies),
                    if passes == "1" { "pass" } else { "passes" }
                )
            }
        }
        None => copies_name(copies),
    }
}

/// Sentences one after another, or else these words.
fn together(sentences: Vec<Sentence>, otherwise: &str) -> Sentence {
    let mut all = Sentence::default();
    for (position, one) in sentences.into_iter().enumerate() {
        all = if position > 0 {
            all.text(" ").join(one)
        } else {
            all.join(one)
        };
    }
    if all.is_empty() {
        Sentence::new(otherwise)
    } else {
        all
    }
}

/// What hollow and filled marks are, where there are both.
fn hollow(experiment: &Experiment) -> &'static str {
    if experiment.checkpoints().len() > 1 {
        " Hollow: best checkpoint; filled: end of training."
    } else {
        ""
    }
}

/// Every way of tuning by its loss on unseen text: what it repeats, and which other one is as good on both counts and better on one.
fn frontier_table(view: &View<'_>, experiment: &Experiment) -> Option<Table> {
    let placed = placed(view.estimates, experiment);
    let tuned = placed
        .iter()
        .filter(|one| !view.group(one.group).method.is_untuned());
    if experiment.is_audit() || tuned.count() < 2 {
        return None;
    }
    let copies = experiment.most_copies();
    let own = copies.map_or("Own text, word for word".to_owned(), |copies| {
        format!("Own text, word for word: {}", copies_name(copies))
    });
    let rows = placed.iter().map(|one| {
        let group = one.group;
        let dominated = match dominating(view.estimates, &placed, *one) {
            Some(by) => Cell::value(html! { "by " (visible(&view.group(by).label)) }),
            None => Cell::value(html! { "no" }),
        };
        Row {
            head: view.row_head(group),
            cells: vec![
                Cell::shown(
                    view.estimates.held_out_loss(group).map(Into::into),
                    Form::Number(3),
                    "not scored",
                ),
                Cell::shown(
                    view.figure(
                        group,
                        Measure::OwnVerbatim,
                        experiment.seen(),
                        view.group(group).uniform_copies.or(copies),
                    ),
                    Form::Count,
                    "no such document was asked",
                ),
                dominated,
            ],
        }
    });
    Some(Table {
        caption: "By the loss on unseen text. Dominated: another one fits unseen text as well and repeats as little, and is better on one of both; \
            the untuned model dominates where tuning was of no use. By the figures themselves: where intervals overlap, chance may have decided."
            .to_owned(),
        columns: [
            Column::new("Model"),
            Column::new("Loss on unseen text").with_help("nats per token; lower fits better"),
            Column::new(own),
            Column::new("Dominated"),
        ]
        .into(),
        rows: rows.collect(),
        layout: Layout::Cards,
    })
}

fn against_loss(view: &View<'_>, experiment: &Experiment, number: usize) -> Plot {
    let copies = experiment.most_copies();
    let at = |group: usize, is_hollow: bool| -> Option<Point> {
        let found = view.figure(group, Measure::OwnVerbatim, experiment.seen(), copies)?;
        let loss: Figure = view.estimates.held_out_loss(group)?.into();
        let checkpoint = match view.group(group).checkpoint {
            Some(WhichCheckpoint::Best) => "best checkpoint",
            Some(WhichCheckpoint::Last) => "end of training",
            Some(WhichCheckpoint::BestAndLast) => "end of training, also the best checkpoint",
            None => "the only checkpoint",
        };
        let rate = view
            .group(group)
            .method
            .learning_rate
            .map(|rate| format!("learning rate {rate:e}"));
        let name: Vec<String> = rate.into_iter().chain([checkpoint.to_owned()]).collect();
        Some(Point {
            across: Some((loss.text(Form::Number(2)), loss.row)),
            ..point(Some(loss.estimate.value), &found, name.join(", "), is_hollow)
        })
    };
    let untuned: Vec<Point> = experiment
        .untuned
        .iter()
        .filter_map(|&group| at(group, false))
        .collect();
    let mut series = vec![Series {
        label: "Untuned".to_owned(),
        style: SeriesStyle::UNTUNED,
        draw: Draw::Points,
        is_baseline: true,
        points: untuned,
        ..Series::default()
    }];
    for family in &experiment.families {
        let label = capital(&family.label);
        for (index, rate) in family.rates.iter().enumerate() {
            let is_chosen = index == family.chosen;
            let groups = rate
                .best
                .iter()
                .map(|group| (*group, true))
                .chain(rate.last.iter().map(|group| (*group, false)));
            let points: Vec<Point> = groups.filter_map(|(group, is_best)| at(group, is_best)).collect();
            let style = rate
                .last
                .first()
                .or(rate.best.first())
                .map(|group| view.style(*group))
                .unwrap_or_default();
            let name = rate
                .last
                .first()
                .filter(|_| family.rates.len() > 1)
                .map_or(label.clone(), |&group| capital(&view.group(group).method_label));
            series.push(Series {
                label: name,
                style,
                draw: if is_chosen || points.len() > 1 {
                    Draw::LineAndPoints
                } else {
                    Draw::Points
                },
                panel: Some(label.clone()),
                points,
                ..Series::default()
            });
        }
    }
    series.retain(|series| !series.points.is_empty());
    let of_copies = copies.map_or(String::new(), |copies| format!(" with {}", copies_name(copies)));
    Plot {
        id: format!("plot-loss-{number}"),
        finding: together(
            overtrained(view.estimates, experiment),
            "Leakage against usefulness: further left fits unseen text better, further up repeats more.",
        ),
        caption: format!(
            "Share of training documents{of_copies} that the model goes on with word for word, against its loss on unseen text.{}",
            hollow(experiment)
        ),
        across: Axis {
            label: "loss on unseen text, nats per token".to_owned(),
            ..Axis::default()
        },
        up: Axis {
            label: "own document, word for word".to_owned(),
            unit: Unit::Share,
            from_zero: true,
            ..Axis::default()
        },
        references: Vec::new(),
        series,
    }
}
