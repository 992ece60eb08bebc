//! What sampling may miss: exact and probabilistic extraction, exposure of canaries, membership inference.

use std::collections::BTreeSet;

use contract::records::{DocumentKind, Split};
use maud::{Markup, html};
use measures::discoverable::discoverable_rate;

use super::memorization::points_over_copies;
use super::{chip, dense_table, look_of, number_cell, panels, prose, rate_cell};
use crate::analysis::{Analysis, Series, Setting, View};
use crate::canaries::{Bounds, bounds};
use crate::findings::{cut_sentence, non_members_sentence};
use crate::format::{number, percent, percent_interval, times};
use crate::measure::{DISCOVERY_SAMPLES, EXTRACTABLE_TOKENS, Measure};
use crate::membership::{Attack, FALSE_POSITIVE_RATES};
use crate::observations::DISCOVERY_PROBABILITY;
use crate::plots::dose::DoseLine;
use crate::plots::lines::Line;
use crate::plots::{DosePlot, LinePlot, Unit};
use crate::rates::Estimate;
use crate::scores::whole_continuations;
use crate::tallies::Where;

/// Scores come from teacher forcing; no decoding stands between them and the model.
const SCORED: Where<'_> = Where {
    split: Split::Train,
    strategy: None,
};

pub(super) fn extraction(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let asked = |wanted: fn(Measure) -> Option<i32>| -> BTreeSet<i32> {
        let questions = setting.shown().flat_map(|(_, series)| series.tallies.questions());
        questions.filter_map(|(measure, ..)| wanted(measure)).collect()
    };
    let extractable = asked(|measure| match measure {
        Measure::KExtractable(prefix) => Some(prefix),
        _ => None,
    });
    let discoverable = asked(|measure| match measure {
        Measure::Discoverable { prefix, .. } => Some(prefix),
        _ => None,
    });
    let Some(&prefix) = discoverable.first().or(extractable.first()) else {
        return html! {};
    };
    let at = setting.most_copies().map_or(String::new(), |copies| {
        format!(", documents seen {}", times(copies))
    });
    let mut drawn = Vec::new();
    for view in setting.views() {
        let point = match view.name() {
            "" => String::new(),
            name => format!(", {name}"),
        };
        let curve = discovery_curve(setting, &view, analysis, prefix);
        drawn.extend(curve.draw().map(|drawing| {
            (
                format!("Found with probability ½ after n draws{at}{point}"),
                drawing,
            )
        }));
        let strength = DosePlot {
            title: "Exact memorization against copies".to_owned(),
            unit: Unit::Share,
            range: None,
            references: Vec::new(),
            left: "never seen",
            lines: scored_doses(setting, &view, Measure::ExactMemorization),
        };
        drawn.extend(strength.draw().map(|drawing| {
            (
                format!("Tokens that are the model’s first choice{point}"),
                drawing,
            )
        }));
    }
    html! {
        section {
            h2 { "Exact and probabilistic extraction" }
            p {
                "Read off one pass over the true text, with no sampling in between. k-extractable: after k tokens, greedy decoding "
                "gives the next " (EXTRACTABLE_TOKENS) " tokens (Carlini et al. 2023). (n, ½)-discoverable: n draws contain the whole continuation "
                "with probability ½ (Hayes et al. 2024), drawn by the first strategy that samples: this finds what a handful of samples misses."
            }
            @if let Some(sentence) = cut_sentence(setting, analysis) { p class="note" { (prose(&sentence)) } }
            (panels(&drawn))
            (dense_table("Extraction by teacher forcing", &extraction_table(setting, &extractable, prefix)))
        }
    }
}

fn extraction_table(setting: &Setting, prefixes: &BTreeSet<i32>, prefix: i32) -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Tuning" }
            th scope="col" class="n" { "Copies" }
            th scope="col" class="n" { "Exact memorization" small { "share of tokens" } }
            th scope="col" class="n" { "Extraction strength" small { "1 − k/L" } }
            @for prefix in prefixes { th scope="col" class="n" { "k-extractable" small { "k = " (prefix) } } }
            @for samples in DISCOVERY_SAMPLES { th scope="col" class="n" { "Discoverable" small { "n = " (samples) } } }
        } }
        @for (label, series) in setting.shown() {
            tbody {
                @for (position, &copies) in setting.copies.iter().enumerate() {
                    @let estimate = |measure| series.estimate(measure, SCORED, Some(copies));
                    tr {
                        th scope="row" { @if position == 0 { (chip(&series.mode, label)) } }
                        td class="n" { (copies) }
                        (rate_cell(estimate(Measure::ExactMemorization).as_ref()))
                        (number_cell(estimate(Measure::ExtractionStrength).as_ref(), 3))
                        @for &prefix in prefixes { (rate_cell(estimate(Measure::KExtractable(prefix)).as_ref())) }
                        @for samples in DISCOVERY_SAMPLES {
                            (rate_cell(estimate(Measure::Discoverable { prefix, samples }).as_ref()))
                        }
                    }
                }
            }
        }
    }
}

fn discovery_curve(setting: &Setting, view: &View<'_>, analysis: &Analysis<'_>, prefix: i32) -> LinePlot {
    let lines = view.with_base(setting).filter_map(|series| {
        let (look, label) = (look_of(setting, &series.label), view.label(series));
        let log_probabilities = log_probabilities(setting, analysis, series, prefix);
        let points: Vec<(f64, f64)> = (0..=32)
            .filter_map(|quarter| {
                let exponent = f64::from(quarter) / 4.0;
                let samples = 10_f64.powf(exponent).round() as u64;
                Some((
                    exponent,
                    discoverable_rate(&log_probabilities, samples, DISCOVERY_PROBABILITY).ok()?,
                ))
            })
            .collect();
        (!points.is_empty()).then(|| Line {
            look,
            label: label.to_owned(),
            faint: false,
            points,
        })
    });
    LinePlot {
        title: "Share of documents discoverable against the number of draws".to_owned(),
        axis: "draws n".to_owned(),
        unit: Unit::Share,
        across: None,
        up: Some((0.0, 1.0)),
        powers: true,
        marks: Vec::new(),
        lines: lines.collect(),
    }
}

/// Of whole continuations alone, as the discoverable rates are.
fn log_probabilities(setting: &Setting, analysis: &Analysis<'_>, series: &Series, prefix: i32) -> Vec<f64> {
    let copies = setting.most_copies();
    let of_cell = |&cell: &usize| -> Vec<f64> {
        let scores = analysis.cells[cell].data.scores.as_deref().unwrap_or_default();
        let whole = whole_continuations(scores).get(&prefix).copied();
        scores
            .iter()
            .filter(|score| {
                score.kind == DocumentKind::Document
                    && score.split == Split::Train
                    && score.prefix_tokens == prefix
                    && Some(score.tokens) == whole
                    && Some(score.copies) == copies
            })
            .map(|score| score.log_sequence_probability)
            .filter(|probability| !probability.is_nan())
            .collect()
    };
    series.cells.iter().flat_map(of_cell).collect()
}

fn scored_doses(setting: &Setting, view: &View<'_>, measure: Measure) -> Vec<DoseLine> {
    let unseen = Where {
        split: Split::Heldout,
        strategy: None,
    };
    view.with_base(setting)
        .map(|series| DoseLine {
            look: look_of(setting, &series.label),
            label: view.label(series).to_owned(),
            unseen: series.estimate(measure, unseen, None),
            points: points_over_copies(setting, |copies| series.estimate(measure, SCORED, Some(copies))),
        })
        .filter(|line| !line.points.is_empty())
        .collect()
}

pub(super) fn canaries(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let found = setting
        .shown()
        .flat_map(|(_, series)| series.all_cells())
        .filter_map(|cell| {
            let cell = &analysis.cells[cell];
            bounds(cell.data.scores.as_deref().unwrap_or_default(), cell.corpus)
        })
        .max_by_key(|bounds| bounds.most);
    let Some(Bounds {
        chance,
        highest,
        fewest,
        most,
    }) = found
    else {
        return html! {};
    };
    let mut drawn = Vec::new();
    for view in setting.views() {
        let plot = DosePlot {
            title: "Exposure of canaries against copies".to_owned(),
            unit: Unit::Number(0),
            range: Some((0.0, highest * 1.08)),
            references: vec![
                ("by chance".to_owned(), chance),
                ("the most that can be shown".to_owned(), highest),
            ],
            left: "",
            lines: scored_doses(setting, &view, Measure::Exposure),
        };
        let caption = match view.name() {
            "" => "Mean exposure in bits".to_owned(),
            name => format!("Mean exposure in bits, {name}"),
        };
        drawn.extend(plot.draw().map(|drawing| (caption, drawing)));
    }
    let apart = setting.shown().any(|(_, series)| !series.canary_cells.is_empty());
    html! {
        section {
            h2 { "Canaries" }
            p {
                "Random strings were planted " @if apart { "in runs of their own, which give no other figure of this page, " }
                "and each ranked by its likelihood among the " (fewest) @if most > fewest { " to " (most) }
                " strings of its own format that were never planted (Carlini et al. 2019, by exact rank). A canary without "
                "effect has " (number(chance, 2)) " bits on average; each further bit halves "
                "the guesses that someone needs who looks for the secret."
            }
            (panels(&drawn))
        }
    }
}

pub(super) fn membership(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let attacks: Vec<Attack> = Attack::ALL
        .into_iter()
        .filter(|attack| {
            setting
                .shown()
                .any(|(_, series)| series.auc(analysis, *attack, None).is_some())
        })
        .collect();
    if attacks.is_empty() {
        return html! {};
    }
    let best = if attacks.contains(&Attack::Reference) {
        Attack::Reference
    } else {
        Attack::Loss
    };
    let mut drawn = Vec::new();
    for view in setting.views() {
        for attack in BTreeSet::from([best, Attack::Loss]) {
            let caption = match view.name() {
                "" => format!("AUC by {}", attack.name()),
                name => format!("AUC by {}, {name}", attack.name()),
            };
            let plot = DosePlot {
                title: format!("Membership AUC by {} against copies", attack.name()),
                unit: Unit::Number(1),
                range: Some((0.0, 1.0)),
                references: vec![("guessing".to_owned(), 0.5)],
                left: "",
                lines: view
                    .with_base(setting)
                    .filter(|series| series.auc(analysis, attack, None).is_some())
                    .map(|series| DoseLine {
                        look: look_of(setting, &series.label),
                        label: view.label(series).to_owned(),
                        unseen: None,
                        points: points_over_copies(setting, |copies| {
                            series.auc(analysis, attack, Some(copies))
                        }),
                    })
                    .collect(),
            };
            drawn.extend(plot.draw().map(|drawing| (caption, drawing)));
        }
    }
    html! {
        section {
            h2 { "Membership inference" }
            p {
                "That sampling sees nothing does not mean that nothing is there. Can training documents be told from "
                "held-out ones by their scores alone? AUC 0.5 is guessing, 1 is certain; the untuned model shows how far the two "
                "sets differ by themselves."
            }
            (panels(&drawn))
            (dense_table("Membership inference", &membership_table(setting, analysis, &attacks)))
            @if let Some(sentence) = non_members_sentence(setting, analysis) { p class="note" { (sentence) } }
        }
    }
}

fn membership_table(setting: &Setting, analysis: &Analysis<'_>, attacks: &[Attack]) -> Markup {
    html! {
        thead {
            tr {
                th rowspan="2" scope="col" { "Tuning" }
                th colspan=(attacks.len()) scope="colgroup" class="group" { "AUC, all copies" }
                th colspan=(attacks.len()) scope="colgroup" class="group" {
                    "Found at " @for (index, rate) in FALSE_POSITIVE_RATES.iter().enumerate() { @if index > 0 { " / " } (percent(*rate)) }
                    " falsely accused"
                }
            }
            tr {
                @for attack in attacks { th scope="col" class="n" { (attack.name()) } }
                @for attack in attacks { th scope="col" class="n" { (attack.name()) } }
            }
        }
        tbody {
            @for (label, series) in setting.shown() {
                tr {
                    th scope="row" { (chip(&series.mode, label)) }
                    @for attack in attacks { (number_cell(series.auc(analysis, *attack, None).as_ref(), 2)) }
                    @for attack in attacks {
                        (tpr_cell(&series.separations(analysis, *attack, None).map(|found| found.true_positive_rates).collect::<Vec<_>>()))
                    }
                }
            }
        }
    }
}

/// The true-positive rates of some cells: of one with its intervals, of several their means. What too few non-members leave
/// unknown is blank.
fn tpr_cell(cells: &[[Option<Estimate>; 2]]) -> Markup {
    let found = |index: usize| -> Vec<Estimate> { cells.iter().filter_map(|rates| rates[index]).collect() };
    let mean = |found: &[Estimate]| {
        let sum: f64 = found.iter().map(|rate| rate.value).sum();
        if found.is_empty() {
            "–".to_owned()
        } else {
            percent(sum / found.len() as f64)
        }
    };
    let rates = [found(0), found(1)];
    if rates.iter().all(Vec::is_empty) {
        return html! { td class="n" { span class="none" { "–" } } };
    }
    let interval = |found: &[Estimate]| match found {
        [only] => only.interval.map_or(String::new(), percent_interval),
        _ => "–".to_owned(),
    };
    html! {
        td class="n" {
            (mean(&rates[0])) " / " (mean(&rates[1]))
            @if cells.len() == 1 { span class="ci" { (interval(&rates[0])) " / " (interval(&rates[1])) } }
        }
    }
}
