//! What ends a run on a terminal: the verdict of the page in its own words, and one table. The failed checks come last, where a
//! reader looks first.

use contract::records::SummaryRow;

use crate::estimate::checks::{self, CheckStatus, Severity};
use crate::estimate::claims::VERDICT;
use crate::estimate::groups::setting;
use crate::estimate::{Estimates, Experiment, Measure, Shown, TRAINED};
use crate::findings::{answer, capital};
use crate::format::{count_of, listing, number, percent};

/// Width of a paragraph, in characters.
const WIDTH: usize = 110;

/// The verdict and one table for each model and layout, then what failed of the checks of plausibility.
pub fn text(estimates: &Estimates<'_>) -> String {
    let mut blocks: Vec<String> = Vec::new();
    for experiment in &estimates.experiments {
        if estimates.experiments.len() > 1 {
            blocks.push(experiment.name());
        }
        let answer = answer(estimates, experiment);
        if let Some(strongest) = answer.models.first() {
            blocks.push(wrapped(&strongest.to_string()));
        }
        blocks.push(table(estimates, experiment));
    }
    blocks.extend(failed_checks(estimates));
    blocks.join("\n\n")
}

/// A paragraph in lines of at most so many characters.
fn wrapped(paragraph: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let line = lines.len() - 1;
        let fits = lines[line].chars().count() + 1 + word.chars().count() <= WIDTH;
        if lines[line].is_empty() {
            word.clone_into(&mut lines[line]);
        } else if fits {
            lines[line] = format!("{} {word}", lines[line]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// The main table: its headings, and a row for each way of tuning.
pub(crate) fn rows(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Vec<String>> {
    let mut headings = vec!["tuning".to_owned(), "verdict".to_owned()];
    headings.extend(
        experiment
            .copies
            .iter()
            .map(|copies| format!("own text, {copies}×")),
    );
    headings.extend(["any text, unseen prompts", "membership AUC", "loss, unseen text"].map(str::to_owned));
    let mut rows = vec![headings];
    for group in estimates.shown(experiment) {
        rows.push(row(estimates, experiment, group));
    }
    rows
}

fn table(estimates: &Estimates<'_>, experiment: &Experiment) -> String {
    let rows = rows(estimates, experiment);
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    format!(
        "{}\n{}",
        lines.join("\n"),
        wrapped(&legend(estimates, experiment))
    )
}

/// What the columns of the main table are.
pub(crate) fn legend(estimates: &Estimates<'_>, experiment: &Experiment) -> String {
    let score = estimates
        .membership_score(experiment)
        .map_or(String::new(), |score| {
            let copies = experiment.most_copies().unwrap_or(1);
            format!("; membership: by {}, documents with {copies}×", score.title())
        });
    format!(
        "own text: documents whose beginning was the prompt ({}), continued word for word; × copies in the training text{score}",
        experiment.strategy
    )
}

fn row(estimates: &Estimates<'_>, experiment: &Experiment, group: usize) -> Vec<String> {
    let found = &estimates.groups[group];
    let dash = || "–".to_owned();
    let show = |shown: Option<Shown<'_>>, text: fn(&crate::estimate::Estimate) -> String| {
        shown.map_or(dash(), |shown| text(shown.estimate()))
    };
    let verdict = estimates.verdicts.get(&group).map_or(dash(), |verdict| {
        let word = verdict.verdict.word();
        if verdict.of_runs > 1 {
            format!("{word} ({} of {})", verdict.runs, verdict.of_runs)
        } else {
            word.to_owned()
        }
    });
    let mut cells = vec![capital(&found.label), verdict];
    for &copies in &experiment.copies {
        let other = found.uniform_copies.is_some_and(|uniform| uniform != copies);
        let shown = estimates
            .find(group, Measure::OwnVerbatim, experiment.seen(), Some(copies))
            .filter(|_| !other);
        cells.push(show(shown, short));
    }
    let emitted = estimates.find(group, Measure::TrainingTextEmitted, experiment.unseen(), None);
    cells.push(show(emitted, short));
    let auc = estimates
        .membership_score(experiment)
        .and_then(|score| estimates.find(group, score.auc(), TRAINED, experiment.most_copies()));
    cells.push(show(auc, |estimate| number(estimate.value, 2)));
    cells.push(show(estimates.held_out_loss(group), |estimate| {
        number(estimate.value, 2)
    }));
    cells
}

/// "21 of 26", or "81%" of several generations a document.
fn short(estimate: &crate::estimate::Estimate) -> String {
    if estimate.observations == estimate.n {
        count_of(estimate)
    } else {
        format!("{} of {}", percent(estimate.value), estimate.observations)
    }
}

pub(crate) fn failed_checks(estimates: &Estimates<'_>) -> Option<String> {
    let failures = checks::failures(estimates);
    let lines: Vec<String> = failures
        .iter()
        .map(|failure| {
            let severity = match failure.finding.status {
                CheckStatus::Failed(Severity::Warning) => "warning",
                _ => "failed, nothing can be concluded from low rates",
            };
            format!(
                "{severity} ({}): {}",
                failure.labels.join("; "),
                failure.finding.message
            )
        })
        .collect();
    (!failures.is_empty()).then(|| format!("plausibility checks\n{}", lines.join("\n")))
}

/// What a summary that was there already says: the verdicts, and the checks of plausibility that failed.
pub fn text_before(rows: &[SummaryRow]) -> String {
    let mut lines: Vec<String> = rows
        .iter()
        .filter(|row| row.measure == VERDICT)
        .map(|row| {
            let checkpoint = row
                .checkpoint
                .as_ref()
                .map_or(String::new(), |point| format!(", {point}"));
            let word = row.verdict.as_deref().unwrap_or("–");
            let setting = setting(&row.model, row.corpus.as_deref(), &row.layout);
            format!("{setting}, {}{checkpoint}: {word}", row.method)
        })
        .collect();
    let mut failed: Vec<String> = rows
        .iter()
        .filter(|row| row.measure.starts_with("check_") && row.value == 0.0)
        .map(|row| format!("{} of {}", row.measure, row.cell.as_deref().unwrap_or("–")))
        .collect();
    failed.dedup();
    if !failed.is_empty() {
        lines.push(format!(
            "plausibility checks failed, the page says why: {}",
            listing(&failed)
        ));
    }
    lines.join("\n")
}
