//! Similarity below a match: how near generations come to documents in meaning.

use contract::records::Split;
use maud::{Markup, html};

use super::{panels, prose};
use crate::analysis::{Analysis, Series, Setting};
use crate::findings::{similarity_sentences, without_sentence};
use crate::format::times;
use crate::measure::Against;
use crate::plots::lines::Line;
use crate::plots::{LinePlot, Look, Unit};
use crate::similarity::similarities;

pub(super) fn similarity(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let copies = setting.most_copies();
    let low = lowest_similarity(setting, analysis);
    let tuned = || {
        let shown = setting.shown().map(|(_, series)| series);
        shown.filter(|series| series.mode != "base")
    };
    let mut drawn = Vec::new();
    for (comparison, what) in [
        (Comparison::own(copies), "its own document"),
        (Comparison::COMPARABLE, "training text"),
    ] {
        for series in tuned() {
            let plot = distribution(setting, analysis, series, comparison, low);
            drawn.extend(
                plot.draw()
                    .map(|drawing| (format!("{}: {what}", series.label), drawing)),
            );
        }
    }
    let at_least = tuned().any(|series| series.similarity_at_least);
    html! {
        @if !drawn.is_empty() {
            section {
                h2 { "Similarity below a match" }
                p {
                    "A model may give back what it saw in other words. Each line is the share of generations whose best sentence "
                    "pair reaches " @if at_least { "at least " } "a cosine. To its own document: "
                    span class="key solid" { "documents seen" @if let Some(copies) = copies { " " (times(copies)) } } ", "
                    span class="key dashed" { "documents never seen" } ". To training text: "
                    span class="key solid" { "generations after training documents" } ", "
                    span class="key dashed" { "the same against as many sentences of held-out text" } ". "
                    span class="key grey" { "The untuned model on the same" } ". Dotted: 0.7, 0.8 and 0.9; no cut-off is canonical."
                    @if at_least { " Only nominated pairs of sentences were compared, so that each similarity is a lower bound." }
                }
                @let sentences = similarity_sentences(setting);
                @if !sentences.is_empty() { p class="finding" { (prose(&sentences.join(" "))) } }
                @if let Some(sentence) = without_sentence(setting) { p class="note" { (prose(&sentence)) } }
                (panels(&drawn))
            }
        }
    }
}

/// What is drawn solid, and the control that is drawn dashed.
#[derive(Debug, Clone, Copy)]
struct Comparison {
    against: Against,
    copies: Option<i32>,
    control: (Against, Split),
}

impl Comparison {
    /// As many sentences of training text as of held-out text, over the same generations.
    const COMPARABLE: Self = Self {
        against: Against::Comparable,
        copies: None,
        control: (Against::HeldOut, Split::Train),
    };

    /// The document that the generation was prompted with, seen or never seen.
    fn own(copies: Option<i32>) -> Self {
        Self {
            against: Against::Own,
            copies,
            control: (Against::Own, Split::Heldout),
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
            [
                sample.verdict.comparable_similarity,
                sample.verdict.own_similarity,
                sample.verdict.heldout_similarity,
            ]
            .into_iter()
            .flatten()
        })
        .filter(|similarity| similarity.is_finite())
        .fold(0.6_f32, f32::min);
    (f64::from(lowest) * 10.0).floor() / 10.0
}

fn distribution(
    setting: &Setting,
    analysis: &Analysis<'_>,
    series: &Series,
    comparison: Comparison,
    low: f64,
) -> LinePlot {
    let values = |series: &Series, against: Against, split: Split, copies: Option<i32>| -> Vec<f64> {
        let mut values: Vec<f64> = series
            .cells
            .iter()
            .flat_map(|&cell| {
                similarities(
                    analysis.cells[cell].data,
                    against,
                    split,
                    &setting.strategy,
                    copies,
                )
            })
            .collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let Comparison {
        against,
        copies,
        control,
    } = comparison;
    let seen = |series| values(series, against, Split::Train, copies);
    let look = |mode: &str, dash| Look {
        mode: mode.to_owned(),
        dash,
    };
    let found = seen(series);
    // Without what it is to be compared with, a control says nothing.
    let control = if found.is_empty() {
        Vec::new()
    } else {
        values(series, control.0, control.1, None)
    };
    let untuned = setting.base.as_ref().filter(|_| !found.is_empty()).map(seen);
    let candidates = [
        (untuned.unwrap_or_default(), look("base", 0), true),
        (control, look(&series.mode, 1), false),
        (found, look(&series.mode, 0), false),
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
