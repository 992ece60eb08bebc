//! What sampling may miss: exact and probabilistic extraction, exposure of canaries, membership inference.

use std::collections::BTreeSet;

use contract::records::{DocumentKind, Split};
use maud::{Markup, html};
use measures::discoverable::discoverable_rate;

use super::memorization::points_over_copies;
use super::{chip, dense_table, look_of, looks, number_cell, panels, rate_cell};
use crate::analysis::{Analysis, Series, Setting};
use crate::canaries::{chance, references};
use crate::format::{number, percent, percent_interval, times};
use crate::measure::{DISCOVERY_SAMPLES, Measure};
use crate::membership::{Attack, FALSE_POSITIVE_RATES};
use crate::observations::DISCOVERY_PROBABILITY;
use crate::plots::dose::DoseLine;
use crate::plots::lines::Line;
use crate::plots::{DosePlot, LinePlot, Unit};
use crate::rates::Estimate;
use crate::tallies::Where;

/// Scores come from teacher forcing; no decoding stands between them and the model.
const SCORED: Where<'_> = Where {
    split: Split::Train,
    strategy: None,
};

pub(super) fn extraction(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let prefixes: BTreeSet<i32> = setting
        .shown()
        .flat_map(|(_, series)| series.tallies.questions())
        .filter_map(|(measure, ..)| match measure {
            Measure::KExtractable(prefix) => Some(prefix),
            _ => None,
        })
        .collect();
    let Some(&prefix) = prefixes.first() else {
        return html! {};
    };
    let mut drawn = Vec::new();
    let curve = discovery_curve(setting, analysis, prefix);
    let at = setting.most_copies().map_or(String::new(), |copies| {
        format!(", documents seen {}", times(copies))
    });
    drawn.extend(
        curve
            .draw()
            .map(|drawing| (format!("Found with probability ½ after n draws{at}"), drawing)),
    );
    let strength = DosePlot {
        title: "Exact memorization against copies".to_owned(),
        unit: Unit::Share,
        range: None,
        references: Vec::new(),
        lines: scored_doses(setting, Measure::ExactMemorization),
    };
    drawn.extend(
        strength
            .draw()
            .map(|drawing| ("Tokens that are the model’s first choice".to_owned(), drawing)),
    );
    html! {
        section {
            h2 { "Exact and probabilistic extraction" }
            p {
                "Read off one pass over the true text, with no sampling in between. k-extractable: after k tokens, greedy decoding "
                "gives the whole continuation (Carlini et al. 2023). (n, ½)-discoverable: n draws contain it with probability ½ "
                "(Hayes et al. 2024), drawn by the first strategy that samples: this finds what a handful of samples misses."
            }
            (panels(&drawn))
            (dense_table("Extraction by teacher forcing", &extraction_table(setting, &prefixes, prefix)))
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

fn discovery_curve(setting: &Setting, analysis: &Analysis<'_>, prefix: i32) -> LinePlot {
    let lines = setting
        .shown()
        .zip(looks(setting))
        .filter_map(|((label, series), look)| {
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

fn log_probabilities(setting: &Setting, analysis: &Analysis<'_>, series: &Series, prefix: i32) -> Vec<f64> {
    let copies = setting.most_copies();
    series
        .cells
        .iter()
        .flat_map(|&cell| analysis.cells[cell].data.scores.iter().flatten())
        .filter(|score| {
            score.kind == DocumentKind::Document
                && score.split == Split::Train
                && score.prefix_tokens == prefix
                && Some(score.copies) == copies
        })
        .map(|score| score.log_sequence_probability)
        .filter(|probability| !probability.is_nan())
        .collect()
}

fn scored_doses(setting: &Setting, measure: Measure) -> Vec<DoseLine> {
    let unseen = Where {
        split: Split::Heldout,
        strategy: None,
    };
    setting
        .shown()
        .zip(looks(setting))
        .map(|((label, series), look)| DoseLine {
            look,
            label: label.to_owned(),
            unseen: series.estimate(measure, unseen, None),
            points: points_over_copies(setting, |copies| series.estimate(measure, SCORED, Some(copies))),
        })
        .collect()
}

pub(super) fn canaries(setting: &Setting, analysis: &Analysis<'_>) -> Markup {
    let lines: Vec<DoseLine> = scored_doses(setting, Measure::Exposure)
        .into_iter()
        .filter(|line| !line.points.is_empty())
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let strings = setting
        .shown()
        .flat_map(|(_, series)| &series.cells)
        .map(|&cell| references(analysis.cells[cell].data.scores.as_deref().unwrap_or_default()))
        .max()
        .unwrap_or(0);
    let chance = chance(strings);
    let highest = measures::exposure::highest_exposure(strings).ok();
    let references = [("by chance", chance), ("the most that can be shown", highest)];
    let plot = DosePlot {
        title: "Exposure of canaries against copies".to_owned(),
        unit: Unit::Number(0),
        range: Some((0.0, highest.map_or(1.0, |highest| highest * 1.08))),
        references: references
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?)))
            .collect(),
        lines,
    };
    let caption = "Mean exposure in bits".to_owned();
    html! {
        section {
            h2 { "Canaries" }
            p {
                "Random strings were planted among the documents and ranked by their likelihood among " (strings)
                " strings of the same format that were never planted (Carlini et al. 2019, by exact rank). A canary without "
                "effect has " (chance.map_or("–".to_owned(), |bits| number(bits, 2))) " bits on average; each further bit halves "
                "the guesses that someone needs who looks for the secret."
            }
            (panels(&plot.draw().map(|drawing| (caption, drawing)).into_iter().collect::<Vec<_>>()))
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
    for (attack, caption) in [(best, best.name()), (Attack::Loss, Attack::Loss.name())] {
        if attack == Attack::Loss && !drawn.is_empty() && best == Attack::Loss {
            continue;
        }
        let plot = DosePlot {
            title: format!("Membership AUC by {caption} against copies"),
            unit: Unit::Number(1),
            range: Some((0.0, 1.0)),
            references: vec![("guessing".to_owned(), 0.5)],
            lines: setting
                .shown()
                .filter(|(_, series)| series.auc(analysis, attack, None).is_some())
                .map(|(label, series)| DoseLine {
                    look: look_of(setting, label),
                    label: label.to_owned(),
                    unseen: None,
                    points: points_over_copies(setting, |copies| series.auc(analysis, attack, Some(copies))),
                })
                .collect(),
        };
        drawn.extend(plot.draw().map(|drawing| (format!("AUC by {caption}"), drawing)));
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
                        td class="n" {
                            @let rates: Vec<[Estimate; 2]> = series.separations(analysis, *attack, None).map(|found| found.true_positive_rates).collect();
                            @if rates.is_empty() { span class="none" { "–" } } @else {
                                @let mean = |index: usize| rates.iter().map(|pair| pair[index].value).sum::<f64>() / rates.len() as f64;
                                (percent(mean(0))) " / " (percent(mean(1)))
                                @if let [[low, high]] = rates[..] {
                                    span class="ci" { (low.interval.map_or(String::new(), percent_interval)) " / " (high.interval.map_or(String::new(), percent_interval)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
