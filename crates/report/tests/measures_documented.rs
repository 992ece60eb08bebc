//! Every measure in `summary.parquet` is in MEASURES.md.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeSet;

use common::{Shape, Tuning, write_run};
use report::{Bootstrap, Estimates, Run, RunFiles};

/// The names of MEASURES.md, between backticks in the first cell of a row.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../MEASURES.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let first_cells = rows.filter_map(|line| line.split('|').nth(1));
    let names = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

/// A name with its numbers as MEASURES.md writes them.
fn pattern(measure: &str) -> String {
    let number =
        |part: &str| !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit() || digit == '.');
    let mut parts: Vec<String> = measure.split('_').map(str::to_owned).collect();
    for index in 0..parts.len() {
        let part = parts[index].clone();
        let before = index
            .checked_sub(1)
            .map(|before| parts[before].clone())
            .unwrap_or_default();
        let after = parts.get(index + 1).cloned().unwrap_or_default();
        let named = if let Some(share) = part.strip_prefix("best") {
            number(share).then(|| "bestN".to_owned())
        } else if let Some(count) = part.strip_prefix("part") {
            number(count).then(|| "partN".to_owned())
        } else if let Some(draws) = part.strip_prefix('n') {
            number(draws).then(|| "nN".to_owned())
        } else if !number(&part) {
            None
        } else if before == "after" {
            Some("K".to_owned())
        } else if before == "at" && after == "fpr" {
            Some("A".to_owned())
        } else if before == "at" {
            Some("S".to_owned())
        } else if after == "tokens" && before != "extractable" {
            Some("T".to_owned())
        } else {
            None
        };
        if let Some(named) = named {
            parts[index] = named;
        }
    }
    parts.join("_")
}

#[test]
fn every_measure_of_the_summary_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new("full-3e-4", "full", Some(3e-4), 4.0, 0.6),
            Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.4, 0.1),
        ],
        ..Shape::default()
    };
    write_run(folder.path(), &shape);
    let files = RunFiles::find(folder.path()).unwrap();
    let run = Run::load(&files).unwrap();
    let bootstrap = Bootstrap {
        resamples: 50,
        seed: 0,
    };
    let estimates = Estimates::of(&run, bootstrap).unwrap();
    let documented = documented();
    let measures: BTreeSet<String> = estimates
        .table
        .rows()
        .map(|shown| shown.row.key.measure.clone())
        .collect();
    assert!(measures.len() > 60, "{}", measures.len());
    let missing: Vec<&String> = measures
        .iter()
        .filter(|name| !documented.contains(&pattern(name)))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}
