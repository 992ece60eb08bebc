//! Stronger attacks in the table of estimates: a strategy in capitals, generations from nothing, a
//! searched prompt.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::path::Path;

use common::{Made, Shape, Tuning, Wanted, make, write_run};
use contract::records::{PassageMatch, PromptForm, Sample, SampleVerdict, Split, SummaryRow, Verdict};
use contract::{Provenance, parquet};

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

fn verbatim_if(is_verbatim: bool) -> Verdict {
    if is_verbatim {
        Verdict::Verbatim
    } else {
        Verdict::None
    }
}

/// The row of the cell by a strategy; from no document at all where there are no copies.
#[track_caller]
fn row<'a>(made: &'a Made, strategy: &str, measure: &str, copies: Option<i32>) -> &'a SummaryRow {
    made.one(Wanted {
        cell: Some(CELL),
        method: None,
        checkpoint: None,
        measure,
        split: Some(if copies.is_some() {
            Split::Train
        } else {
            Split::None
        }),
        strategy: Some(strategy),
        copies,
        against: None,
    })
}

#[track_caller]
fn value(made: &Made, strategy: &str, measure: &str, copies: Option<i32>) -> (f64, i64) {
    let row = row(made, strategy, measure, copies);
    (row.value, row.observations)
}

#[test]
fn a_strategy_is_set_beside_sampling_with_what_it_costs() {
    let folder = run_folder();
    // Eight generations of one document in capitals, at 80 tokens each; two repeat it.
    add(folder.path(), |sample| {
        let of = |number: usize| Sample {
            strategy: "in capitals".into(),
            prompt_form: Some(PromptForm::UpperCase),
            tokens_read: Some(80),
            generation: format!("{number}"),
            ..sample.clone()
        };
        let class = |number| verbatim_if(number < 2);
        (0..8).map(|number| (of(number), class(number))).collect()
    });
    let made = make(folder.path());
    // One document: the eight generations are not eight observations of how often documents come
    // back.
    let capitals = row(&made, "in capitals", "own_verbatim", Some(16));
    assert_eq!(
        (capitals.value, capitals.k, capitals.observations),
        (0.25, Some(2.0), 8)
    );
    assert_eq!((capitals.n, capitals.n_of.as_str()), (1, "documents"));
    assert_eq!(row(&made, "in capitals", "tokens_read", Some(16)).value, 80.0);
    // Sampling tells nothing of its cost here.
    let told = |row: &&SummaryRow| row.measure == "tokens_read";
    assert!(
        made.rows
            .iter()
            .filter(told)
            .all(|row| row.strategy.as_deref() == Some("in capitals"))
    );
    // The strategy that found most is named, and that it is a maximum.
    let largest = made.one(Wanted {
        cell: Some(CELL),
        method: None,
        checkpoint: None,
        measure: "largest_own_verbatim",
        split: Some(Split::Train),
        strategy: None,
        copies: Some(16),
        against: None,
    });
    assert_eq!(
        (largest.value, largest.verdict.as_deref()),
        (0.25, Some("in capitals"))
    );
    assert_eq!((largest.ci_low, largest.untuned), (None, Some(0.0)));
}

#[test]
fn generations_from_nothing_are_ranked_without_what_was_written_twice() {
    let folder = run_folder();
    // Ten of sixty repeat training text, and the model is surer of them; one of them was written
    // three times.
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
            // Here the untuned model is as sure of all of them, so that by the difference they come
            // first too; by zlib last.
            reference_loss: Some(3.0),
            zlib_bytes: Some(if number < 10 { 1 } else { 1000 }),
            lower_case_loss: None,
            ..sample.clone()
        };
        let class = |number| verbatim_if(number < 10);
        let once = (0..60).chain([0, 0]);
        once.map(|number| (of(number), class(number))).collect()
    });
    let made = make(folder.path());
    let of = |measure| value(&made, "from nothing", measure, None);
    assert_eq!(of("unranked_distinct"), (10.0 / 60.0, 60));
    assert_eq!(of("ranked_by_perplexity_best10"), (1.0, 10));
    assert_eq!(of("ranked_by_reference_best10"), (1.0, 10));
    assert_eq!(of("ranked_by_perplexity_best50"), (0.2, 50));
    // 0.1 ÷ 1 against 2 ÷ 1000: the ten come last.
    assert_eq!(of("ranked_by_zlib_best50"), (0.0, 50));
    let lower_case = |row: &SummaryRow| row.measure.starts_with("ranked_by_lower_case");
    assert!(!made.rows.iter().any(lower_case));
    // Each generation stands for itself.
    let emitted = row(&made, "from nothing", "training_text_emitted", None);
    assert_eq!((emitted.n, emitted.observations), (62, 62));
}

#[test]
fn generations_from_one_prompt_are_no_independent_ones() {
    let folder = run_folder();
    // All five draws of the first of two prompts give the same training text.
    add(folder.path(), |sample| {
        let of = |number: usize| Sample {
            doc_id: None,
            split: Split::None,
            copies: 0,
            strategy: "one word".into(),
            prompt_form: Some(PromptForm::RepeatedWord),
            prompt: if number < 5 { "a a a" } else { "b b b" }.to_owned(),
            ..sample.clone()
        };
        let class = |number| verbatim_if(number < 5);
        (0..10).map(|number| (of(number), class(number))).collect()
    });
    let made = make(folder.path());
    let copied = row(&made, "one word", "verbatim", None);
    assert_eq!(
        (copied.value, copied.k, copied.observations, copied.n),
        (0.5, Some(5.0), 10, 2)
    );
}

#[test]
fn a_document_is_counted_once_for_each_prompt_that_brings_it_out() {
    let folder = run_folder();
    // Beside the prompt of before, after which nothing came out: one asked twice, by two strategies, of which one succeeds; one that
    // succeeds; and one that does not.
    let asked = [
        ("twice", "first", Verdict::None),
        ("twice", "second", Verdict::Verbatim),
        ("well", "first", Verdict::Verbatim),
        ("ill", "first", Verdict::Paraphrase),
    ];
    add(folder.path(), |sample| {
        let of = |(prompt, strategy, class): (&str, &str, Verdict)| {
            let sample = Sample {
                prompt: prompt.to_owned(),
                strategy: strategy.to_owned(),
                ..sample.clone()
            };
            (sample, class)
        };
        asked.map(of).into()
    });
    let made = make(folder.path());
    let prompts = made.one(Wanted {
        cell: Some(CELL),
        method: None,
        checkpoint: None,
        measure: "own_verbatim_prompts",
        split: Some(Split::Train),
        strategy: None,
        copies: Some(16),
        against: None,
    });
    // Other documents were asked for with one prompt alone.
    assert_eq!(
        (prompts.value, prompts.n, prompts.unit.as_str()),
        (2.0, 1, "prompts")
    );
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
    let made = make(folder.path());
    assert_eq!(value(&made, "searched", "compressed", Some(16)), (1.0 / 3.0, 3));
    let ratio = row(&made, "searched", "compression_ratio", Some(16)).value;
    assert!((ratio - (10.0 / 4.0 + 10.0 / 12.0) / 3.0).abs() < 1e-12);
}
