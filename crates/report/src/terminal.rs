//! The compact table that ends a run on a terminal.

use crate::analysis::{Analysis, Series, Setting};
use crate::format::{figure, number, percent, rate, rate_name};
use crate::measure::{Against, Measure};

const HEADINGS: [&str; 8] = [
    "mode",
    "copies",
    "verbatim",
    "paraphrase",
    "idea",
    "similarity",
    "held-out prompts",
    "held-out loss",
];

/// One line for each way of tuning and number of copies, at the learning rate with the best held-out loss.
pub fn table(analysis: &Analysis<'_>) -> String {
    analysis
        .settings
        .iter()
        .map(setting_table)
        .collect::<Vec<_>>()
        .join("\n")
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
    format!("{heading}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

fn row(setting: &Setting, label: &str, series: &Series, copies: i32, first: bool) -> Vec<String> {
    let share = |measure| {
        series
            .estimate(measure, setting.seen(), Some(copies))
            .map_or("–".to_owned(), |found| rate(&found))
    };
    let similarity = series.estimate(
        Measure::Similarity(Against::Training),
        setting.seen(),
        Some(copies),
    );
    let once = |text: String| if first { text } else { String::new() };
    let name = series
        .learning_rate
        .map_or(label.to_owned(), |rate| format!("{label} {}", rate_name(rate)));
    let unseen = series.estimate(Measure::Any, setting.unseen(), None);
    vec![
        once(name),
        copies.to_string(),
        share(Measure::Verbatim),
        share(Measure::Paraphrase),
        share(Measure::Idea),
        similarity.map_or("–".to_owned(), |found| figure(&found, 2)),
        once(unseen.map_or("–".to_owned(), |found| percent(found.value))),
        once(
            series
                .held_out_loss()
                .map_or("–".to_owned(), |loss| number(loss.value, 2)),
        ),
    ]
}
