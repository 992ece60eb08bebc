//! The summary in other forms: `summary.csv` and `report.md` say what `summary.parquet` and the terminal say.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::fs;

use common::{Shape, Tuning, arguments, write_run};
use contract::parquet;
use contract::records::SummaryRow;

#[test]
fn csv_and_markdown_hold_the_figures_of_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        documents: 8,
        samples: 2,
        best: false,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new("full-3e-4", "full", Some(3e-4), 4.0, 0.9),
        ],
        ..Shape::default()
    };
    write_run(folder.path(), &shape);
    let outcome = report::report(&arguments(folder.path()), folder.path()).unwrap();
    let report = folder.path().join("report");

    let rows: Vec<SummaryRow> = parquet::read_all(&report.join("summary.parquet")).unwrap();
    let mut csv = csv::Reader::from_path(report.join("summary.csv")).unwrap();
    let written: Vec<SummaryRow> = csv.deserialize().collect::<Result<_, _>>().unwrap();
    assert_eq!(written, rows);

    // The same cells as on the terminal, whose columns are divided by two spaces or more.
    let markdown = fs::read_to_string(report.join("report.md")).unwrap();
    let table: Vec<Vec<String>> = markdown
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .map(|line| {
            line.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().replace('\\', ""))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = table.iter().map(Vec::len).collect();
    assert_eq!(widths, vec![widths[0]; 3], "{markdown}");
    for row in &table {
        let on_terminal = outcome.table.lines().any(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .eq(row.iter().map(String::as_str))
        });
        assert!(on_terminal, "{row:?}\n{}", outcome.table);
    }
}

/// The page, the terminal's text, `report.md` and `report.json` of a run of two learning rates, of which the lower has the better loss
/// and knows nothing.
fn of_two_rates(memory_at_the_higher: f64) -> [String; 4] {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        best: false,
        tunings: vec![
            Tuning::new("base", "base", None, 5.04, 0.0),
            Tuning::new("full-5e-5", "full", Some(5e-5), 4.02, 0.0),
            Tuning::new("full-1e-3", "full", Some(1e-3), 4.46, memory_at_the_higher),
        ],
        ..Shape::default()
    };
    write_run(folder.path(), &shape);
    let outcome = report::report(&arguments(folder.path()), folder.path()).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join("report").join(name)).unwrap();
    [
        read("report.html"),
        outcome.table,
        read("report.md"),
        read("report.json"),
    ]
}

/// The part of a text between two others.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split(start).nth(1).unwrap().split(end).next().unwrap()
}

/// A learning rate is chosen by its loss on unseen text, and one that lost the choice may be the one that somebody publishes.
#[test]
fn a_learning_rate_that_leaks_is_in_every_answer_though_another_one_was_chosen() {
    let [page, terminal, markdown, json] = of_two_rates(0.95);
    for section in ["answer", "key-figures", "attackers"] {
        let section = between(&page, &format!("id=\"{section}\""), "</section>");
        assert!(section.contains("5e-5") && section.contains("1e-3"), "{section}");
    }
    let row = |text: &str, rate: &str| text.lines().filter(|line| line.contains(rate)).count();
    assert!(
        row(&terminal, "1e-3") >= 1 && row(&markdown, "1e-3") >= 1,
        "{terminal}"
    );
    assert!(terminal.contains("leaks"), "{terminal}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(
        json["verdicts"].to_string().contains("1e-3"),
        "{}",
        json["verdicts"]
    );

    // One that knows nothing stays out of them; the details have it.
    let [page, terminal, ..] = of_two_rates(0.0);
    let key = between(&page, "id=\"key-figures\"", "</section>");
    assert!(key.contains("5e-5") && !key.contains("1e-3"), "{key}");
    assert!(!terminal.contains("1e-3"), "{terminal}");
}
