//! What a way of tuning costs and brings: held-out loss, and memorization along it.

use maud::{Markup, html};

use super::{look_of, panels, prose};
use crate::analysis::{Analysis, Series, Setting, series_label};
use crate::findings::{at_equal_loss, ruined_sentence};
use crate::format::times;
use crate::measure::Measure;
use crate::plots::dots::DotRow;
use crate::plots::scatter::{Sweep, SweepMark};
use crate::plots::{DotPlot, Look, ScatterPlot, Unit, round_share};

pub(super) fn usefulness(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let rows = loss_rows(setting);
    let base_loss = setting
        .base
        .as_ref()
        .and_then(Series::held_out_loss)
        .map(|loss| loss.value);
    let losses = DotPlot {
        title: "Held-out loss for each way of tuning and learning rate".to_owned(),
        axis: "held-out loss, nats per token".to_owned(),
        unit: Unit::Number(2),
        reference: base_loss.map(|loss| ("untuned".to_owned(), loss)),
        rows,
    };
    let sweeps = sweeps(setting);
    let highest = sweeps
        .iter()
        .flat_map(|sweep| &sweep.points)
        .map(|point| {
            point
                .memorization
                .interval
                .map_or(point.memorization.value, |interval| interval.high)
        })
        .fold(0.0, f64::max);
    let scatter = ScatterPlot {
        title: "Memorization against held-out loss, one point for each learning rate".to_owned(),
        axis: "held-out loss, nats per token".to_owned(),
        highest: round_share(highest),
        sweeps,
    };
    let at_copies = setting.most_copies().map_or(String::new(), |copies| {
        format!(", documents seen {}", times(copies))
    });
    let drawn: Vec<(String, Markup)> = [
        losses
            .draw()
            .map(|drawing| ("Held-out loss after tuning; less is better".to_owned(), drawing)),
        scatter.draw().map(|drawing| {
            (
                format!("Memorization (own document, any class{at_copies}) against held-out loss"),
                drawing,
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    let checkpoints = setting.views().len() > 1;
    let courses: Vec<String> = setting
        .variants
        .iter()
        .filter_map(|variant| {
            let cell = *variant.chosen().cells.first()?;
            let course = analysis.cells[cell].course?;
            Some(format!(
                "{} {:.2} at epoch {:.1}, {:.2} at the end",
                variant.label, course.best, course.best_epoch, course.last
            ))
        })
        .collect();
    html! {
        @if !drawn.is_empty() {
            section {
                h2 { "What it costs, what it brings" }
                p {
                    "A way of tuning that leaks less may only have learned less. Held-out loss says how much was learned: the "
                    "further left, the more useful the model."
                    @if checkpoints { " Each way of tuning stands here at its best checkpoint and at its last." }
                    @if setting.has_sweep() { " Filled: the learning rate with the best held-out loss, which stands for its mode on this page." }
                }
                @if let Some(sentence) = ruined_sentence(setting) { p class="finding" { (prose(&sentence)) } }
                @if let Some(equal) = at_equal_loss(setting, Measure::OwnAny) { p class="finding" { (prose(&equal.sentence())) } }
                (panels(&drawn))
                @if !courses.is_empty() {
                    p class="note" { "Validation loss in the training log, at its best and last: " (courses.join("; ")) "." }
                }
            }
        }
    }
}

fn loss_rows(setting: &Setting) -> Vec<DotRow> {
    let mut rows = Vec::new();
    if let Some(base) = &setting.base {
        rows.extend(base.held_out_loss().map(|estimate| DotRow {
            look: Look {
                mode: base.mode.clone(),
                dash: 0,
            },
            label: "untuned".to_owned(),
            estimate,
            faint: false,
        }));
    }
    for variant in &setting.variants {
        for (index, (series, last)) in variant.series.iter().zip(&variant.last).enumerate() {
            for series in std::iter::once(series).chain(last) {
                rows.extend(series.held_out_loss().map(|estimate| DotRow {
                    look: look_of(setting, &series.label),
                    label: series_label(series),
                    estimate,
                    faint: index != variant.chosen,
                }));
            }
        }
    }
    rows
}

fn sweeps(setting: &Setting) -> Vec<Sweep> {
    let point = |series: &Series, chosen: bool| {
        Some(SweepMark {
            rate: series
                .learning_rate
                .map_or(String::new(), crate::format::rate_name),
            loss: series.held_out_loss()?,
            memorization: series.estimate(Measure::OwnAny, setting.seen(), setting.most_copies())?,
            chosen,
        })
    };
    let base = setting.base.iter().map(|base| Sweep {
        look: Look {
            mode: base.mode.clone(),
            dash: 0,
        },
        label: "untuned".to_owned(),
        points: point(base, true).into_iter().collect(),
    });
    let tuned = setting.variants.iter().flat_map(|variant| {
        let at_rates = |series: Vec<Option<&Series>>| {
            let series = series.into_iter().enumerate();
            let points: Vec<(&Series, SweepMark)> = series
                .filter_map(|(index, series)| {
                    let series = series?;
                    Some((series, point(series, index == variant.chosen)?))
                })
                .collect();
            let label = points.first()?.0.label.clone();
            Some(Sweep {
                look: look_of(setting, &label),
                label,
                points: points.into_iter().map(|(_, point)| point).collect(),
            })
        };
        let best = at_rates(variant.series.iter().map(Some).collect());
        let last = at_rates(variant.last.iter().map(Option::as_ref).collect());
        best.into_iter().chain(last)
    });
    base.chain(tuned)
        .filter(|sweep| !sweep.points.is_empty())
        .collect()
}
