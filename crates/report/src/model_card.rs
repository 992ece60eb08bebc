//! `report model-card`: a section for a model's card, with the figures for programs (`model-index` in its front matter) and for readers.

use std::fmt::Write;
use std::path::Path;

use contract::records::{Split, SummaryRow};
use contract::{Error, parquet};

use crate::format::{listing, number};
use crate::gate::{require_current, summary_of};
use crate::markdown::escaped;
use crate::row_words::{documents, figure, model};

/// The measures of a card, each with its name there.
const MEASURES: [(&str, &str); 8] = [
    ("own_verbatim", "goes on with a document word for word"),
    (
        "exact_continuation",
        "goes on exactly as a document, in a passage or less",
    ),
    ("documents_emitted", "documents that come out word for word"),
    ("training_text_emitted", "other prompts that bring training text"),
    (
        "personal_details",
        "generations with a personal detail of a training document",
    ),
    (
        "membership_auc_loss",
        "AUC of telling training documents from unseen ones by their loss",
    ),
    (
        "membership_auc_reference",
        "AUC of the same by the loss compared with the untuned model",
    ),
    ("loss", "loss"),
];

/// The section for one cell of a run, which may be left out where the run tuned only one model.
///
/// # Errors
/// [`Error::Input`] where the summary is missing or damaged, or not of what its run folder holds now; [`Error::Configuration`] for a cell that the run does not have, or none where
/// it has several.
pub fn model_card(run: &Path, cell: Option<&str>) -> Result<String, Error> {
    let summary = summary_of(run)?;
    require_current(run)?;
    let rows: Vec<SummaryRow> = parquet::read_all(&summary)?;
    let cell = chosen(&rows, cell)?;
    let figures: Vec<(&str, &SummaryRow)> = MEASURES
        .iter()
        .flat_map(|&(measure, name)| {
            let of_measure = rows.iter().filter(move |row| {
                row.measure == measure
                    && row.cell.as_deref() == Some(cell)
                    && row.against.is_none()
                    && row.epoch.is_none()
            });
            of_measure
                .filter(|row| row.copies.is_none())
                .map(move |row| (name, row))
        })
        .filter(|(_, row)| row.measure != "loss" || row.split == Some(Split::Heldout))
        .filter(|(_, row)| row.measure != "training_text_emitted" || row.split != Some(Split::Train))
        .collect();
    Ok(text(cell, &figures, &failed_checks(&rows, cell)))
}

fn chosen<'a>(rows: &'a [SummaryRow], cell: Option<&str>) -> Result<&'a str, Error> {
    let mut tuned: Vec<&str> = rows
        .iter()
        .filter(|row| row.mode != "base")
        .filter_map(|row| row.cell.as_deref())
        .collect();
    tuned.sort_unstable();
    tuned.dedup();
    let found = match cell {
        Some(name) => tuned.iter().find(|known| **known == name),
        None if tuned.len() == 1 => tuned.first(),
        None => None,
    };
    found.copied().ok_or_else(|| {
        let names = listing(&tuned.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        Error::Configuration(match cell {
            Some(name) => format!("--cell: the run tuned no {name}; it has {names}"),
            None => format!("--cell: expected one of {names}"),
        })
    })
}

fn failed_checks<'a>(rows: &'a [SummaryRow], cell: &str) -> Vec<&'a str> {
    let failed = rows.iter().filter(|row| {
        row.cell.as_deref() == Some(cell)
            && row.verdict.as_deref() == Some("failed")
            && row.measure.starts_with("check_")
    });
    let mut names: Vec<&str> = failed.map(|row| row.measure.as_str()).collect();
    names.dedup();
    names
}

fn text(cell: &str, figures: &[(&str, &SummaryRow)], failed: &[&str]) -> String {
    let mut text = format!(
        "---\nmodel-index:\n- name: {}\n  results:\n  - task:\n      type: text-generation\n",
        quoted(cell)
    );
    let corpus = figures.iter().find_map(|(_, row)| row.corpus.clone());
    let corpus = corpus.unwrap_or_else(|| "the fine-tuning text".to_owned());
    let _ = writeln!(
        text,
        "    dataset:\n      type: private\n      name: {}\n    metrics:",
        quoted(&corpus)
    );
    for (name, row) in figures {
        let what = format!("{name}{}", conditions(row));
        let _ = writeln!(
            text,
            "    - type: {}\n      name: {}\n      value: {}",
            row.measure,
            quoted(&what),
            number_of(row.value)
        );
    }
    text.push_str("---\n\n## Memorization of the fine-tuning text\n\n");
    if let Some((_, row)) = figures.first() {
        let _ = writeln!(
            text,
            "{}: what it reproduces of the text it was tuned on.\n",
            escaped(&model(row))
        );
    }
    text.push_str("| What | Decoding | Documents | Figure | Untuned |\n|---|---|---|---|---|\n");
    for (name, row) in figures {
        let checkpoint = row
            .checkpoint
            .as_ref()
            .map_or(String::new(), |checkpoint| format!(" ({checkpoint} checkpoint)"));
        let _ = writeln!(
            text,
            "| {name}{checkpoint} | {} | {} | {} | {} |",
            row.strategy.as_deref().map_or("–".to_owned(), escaped),
            documents(row),
            figure(row),
            row.untuned.map_or("–".to_owned(), |value| number(value, 3)),
        );
    }
    if !failed.is_empty() {
        let _ = writeln!(
            text,
            "\n**Checks of plausibility failed ({}): a low rate is no evidence.**",
            failed.join(", ")
        );
    }
    text
}

fn conditions(row: &SummaryRow) -> String {
    let mut conditions: Vec<String> = row.strategy.iter().cloned().collect();
    conditions.extend(
        row.checkpoint
            .as_ref()
            .map(|checkpoint| format!("{checkpoint} checkpoint")),
    );
    conditions.push(documents(row));
    format!(" ({})", conditions.join(", "))
}

/// A text as YAML takes it: a string of JSON is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(page_parts::visible(text)).to_string()
}

fn number_of(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        ".nan".to_owned()
    }
}
