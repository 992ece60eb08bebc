//! What was not tried, and what to do next, from the facts of the run.

use std::collections::BTreeSet;

use contract::decoding::Decoding;
use contract::records::{PromptForm, Split};
use maud::{Markup, html};

use super::advice::{self, ByCopies, Labels, LessLeaking, Overtrained, RunFacts, decoding};
use super::components::Figure;
use super::view::View;
use crate::estimate::claims::{DOCUMENTS_TO_TELL, LEVEL};
use crate::estimate::groups::Strategy;
use crate::estimate::passages::PersonalDetails;
use crate::estimate::rows::{EPOCHS_TRAINED, NON_MEMBERS};
use crate::estimate::{Experiment, HELD_OUT, Key, Measure, Shown, Standing, TRAINED, Verdict};
use crate::findings::capital;
use crate::read::WhichCheckpoint;

pub(super) fn section(view: &View<'_>) -> Markup {
    let facts = facts(view);
    let steps = advice::next_steps(&facts);
    html! {
        (advice::render(&advice::not_tried(&facts)))
        @if !steps.is_empty() { h3 { "What to do next" } (advice::render(&steps)) }
    }
}

fn facts(view: &View<'_>) -> RunFacts {
    let estimates = view.estimates;
    let experiments = &estimates.experiments;
    let any = |holds: &dyn Fn(usize) -> bool| experiments.iter().flat_map(Experiment::shown).any(holds);
    let mut copies: Vec<i32> = experiments
        .iter()
        .flat_map(|experiment| experiment.copies.clone())
        .collect();
    copies.sort_unstable();
    copies.dedup();
    let mut models: Vec<&str> = experiments
        .iter()
        .map(|experiment| experiment.model.as_str())
        .collect();
    models.dedup();
    let mut strategies: Vec<String> = Vec::new();
    for strategy in experiments.iter().flat_map(|experiment| &experiment.strategies) {
        if !strategies.contains(&strategy.name) {
            strategies.push(strategy.name.clone());
        }
    }
    let non_members = experiments
        .iter()
        .flat_map(Experiment::every_group)
        .filter_map(|group| view.figure_of_a_run(group, NON_MEMBERS, HELD_OUT, None))
        .max_by(|left, right| left.estimate.value.total_cmp(&right.estimate.value));
    RunFacts {
        is_audit: experiments.iter().any(Experiment::is_audit),
        strategies,
        attacks: attacks(view),
        has_untuned: experiments
            .iter()
            .all(|experiment| !experiment.untuned.is_empty()),
        has_held_out: estimates.facts.corpora.iter().any(|corpus| corpus.held_out > 0),
        has_scores: any(&|group| {
            estimates.held_out_loss(group).is_some()
                || view.figure(group, Measure::Loss, TRAINED, None).is_some()
        }),
        has_canaries: any(&|group| view.figure(group, Measure::Exposure, TRAINED, None).is_some()),
        personal_details: labels(view),
        non_members,
        seeds: estimates
            .groups
            .iter()
            .map(|group| group.run_subjects.len())
            .max()
            .unwrap_or(0),
        learning_rates: experiments
            .iter()
            .flat_map(|experiment| &experiment.families)
            .map(|family| family.rates.len())
            .max()
            .unwrap_or(0),
        copies,
        models: models.len(),
        skipped: skipped(view),
        overtrained: experiments
            .iter()
            .flat_map(|experiment| overtrained(view, experiment))
            .collect(),
        by_copies: experiments
            .iter()
            .flat_map(|experiment| by_copies(view, experiment))
            .collect(),
        lora_leaks_less: experiments
            .iter()
            .find_map(|experiment| lora_leaks_less(view, experiment)),
        documents_needed: experiments
            .iter()
            .flat_map(|experiment| documents_needed(view, experiment))
            .collect(),
        is_leaking: estimates
            .verdicts
            .values()
            .any(|verdict| verdict.verdict == Verdict::Leaks),
    }
}

/// The ways of asking that the run used, by their names.
fn attacks(view: &View<'_>) -> BTreeSet<&'static str> {
    let estimates = view.estimates;
    let strategies = estimates
        .experiments
        .iter()
        .flat_map(|experiment| &experiment.strategies);
    let strategies: Vec<&Strategy> = strategies.collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for strategy in &strategies {
        match strategy.decoding {
            Decoding::Beams => used.insert(decoding::BEAM_SEARCH),
            Decoding::Greedy if strategy.form == PromptForm::Prefix => used.insert(decoding::GREEDY),
            Decoding::Draws if strategy.form == PromptForm::Prefix => used.insert(decoding::SAMPLING),
            Decoding::Greedy | Decoding::Draws | Decoding::Search => false,
        };
        if strategy.form != PromptForm::Prefix {
            used.insert(strategy.form.facts().title);
        }
    }
    // A strategy of plain prompts may go with nothing as well.
    let asks_nothing = estimates.table.rows().any(|shown| {
        let key = &shown.row.key;
        let is_plain =
            |strategy: &&&Strategy| Some(&strategy.name) == key.strategy.as_ref() && strategy.is_plain();
        key.split == Some(Split::None)
            && key.measure == Measure::TrainingTextEmitted.to_string()
            && strategies.iter().any(|strategy| is_plain(&strategy))
    });
    if asks_nothing {
        used.insert(PromptForm::Nothing.facts().title);
    }
    used
}

fn labels(view: &View<'_>) -> Labels {
    let passages = &view.estimates.passages;
    let has = |wanted: fn(&PersonalDetails) -> bool| {
        passages.iter().any(|document| wanted(&document.personal_details))
    };
    let has_labels = view
        .estimates
        .facts
        .detection
        .as_ref()
        .is_some_and(|detection| detection.has_labels);
    // Where nothing came out there is nothing in which to look for them.
    if passages.is_empty() || has_labels || has(|details| matches!(details, PersonalDetails::Labelled(_))) {
        Labels::Given
    } else if has(|details| matches!(details, PersonalDetails::ByPattern(_))) {
        Labels::Patterns
    } else {
        Labels::Absent
    }
}

/// Training documents that gave a prompt, and all of them, in the first run.
fn skipped(view: &View<'_>) -> Option<(Figure, Figure)> {
    let subjects = view.estimates.groups.iter().map(|group| group.run_subjects[0]);
    let mut counted = subjects.filter_map(|subject| {
        let copies = view.estimates.group_of(subject).uniform_copies;
        let find = |measure: &str| {
            view.estimates
                .table
                .find(subject, measure, TRAINED, copies)
                .map(Figure::from)
        };
        find("documents_prompted").zip(find("documents"))
    });
    counted.next()
}

/// Own documents with the most copies of a group, where that may be claimed.
fn leak<'v>(view: &'v View<'_>, experiment: &Experiment, group: usize) -> Option<Shown<'v>> {
    let copies = experiment.most_copies();
    let found = view
        .estimates
        .find(group, Measure::OwnVerbatim, experiment.seen(), copies)?;
    (found.row.standing == Some(Standing::Exceeds)).then_some(found)
}

fn overtrained(view: &View<'_>, experiment: &Experiment) -> Vec<Overtrained> {
    let copies = experiment.most_copies();
    let families = experiment.families.iter();
    families
        .filter_map(|family| {
            let rate = &family.rates[family.chosen];
            let (&best, &last) = (rate.best.last()?, rate.last.last()?);
            let at_end = leak(view, experiment, last)?;
            let at_best = view
                .estimates
                .find(best, Measure::OwnVerbatim, experiment.seen(), copies)?;
            let is_less = at_best.estimate().value < at_end.estimate().value;
            let epoch = view.figure(best, EPOCHS_TRAINED, TRAINED, None);
            is_less.then(|| Overtrained {
                method: capital(&family.label),
                best_epoch: epoch,
                at_best: at_best.into(),
                at_end: at_end.into(),
            })
        })
        .collect()
}

fn by_copies(view: &View<'_>, experiment: &Experiment) -> Vec<ByCopies> {
    let (Some(&fewest), Some(&most)) = (experiment.copies.first(), experiment.copies.last()) else {
        return Vec::new();
    };
    let chosen = experiment.chosen(WhichCheckpoint::Last);
    chosen
        .filter(|(_, group)| fewest < most && view.group(*group).uniform_copies.is_none())
        .filter_map(|(family, group)| {
            let high = leak(view, experiment, group)?;
            let low = view
                .estimates
                .find(group, Measure::OwnVerbatim, experiment.seen(), Some(fewest))?;
            let is_apart = low.estimate().ends()?.high < high.estimate().ends()?.low;
            is_apart.then(|| ByCopies {
                method: capital(&family.label),
                fewest: (fewest, low.into()),
                most: (most, high.into()),
            })
        })
        .collect()
}

/// A LoRA method that repeats less than full tuning on the same documents, at a held-out loss that is no higher.
fn lora_leaks_less(view: &View<'_>, experiment: &Experiment) -> Option<LessLeaking> {
    let estimates = view.estimates;
    let of = |mode: &'static str, checkpoint| {
        let chosen = experiment.chosen(checkpoint);
        chosen
            .filter(move |(family, _)| family.mode == mode)
            .map(|(_, group)| group)
    };
    for checkpoint in experiment.checkpoints() {
        for lora in of("lora", checkpoint) {
            for full in of("full", checkpoint) {
                let (group, other) = (view.group(lora), view.group(full));
                let copies = group.uniform_copies.or(experiment.most_copies());
                let own = |subject: usize, label: &str| {
                    let key =
                        Key::new(subject, &Measure::OwnVerbatim, experiment.seen(), copies).against(label);
                    estimates.table.get(&key)
                };
                let (Some(difference), Some(reverse)) =
                    (own(group.subject, &other.label), own(other.subject, &group.label))
                else {
                    continue;
                };
                let loss = Key::new(group.subject, &Measure::Loss, HELD_OUT, group.uniform_copies)
                    .against(&other.label);
                let Some(loss) = estimates.table.get(&loss) else {
                    continue;
                };
                let exceeds = reverse.row.p_holm.is_some_and(|p_value| p_value <= LEVEL);
                if exceeds && loss.estimate().value <= 0.0 {
                    return Some(LessLeaking {
                        lora: capital(&group.label),
                        difference: difference.into(),
                        loss_difference: loss.into(),
                    });
                }
            }
        }
    }
    None
}

fn documents_needed(view: &View<'_>, experiment: &Experiment) -> Vec<(String, Figure)> {
    let copies = experiment.most_copies();
    let shown = experiment.shown().into_iter();
    shown
        .filter_map(|group| {
            let found = view.figure(group, DOCUMENTS_TO_TELL, experiment.seen(), copies)?;
            Some((capital(&view.group(group).label), found))
        })
        .collect()
}
