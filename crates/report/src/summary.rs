//! `summary.parquet`: every measure of every cell in long form.

use contract::records::{CorpusFact, CorpusFactKind, PromptForm, Split, SummaryRow};
use rayon::prelude::*;

use crate::analysis::{AnalysedCell, Analysis};
use crate::canaries;
use crate::checks::{CheckStatus, cut_facts};
use crate::claims::Control;
use crate::measure::Measure;
use crate::membership::{FALSE_POSITIVE_RATES, NonMembers};
use crate::ranking::precisions;
use crate::rates::{Bootstrap, Estimate};
use crate::run::WhichCheckpoint;
use crate::tallies::Where;
use crate::trends::per_doubling;

/// The rows of all cells, in an order that depends on nothing but the run.
pub fn rows(analysis: &Analysis<'_>) -> Vec<SummaryRow> {
    analysis
        .cells
        .par_iter()
        .flat_map_iter(|cell| cell_rows(cell, analysis.bootstrap))
        .collect()
}

fn cell_rows(cell: &AnalysedCell<'_>, bootstrap: Bootstrap) -> Vec<SummaryRow> {
    let mut rows = average_rows(cell, bootstrap);
    rows.extend(canary_rows(cell));
    rows.extend(check_rows(cell));
    if cell.data.cell.canaries_apart {
        return rows;
    }
    rows.extend(control_rows(cell, bootstrap));
    rows.extend(text_rows(cell));
    rows.extend(reading_rows(cell));
    rows.extend(trend_rows(cell, bootstrap));
    rows.extend(membership_rows(cell));
    rows.extend(ranking_rows(cell));
    rows.extend(course_rows(cell));
    rows
}

/// Every measure that is an average over documents; for training documents also by copies, where the measure is about the
/// document that has them.
fn average_rows(cell: &AnalysedCell<'_>, bootstrap: Bootstrap) -> Vec<SummaryRow> {
    let mut rows = Vec::new();
    for (measure, split, strategy) in cell.tallies.questions() {
        let at = Where { split, strategy };
        for copies in groups(cell, measure, split) {
            let Some(estimate) = cell.tallies.estimate(measure, at, copies, bootstrap) else {
                continue;
            };
            rows.push(row(cell, at, copies, measure.to_string(), estimate));
            if measure == Measure::Loss {
                rows.push(row(
                    cell,
                    at,
                    copies,
                    "perplexity".to_owned(),
                    estimate.map(f64::exp),
                ));
            }
        }
    }
    rows
}

/// The numbers of copies that a measure is told apart by; none stands for all.
fn groups(cell: &AnalysedCell<'_>, measure: Measure, split: Split) -> Vec<Option<i32>> {
    let mut groups = vec![None];
    if split == Split::Train && measure.is_by_copies() {
        groups.extend(cell.tallies.copies().into_iter().map(Some));
    }
    groups
}

/// The controls, carried over to as much text as there is training text.
fn control_rows(cell: &AnalysedCell<'_>, bootstrap: Bootstrap) -> Vec<SummaryRow> {
    let mut rows = Vec::new();
    for (measure, split, strategy) in cell.tallies.questions() {
        if measure.apart().is_none() {
            continue;
        }
        let at = Where { split, strategy };
        for copies in groups(cell, measure, split) {
            let found = Control::measured(&cell.tallies, cell.corpus.chars, measure, at, copies, bootstrap);
            let Some(Control { carried, apart, .. }) = found else {
                continue;
            };
            rows.push(row(cell, at, copies, format!("{measure}_carried_over"), carried));
            if let (Some(apart), Some(name)) = (apart, measure.apart()) {
                rows.push(row(cell, at, copies, format!("{name}_carried_over"), apart));
            }
        }
    }
    rows
}

/// How much text there is on either side of the split.
fn text_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    let (chars, counts) = (cell.corpus.chars, cell.corpus.held_out);
    let near_duplicates = counts.near_duplicates;
    let apart = near_duplicates.map(|_| chars.held_out_apart as f64);
    let trained = cell.corpus.training_documents();
    [
        (Split::Train, "text_chars", Some(chars.training as f64), trained),
        (
            Split::Heldout,
            "text_chars",
            Some(chars.held_out as f64),
            counts.documents,
        ),
        (
            Split::Heldout,
            "text_chars_without_near_duplicates",
            apart,
            counts.documents - near_duplicates.unwrap_or(0),
        ),
        (
            Split::Heldout,
            "near_duplicates",
            near_duplicates.map(|count| count as f64),
            counts.documents,
        ),
    ]
    .into_iter()
    .filter_map(|(split, name, value, documents)| {
        let at = Where {
            split,
            strategy: None,
        };
        Some(row(cell, at, None, name.to_owned(), exact(value?, documents)))
    })
    .collect()
}

/// Whether each check of plausibility passed, 1, or failed, 0; one that could not be made has no row.
fn check_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    let at = Where {
        split: Split::Train,
        strategy: None,
    };
    cell.checks
        .iter()
        .filter_map(|result| {
            let value = match result.finding.status {
                CheckStatus::Passed => 1.0,
                CheckStatus::Failed(_) => 0.0,
                CheckStatus::NotMade => return None,
            };
            let name = format!("check_{}", result.check.name);
            Some(row(
                cell,
                at,
                None,
                name,
                exact(value, result.finding.observations),
            ))
        })
        .collect()
}

/// What reading the corpus left out, passed over, guessed or changed, by the side that the documents were to go to.
fn reading_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    const COUNTED: [(CorpusFactKind, &str); 8] = [
        (CorpusFactKind::Read, "documents_read"),
        (CorpusFactKind::LeftOut, "documents_left_out"),
        (CorpusFactKind::Replaced, "documents_with_replaced_characters"),
        (CorpusFactKind::Copies, "documents_repeated"),
        (CorpusFactKind::Renamed, "documents_renamed"),
        (CorpusFactKind::Cut, "documents_over_context"),
        (CorpusFactKind::PassedOver, "files_passed_over"),
        (CorpusFactKind::Guessed, "guessed_in_reading"),
    ];
    if cell.corpus.facts.is_none() {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for split in [Split::Train, Split::Heldout, Split::None] {
        let at = Where {
            split,
            strategy: None,
        };
        for (kind, name) in COUNTED {
            let about_model: Vec<&CorpusFact> = match kind {
                CorpusFactKind::Cut => cut_facts(cell).collect(),
                _ => cell.corpus.facts_of(kind).collect(),
            };
            let facts: Vec<&CorpusFact> = about_model
                .into_iter()
                .filter(|fact| fact.split.unwrap_or(Split::None) == split)
                .collect();
            let counted = match kind {
                CorpusFactKind::PassedOver | CorpusFactKind::Guessed => facts.len() as f64,
                _ => facts.iter().filter_map(|fact| fact.documents).sum::<i64>() as f64,
            };
            if !facts.is_empty() {
                rows.push(row(cell, at, None, name.to_owned(), exact(counted, facts.len())));
            }
        }
    }
    let all = Where {
        split: Split::None,
        strategy: None,
    };
    if let Some(read) = cell
        .corpus
        .documents_of(CorpusFactKind::Read)
        .filter(|read| *read > 0)
    {
        let left_out = cell.corpus.documents_of(CorpusFactKind::LeftOut).unwrap_or(0);
        for (name, documents) in [
            ("share_left_out", left_out),
            ("share_unreadable", cell.corpus.unreadable_documents()),
        ] {
            let share = exact(documents as f64 / read as f64, read as usize);
            rows.push(row(cell, all, None, name.to_owned(), share));
        }
    }
    rows
}

/// What a doubling of the copies adds.
fn trend_rows(cell: &AnalysedCell<'_>, bootstrap: Bootstrap) -> Vec<SummaryRow> {
    let mut rows = Vec::new();
    for (measure, split, strategy) in cell.tallies.questions() {
        if !matches!(measure, Measure::OwnVerbatim | Measure::OwnAny) || split != Split::Train {
            continue;
        }
        let Some(trend) = per_doubling(&cell.tallies, measure, strategy, bootstrap) else {
            continue;
        };
        let at = Where { split, strategy };
        let documents = cell.tallies.of(measure, at, None).len();
        let slope = Estimate {
            value: trend.slope,
            interval: Some(trend.slope_interval),
            observations: documents,
            documents,
        };
        rows.push(row(cell, at, None, format!("{measure}_per_doubling"), slope));
    }
    rows
}

/// What exposure comes to by chance, and how high it can go.
fn canary_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    let scores = cell.data.scores.as_deref().unwrap_or_default();
    let Some(bounds) = canaries::bounds(scores, cell.corpus) else {
        return Vec::new();
    };
    let at = Where {
        split: Split::Heldout,
        strategy: None,
    };
    [
        ("exposure_by_chance", bounds.chance),
        ("exposure_highest", bounds.highest),
    ]
    .map(|(name, value)| row(cell, at, None, name.to_owned(), exact(value, bounds.fewest)))
    .to_vec()
}

fn membership_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    let at = Where {
        split: Split::Train,
        strategy: None,
    };
    let mut rows = Vec::new();
    for separation in &cell.separations {
        let name = format!("membership_auc_{}", separation.attack);
        rows.push(row(cell, at, separation.copies, name, separation.auc));
        for (fpr, tpr) in FALSE_POSITIVE_RATES.iter().zip(separation.true_positive_rates) {
            let name = format!("membership_tpr_at_{fpr}_fpr_{}", separation.attack);
            rows.extend(tpr.map(|tpr| row(cell, at, separation.copies, name, tpr)));
        }
    }
    if cell.separations.is_empty() {
        return rows;
    }
    let held_out = Where {
        split: Split::Heldout,
        strategy: None,
    };
    let NonMembers {
        used,
        validation,
        near_duplicates,
    } = cell.non_members;
    let all = used + validation + near_duplicates;
    let counts = [
        ("non_members", used),
        ("left_out_as_validation", validation),
        ("left_out_as_near_duplicates", near_duplicates),
    ];
    rows.extend(counts.map(|(name, count)| {
        row(
            cell,
            held_out,
            None,
            format!("membership_{name}"),
            exact(count as f64, all),
        )
    }));
    rows
}

/// What the best ranked of the generations from nothing come to.
fn ranking_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    let mut strategies: Vec<&str> = Vec::new();
    for sample in cell
        .data
        .samples
        .iter()
        .filter(|sample| sample.form == PromptForm::Nothing)
    {
        if !strategies.contains(&sample.strategy.as_str()) {
            strategies.push(&sample.strategy);
        }
    }
    let mut rows = Vec::new();
    for strategy in strategies {
        let at = Where {
            split: Split::None,
            strategy: Some(strategy),
        };
        let samples = cell
            .data
            .samples
            .iter()
            .filter(|sample| sample.strategy == strategy);
        for precision in precisions(samples) {
            let name = match precision.ranking {
                Some(ranking) => format!("ranked_by_{ranking}_best{}", precision.looked_at),
                None => "unranked_distinct".to_owned(),
            };
            rows.push(row(cell, at, None, name, precision.share));
        }
    }
    rows
}

/// The training log, which is one for both checkpoints.
fn course_rows(cell: &AnalysedCell<'_>) -> Vec<SummaryRow> {
    if cell.data.checkpoint == Some(WhichCheckpoint::Best) {
        return Vec::new();
    }
    let at = Where {
        split: Split::Heldout,
        strategy: None,
    };
    let Some(course) = cell.course else {
        return Vec::new();
    };
    [
        ("best_loss_in_training", course.best),
        ("last_loss_in_training", course.last),
        ("best_loss_epoch", course.best_epoch),
    ]
    .map(|(name, value)| SummaryRow {
        checkpoint: None,
        ..row(cell, at, None, name.to_owned(), exact(value, course.evaluations))
    })
    .to_vec()
}

/// A value for which no interval is given.
fn exact(value: f64, observations: usize) -> Estimate {
    Estimate {
        value,
        interval: None,
        observations,
        documents: observations,
    }
}

fn row(
    cell: &AnalysedCell<'_>,
    at: Where<'_>,
    copies: Option<i32>,
    measure: String,
    estimate: Estimate,
) -> SummaryRow {
    let facts = &cell.data.cell;
    SummaryRow {
        cell: facts.name.clone(),
        model: facts.model.clone(),
        parameters: facts.parameters,
        trainable_parameters: facts.trainable_parameters,
        mode: facts.mode.clone(),
        rank: facts.rank,
        targets: facts.targets.clone(),
        learning_rate: facts.learning_rate,
        copies,
        seed: facts.seed as i64,
        split: at.split,
        strategy: at.strategy.map(str::to_owned),
        measure,
        value: estimate.value,
        ci_low: estimate.interval.map(|interval| interval.low),
        ci_high: estimate.interval.map(|interval| interval.high),
        n: estimate.observations as i64,
        checkpoint: cell.data.checkpoint.map(|checkpoint| checkpoint.to_string()),
    }
}
