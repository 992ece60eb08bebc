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

fn capital(label: &str) -> String {
    let mut characters = label.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}
