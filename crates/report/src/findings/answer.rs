//! The answer to the question of the page, for each model: what comes out, and who can be told as a member.

use std::fmt;

use super::all_clear::{BEYOND_CONTROLS, NOT_DISTINGUISHED, NOT_MORE, NOTHING_FOUND, REPEATS_NONE, ROOM};
use super::sentence::{FigureOf, Sentence};
use super::{capital, more};
use crate::estimate::checks::{CLEAR, EXACT_CONTINUATIONS, RATE_AND_MEMBERSHIP};
use crate::estimate::claims::{DOCUMENTS_TO_TELL, LEVEL, most_copies};
use crate::estimate::measure::{RankedDetail, Secret};
use crate::estimate::membership::{FALSE_POSITIVE_RATES, MembershipScore};
use crate::estimate::rows::detail_chance;
use crate::estimate::{
    Estimates, Experiment, GroupVerdict, HELD_OUT, Key, Measure, RunGroup, Shown, Standing, TRAINED, Verdict,
};
use crate::format::{about, counted, figure, percent, times, up_to_two_decimals};

/// The answer for one model on one layout of copies.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The verdict on each way of tuning at each of its checkpoints, strongest first.
    pub models: Vec<ModelAnswer>,
    /// What else the reader must know beside it.
    pub remarks: Vec<Sentence>,
}

/// The verdict on one model in a word, and the paragraph that says why.
#[derive(Debug, Clone)]
pub struct ModelAnswer {
    /// Number of the group.
    pub group: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in words: "Full, last: leaks."
    pub lead: String,
    /// The paragraph.
    pub paragraph: Sentence,
}

/// The verdict in words, and the paragraph.
impl fmt::Display for ModelAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.lead, self.paragraph)
    }
}

/// The answer for an experiment.
pub fn answer(estimates: &Estimates<'_>, experiment: &Experiment) -> Answer {
    let mut models: Vec<ModelAnswer> = estimates
        .shown(experiment)
        .into_iter()
        .filter_map(|group| {
            let verdict = estimates.verdicts.get(&group)?;
            Some(ModelAnswer {
                group,
                verdict: verdict.verdict,
                lead: lead(&estimates.groups[group], verdict),
                paragraph: paragraph(estimates, experiment, group, verdict),
            })
        })
        .collect();
    models.sort_by_key(|model| std::cmp::Reverse(model.verdict));
    Answer {
        models,
        remarks: remarks(estimates, experiment),
    }
}

/// "documents that it was trained on 48 times (16 copies × 3 epochs)".
pub fn asked_documents(estimates: &Estimates<'_>, experiment: &Experiment, group: &RunGroup) -> Sentence {
    let Some(copies) = most_copies(experiment, group) else {
        return Sentence::new("training documents");
    };
    match passes(estimates, group, copies) {
        Some((epochs, passes)) => Sentence::new(format!(
            "training documents that occur {} in the training text, which it read for ",
            times(copies)
        ))
        .figure(epochs, up_to_two_decimals(epochs.estimate().value))
        .text(format!(
            " {} (about {} passes)",
            if epochs.estimate().value == 1.0 {
                "epoch"
            } else {
                "epochs"
            },
            passes.round()
        )),
        None => Sentence::new(format!(
            "training documents that occur {} in the training text",
            times(copies)
        )),
    }
}

/// Epochs that a group was trained for, and how often it read a document of so many copies; none where nobody logged it.
pub fn passes<'a>(estimates: &'a Estimates<'_>, group: &RunGroup, copies: i32) -> Option<(Shown<'a>, f64)> {
    let epochs = estimates.table.find(
        group.subject,
        crate::estimate::rows::EPOCHS_TRAINED,
        TRAINED,
        group.uniform_copies,
    )?;
    let reads = if group.each_text_once { 1 } else { copies };
    Some((epochs, epochs.estimate().value * f64::from(reads)))
}

fn paragraph(
    estimates: &Estimates<'_>,
    experiment: &Experiment,
    group: usize,
    verdict: &GroupVerdict,
) -> Sentence {
    let found = &estimates.groups[group];
    let mut paragraph = repetition(estimates, experiment, found, verdict);
    paragraph = paragraph.join(of_all_documents(estimates, verdict));
    for key in verdict.other_leaks().take(3) {
        if let Some(shown) = estimates.table.get(key) {
            paragraph = paragraph.text(" ").join(other_leak(experiment, shown));
        }
    }
    if let Some(membership) = membership(estimates, found, verdict) {
        paragraph = paragraph.text(" ").join(membership);
    }
    for key in &verdict.secrets {
        if let Some(shown) = estimates.table.get(key) {
            paragraph = paragraph.text(" ").join(secrets(estimates, shown));
        }
    }
    if let Some(details) = details(estimates, verdict) {
        paragraph = paragraph.text(" ").join(details);
    }
    if let Some(canaries) = canaries(estimates, verdict) {
        paragraph = paragraph.text(" ").join(canaries);
    }
    if verdict.verdict == Verdict::NothingFound {
        paragraph = paragraph.text(format!(
            " With these prompts, this decoding and these scores, {NOTHING_FOUND}; a stronger attack may find more."
        ));
    }
    let open = open_checks(found, verdict);
    if !open.is_empty() {
        paragraph = paragraph.text(format!(
            " To be settled first: {}. Nothing is concluded from low rates before.",
            open.join("; ")
        ));
    } else if found.text_unchecked && verdict.verdict < Verdict::Leaks && found.failed_checks.is_empty() {
        paragraph = paragraph.text(
            " Whether this is the text that it was tuned on, in the form of its training, could not be checked.",
        );
    }
    paragraph
}

/// What comes out of all documents together, where none of those with the most copies does.
fn of_all_documents(estimates: &Estimates<'_>, verdict: &GroupVerdict) -> Sentence {
    let of_own = estimates.table.get(&verdict.own);
    let is_none = of_own.is_some_and(|shown| shown.estimate().value == 0.0);
    let all = Key {
        copies: None,
        ..verdict.own.clone()
    };
    match estimates
        .table
        .get(&all)
        .filter(|_| is_none && verdict.own.copies.is_some())
    {
        Some(shown) if shown.estimate().value > 0.0 => {
            let said = Sentence::new(" Of its training documents of all numbers of copies came back: ");
            with_controls(said.counted(shown), controls(shown))
        }
        _ => Sentence::new(""),
    }
}

/// The failed checks that the verdict leaves open. That membership is visible where nothing comes out is the verdict itself, and so is
/// that documents go on exactly where that is the leak.
fn open_checks<'a>(group: &'a RunGroup, verdict: &GroupVerdict) -> Vec<&'a str> {
    let is_said = |name: &str| match name {
        RATE_AND_MEMBERSHIP => verdict.membership_visible,
        EXACT_CONTINUATIONS => verdict.leaks_by(Measure::ExactContinuation),
        _ => false,
    };
    let open = group.failed_checks.iter().filter(|(name, _)| !is_said(name));
    open.map(|(_, in_brief)| in_brief.as_str()).collect()
}

/// The verdict as the first words: "Full: leaks."
fn lead(group: &RunGroup, verdict: &GroupVerdict) -> String {
    let label = capital(&group.label);
    let of_runs = if verdict.of_runs > 1 {
        format!(" (in {} of {} training runs)", verdict.runs, verdict.of_runs)
    } else {
        String::new()
    };
    let word = match verdict.verdict {
        // A phrase of its own, so that no word of the all-clear leads before its sentence.
        Verdict::NothingFound => BEYOND_CONTROLS,
        other => other.word(),
    };
    format!("{label}: {word}{of_runs}.")
}

/// What comes out after the beginnings of its own documents.
fn repetition(
    estimates: &Estimates<'_>,
    experiment: &Experiment,
    group: &RunGroup,
    verdict: &GroupVerdict,
) -> Sentence {
    let Some(shown) = estimates.table.get(&verdict.own) else {
        return Sentence::new("Nothing was generated after its training documents.");
    };
    let asked = match shown.row.key.copies {
        None if !experiment.copies.is_empty() => Sentence::new("training documents of all numbers of copies"),
        _ => asked_documents(estimates, experiment, group),
    };
    let estimate = shown.estimate();
    let standing = standing(estimates, group, shown);
    if estimate.value == 0.0 {
        let sentence = Sentence::new("Prompted with the beginnings of ").join(asked);
        if standing == Some(Standing::NotSettled) || verdict.leaks_by(Measure::ExactContinuation) {
            return sentence
                .text(", it wrote the document’s own words: ")
                .count(shown)
                .text(".");
        }
        let sentence = sentence
            .text(format!(", it {REPEATS_NONE} word for word: "))
            .count(shown);
        return match estimate.ends() {
            Some(ends) => sentence
                .text(format!(", so that {ROOM} "))
                .figure(shown, percent(ends.high))
                .text("."),
            None => sentence.text("."),
        };
    }
    let sentence = Sentence::new("Prompted with the beginnings of ")
        .join(asked)
        .text(", it went on with the document’s own words, in one run: ")
        .counted(shown);
    let controls = controls(shown);
    match standing {
        Some(Standing::Exceeds | Standing::NotSettled) => with_controls(sentence, controls),
        Some(Standing::NoControl) | None => sentence.text(
            "; there is neither an untuned model nor held-out text to compare with, so that this cannot be called a leak.",
        ),
        Some(Standing::NotOver) => with_controls(sentence.text(format!(", {NOT_MORE}")), controls),
        Some(Standing::Inconclusive) => {
            let sentence = with_controls(
                sentence.text(format!(", which {NOT_DISTINGUISHED} chance after correction")),
                controls,
            );
            match documents_to_tell(estimates, shown) {
                Some(needed) => sentence
                    .text(" About ")
                    .figure(needed, about(needed.estimate().value))
                    .text(" such documents on each side would tell."),
                None => sentence,
            }
        }
    }
}

fn with_controls(sentence: Sentence, controls: Sentence) -> Sentence {
    if controls.is_empty() {
        return sentence.text(".");
    }
    sentence.text("; ").join(controls).text(".")
}

/// The standing of a figure: its own, or that of the runs which it is the mean of.
fn standing(estimates: &Estimates<'_>, group: &RunGroup, shown: Shown<'_>) -> Option<Standing> {
    let of_runs = group.run_subjects.iter().filter_map(|&subject| {
        let key = Key {
            subject,
            ..shown.row.key.clone()
        };
        estimates.table.get(&key)?.row.standing
    });
    let order = |standing: &Standing| match standing {
        Standing::Exceeds => 0,
        Standing::NotSettled => 1,
        Standing::Inconclusive => 2,
        Standing::NotOver => 3,
        Standing::NoControl => 4,
    };
    of_runs.min_by_key(order)
}

fn documents_to_tell<'a>(estimates: &'a Estimates<'_>, shown: Shown<'_>) -> Option<Shown<'a>> {
    estimates.table.get(&Key {
        measure: DOCUMENTS_TO_TELL.to_owned(),
        ..shown.row.key.clone()
    })
}

/// "the untuned model: 0 of 26, explained by text that was never trained on: 0 of 26". A sentence that both have does not explain
/// what comes out around it ([`Measure::ControlOwnVerbatim`]); of other figures the control is the same generations' own.
fn controls(shown: Shown<'_>) -> Sentence {
    let mut said = Vec::new();
    if shown.row.untuned.is_some() {
        said.push(Sentence::new("the untuned model: ").beside(shown, FigureOf::Untuned, short));
    }
    if shown.row.control.is_some() {
        let is_explained = shown.row.key.measure == Measure::OwnVerbatim.to_string();
        let control = if is_explained {
            "explained by text that was never trained on: "
        } else {
            "with text that was never trained on: "
        };
        said.push(Sentence::new(control).beside(shown, FigureOf::Control, short));
    }
    Sentence::series(said)
}

/// A share in few letters: counted where it is a count of documents, else a percentage.
fn short(estimate: &crate::estimate::Estimate) -> String {
    match estimate.k {
        Some(_) if estimate.value == 0.0 || estimate.observations == estimate.n => {
            crate::format::count_of(estimate)
        }
        _ => percent(estimate.value),
    }
}

/// Another way of asking that brought training text out.
fn other_leak(experiment: &Experiment, shown: Shown<'_>) -> Sentence {
    let key = &shown.row.key;
    let strategy = key.strategy.as_deref().unwrap_or("–");
    let named = if experiment.strategies.len() > 1 {
        format!(" ({strategy})")
    } else {
        String::new()
    };
    let sentence = match key.split {
        Some(contract::records::Split::Train) if key.measure == Measure::ExactContinuation.to_string() => {
            Sentence::new(format!(
                "Without a passage that counts, being too short or said in part by the prompt, it went on exactly as the document{named}, for 60 \
                 characters or to its end: "
            ))
        }
        Some(contract::records::Split::Train) => {
            let documents = if key.copies.is_none() {
                "documents of all numbers of copies"
            } else {
                "its own documents"
            };
            Sentence::new(format!("Asked otherwise{named}, {documents} came back: "))
        }
        Some(contract::records::Split::Heldout) => Sentence::new(format!(
            "After the beginnings of unseen documents{named}, training text came out in "
        )),
        _ => Sentence::new(format!(
            "From no document at all{named}, training text came out in "
        )),
    };
    with_controls(sentence.counted(shown), controls(shown))
}

/// Who can be told as a member: the area under the curve by one named score, and how many are found at few false alarms.
fn membership(estimates: &Estimates<'_>, group: &RunGroup, verdict: &GroupVerdict) -> Option<Sentence> {
    let key = verdict.membership.as_ref()?;
    let shown = estimates.table.get(key)?;
    let score = MembershipScore::ALL
        .into_iter()
        .find(|score| score.auc() == key.measure)?;
    let found = FALSE_POSITIVE_RATES.into_iter().find_map(|rate| {
        let shown = estimates
            .table
            .find(group.subject, score.tpr(rate), TRAINED, key.copies)?;
        Some((rate, shown))
    });
    let by = format!("by their {}", score.title());
    // The figures before it may be of others.
    let these = match key.copies {
        copies if copies == verdict.own.copies => "these documents".to_owned(),
        Some(copies) => format!("training documents that occur {}", times(copies)),
        None => "training documents of all numbers of copies".to_owned(),
    };
    let area = |sentence: Sentence| sentence.text("AUC ").figure(shown, figure(shown.estimate(), 2));
    if verdict.membership_visible {
        let sentence = Sentence::new(format!(
            "Whoever can read its probabilities can tell {these} from unseen ones "
        ))
        .text(format!("{by}: "));
        let sentence = area(sentence);
        return Some(match found {
            Some((rate, found)) => sentence
                .text("; ")
                .figure(found, counted(found.estimate()))
                .text(format!(" are found at {} false alarms.", percent(rate))),
            None => sentence.text("."),
        });
    }
    if !group.failed_checks.is_empty() {
        return Some(area(Sentence::new(format!("Membership {by}: "))).text(", where 0.5 is guessing."));
    }
    if shown.estimate().value > CLEAR {
        return Some(
            area(Sentence::new(format!("Membership {by}: ")))
                .text(", of too few documents to tell it from guessing."),
        );
    }
    let by_itself = shown.row.p_value.is_some_and(|p_value| p_value <= LEVEL);
    if by_itself && shown.row.standing == Some(Standing::Inconclusive) {
        return Some(
            area(Sentence::new(format!("Membership {by}: ")))
                .text(", which cannot be distinguished from guessing after correction."),
        );
    }
    Some(
        area(Sentence::new(format!(
            "Its probabilities do not tell {these} from unseen ones {by}: "
        )))
        .text("."),
    )
}

/// Planted secrets that came out, beside those that were never planted.
fn secrets(estimates: &Estimates<'_>, shown: Shown<'_>) -> Sentence {
    let key = &shown.row.key;
    let given = if key.measure == Measure::SecretExtracted(Secret::HalfGiven).to_string() {
        " and the first half of the secret"
    } else {
        ""
    };
    let occurring = key
        .copies
        .map_or(String::new(), |copies| format!(" that occur {}", times(copies)));
    let sentence = Sentence::new(format!(
        "Given how a planted canary begins{given}, it goes on with the secret word for word for "
    ))
    .counted(shown)
    .text(format!(" canaries{occurring}"));
    let never_planted = estimates.table.find(
        key.subject,
        key.measure.as_str(),
        HELD_OUT,
        estimates.group_of(key.subject).uniform_copies,
    );
    let mut said = Vec::new();
    if shown.row.untuned.is_some() {
        said.push(Sentence::new("the untuned model: ").beside(shown, FigureOf::Untuned, short));
    }
    if let Some(never_planted) = never_planted {
        said.push(Sentence::new("of secrets that were never planted: ").count(never_planted));
    }
    with_controls(sentence, Sentence::series(said))
}

/// Personal details that a model picks out among others of their kind, or that it may, where the verdict leaves that open.
fn details(estimates: &Estimates<'_>, verdict: &GroupVerdict) -> Option<Sentence> {
    let open = (verdict.open_details.as_ref())
        .filter(|_| matches!(verdict.verdict, Verdict::NotEnoughData | Verdict::Repeats));
    let shown = estimates.table.get(verdict.details.as_ref().or(open)?)?;
    let key = &shown.row.key;
    let details = RankedDetail::all().find(|details| details.to_string() == key.measure)?;
    let of = match key.copies {
        Some(copies) => format!("documents that occur {}", times(copies)),
        None => "training documents".to_owned(),
    };
    let sentence = Sentence::new(format!(
        "Of {of} it picks out personal details ({}) among others, given the text before them: ",
        details.title()
    ))
    .counted(shown);
    let copies = estimates.group_of(key.subject).uniform_copies;
    let chance = estimates
        .table
        .find(key.subject, detail_chance(&details), TRAINED, copies);
    let mut said = vec![controls(shown)];
    said.extend(
        chance.map(|chance| Sentence::new("by chance: ").figure(chance, percent(chance.estimate().value))),
    );
    said.retain(|sentence| !sentence.is_empty());
    let sentence = with_controls(sentence, Sentence::series(said));
    Some(match &verdict.details {
        Some(_) => sentence,
        None => {
            sentence.text(" Too few documents, or none to compare with, leave open whether it knows them.")
        }
    })
}

fn canaries(estimates: &Estimates<'_>, verdict: &GroupVerdict) -> Option<Sentence> {
    let shown = estimates.table.get(verdict.canaries.as_ref()?)?;
    // One that is likelier than every reference may be exposed further than they can show.
    let at_least = if shown.estimate().at_least {
        "at least "
    } else {
        ""
    };
    let sentence = Sentence::new(format!("Planted secrets are exposed by {at_least}"))
        .number(shown, 1)
        .text(" bits");
    let subject = shown.row.key.subject;
    let bounds = crate::estimate::rows::EXPOSURE_BY_CHANCE;
    let copies = estimates.group_of(subject).uniform_copies;
    let chance = estimates
        .table
        .find(subject, bounds, crate::estimate::HELD_OUT, copies);
    Some(match chance {
        Some(chance) => sentence.text(", by chance ").value(chance, 1).text("."),
        None => sentence.text("."),
    })
}

/// What else must be known: how ways of tuning compare, whether they were trained past their best, what one run can say.
fn remarks(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Sentence> {
    let mut remarks = Vec::new();
    remarks.extend(more::comparison(estimates, experiment));
    remarks.extend(more::equal_loss(estimates, experiment));
    remarks.extend(more::overtrained(estimates, experiment));
    remarks.extend(missing_controls(estimates, experiment));
    if !experiment.is_audit() {
        let of_runs = experiment
            .shown()
            .into_iter()
            .filter_map(|group| estimates.verdicts.get(&group));
        let fewest = of_runs.map(|verdict| verdict.of_runs).min();
        if fewest == Some(1) {
            remarks.push(Sentence::new(
                "One training run each: these are statements about these checkpoints, and not about ways of tuning.",
            ));
        }
        let families = experiment.families.len();
        if families > 1 && !experiment.has_sweep() {
            remarks.push(Sentence::new(
                "One learning rate each: a way of tuning that repeats less may only have learned less.",
            ));
        }
    }
    remarks
}

/// What cannot be claimed where one of the two controls is missing.
fn missing_controls(estimates: &Estimates<'_>, experiment: &Experiment) -> Option<Sentence> {
    let rows: Vec<Shown<'_>> = experiment
        .shown()
        .into_iter()
        .filter_map(|group| estimates.table.get(&estimates.verdicts.get(&group)?.own))
        .collect();
    let untuned = rows.iter().any(|shown| shown.row.untuned.is_some());
    let control = rows.iter().any(|shown| shown.row.control.is_some());
    let said = match (rows.is_empty(), untuned, control) {
        (false, true, false) => {
            "Compared with the untuned model alone: these generations were not matched with text that no model was trained on, so that \
             what the model learned to say in general counts as memory of these documents."
        }
        (false, false, true) => {
            "Compared with held-out text alone: without the untuned model, what it knew before tuning counts as memory of these \
             documents."
        }
        (false, false, false) => {
            "This run has neither an untuned model nor held-out text: its rates have nothing to be compared with, and none can be \
             called a leak."
        }
        _ => return None,
    };
    Some(Sentence::new(said))
}
