//! `report compare`: two runs on the same documents, against counts taken from their files.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use common::{Shape, Tuning, write_run};
use contract::parquet;
use contract::records::{Sample, SampleVerdict, Split, Verdict};
use report::compare::compare;

fn run(rate: f64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        documents: 12,
        samples: 2,
        best: false,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new("full-3e-4", "full", Some(3e-4), 4.0, rate),
        ],
        ..Shape::default()
    };
    write_run(folder.path(), &shape);
    folder
}

/// Greedy samples, and those that are verbatim with their own document, of each training document.
fn counted(run: &Path) -> BTreeMap<String, (usize, usize)> {
    let cell = std::fs::read_dir(run.join("cells"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|cell| cell.to_string_lossy().contains("full"))
        .unwrap();
    let samples: Vec<Sample> = parquet::read_all(&cell.join("samples.parquet")).unwrap();
    let greedy: BTreeSet<i64> = samples
        .iter()
        .filter(|sample| sample.strategy == "greedy")
        .map(|sample| sample.sample_id)
        .collect();
    let mut documents: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for verdict in parquet::read_all::<SampleVerdict>(&cell.join("verdicts.parquet")).unwrap() {
        if verdict.split == Split::Train && greedy.contains(&verdict.sample_id) {
            let found = documents.entry(verdict.doc_id.unwrap()).or_default();
            found.0 += 1;
            found.1 += usize::from(verdict.own_verdict == Some(Verdict::Verbatim));
        }
    }
    documents
}

#[test]
fn differences_and_counts_are_those_of_the_files() {
    let (before, after) = (run(0.9), run(0.25));
    let (first, second) = (counted(before.path()), counted(after.path()));
    let comparison = compare(before.path(), after.path()).unwrap();
    let own = |measure: &&report::compare::ComparedMeasure| {
        (
            measure.measure.as_str(),
            measure.split,
            measure.strategy.as_deref(),
        ) == ("own_verbatim", Split::Train, Some("greedy"))
    };
    let found: Vec<_> = comparison.measures.iter().filter(own).collect();
    assert_eq!(found.len(), 1, "one cell, one strategy");
    let found = found[0];
    let rate = |of: &BTreeMap<String, (usize, usize)>| {
        let (samples, hits) = of
            .values()
            .fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        hits as f64 / samples as f64
    };
    assert!(rate(&first) > rate(&second));
    assert!((found.before - rate(&first)).abs() < 1e-12);
    assert!((found.after - rate(&second)).abs() < 1e-12);
    assert!((found.difference - (rate(&second) - rate(&first))).abs() < 1e-12);
    let (low, high) = (found.ci_low.unwrap(), found.ci_high.unwrap());
    assert!(low < found.difference && found.difference < high);
    let count = |wanted: (bool, bool)| {
        first
            .iter()
            .filter(|(document, counts)| (counts.1 > 0, second[*document].1 > 0) == wanted)
            .count()
    };
    assert_eq!(found.only_before, Some(count((true, false))));
    assert_eq!(found.both, Some(count((true, true))));
    assert_eq!(found.only_after, Some(count((false, true))));
    assert_eq!(found.documents, first.len());

    // The other way round all signs turn.
    let back = compare(after.path(), before.path()).unwrap();
    let turned = back.measures.iter().find(own).unwrap();
    assert!((turned.difference + found.difference).abs() < 1e-12);
    assert_eq!(turned.only_after, found.only_before);
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let only = run(0.5);
    let comparison = compare(only.path(), only.path()).unwrap();
    assert!(
        !comparison.measures.is_empty() && comparison.notes.is_empty(),
        "{:?}",
        comparison.notes
    );
    for measure in &comparison.measures {
        assert!(measure.difference.abs() < 1e-12, "{measure:?}");
        assert!(measure.only_before.unwrap_or(0) == 0 && measure.only_after.unwrap_or(0) == 0);
    }
}

/// A document that one run has alone is in no figure, and a model that one run has alone is named.
#[test]
fn what_is_not_compared_is_counted_and_named() {
    let (before, after) = (run(0.9), tempfile::tempdir().unwrap());
    let shape = Shape {
        documents: 8,
        samples: 2,
        best: false,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new("full-3e-4", "full", Some(3e-4), 4.0, 0.25),
            Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.4, 0.0),
        ],
        ..Shape::default()
    };
    write_run(after.path(), &shape);
    let (first, second) = (counted(before.path()), counted(after.path()));
    let comparison = compare(before.path(), after.path()).unwrap();
    let own = comparison.measures.iter().find(|measure| {
        (
            measure.measure.as_str(),
            measure.split,
            measure.strategy.as_deref(),
        ) == ("own_verbatim", Split::Train, Some("greedy"))
    });
    let own = own.unwrap();
    let all: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    assert_eq!(own.documents + own.documents_left_out, all.len());
    assert!(own.documents_left_out > 0);
    let named = |what: &str| {
        comparison
            .notes
            .iter()
            .any(|note| note.contains("not compared") && note.contains(what))
    };
    assert!(named("lora16-3e-3"), "{:?}", comparison.notes);
    assert!(!named("full-3e-4"), "{:?}", comparison.notes);
}

#[test]
fn the_program_prints_a_table_and_writes_all_of_it() {
    let (before, after) = (run(0.9), run(0.25));
    let csv = after.path().join("compared.csv");
    let found = Command::new(env!("CARGO_BIN_EXE_report"))
        .arg("compare")
        .args([before.path(), after.path()])
        .arg("--csv")
        .arg(&csv)
        .output()
        .unwrap();
    let table = String::from_utf8(found.stdout).unwrap();
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    let line = table
        .lines()
        .find(|line| line.trim_start().starts_with("own_verbatim"))
        .unwrap();
    assert!(line.contains("training documents"), "{table}");
    let rows = csv::Reader::from_path(&csv).unwrap().into_records().count();
    assert_eq!(rows, compare(before.path(), after.path()).unwrap().measures.len());
}
