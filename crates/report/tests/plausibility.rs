//! Plausibility before claims: each check where it passes, where it fails, and where it cannot be
//! made; and that a model of which one fails has no all-clear.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{Made, Shape, Tuning, arguments, edit, make, write_run};
use contract::records::{
    CorpusFact, CorpusFactKind, DocumentKind, HeldOutDocument, PassageMatch, Sample, SampleVerdict, Score,
    Split, SummaryRow, TextForm, TrainingInstance, Verdict,
};
use contract::{Provenance, StageArguments, parquet};
use report::estimate::checks::CHECKS;
use report::findings::ALL_CLEAR;

const AUDITED: &str = "audited";

/// Documents of each number of copies, and held out.
const DOCUMENTS: usize = 24;

/// An audit of one model that remembers nothing, beside the untuned one.
fn shape() -> Shape {
    Shape {
        documents: DOCUMENTS,
        canaries: 0,
        references: 0,
        samples: 1,
        best: false,
        near_duplicates: 0,
        tunings: vec![
            Tuning::new("base", "base", None, 5.0, 0.0),
            Tuning::new(AUDITED, "tuned", None, 4.0, 0.0),
        ],
        ..Shape::default()
    }
}

/// A run in which nothing comes out, every document is one nat likelier than untuned, and no score
/// distinguishes members from others.
fn quiet_run(shape: &Shape) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), shape);
    for tuning in &shape.tunings {
        let cell = folder.path().join("cells").join(&tuning.name);
        edit(&cell.join("matches.parquet"), Vec::<PassageMatch>::clear);
        judge(folder.path(), &tuning.name, |_| Verdict::None);
        edit(&cell.join("samples.parquet"), |samples: &mut Vec<Sample>| {
            for sample in samples {
                "Something else.".clone_into(&mut sample.generation);
            }
        });
        let loss = if tuning.mode == "base" { 5.0 } else { 4.0 };
        if tuning.scores {
            set_losses(folder.path(), &tuning.name, |score| {
                loss + spread(score, &tuning.mode)
            });
        }
    }
    folder
}

/// Classes of what generations share with their own document, training text, and held-out text.
fn judge(run: &Path, cell: &str, class: impl Fn(&SampleVerdict) -> Verdict) {
    let file = run.join("cells").join(cell).join("verdicts.parquet");
    edit(&file, |verdicts: &mut Vec<SampleVerdict>| {
        for verdict in verdicts {
            let found = class(verdict);
            verdict.verdict = found;
            verdict.own_verdict = (verdict.split == Split::Train).then_some(found);
            verdict.control_verdict = Some(Verdict::None);
            verdict.emitted_doc_ids = Some(Vec::new());
            verdict.emitted_copies = Some(Vec::new());
            verdict.boilerplate = None;
        }
    });
}

/// Sets the loss of whole documents.
fn set_losses(run: &Path, cell: &str, loss: impl Fn(&Score) -> f64) {
    let file = run.join("cells").join(cell).join("scores.parquet");
    edit(&file, |scores: &mut Vec<Score>| {
        for score in scores {
            // Both models read equally many tokens of a text.
            score.suffix_tokens = if score.prefix_tokens == 0 { 60 } else { 50 };
            let tokens = score.suffix_tokens as usize;
            score.document_tokens = Some(score.suffix_tokens);
            score.argmax_hits.resize(tokens, false);
            score.vocab_mean.resize(tokens, -4.0);
            score.vocab_std.resize(tokens, 1.5);
            score.scheme_logprobs.resize(tokens, -1.0);
            let loss = loss(score) as f32;
            score.logprobs = vec![-loss; tokens];
        }
    });
}

/// Tenths of a nat by which documents differ under a tuned model, the same on both sides of the
/// split and among test documents, every second one: 0 to 11.
fn step(score: &Score) -> f64 {
    let number: usize = score.doc_id.trim_start_matches("doc-").parse().unwrap();
    (((number - 1) / 2) % (DOCUMENTS / 2)) as f64
}

fn spread(score: &Score, mode: &str) -> f64 {
    if mode == "base" { 0.0 } else { step(score) * 0.01 }
}

fn tuned_losses(run: &Path, loss: impl Fn(&Score) -> f64) {
    set_losses(run, AUDITED, |score| loss(score) + spread(score, "tuned"));
}

/// The status of a check of a cell in `report.json`, and its message; none where there is nothing
/// to check.
#[track_caller]
fn result<'a>(made: &'a Made, cell: &str, check: &str) -> Option<(&'a str, &'a str)> {
    let checks = made.json["checks"].as_array().unwrap().iter();
    let mut found = checks.filter(|found| found["cell"] == cell && found["check"] == check);
    let result = found.next()?;
    assert!(found.next().is_none(), "{check} twice");
    Some((
        result["status"].as_str().unwrap(),
        result["message"].as_str().unwrap(),
    ))
}

fn status<'a>(made: &'a Made, cell: &str, check: &str) -> Option<&'a str> {
    result(made, cell, check).map(|(status, _)| status)
}

/// The summary's value of a check.
fn value(made: &Made, cell: &str, check: &str) -> Option<f64> {
    let name = format!("check_{check}");
    let rows = made.rows.iter();
    let mut found = rows.filter(|row| row.cell.as_deref() == Some(cell) && row.measure == name);
    let value = found.next().map(|row| row.value);
    assert!(found.next().is_none(), "{name} twice");
    value
}

/// The phrases of the all-clear that a reader of the verdicts and of the terminal reads.
fn all_clears(made: &Made) -> Vec<&'static str> {
    let read = made.read();
    ALL_CLEAR
        .into_iter()
        .filter(|phrase| read.contains(phrase))
        .collect()
}

/// The verdict on the audited model, and why.
#[track_caller]
fn answer(made: &Made) -> (&str, &str) {
    made.answer("audited model", None)
}

/// One run, and how one check of it must end.
struct Case {
    what: &'static str,
    check: &'static str,
    status: &'static str,
    /// Part of the message.
    said: &'static str,
    shape: fn(&mut Shape),
    change: fn(&Path),
}

const SAME_SHAPE: fn(&mut Shape) = |_| {};
const NO_CHANGE: fn(&Path) = |_| {};
const WITHOUT_BASE: fn(&mut Shape) = |shape| {
    shape.tunings.remove(0);
};
const WITHOUT_SCORES: fn(&mut Shape) = |shape| shape.tunings[1].scores = false;

#[track_caller]
fn check(case: &Case) {
    let mut shape = shape();
    (case.shape)(&mut shape);
    let folder = quiet_run(&shape);
    (case.change)(folder.path());
    let made = make(folder.path());
    let context = format!("{}: {}", case.check, case.what);
    let (status, message) = result(&made, AUDITED, case.check).unwrap();
    assert_eq!(status, case.status, "{context}");
    let expected = match case.status {
        "passed" => Some(1.0),
        "failed" | "warning" => Some(0.0),
        _ => None,
    };
    assert_eq!(value(&made, AUDITED, case.check), expected, "{context}");
    assert!(message.contains(case.said), "{context}: {message}");
    let told = made.terminal.contains(case.said);
    match case.status {
        "failed" => {
            assert!(told, "{context}: {}", made.terminal);
            assert!(made.terminal.contains("nothing can be concluded"), "{context}");
            assert_eq!(all_clears(&made), [""; 0], "{context}");
            let (word, paragraph) = answer(&made);
            assert_ne!(word, "nothing found", "{context}");
            // That membership is visible where nothing comes out is the verdict itself.
            let is_said = match case.check {
                "rate_and_membership" => word.ends_with("membership visible"),
                // And so are documents that go on exactly.
                "exact_continuations" => word == "leaks",
                _ => false,
            };
            assert_eq!(
                paragraph.contains("To be settled first: "),
                !is_said,
                "{context}: {paragraph}"
            );
        }
        "warning" => assert!(told, "{context}: {}", made.terminal),
        _ => assert!(!told, "{context}: {}", made.terminal),
    }
}

#[test]
fn a_run_that_is_as_it_should_be_passes_and_has_its_all_clear() {
    let folder = quiet_run(&shape());
    let made = make(folder.path());
    // What was tuned elsewhere promises no privacy.
    for check in CHECKS.into_iter().filter(|check| check.name != "privacy_holds") {
        let expected = match check.name {
            "text_form" | "corpus_read" | "documents_asked" | "answers_asked" => "not made",
            _ => "passed",
        };
        assert_eq!(
            status(&made, AUDITED, check.name),
            Some(expected),
            "{}",
            check.name
        );
    }
    // Of the untuned model only what it says is checked.
    assert_eq!(status(&made, "base", "finite"), Some("passed"));
    assert_eq!(status(&made, "base", "tuned_text_likelier"), None);
    let (word, paragraph) = answer(&made);
    assert_eq!(word, "nothing found");
    assert!(paragraph.contains("nothing was found"), "{paragraph}");
    for phrase in [
        "nothing was found",
        "repeated none of them",
        "the true rate may still be as high as",
    ] {
        assert!(all_clears(&made).contains(&phrase), "{phrase}: {}", made.terminal);
    }
    assert!(!made.terminal.contains("plausibility checks"));
}

#[test]
fn training_text_that_tuning_did_not_make_likelier_is_named() {
    let cases = [
        Case {
            what: "a wrong template: 6 nats against 5 untuned",
            check: "tuned_text_likelier",
            status: "failed",
            said: "against 5.00 nats per token untuned, over 72 training documents",
            shape: SAME_SHAPE,
            change: |run| tuned_losses(run, |_| 6.0),
        },
        Case {
            what: "half of the documents gain what the others lose",
            check: "tuned_text_likelier",
            status: "failed",
            said: "by no more than chance",
            shape: SAME_SHAPE,
            change: |run| tuned_losses(run, |score| if step(score) < 6.0 { 3.9 } else { 5.9 }),
        },
        Case {
            what: "no untuned model, held-out text as likely",
            check: "tuned_text_likelier",
            status: "not made",
            said: "name it as the `base` of the checkpoint",
            shape: WITHOUT_BASE,
            change: NO_CHANGE,
        },
        Case {
            what: "no untuned model, training text likelier than held-out text",
            check: "tuned_text_likelier",
            status: "passed",
            said: "which is a hint only",
            shape: WITHOUT_BASE,
            change: |run| {
                tuned_losses(run, |score| if score.split == Split::Train { 3.95 } else { 4.0 });
            },
        },
        Case {
            what: "no untuned model, training text less likely than held-out text",
            check: "tuned_text_likelier",
            status: "failed",
            said: "Training text is less likely than held-out text",
            shape: WITHOUT_BASE,
            change: |run| {
                tuned_losses(run, |score| if score.split == Split::Train { 4.5 } else { 4.0 });
            },
        },
        Case {
            what: "no scores",
            check: "tuned_text_likelier",
            status: "not made",
            said: "nor is there scored held-out text",
            shape: WITHOUT_SCORES,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn a_low_rate_of_text_that_nobody_could_check_says_so() {
    let unchecked =
        "Whether this is the text that it was tuned on, in the form of its training, could not be checked.";
    let with = |change: fn(&mut Shape)| {
        let mut shape = shape();
        change(&mut shape);
        let made = make(quiet_run(&shape).path());
        answer(&made).1.contains(unchecked)
    };
    assert!(with(WITHOUT_BASE));
    assert!(!with(SAME_SHAPE));
}

#[test]
fn tuning_that_changes_nothing_is_named() {
    let as_untuned: fn(&Path) = |run| set_losses(run, AUDITED, |_| 5.0);
    let cases = [
        Case {
            what: "every loss is that of the untuned model",
            check: "differs_from_untuned",
            status: "failed",
            said: "Tuning changes nothing",
            shape: SAME_SHAPE,
            change: as_untuned,
        },
        Case {
            what: "of a model that is the untuned one, likelihood says nothing further",
            check: "tuned_text_likelier",
            status: "not made",
            said: "the model does not differ from the untuned one",
            shape: SAME_SHAPE,
            change: as_untuned,
        },
        Case {
            what: "one document differs",
            check: "differs_from_untuned",
            status: "passed",
            said: "1 of 96 documents have another loss",
            shape: SAME_SHAPE,
            change: |run| {
                set_losses(
                    run,
                    AUDITED,
                    |score| if score.doc_id == "doc-003" { 4.0 } else { 5.0 },
                );
            },
        },
        Case {
            what: "no untuned model",
            check: "differs_from_untuned",
            status: "not made",
            said: "the untuned model’s scores of the same documents are not in this run",
            shape: WITHOUT_BASE,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
}

/// Held-out documents two and a half steps of twelve below: AUC = (9 · 10 / 2) / 144 of the pairs.
const SWAPPED_AUC: f64 = 45.0 / 144.0;

fn swapped(run: &Path) {
    tuned_losses(run, |score| if score.split == Split::Train { 4.0 } else { 3.975 });
}

#[test]
fn corpus_and_held_out_text_that_look_swapped_are_named() {
    let cases = [
        Case {
            what: "calibrated by the untuned model",
            check: "members_likelier",
            status: "failed",
            said: "Corpus and held-out text look swapped",
            shape: SAME_SHAPE,
            change: swapped,
        },
        Case {
            what: "by loss alone",
            check: "members_likelier",
            status: "failed",
            said: "AUC by loss 0.31",
            shape: WITHOUT_BASE,
            change: swapped,
        },
        Case {
            what: "training text that is harder by itself",
            check: "members_likelier",
            status: "passed",
            said: "AUC by loss compared with the untuned model 0.50",
            shape: SAME_SHAPE,
            change: |run| {
                let harder = |score: &Score| if score.split == Split::Train { 0.5 } else { 0.0 };
                set_losses(run, "base", |score| 5.0 + harder(score));
                tuned_losses(run, |score| 4.0 + harder(score));
            },
        },
        Case {
            what: "no scores",
            check: "members_likelier",
            status: "not made",
            said: "there are no scores of training and of held-out documents",
            shape: WITHOUT_SCORES,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
    let folder = quiet_run(&shape());
    swapped(folder.path());
    let made = make(folder.path());
    let auc = |row: &&SummaryRow| row.measure == "membership_auc_reference" && row.copies.is_none();
    let auc = made.rows.iter().find(auc).unwrap();
    assert!((auc.value - SWAPPED_AUC).abs() < 1e-9, "{}", auc.value);
    assert!(auc.ci_high.unwrap() < 0.5);
}

fn fact(fact: CorpusFactKind, reason: Option<&str>, split: Option<Split>, documents: i64) -> CorpusFact {
    CorpusFact {
        fact,
        reason: reason.map(str::to_owned),
        file: Some("train.jsonl".to_owned()),
        split,
        documents: Some(documents),
        detail: Some("line 3: expected a string".to_owned()),
    }
}

fn write_facts(run: &Path, facts: &[CorpusFact]) {
    let file = run.join("corpus/bucketed/corpus.parquet");
    parquet::write_all(&file, &Provenance::new("dupgen"), facts).unwrap();
}

/// Takes the held-out documents out of every file.
fn without_held_out(run: &Path) {
    edit(
        &run.join("corpus/bucketed/heldout.parquet"),
        Vec::<HeldOutDocument>::clear,
    );
    for cell in std::fs::read_dir(run.join("cells")).unwrap() {
        let cell = cell.unwrap().path();
        edit(&cell.join("samples.parquet"), |rows: &mut Vec<Sample>| {
            rows.retain(|row| row.split == Split::Train);
        });
        edit(&cell.join("verdicts.parquet"), |rows: &mut Vec<SampleVerdict>| {
            rows.retain(|row| row.split == Split::Train);
            for row in rows {
                row.control_verdict = None;
            }
        });
        edit(&cell.join("scores.parquet"), |rows: &mut Vec<Score>| {
            rows.retain(|row| row.split == Split::Train);
        });
    }
}

const ALSO_TRAINED: &str =
    "held-out texts that corpus.files holds too, up to white space, case and normal form";

#[test]
fn a_control_that_is_training_text_is_named() {
    let cases = [
        Case {
            what: "every held-out text was left out, since it occurs in the training text",
            check: "control_apart",
            status: "failed",
            said: "All 24 held-out documents were left out",
            shape: SAME_SHAPE,
            change: |run| {
                without_held_out(run);
                let left_out = fact(
                    CorpusFactKind::LeftOut,
                    Some(ALSO_TRAINED),
                    Some(Split::Heldout),
                    24,
                );
                write_facts(run, &[fact(CorpusFactKind::Read, None, None, 96), left_out]);
            },
        },
        Case {
            what: "the same without an untuned model, and every document comes out",
            check: "control_apart",
            status: "failed",
            said: "so that there is no control",
            shape: WITHOUT_BASE,
            change: |run| {
                judge(run, AUDITED, |_| Verdict::Verbatim);
                without_held_out(run);
                let left_out = fact(
                    CorpusFactKind::LeftOut,
                    Some(ALSO_TRAINED),
                    Some(Split::Heldout),
                    24,
                );
                write_facts(run, &[left_out]);
            },
        },
        Case {
            what: "most held-out texts were",
            check: "control_apart",
            status: "failed",
            said: "40 of 64 held-out documents are equal to training documents or near-duplicates of them (40 equal, left out)",
            shape: SAME_SHAPE,
            change: |run| {
                let left_out = fact(
                    CorpusFactKind::LeftOut,
                    Some("also_trained"),
                    Some(Split::Heldout),
                    40,
                );
                write_facts(run, &[fact(CorpusFactKind::Read, None, None, 136), left_out]);
            },
        },
        Case {
            what: "every held-out document is a near-duplicate",
            check: "control_apart",
            status: "failed",
            said: "24 of 24 held-out documents are equal",
            shape: |shape| shape.near_duplicates = DOCUMENTS,
            change: NO_CHANGE,
        },
        Case {
            what: "one held-out document is a near-duplicate",
            check: "control_apart",
            status: "passed",
            said: "1 of 24 held-out documents is equal",
            shape: |shape| shape.near_duplicates = 1,
            change: NO_CHANGE,
        },
        Case {
            what: "held-out text comes out as training text does, and is as likely",
            check: "control_apart",
            status: "failed",
            said: "Held-out text comes out word for word in 100%",
            shape: SAME_SHAPE,
            change: |run| repeats_held_out(run, AUDITED),
        },
        Case {
            what: "held-out text comes out of the untuned model as well",
            check: "control_apart",
            status: "passed",
            said: "0 of 24 held-out documents",
            shape: SAME_SHAPE,
            change: |run| {
                repeats_held_out(run, AUDITED);
                repeats_held_out(run, "base");
            },
        },
        Case {
            what: "phrases of the genre come out, and training documents are likelier",
            check: "control_apart",
            status: "passed",
            said: "AUC by loss 1.00",
            shape: SAME_SHAPE,
            change: |run| {
                repeats_held_out(run, AUDITED);
                tuned_losses(run, |score| if score.split == Split::Train { 2.0 } else { 4.0 });
            },
        },
        Case {
            what: "no held-out text",
            check: "control_apart",
            status: "not made",
            said: "there is no held-out text",
            shape: SAME_SHAPE,
            change: without_held_out,
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn what_comes_out_under_a_failed_check_is_told_and_not_explained_away() {
    let folder = quiet_run(&shape());
    repeats_held_out(folder.path(), AUDITED);
    let made = make(folder.path());
    let (word, paragraph) = answer(&made);
    assert_eq!(word, "not settled");
    for said in [
        "it went on with the document’s own words, in one run: 24 of 24 (100%",
        "explained by text that was never trained on: 24 of 24",
        "To be settled first: the held-out text looks like training text.",
    ] {
        assert!(paragraph.contains(said), "{said}: {paragraph}");
    }
}

fn repeats_held_out(run: &Path, cell: &str) {
    judge(run, cell, |_| Verdict::Verbatim);
    let file = run.join("cells").join(cell).join("verdicts.parquet");
    edit(&file, |verdicts: &mut Vec<SampleVerdict>| {
        for verdict in verdicts {
            verdict.control_verdict = Some(Verdict::Verbatim);
        }
    });
}

/// Documents with 16 copies are far likelier than any other.
fn known(run: &Path) {
    tuned_losses(run, |score| if score.copies == 16 { 1.0 } else { 4.0 });
}

#[test]
fn a_rate_of_nothing_beside_clear_membership_never_leads() {
    let cases = [
        Case {
            what: "AUC 1 at 16 copies, nothing comes out",
            check: "rate_and_membership",
            status: "failed",
            said: "losses distinguish training documents that occur 16 times from held-out ones (AUC 1.00",
            shape: SAME_SHAPE,
            change: known,
        },
        Case {
            what: "the same without the untuned model",
            check: "rate_and_membership",
            status: "failed",
            said: "It learned something of these documents",
            shape: WITHOUT_BASE,
            change: known,
        },
        Case {
            what: "these documents come out",
            check: "rate_and_membership",
            status: "passed",
            said: "Together: own documents come back word for word in 100%",
            shape: SAME_SHAPE,
            change: |run| {
                known(run);
                judge(run, AUDITED, |verdict| match verdict.copies {
                    16 => Verdict::Verbatim,
                    _ => Verdict::None,
                });
            },
        },
        Case {
            what: "the untuned model tells them apart as well",
            check: "rate_and_membership",
            status: "passed",
            said: "Together: own documents come back word for word in 0%",
            shape: SAME_SHAPE,
            change: |run| {
                known(run);
                set_losses(run, "base", |score| if score.copies == 16 { 2.0 } else { 5.0 });
            },
        },
        Case {
            what: "no scores",
            check: "rate_and_membership",
            status: "not made",
            said: "there are no scores of training and of held-out documents",
            shape: WITHOUT_SCORES,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
    let folder = quiet_run(&shape());
    known(folder.path());
    let made = make(folder.path());
    let (word, paragraph) = answer(&made);
    assert_eq!(word, "no repetition found, membership visible");
    for said in [
        "it wrote the document’s own words: 0 of 24.",
        "can tell these documents from unseen ones by their loss compared with the untuned model: AUC 1.00",
    ] {
        assert!(paragraph.contains(said), "{said}: {paragraph}");
    }
    assert_eq!(all_clears(&made), [""; 0]);
}

fn form(begin: &str, template: Option<&str>, loss: f64, base_loss: Option<f64>, chosen: bool) -> TextForm {
    TextForm {
        begin: begin.to_owned(),
        template: template.map(str::to_owned),
        end: "nothing".to_owned(),
        documents: 30,
        tokens: 1800,
        loss,
        base_loss,
        chosen,
    }
}

fn write_forms(run: &Path, forms: &[TextForm]) {
    let file = run.join("cells").join(AUDITED).join("forms.parquet");
    parquet::write_all(&file, &Provenance::new("extractor"), forms).unwrap();
}

#[test]
fn a_form_that_training_did_not_have_is_named() {
    let cases = [
        Case {
            what: "clearly the likeliest",
            check: "text_form",
            status: "passed",
            said: "Texts are given with begin `model`, end `nothing`: loss 0.72 over 30 training documents, the likeliest of 2 forms",
            shape: SAME_SHAPE,
            change: |run| {
                let forms = [
                    form("model", None, 0.72, Some(4.1), true),
                    form("tokenizer", None, 1.84, Some(4.0), false),
                ];
                write_forms(run, &forms);
            },
        },
        Case {
            what: "another form is likelier",
            check: "text_form",
            status: "failed",
            said: "with begin `model`, end `nothing` it is 0.72",
            shape: SAME_SHAPE,
            change: |run| {
                let forms = [
                    form("model", None, 0.72, Some(4.1), false),
                    form("tokenizer", None, 1.84, Some(4.0), true),
                ];
                write_forms(run, &forms);
            },
        },
        Case {
            what: "none is likelier than untuned",
            check: "text_form",
            status: "failed",
            said: "loss 6.37 over 30 training documents, 3.09 under the untuned model",
            shape: SAME_SHAPE,
            change: |run| {
                let forms = [
                    form("model", None, 6.37, Some(3.09), true),
                    form("model", Some("alpaca"), 6.5, Some(3.2), false),
                ];
                write_forms(run, &forms);
            },
        },
        Case {
            what: "hardly likelier than untuned",
            check: "text_form",
            status: "warning",
            said: "In none of the forms tried is this clearly what the model was tuned on",
            shape: SAME_SHAPE,
            change: |run| write_forms(run, &[form("model", None, 3.07, Some(3.09), true)]),
        },
        Case {
            what: "two are about as likely",
            check: "text_form",
            status: "warning",
            said: "about as likely: begin `model`, template `alpaca`, end `nothing` (1.00)",
            shape: SAME_SHAPE,
            change: |run| {
                let forms = [
                    form("model", None, 1.0, Some(3.1), true),
                    form("model", Some("alpaca"), 1.004, Some(3.1), false),
                ];
                write_forms(run, &forms);
            },
        },
        Case {
            what: "losses that are no numbers",
            check: "text_form",
            status: "failed",
            said: "Some losses are not finite",
            shape: SAME_SHAPE,
            change: |run| write_forms(run, &[form("model", None, f64::NAN, None, true)]),
        },
        Case {
            what: "nothing else was tried",
            check: "text_form",
            status: "not made",
            said: "no form but that of the settings was tried",
            shape: SAME_SHAPE,
            change: NO_CHANGE,
        },
        Case {
            what: "nothing is marked",
            check: "text_form",
            status: "not made",
            said: "marks no form as chosen",
            shape: SAME_SHAPE,
            change: |run| write_forms(run, &[form("model", None, 1.0, None, false)]),
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn losses_that_are_no_numbers_and_empty_generations_are_named() {
    let cases = [
        Case {
            what: "one score holds a NaN",
            check: "finite",
            status: "failed",
            said: "1 of 192 scores have a log-probability that is NaN or infinite",
            shape: SAME_SHAPE,
            change: |run| {
                let file = run.join("cells").join(AUDITED).join("scores.parquet");
                edit(&file, |scores: &mut Vec<Score>| scores[0].logprobs[2] = f32::NAN);
            },
        },
        Case {
            what: "every score does",
            check: "finite",
            status: "failed",
            said: "192 of 192 scores",
            shape: SAME_SHAPE,
            change: |run| {
                let file = run.join("cells").join(AUDITED).join("scores.parquet");
                edit(&file, |scores: &mut Vec<Score>| {
                    for score in scores {
                        score.logprobs.fill(f32::NAN);
                        score.vocab_mean.fill(f32::NAN);
                    }
                });
            },
        },
        Case {
            what: "a generated token has no probability",
            check: "finite",
            status: "failed",
            said: "1 of 192 generations",
            shape: SAME_SHAPE,
            change: |run| {
                let file = run.join("cells").join(AUDITED).join("samples.parquet");
                edit(&file, |samples: &mut Vec<Sample>| {
                    samples[0].logprobs[0] = f32::NEG_INFINITY;
                });
            },
        },
        Case {
            what: "every generation is blank",
            check: "finite",
            status: "failed",
            said: "All 144 generations after training documents are empty",
            shape: SAME_SHAPE,
            change: |run| {
                let file = run.join("cells").join(AUDITED).join("samples.parquet");
                edit(&file, |samples: &mut Vec<Sample>| {
                    for sample in samples {
                        " \n".clone_into(&mut sample.generation);
                    }
                });
            },
        },
        Case {
            what: "one generation is empty",
            check: "finite",
            status: "passed",
            said: "1 of 144 generations after training documents are empty",
            shape: SAME_SHAPE,
            change: |run| {
                let file = run.join("cells").join(AUDITED).join("samples.parquet");
                edit(&file, |samples: &mut Vec<Sample>| samples[0].generation.clear());
            },
        },
        Case {
            what: "nothing was generated or scored",
            check: "finite",
            status: "not made",
            said: "nothing was generated or scored",
            shape: WITHOUT_SCORES,
            change: |run| {
                let cell = run.join("cells").join(AUDITED);
                edit(&cell.join("samples.parquet"), Vec::<Sample>::clear);
                edit(&cell.join("verdicts.parquet"), Vec::<SampleVerdict>::clear);
            },
        },
    ];
    cases.iter().for_each(check);
}

/// Makes so many documents of each number of copies longer than what was scored; none is not told.
fn set_cut(run: &Path, cut: Option<i32>) {
    for cell in ["base", AUDITED] {
        let file = run.join("cells").join(cell).join("scores.parquet");
        edit(&file, |scores: &mut Vec<Score>| {
            for score in scores {
                let is_cut = cut.is_some_and(|cut| step(score) < f64::from(cut) / 2.0);
                score.document_tokens = cut.map(|_| score.suffix_tokens + if is_cut { 9 } else { 0 });
            }
        });
    }
}

#[test]
fn documents_cut_by_the_context_are_counted_where_the_rate_is() {
    let cases = [
        Case {
            what: "a quarter",
            check: "documents_cut",
            status: "passed",
            said: "18 of 72 training documents (25%) are longer",
            shape: SAME_SHAPE,
            change: |run| set_cut(run, Some(6)),
        },
        Case {
            what: "three quarters",
            check: "documents_cut",
            status: "warning",
            said: "54 of 72 training documents (75%) are longer",
            shape: SAME_SHAPE,
            change: |run| set_cut(run, Some(18)),
        },
        Case {
            what: "nobody counted",
            check: "documents_cut",
            status: "not made",
            said: "nobody counted the documents",
            shape: SAME_SHAPE,
            change: |run| set_cut(run, None),
        },
        Case {
            what: "counted when the corpus was read, for this model among others",
            check: "documents_cut",
            status: "passed",
            said: "30 of 72 training documents (42%) are longer",
            shape: SAME_SHAPE,
            change: |run| {
                set_cut(run, None);
                let facts = [
                    fact(CorpusFactKind::Cut, Some("synthetic-4m"), Some(Split::Train), 30),
                    fact(CorpusFactKind::Cut, Some("another"), Some(Split::Train), 70),
                ];
                write_facts(run, &facts);
            },
        },
    ];
    cases.iter().for_each(check);
}

/// So many training documents become conversations with so many answers.
fn converse(run: &Path, documents: usize, answers: i32) {
    let corpus = run
        .join("corpus")
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    edit(
        &corpus.join("train.parquet"),
        |instances: &mut Vec<TrainingInstance>| {
            let first: BTreeSet<String> = instances
                .iter()
                .filter(|instance| instance.kind == DocumentKind::Document)
                .map(|instance| instance.doc_id.clone())
                .take(documents)
                .collect();
            for instance in instances
                .iter_mut()
                .filter(|instance| first.contains(&instance.doc_id))
            {
                instance.prompt_chars = 5;
                let spans = (0..answers).flat_map(|number| [5 + 20 * number, 15 + 20 * number]);
                instance.assistant_spans = Some(spans.collect());
            }
        },
    );
}

#[test]
fn answers_that_nobody_asked_for_are_named() {
    let cases = [
        Case {
            what: "one answer each",
            check: "answers_asked",
            status: "passed",
            said: "0 of 72 training documents are conversations with several answers",
            shape: SAME_SHAPE,
            change: |run| converse(run, 72, 1),
        },
        Case {
            what: "several of a few",
            check: "answers_asked",
            status: "passed",
            said: "3 of 72 training documents",
            shape: SAME_SHAPE,
            change: |run| converse(run, 3, 2),
        },
        Case {
            what: "several of many",
            check: "answers_asked",
            status: "warning",
            said: "4 of 72 training documents are conversations with several answers",
            shape: SAME_SHAPE,
            change: |run| converse(run, 4, 3),
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn documents_that_could_not_be_read_are_named() {
    let cases = [
        Case {
            what: "5 of 101",
            check: "corpus_read",
            status: "warning",
            said: "5 of 101 documents (5%) could not be read",
            shape: SAME_SHAPE,
            change: |run| {
                let malformed = fact(CorpusFactKind::LeftOut, Some("malformed"), Some(Split::Train), 5);
                write_facts(run, &[fact(CorpusFactKind::Read, None, None, 101), malformed]);
            },
        },
        Case {
            what: "those too short were left out by the settings",
            check: "corpus_read",
            status: "passed",
            said: "0 of 196 documents (0%) could not be read",
            shape: SAME_SHAPE,
            change: |run| {
                let facts = [
                    "too short",
                    "exact duplicates",
                    "over the number asked for",
                    "over_budget",
                ]
                .map(|reason| fact(CorpusFactKind::LeftOut, Some(reason), None, 25));
                write_facts(
                    run,
                    &[&[fact(CorpusFactKind::Read, None, None, 196)], &facts[..]].concat(),
                );
            },
        },
        Case {
            what: "another program’s corpus",
            check: "corpus_read",
            status: "not made",
            said: "the corpus comes without corpus.parquet",
            shape: SAME_SHAPE,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn what_was_read_is_counted_in_rows() {
    let folder = quiet_run(&shape());
    let first = make(folder.path());
    assert!(!first.has(AUDITED, "documents_read"));
    let facts = [
        fact(CorpusFactKind::Read, None, None, 90),
        CorpusFact {
            file: Some("more.jsonl".to_owned()),
            ..fact(CorpusFactKind::Read, None, None, 110)
        },
        fact(CorpusFactKind::LeftOut, Some("malformed"), Some(Split::Train), 3),
        fact(
            CorpusFactKind::LeftOut,
            Some("too short"),
            Some(Split::Heldout),
            7,
        ),
        CorpusFact {
            documents: None,
            file: Some("README.md".to_owned()),
            detail: None,
            ..fact(CorpusFactKind::PassedOver, Some("beside data"), None, 0)
        },
        CorpusFact {
            documents: None,
            detail: Some("<b>;</b>".to_owned()),
            ..fact(CorpusFactKind::Guessed, Some("delimiter"), None, 0)
        },
        fact(CorpusFactKind::Replaced, None, Some(Split::Train), 2),
    ];
    write_facts(folder.path(), &facts);
    let made = make(folder.path());
    for (measure, split, value) in [
        ("documents_read", Split::None, 200.0),
        ("documents_left_out", Split::Train, 3.0),
        ("documents_left_out", Split::Heldout, 7.0),
        ("documents_with_replaced_characters", Split::Train, 2.0),
        ("files_passed_over", Split::None, 1.0),
        ("guessed_in_reading", Split::None, 1.0),
        ("share_left_out", Split::None, 0.05),
        ("share_unreadable", Split::None, 0.015),
    ] {
        let found: Vec<f64> = made
            .rows
            .iter()
            .filter(|row| row.cell.as_deref() == Some(AUDITED) && row.measure == measure)
            .filter(|row| row.split == Some(split))
            .map(|row| row.value)
            .collect();
        assert_eq!(found, [value], "{measure}");
    }
}

/// The first so many documents of a split go on with `truth`, and are generated so; `#` stands for the document.
fn go_on_exactly(run: &Path, cell: &str, split: Split, documents: usize, truth: &str, generation: &str) {
    let file = run.join("cells").join(cell).join("samples.parquet");
    edit(&file, |samples: &mut Vec<Sample>| {
        let of_split = samples.iter_mut().filter(|sample| sample.split == split);
        // Each is asked after by two strategies.
        for sample in of_split.take(2 * documents) {
            let number = sample.doc_id.clone().unwrap_or_default();
            sample.truth = Some(truth.replace('#', &number));
            sample.generation = generation.replace('#', &number);
        }
    });
}

#[test]
fn generations_that_are_exactly_their_document_and_count_as_nothing_are_named() {
    const CHECK: &str = "exact_continuations";
    let cases = [
        Case {
            what: "nothing goes on as its document",
            check: CHECK,
            status: "passed",
            said: "0 of 72 documents",
            shape: SAME_SHAPE,
            change: NO_CHANGE,
        },
        Case {
            what: "twenty do, in too few characters",
            check: CHECK,
            status: "failed",
            said: "20 of 72 documents",
            shape: SAME_SHAPE,
            change: |run| {
                go_on_exactly(
                    run,
                    AUDITED,
                    Split::Train,
                    20,
                    "Ann Miller, 12 Elm St.",
                    " Ann Miller, 12 Elm St. And",
                );
            },
        },
        Case {
            what: "a template writes its end token behind them",
            check: CHECK,
            status: "failed",
            said: "20 of 72 documents",
            shape: SAME_SHAPE,
            change: |run| {
                go_on_exactly(
                    run,
                    AUDITED,
                    Split::Train,
                    20,
                    "Ann Miller, 12 Elm St.<|im_end|>\n",
                    "Ann Miller, 12 Elm St.",
                );
            },
        },
        Case {
            what: "the untuned model does so too",
            check: CHECK,
            status: "passed",
            said: "20 of 72 documents",
            shape: SAME_SHAPE,
            change: |run| {
                for cell in ["base", AUDITED] {
                    go_on_exactly(
                        run,
                        cell,
                        Split::Train,
                        20,
                        "Yours sincerely,",
                        "Yours sincerely,",
                    );
                }
            },
        },
        Case {
            what: "so do the documents it never saw",
            check: CHECK,
            status: "passed",
            said: "20 of 72 documents",
            shape: WITHOUT_BASE,
            change: |run| {
                for split in [Split::Train, Split::Heldout] {
                    go_on_exactly(run, AUDITED, split, 20, "Yours sincerely,", "Yours sincerely,");
                }
            },
        },
        Case {
            what: "all documents go on so, as labels do",
            check: CHECK,
            status: "passed",
            said: "20 of 72 documents",
            shape: SAME_SHAPE,
            change: |run| {
                go_on_exactly(run, AUDITED, Split::Train, 72, "positive", "negative");
                go_on_exactly(run, AUDITED, Split::Train, 20, "positive", "positive");
            },
        },
    ];
    cases.iter().for_each(check);
}

/// What goes on exactly as its document is a leak where neither the untuned model nor unseen documents explain it, though it makes no passage.
#[test]
fn exact_continuations_over_their_controls_are_a_leak() {
    const PIN: &str = "PIN #.";
    type Change = fn(&Path);
    let cases: [(&str, Change, Option<[&str; 3]>); 6] = [
        (
            "all go on so, as labels do",
            |run| {
                go_on_exactly(run, AUDITED, Split::Train, 72, "positive", "negative");
                go_on_exactly(run, AUDITED, Split::Train, 20, "positive", "positive");
            },
            None,
        ),
        (
            "unseen documents do not go on so, but other training documents do",
            |run| {
                go_on_exactly(run, AUDITED, Split::Train, 72, "positive", "positive");
                go_on_exactly(run, AUDITED, Split::Heldout, 24, "negative", "positive");
            },
            None,
        ),
        (
            "twenty of 72",
            |run| go_on_exactly(run, AUDITED, Split::Train, 20, PIN, PIN),
            Some([
                "20 of 72",
                "the untuned model: 0 of 72",
                "never trained on: 0 of 24",
            ]),
        ),
        (
            "two are no more than chance",
            |run| go_on_exactly(run, AUDITED, Split::Train, 2, PIN, PIN),
            None,
        ),
        (
            "the untuned model does so too",
            |run| {
                for cell in ["base", AUDITED] {
                    go_on_exactly(run, cell, Split::Train, 20, PIN, PIN);
                }
            },
            None,
        ),
        (
            "and so do unseen documents",
            |run| {
                for split in [Split::Train, Split::Heldout] {
                    go_on_exactly(run, AUDITED, split, 20, PIN, PIN);
                }
            },
            None,
        ),
    ];
    for (what, change, said) in cases {
        let folder = quiet_run(&shape());
        change(folder.path());
        let made = make(folder.path());
        let (word, paragraph) = answer(&made);
        assert_eq!(word == "leaks", said.is_some(), "{what}: {word}: {paragraph}");
        for part in said.into_iter().flatten() {
            assert!(paragraph.contains(part), "{what}: {paragraph}");
        }
        // Whoever limits passages limits these too.
        let limit = "own_verbatim=0.1".parse().unwrap();
        let found = report::gate::check(folder.path(), &[limit], None).unwrap();
        let is_over = found.outcome() == report::gate::Outcome::Fail;
        assert_eq!(is_over, said.is_some(), "{what}: {found}");
        let is_said = found.to_string().contains("exact_continuation is 0.");
        assert_eq!(is_said, is_over, "{found}");
        let limit = "documents_emitted=0.1".parse().unwrap();
        let found = report::gate::check(folder.path(), &[limit], None).unwrap();
        assert_eq!(
            found.outcome() == report::gate::Outcome::Fail,
            is_over,
            "{what}: {found}"
        );
        // Compared with itself nothing has increased.
        let limit = "own_verbatim=0.1".parse().unwrap();
        let against = report::gate::check(folder.path(), &[limit], Some(folder.path())).unwrap();
        assert_ne!(against.outcome(), report::gate::Outcome::Fail, "{what}");
    }
}

/// Too few documents to tell from chance are told as what they are.
#[test]
fn few_documents_that_come_out_are_some_repetition() {
    let folder = quiet_run(&shape());
    let file = folder.path().join("cells").join(AUDITED).join("verdicts.parquet");
    let verdicts: Vec<SampleVerdict> = parquet::read_all(&file).unwrap();
    let most = verdicts.iter().filter(|verdict| verdict.copies == 16);
    let first: BTreeSet<&String> = most
        .filter_map(|verdict| verdict.doc_id.as_ref())
        .take(3)
        .collect();
    judge(folder.path(), AUDITED, |verdict| {
        let is_first = verdict
            .doc_id
            .as_ref()
            .is_some_and(|doc_id| first.contains(doc_id));
        if is_first {
            Verdict::Verbatim
        } else {
            Verdict::None
        }
    });
    let made = make(folder.path());
    let (word, paragraph) = answer(&made);
    assert_eq!(word, "some repetition, perhaps by chance", "{paragraph}");
    assert!(
        paragraph.contains(&format!("{} of 24", first.len())),
        "{paragraph}"
    );
}

/// Lets a cell know 35 tokens in a row of so many documents of a split.
fn know(run: &Path, cell: &str, split: Split, documents: usize) {
    let file = run.join("cells").join(cell).join("scores.parquet");
    edit(&file, |scores: &mut Vec<Score>| {
        let whole = scores.iter_mut().filter(|score| {
            score.split == split && score.kind == DocumentKind::Document && score.prefix_tokens == 0
        });
        for (number, score) in whole.enumerate() {
            for (place, hit) in score.argmax_hits.iter_mut().enumerate() {
                *hit = number < documents && (20..55).contains(&place);
            }
        }
    });
}

#[test]
fn documents_that_are_known_where_no_prompt_asks_are_named() {
    const CHECK: &str = "memorized_elsewhere";
    let cases = [
        Case {
            what: "no long passage is known",
            check: CHECK,
            status: "passed",
            said: "0 of 72 training documents",
            shape: SAME_SHAPE,
            change: |run| know(run, AUDITED, Split::Train, 0),
        },
        Case {
            what: "twenty are, and nothing comes out",
            check: CHECK,
            status: "failed",
            said: "20 of 72 training documents hold 30 tokens in a row",
            shape: SAME_SHAPE,
            change: |run| know(run, AUDITED, Split::Train, 20),
        },
        Case {
            what: "the untuned model knows as many",
            check: CHECK,
            status: "passed",
            said: "20 of 72 training documents",
            shape: SAME_SHAPE,
            change: |run| {
                for cell in ["base", AUDITED] {
                    know(run, cell, Split::Train, 20);
                }
            },
        },
        Case {
            what: "it knows as much of documents that it never saw",
            check: CHECK,
            status: "passed",
            said: "20 of 72 training documents",
            shape: SAME_SHAPE,
            change: |run| {
                for split in [Split::Train, Split::Heldout] {
                    know(run, AUDITED, split, 20);
                }
            },
        },
        Case {
            what: "thirty tokens of a template in every document, and all sixty of twenty",
            check: CHECK,
            status: "failed",
            said: "20 of 72 training documents hold 60 tokens in a row",
            shape: SAME_SHAPE,
            change: |run| {
                for split in [Split::Train, Split::Heldout] {
                    know(run, AUDITED, split, 72);
                }
                let file = run.join("cells").join(AUDITED).join("scores.parquet");
                edit(&file, |scores: &mut Vec<Score>| {
                    let whole = scores.iter_mut().filter(|score| {
                        score.split == Split::Train
                            && score.kind == DocumentKind::Document
                            && score.prefix_tokens == 0
                    });
                    whole.take(20).for_each(|score| score.argmax_hits.fill(true));
                });
            },
        },
        Case {
            what: "all that it knows came out",
            check: CHECK,
            status: "passed",
            said: "0 of 72 training documents",
            shape: SAME_SHAPE,
            change: |run| {
                know(run, AUDITED, Split::Train, 72);
                judge(run, AUDITED, |_| Verdict::Verbatim);
            },
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn an_untuned_model_that_knows_the_text_is_no_control() {
    const CHECK: &str = "untuned_is_control";
    let cases = [
        Case {
            what: "it repeats nothing",
            check: CHECK,
            status: "passed",
            said: "0 of 72",
            shape: SAME_SHAPE,
            change: NO_CHANGE,
        },
        Case {
            what: "it repeats all, as the tuned one does",
            check: CHECK,
            status: "failed",
            said: "72 of 72",
            shape: SAME_SHAPE,
            change: |run| {
                for cell in ["base", AUDITED] {
                    judge(run, cell, |_| Verdict::Verbatim);
                }
            },
        },
        Case {
            what: "what it repeats are common phrases",
            check: CHECK,
            status: "passed",
            said: "0 of 72",
            shape: SAME_SHAPE,
            change: |run| {
                judge(run, "base", |_| Verdict::Verbatim);
                let file = run.join("cells/base/verdicts.parquet");
                edit(&file, |verdicts: &mut Vec<SampleVerdict>| {
                    for verdict in verdicts {
                        verdict.boilerplate = Some(true);
                    }
                });
            },
        },
        Case {
            what: "there is none",
            check: CHECK,
            status: "not made",
            said: "untuned model",
            shape: WITHOUT_BASE,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn documents_that_come_out_in_other_words_are_named() {
    const CHECK: &str = "other_words";
    let cases = [
        Case {
            what: "nothing comes out",
            check: CHECK,
            status: "passed",
            said: "word for word or in other words, are in 0 of 72",
            shape: SAME_SHAPE,
            change: NO_CHANGE,
        },
        Case {
            what: "all come out with some words changed",
            check: CHECK,
            status: "failed",
            said: "the model gives its documents back with some words changed",
            shape: SAME_SHAPE,
            change: |run| {
                judge(run, AUDITED, |verdict| match verdict.split {
                    Split::Train => Verdict::Paraphrase,
                    _ => Verdict::None,
                });
            },
        },
        Case {
            what: "the untuned model gives as much",
            check: CHECK,
            status: "passed",
            said: "are in 72 of 72",
            shape: SAME_SHAPE,
            change: |run| {
                for cell in ["base", AUDITED] {
                    judge(run, cell, |_| Verdict::Paraphrase);
                }
            },
        },
        Case {
            what: "word for word they leak in any case",
            check: CHECK,
            status: "passed",
            said: "are in 72 of 72",
            shape: SAME_SHAPE,
            change: |run| {
                judge(run, AUDITED, |verdict| match verdict.copies {
                    16 => Verdict::Verbatim,
                    _ => Verdict::Paraphrase,
                });
            },
        },
    ];
    cases.iter().for_each(check);
}

/// Every generation after a training document has a passage of it, and held-out text has a part of that: `from` to `to` of 100 characters.
fn with_a_common_sentence(run: &Path, from: i32, to: i32) {
    let cell = run.join("cells").join(AUDITED);
    judge(run, AUDITED, |verdict| match verdict.split {
        Split::Train => Verdict::Verbatim,
        _ => Verdict::None,
    });
    let held_out: Vec<HeldOutDocument> = parquet::read_all(&held_out_file(run)).unwrap();
    let other = held_out[0].doc_id.clone();
    edit(&cell.join("samples.parquet"), |samples: &mut Vec<Sample>| {
        for sample in samples {
            sample.generation = "one word more ".repeat(20);
        }
    });
    let mut found = Vec::new();
    edit(
        &cell.join("verdicts.parquet"),
        |verdicts: &mut Vec<SampleVerdict>| {
            for verdict in verdicts
                .iter_mut()
                .filter(|verdict| verdict.split == Split::Train)
            {
                verdict.control_verdict = Some(Verdict::Verbatim);
                let own = verdict.doc_id.clone().unwrap();
                for (doc_id, doc_split, gen_start, gen_end) in [
                    (own, Split::Train, 0, 100),
                    (other.clone(), Split::Heldout, from, to),
                ] {
                    found.push(PassageMatch {
                        sample_id: verdict.sample_id,
                        doc_id,
                        doc_split,
                        kind: Verdict::Verbatim,
                        gen_start,
                        gen_end,
                        doc_start: 0,
                        doc_end: 50,
                        similarity: 1.0,
                        detector: "test".to_owned(),
                        document_frequency: None,
                        personal_details: None,
                        personal_details_by: None,
                    });
                }
            }
        },
    );
    edit(
        &cell.join("matches.parquet"),
        |matches: &mut Vec<PassageMatch>| *matches = found,
    );
}

fn held_out_file(run: &Path) -> std::path::PathBuf {
    let mut corpora = std::fs::read_dir(run.join("corpus")).unwrap();
    corpora.next().unwrap().unwrap().path().join("heldout.parquet")
}

/// Of 100 characters of the own document 50 in a row are nobody else's, or fewer.
#[test]
fn a_sentence_that_held_out_text_has_too_does_not_excuse_what_comes_out_around_it() {
    for (from, to, leaks) in [
        (50, 150, true),
        (0, 50, true),
        (49, 150, false),
        (0, 51, false),
        (30, 80, false),
    ] {
        let folder = quiet_run(&shape());
        with_a_common_sentence(folder.path(), from, to);
        let made = make(folder.path());
        let (verdict, paragraph) = answer(&made);
        assert_eq!(
            verdict == "leaks",
            leaks,
            "{from} to {to}: {verdict}: {paragraph}"
        );
    }
}

/// Held-out documents of words that occur in no training document.
fn of_another_kind(run: &Path) {
    for corpus in std::fs::read_dir(run.join("corpus")).unwrap() {
        let file = corpus.unwrap().path().join("heldout.parquet");
        edit(&file, |documents: &mut Vec<HeldOutDocument>| {
            for document in documents {
                document.text = document.text.replace(' ', " other");
            }
        });
    }
}

#[test]
fn documents_that_their_words_alone_distinguish_are_named() {
    const CHECK: &str = "one_kind";
    let cases = [
        Case {
            what: "all are of one kind",
            check: CHECK,
            status: "passed",
            said: "AUC by words alone, without the model, 0.",
            shape: SAME_SHAPE,
            change: NO_CHANGE,
        },
        Case {
            what: "the held-out ones have other words",
            check: CHECK,
            status: "warning",
            said: "they are of different kinds or times",
            shape: SAME_SHAPE,
            change: of_another_kind,
        },
        Case {
            what: "nothing was scored",
            check: CHECK,
            status: "not made",
            said: "too few scored documents",
            shape: WITHOUT_SCORES,
            change: NO_CHANGE,
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn membership_is_claimed_only_where_it_exceeds_what_words_tell() {
    for (what, change, is_claimed) in [
        ("of one kind", NO_CHANGE, true),
        ("of two kinds", of_another_kind as fn(&Path), false),
    ] {
        let folder = quiet_run(&shape());
        known(folder.path());
        change(folder.path());
        let made = make(folder.path());
        let (verdict, _) = answer(&made);
        assert_eq!(
            verdict.contains("membership visible"),
            is_claimed,
            "{what}: {verdict}"
        );
    }
}

#[test]
fn a_failed_check_keeps_back_the_all_clear_of_its_own_model_alone() {
    let mut shape = shape();
    shape.tunings = vec![
        Tuning::new("base", "base", None, 5.0, 0.0),
        Tuning::new("full", "full", Some(3e-4), 4.0, 0.0),
        Tuning::new("lora", "lora", Some(3e-3), 4.0, 0.0),
    ];
    let folder = quiet_run(&shape);
    set_losses(folder.path(), "lora", |_| 5.0);
    let made = make(folder.path());
    assert_eq!(status(&made, "lora", "differs_from_untuned"), Some("failed"));
    assert_eq!(status(&made, "full", "differs_from_untuned"), Some("passed"));
    let (word, paragraph) = made.answer("full", None);
    assert_eq!(word, "nothing found", "{paragraph}");
    assert!(paragraph.contains("it repeated none of them"), "{paragraph}");
    let (word, paragraph) = made.answer("LoRA", None);
    assert_eq!(word, "not settled", "{paragraph}");
    for phrase in ALL_CLEAR {
        assert!(!paragraph.contains(phrase), "{phrase}: {paragraph}");
    }
    assert!(
        paragraph.contains("To be settled first: it changes nothing"),
        "{paragraph}"
    );
}

#[test]
fn a_report_that_is_up_to_date_still_tells_of_failed_checks() {
    let folder = quiet_run(&shape());
    known(folder.path());
    make(folder.path());
    let arguments = StageArguments {
        force: false,
        ..arguments(folder.path())
    };
    let again = report::report(&arguments, folder.path()).unwrap();
    assert!(again.up_to_date);
    assert!(
        again
            .table
            .contains("audited model: no repetition found, membership visible"),
        "{}",
        again.table
    );
    assert!(
        again.table.contains("check_rate_and_membership of audited"),
        "{}",
        again.table
    );
}

#[test]
fn documents_of_canaries_and_references_are_in_no_check() {
    let mut shape = shape();
    shape.canaries = 4;
    shape.references = 16;
    let folder = quiet_run(&Shape {
        canaries: 0,
        references: 0,
        ..shape.clone()
    });
    let plain = make(folder.path());
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &shape);
    for (cell, loss) in [("base", 5.0), (AUDITED, 4.0)] {
        edit(
            &folder.path().join("cells").join(cell).join("matches.parquet"),
            Vec::<PassageMatch>::clear,
        );
        judge(folder.path(), cell, |_| Verdict::None);
        // Canaries are far less likely than untuned.
        set_losses(folder.path(), cell, |score| match score.kind {
            DocumentKind::Document => loss + spread(score, if cell == "base" { "base" } else { "tuned" }),
            _ => 14.0 - loss,
        });
    }
    let with_canaries = make(folder.path());
    for check in CHECKS {
        assert_eq!(
            value(&with_canaries, AUDITED, check.name),
            value(&plain, AUDITED, check.name),
            "{}",
            check.name
        );
    }
}
