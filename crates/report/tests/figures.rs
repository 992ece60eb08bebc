//! Figures worked out by hand: whose copies, controls, checkpoints, what is scored, and who is a
//! non-member.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{
    Made, Shape, Tuning, Wanted, edit, is_greedy, judge, make, number_of, quiet_run, repeats, repeats_own,
    set_logprobs, set_nats,
};
use contract::parquet;
use contract::records::{
    DocumentKind, HeldOutDocument, PassageMatch, Sample, Score, Split, SummaryRow, TrainingInstance, Verdict,
};
use measures::interval::{binomial_mid_p, wilson};

const FULL: &str = "full-3e-4";

/// Eight documents each with 1, 4 and 16 copies, doc-001 to doc-024, and eight held out, doc-025 to
/// doc-032: validation and test by turns. Nothing is shared with any document.
fn shape() -> Shape {
    Shape {
        documents: 8,
        canaries: 2,
        references: 16,
        samples: 1,
        best: false,
        near_duplicates: 0,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new(FULL, "full", Some(3e-4), 4.0, 0.0),
        ],
        ..Shape::default()
    }
}

/// The one row of full tuning; all copies.
#[track_caller]
fn row<'a>(made: &'a Made, measure: &str, split: Split, strategy: Option<&str>) -> &'a SummaryRow {
    one(made, measure, split, strategy, None)
}

/// The same, after greedy decoding of training prompts, at so many copies.
#[track_caller]
fn at<'a>(made: &'a Made, measure: &str, copies: i32) -> &'a SummaryRow {
    one(made, measure, Split::Train, Some("greedy"), Some(copies))
}

#[track_caller]
fn one<'a>(
    made: &'a Made,
    measure: &str,
    split: Split,
    strategy: Option<&str>,
    copies: Option<i32>,
) -> &'a SummaryRow {
    made.one(Wanted {
        cell: Some(FULL),
        method: None,
        checkpoint: None,
        measure,
        split: Some(split),
        strategy,
        copies,
        against: None,
    })
}

#[test]
fn memorization_counts_the_document_that_comes_out_by_its_own_copies() {
    let folder = quiet_run(&Shape {
        documents: 12,
        ..shape()
    });
    // Documents with one copy are never continued; after their openings come two documents with 16
    // copies. After the unseen openings comes a third. Of the documents with four copies, two of
    // twelve are continued.
    judge(
        &folder.path().join("cells").join(FULL),
        |sample, verdict| match sample.doc_id.as_deref().unwrap() {
            _ if !is_greedy(sample) => {}
            "doc-001" | "doc-002" => repeats(verdict, &[("doc-025", 16), ("doc-026", 16)]),
            "doc-003" => repeats(verdict, &[("doc-025", 16)]),
            "doc-013" | "doc-014" => repeats_own(verdict),
            "doc-037" | "doc-038" => repeats(verdict, &[("doc-027", 16)]),
            _ => {}
        },
    );
    let made = make(folder.path());
    for (copies, own, emitted) in [(1, 0, 0), (4, 2, 2), (16, 0, 3)] {
        for measure in ["own_verbatim", "own_any"] {
            let value = f64::from(own) / 12.0;
            assert_eq!(at(&made, measure, copies).value, value, "{measure} {copies}");
        }
        let came_out = at(&made, "documents_emitted", copies);
        // Nothing is exact, anything else Wilson's.
        let interval = if emitted == 0 {
            binomial_mid_p(0, 12).unwrap()
        } else {
            wilson(emitted, 12).unwrap()
        };
        assert_eq!(
            (came_out.value, came_out.ci_low, came_out.ci_high, came_out.n),
            (emitted as f64 / 12.0, Some(interval.low), Some(interval.high), 12),
            "{copies}"
        );
    }
    let all = row(&made, "documents_emitted", Split::Train, Some("greedy"));
    assert_eq!((all.value, all.n), (5.0 / 36.0, 36));
    // Five of 36 generations after training prompts, two of twelve after unseen ones.
    for (split, found, of) in [(Split::Train, 5.0, 36), (Split::Heldout, 2.0, 12)] {
        for measure in ["verbatim", "training_text_emitted"] {
            let row = row(&made, measure, split, Some("greedy"));
            assert_eq!(row.value, found / f64::from(of), "{measure} {split:?}");
            assert_eq!(
                (row.k, row.observations, row.n),
                (Some(found), of.into(), of.into())
            );
        }
    }
    // What is shared with any document is never told apart by the prompt's copies.
    for measure in [
        "verbatim",
        "any",
        "paraphrase",
        "training_text_emitted",
        "common_substring_50_chars",
        "max_similarity",
    ] {
        assert!(made.has(FULL, measure), "{measure}");
        let by_copies = made
            .rows
            .iter()
            .filter(|row| row.measure == measure && row.copies.is_some());
        assert_eq!(by_copies.count(), 0, "{measure}");
    }
    // Sampling gave none of them.
    let sampled = one(
        &made,
        "documents_emitted",
        Split::Train,
        Some("top-k 40"),
        Some(16),
    );
    assert_eq!(sampled.value, 0.0);

    let shown = [
        "own text, 1×",
        "own text, 4×",
        "own text, 16×",
        "any text, unseen prompts",
    ]
    .map(|heading| made.shown("Full", heading));
    assert_eq!(shown, ["0 of 12", "2 of 12", "0 of 12", "2 of 12"]);
}

#[test]
fn files_without_an_own_class_have_it_where_the_best_document_is_the_prompts() {
    let folder = quiet_run(&shape());
    judge(&folder.path().join("cells").join(FULL), |sample, verdict| {
        match sample.doc_id.as_deref().unwrap() {
            "doc-017" | "doc-018" if is_greedy(sample) => repeats(verdict, &[("doc-017", 16)]),
            _ => {}
        }
        verdict.own_verdict = None;
        verdict.emitted_doc_ids = None;
        verdict.emitted_copies = None;
        verdict.control_verdict = None;
        verdict.comparable_similarity = None;
    });
    let made = make(folder.path());
    assert_eq!(
        (
            at(&made, "own_verbatim", 16).value,
            at(&made, "own_verbatim", 16).n
        ),
        (0.125, 8)
    );
    assert_eq!(
        row(&made, "verbatim", Split::Train, Some("greedy")).value,
        2.0 / 24.0
    );
    // What was not recorded is not reported.
    for measure in ["documents_emitted", "control_any", "comparable_similarity"] {
        assert!(!made.has(FULL, measure), "{measure}");
        assert!(made.has("base", measure), "{measure}");
    }
    for measure in ["verbatim", "any", "training_text_emitted"] {
        let row = row(&made, measure, Split::Train, Some("greedy"));
        assert!(row.control.is_none() && row.untuned.is_some(), "{measure}");
    }
}

fn chars(run: &Path) -> (f64, f64) {
    let corpus = run.join("corpus/bucketed");
    let train: Vec<TrainingInstance> = parquet::read_all(&corpus.join("train.parquet")).unwrap();
    let held_out: Vec<HeldOutDocument> = parquet::read_all(&corpus.join("heldout.parquet")).unwrap();
    let trained = train
        .iter()
        .filter(|one| one.copy == 0 && one.kind == DocumentKind::Document);
    let held_out = held_out.iter().filter(|one| one.kind == DocumentKind::Document);
    (
        trained.map(|one| one.text.chars().count()).sum::<usize>() as f64,
        held_out.map(|one| one.text.chars().count()).sum::<usize>() as f64,
    )
}

/// A passage of a held-out document in a generation.
fn control_passage(sample_id: i64, doc_id: &str) -> PassageMatch {
    PassageMatch {
        sample_id,
        doc_id: doc_id.to_owned(),
        doc_split: Split::Heldout,
        kind: Verdict::Verbatim,
        gen_start: 0,
        gen_end: 60,
        doc_start: 0,
        doc_end: 60,
        similarity: 1.0,
        detector: "by hand".to_owned(),
        document_frequency: None,
        personal_details: None,
        personal_details_by: None,
    }
}

#[test]
fn the_control_is_carried_over_to_as_much_text_as_was_trained_on() {
    let folder = quiet_run(&Shape {
        documents: 12,
        near_duplicates: 1,
        ..shape()
    });
    let cell = folder.path().join("cells").join(FULL);
    // Of twelve generations on documents with 16 copies, six repeat their document, and two share
    // held-out text: one of them that of doc-048, a near-duplicate.
    let shares = |sample: &Sample| match sample.doc_id.as_deref() {
        Some("doc-025") if is_greedy(sample) => Some("doc-037"),
        Some("doc-026") if is_greedy(sample) => Some("doc-048"),
        _ => None,
    };
    judge(&cell, |sample, verdict| {
        let id = sample.doc_id.clone().unwrap();
        if is_greedy(sample) && sample.copies == 16 && id.as_str() < "doc-031" {
            repeats(verdict, &[(&id, 16)]);
        }
        if shares(sample).is_some() {
            verdict.control_verdict = Some(Verdict::Verbatim);
        }
    });
    let samples: Vec<Sample> = parquet::read_all(&cell.join("samples.parquet")).unwrap();
    edit(
        &cell.join("matches.parquet"),
        |matches: &mut Vec<PassageMatch>| {
            let control = |sample: &Sample| Some(control_passage(sample.sample_id, shares(sample)?));
            matches.extend(samples.iter().filter_map(control));
        },
    );
    let made = make(folder.path());
    let (trained, held_out) = chars(folder.path());
    let documents: Vec<HeldOutDocument> =
        parquet::read_all(&folder.path().join("corpus/bucketed/heldout.parquet")).unwrap();
    let near = documents
        .iter()
        .find(|document| document.doc_id == "doc-048")
        .unwrap();
    let apart = held_out - near.text.chars().count() as f64;
    assert_eq!(row(&made, "text_chars", Split::Train, None).value, trained);
    assert_eq!(row(&made, "text_chars", Split::Heldout, None).value, held_out);
    assert_eq!(
        row(&made, "text_chars_without_near_duplicates", Split::Heldout, None).value,
        apart
    );
    assert_eq!(row(&made, "near_duplicates", Split::Heldout, None).value, 1.0);
    // Without the near-duplicate one of twelve is left.
    for measure in ["control_verbatim", "control_any"] {
        assert_eq!(
            (at(&made, measure, 16).value, at(&made, measure, 16).n),
            (2.0 / 12.0, 12)
        );
        assert_eq!(
            row(&made, measure, Split::Train, Some("greedy")).value,
            2.0 / 36.0
        );
        let name = format!("{measure}_without_near_duplicates");
        assert_eq!(at(&made, &name, 16).value, 1.0 / 12.0);
    }
    // What is shared with any training document is carried over, from as much text as is left.
    let interval = wilson(1, 36).unwrap();
    let over = |rate: f64| 1.0 - (1.0 - rate).powf(trained / apart);
    for measure in ["verbatim", "any", "training_text_emitted"] {
        let carried = row(&made, measure, Split::Train, Some("greedy"));
        for (found, rate) in [
            (carried.control, 1.0 / 36.0),
            (carried.control_low, interval.low),
            (carried.control_high, interval.high),
        ] {
            assert!((found.unwrap() - over(rate)).abs() < 1e-9, "{measure}: {found:?}");
        }
    }
    // What is shared with the prompt's own document is compared with the control as measured: 6 of
    // 12 against 1 of 12.
    let own = at(&made, "own_verbatim", 16);
    let interval = wilson(1, 12).unwrap();
    assert_eq!(
        (own.value, own.untuned, own.control),
        (0.5, Some(0.0), Some(1.0 / 12.0))
    );
    assert_eq!(
        own.control_low.zip(own.control_high),
        Some((interval.low, interval.high))
    );
    // Copies were drawn at random, so chance is what all 36 documents show: 6 of 12 against the control's 1 of 36, by Fisher's test
    // (hypergeometric, 7 of 48 in all): (C(12,6) C(36,1) + C(12,7)) / C(48,7).
    let fisher = (924.0 * 36.0 + 792.0) / 73_629_072.0;
    assert!((own.p_value.unwrap() / fisher - 1.0).abs() < 1e-9, "{own:?}");
    let (_, paragraph) = made.answer("full", None);
    assert!(
        paragraph
            .contains("the untuned model: 0 of 12; explained by text that was never trained on: 1 of 12"),
        "{paragraph}"
    );
}

#[test]
fn training_text_after_unseen_prompts_is_a_finding_and_no_control() {
    let folder = quiet_run(&Shape {
        documents: 40,
        ..shape()
    });
    // Every generation, whatever its prompt, recites the first document with 16 copies; the control
    // finds nothing.
    judge(&folder.path().join("cells").join(FULL), |_, verdict| {
        repeats(verdict, &[("doc-081", 16)]);
    });
    let made = make(folder.path());
    for split in [Split::Train, Split::Heldout] {
        assert_eq!(row(&made, "verbatim", split, Some("greedy")).value, 1.0);
    }
    // One of forty own documents; and that one came out.
    assert_eq!(at(&made, "own_verbatim", 16).value, 0.025);
    assert_eq!(at(&made, "documents_emitted", 16).value, 0.025);
    let emitted = row(&made, "training_text_emitted", Split::Heldout, Some("greedy"));
    assert_eq!(
        (emitted.value, emitted.untuned, emitted.control),
        (1.0, Some(0.0), Some(0.0))
    );
    assert_eq!(emitted.verdict.as_deref(), Some("exceeds"));
    let (word, paragraph) = made.answer("full", None);
    assert_eq!(word, "leaks");
    assert!(
        paragraph.contains(
            "After the beginnings of unseen documents (greedy), training text came out in 40 of 40"
        ),
        "{paragraph}"
    );
}

#[test]
fn both_checkpoints_of_a_run_are_measured_and_the_best_is_compared_first() {
    let mut shape = shape();
    shape.best = true;
    shape.documents = 16;
    shape
        .tunings
        .push(Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.4, 0.0));
    let folder = quiet_run(&shape);
    // At its best loss full tuning repeats nothing, at the end ten of sixteen.
    let last = folder.path().join("cells").join(FULL);
    judge(&last, |sample, verdict| {
        if is_greedy(sample) && sample.copies == 16 && number_of(&verdict.doc_id.clone().unwrap()) < 43 {
            repeats_own(verdict);
        }
    });
    // Losses: 2 nats per token at the best checkpoint, 3 at the last; 2.5 and 2.75 over validation
    // documents. Training documents are as likely as test documents.
    for (asked, test, validation) in [(last.join("best"), -2.0, -2.5), (last.clone(), -3.0, -2.75)] {
        set_logprobs(&asked, |score| {
            let is_test = score.split == Split::Train || number_of(&score.doc_id).is_multiple_of(2);
            if is_test { test } else { validation }
        });
    }
    let made = make(folder.path());
    for (checkpoint, rate, loss, validation) in [("best", 0.0, 2.0, 2.5), ("last", 10.0 / 16.0, 3.0, 2.75)] {
        let of = |measure, split, strategy, copies| {
            let wanted = Wanted {
                cell: Some(FULL),
                method: None,
                checkpoint: Some(checkpoint),
                measure,
                split: Some(split),
                strategy,
                copies,
                against: None,
            };
            made.one(wanted).value
        };
        assert_eq!(of("own_verbatim", Split::Train, Some("greedy"), Some(16)), rate);
        assert_eq!(of("loss", Split::Heldout, None, None), loss);
        assert_eq!(of("validation_loss", Split::Heldout, None, None), validation);
    }
    let untuned = |row: &&SummaryRow| row.cell.as_deref() == Some("base");
    assert!(
        made.rows
            .iter()
            .filter(untuned)
            .all(|row| row.checkpoint.is_none())
    );
    // There is one training log, which is told of the end of training.
    let logged = |row: &&SummaryRow| row.cell.as_deref() == Some(FULL) && row.epoch.is_some();
    let logged: Vec<&SummaryRow> = made.rows.iter().filter(logged).collect();
    assert!(!logged.is_empty() && logged.iter().all(|row| row.checkpoint.as_deref() == Some("last")));

    let headings = ["own text, 16×", "loss, unseen text"];
    for (label, shown) in [
        ("Full, best", ["0 of 16", "2.00"]),
        ("Full, last", ["10 of 16", "3.00"]),
    ] {
        assert_eq!(
            headings.map(|heading| made.shown(label, heading)),
            shown,
            "{label}"
        );
    }
    let labels: Vec<&str> = made
        .terminal
        .lines()
        .skip_while(|line| !line.starts_with("tuning"))
        .take(6)
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert_eq!(
        labels,
        [
            "tuning",
            "Untuned",
            "Full, best",
            "LoRA, best",
            "Full, last",
            "LoRA, last"
        ]
    );
    assert_eq!(made.answer("full", Some("best")).0, "nothing found");
    assert_eq!(made.answer("full", Some("last")).0, "leaks");
    // The strongest verdict leads.
    assert_eq!(made.verdicts()[0]["checkpoint"], "last");
    assert!(
        made.terminal.starts_with("Full, last: leaks."),
        "{}",
        made.terminal
    );
}

#[test]
fn a_best_checkpoint_that_is_the_last_has_no_row_of_its_own() {
    let mut shape = shape();
    shape.best = true;
    let folder = quiet_run(&shape);
    let cells = folder.path().join("cells");
    for cell in std::fs::read_dir(&cells).unwrap() {
        let cell = cell.unwrap().path();
        if !cell.join("best").exists() {
            continue;
        }
        for name in ["samples", "scores", "matches", "verdicts"] {
            let file = format!("{name}.parquet");
            std::fs::copy(cell.join(&file), cell.join("best").join(&file)).unwrap();
        }
    }
    let made = make(folder.path());
    assert!(!made.terminal.contains(", best"), "{}", made.terminal);
    let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
    assert!(page.contains("end of training, also the best checkpoint"));
    let points: BTreeSet<Option<&str>> = made.rows.iter().map(|row| row.checkpoint.as_deref()).collect();
    assert_eq!(points, BTreeSet::from([None, Some("best and last")]));

    // Where one cell's best checkpoint is another, all have both.
    set_logprobs(&cells.join(FULL).join("best"), |_| -2.0);
    let made = make(folder.path());
    let points: BTreeSet<Option<&str>> = made.rows.iter().map(|row| row.checkpoint.as_deref()).collect();
    assert_eq!(points, BTreeSet::from([None, Some("best"), Some("last")]));
}

#[test]
fn the_learning_rate_is_chosen_by_validation_documents() {
    let mut shape = shape();
    shape
        .tunings
        .push(Tuning::new("full-1e-3", "full", Some(1e-3), 4.0, 0.0));
    let folder = quiet_run(&shape);
    // The lower rate is the better one on test documents, the higher one on those that choose.
    for (cell, test, validation) in [(FULL, -2.0, -3.0), ("full-1e-3", -2.5, -2.75)] {
        set_logprobs(&folder.path().join("cells").join(cell), |score| {
            if score.split == Split::Train {
                -1.0
            } else if number_of(&score.doc_id).is_multiple_of(2) {
                test
            } else {
                validation
            }
        });
    }
    let made = make(folder.path());
    assert_eq!(
        made.shown("Full, learning rate 1e-3", "loss, unseen text"),
        "2.50"
    );
    let mut table = made
        .terminal
        .lines()
        .skip_while(|line| !line.starts_with("tuning"));
    assert!(
        table.all(|line| !line.starts_with("Full, learning rate 3e-4")),
        "{}",
        made.terminal
    );
    // Both are in the table of estimates.
    let losses: Vec<(Option<f64>, f64)> = made
        .rows
        .iter()
        .filter(|row| row.mode == "full" && row.measure == "loss" && row.split == Some(Split::Heldout))
        .filter(|row| row.against.is_none())
        .map(|row| (row.learning_rate, row.value))
        .collect();
    assert_eq!(losses, [(Some(3e-4), 2.0), (Some(1e-3), 2.5)]);
}

#[test]
fn similarities_are_compared_over_equally_many_sentences_and_missing_ones_counted() {
    let folder = quiet_run(&shape());
    // Of 24 greedy generations after training prompts six have no sentence; the others are at 0.75
    // and 0.5, by turns, against 0.2 and 0.3 of held-out text, and at 0.9 with all of the training
    // text. Untuned they are at 0.1 and 0.2.
    judge(&folder.path().join("cells/base"), |sample, verdict| {
        verdict.comparable_similarity = Some(if sample.sample_id % 4 < 2 { 0.1 } else { 0.2 });
    });
    judge(&folder.path().join("cells").join(FULL), |sample, verdict| {
        let number: usize = sample.doc_id.as_deref().unwrap()[4..].parse().unwrap();
        let without = number <= 6;
        let value = |cosine| (!without).then_some(cosine);
        verdict.max_similarity = value(0.9);
        verdict.comparable_similarity = value(if number.is_multiple_of(2) { 0.75 } else { 0.5 });
        verdict.heldout_similarity = value(if number.is_multiple_of(2) { 0.2 } else { 0.3 });
        verdict.own_similarity = value(0.25);
        verdict.similarity_at_least = Some(true);
    });
    let made = make(folder.path());
    for (measure, expected) in [
        ("comparable_similarity", 0.625),
        ("heldout_similarity", f64::from(0.2_f32 + 0.3_f32) / 2.0),
        ("comparable_similarity_at_0.7", 0.5),
        ("max_similarity_at_0.9", 1.0),
    ] {
        let found = row(&made, measure, Split::Train, Some("greedy"));
        assert!(
            (found.value - expected).abs() < 1e-6 && found.n == 18,
            "{measure}: {found:?}"
        );
    }
    let without = row(&made, "without_sentence", Split::Train, Some("greedy"));
    assert_eq!((without.value, without.n), (0.25, 24));
    // Where not all pairs of sentences were compared, a similarity is a lower bound.
    for measure in [
        "max_similarity",
        "comparable_similarity",
        "own_similarity",
        "heldout_similarity",
    ] {
        let found = row(&made, measure, Split::Train, Some("greedy"));
        assert!(found.at_least, "{measure}");
        let untuned = Wanted {
            cell: Some("base"),
            method: None,
            checkpoint: None,
            measure,
            split: Some(Split::Train),
            strategy: Some("greedy"),
            copies: None,
            against: None,
        };
        assert!(!made.one(untuned).at_least, "{measure}");
    }
    assert!(!without.at_least);
    // As many sentences of training text, beside the untuned model's and those of held-out text.
    let comparable = row(&made, "comparable_similarity", Split::Train, Some("greedy"));
    assert!(
        (comparable.control.unwrap() - 0.25).abs() < 1e-6,
        "{comparable:?}"
    );
    assert!(
        (comparable.untuned.unwrap() - 0.15).abs() < 1e-6,
        "{comparable:?}"
    );
    // A maximum over all of the training text has no such control.
    assert_eq!(
        row(&made, "max_similarity", Split::Train, Some("greedy")).control,
        None
    );
}

#[test]
fn scores_are_of_fifty_tokens_and_of_what_training_read() {
    let folder = quiet_run(&shape());
    let file = folder.path().join("cells").join(FULL).join("scores.parquet");
    edit(&file, |scores: &mut Vec<Score>| {
        let mut further = Vec::new();
        for score in scores.iter_mut().filter(|score| score.prefix_tokens == 10) {
            // The first fifty tokens are given back by documents with 16 copies, the twenty after
            // them by none; those of doc-018 are cut off after thirty more than fifty, which is no
            // whole continuation of seventy.
            score.argmax_hits = vec![score.copies == 16; 50];
            score.scheme_logprobs = vec![0.0; 50];
            let mut longer = score.clone();
            let tokens = if score.doc_id == "doc-018" { 60 } else { 70 };
            longer.suffix_tokens = tokens;
            longer.logprobs.resize(tokens as usize, -1.0);
            longer.argmax_hits.resize(tokens as usize, false);
            // Even odds at one draw.
            longer.scheme_logprobs = vec![0.5_f32.ln() / tokens as f32; tokens as usize];
            further.push(longer);
        }
        scores.extend(further);
        for score in scores
            .iter_mut()
            .filter(|score| score.prefix_tokens == 0 && score.kind == DocumentKind::Document)
        {
            let cut = ["doc-002", "doc-003", "doc-026"].contains(&score.doc_id.as_str());
            score.document_tokens = Some(score.suffix_tokens + i32::from(cut));
        }
    });
    let made = make(folder.path());
    let scored = |measure: &str, copies| one(&made, measure, Split::Train, None, copies);
    for (copies, expected) in [(1, 0.0), (4, 0.0), (16, 1.0)] {
        let row = scored("extractable_50_tokens_after_10", Some(copies));
        assert_eq!((row.value, row.n), (expected, 8), "{copies}");
    }
    let found = scored("discoverable_70_tokens_after_10_n10_p0.5", Some(16));
    assert_eq!((found.value, found.n), (1.0, 7));
    let cut = scored("documents_cut", None);
    assert_eq!((cut.value, cut.n), (2.0 / 24.0, 24));
    assert_eq!(scored("bits_per_byte", None).n, 22);
    assert_eq!(scored("loss", None).n, 24);
    // Of the four test documents one was cut.
    assert_eq!(row(&made, "bits_per_byte", Split::Heldout, None).n, 3);
}

/// Two formats with eight references each: those of format 0 at 1 to 8 nats, those of format 1 at
/// 101 to 108.
fn set_exposures(cell: &Path) {
    edit(&cell.join("scores.parquet"), |scores: &mut Vec<Score>| {
        for score in scores
            .iter_mut()
            .filter(|score| score.kind != DocumentKind::Document)
        {
            let number: usize = score.doc_id[score.doc_id.len() - 3..].parse().unwrap();
            let nats = match score.kind {
                DocumentKind::CanaryReference => (number / 2 + 1 + number % 2 * 100) as f32,
                // Behind three of format 0; before all of format 1, and behind all of format 0.
                _ => [3.5, 50.0][number],
            };
            set_nats(score, nats);
        }
    });
}

#[test]
fn a_canary_is_ranked_among_the_references_of_its_format() {
    let folder = quiet_run(&shape());
    set_exposures(&folder.path().join("cells").join(FULL));
    let made = make(folder.path());
    let exposure = one(&made, "exposure", Split::Train, None, Some(16));
    // log₂ 9/4 and log₂ 9/1.
    assert!((exposure.value - f64::midpoint(2.25_f64.log2(), 9_f64.log2())).abs() < 1e-9);
    assert_eq!((exposure.n, exposure.n_of.as_str()), (2, "canaries"));
    let highest = row(&made, "exposure_highest", Split::Heldout, None);
    assert_eq!((highest.value, highest.n), (9_f64.log2(), 8));
}

#[test]
fn a_run_of_canaries_apart_gives_exposure_and_no_rate() {
    let mut shape = shape();
    let apart = |name: &str, mode, rate| Tuning {
        canaries_apart: true,
        ..Tuning::new(name, mode, rate, 4.0, 0.0)
    };
    shape.tunings.push(apart("full-canaries", "full", Some(3e-4)));
    let folder = quiet_run(&shape);
    let cells = folder.path().join("cells");
    set_exposures(&cells.join("full-canaries"));
    // In the run with canaries everything comes out, in the one without nothing.
    judge(&cells.join("full-canaries"), |_, verdict| {
        repeats(verdict, &[("doc-017", 16)]);
    });
    // The corpus of the run without canaries has none.
    edit(
        &cells.join(FULL).join("scores.parquet"),
        |scores: &mut Vec<Score>| {
            scores.retain(|score| score.kind == DocumentKind::Document);
        },
    );
    let corpus = folder.path().join("corpus/bucketed");
    edit(
        &corpus.join("train.parquet"),
        |rows: &mut Vec<TrainingInstance>| {
            rows.retain(|row| row.kind == DocumentKind::Document);
        },
    );
    edit(&cells.join("base/scores.parquet"), |scores: &mut Vec<Score>| {
        scores.retain(|score| score.kind == DocumentKind::Document);
    });
    let made = make(folder.path());
    // One training run, which has its rates from one cell and its exposure from the other.
    assert!(
        made.rows
            .iter()
            .all(|row| row.cell.as_deref() != Some("full-canaries"))
    );
    assert_eq!(made.verdicts().len(), 1);
    assert_eq!(at(&made, "own_verbatim", 16).value, 0.0);
    let exposure = one(&made, "exposure", Split::Train, None, Some(16));
    let expected = f64::midpoint(2.25_f64.log2(), 9_f64.log2());
    assert!((exposure.value - expected).abs() < 1e-9, "{exposure:?}");
    assert_eq!(
        row(&made, "exposure_highest", Split::Heldout, None).value,
        9_f64.log2()
    );
    assert_eq!(made.shown("Full", "own text, 16×"), "0 of 8");
    // Of the cell with canaries only what it says of canaries is checked.
    let checks = made.json["checks"].as_array().unwrap().iter();
    let checks = checks.filter(|check| check["cell"] == "full-canaries");
    let checks: std::collections::BTreeSet<&str> =
        checks.map(|check| check["check"].as_str().unwrap()).collect();
    assert!(
        checks.contains("finite") && !checks.contains("rate_and_membership"),
        "{checks:?}"
    );
}

#[test]
fn non_members_chose_nothing_and_are_no_near_duplicates() {
    // 24 held-out documents: twelve validate, twelve test, of which the last is a near-duplicate.
    let folder = quiet_run(&Shape {
        documents: 24,
        near_duplicates: 1,
        ..shape()
    });
    // Members are at 1 nat per token, test documents at 2, validation documents and the
    // near-duplicate at ½.
    edit(
        &folder.path().join("cells").join(FULL).join("scores.parquet"),
        |scores: &mut Vec<Score>| {
            for score in scores
                .iter_mut()
                .filter(|score| score.kind == DocumentKind::Document)
            {
                let number: usize = score.doc_id[4..].parse().unwrap();
                let logprob = match number {
                    ..=72 => -1.0,
                    96 => -0.5,
                    number if number.is_multiple_of(2) => -2.0,
                    _ => -0.5,
                };
                score.logprobs.iter_mut().for_each(|found| *found = logprob);
            }
        },
    );
    let made = make(folder.path());
    let row = |measure, split| self::row(&made, measure, split, None);
    assert_eq!(row("membership_auc_loss", Split::Train).value, 1.0);
    // The units are the members; both sides were observed.
    assert_eq!(row("membership_auc_loss", Split::Train).n, 72);
    assert_eq!(row("membership_auc_loss", Split::Train).observations, 72 + 11);
    assert_eq!(row("membership_non_members", Split::Heldout).value, 11.0);
    assert_eq!(
        row("membership_left_out_as_validation", Split::Heldout).value,
        12.0
    );
    assert_eq!(
        row("membership_left_out_as_near_duplicates", Split::Heldout).value,
        1.0
    );
    // Eleven are enough for one false accusation in ten, not for one in a hundred.
    assert_eq!(row("membership_tpr_at_0.1_fpr_loss", Split::Train).value, 1.0);
    assert!(!made.has(FULL, "membership_tpr_at_0.01_fpr_loss"));
}

#[test]
fn where_no_role_is_told_all_held_out_documents_are_non_members() {
    let shape = Shape {
        documents: 100,
        copies: vec![1],
        ..shape()
    };
    let folder = quiet_run(&shape);
    edit(
        &folder.path().join("corpus/bucketed/heldout.parquet"),
        |rows: &mut Vec<HeldOutDocument>| {
            for row in rows {
                row.role = None;
            }
        },
    );
    let made = make(folder.path());
    assert_eq!(
        row(&made, "membership_non_members", Split::Heldout, None).value,
        100.0
    );
    assert!(made.has(FULL, "membership_tpr_at_0.01_fpr_loss"));
    let (loss, validation) = (
        row(&made, "loss", Split::Heldout, None),
        row(&made, "validation_loss", Split::Heldout, None),
    );
    assert_eq!((loss.value, loss.n), (validation.value, 100));
}

#[test]
fn personal_details_are_those_of_the_passage_that_the_class_rests_on() {
    let folder = quiet_run(&shape());
    let cell = folder.path().join("cells").join(FULL);
    judge(&cell, |sample, verdict| {
        if is_greedy(sample) && sample.doc_id.as_deref() == Some("doc-001") {
            repeats(verdict, &[("doc-017", 16)]);
        }
    });
    let samples: Vec<Sample> = parquet::read_all(&cell.join("samples.parquet")).unwrap();
    let sample = samples
        .iter()
        .find(|sample| is_greedy(sample) && sample.doc_id.as_deref() == Some("doc-001"))
        .unwrap();
    // The verbatim passage names nobody; a paraphrased one, and one of held-out text, do.
    let passage = |split, doc_id: &str, kind, details: &[&str]| PassageMatch {
        doc_split: split,
        kind,
        personal_details: Some(details.iter().map(|&detail| detail.to_owned()).collect()),
        personal_details_by: None,
        ..control_passage(sample.sample_id, doc_id)
    };
    edit(
        &cell.join("matches.parquet"),
        |matches: &mut Vec<PassageMatch>| {
            matches.extend([
                passage(Split::Train, "doc-017", Verdict::Verbatim, &[]),
                passage(Split::Train, "doc-018", Verdict::Paraphrase, &["name"]),
                passage(Split::Heldout, "doc-025", Verdict::Verbatim, &["name"]),
            ]);
        },
    );
    let made = make(folder.path());
    // A count, of which nobody knows how many there are.
    let details = row(&made, "personal_details", Split::Train, Some("greedy"));
    assert_eq!(
        (details.k, details.ci_low, details.ci_high),
        (Some(0.0), None, None)
    );
    assert_eq!(
        row(&made, "verbatim", Split::Train, Some("greedy")).value,
        1.0 / 24.0
    );
}

#[test]
fn generations_prompted_with_canaries_stay_out() {
    let folder = quiet_run(&shape());
    let cell = folder.path().join("cells").join(FULL);
    edit(&cell.join("samples.parquet"), |samples: &mut Vec<Sample>| {
        for sample in samples
            .iter_mut()
            .filter(|sample| sample.doc_id.as_deref() == Some("doc-017"))
        {
            sample.doc_id = Some("canary-16-000".to_owned());
        }
    });
    judge(&cell, |sample, verdict| {
        if sample.doc_id.as_deref() == Some("canary-16-000") {
            repeats(verdict, &[("doc-018", 16)]);
        }
    });
    let made = make(folder.path());
    let verbatim = row(&made, "verbatim", Split::Train, Some("greedy"));
    assert_eq!((verbatim.value, verbatim.n), (0.0, 23));
    assert_eq!(at(&made, "documents_emitted", 16).value, 0.0);
}

#[test]
fn of_responses_alone_nothing_is_said_of_cuts_or_bytes() {
    let folder = quiet_run(&shape());
    let corpus = folder.path().join("corpus/bucketed");
    edit(
        &corpus.join("train.parquet"),
        |rows: &mut Vec<TrainingInstance>| {
            for row in rows {
                row.prompt_chars = 10;
            }
        },
    );
    edit(
        &corpus.join("heldout.parquet"),
        |rows: &mut Vec<HeldOutDocument>| {
            for row in rows {
                row.prompt_chars = 10;
            }
        },
    );
    let before = make(folder.path());
    assert!(before.has(FULL, "documents_cut") && before.has(FULL, "bits_per_byte"));
    let settings = "name = \"x\"\n[corpus]\nfiles = \"none\"\n[extraction]\nloss_on = \"response\"\n";
    for cell in ["base", FULL] {
        let file = folder.path().join("cells").join(cell).join("extractor.toml");
        std::fs::write(file, settings).unwrap();
    }
    let made = make(folder.path());
    assert!(!made.has(FULL, "documents_cut") && !made.has(FULL, "bits_per_byte"));
    assert!(made.has(FULL, "loss"));
}

/// An untied head or a grown vocabulary makes a tuned model larger, and its untuned model no other.
#[test]
fn a_tuned_model_with_more_parameters_has_its_untuned_model_as_control() {
    let mut shape = shape();
    for tuning in &mut shape.tunings {
        if tuning.mode != "base" {
            tuning.parameters += 1_000_000;
        }
    }
    let folder = quiet_run(&shape);
    let made = make(folder.path());
    assert_eq!(made.verdicts().len(), 1, "one model, one verdict");
    let own = at(&made, "own_verbatim", 16);
    assert_eq!((own.untuned, own.p_value), (Some(0.0), Some(1.0)));
}
