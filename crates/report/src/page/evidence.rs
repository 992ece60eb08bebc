//! The main evidence: memorization against copies, what it costs in usefulness, and similarity below a match.

use contract::records::Split;
use maud::{Markup, html};

use super::{look_of, looks, panels, prose};
use crate::findings::{at_equal_loss, similarity_sentences, trend_sentence};
use crate::format::times;
use crate::measure::{Against, Measure};
use crate::plots::dose::DoseLine;
use crate::plots::dots::DotRow;
use crate::plots::lines::Line;
use crate::plots::scatter::{Sweep, SweepMark};
use crate::plots::{DosePlot, DotPlot, LinePlot, Look, ScatterPlot, Unit, round_share};
use crate::rates::Estimate;
use crate::series::{Analysis, Series, Setting, series_label};
use crate::similarity::similarities;
use crate::tallies::Where;

pub(super) fn memorization(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let strategies = std::iter::once(&setting.strategy).chain(
        setting
            .strategies
            .iter()
            .filter(|strategy| **strategy != setting.strategy),
    );
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

pub(super) fn utility(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let rows = utility_rows(setting);
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
                format!("Memorization (any class{at_copies}) against held-out loss"),
                drawing,
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
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
                    @if setting.has_sweep() { " Filled: the learning rate with the best held-out loss, which stands for its mode on this page." }
                }
                @if let Some(equal) = at_equal_loss(setting, Measure::Any) { p class="finding" { (prose(&equal.sentence())) } }
                (panels(&drawn))
                @if !courses.is_empty() {
                    p class="note" { "Held-out loss in the training log, at its best and last: " (courses.join("; ")) "." }
                }
            }
        }
    }
}

fn utility_rows(setting: &Setting) -> Vec<DotRow> {
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
        for (index, series) in variant.series.iter().enumerate() {
            rows.extend(series.held_out_loss().map(|estimate| DotRow {
                look: look_of(setting, &variant.label),
                label: series_label(&variant.label, series),
                estimate,
                faint: index != variant.chosen,
            }));
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
            memorization: series.estimate(Measure::Any, setting.seen(), setting.most_copies())?,
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
    let tuned = setting.variants.iter().map(|variant| Sweep {
        look: look_of(setting, &variant.label),
        label: variant.label.clone(),
        points: variant
            .series
            .iter()
            .enumerate()
            .filter_map(|(index, series)| point(series, index == variant.chosen))
            .collect(),
    });
    base.chain(tuned)
        .filter(|sweep| !sweep.points.is_empty())
        .collect()
}

pub(super) fn similarity(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let copies = setting.most_copies();
    let mut drawn = Vec::new();
    let low = lowest_similarity(setting, analysis);
    for (against, what) in [
        (Against::Own, "its own document"),
        (Against::Training, "any training document"),
    ] {
        for variant in &setting.variants {
            let plot = distribution(
                setting,
                analysis,
                variant.chosen(),
                &look_of(setting, &variant.label),
                against,
                low,
            );
            drawn.extend(
                plot.draw()
                    .map(|drawing| (format!("{}: {what}", variant.label), drawing)),
            );
        }
    }
    html! {
        @if !drawn.is_empty() {
            section {
                h2 { "Similarity below a match" }
                p {
                    "A model may give back what it saw in other words. Each line is the share of generations whose best sentence "
                    "pair reaches a cosine: "
                    span class="key solid" { "documents seen" @if let Some(copies) = copies { " " (times(copies)) } } ", "
                    span class="key dashed" { "documents never seen" } ", "
                    span class="key grey" { "the untuned model on those seen" } ". Dotted: 0.7, 0.8 and 0.9; no cut-off is canonical."
                }
                @let sentences = similarity_sentences(setting);
                @if !sentences.is_empty() {
                    p class="finding" { "Similarity to its own document’s continuation. " (prose(&sentences.join(" "))) }
                }
                (panels(&drawn))
            }
        }
    }
}

/// Where the axis of all distributions begins: a tenth at or under the lowest similarity, so that panels compare.
fn lowest_similarity(setting: &Setting, analysis: &Analysis<'_>) -> f64 {
    let samples = setting
        .shown()
        .flat_map(|(_, series)| &series.cells)
        .flat_map(|&cell| &analysis.cells[cell].data.samples);
    let lowest = samples
        .flat_map(|sample| {
            std::iter::once(sample.verdict.max_similarity).chain(sample.verdict.own_similarity)
        })
        .filter(|similarity| similarity.is_finite())
        .fold(0.6_f32, f32::min);
    (f64::from(lowest) * 10.0).floor() / 10.0
}

fn distribution(
    setting: &Setting,
    analysis: &Analysis<'_>,
    series: &Series,
    look: &Look,
    against: Against,
    low: f64,
) -> LinePlot {
    let values = |series: &Series, split: Split, copies: Option<i32>| -> Vec<f64> {
        let mut values: Vec<f64> = series
            .cells
            .iter()
            .flat_map(|&cell| {
                let cell = &analysis.cells[cell];
                similarities(cell.data, cell.corpus, against, split, &setting.strategy, copies)
            })
            .collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let copies = setting.most_copies();
    let grey = Look {
        mode: "base".to_owned(),
        dash: 0,
    };
    let candidates = [
        (
            setting
                .base
                .as_ref()
                .map(|base| values(base, Split::Train, copies))
                .unwrap_or_default(),
            grey,
            true,
        ),
        (
            values(series, Split::Heldout, None),
            Look {
                dash: 1,
                ..look.clone()
            },
            false,
        ),
        (
            values(series, Split::Train, copies),
            Look {
                dash: 0,
                ..look.clone()
            },
            false,
        ),
    ];
    LinePlot {
        title: "Share of generations that reach each similarity".to_owned(),
        axis: "at least this cosine".to_owned(),
        unit: Unit::Share,
        across: Some((low, 1.0)),
        up: Some((0.0, 1.0)),
        powers: false,
        marks: vec![0.7, 0.8, 0.9],
        lines: candidates
            .into_iter()
            .filter(|(values, ..)| !values.is_empty())
            .map(|(values, look, faint)| Line {
                look,
                label: String::new(),
                faint,
                points: survival(&values, low),
            })
            .collect(),
    }
}

/// The share of sorted values at or over x, as a line of at most a few hundred points.
fn survival(sorted: &[f64], low: f64) -> Vec<(f64, f64)> {
    const STEPS: usize = 200;
    (0..=STEPS)
        .map(|step| {
            let x = low + (1.0 - low) * step as f64 / STEPS as f64;
            let below = sorted.partition_point(|&value| value < x);
            (x, 1.0 - below as f64 / sorted.len() as f64)
        })
        .collect()
}
