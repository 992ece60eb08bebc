//! Memorization at equal usefulness.

use measures::tradeoff::{SweepPoint, memorization_at_loss};

use crate::analysis::{Series, Setting};
use crate::format::{listing, number, percent};
use crate::measure::Measure;

/// A way of tuning at the held-out loss that all of them reach.
#[derive(Debug, Clone, PartialEq)]
pub struct AtEqualLoss {
    /// The held-out loss, in nats per token.
    pub loss: f64,
    /// Each way of tuning with its rate there; none where its sweep never has that loss.
    pub rates: Vec<(String, Option<f64>)>,
}

/// Memorization at equal held-out loss, each learning rate at its best checkpoint where that was asked: at the best loss of the mode whose best is worst.
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
