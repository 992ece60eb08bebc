//! Sentences beside the verdict: how ways of tuning compare, at each one's best and at equal loss; steps over copies; usefulness.

use contract::records::{PromptForm, Split};

use super::all_clear::NOT_DISTINGUISHED;
use super::capital;
use super::sentence::Sentence;
use crate::estimate::claims::{LEVEL, most_copies};
use crate::estimate::comparisons::{AT_EQUAL_LOSS_FALLING, AT_EQUAL_LOSS_RISING, EQUAL_LOSS};
use crate::estimate::rows::EPOCHS_TRAINED;
use crate::estimate::{
    Estimates, Experiment, HELD_OUT, Key, Measure, RunGroup, Shown, Slice, TRAINED, Verdict,
};
use crate::format::{count_of, number, percent, points, rate, up_to_two_decimals};

/// Each way of tuning against the one that repeats most, at each point of training, on the same documents, corrected together
/// (Holm).
pub(super) fn comparison(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for checkpoint in experiment.checkpoints() {
        let chosen: Vec<usize> = experiment.chosen(checkpoint).map(|(_, group)| group).collect();
        if chosen.len() < 2 {
            continue;
        }
        let own = |group: usize| {
            let copies = most_copies(experiment, &estimates.groups[group]);
            estimates.find(group, Measure::OwnVerbatim, experiment.seen(), copies)
        };
        let leaks = |group: &usize| {
            let verdict = estimates.verdicts.get(group);
            verdict.is_some_and(|verdict| verdict.verdict == Verdict::Leaks)
        };
        let most = chosen
            .iter()
            .copied()
            .filter(leaks)
            .filter_map(|group| Some((group, own(group)?.estimate().value)))
            .max_by(|left, right| left.1.total_cmp(&right.1));
        let Some((most, _)) = most else { continue };
        let others = chosen.iter().copied().filter(|group| *group != most);
        let compared: Vec<Sentence> = others
            .filter_map(|other| compared(estimates, experiment, most, other))
            .collect();
        if !compared.is_empty() {
            let label = &estimates.groups[most].label;
            sentences.push(
                Sentence::new(format!("Compared with {label}, on the same documents: "))
                    .join(Sentence::series(compared))
                    .text("."),
            );
        }
    }
    sentences
}

/// "LoRA repeats 77 points fewer (53 to 88), at a loss of 5.10 against 5.30 on unseen text".
fn compared(
    estimates: &Estimates<'_>,
    experiment: &Experiment,
    most: usize,
    other: usize,
) -> Option<Sentence> {
    let (group, found) = (&estimates.groups[most], &estimates.groups[other]);
    let copies = most_copies(experiment, found);
    let key = Key::new(found.subject, &Measure::OwnVerbatim, experiment.seen(), copies);
    let difference = estimates.table.get(&key.against(&group.label))?;
    let reverse = Key::new(group.subject, &Measure::OwnVerbatim, experiment.seen(), copies);
    let p_holm = estimates.table.get(&reverse.against(&found.label))?.row.p_holm;
    let sentence = if p_holm.is_some_and(|p_holm| p_holm <= LEVEL) {
        Sentence::new(format!("{} repeats fewer of them: ", found.label))
            .figure(difference, points_of(difference))
    } else {
        Sentence::new(format!("{} {NOT_DISTINGUISHED} it (", found.label))
            .figure(difference, points_of(difference))
            .text(")")
    };
    let losses = estimates.held_out_loss(other).zip(estimates.held_out_loss(most));
    Some(match losses {
        Some((loss, against)) => sentence
            .text(", at a loss on unseen text of ")
            .value(loss, 2)
            .text(" against ")
            .value(against, 2)
            .text(" (lower is better)"),
        None => sentence,
    })
}

/// A difference of shares in percentage points, with its interval.
fn points_of(shown: Shown<'_>) -> String {
    let estimate = shown.estimate();
    match estimate.ends() {
        Some(ends) => points(estimate.value, ends),
        None => format!("{} points", number(estimate.value * 100.0, 0)),
    }
}

/// Memorization at the held-out loss that every way of tuning reaches, while loss falls and while it rises again.
pub fn equal_loss(estimates: &Estimates<'_>, experiment: &Experiment) -> Option<Sentence> {
    let copies = |group: &RunGroup| most_copies(experiment, group);
    let groups: Vec<usize> = experiment
        .families
        .iter()
        .filter_map(|family| family.rates[family.chosen].last.last().copied())
        .collect();
    let find = |group: usize, name: &str, at: Slice<'_>| {
        let found = &estimates.groups[group];
        estimates.table.find(found.subject, name, at, copies(found))
    };
    let loss = groups
        .iter()
        .find_map(|&group| find(group, EQUAL_LOSS, HELD_OUT))?;
    let families: Vec<Sentence> = groups
        .iter()
        .map(|&group| {
            let label = &estimates.groups[group].family_label;
            let branch = |name: &str, when: &str| {
                let shown = find(group, name, experiment.seen())?;
                Some(
                    Sentence::default()
                        .figure(shown, rate(shown.estimate()))
                        .text(format!(" {when}")),
                )
            };
            let said: Vec<Sentence> = [
                branch(AT_EQUAL_LOSS_FALLING, "while loss falls"),
                branch(AT_EQUAL_LOSS_RISING, "while it rises again"),
            ]
            .into_iter()
            .flatten()
            .collect();
            if said.is_empty() {
                Sentence::new(format!("{label} never has that loss"))
            } else {
                Sentence::new(format!("{label} ")).join(Sentence::listing(said))
            }
        })
        .collect();
    (families.len() > 1).then(|| {
        Sentence::new("At equal usefulness, the loss on unseen text of ")
            .number(loss, 2)
            .text(" that every way of tuning reaches, own documents come back word for word: ")
            .join(Sentence::series(families))
            .text(". Read off the line from the untuned model through the checkpoints that were asked, loss and documents resampled together.")
    })
}

/// Ways of tuning that were used past their best held-out loss.
pub fn overtrained(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Sentence> {
    let said: Vec<Sentence> = experiment
        .families
        .iter()
        .filter_map(|family| {
            let rate = &family.rates[family.chosen];
            let (&best, &last) = (rate.best.last()?, rate.last.last()?);
            let epochs = |group: usize| {
                let found = &estimates.groups[group];
                estimates
                    .table
                    .find(found.subject, EPOCHS_TRAINED, TRAINED, found.uniform_copies)
            };
            let (best_epoch, last_epoch) = (epochs(best)?, epochs(last)?);
            let (best_loss, last_loss) = (estimates.held_out_loss(best)?, estimates.held_out_loss(last)?);
            let past = last_epoch.estimate().value > best_epoch.estimate().value
                && last_loss.estimate().value > best_loss.estimate().value;
            past.then(|| {
                Sentence::new(format!("{} was best after epoch ", capital(&family.label)))
                    .figure(best_epoch, up_to_two_decimals(best_epoch.estimate().value))
                    .text(" (")
                    .value(best_loss, 2)
                    .text(") and ended after epoch ")
                    .figure(last_epoch, up_to_two_decimals(last_epoch.estimate().value))
                    .text(" at ")
                    .value(last_loss, 2)
            })
        })
        .collect();
    if said.is_empty() {
        return Vec::new();
    }
    vec![
        Sentence::new("Trained past its best loss on unseen text: ")
            .join(Sentence::series(said))
            .text(". Memorization goes on after that."),
    ]
}

/// The steps over the numbers of copies as measured, of the models that gave any document back: "0 of 105 at 1 copy, 0 of 44 at 4, 21
/// of 26 at 16".
pub fn over_copies(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Sentence> {
    experiment
        .shown()
        .into_iter()
        .filter(|&group| estimates.groups[group].uniform_copies.is_none())
        .filter(|&group| {
            let found = experiment.copies.iter().filter_map(|&copies| {
                estimates.find(group, Measure::OwnVerbatim, experiment.seen(), Some(copies))
            });
            found.into_iter().any(|shown| shown.estimate().value > 0.0)
        })
        .filter_map(|group| {
            let steps: Vec<Sentence> = experiment
                .copies
                .iter()
                .filter_map(|&copies| {
                    let shown =
                        estimates.find(group, Measure::OwnVerbatim, experiment.seen(), Some(copies))?;
                    let unit = if copies == 1 { "copy" } else { "copies" };
                    Some(
                        Sentence::default()
                            .figure(shown, count_of(shown.estimate()))
                            .text(format!(" at {copies} {unit}")),
                    )
                })
                .collect();
            (steps.len() > 1).then(|| {
                Sentence::new(format!("{}: ", capital(&estimates.groups[group].label)))
                    .join(Sentence::listing(steps))
                    .text(".")
            })
        })
        .collect()
}

/// Usefulness as people mean it, for each way of tuning: loss on unseen text, on other text, and answers to unseen questions.
pub fn usefulness(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for group in experiment.shown() {
        let found = &estimates.groups[group];
        let mut said = Vec::new();
        for (measure, what) in [
            (Measure::Loss, "loss on unseen text "),
            (Measure::OtherLoss, "loss on other text "),
        ] {
            if let Some(shown) = estimates.find(group, measure, HELD_OUT, None) {
                said.push(Sentence::new(what).value(shown, 2));
            }
        }
        let questions = experiment
            .strategies
            .iter()
            .filter(|strategy| strategy.form == PromptForm::Question);
        for strategy in questions {
            let at = Slice {
                split: Split::Heldout,
                strategy: Some(&strategy.name),
            };
            let length = estimates.compared_tokens(group);
            for (measure, what) in [
                (Measure::RougeL(length), "ROUGE-L of answers "),
                (Measure::Bleu(length), "BLEU "),
            ] {
                if let Some(shown) = estimates.find(group, measure, at, None) {
                    said.push(Sentence::new(what).value(shown, 3));
                }
            }
            if let Some(shown) = estimates.find(group, Measure::FinalAnswer, at, None) {
                said.push(
                    Sentence::new("final answers right ").figure(shown, percent(shown.estimate().value)),
                );
            }
        }
        // The loss alone is in the key figures.
        if said.len() > 1 {
            let label = capital(&found.label);
            sentences.push(
                Sentence::new(format!("{label}: "))
                    .join(Sentence::listing(said))
                    .text("."),
            );
        }
    }
    sentences
}
