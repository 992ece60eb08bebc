//! Figures worked out by hand: whose copies, floors, checkpoints, what is scored, and who is a non-member.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::path::Path;

use common::{Shape, Tuning, edit, table, write_run};
use contract::records::{
    DocumentKind, HeldOutDocument, PassageMatch, Sample, SampleVerdict, Score, Split, SummaryRow,
    TrainingInstance, Verdict,
};
use contract::{StageArguments, parquet};
use measures::interval::wilson;

const FULL: &str = "full-3e-4";

/// Eight documents each with 1, 4 and 16 copies, doc-001 to doc-024, and eight held out, doc-025 to doc-032: validation and
/// test by turns. Nothing is shared with any document.
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

/// A run in which nothing came out of any generation.
fn quiet_run(shape: &Shape) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), shape);
    for tuning in &shape.tunings {
        let cell = folder.path().join("cells").join(&tuning.name);
        for asked in [cell.clone(), cell.join("best")] {
            if !asked.exists() {
                continue;
            }
            edit(&asked.join("matches.parquet"), Vec::<PassageMatch>::clear);
            judge(&asked, |_, verdict| silence(verdict));
        }
    }
    folder
}

fn silence(verdict: &mut SampleVerdict) {
    verdict.verdict = Verdict::None;
    verdict.boilerplate = None;
    verdict.own_verdict = verdict.own_verdict.map(|_| Verdict::None);
    verdict.control_verdict = Some(Verdict::None);
    verdict.emitted_doc_ids = Some(Vec::new());
    verdict.emitted_copies = Some(Vec::new());
}

/// Changes the verdicts of a checkpoint, each beside its sample.
fn judge(asked: &Path, change: impl Fn(&Sample, &mut SampleVerdict)) {
    let samples: Vec<Sample> = parquet::read_all(&asked.join("samples.parquet")).unwrap();
    edit(
        &asked.join("verdicts.parquet"),
        |verdicts: &mut Vec<SampleVerdict>| {
            for (sample, verdict) in samples.iter().zip(verdicts) {
                assert_eq!(sample.sample_id, verdict.sample_id);
                change(sample, verdict);
            }
        },
    );
}

/// The generation repeats these documents word for word, of so many copies each.
fn repeats(verdict: &mut SampleVerdict, documents: &[(&str, i32)]) {
    verdict.verdict = Verdict::Verbatim;
    verdict.boilerplate = Some(false);
    verdict.best_doc_id = Some(documents[0].0.to_owned());
    verdict.best_copies = Some(documents[0].1);
    let own = documents
        .iter()
        .any(|(id, _)| Some(*id) == verdict.doc_id.as_deref());
    verdict.own_verdict =
        (verdict.split == Split::Train).then_some(if own { Verdict::Verbatim } else { Verdict::None });
    verdict.emitted_doc_ids = Some(documents.iter().map(|(id, _)| (*id).to_owned()).collect());
    verdict.emitted_copies = Some(documents.iter().map(|(_, copies)| *copies).collect());
}

fn is_greedy(sample: &Sample) -> bool {
    sample.strategy == "greedy"
}

fn arguments(run: &Path) -> StageArguments {
    StageArguments {
        config: run.join("report.toml"),
        out: run.join("report"),
        seed: None,
        threads: None,
        force: true,
        overrides: Vec::new(),
    }
}

struct Made {
    page: String,
    terminal: String,
    rows: Vec<SummaryRow>,
}

fn report(run: &Path) -> Made {
    let outcome = report::report(&arguments(run), run).unwrap();
    Made {
        page: std::fs::read_to_string(outcome.page)
            .unwrap()
            .replace('\u{2060}', ""),
        terminal: outcome.table,
        rows: parquet::read_all(&run.join("report/summary.parquet")).unwrap(),
    }
}

impl Made {
    /// The one row of full tuning; all copies.
    #[track_caller]
    fn row(&self, measure: &str, split: Split, strategy: Option<&str>) -> &SummaryRow {
        self.one(FULL, None, measure, split, strategy, None)
    }

    /// The same, after greedy decoding of training prompts, at so many copies.
    #[track_caller]
    fn at(&self, measure: &str, copies: i32) -> &SummaryRow {
        self.one(FULL, None, measure, Split::Train, Some("greedy"), Some(copies))
    }

    #[track_caller]
    fn one(
        &self,
        cell: &str,
        checkpoint: Option<&str>,
        measure: &str,
        split: Split,
        strategy: Option<&str>,
        copies: Option<i32>,
    ) -> &SummaryRow {
        let found: Vec<&SummaryRow> = self
            .rows
            .iter()
            .filter(|row| row.cell == cell && row.measure == measure && row.split == split)
            .filter(|row| row.strategy.as_deref() == strategy && row.copies == copies)
            .filter(|row| row.checkpoint.as_deref() == checkpoint)
            .collect();
        assert_eq!(
            found.len(),
            1,
            "{cell} {checkpoint:?} {measure} {split:?} {strategy:?} {copies:?}"
        );
        found[0]
    }

    fn has(&self, cell: &str, measure: &str) -> bool {
        self.rows
            .iter()
            .any(|row| row.cell == cell && row.measure == measure)
    }

    /// The paragraphs of the page's answer.
    fn leads(&self) -> Vec<&str> {
        let parts = self.page.split("class=\"lead\">").skip(1);
        parts.map(|part| part.split("</p>").next().unwrap()).collect()
    }
}

/// The rows of a table under a label, up to the next label.
#[track_caller]
fn under(table: &[Vec<String>], label: &str) -> Vec<Vec<String>> {
    let start = table
        .iter()
        .position(|row| row[0] == label)
        .unwrap_or_else(|| panic!("no {label}"));
    let rest = table[start + 1..].iter().take_while(|row| row[0].is_empty());
    std::iter::once(&table[start]).chain(rest).cloned().collect()
}

#[test]
fn memorization_counts_the_document_that_comes_out_by_its_own_copies() {
    let folder = quiet_run(&shape());
    // Documents with one copy are never continued; after their openings come two documents with 16 copies. After the unseen
    // openings comes a third. Of the documents with four copies, two of eight are continued.
    judge(
        &folder.path().join("cells").join(FULL),
        |sample, verdict| match sample.doc_id.as_deref().unwrap() {
            _ if !is_greedy(sample) => {}
            "doc-001" | "doc-002" => repeats(verdict, &[("doc-017", 16), ("doc-018", 16)]),
            "doc-003" => repeats(verdict, &[("doc-017", 16)]),
            "doc-009" => repeats(verdict, &[("doc-009", 4)]),
            "doc-010" => repeats(verdict, &[("doc-010", 4)]),
            "doc-025" | "doc-026" => repeats(verdict, &[("doc-019", 16)]),
            _ => {}
        },
    );
    let made = report(folder.path());
    for (copies, own, emitted) in [(1, 0.0, 0.0), (4, 0.25, 0.25), (16, 0.0, 0.375)] {
        for measure in ["own_verbatim", "own_any"] {
            assert_eq!(made.at(measure, copies).value, own, "{measure} {copies}");
        }
        let came_out = made.at("documents_emitted", copies);
        let interval = wilson((emitted * 8.0) as u64, 8).unwrap();
        assert_eq!(
            (came_out.value, came_out.ci_low, came_out.ci_high, came_out.n),
            (emitted, Some(interval.low), Some(interval.high), 8),
            "{copies}"
        );
    }
    let all = made.row("documents_emitted", Split::Train, Some("greedy"));
    assert_eq!((all.value, all.n), (5.0 / 24.0, 24));
    // Five of 24 generations after training prompts, two of eight after unseen ones.
    for (split, found, of) in [(Split::Train, 5.0, 24), (Split::Heldout, 2.0, 8)] {
        for (measure, scale) in [
            ("verbatim", 1.0),
            ("generations_with_training_text_per_1000", 1000.0),
        ] {
            let row = made.row(measure, split, Some("greedy"));
            assert!(
                (row.value - scale * found / f64::from(of)).abs() < 1e-9,
                "{measure} {split:?}"
            );
            assert_eq!(row.n, i64::from(of));
        }
    }
    // What is shared with any document is never told apart by the prompt's copies.
    for measure in ["verbatim", "any", "paraphrase", "extracted_50", "max_similarity"] {
        let by_copies = made
            .rows
            .iter()
            .filter(|row| row.measure == measure && row.copies.is_some());
        assert_eq!(by_copies.count(), 0, "{measure}");
    }
    // Sampling gave none of them.
    let sampled = made.one(
        FULL,
        None,
        "documents_emitted",
        Split::Train,
        Some("top-k 40"),
        Some(16),
    );
    assert_eq!(sampled.value, 0.0);

    let shown = under(&table(&made.page, "Own document, by its copies, greedy"), "full");
    let figure = |row: &Vec<String>, column: usize| row[column].split(' ').next().unwrap().to_owned();
    let shown: Vec<[String; 3]> = shown
        .iter()
        .map(|row| [figure(row, 1), figure(row, 3), figure(row, 9)])
        .collect();
    assert_eq!(
        shown,
        [["1", "0%", "0%"], ["4", "25%", "25%"], ["16", "0%", "38%"]]
    );
    let key = under(&table(&made.page, "Key figures"), "full rate 3e-4");
    // Own document 16 times, its control, any class, and training text after unseen openings.
    assert_eq!(figure(&key[0], 1), "0%");
    assert_eq!(figure(&key[0], 4), "25%");
    let line = made.terminal.lines().find(|line| line.contains("38% (")).unwrap();
    assert!(line.trim_start().starts_with("16  "), "{line}");
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
    let made = report(folder.path());
    assert_eq!(
        (made.at("own_verbatim", 16).value, made.at("own_verbatim", 16).n),
        (0.125, 8)
    );
    assert_eq!(
        made.row("verbatim", Split::Train, Some("greedy")).value,
        2.0 / 24.0
    );
    // What was not recorded is not reported.
    for measure in [
        "documents_emitted",
        "control_any",
        "control_any_carried_over",
        "comparable_similarity",
    ] {
        assert!(!made.has(FULL, measure), "{measure}");
        assert!(made.has("base", measure), "{measure}");
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
        near_duplicates: 1,
        ..shape()
    });
    let cell = folder.path().join("cells").join(FULL);
    // Of eight generations on documents with 16 copies, six repeat their document, and two share held-out text: one of them that of
    // doc-032, a near-duplicate.
    let shares = |sample: &Sample| match sample.doc_id.as_deref() {
        Some("doc-017") if is_greedy(sample) => Some("doc-025"),
        Some("doc-018") if is_greedy(sample) => Some("doc-032"),
        _ => None,
    };
    judge(&cell, |sample, verdict| {
        let id = sample.doc_id.clone().unwrap();
        if is_greedy(sample) && sample.copies == 16 && id.as_str() < "doc-023" {
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
    let made = report(folder.path());
    let (trained, held_out) = chars(folder.path());
    let documents: Vec<HeldOutDocument> =
        parquet::read_all(&folder.path().join("corpus/bucketed/heldout.parquet")).unwrap();
    let near = documents
        .iter()
        .find(|document| document.doc_id == "doc-032")
        .unwrap();
    let apart = held_out - near.text.chars().count() as f64;
    assert_eq!(made.row("text_chars", Split::Train, None).value, trained);
    assert_eq!(made.row("text_chars", Split::Heldout, None).value, held_out);
    assert_eq!(
        made.row("text_chars_without_near_duplicates", Split::Heldout, None)
            .value,
        apart
    );
    assert_eq!(made.row("near_duplicates", Split::Heldout, None).value, 1.0);
    let interval = wilson(2, 8).unwrap();
    for measure in ["control_verbatim", "control_any"] {
        assert_eq!((made.at(measure, 16).value, made.at(measure, 16).n), (0.25, 8));
        assert_eq!(made.row(measure, Split::Train, Some("greedy")).value, 2.0 / 24.0);
        let carried = made.at(&format!("{measure}_carried_over"), 16);
        let over = |rate: f64| 1.0 - (1.0 - rate).powf(trained / held_out);
        for (found, rate) in [
            (carried.value, 0.25),
            (carried.ci_low.unwrap(), interval.low),
            (carried.ci_high.unwrap(), interval.high),
        ] {
            assert!((found - over(rate)).abs() < 1e-9, "{measure}: {found}");
        }
        // Without the near-duplicate one of eight is left, and less text to carry it over from.
        let name = format!("{measure}_without_near_duplicates");
        assert_eq!(made.at(&name, 16).value, 0.125);
        let carried = made.at(&format!("{name}_carried_over"), 16).value;
        assert!((carried - (1.0 - 0.875_f64.powf(trained / apart))).abs() < 1e-9);
    }
    // What is shared with the prompt's own document is compared with the control as measured: 6 of 8 against 1 of 8.
    let lead = &made.leads()[0];
    assert!(lead.starts_with("Fully tuned, the model repeats"), "{lead}");
    assert!(
        lead.contains("against held-out text in 25% (7.1–59%), without near-duplicates in 12% (2.2–47%)"),
        "{lead}"
    );
    assert!(
        made.page
            .contains("1 of them a near-duplicate of a training document")
    );
    let said = made.page.split("Control: the same generations").nth(1).unwrap();
    assert!(
        said.contains(&format!("T/H = {:.2}", trained / held_out)),
        "{}",
        &said[..400]
    );
}

#[test]
fn training_text_after_unseen_prompts_is_a_finding_and_no_floor() {
    let folder = quiet_run(&Shape {
        documents: 40,
        ..shape()
    });
    // Every generation, whatever its prompt, recites the first document with 16 copies; the control finds nothing.
    judge(&folder.path().join("cells").join(FULL), |_, verdict| {
        repeats(verdict, &[("doc-081", 16)]);
    });
    let made = report(folder.path());
    for split in [Split::Train, Split::Heldout] {
        assert_eq!(made.row("verbatim", split, Some("greedy")).value, 1.0);
    }
    // One of forty own documents; and that one came out.
    assert_eq!(made.at("own_verbatim", 16).value, 0.025);
    assert_eq!(made.at("documents_emitted", 16).value, 0.025);
    let remark = "Full, after openings that were never seen: some training document word for word in 100% (91–100%) of generations; \
                  untuned in 0% (0–8.8%)";
    assert!(made.page.contains(remark));
}

#[test]
fn both_checkpoints_of_a_run_are_measured_and_the_best_is_compared_first() {
    let mut shape = shape();
    shape.best = true;
    shape.documents = 12;
    shape
        .tunings
        .push(Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.4, 0.0));
    let folder = quiet_run(&shape);
    // At its best loss full tuning repeats nothing, at the end ten of twelve.
    let last = folder.path().join("cells").join(FULL);
    judge(&last, |sample, verdict| {
        let id = sample.doc_id.clone().unwrap();
        if is_greedy(sample) && sample.copies == 16 && id.as_str() < "doc-035" {
            repeats(verdict, &[(&id, 16)]);
        }
    });
    // Losses: 2 nats per token at the best checkpoint, 3 at the last; 2.5 and 2.75 over validation documents. Training documents are as
    // likely as test documents.
    for (asked, test, validation) in [(last.join("best"), -2.0, -2.5), (last.clone(), -3.0, -2.75)] {
        edit(&asked.join("scores.parquet"), |scores: &mut Vec<Score>| {
            for score in scores {
                let number: usize = score.doc_id.trim_start_matches("doc-").parse().unwrap_or(0);
                let logprob = if score.split == Split::Train || number.is_multiple_of(2) {
                    test
                } else {
                    validation
                };
                score.logprobs.iter_mut().for_each(|found| *found = logprob);
            }
        });
    }
    let made = report(folder.path());
    for (checkpoint, rate, loss, validation) in [("best", 0.0, 2.0, 2.5), ("last", 10.0 / 12.0, 3.0, 2.75)] {
        let of = |measure, split, strategy, copies| {
            made.one(FULL, Some(checkpoint), measure, split, strategy, copies)
                .value
        };
        assert_eq!(of("own_verbatim", Split::Train, Some("greedy"), Some(16)), rate);
        assert_eq!(of("loss", Split::Heldout, None, None), loss);
        assert_eq!(of("validation_loss", Split::Heldout, None, None), validation);
    }
    assert!(
        made.rows
            .iter()
            .filter(|row| row.cell == "base")
            .all(|row| row.checkpoint.is_none())
    );
    // There is one training log.
    made.one(FULL, None, "best_loss_in_training", Split::Heldout, None, None);

    let key = table(&made.page, "Key figures");
    let labels: Vec<&str> = key[2..].iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        labels,
        [
            "untuned",
            "full, best rate 3e-4",
            "LoRA, best rate 3e-3",
            "full, last rate 3e-4",
            "LoRA, last rate 3e-3"
        ]
    );
    let shown = |row: usize| [key[row][1].clone(), key[row][5].clone()];
    assert_eq!(shown(3), ["0% 0–24%", "2.00"]);
    assert_eq!(shown(5), ["83% 55–95%", "3.00"]);
    let leads = made.leads();
    assert!(leads[0].starts_with("At each one’s best held-out loss. No way of tuning can be shown"));
    assert!(leads[1].starts_with("At the end of training. Fully tuned, the model repeats the document"));
    let lines: Vec<&str> = made
        .terminal
        .lines()
        .filter(|line| line.contains("3e-4"))
        .collect();
    assert_eq!(lines.len(), 2, "{}", made.terminal);
    assert!(
        lines[0].starts_with("full, best 3e-4") && lines[0].ends_with("2.00"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("full, last 3e-4") && lines[1].ends_with("3.00"),
        "{}",
        lines[1]
    );
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
        let scores = folder.path().join("cells").join(cell).join("scores.parquet");
        edit(&scores, |scores: &mut Vec<Score>| {
            for score in scores.iter_mut().filter(|score| score.split == Split::Heldout) {
                let number: usize = score.doc_id.trim_start_matches("doc-").parse().unwrap_or(0);
                let logprob = if number.is_multiple_of(2) {
                    test
                } else {
                    validation
                };
                score.logprobs.iter_mut().for_each(|found| *found = logprob);
            }
        });
    }
    let made = report(folder.path());
    let key = table(&made.page, "Key figures");
    assert_eq!(
        (key[3][0].as_str(), key[3][5].as_str()),
        ("full rate 1e-3", "2.50")
    );
}

#[test]
fn similarities_are_compared_over_equally_many_sentences_and_missing_ones_counted() {
    let folder = quiet_run(&shape());
    // Of 24 greedy generations after training prompts six have no sentence; the others are at 0.75 and 0.5, by turns, against 0.2 and 0.3 of
    // held-out text, and at 0.9 with all of the training text. Untuned they are at 0.1 and 0.2.
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
    let made = report(folder.path());
    for (measure, expected) in [
        ("comparable_similarity", 0.625),
        ("heldout_similarity", f64::from(0.2_f32 + 0.3_f32) / 2.0),
        ("comparable_similarity_at_0.7", 0.5),
        ("max_similarity_at_0.9", 1.0),
    ] {
        let found = made.row(measure, Split::Train, Some("greedy"));
        assert!(
            (found.value - expected).abs() < 1e-6 && found.n == 18,
            "{measure}: {found:?}"
        );
    }
    let without = made.row("without_sentence", Split::Train, Some("greedy"));
    assert_eq!((without.value, without.n), (0.25, 24));
    let counted = "Generations without a sentence of their own have no similarity and are left out: 6 of 32 (19%) of full.";
    assert!(made.page.contains(counted));
    assert!(
        made.page
            .contains("Full, similarity to training text: at least 0.62 (")
    );
    let sentence = made
        .page
        .split("Full, similarity to training text")
        .nth(1)
        .unwrap()
        .split(": its text comes closer")
        .next()
        .unwrap();
    assert!(
        sentence.ends_with("to as many sentences of held-out text"),
        "{sentence}"
    );
    let rates = under(
        &table(&made.page, "Any training document, by prompts, greedy"),
        "full",
    );
    // Similarities: all training text, as many sentences, held-out text.
    assert_eq!(rates[0][13], "≥ 0.90");
    assert!(rates[0][14].starts_with("≥ 0.62 "), "{}", rates[0][14]);
    assert!(rates[0][15].starts_with("≥ 0.25 "), "{}", rates[0][15]);
}

#[test]
fn scores_are_of_fifty_tokens_and_of_what_training_read() {
    let folder = quiet_run(&shape());
    let file = folder.path().join("cells").join(FULL).join("scores.parquet");
    edit(&file, |scores: &mut Vec<Score>| {
        let mut further = Vec::new();
        for score in scores.iter_mut().filter(|score| score.prefix_tokens == 10) {
            // The first fifty tokens are given back by documents with 16 copies, the twenty after them by none; those of doc-018 are cut off
            // after thirty more than fifty, which is no whole continuation of seventy.
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
    let made = report(folder.path());
    let scored = |measure: &str, copies| made.one(FULL, None, measure, Split::Train, None, copies);
    for (copies, expected) in [(1, 0.0), (4, 0.0), (16, 1.0)] {
        let row = scored("k_extractable_prefix10", Some(copies));
        assert_eq!((row.value, row.n), (expected, 8), "{copies}");
    }
    let found = scored("discoverable_n10_p0.5_prefix10", Some(16));
    assert_eq!((found.value, found.n), (1.0, 7));
    let cut = scored("documents_cut", None);
    assert_eq!((cut.value, cut.n), (2.0 / 24.0, 24));
    assert_eq!(scored("bits_per_byte", None).n, 22);
    assert_eq!(scored("loss", None).n, 24);
    // Of the four test documents one was cut.
    assert_eq!(made.row("bits_per_byte", Split::Heldout, None).n, 3);
    assert!(
        made.page.contains(
            "2 of 24 training documents and 1 of 8 held-out ones are longer than what training read"
        )
    );
}

#[test]
fn a_canary_is_ranked_among_the_references_of_its_format() {
    let folder = quiet_run(&shape());
    // Two formats with eight references each: those of format 0 at 1 to 8 nats, those of format 1 at 101 to 108.
    edit(
        &folder.path().join("cells").join(FULL).join("scores.parquet"),
        |scores: &mut Vec<Score>| {
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
                score.suffix_tokens = 1;
                score.logprobs = vec![-nats];
                score.scheme_logprobs = vec![-nats];
                score.argmax_hits = vec![false];
                score.vocab_mean = vec![-4.0];
                score.vocab_std = vec![1.5];
            }
        },
    );
    let made = report(folder.path());
    let exposure = made.one(FULL, None, "exposure", Split::Train, None, Some(16));
    // log₂ 9/4 and log₂ 9/1.
    assert!((exposure.value - f64::midpoint(2.25_f64.log2(), 9_f64.log2())).abs() < 1e-9);
    let highest = made.row("exposure_highest", Split::Heldout, None);
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
    let made = report(folder.path());
    let apart: std::collections::BTreeSet<&str> = made
        .rows
        .iter()
        .filter(|row| row.cell == "full-canaries")
        .map(|row| row.measure.as_str())
        .collect();
    assert_eq!(
        apart,
        std::collections::BTreeSet::from([
            "check_differs_from_untuned",
            "check_finite",
            "check_tuned_text_likelier",
            "exposure",
            "exposure_by_chance",
            "exposure_highest"
        ])
    );
    assert!(!made.has(FULL, "exposure"));
    // One setting, in which full tuning has its rate from one run and its exposure from the other.
    assert_eq!(made.page.matches("aria-label=\"Key figures\"").count(), 1);
    let key = under(&table(&made.page, "Key figures"), "full rate 3e-4");
    assert!(
        key[0][1].starts_with("0% ") && key[0][4].starts_with("0% "),
        "{:?}",
        key[0]
    );
    let exposure = made.one("full-canaries", None, "exposure", Split::Train, None, Some(16));
    assert!(
        key[0][6].starts_with(&format!("{:.1}", exposure.value)),
        "{:?}",
        key[0]
    );
    assert_eq!(
        table(&made.page, "Every cell")
            .iter()
            .filter(|row| row[0].contains("canaries"))
            .count(),
        0
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
    // Members are at 1 nat per token, test documents at 2, validation documents and the near-duplicate at ½.
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
    let made = report(folder.path());
    let row = |measure, split| made.row(measure, split, None);
    assert_eq!(row("membership_auc_loss", Split::Train).value, 1.0);
    assert_eq!(row("membership_auc_loss", Split::Train).n, 72 + 11);
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
    let said = "Non-members are 11 held-out documents; left out: 12 validation documents, by which the checkpoint was chosen and 1 \
                near-duplicate of training text. A rate at 1% falsely accused needs 100 or more non-members; there are 11, so it \
                is left blank.";
    assert!(made.page.contains(said));
    let shown = under(&table(&made.page, "Membership inference"), "full");
    assert!(shown[0][6].starts_with("– / 100%"), "{:?}", shown[0]);
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
    let made = report(folder.path());
    assert_eq!(
        made.row("membership_non_members", Split::Heldout, None).value,
        100.0
    );
    assert!(made.has(FULL, "membership_tpr_at_0.01_fpr_loss"));
    let (loss, validation) = (
        made.row("loss", Split::Heldout, None),
        made.row("validation_loss", Split::Heldout, None),
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
    let made = report(folder.path());
    assert_eq!(
        made.row("personal_details", Split::Train, Some("greedy")).value,
        0.0
    );
    assert_eq!(
        made.row("verbatim", Split::Train, Some("greedy")).value,
        1.0 / 24.0
    );
    // The caption tells the copies of the document that came out, not of the prompt's.
    assert!(
        made.page
            .contains("another document than its prompt’s, which occurs in the training text 16 times")
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
    let made = report(folder.path());
    let verbatim = made.row("verbatim", Split::Train, Some("greedy"));
    assert_eq!((verbatim.value, verbatim.n), (0.0, 23));
    assert_eq!(made.at("documents_emitted", 16).value, 0.0);
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
    let said = "Training took loss on responses alone";
    let before = report(folder.path());
    assert!(
        before.has(FULL, "documents_cut") && before.has(FULL, "bits_per_byte") && !before.page.contains(said)
    );
    let settings = "name = \"x\"\n[corpus]\nfiles = \"none\"\n[extraction]\nloss_on = \"response\"\n";
    for cell in ["base", FULL] {
        let file = folder.path().join("cells").join(cell).join("extractor.toml");
        std::fs::write(file, settings).unwrap();
    }
    let made = report(folder.path());
    assert!(!made.has(FULL, "documents_cut") && !made.has(FULL, "bits_per_byte"));
    assert!(made.has(FULL, "loss") && made.page.contains(said));
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
    let made = report(folder.path());
    assert_eq!(made.leads().len(), 1, "one model, one answer");
    assert!(!made.page.contains("Nothing was sampled from a tuned model"));
    assert!(!made.page.contains("without the untuned model"));
}
