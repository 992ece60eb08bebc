//! Training curves of the series that stand for their modes.

use std::collections::BTreeMap;

use contract::records::{CoursePoint, Split, TrainingMetric};
use maud::{Markup, html};

use super::{look_of, panels};
use crate::analysis::{Analysis, Series, Setting, Variant};
use crate::format::rate_name;
use crate::plots::lines::Line;
use crate::plots::{LinePlot, Look, Unit};

pub(super) fn section(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let mut drawn = Vec::new();
    let followed = courses(setting, analysis);
    let logs = setting.variants.iter().filter_map(|variant| {
        let cell = variant.chosen().cells.first().copied();
        cell.and_then(|cell| analysis.cells[cell].data.metrics.as_deref())
            .map(|metrics| (variant, metrics))
    });
    for (variant, metrics) in logs {
        let plot = curves(&look_of(setting, &variant.chosen().label), metrics);
        drawn.extend(
            plot.draw()
                .map(|drawing| (run_label(variant, variant.chosen()), drawing)),
        );
    }
    html! {
        @if !drawn.is_empty() {
            section {
                h2 { "Training" }
                p {
                    "Loss over the passes through the training text: on what is learned (thin), and validation loss, on held-out documents (thick). "
                    "Where the thick line turns up, the model goes on learning its text by heart."
                }
                (panels(&drawn))
                @if !followed.is_empty() {
                    h3 { "Memorization over training" }
                    p {
                        "Share of documents whose continuation greedy decoding would give back word for word, at each checkpoint that was "
                        "kept; thin: share of the continuations' tokens that are the most probable ones. One line for each number of "
                        "copies, and one for documents that the model never saw. Nothing is drawn for this: the true tokens are read."
                    }
                    (panels(&followed))
                }
            }
        }
    }
}

/// A training run has one log, whichever of its checkpoints were asked.
fn run_label(variant: &Variant, series: &Series) -> String {
    let rate = series.learning_rate.map(rate_name);
    std::iter::once(variant.label.clone())
        .chain(rate)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A panel for each way and rate of tuning whose checkpoints were kept.
fn courses(setting: &Setting, analysis: &Analysis<'_>) -> Vec<(String, Markup)> {
    let series = setting
        .variants
        .iter()
        .flat_map(|variant| variant.series.iter().map(move |series| (variant, series)));
    series
        .filter_map(|(variant, series)| {
            let data = analysis.cells[*series.cells.first()?].data;
            let (points, metrics) = (data.course.as_deref()?, data.metrics.as_deref()?);
            let plot = course(&look_of(setting, &series.label), points, metrics);
            Some((run_label(variant, series), plot.draw()?))
        })
        .collect()
}

fn course(look: &Look, points: &[CoursePoint], metrics: &[TrainingMetric]) -> LinePlot {
    // Steps mean little; the log says how many epochs they are.
    let epoch_of = |step: i64| {
        let mut logged = metrics.iter().filter(|metric| metric.step == step);
        logged.next().map(|metric| metric.epoch)
    };
    let mut groups: BTreeMap<(bool, i32), [Vec<(f64, f64)>; 2]> = BTreeMap::new();
    for point in points {
        let Some(epoch) = point.step.and_then(epoch_of) else {
            continue;
        };
        let lines = groups
            .entry((point.split == Split::Train, point.copies))
            .or_default();
        let shares = [point.extractable, point.exact_memorization];
        for (line, share) in lines.iter_mut().zip(shares) {
            line.extend(share.map(|share| (epoch, share)));
        }
    }
    let lines = groups.into_iter().flat_map(|((seen, copies), lines)| {
        let label = match (seen, copies) {
            (false, _) => "never seen".to_owned(),
            (true, 1) => "once".to_owned(),
            (true, copies) => format!("{copies} times"),
        };
        let labels = [label, String::new()];
        lines.into_iter().zip(labels).zip([false, true])
    });
    LinePlot {
        title: "Documents known by heart over epochs".to_owned(),
        axis: "epochs".to_owned(),
        unit: Unit::Share,
        across: None,
        up: Some((0.0, 1.0)),
        powers: false,
        marks: Vec::new(),
        lines: lines
            .map(|((points, label), faint)| Line {
                look: look.clone(),
                label,
                faint,
                points,
            })
            .filter(|line| !line.points.is_empty())
            .collect(),
    }
}

fn curves(look: &Look, metrics: &[TrainingMetric]) -> LinePlot {
    let points = |split: Split| -> Vec<(f64, f64)> {
        metrics
            .iter()
            .filter(|metric| metric.split == split && metric.loss.is_finite())
            .map(|metric| (metric.epoch, metric.loss))
            .collect()
    };
    let lines = [
        (Split::Train, "training", true),
        (Split::Heldout, "validation", false),
    ];
    LinePlot {
        title: "Training and validation loss over epochs".to_owned(),
        axis: "epochs".to_owned(),
        unit: Unit::Number(1),
        across: None,
        up: None,
        powers: false,
        marks: Vec::new(),
        lines: lines
            .into_iter()
            .map(|(split, label, faint)| Line {
                look: look.clone(),
                label: label.to_owned(),
                faint,
                points: points(split),
            })
            .filter(|line| !line.points.is_empty())
            .collect(),
    }
}
