//! What rises: the rates with the copies, and the similarity over its controls.

use contract::records::Split;

use super::no_leak::{no_rise, not_distinguished};
use super::{capital, nothing_concluded};
use crate::analysis::{Analysis, Series, Setting, View};
use crate::claims::{Claim, Control, Standing};
use crate::format::{figure, listing, percent, points};
use crate::measure::{Against, Measure};
use crate::tallies::Where;
use crate::trends::per_doubling;

/// What each doubling of the copies adds, for every way of tuning, at each point of training that was asked.
pub fn trend_sentences(setting: &Setting, measure: Measure, analysis: &Analysis<'_>) -> Vec<String> {
    let views = setting.views();
    views
        .iter()
        .filter_map(|view| trend_sentence(setting, view, measure, analysis))
        .collect()
}

fn trend_sentence(
    setting: &Setting,
    view: &View<'_>,
    measure: Measure,
    analysis: &Analysis<'_>,
) -> Option<String> {
    let mut rising = Vec::new();
    let mut open = Vec::new();
    let mut unsettled = Vec::new();
    for (variant, series) in &view.variants {
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
        } else if series.failed_checks.is_empty() {
            open.push(variant.label.clone());
        } else {
            unsettled.push(variant.label.clone());
        }
    }
    let mut sentences = Vec::new();
    if !rising.is_empty() {
        sentences.push(format!("Each doubling of the copies adds {}.", listing(&rising)));
    }
    if !open.is_empty() {
        sentences.push(no_rise(&listing(&open)));
    }
    if !unsettled.is_empty() {
        sentences.push(format!(
            "For {} nothing can be said before the failed checks are settled.",
            listing(&unsettled)
        ));
    }
    let point = match view.name() {
        "" => String::new(),
        name => format!("{}: ", capital(name)),
    };
    (!sentences.is_empty()).then(|| format!("{point}{}", sentences.join(" ")))
}

/// Whether generations come closer to what was trained than the controls do, even where no passage is shared: to their own
/// document, and to as many sentences of the training text as of the held-out text.
pub fn similarity_sentences(setting: &Setting) -> Vec<String> {
    let tuned = || {
        let shown = setting.shown().map(|(_, series)| series);
        shown.filter(|series| series.mode != "base")
    };
    let own = tuned().filter_map(|series| own_similarity(setting, series));
    let comparable = tuned().filter_map(|series| comparable_similarity(setting, series));
    own.chain(comparable).collect()
}

/// Each generation against what its own document goes on with. The control is the same after prompts that were never seen: their
/// documents were trained on by nobody, and each has as much text as another.
fn own_similarity(setting: &Setting, series: &Series) -> Option<String> {
    let measure = Measure::Similarity(Against::Own);
    let copies = setting.most_copies();
    let untuned = setting
        .base
        .as_ref()
        .and_then(|base| base.estimate(measure, setting.seen(), copies));
    let control = series
        .estimate(measure, setting.unseen(), None)
        .map(Control::as_measured);
    let claim = Claim::against(
        series.estimate(measure, setting.seen(), copies)?,
        untuned,
        control,
    )
    .settled_by(series);
    Some(similarity_sentence(
        series,
        &claim,
        "its own document",
        "on documents it never saw",
    ))
}

/// All generations after training prompts against the training text, and the same against as many held-out sentences.
fn comparable_similarity(setting: &Setting, series: &Series) -> Option<String> {
    let measure = Measure::Similarity(Against::Comparable);
    let claim = Claim::of(setting, series, measure, setting.seen(), None)?;
    Some(similarity_sentence(
        series,
        &claim,
        "training text",
        "to as many sentences of held-out text",
    ))
}

fn similarity_sentence(series: &Series, claim: &Claim, what: &str, control: &str) -> String {
    let floors = [
        claim
            .untuned
            .map(|untuned| format!("{} untuned", figure(&untuned, 2))),
        claim
            .control
            .map(|found| format!("{} {control}", figure(&found.floor(), 2))),
    ];
    let floors = listing(&floors.into_iter().flatten().collect::<Vec<_>>());
    let bound = if series.similarity_at_least {
        "at least "
    } else {
        ""
    };
    let found = format!(
        "{}, similarity to {what}: {bound}{} on average",
        capital(&series.label),
        figure(&claim.rate, 2)
    );
    match claim.standing {
        Standing::Over => format!("{found}, against {floors}: its text comes closer to what it saw."),
        Standing::NoFloor => format!("{found}, without a control to hold it against."),
        Standing::NotOver | Standing::Open { .. } => {
            format!("{found}, which {}.", not_distinguished(&floors))
        }
        Standing::Unsettled => format!(
            "{found}, against {floors}; {}.",
            nothing_concluded(&series.failed_checks)
        ),
    }
}

/// How many generations have no sentence of their own, and so no similarity; `None` where all have one.
pub fn without_sentence(setting: &Setting) -> Option<String> {
    let counts: Vec<String> = setting
        .shown()
        .filter_map(|(label, series)| {
            let tallies = [Split::Train, Split::Heldout, Split::None].map(|split| {
                let at = Where {
                    split,
                    strategy: Some(&setting.strategy),
                };
                series.tallies.of(Measure::WithoutSentence, at, None)
            });
            let (without, all) = tallies
                .iter()
                .flatten()
                .fold((0.0, 0.0), |(without, all), tally| {
                    (without + tally.part, all + tally.whole)
                });
            (without > 0.0).then(|| format!("{without} of {all} ({}) of {label}", percent(without / all)))
        })
        .collect();
    (!counts.is_empty()).then(|| {
        format!(
            "Generations without a sentence of their own have no similarity and are left out: {}.",
            listing(&counts)
        )
    })
}
