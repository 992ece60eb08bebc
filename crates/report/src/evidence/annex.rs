//! The annex of the evidence: a text that a reviewer reads beside an assessment.

use std::fmt::Write;

use contract::records::{Split, SummaryRow};

use super::{Evidence, MeasuredRisk};
use crate::format::number;
use crate::markdown::escaped;
use crate::row_words::{documents, figure, model};

pub(super) fn text(evidence: &Evidence) -> String {
    let mut text = format!("# Measured risks: {}\n", escaped(&evidence.name));
    let verdicts = evidence
        .verdicts
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if verdicts.is_empty() {
        text.push_str("\nThe report draws no conclusion on a tuned model.\n");
    }
    for verdict in verdicts {
        let _ = writeln!(
            text,
            "\n{}",
            escaped(verdict["paragraph"].as_str().unwrap_or_default())
        );
    }
    if !evidence.failed_checks.is_empty() {
        text.push_str("\n**Checks of plausibility failed: a low rate of these cells is no evidence.**\n\n");
        for check in &evidence.failed_checks {
            let said = |field: &str| escaped(check[field].as_str().unwrap_or_default());
            let _ = writeln!(text, "- {}, {}: {}", said("cell"), said("check"), said("message"));
        }
    }
    for measured in &evidence.risks {
        add_risk(&mut text, measured);
    }
    text.push_str("\n## What no run of this program tests\n\n");
    for what in evidence.not_tested {
        let _ = writeln!(text, "- {what}");
    }
    let _ = writeln!(
        text,
        "\nFigures are shares of documents, prompts or generations with 95% intervals; every row, its numerator and its units are in the \
         bundle, with the digests of {} files.",
        evidence.files.len()
    );
    text
}

fn add_risk(text: &mut String, measured: &MeasuredRisk) {
    let risk = &measured.risk;
    let _ = writeln!(text, "\n## {}\n", risk.title);
    let _ = writeln!(text, "- **Adversary**: {}", risk.adversary);
    let _ = writeln!(text, "- **Access**: {}", risk.access);
    let references: Vec<String> = risk
        .asked_by
        .iter()
        .map(|reference| format!("{} ({})", reference.document, reference.place))
        .collect();
    let _ = writeln!(text, "- **Asked by**: {}", references.join("; "));
    let _ = writeln!(text, "- **Not tested**: {}", risk.not_tested.join("; "));
    if !measured.not_measured.is_empty() {
        let names: Vec<String> = measured
            .not_measured
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = writeln!(text, "- **Not measured in this run**: {}", names.join(", "));
    }
    let rows: Vec<&SummaryRow> = measured
        .figures
        .iter()
        .filter(|row| is_shown(row, measured))
        .collect();
    if rows.is_empty() {
        text.push_str("\nNo figure of the run is about this.\n");
        return;
    }
    text.push_str("\n| Model | Decoding | Measure | Documents | Figure | Untuned | Control |\n|---|---|---|---|---|---|---|\n");
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | `{}` | {} | {} | {} | {} |",
            escaped(&model(row)),
            row.strategy.as_deref().map_or("–".to_owned(), escaped),
            row.measure,
            documents(row),
            figure(row),
            row.untuned.map_or("–".to_owned(), |value| number(value, 3)),
            row.control.map_or("–".to_owned(), |value| number(value, 3)),
        );
    }
}

/// The measures of the annex, of all documents, and of those with the most copies.
fn is_shown(row: &SummaryRow, measured: &MeasuredRisk) -> bool {
    let alike = |other: &&SummaryRow| {
        (
            &other.cell,
            &other.checkpoint,
            &other.strategy,
            &other.measure,
            other.split,
        ) == (&row.cell, &row.checkpoint, &row.strategy, &row.measure, row.split)
    };
    let most = measured
        .figures
        .iter()
        .filter(alike)
        .filter_map(|other| other.copies)
        .max();
    let is_of_tuned_text = row.split != Some(Split::Heldout) || row.measure == "training_text_emitted";
    measured.risk.in_annex.contains(&row.measure.as_str())
        && is_of_tuned_text
        && (row.copies.is_none() || row.copies == most)
}
