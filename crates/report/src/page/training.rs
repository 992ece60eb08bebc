//! Training curves of the series that stand for their modes.

use contract::records::{Split, TrainingMetric};
use maud::{Markup, html};

use super::{look_of, panels};
use crate::analysis::{Analysis, Setting, series_label};
use crate::plots::lines::Line;
use crate::plots::{LinePlot, Look, Unit};

pub(super) fn section(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let mut drawn = Vec::new();
    let logs = setting.variants.iter().filter_map(|variant| {
        let cell = variant.chosen().cells.first().copied();
        cell.and_then(|cell| analysis.cells[cell].data.metrics.as_deref())
            .map(|metrics| (variant, metrics))
    });
    for (variant, metrics) in logs {
        let plot = curves(&look_of(setting, &variant.label), metrics);
        drawn.extend(
            plot.draw()
                .map(|drawing| (series_label(&variant.label, variant.chosen()), drawing)),
        );
    }
    html! {
        @if !drawn.is_empty() {
            section {
                h2 { "Training" }
                p {
                    "Loss over the passes through the training text: on what is learned (thin) and on what is held out (thick). "
                    "Where the thick line turns up, the model goes on learning its text by heart."
                }
                (panels(&drawn))
            }
        }
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
        (Split::Heldout, "held out", false),
    ];
    LinePlot {
        title: "Training and held-out loss over epochs".to_owned(),
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
