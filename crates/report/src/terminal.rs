//! The compact table that ends a run on a terminal.

use contract::records::SummaryRow;

use crate::analysis::{Analysis, Series, Setting};
use crate::checks::{self, CheckStatus, Severity};
use crate::claims::Control;
use crate::format::{figure, listing, number, percent, rate, rate_name};
use crate::measure::{Against, Measure};

const HEADINGS: [&str; 10] = [
    "tuning",
    "copies",
    "verbatim",
    "paraphrase",
    "idea",
    "control",
    "came out",
    "similarity",
    "unseen prompts",
    "held-out loss",
];

/// What the columns are.
const KEY: &str = "verbatim, paraphrase, idea: of the prompt's own document; control: any class of held-out text, the same generations; \
                   came out: documents of so many copies, of any generation; similarity: to its own document; unseen prompts: any class of \
                   any training text";

/// One line for each way of tuning and number of copies, at the learning rate with the best held-out loss: the best checkpoints
/// first, then the ends of training. What failed of the checks of plausibility comes last, where a reader looks first.
pub fn table(analysis: &Analysis<'_>) -> String {
    let tables = analysis.settings.iter().map(setting_table);
    tables
        .chain(failed_checks(analysis))
        .collect::<Vec<_>>()
        .join("\n")
}

fn failed_checks(analysis: &Analysis<'_>) -> Option<String> {
    let failures = checks::failures(analysis);
    let lines = failures.iter().map(|failure| {
        let severity = match failure.finding.status {
            CheckStatus::Failed(Severity::Warning) => "warning",
            _ => "failed, nothing can be concluded from low rates",
        };
        format!(
            "{severity} ({}): {}\n",
            failure.labels.join("; "),
            failure.finding.message
        )
    });
    (!failures.is_empty()).then(|| format!("plausibility checks\n{}", lines.collect::<String>()))
}

/// The checks of plausibility that failed in a summary that was there already; empty where none did.
pub fn failed_before(rows: &[SummaryRow]) -> String {
    let mut failed: Vec<String> = rows
        .iter()
        .filter(|row| row.measure.starts_with("check_") && row.value == 0.0)
        .map(|row| format!("{} of {}", row.measure, row.cell))
        .collect();
    failed.dedup();
    if failed.is_empty() {
        return String::new();
    }
    format!(
        "plausibility checks failed, the page says why: {}",
        listing(&failed)
    )
}

fn setting_table(setting: &Setting) -> String {
    let mut rows: Vec<Vec<String>> = vec![HEADINGS.map(str::to_owned).to_vec()];
    for (label, series) in setting.shown() {
        for (position, &copies) in setting.copies.iter().enumerate() {
            rows.push(row(setting, label, series, copies, position == 0));
        }
    }
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    let heading = format!(
        "{}, {} copies, {}",
        setting.model, setting.layout, setting.strategy
    );
    format!("{heading}\n{}\n{KEY}\n", lines.collect::<Vec<_>>().join("\n"))
}

fn row(setting: &Setting, label: &str, series: &Series, copies: i32, first: bool) -> Vec<String> {
    let share = |measure| {
        series
            .estimate(measure, setting.seen(), Some(copies))
            .map_or("–".to_owned(), |found| rate(&found))
    };
    let similarity = series.estimate(Measure::Similarity(Against::Own), setting.seen(), Some(copies));
    let control = Control::of(series, Measure::OwnAny, setting.seen(), Some(copies));
    let bound = if series.similarity_at_least { "≥" } else { "" };
    let once = |text: String| if first { text } else { String::new() };
    let name = series
        .learning_rate
        .map_or(label.to_owned(), |rate| format!("{label} {}", rate_name(rate)));
    let unseen = series.estimate(Measure::Any, setting.unseen(), None);
    vec![
        once(name),
        copies.to_string(),
        share(Measure::OwnVerbatim),
        share(Measure::OwnParaphrase),
        share(Measure::OwnIdea),
        control.map_or("–".to_owned(), |control| percent(control.floor().value)),
        share(Measure::DocumentsEmitted),
        similarity.map_or("–".to_owned(), |found| format!("{bound}{}", figure(&found, 2))),
        once(unseen.map_or("–".to_owned(), |found| percent(found.value))),
        once(
            series
                .held_out_loss()
                .map_or("–".to_owned(), |loss| number(loss.value, 2)),
        ),
    ]
}
