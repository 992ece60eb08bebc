//! What a run does not show.

use std::collections::BTreeSet;

use crate::estimate::{Estimates, Experiment, Measure, TRAINED};

/// What this run does not show, most of it because something was not measured; whole sentences, settings between backticks.
pub fn limits(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<String> {
    let mut limits = vec![
        "This does not show that a model is safe. A rate no higher than its controls says that these prompts, this way of decoding and \
         this detector found nothing more."
            .to_owned(),
    ];
    if experiment.is_audit() {
        limits.push(
            "This does not show how much depends on the training run: there is one checkpoint, as it is. The intervals are about \
             documents."
                .to_owned(),
        );
    } else {
        limits.extend(of_training(estimates, experiment));
    }
    let unscored: BTreeSet<&str> = estimates
        .cells
        .iter()
        .filter(|cell| cell.data.scores.is_none())
        .map(|cell| cell.data.cell.name.as_str())
        .collect();
    if !unscored.is_empty() {
        limits.push(format!(
            "Loss by document, exact and probabilistic extraction, exposure and membership are missing for {} of {} cells, which have no \
             scores.parquet. Set `extraction.score = true`.",
            unscored.len(),
            estimates.cell_names().len()
        ));
    }
    let exposed = |group: usize| estimates.find(group, Measure::Exposure, TRAINED, None).is_some();
    if unscored.is_empty() && !experiment.every_group().into_iter().any(exposed) {
        let how = if experiment.is_audit() {
            "before training"
        } else {
            "(`canaries.per_copies`)"
        };
        limits.push(format!(
            "Nothing is said of exposure: no canaries were planted {how}."
        ));
    }
    if experiment.copies.len() < 2 {
        limits.push(
            "This does not show how memorization grows with copies: all documents have the same number."
                .to_owned(),
        );
    }
    if experiment.strategies.len() < 2 {
        limits.push(format!(
            "Other ways of asking may find more: only “{}” was tried. `pipelines/attacks.toml` lists others.",
            experiment.strategy
        ));
    }
    let models: BTreeSet<&str> = estimates
        .experiments
        .iter()
        .map(|found| found.model.as_str())
        .collect();
    if models.len() < 2 {
        limits.push("This does not show how memorization grows with size: there is one model.".to_owned());
    }
    limits.push(
        "Every interval is at 95% for itself alone: among twenty, one is expected to miss. Claims are corrected together (Holm)."
            .to_owned(),
    );
    limits
}

fn of_training(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<String> {
    let mut limits = Vec::new();
    let runs = experiment
        .shown()
        .into_iter()
        .filter(|&group| !estimates.groups[group].method.is_untuned())
        .map(|group| estimates.groups[group].run_subjects.len())
        .min();
    match runs {
        Some(1) => limits.push(
            "This does not show how much depends on the training run: each way of tuning was run with one seed (`seeds`).".to_owned(),
        ),
        Some(few @ 2..=4) => limits.push(format!(
            "{few} training runs of each way of tuning say little about the next: their intervals are wide for that reason."
        )),
        _ => {}
    }
    if experiment.families.len() > 1 && !experiment.has_sweep() {
        limits.push(
            "Each way of tuning was run at one learning rate. Give each mode several `learning_rate`s, and they are compared at equal loss \
             over a sweep."
                .to_owned(),
        );
    }
    limits
}
