//! The answer to the question of the page: which way of tuning gives text back.

use super::capital;
use crate::analysis::{Series, Setting, Variant};
use crate::claims::{Claim, Standing};
use crate::format::{about, listing, number, percent, points, rate, times};
use crate::measure::Measure;
use crate::rates::{Estimate, difference, exceeds};

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
        "tuned" => "The audited model".to_owned(),
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
    remarks.extend(missing_control(judged));
    if most.is_some() && judged.len() > 1 && !setting.has_sweep() {
        remarks.push(
            "With one learning rate for each, the way of tuning cannot be told from how much was learned."
                .to_owned(),
        );
    }
    remarks
}

/// What cannot be claimed where one of the two controls is missing.
fn missing_control(judged: &[Judged<'_>]) -> Option<String> {
    let claims = || judged.iter().map(|judged| &judged.claim);
    let untuned = claims().any(|claim| claim.untuned.is_some());
    let unseen = claims().any(|claim| claim.unseen.is_some());
    match (untuned, unseen) {
        (true, false) => Some(
            "Held against the untuned model alone: without text that the tuned model never saw, what it learned to say in general \
             counts as memory of these documents."
                .to_owned(),
        ),
        (false, true) => Some(
            "Held against unseen text alone: without the untuned model, what it knew before tuning counts as memory of these \
             documents."
                .to_owned(),
        ),
        _ => None,
    }
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
