//! Similarity below a match: how near generations come to documents in meaning.

use contract::records::Split;
use maud::{Markup, html};

use super::{look_of, panels, prose};
use crate::analysis::{Analysis, Series, Setting};
use crate::findings::similarity_sentences;
use crate::format::times;
use crate::measure::Against;
use crate::plots::lines::Line;
use crate::plots::{LinePlot, Look, Unit};
use crate::similarity::similarities;

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
            sample
                .verdict
                .max_similarity
                .into_iter()
                .chain(sample.verdict.own_similarity)
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
