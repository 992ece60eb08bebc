//! Stronger attacks on the page and in the table: a strategy in capitals, generations from nothing, a searched prompt.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::path::Path;

use common::{Shape, Tuning, write_run};
use contract::records::{PassageMatch, PromptForm, Sample, SampleVerdict, Split, SummaryRow, Verdict};
use contract::{Provenance, StageArguments, parquet};

const CELL: &str = "full-3e-4";

fn run_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape {
        documents: 8,
        best: false,
        near_duplicates: 0,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new(CELL, "full", Some(3e-4), 4.0, 0.0),
        ],
        ..Shape::default()
    };
    write_run(folder.path(), &shape);
    folder
}

/// Adds samples to a cell, each with its class; nothing else in the cell has any.
fn add(run: &Path, made: impl Fn(&Sample) -> Vec<(Sample, Verdict)>) {
    let cell = run.join("cells").join(CELL);
    let mut samples: Vec<Sample> = parquet::read_all(&cell.join("samples.parquet")).unwrap();
    let mut verdicts: Vec<SampleVerdict> = parquet::read_all(&cell.join("verdicts.parquet")).unwrap();
    for verdict in &mut verdicts {
        verdict.verdict = Verdict::None;
        verdict.own_verdict = verdict.own_verdict.map(|_| Verdict::None);
        verdict.longest_match_chars = 0;
    }
    let seen = samples
        .iter()
        .position(|sample| sample.copies == 16 && sample.split == Split::Train)
        .unwrap();
    let (sample, judged) = (samples[seen].clone(), verdicts[seen].clone());
    for (number, (made, verdict)) in (samples.len() as i64..).zip(made(&sample)) {
        verdicts.push(SampleVerdict {
            sample_id: number,
            doc_id: made.doc_id.clone(),
            split: made.split,
            copies: made.copies,
            verdict,
            own_verdict: (made.split == Split::Train).then_some(verdict),
            ..judged.clone()
        });
        samples.push(Sample {
            sample_id: number,
            ..made
        });
    }
    let provenance = Provenance::new("test");
    parquet::write_all(&cell.join("samples.parquet"), &provenance, &samples).unwrap();
    parquet::write_all(&cell.join("verdicts.parquet"), &provenance, &verdicts).unwrap();
    parquet::write_all::<PassageMatch>(&cell.join("matches.parquet"), &provenance, &[]).unwrap();
}

fn outputs(run: &Path) -> (String, Vec<SummaryRow>) {
    let arguments = StageArguments {
        config: run.join("report.toml"),
        out: run.join("report"),
        seed: None,
        threads: None,
        force: false,
        overrides: Vec::new(),
    };
    report::report(&arguments, run).unwrap();
    let rows = parquet::read_all(&run.join("report/summary.parquet")).unwrap();
    (
        std::fs::read_to_string(run.join("report/report.html")).unwrap(),
        rows,
    )
}

#[track_caller]
fn value(rows: &[SummaryRow], strategy: &str, measure: &str, copies: Option<i32>) -> (f64, i64) {
    let found: Vec<&SummaryRow> = rows
        .iter()
        .filter(|row| row.cell == CELL && row.measure == measure && row.copies == copies)
        .filter(|row| row.strategy.as_deref() == Some(strategy))
        .collect();
    assert_eq!(found.len(), 1, "{strategy} {measure}");
    (found[0].value, found[0].n)
}

#[test]
fn a_strategy_is_set_beside_sampling_with_what_a_leak_costs() {
    let folder = run_folder();
    assert!(!outputs(folder.path()).0.contains("Stronger attacks"));
    // Eight generations of one document in capitals, at 80 tokens each; two repeat it.
    add(folder.path(), |sample| {
        let of = |number: usize| Sample {
            strategy: "in capitals".into(),
            prompt_form: Some(PromptForm::UpperCase),
            tokens_read: Some(80),
            generation: format!("{number}"),
            ..sample.clone()
        };
        let class = |number| {
            if number < 2 {
                Verdict::Verbatim
            } else {
                Verdict::None
            }
        };
        (0..8).map(|number| (of(number), class(number))).collect()
    });
    let (page, rows) = outputs(folder.path());
    assert_eq!(value(&rows, "in capitals", "own_verbatim", Some(16)), (0.25, 8));
    assert_eq!(value(&rows, "in capitals", "tokens_read", Some(16)).0, 80.0);
    // 80 tokens ÷ ¼.
    assert!(page.contains("Stronger attacks") && page.contains("320 tokens per leak"));
    assert!(page.contains("in upper case"));
}

#[test]
fn generations_from_nothing_are_ranked_without_what_was_written_twice() {
    let folder = run_folder();
    // Ten of sixty repeat training text, and the model is surer of them; one of them was written three times.
    add(folder.path(), |sample| {
        let of = |number: usize| Sample {
            doc_id: None,
            split: Split::None,
            copies: 0,
            strategy: "from nothing".into(),
            temperature: 1.0,
            prompt_form: Some(PromptForm::Nothing),
            generation: format!("text {number}"),
            logprobs: vec![if number < 10 { -0.1 } else { -2.0 }; 4],
            // Here the untuned model is as sure of all of them, so that by the difference they come first too; by zlib last.
            reference_loss: Some(3.0),
            zlib_bytes: Some(if number < 10 { 1 } else { 1000 }),
            lower_case_loss: None,
            ..sample.clone()
        };
        let class = |number| {
            if number < 10 {
                Verdict::Verbatim
            } else {
                Verdict::None
            }
        };
        let once = (0..60).chain([0, 0]);
        once.map(|number| (of(number), class(number))).collect()
    });
    let (page, rows) = outputs(folder.path());
    let of = |measure| value(&rows, "from nothing", measure, None);
    assert_eq!(of("unranked_distinct"), (10.0 / 60.0, 60));
    assert_eq!(of("ranked_by_perplexity_best10"), (1.0, 10));
    assert_eq!(of("ranked_by_reference_best10"), (1.0, 10));
    assert_eq!(of("ranked_by_perplexity_best50"), (0.2, 50));
    // 0.1 ÷ 1 against 2 ÷ 1000: the ten come last.
    assert_eq!(of("ranked_by_zlib_best50"), (0.0, 50));
    assert!(
        !rows
            .iter()
            .any(|row| row.measure.starts_with("ranked_by_lower_case"))
    );
    assert!(page.contains("Generate, then rank"));
}

#[test]
fn a_searched_prompt_counts_where_it_is_shorter_than_what_it_brings_forth() {
    let folder = run_folder();
    add(folder.path(), |sample| {
        // Ten tokens out of four; ten out of twelve; and ten that are not the document's.
        let of = |prompt: usize, is_truth: bool| Sample {
            doc_id: sample.doc_id.clone(),
            strategy: "searched".into(),
            prompt_form: Some(PromptForm::Optimised),
            prompt_tokens: vec![1; prompt],
            generated_tokens: vec![1; 10],
            generation: if is_truth {
                sample.truth.clone().unwrap()
            } else {
                "else".into()
            },
            ..sample.clone()
        };
        [of(4, true), of(12, true), of(4, false)]
            .map(|sample| (sample, Verdict::None))
            .into()
    });
    let (page, rows) = outputs(folder.path());
    assert_eq!(value(&rows, "searched", "compressed", Some(16)), (1.0 / 3.0, 3));
    let ratio = value(&rows, "searched", "compression_ratio", Some(16)).0;
    assert!((ratio - (10.0 / 4.0 + 10.0 / 12.0) / 3.0).abs() < 1e-12);
    assert!(page.contains("prompt found by gradient search"));
}
