//! The answer to the question of the page: which way of tuning gives text back.

use super::no_leak::{cannot_tell, no_way_of_tuning, not_distinguished, not_more};
use super::{capital, nothing_concluded};
use crate::analysis::{Series, Setting, Variant, View};
use crate::claims::{Claim, Standing};
use crate::format::{count, listing, number, points, rate, times};
use crate::measure::Measure;
use crate::rates::{difference, exceeds};
use crate::run::WhichCheckpoint;

/// The answer: what the tuned models give back, and a remark on each way of tuning that this leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the tuned models give back, a paragraph for each point of training that was asked: the best checkpoints first.
    pub leads: Vec<String>,
    /// What it would take to know more, how the ways of tuning compare, and what comes out after prompts that were never seen.
    pub remarks: Vec<String>,
}

/// A way of tuning, asked at one checkpoint, and what may be claimed of it.
struct Judged<'a> {
    variant: &'a Variant,
    series: &'a Series,
    claim: Claim,
}

/// The answer for one setting, from passages that are word for word in the prompt's own document, at the most copies.
pub fn answer(setting: &Setting) -> Answer {
    let copies = setting.most_copies();
    let views = setting.views();
    let judged: Vec<Vec<Judged<'_>>> = views.iter().map(|view| judged(setting, view, copies)).collect();
    let mut remarks = judged.first().map_or(Vec::new(), |best| remarks(setting, best));
    remarks.extend(
        setting
            .shown()
            .filter_map(|(_, series)| after_unseen_prompts(setting, series)),
    );
    Answer {
        leads: views
            .iter()
            .zip(&judged)
            .map(|(view, judged)| lead(view, judged, copies))
            .collect(),
        remarks,
    }
}

fn judged<'a>(setting: &'a Setting, view: &View<'a>, copies: Option<i32>) -> Vec<Judged<'a>> {
    view.variants
        .iter()
        .filter_map(|&(variant, series)| {
            let claim = Claim::of(setting, series, Measure::OwnVerbatim, setting.seen(), copies)?;
            Some(Judged {
                variant,
                series,
                claim,
            })
        })
        .collect()
}

fn lead(view: &View<'_>, judged: &[Judged<'_>], copies: Option<i32>) -> String {
    let (leaking, others): (Vec<_>, Vec<_>) = judged.iter().partition(|judged| judged.claim.holds());
    let is_unsettled = |judged: &&Judged<'_>| judged.claim.standing == Standing::Unsettled;
    let (unsettled, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_unsettled);
    let mut sentences = match leaking.split_first() {
        _ if judged.is_empty() => {
            vec!["Nothing was sampled from a tuned model, so there is nothing to answer.".to_owned()]
        }
        None if !unsettled.is_empty() => Vec::new(),
        Some((first, further)) => {
            let further = further.iter().map(|judged| further_leak(judged));
            std::iter::once(first_leak(first, copies))
                .chain(further)
                .collect()
        }
        None => vec![no_leak(judged, copies)],
    };
    let asked = documents(copies);
    sentences.extend(unsettled.iter().map(|judged| unsettled_rate(judged, &asked)));
    sentences.extend(rest(&others, leaking.is_empty() && unsettled.is_empty()));
    let point = match view.checkpoint {
        None => "",
        Some(WhichCheckpoint::Best) => "At each one’s best held-out loss. ",
        Some(WhichCheckpoint::Last) => "At the end of training. ",
    };
    format!("{point}{}", sentences.join(" "))
}

/// What of the training text comes out after prompts from documents that were never seen: a finding, and no floor.
fn after_unseen_prompts(setting: &Setting, series: &Series) -> Option<String> {
    if series.mode == "base" {
        return None;
    }
    let claim = Claim::of(setting, series, Measure::Verbatim, setting.unseen(), None)?;
    if claim.rate.value == 0.0 {
        return None;
    }
    let floors = floor(&claim);
    let found = format!(
        "{}, after openings that were never seen: some training document word for word in {} of generations",
        capital(&series.label),
        rate(&claim.rate)
    );
    Some(match claim.standing {
        Standing::Over => format!("{found}; {floors}."),
        Standing::NoFloor => format!("{found}, without a control to hold it against."),
        Standing::NotOver | Standing::Open { .. } => {
            format!("{found}, which {}; {floors}.", not_distinguished("its floors"))
        }
        Standing::Unsettled => format!("{found}; {}.", nothing_concluded(&series.failed_checks)),
    })
}

/// What the control is, and how it was carried over to as much text as there is training text; `None` without one.
pub fn control_sentence(setting: &Setting) -> Option<String> {
    let has_control = |series: &&Series| {
        let found = series.estimate(Measure::ControlAny, setting.seen(), None);
        found.is_some()
    };
    let (_, series) = setting.shown().find(|(_, series)| has_control(series))?;
    let chars = series.chars;
    let (trained, held_out) = (chars.training as f64, chars.held_out as f64);
    let mut sentence = format!(
        "Control: the same generations matched with the held-out text, which no model here was trained on. It has {} characters, the \
         training text {}",
        count(chars.held_out),
        count(chars.training)
    );
    sentence += &if chars.training == chars.held_out {
        ".".to_owned()
    } else {
        format!(
            ", so a rate r with it is carried over to as much text by 1 − (1 − r)^(T/H), T/H = {}, where any training document may \
             match. What is shared with the prompt's own document alone is compared with it as measured: one document is less text.",
            number(trained / held_out, 2)
        )
    };
    if chars.held_out_apart < chars.held_out {
        sentence += &format!(
            " Held-out documents that are near-duplicates of training documents are no control: without them it has {} characters, and \
             that is the floor.",
            count(chars.held_out_apart)
        );
    }
    Some(sentence)
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
        Some(copies) => format!("documents that occur in the training text {}", times(copies)),
        None => "documents of the training text".to_owned(),
    }
}

fn floor(claim: &Claim) -> String {
    let untuned = claim
        .untuned
        .as_ref()
        .map(|untuned| format!("untuned in {}", rate(untuned)));
    let control = claim.control.map(|control| {
        let all = format!("against held-out text in {}", rate(&control.carried));
        match control.apart {
            Some(apart) => format!("{all}, without near-duplicates in {}", rate(&apart)),
            None => all,
        }
    });
    listing(&untuned.into_iter().chain(control).collect::<Vec<_>>())
}

fn first_leak(judged: &Judged<'_>, copies: Option<i32>) -> String {
    format!(
        "{} repeats the document that it is prompted with word for word in {} of its continuations of {}; {}.",
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
        return "This run has neither an untuned model nor a control of held-out text, so its rates have nothing to be held \
                against and none can be called a leak."
            .to_owned();
    }
    let fewest = judged
        .iter()
        .map(|judged| judged.claim.rate.documents)
        .min()
        .unwrap_or(0);
    no_way_of_tuning(fewest, &documents(copies))
}

/// A rate that a failed check leaves open. A rate of nothing never comes first.
fn unsettled_rate(judged: &Judged<'_>, asked: &str) -> String {
    let failed = judged.series.failed_checks.join("; ");
    let found = rate(&judged.claim.rate);
    if judged.claim.rate.value > 0.0 {
        return format!(
            "{} was seen to repeat the document that it is prompted with word for word in {found} of its continuations of {asked}; what \
             that means cannot be concluded until this is settled: {failed}.",
            subject(judged.variant)
        );
    }
    format!(
        "{}: {failed}. Until this is settled nothing can be concluded from its rate of word-for-word repeats, {found} of continuations of \
         {asked}.",
        capital(&judged.variant.label)
    )
}

/// The rates that are no leaks in one sentence.
fn rest(others: &[&Judged<'_>], none_leaks: bool) -> Option<String> {
    let rates: Vec<String> = others
        .iter()
        .map(|judged| format!("{} in {}", judged.variant.label, rate(&judged.claim.rate)))
        .collect();
    let remark = if none_leaks {
        String::new()
    } else {
        format!(", which {}", not_distinguished("the controls"))
    };
    (!rates.is_empty()).then(|| format!("{}{remark}.", capital(&listing(&rates))))
}

/// What a low rate leaves open where nothing tells that the model saw this text, in this form.
const TEXT_UNCHECKED: &str =
    "whether this is the text that it was tuned on, in the form of its training, could not be checked";

fn is_low(claim: &Claim) -> bool {
    matches!(
        claim.standing,
        Standing::NotOver | Standing::Open { .. } | Standing::NoFloor
    )
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
            let settled = judged.claim.standing != Standing::Unsettled;
            let against = most
                .filter(|most| settled && most.variant.label != judged.variant.label)
                .and_then(|most| comparison(most, judged));
            let unchecked = is_low(&judged.claim) && judged.series.text_unchecked;
            let unchecked = unchecked.then(|| TEXT_UNCHECKED.to_owned());
            let said = [needed(&judged.claim), against, unchecked]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>();
            (!said.is_empty()).then(|| format!("{}: {}.", capital(&judged.series.label), said.join("; ")))
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
    let control = claims().any(|claim| claim.control.is_some());
    match (untuned, control) {
        (true, false) => Some(
            "Held against the untuned model alone: these generations were not matched with text that no model was trained on, so \
             what the model learned to say in general counts as memory of these documents."
                .to_owned(),
        ),
        (false, true) => Some(
            "Held against held-out text alone: without the untuned model, what it knew before tuning counts as memory of these \
             documents."
                .to_owned(),
        ),
        _ => None,
    }
}

/// What it would take to tell a rate from its floor, or why it need not be told.
fn needed(claim: &Claim) -> Option<String> {
    match claim.standing {
        Standing::Over | Standing::NoFloor | Standing::Unsettled => None,
        Standing::NotOver => Some(not_more(&claim.rate)),
        Standing::Open { documents } => Some(cannot_tell(&claim.rate, documents)),
    }
}

/// A way of tuning against the one that leaks most.
fn comparison(most: &Judged<'_>, other: &Judged<'_>) -> Option<String> {
    let (high, low) = (&most.claim.rate, &other.claim.rate);
    let interval = difference(high, low)?;
    let at_loss = losses(most.series, other.series);
    let label = &most.variant.label;
    Some(if exceeds(high, low) {
        format!(
            "less than {label} by {}{at_loss}",
            points(high.value - low.value, interval)
        )
    } else {
        not_distinguished(&format!("{label}{at_loss}"))
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
