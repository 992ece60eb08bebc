//! What rises: the rates with the copies, and the similarity over its controls.

use super::capital;
use crate::analysis::{Analysis, Setting};
use crate::claims::{Claim, Standing};
use crate::format::{figure, listing, points};
use crate::measure::{Against, Measure};
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
