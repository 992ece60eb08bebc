//! Memorization against copies, with both floors.

use contract::records::Split;
use maud::{Markup, html};

use super::{looks, panels, prose};
use crate::analysis::{Analysis, Setting};
use crate::findings::trend_sentence;
use crate::measure::Measure;
use crate::plots::dose::DoseLine;
use crate::plots::{DosePlot, Unit, round_share};
use crate::rates::Estimate;
use crate::tallies::Where;

pub(super) fn memorization(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let others = setting
        .plain_strategies()
        .filter(|strategy| *strategy != setting.strategy);
    let strategies = std::iter::once(setting.strategy.as_str()).chain(others);
    let mut drawn = Vec::new();
    for strategy in strategies {
        let pair = [Measure::Any, Measure::Verbatim];
        let lines: Vec<Vec<DoseLine>> = pair
            .iter()
            .map(|&measure| doses(setting, measure, strategy))
            .collect();
        let highest = round_share(lines.iter().flatten().map(highest_end).fold(0.0, f64::max));
        for (measure, lines) in pair.into_iter().zip(lines) {
            let what = if measure == Measure::Any {
                "Verbatim, paraphrase or idea"
            } else {
                "Verbatim alone"
            };
            let plot = DosePlot {
                title: format!("{what}: share of generations against copies, for each way of tuning"),
                unit: Unit::Share,
                range: Some((0.0, highest)),
                references: Vec::new(),
                lines,
            };
            drawn.extend(
                plot.draw()
                    .map(|drawing| (format!("{what} · {strategy}"), drawing)),
            );
        }
    }
    html! {
        section {
            h2 { "Memorization against copies" }
            p {
                "Share of generations that repeat training text. Left of the dashed line: the same tuned models, prompted with "
                "documents that they never saw. Grey: the untuned model on the same documents, with its interval. A rate "
                "means something only as far as it stands clear of both."
            }
            @if let Some(sentence) = trend_sentence(setting, Measure::Any, analysis) { p class="finding" { (prose(&sentence)) } }
            (panels(&drawn))
        }
    }
}

/// A line for each shown series.
pub(super) fn doses(setting: &Setting, measure: Measure, strategy: &str) -> Vec<DoseLine> {
    setting
        .shown()
        .zip(looks(setting))
        .map(|((label, series), look)| {
            let seen = Where {
                split: Split::Train,
                strategy: Some(strategy),
            };
            let unseen = Where {
                split: Split::Heldout,
                strategy: Some(strategy),
            };
            DoseLine {
                look,
                label: label.to_owned(),
                unseen: series.estimate(measure, unseen, None),
                points: points_over_copies(setting, |copies| series.estimate(measure, seen, Some(copies))),
            }
        })
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
