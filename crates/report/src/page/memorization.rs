//! Memorization against copies, with its floors: of the prompt's own document, and of any document by its own copies.

use contract::records::Split;
use maud::{Markup, html};

use super::{look_of, panels, prose};
use crate::analysis::{Analysis, Series, Setting, View};
use crate::claims::Control;
use crate::findings::trend_sentences;
use crate::measure::Measure;
use crate::plots::dose::DoseLine;
use crate::plots::{DosePlot, Unit, round_share};
use crate::rates::Estimate;
use crate::tallies::Where;

/// What is drawn, with what it is called.
const DRAWN: [(Measure, &str); 3] = [
    (Measure::OwnAny, "Own document: verbatim, paraphrase or idea"),
    (Measure::OwnVerbatim, "Own document: verbatim alone"),
    (Measure::DocumentsEmitted, "Documents that came out at least once"),
];

pub(super) fn memorization(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let views: Vec<(String, Vec<(String, Markup)>)> = setting
        .views()
        .iter()
        .map(|view| (view.name().to_owned(), drawn(setting, view)))
        .collect();
    html! {
        section {
            h2 { "Memorization against copies" }
            p {
                "Share of generations that repeat the document whose opening they were given, by that document’s copies. Left of the dashed "
                "line, the control: the same generations matched with held-out text. Grey: the untuned model, with its interval. A rate "
                "means something only as far as it stands clear of both. Where it was recorded: the share of the training documents of each number "
                "of copies that came out of some generation at least once, whatever that was prompted with."
            }
            @for sentence in trend_sentences(setting, Measure::OwnAny, analysis) { p class="finding" { (prose(&sentence)) } }
            @for (name, drawn) in &views {
                @if !name.is_empty() { h3 { (super::capital(name)) } }
                (panels(drawn))
            }
        }
    }
}

/// The panels of all plain strategies, the setting's own first.
fn drawn(setting: &Setting, view: &View<'_>) -> Vec<(String, Markup)> {
    let others = setting
        .plain_strategies()
        .filter(|strategy| *strategy != setting.strategy);
    let mut drawn = Vec::new();
    for strategy in std::iter::once(setting.strategy.as_str()).chain(others) {
        let lines = DRAWN.map(|(measure, _)| doses(setting, view, measure, strategy));
        let highest = round_share(lines.iter().flatten().map(highest_end).fold(0.0, f64::max));
        for ((_, what), lines) in DRAWN.into_iter().zip(lines) {
            let plot = DosePlot {
                title: format!("{what}, against copies, for each way of tuning"),
                unit: Unit::Share,
                range: Some((0.0, highest)),
                references: Vec::new(),
                left: "control",
                lines,
            };
            drawn.extend(
                plot.draw()
                    .map(|drawing| (format!("{what} · {strategy}"), drawing)),
            );
        }
    }
    drawn
}

/// A line for the untuned model and each way of tuning.
fn doses(setting: &Setting, view: &View<'_>, measure: Measure, strategy: &str) -> Vec<DoseLine> {
    let seen = Where {
        split: Split::Train,
        strategy: Some(strategy),
    };
    view.with_base(setting)
        .map(|series: &Series| DoseLine {
            look: look_of(setting, &series.label),
            label: view.label(series).to_owned(),
            unseen: Control::of(series, measure, seen, None).map(|control| control.floor()),
            points: points_over_copies(setting, |copies| series.estimate(measure, seen, Some(copies))),
        })
        .filter(|line| !line.points.is_empty())
        .collect()
}

/// An estimate at each number of copies that has one.
pub(super) fn points_over_copies(
    setting: &Setting,
    estimate: impl Fn(i32) -> Option<Estimate>,
) -> Vec<(i32, Estimate)> {
    let copies = setting.copies.iter().filter(|copies| **copies > 0);
    copies
        .filter_map(|&copies| Some((copies, estimate(copies)?)))
        .collect()
}

fn highest_end(line: &DoseLine) -> f64 {
    line.points
        .iter()
        .map(|(_, estimate)| estimate)
        .chain(&line.unseen)
        .map(|estimate| estimate.interval.map_or(estimate.value, |interval| interval.high))
        .fold(0.0, f64::max)
}
