//! The stage as its users see it: a run folder in, a table and a page out.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{HOSTILE, PROMPT, Shape, Tuning, edit, write_run};
use contract::records::{PassageMatch, Sample, SampleVerdict, Score, Split, SummaryRow, Verdict};
use contract::{Error, Provenance, StageArguments, parquet};
use measures::interval::wilson;

fn small() -> Shape {
    Shape {
        documents: 8,
        canaries: 2,
        references: 16,
        samples: 2,
        best: false,
        near_duplicates: 0,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new("full-3e-4", "full", Some(3e-4), 4.0, 0.9),
            Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.4, 0.0),
        ],
        ..Shape::default()
    }
}

fn arguments(run: &Path) -> StageArguments {
    StageArguments {
        config: run.join("report.toml"),
        out: run.join("report"),
        seed: None,
        threads: None,
        force: false,
        overrides: Vec::new(),
    }
}

fn made(shape: &Shape) -> (tempfile::TempDir, String, Vec<SummaryRow>) {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), shape);
    let (page, summary) = outputs(folder.path());
    (folder, page, summary)
}

fn outputs(run: &Path) -> (String, Vec<SummaryRow>) {
    report::report(&arguments(run), run).unwrap();
    let page = std::fs::read_to_string(run.join("report/report.html")).unwrap();
    (
        page,
        parquet::read_all(&run.join("report/summary.parquet")).unwrap(),
    )
}

fn find<'a>(
    rows: &'a [SummaryRow],
    cell: &str,
    measure: &str,
    split: Split,
    strategy: Option<&str>,
    copies: Option<i32>,
) -> &'a SummaryRow {
    let found: Vec<&SummaryRow> = rows
        .iter()
        .filter(|row| {
            row.cell == cell
                && row.measure == measure
                && row.split == split
                && row.strategy.as_deref() == strategy
                && row.copies == copies
        })
        .collect();
    assert_eq!(
        found.len(),
        1,
        "{cell} {measure} {split:?} {strategy:?} {copies:?}"
    );
    found[0]
}

/// Rewrites a cell's verdicts and matches by hand: the first `count` greedy samples on documents with `copies` copies
/// share a passage of this class with their own document, no other sample with any.
fn set_verdicts(run: &Path, cell: &str, copies: i32, count: usize, class: Verdict) {
    let folder = run.join("cells").join(cell);
    let samples: Vec<Sample> = parquet::read_all(&folder.join("samples.parquet")).unwrap();
    let chosen: Vec<i64> = samples
        .iter()
        .filter(|sample| {
            sample.strategy == "greedy" && sample.copies == copies && sample.split == Split::Train
        })
        .map(|sample| sample.sample_id)
        .take(count)
        .collect();
    edit(
        &folder.join("verdicts.parquet"),
        |verdicts: &mut Vec<SampleVerdict>| {
            for verdict in verdicts {
                let found = chosen.contains(&verdict.sample_id);
                verdict.verdict = if found { class } else { Verdict::None };
                verdict.own_verdict = (verdict.split == Split::Train).then_some(verdict.verdict);
                verdict.control_verdict = Some(Verdict::None);
                let emitted = found && class == Verdict::Verbatim;
                verdict.emitted_doc_ids =
                    Some(verdict.doc_id.clone().into_iter().filter(|_| emitted).collect());
                verdict.emitted_copies = Some(if emitted { vec![copies] } else { Vec::new() });
            }
        },
    );
    edit(&folder.join("matches.parquet"), Vec::<PassageMatch>::clear);
}

#[test]
fn rates_are_those_counted_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &small());
    set_verdicts(folder.path(), "full-3e-4", 16, 3, Verdict::Verbatim);
    let (_, rows) = outputs(folder.path());

    let full = |measure, split, strategy, copies| find(&rows, "full-3e-4", measure, split, strategy, copies);
    // Three of eight documents with 16 copies, one greedy sample each.
    let verbatim = full("own_verbatim", Split::Train, Some("greedy"), Some(16));
    let interval = wilson(3, 8).unwrap();
    assert_eq!(
        (verbatim.value, verbatim.ci_low, verbatim.ci_high, verbatim.n),
        (0.375, Some(interval.low), Some(interval.high), 8)
    );
    for (measure, expected) in [("own_any", 0.375), ("own_idea", 0.0), ("own_paraphrase", 0.0)] {
        let found = full(measure, Split::Train, Some("greedy"), Some(16));
        assert_eq!(found.value, expected, "{measure}");
    }
    // All copies: 3 of 24. Eight documents each at log₂ copies 0, 2, 4 with means 0, 0, 3/8: slope (3/8)/4.
    for measure in ["verbatim", "own_verbatim"] {
        assert_eq!(full(measure, Split::Train, Some("greedy"), None).value, 0.125);
    }
    let slope = full("own_verbatim_per_doubling", Split::Train, Some("greedy"), None);
    assert!((slope.value - 0.375 / 4.0).abs() < 1e-12);
    // Two samples a document: sixteen samples of eight documents, and 0 still has room above it.
    let sampled = full("own_verbatim", Split::Train, Some("top-k 40"), Some(16));
    assert_eq!((sampled.value, sampled.n), (0.0, 16));
    assert_eq!(sampled.ci_high, Some(wilson(0, 8).unwrap().high));
    // Held-out prompts have one row, for all copies.
    assert_eq!(full("verbatim", Split::Heldout, Some("greedy"), None).n, 8);
    let held_out = rows
        .iter()
        .filter(|row| row.split == Split::Heldout && row.copies.is_some());
    assert_eq!(held_out.count(), 0);
}

/// Three greedy generations on documents with 16 copies are verbatim, one of them boilerplate; a passage of one names a
/// person and her number.
fn run_with_details(looked: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &small());
    set_verdicts(folder.path(), "full-3e-4", 16, 3, Verdict::Verbatim);
    let cell = folder.path().join("cells/full-3e-4");
    let mut verdicts: Vec<SampleVerdict> = parquet::read_all(&cell.join("verdicts.parquet")).unwrap();
    let mut matches = Vec::new();
    for verdict in &mut verdicts {
        verdict.boilerplate = None;
        if verdict.verdict != Verdict::Verbatim {
            continue;
        }
        verdict.boilerplate = looked.then_some(matches.is_empty());
        let details = ["number", "name"].map(str::to_owned).to_vec();
        matches.push(PassageMatch {
            sample_id: verdict.sample_id,
            doc_id: verdict.doc_id.clone().unwrap(),
            doc_split: Split::Train,
            kind: Verdict::Verbatim,
            gen_start: 0,
            gen_end: 60,
            doc_start: 0,
            doc_end: 60,
            similarity: 1.0,
            detector: "by hand".to_owned(),
            document_frequency: looked.then_some(if matches.is_empty() { 40 } else { 1 }),
            personal_details: looked.then_some(if matches.len() == 1 { details } else { Vec::new() }),
            personal_details_by: None,
        });
    }
    let provenance = Provenance::new("test");
    parquet::write_all(&cell.join("verdicts.parquet"), &provenance, &verdicts).unwrap();
    parquet::write_all(&cell.join("matches.parquet"), &provenance, &matches).unwrap();
    folder
}

#[test]
fn boilerplate_and_personal_details_are_told_apart_from_the_rate() {
    let folder = run_with_details(true);
    let (page, rows) = outputs(folder.path());
    // Of 24 greedy generations after training prompts.
    for (measure, expected) in [
        ("verbatim", 3.0 / 24.0),
        ("boilerplate", 1.0 / 24.0),
        ("personal_details", 1.0 / 24.0),
    ] {
        let found = find(&rows, "full-3e-4", measure, Split::Train, Some("greedy"), None);
        assert_eq!((found.value, found.n), (expected, 24), "{measure}");
    }
    assert!(page.contains(
        "Full: of 3 generations that repeat training text, 1 only with boilerplate that occurs in many documents and 1 \
         with personal details (name in 1, number in 1)."
    ));
    assert!(page.contains("occurs in 40 training documents"));
}

/// A detector that never looked has not found nothing.
#[test]
fn nothing_is_said_of_what_no_detector_looked_at() {
    let folder = run_with_details(false);
    let (page, rows) = outputs(folder.path());
    let told = |row: &&SummaryRow| {
        row.cell == "full-3e-4" && ["boilerplate", "personal_details"].contains(&row.measure.as_str())
    };
    assert_eq!(rows.iter().filter(told).count(), 0);
    assert!(!page.contains("Full: of 3 generations"));
}

#[test]
fn losses_and_exposures_are_those_of_the_scores() {
    let (folder, _, rows) = made(&small());
    let scores: Vec<Score> =
        parquet::read_all(&folder.path().join("cells/full-3e-4/scores.parquet")).unwrap();
    // Held-out documents are for validation and for test by turns: doc-025 to doc-032.
    let loss_over = |wanted: &[&str]| {
        let whole = scores
            .iter()
            .filter(|score| score.prefix_tokens == 0 && wanted.contains(&score.doc_id.as_str()));
        let nats: f64 = whole
            .clone()
            .flat_map(|score| &score.logprobs)
            .map(|&logprob| -f64::from(logprob))
            .sum();
        nats / whole.map(|score| score.logprobs.len()).sum::<usize>() as f64
    };
    for (measure, documents) in [
        ("loss", ["doc-026", "doc-028", "doc-030", "doc-032"]),
        ("validation_loss", ["doc-025", "doc-027", "doc-029", "doc-031"]),
    ] {
        let loss = find(&rows, "full-3e-4", measure, Split::Heldout, None, None);
        assert!((loss.value - loss_over(&documents)).abs() < 1e-9, "{measure}");
        assert_eq!(loss.n, 4);
        assert!(loss.ci_low.unwrap() < loss.value && loss.value < loss.ci_high.unwrap());
    }
    let loss = find(&rows, "full-3e-4", "loss", Split::Heldout, None, None);
    let perplexity = find(&rows, "full-3e-4", "perplexity", Split::Heldout, None, None);
    assert!((perplexity.value - loss.value.exp()).abs() < 1e-9);
    // Eight references of either format: at most log₂ 9 bits.
    assert_eq!(
        find(&rows, "full-3e-4", "exposure_highest", Split::Heldout, None, None).value,
        9_f64.log2()
    );
    assert_eq!(
        find(&rows, "full-3e-4", "exposure", Split::Train, None, Some(16)).n,
        2
    );
    // Canaries are no documents.
    assert_eq!(
        find(&rows, "full-3e-4", "loss", Split::Train, None, Some(16)).n,
        8
    );
    // The untuned model is a reference for others, not for itself.
    find(
        &rows,
        "full-3e-4",
        "membership_auc_reference",
        Split::Train,
        None,
        None,
    );
    assert!(
        !rows
            .iter()
            .any(|row| row.cell == "base" && row.measure == "membership_auc_reference")
    );
}

#[test]
fn text_from_outside_is_escaped_and_the_page_reaches_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &small());
    let every_passage = StageArguments {
        overrides: vec!["report.examples=99".to_owned()],
        ..arguments(folder.path())
    };
    let written = report::report(&every_passage, folder.path()).unwrap();
    let page = std::fs::read_to_string(written.page).unwrap();
    assert!(HOSTILE.contains("<script>") && HOSTILE.contains('\0'));
    assert!(page.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; 'quotes' \u{2400}"));
    assert!(!page.contains("<script"), "no script, neither ours nor theirs");
    assert!(!page.contains('\0'));
    assert_eq!(
        page.matches("<blockquote").count(),
        page.matches("</blockquote>").count()
    );
    for reach in ["http:", "https:", "//", "url(", "@import", "src=", "<link"] {
        assert!(!page.contains(reach), "{reach}");
    }
}

#[test]
fn marks_cut_the_shared_passage() {
    let (folder, page, _) = made(&small());
    let cell = folder.path().join("cells/full-3e-4");
    let samples: Vec<Sample> = parquet::read_all(&cell.join("samples.parquet")).unwrap();
    let matches: Vec<PassageMatch> = parquet::read_all(&cell.join("matches.parquet")).unwrap();
    let longest = matches
        .iter()
        .filter(|passage| passage.kind == Verdict::Verbatim)
        .max_by_key(|passage| (passage.gen_end, std::cmp::Reverse(passage.sample_id)))
        .unwrap();
    let sample = samples
        .iter()
        .find(|sample| sample.sample_id == longest.sample_id)
        .unwrap();
    let passage: String = sample.generation.chars().take(longest.gen_end as usize).collect();
    let marked = format!(
        "<mark>{}</mark>",
        maud::html! { (report::page::visible(&passage)) }.into_string()
    );
    // Once in the generation and once in the document, which goes on after its prompt.
    assert_eq!(longest.doc_start as usize, PROMPT);
    assert!(page.matches(&marked).count() >= 2, "{marked}");
}

#[test]
fn the_answer_claims_only_what_the_sample_carries() {
    let leaking = |count: usize, documents: usize| {
        let folder = tempfile::tempdir().unwrap();
        let mut shape = Shape { documents, ..small() };
        // No score says that a document is known: the rates alone do.
        shape.tunings[1].memory = 0.0;
        write_run(folder.path(), &shape);
        for cell in ["base", "full-3e-4", "lora16-3e-3"] {
            set_verdicts(
                folder.path(),
                cell,
                16,
                if cell == "full-3e-4" { count } else { 0 },
                Verdict::Verbatim,
            );
        }
        outputs(folder.path()).0.replace('\u{2060}', "")
    };
    // 10 of 12 against 0 of 12 and 0 of 12.
    let clear = leaking(10, 12);
    assert!(clear.contains(
        "Fully tuned, the model repeats the document that it is prompted with word for word in 83% (55–95%)"
    ));
    assert!(clear.contains("untuned in 0% (0–24%) and against held-out text in 0% (0–"));
    assert!(clear.contains("LoRA in 0% (0–24%), which cannot be distinguished from the controls"));
    // 1 of 12 against 0 of 12: samples_to_separate(1/12, 0) is 90.
    let thin = leaking(1, 12);
    assert!(thin.contains(
        "No way of tuning can be shown to repeat word for word the documents that it is prompted with"
    ));
    let said = "12 documents cannot tell this rate from the controls, about ";
    let needed = thin.split(said).nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(needed, "90");
    assert!(!thin.contains("Fully tuned, the model repeats"));
}

#[test]
fn a_rate_that_held_out_text_shares_is_no_leak() {
    let folder = tempfile::tempdir().unwrap();
    let mut shape = Shape {
        documents: 12,
        ..small()
    };
    // Without scores nothing says that the held-out text was trained on.
    for tuning in &mut shape.tunings {
        tuning.scores = false;
    }
    write_run(folder.path(), &shape);
    let verdicts = folder.path().join("cells/full-3e-4/verdicts.parquet");
    edit(&verdicts, |verdicts: &mut Vec<SampleVerdict>| {
        for verdict in verdicts {
            verdict.verdict = Verdict::Verbatim;
            verdict.own_verdict = (verdict.split == Split::Train).then_some(Verdict::Verbatim);
            verdict.control_verdict = Some(Verdict::Verbatim);
        }
    });
    let (page, _) = outputs(folder.path());
    assert!(page.contains("No way of tuning can be shown"));
    assert!(page.contains("not more than a control"));
}

#[test]
fn tuning_that_ruins_the_model_is_called_so() {
    let ends_at = |loss: f64| {
        let mut shape = small();
        for tuning in shape.tunings.iter_mut().filter(|tuning| tuning.mode == "full") {
            tuning.held_out_loss = loss;
        }
        made(&shape).1
    };
    let sentence = "Worse than the untuned model’s";
    let ruined = ends_at(9.0);
    let told = ruined.split(sentence).nth(1).unwrap();
    assert!(told.contains("on text it never saw: full "), "{}", &told[..200]);
    assert!(!ends_at(1.0).contains(sentence));
}

#[test]
fn a_run_without_controls_or_scores_says_what_is_missing() {
    let mut shape = small();
    shape.tunings.remove(0);
    for tuning in &mut shape.tunings {
        tuning.scores = false;
    }
    let (_folder, page, rows) = made(&shape);
    assert!(page.contains("it is not in this run, so half of the control is missing"));
    assert!(page.contains("they have no scores.parquet"));
    assert!(!rows.iter().any(|row| row.measure == "loss"));
    // The training log still knows a held-out loss.
    assert!(rows.iter().any(|row| row.measure == "best_loss_in_training"));
}

#[test]
fn seeds_models_and_variants_stand_side_by_side() {
    let mut shape = Shape {
        documents: 5,
        ..small()
    };
    let mut more = Vec::new();
    for tuning in &shape.tunings {
        for (seed, model, parameters) in [(1, "synthetic-4m", 4_200_000), (0, "synthetic-16m", 16_000_000)] {
            let name = format!("{}-{model}-s{seed}", tuning.name);
            more.push(Tuning {
                name,
                seed,
                model: model.to_owned(),
                parameters,
                ..tuning.clone()
            });
        }
    }
    let wide = Tuning::new("lora64", "lora", Some(3e-3), 4.3, 0.5);
    more.push(Tuning {
        rank: Some(64),
        targets: Some("c_attn,c_fc,c_proj".to_owned()),
        ..wide
    });
    shape.tunings.extend(more);
    let (_folder, page, rows) = made(&shape);
    for expected in [
        "synthetic-16m, bucketed copies",
        "LoRA r16",
        "LoRA r64",
        "beyond the 2 that are pooled here",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    // Documents of both sizes are the same ones, so the slope against size is about them.
    assert!(page.contains("Across sizes") && page.contains("Tenfold size"));
    // The larger model comes first.
    assert!(page.find("synthetic-16m, bucketed") < page.find("synthetic-4m, bucketed"));
    let cells: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.cell.as_str()).collect();
    assert_eq!(cells.len(), 10);
}

#[test]
fn the_same_run_gives_the_same_bytes_and_is_not_done_twice() {
    let (first, page, rows) = made(&small());
    let (_second, same_page, same_rows) = made(&small());
    assert_eq!(rows, same_rows);
    assert_eq!(page, same_page);

    let again = report::report(&arguments(first.path()), first.path()).unwrap();
    assert!(again.up_to_date);
    // A page that is gone, a changed input, other settings, a changed verdict: each is work.
    let done = |change: &dyn Fn(), overrides: &[&str]| {
        change();
        let overrides = overrides
            .iter()
            .map(|&assignment| assignment.to_owned())
            .collect();
        report::report(
            &StageArguments {
                overrides,
                ..arguments(first.path())
            },
            first.path(),
        )
        .unwrap()
        .up_to_date
    };
    assert!(!done(
        &|| std::fs::remove_file(first.path().join("report/report.html")).unwrap(),
        &[]
    ));
    assert!(!done(&|| (), &["report.examples=1"]));
    assert!(!done(&|| (), &[]));
    assert!(done(&|| (), &[]));
    assert!(!done(
        &|| set_verdicts(first.path(), "base", 1, 1, Verdict::Idea),
        &[]
    ));
}

#[test]
fn a_missing_file_names_the_command_that_makes_it() {
    let missing: [(&str, &str); 8] = [
        (
            "cells/full-3e-4/best/verdicts.parquet",
            "best/samples.parquet --out ",
        ),
        ("cells/full-3e-4/best/matches.parquet", "plagiarism --config"),
        ("cells/full-3e-4/best/samples.parquet", "extractor --config"),
        ("cells/base/verdicts.parquet", "plagiarism --config"),
        ("cells/base/matches.parquet", "plagiarism --config"),
        ("cells/base/samples.parquet", "extractor --config"),
        ("corpus/bucketed/train.parquet", "dupgen --config"),
        ("corpus/bucketed/heldout.parquet", "dupgen --config"),
    ];
    for (file, command) in missing {
        let folder = tempfile::tempdir().unwrap();
        write_run(
            folder.path(),
            &Shape {
                documents: 2,
                best: true,
                ..small()
            },
        );
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let error = report::report(&arguments(folder.path()), folder.path()).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.exit_status(), 3);
        assert!(message.contains(file) && message.contains(command), "{message}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    type Change = fn(&mut Vec<SampleVerdict>, &mut Vec<PassageMatch>);
    let cases: [(Change, &str); 4] = [
        (|verdicts, _| drop(verdicts.remove(0)), "no verdict on sample 0"),
        (
            |verdicts, _| verdicts.iter_mut().for_each(|verdict| verdict.sample_id += 1),
            "no verdict on sample 0",
        ),
        (
            |_, matches| matches[0].gen_end = 100_000,
            "does not lie in the generation",
        ),
        (
            |_, matches| matches[0].doc_id = "elsewhere".to_owned(),
            "document elsewhere is in neither",
        ),
    ];
    for (change, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        write_run(
            folder.path(),
            &Shape {
                documents: 4,
                ..small()
            },
        );
        let cell = folder.path().join("cells/full-3e-4");
        let (verdicts_file, matches_file) = (cell.join("verdicts.parquet"), cell.join("matches.parquet"));
        let mut verdicts = parquet::read_all(&verdicts_file).unwrap();
        let mut matches = parquet::read_all(&matches_file).unwrap();
        change(&mut verdicts, &mut matches);
        parquet::write_all(&verdicts_file, &Provenance::new("test"), &verdicts).unwrap();
        parquet::write_all(&matches_file, &Provenance::new("test"), &matches).unwrap();
        let error = report::report(&arguments(folder.path()), folder.path()).unwrap_err();
        assert!(matches!(error, Error::Input { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_program_ends_with_the_status_of_its_error() {
    let folder = tempfile::tempdir().unwrap();
    write_run(
        folder.path(),
        &Shape {
            documents: 2,
            ..small()
        },
    );
    let run = |extra: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_report"))
            .arg("--config")
            .arg(folder.path().join("report.toml"))
            .arg("--in")
            .arg(folder.path())
            .arg("--out")
            .arg(folder.path().join("report"))
            .args(extra)
            .output()
            .unwrap()
    };
    let first = run(&[]);
    assert_eq!(first.status.code(), Some(0));
    assert!(first.stdout.is_empty());
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(
        said.contains("held-out loss") && said.contains("report.html"),
        "{said}"
    );
    assert!(String::from_utf8_lossy(&run(&[]).stderr).contains("up to date"));
    assert_eq!(run(&["--set", "report.resamples=3"]).status.code(), Some(2));
    std::fs::write(folder.path().join("cells/base/verdicts.parquet"), "PAR1").unwrap();
    assert_eq!(run(&[]).status.code(), Some(3));
}

#[test]
fn what_is_known_by_heart_is_drawn_over_the_epochs_of_kept_checkpoints() {
    let (folder, page, _) = made(&small());
    assert!(!page.contains("Memorization over training"));
    let cell = folder.path().join("cells/full-3e-4");
    let metrics: Vec<contract::records::TrainingMetric> =
        contract::parquet::read_all(&cell.join("metrics.parquet")).unwrap();
    let point = |step: Option<i64>, share: f64| contract::records::CoursePoint {
        checkpoint: "x".into(),
        step,
        split: contract::records::Split::Train,
        copies: 4,
        documents: 3,
        loss: 1.0,
        continuations: 3,
        exact_memorization: Some(share),
        extractable: Some(share),
        extraction_probability: Some(share),
    };
    // A checkpoint whose step nobody logged has no place on the axis.
    let first = metrics.first().unwrap().step;
    let last = metrics.last().unwrap().step;
    let course = [
        point(Some(first), 0.25),
        point(Some(last), 0.75),
        point(None, 1.0),
    ];
    let provenance = contract::Provenance::new("extractor");
    contract::parquet::write_all(&cell.join("course.parquet"), &provenance, &course).unwrap();
    let (page, _) = outputs(folder.path());
    let section = page.split("Memorization over training").nth(1).unwrap();
    let section = section.split("</section>").next().unwrap();
    assert!(section.contains("4 times"), "{section}");
    // One way of tuning was followed: one panel, a line for each of the two shares, each with two points.
    assert_eq!(section.matches("<figure>").count(), 1);
    let lines: Vec<&str> = section
        .split("<polyline")
        .skip(1)
        .map(|line| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{section}");
    assert!(
        lines.iter().all(|line| line.split_whitespace().count() == 2),
        "{lines:?}"
    );
}
