//! What a run leaves open.

use std::collections::BTreeSet;

use contract::records::Split;

use crate::analysis::{Analysis, Setting};
use crate::measure::Measure;
use crate::tallies::Where;

/// What this run leaves open, most of it because something was not measured.
pub fn limits(analysis: &Analysis<'_>, setting: &Setting) -> Vec<String> {
    let mut limits = Vec::new();
    if setting.is_audit() {
        limits.push(
            "How much depends on the training run: there is one checkpoint, as it is. The intervals are about documents."
                .to_owned(),
        );
    } else {
        limits.extend(of_training(analysis, setting));
    }
    limits.extend(missing_controls(setting));
    let unscored: BTreeSet<&str> = analysis
        .cells
        .iter()
        .filter(|cell| cell.data.scores.is_none())
        .map(|cell| cell.data.cell.name.as_str())
        .collect();
    let scored = unscored.is_empty();
    if !scored {
        let missing = unscored.len();
        limits.push(format!(
            "Held-out loss by document, exact and probabilistic extraction, exposure and membership of {missing} of {} \
             cells: they have no scores.parquet. Set `extraction.score = true`.",
            analysis.cell_names().len()
        ));
    }
    let exposed = Where {
        split: Split::Train,
        strategy: None,
    };
    let canaries = setting.variants.iter().any(|variant| {
        !variant
            .chosen()
            .tallies
            .of(Measure::Exposure, exposed, None)
            .is_empty()
    });
    if scored && !canaries {
        let how = if setting.is_audit() {
            "before training"
        } else {
            "(`canaries.per_copies`)"
        };
        limits.push(format!("Exposure: no canaries were planted {how}."));
    }
    if setting.copies.len() < 2 {
        limits.push("How memorization grows with copies: all documents have the same number.".to_owned());
    }
    if setting.strategies.len() < 2 {
        limits.push(format!(
            "What other ways of decoding would find: only “{}” was used, and sampling finds less than greedy decoding, \
             or the other way round, depending on the model.",
            setting.strategy
        ));
    }
    if analysis
        .settings
        .iter()
        .map(|setting| setting.model.as_str())
        .collect::<BTreeSet<_>>()
        .len()
        < 2
    {
        limits.push("How it scales: there is one model.".to_owned());
    }
    limits.push(
        "That a model is safe. A rate no higher than its controls says that these prompts, this way of decoding and this detector found \
         nothing more; what the membership scores say stands apart from it."
            .to_owned(),
    );
    limits.push(
        "Single numbers out of many. Every interval is at 95% for itself alone; among twenty, one is expected to miss."
            .to_owned(),
    );
    limits
}

/// What one training run, or one learning rate, leaves open.
fn of_training(analysis: &Analysis<'_>, setting: &Setting) -> Vec<String> {
    let mut limits = Vec::new();
    let seeds = setting
        .shown()
        .map(|(_, series)| series.seeds(analysis))
        .max()
        .unwrap_or(0);
    if seeds < 2 {
        limits.push(
            "How much depends on the seed: there is one. The intervals are about documents, not about training anew."
                .to_owned(),
        );
    } else {
        limits.push(format!(
            "How much depends on the seed, beyond the {seeds} that are pooled here: the intervals are about documents."
        ));
    }
    if !setting.has_sweep() {
        limits.push(
            "Which way of tuning leaks less at the same usefulness: each ran at one learning rate, so there is no curve \
             to compare along. Give each mode several `learning_rate`s."
                .to_owned(),
        );
    }
    limits
}

/// What cannot be claimed without the untuned model, without text that no model saw, or without prompts from it.
fn missing_controls(setting: &Setting) -> Vec<String> {
    let mut limits = Vec::new();
    if setting.base.is_none() {
        let remedy = if setting.is_audit() {
            " Name it as the `base` of the checkpoint."
        } else {
            ""
        };
        limits.push(format!(
            "What the untuned model gives back: it is not in this run, so half of the control is missing, and what tuning added \
             cannot be told from what the model knew before.{remedy}"
        ));
    }
    let tuned = || {
        setting
            .shown()
            .map(|(_, series)| series)
            .filter(|series| series.mode != "base")
    };
    let has = |measure, at| tuned().any(|series| series.estimate(measure, at, None).is_some());
    let any = setting.seen();
    if has(Measure::Any, any) && !has(Measure::ControlAny, any) {
        let remedy = if setting.is_audit() {
            "there is no held-out text, so that phrases of the whole genre cannot be told from memory, and neither held-out loss nor \
             membership can be given. Name text of the same kind that was not trained on in `corpus.held_out_files`."
        } else {
            "the verdicts hold no control, so that phrases of the whole genre cannot be told from memory. Keep documents back \
             (`corpus.held_out`), and let `plagiarism` make the verdicts again."
        };
        limits.push(format!(
            "What the same generations share with text that no model was trained on: {remedy}"
        ));
    }
    if !has(Measure::Any, setting.unseen()) && !setting.is_audit() {
        limits.push(
            "What of the training text tuned models bring up after unseen openings: no held-out prompts were sampled. Add `heldout` to \
             `extraction.prompts`."
                .to_owned(),
        );
    }
    limits
}
