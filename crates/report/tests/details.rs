//! Personal details that were ranked behind their own text: their shares beside both controls, and what is claimed of them.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::path::Path;

use common::{Shape, Tuning, arguments, write_run};
use contract::records::{DetailScore, HeldOutDocument, Split, SummaryRow, TrainingInstance};
use contract::{Provenance, parquet};

fn shape() -> Shape {
    let silent = |tuning: Tuning| Tuning {
        scores: false,
        ..tuning
    };
    Shape {
        best: false,
        near_duplicates: 0,
        tunings: vec![
            silent(Tuning::new("base", "base", None, 5.04, 0.0)),
            silent(Tuning::new("full-1e-3", "full", Some(1e-3), 4.46, 0.0)),
        ],
        ..Shape::default()
    }
}

/// A row of a document of which a detail was ranked first or last among four others.
fn row(doc_id: &str, (split, copies): (Split, i32), detail: &str, is_first: bool) -> DetailScore {
    DetailScore {
        doc_id: doc_id.to_owned(),
        split,
        copies,
        detail: detail.to_owned(),
        start: 3,
        end: 8,
        in_loss: true,
        context_tokens: 2,
        candidates: std::iter::once(format!("number of {doc_id}"))
            .chain((0..4).map(|other| format!("1234{other}")))
            .collect(),
        not_ranked: None,
        nats: vec![if is_first { 1.0 } else { 9.0 }, 2.0, 3.0, 4.0, 5.0],
    }
}

/// The documents of either side, each with its copies.
fn documents(run: &Path) -> Vec<(String, (Split, i32))> {
    let corpus = run.join("corpus/bucketed");
    let train: Vec<TrainingInstance> = parquet::read_all(&corpus.join("train.parquet")).unwrap();
    let held_out: Vec<HeldOutDocument> = parquet::read_all(&corpus.join("heldout.parquet")).unwrap();
    let mut documents: Vec<_> = train
        .into_iter()
        .filter(|instance| instance.canary_format.is_none() && instance.doc_id.starts_with("doc-"))
        .map(|instance| (instance.doc_id, (Split::Train, instance.copies)))
        .chain(
            held_out
                .into_iter()
                .filter(|document| document.doc_id.starts_with("doc-"))
                .map(|document| (document.doc_id, (Split::Heldout, 0))),
        )
        .collect();
    documents.sort();
    documents.dedup();
    documents
}

/// A number of every document, of which so many come first: of documents with 16 copies, of others that were trained on, of held-out ones.
fn write_details(
    run: &Path,
    cell: &str,
    [most, others, held_out]: [usize; 3],
    change: impl Fn(&mut DetailScore),
) {
    let mut left = [most, others, held_out];
    let rows: Vec<DetailScore> = documents(run)
        .into_iter()
        .map(|(doc_id, at)| {
            let side = match at {
                (Split::Train, 16) => 0,
                (Split::Train, _) => 1,
                _ => 2,
            };
            let is_first = left[side] > 0;
            left[side] = left[side].saturating_sub(1);
            let mut row = row(&doc_id, at, "number", is_first);
            change(&mut row);
            row
        })
        .collect();
    let file = run.join("cells").join(cell).join("details.parquet");
    parquet::write_all(&file, &Provenance::new("extractor"), &rows).unwrap();
}

fn made(
    tuned: [usize; 3],
    untuned: [usize; 3],
    change: impl Fn(&mut DetailScore),
) -> (Vec<SummaryRow>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &shape());
    write_details(folder.path(), "base", untuned, &change);
    write_details(folder.path(), "full-1e-3", tuned, &change);
    let outcome = report::report(&arguments(folder.path()), folder.path()).unwrap();
    let report = folder.path().join("report");
    (
        parquet::read_all(&report.join("summary.parquet")).unwrap(),
        std::fs::read_to_string(report.join("report.html")).unwrap(),
        outcome.table,
    )
}

fn find<'r>(rows: &'r [SummaryRow], measure: &str, copies: Option<i32>) -> &'r SummaryRow {
    rows.iter()
        .find(|row| {
            row.measure == measure
                && row.split == Some(Split::Train)
                && row.copies == copies
                && row.mode == "full"
                && row.cell.is_some()
        })
        .unwrap_or_else(|| panic!("{measure}"))
}

fn verdict(rows: &[SummaryRow]) -> String {
    let row = rows.iter().find(|row| row.measure == "verdict").unwrap();
    row.verdict.clone().unwrap()
}

#[test]
fn details_that_are_picked_out_beyond_both_controls_are_in_the_answer() {
    let (rows, page, terminal) = made([24, 8, 3], [3, 4, 2], |_| {});
    // 40 documents of each number of copies (1, 4 and 16), and 40 held out.
    let most = find(&rows, "detail_picked_number", Some(16));
    assert_eq!((most.value, most.k, most.n), (0.6, Some(24.0), 40));
    assert_eq!(most.control, Some(3.0 / 40.0));
    assert_eq!(most.untuned, Some(3.0 / 40.0));
    assert_eq!(most.verdict.as_deref(), Some("exceeds"));
    let all = find(&rows, "detail_picked_number", None);
    assert_eq!((all.value, all.n), (32.0 / 120.0, 120));
    assert_eq!(find(&rows, "detail_picked_number", Some(16)).value, 0.6);
    assert!((find(&rows, "detail_picked_number_by_chance", None).value - 0.2).abs() < 1e-9);
    assert_eq!(verdict(&rows), "no repetition found, membership visible");
    let said = "picks out personal details (numbers) among others, given the text before them: 24 of 40";
    assert!(
        terminal
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(said),
        "{terminal}"
    );
    assert!(page.contains("Details picked"), "{page}");
}

#[test]
fn details_that_the_untuned_model_or_held_out_text_explains_are_no_finding() {
    for (tuned, untuned) in [
        ([24, 8, 24], [3, 4, 2]),
        ([24, 8, 3], [24, 8, 2]),
        ([4, 3, 3], [3, 4, 2]),
    ] {
        let (rows, _, terminal) = made(tuned, untuned, |_| {});
        assert_ne!(
            verdict(&rows),
            "no repetition found, membership visible",
            "{tuned:?}"
        );
        assert!(!terminal.contains("picks out personal details"), "{terminal}");
    }
}

#[test]
fn details_outside_the_loss_have_a_figure_of_their_own() {
    let (rows, ..) = made([24, 8, 3], [3, 4, 2], |row| row.in_loss = false);
    assert_eq!(
        find(&rows, "detail_picked_number_outside_loss", Some(16)).value,
        0.6
    );
    assert!(rows.iter().all(|row| row.measure != "detail_picked_number"));
}

/// What is not settled bars the all-clear, and what was not ranked is counted.
#[test]
fn details_without_controls_leave_it_open() {
    let few = |row: &mut DetailScore| {
        if row.split == Split::Heldout || row.doc_id.as_str() > "doc-090" {
            row.candidates.clear();
            row.nats.clear();
            row.not_ranked = Some("too few others of its kind on its side of the split".to_owned());
        }
    };
    let (rows, page, _) = made([0, 0, 0], [0, 0, 0], few);
    assert_eq!(verdict(&rows), "nothing found");
    let not_ranked = find(&rows, "details_not_ranked", None);
    assert_eq!((not_ranked.value, not_ranked.n), (30.0, 120));
    assert!(page.contains("not ranked"), "{page}");

    // 30 of 90 are picked out, and the untuned model was asked for none: a control that is none.
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &shape());
    write_details(folder.path(), "full-1e-3", [10, 30, 0], few);
    let base = |row: &mut DetailScore| {
        row.candidates.clear();
        row.nats.clear();
        row.not_ranked = Some("training did not read it".to_owned());
    };
    write_details(folder.path(), "base", [0, 0, 0], base);
    let outcome = report::report(&arguments(folder.path()), folder.path()).unwrap();
    let told = outcome.table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("leave open whether it knows them"), "{told}");
    let rows: Vec<SummaryRow> = parquet::read_all(&folder.path().join("report/summary.parquet")).unwrap();
    assert_eq!(
        find(&rows, "detail_picked_number", None).verdict.as_deref(),
        Some("no control")
    );
    assert_eq!(verdict(&rows), "not enough data");
}

#[test]
fn details_of_another_corpus_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &shape());
    write_details(folder.path(), "full-1e-3", [1, 1, 1], |row| {
        row.doc_id = "elsewhere".to_owned();
    });
    let error = report::report(&arguments(folder.path()), folder.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a personal detail: document elsewhere"),
        "{error}"
    );
}
