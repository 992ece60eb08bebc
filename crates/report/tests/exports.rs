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
