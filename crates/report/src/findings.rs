//! The sentences of the page. None is written that the sample cannot carry.

use contract::records::Split;
use measures::tradeoff::{SweepPoint, memorization_at_loss};

use crate::claims::{Claim, Standing};
use crate::format::{about, figure, listing, number, percent, points, rate, times};
use crate::measure::{Against, Measure};
use crate::rates::{Estimate, difference, exceeds};
use crate::series::{Analysis, Series, Setting, Variant};
use crate::tallies::Where;
use crate::trends::per_doubling;

/// The answer: one or two sentences, and a remark on each way of tuning that they leave open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the tuned models give back.
    pub lead: String,
    /// What it would take to know more, and how the ways of tuning compare.
    pub remarks: Vec<String>,
}

/// A way of tuning and what may be claimed of it.
struct Judged<'a> {
    variant: &'a Variant,
    claim: Claim,
}

/// The answer for one setting, from verbatim passages at the most copies.
pub fn answer(setting: &Setting) -> Answer {
    let copies = setting.most_copies();
    let judged: Vec<Judged<'_>> = setting
        .variants
        .iter()
        .filter_map(|variant| {
            let claim = Claim::of(
                setting,
                variant.chosen(),
                Measure::Verbatim,
                &setting.strategy,
                copies,
            )?;
            Some(Judged { variant, claim })
        })
        .collect();
    let (leaking, others): (Vec<_>, Vec<_>) = judged.iter().partition(|judged| judged.claim.holds());
    let mut sentences = match leaking.split_first() {
        _ if judged.is_empty() => {
            vec!["Nothing was sampled from a tuned model, so there is nothing to answer.".to_owned()]
        }
        Some((first, further)) => {
            let further = further.iter().map(|judged| further_leak(judged));
            std::iter::once(first_leak(first, copies))
                .chain(further)
                .collect()
        }
        None => vec![no_leak(&judged, copies)],
    };
    sentences.extend(rest(&others, leaking.is_empty()));
    Answer {
        lead: sentences.join(" "),
        remarks: remarks(setting, &judged),
    }
}

fn subject(variant: &Variant) -> String {
    match variant.mode.as_str() {
        "full" => "Fully tuned, the model".to_owned(),
        "head" => "With only its head tuned, the model".to_owned(),
        "lora" => format!("Tuned with {}, the model", variant.label),
        _ => format!("Tuned ({}), the model", variant.label),
    }
}

fn documents(copies: Option<i32>) -> String {
    match copies {
        Some(copies) => format!("documents that stand in it {}", times(copies)),
        None => "documents of the training set".to_owned(),
    }
}

fn floor(claim: &Claim) -> String {
    let untuned = claim
        .untuned
        .as_ref()
        .map(|untuned| format!("untuned in {}", rate(untuned)));
    let unseen = claim
        .unseen
        .as_ref()
        .map(|unseen| format!("on documents it never saw in {}", rate(unseen)));
    listing(&untuned.into_iter().chain(unseen).collect::<Vec<_>>())
}

fn first_leak(judged: &Judged<'_>, copies: Option<i32>) -> String {
    format!(
        "{} repeats its training text word for word in {} of its continuations of {}; {}.",
        subject(judged.variant),
        rate(&judged.claim.rate),
        documents(copies),
        floor(&judged.claim)
    )
}

fn further_leak(judged: &Judged<'_>) -> String {
    format!(
        "{}: {}; {}.",
        capital(&judged.variant.label),
        rate(&judged.claim.rate),
        floor(&judged.claim)
    )
}

fn no_leak(judged: &[Judged<'_>], copies: Option<i32>) -> String {
    if judged
        .iter()
        .all(|judged| judged.claim.standing == Standing::NoFloor)
    {
        return "This run has neither an untuned model nor held-out prompts, so its rates have nothing to be held \
                against and none can be called a leak."
            .to_owned();
    }
    let fewest = judged
        .iter()
        .map(|judged| judged.claim.rate.documents)
        .min()
        .unwrap_or(0);
    format!(
        "No way of tuning can be shown to repeat its training text word for word: on {fewest} {}, no rate stands clear of \
         its controls.",
        documents(copies)
    )
}

/// The rates that are no leaks in one sentence.
fn rest(others: &[&Judged<'_>], none_leaks: bool) -> Option<String> {
    let rates: Vec<String> = others
        .iter()
        .map(|judged| format!("{} in {}", judged.variant.label, rate(&judged.claim.rate)))
        .collect();
    let remark = if none_leaks {
        ""
    } else {
        ", which cannot be told from the controls"
    };
    (!rates.is_empty()).then(|| format!("{}{remark}.", capital(&listing(&rates))))
}

fn capital(label: &str) -> String {
    let mut characters = label.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// For each way of tuning how many documents would tell, and how it stands to the one that leaks most.
fn remarks(setting: &Setting, judged: &[Judged<'_>]) -> Vec<String> {
    let most = judged
        .iter()
        .filter(|judged| judged.claim.holds())
        .max_by(|left, right| left.claim.rate.value.total_cmp(&right.claim.rate.value));
    let mut remarks: Vec<String> = judged
        .iter()
        .filter_map(|judged| {
            let against = most
                .filter(|most| most.variant.label != judged.variant.label)
                .and_then(|most| comparison(most, judged));
            let said = [needed(&judged.claim), against]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>();
            (!said.is_empty()).then(|| format!("{}: {}.", capital(&judged.variant.label), said.join("; ")))
        })
        .collect();
    if most.is_some() && judged.len() > 1 && !setting.has_sweep() {
        remarks.push(
            "With one learning rate for each, the way of tuning cannot be told from how much was learned."
                .to_owned(),
        );
    }
    remarks
}

/// What it would take to tell a rate from its floor, or why it need not be told.
fn needed(claim: &Claim) -> Option<String> {
    match claim.standing {
        Standing::Over | Standing::NoFloor => None,
        Standing::NotOver => {
            let room = room_left(&claim.rate).map_or(String::new(), |room| format!(" ({room})"));
            Some(format!("not more than a control{room}"))
        }
        Standing::Open { documents } => Some(format!(
            "{} documents cannot tell this rate from the controls, about {} on each side would",
            claim.rate.documents,
            about(documents)
        )),
    }
}

/// A way of tuning against the one that leaks most.
fn comparison(most: &Judged<'_>, other: &Judged<'_>) -> Option<String> {
    let (high, low) = (&most.claim.rate, &other.claim.rate);
    let interval = difference(high, low)?;
    let at_loss = losses(most.variant.chosen(), other.variant.chosen());
    let label = &most.variant.label;
    Some(if exceeds(high, low) {
        format!(
            "less than {label} by {}{at_loss}",
            points(high.value - low.value, interval)
        )
    } else {
        format!("cannot be told from {label}{at_loss}")
    })
}

fn losses(first: &Series, second: &Series) -> String {
    match (first.held_out_loss(), second.held_out_loss()) {
        (Some(first), Some(second)) => format!(
            ", at a held-out loss of {} against {} nats per token",
            number(second.value, 2),
            number(first.value, 2)
        ),
        _ => String::new(),
    }
}

/// What each doubling of the copies adds, for every way of tuning.
pub fn trend_sentence(setting: &Setting, measure: Measure, analysis: &Analysis<'_>) -> Option<String> {
    let mut rising = Vec::new();
    let mut open = Vec::new();
    for variant in &setting.variants {
        let series = variant.chosen();
        let Some(trend) = per_doubling(
            &series.tallies,
            measure,
            Some(&setting.strategy),
            analysis.bootstrap,
        ) else {
            continue;
        };
        if trend.slope_interval.low > 0.0 {
            rising.push(format!(
                "{} for {}",
                points(trend.slope, trend.slope_interval),
                variant.label
            ));
        } else {
            open.push(variant.label.clone());
        }
    }
    let mut sentences = Vec::new();
    if !rising.is_empty() {
        sentences.push(format!("Each doubling of the copies adds {}.", listing(&rising)));
    }
    if !open.is_empty() {
        sentences.push(format!(
            "For {} no rise with the copies can be shown.",
            listing(&open)
        ));
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Whether generations come closer to their own document than the controls do, even where no passage is shared.
pub fn similarity_sentences(setting: &Setting) -> Vec<String> {
    let measure = Measure::Similarity(Against::Own);
    setting
        .variants
        .iter()
        .filter_map(|variant| {
            let claim = Claim::of(
                setting,
                variant.chosen(),
                measure,
                &setting.strategy,
                setting.most_copies(),
            )?;
            let floor = listing(
                &claim
                    .untuned
                    .iter()
                    .map(|untuned| format!("{} untuned", figure(untuned, 2)))
                    .chain(
                        claim
                            .unseen
                            .iter()
                            .map(|unseen| format!("{} on documents it never saw", figure(unseen, 2))),
                    )
                    .collect::<Vec<_>>(),
            );
            let found = figure(&claim.rate, 2);
            let label = capital(&variant.label);
            Some(match claim.standing {
                Standing::Over => format!(
                    "{label}: {found} on average, against {floor}: its text comes closer to what it saw."
                ),
                Standing::NoFloor => {
                    format!("{label}: {found} on average, without a control to hold it against.")
                }
                _ => format!("{label}: {found} on average, which cannot be told from {floor}."),
            })
        })
        .collect()
}

/// A way of tuning at the held-out loss that all of them reach.
#[derive(Debug, Clone, PartialEq)]
pub struct AtEqualLoss {
    /// The held-out loss, in nats per token.
    pub loss: f64,
    /// Each way of tuning with its rate there; none where its sweep never has that loss.
    pub rates: Vec<(String, Option<f64>)>,
}

/// Memorization at equal held-out loss: at the best loss of the mode whose best is worst.
///
/// `None` where fewer than two ways of tuning have a known loss.
pub fn at_equal_loss(setting: &Setting, measure: Measure) -> Option<AtEqualLoss> {
    let copies = setting.most_copies();
    let sweeps: Vec<(String, Vec<SweepPoint>)> = setting
        .variants
        .iter()
        .map(|variant| {
            let points = variant
                .series
                .iter()
                .filter_map(|series| sweep_point(setting, series, measure, copies));
            (variant.label.clone(), points.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    if sweeps.len() < 2 || !setting.has_sweep() {
        return None;
    }
    let best = |points: &[SweepPoint]| {
        points
            .iter()
            .map(|point| point.held_out_loss)
            .fold(f64::INFINITY, f64::min)
    };
    let loss = sweeps
        .iter()
        .map(|(_, points)| best(points))
        .fold(f64::NEG_INFINITY, f64::max);
    let rates = sweeps
        .into_iter()
        .map(|(label, points)| (label, memorization_at_loss(&points, loss).ok().flatten()))
        .collect();
    Some(AtEqualLoss { loss, rates })
}

fn sweep_point(
    setting: &Setting,
    series: &Series,
    measure: Measure,
    copies: Option<i32>,
) -> Option<SweepPoint> {
    Some(SweepPoint {
        held_out_loss: series.held_out_loss()?.value,
        memorization: series.estimate(measure, setting.seen(), copies)?.value,
    })
}

impl AtEqualLoss {
    /// The comparison in a sentence.
    pub fn sentence(&self) -> String {
        let rates: Vec<String> = self
            .rates
            .iter()
            .map(|(label, rate)| match rate {
                Some(rate) => format!("{label} {}", percent(*rate)),
                None => format!("{label} not reached by its sweep"),
            })
            .collect();
        format!(
            "At the same held-out loss of {} nats per token, the best that every way of tuning reaches: {}. Interpolated along \
             each sweep, without intervals.",
            number(self.loss, 2),
            listing(&rates)
        )
    }
}

/// What this run leaves open, most of it because something was not measured.
pub fn limits(analysis: &Analysis<'_>, setting: &Setting) -> Vec<String> {
    let mut limits = Vec::new();
    let seeds = setting
        .shown()
        .map(|(_, series)| series.seeds(analysis))
        .max()
        .unwrap_or(0);
    if seeds < 2 {
        limits.push(
            "How much depends on the seed: there is one. The intervals are about documents, not about training anew."
                .to_owned(),
        );
    } else {
        limits.push(format!(
            "How much depends on the seed, beyond the {seeds} that are pooled here: the intervals are about documents."
        ));
    }
    if !setting.has_sweep() {
        limits.push(
            "Which way of tuning leaks less at the same usefulness: each ran at one learning rate, so there is no curve \
             to compare along. Give each mode several `learning_rate`s."
                .to_owned(),
        );
    }
    if setting.base.is_none() {
        limits.push(
            "What the untuned model gives back: it is not in this run, so half of the control is missing."
                .to_owned(),
        );
    }
    let sampled_unseen = setting.variants.iter().any(|variant| {
        variant
            .chosen()
            .estimate(Measure::Any, setting.unseen(), None)
            .is_some()
    });
    if !sampled_unseen {
        limits.push(
            "What tuned models give back after unseen openings: no held-out prompts were sampled, so half of the control is \
             missing. Add `heldout` to `extraction.prompts`."
                .to_owned(),
        );
    }
    let scored = analysis.cells.iter().all(|cell| cell.data.scores.is_some());
    if !scored {
        let missing = analysis
            .cells
            .iter()
            .filter(|cell| cell.data.scores.is_none())
            .count();
        limits.push(format!(
            "Held-out loss by document, exact and probabilistic extraction, exposure and membership of {missing} of {} \
             cells: they have no scores.parquet. Set `extraction.score = true`.",
            analysis.cells.len()
        ));
    }
    let exposed = Where {
        split: Split::Train,
        strategy: None,
    };
    let canaries = setting.variants.iter().any(|variant| {
        !variant
            .chosen()
            .tallies
            .of(Measure::Exposure, exposed, None)
            .is_empty()
    });
    if scored && !canaries {
        limits.push("Exposure: no canaries were planted (`canaries.per_copies`).".to_owned());
    }
    if setting.copies.len() < 2 {
        limits.push("How memorization grows with copies: all documents have the same number.".to_owned());
    }
    if setting.strategies.len() < 2 {
        limits.push(format!(
            "What other ways of decoding would find: only “{}” was used, and sampling finds less than greedy decoding, \
             or the other way round, depending on the model.",
            setting.strategy
        ));
    }
    if analysis
        .settings
        .iter()
        .map(|setting| setting.model.as_str())
        .collect::<std::collections::BTreeSet<_>>()
        .len()
        < 2
    {
        limits.push("How it scales: there is one model.".to_owned());
    }
    limits.push(
        "That a model is safe. A rate no higher than its controls says that these prompts, this way of decoding and this detector found \
         nothing more; what the membership scores say stands apart from it."
            .to_owned(),
    );
    limits.push(
        "Single numbers out of many. Every interval is at 95% for itself alone; among twenty, one is expected to miss."
            .to_owned(),
    );
    limits
}

/// How many documents a rate of nothing leaves room for: "0 of 40 still allows 8.8%".
pub fn room_left(rate: &Estimate) -> Option<String> {
    let interval = rate.interval?;
    (rate.value == 0.0).then(|| {
        format!(
            "0 of {} still allows {}",
            rate.observations,
            percent(interval.high)
        )
    })
}
