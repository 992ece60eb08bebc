//! `report check`: outcomes by hand, on summaries written row by row.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contract::records::{Split, SummaryRow};
use contract::{Provenance, parquet};
use report::gate::{Limit, Outcome, check};

/// A share of so many documents of a LoRA model, with a made-up interval.
fn share(measure: &str, value: f64, (low, high): (f64, f64), n: i64) -> SummaryRow {
    SummaryRow {
        cell: Some("cell".into()),
        corpus: None,
        model: "4m".into(),
        method: "LoRA <r 16>".into(),
        mode: "lora".into(),
        learning_rate: Some(1e-3),
        seed: Some(1),
        runs: 1,
        split: Some(Split::Train),
        strategy: Some("greedy".into()),
        measure: measure.into(),
        unit: "share".into(),
        value,
        ci_low: Some(low),
        ci_high: Some(high),
        interval: Some("wilson".into()),
        observations: n,
        n,
        n_of: "documents".into(),
        ..SummaryRow::default()
    }
}

fn summary(folder: &Path, rows: &[SummaryRow]) -> PathBuf {
    let file = folder.join("report/summary.parquet");
    parquet::write_all(&file, &Provenance::new("report"), rows).unwrap();
    folder.to_path_buf()
}

fn outcomes(rows: &[SummaryRow], limit: &str) -> Vec<(Outcome, Option<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let run = summary(folder.path(), rows);
    let found = check(&run, &[limit.parse().unwrap()], None).unwrap();
    let findings = found.findings.into_iter();
    findings
        .map(|finding| (finding.outcome, finding.reason))
        .collect()
}

#[test]
fn the_whole_interval_decides() {
    let rate = share("own_verbatim", 0.05, (0.02, 0.09), 100);
    for (limit, expected) in [
        ("own_verbatim=0.09", Outcome::Pass),
        ("own_verbatim=0.0899", Outcome::NotEnoughData),
        ("own_verbatim=0.02", Outcome::NotEnoughData),
        ("own_verbatim=0.0199", Outcome::Fail),
    ] {
        assert_eq!(
            outcomes(std::slice::from_ref(&rate), limit)[0].0,
            expected,
            "{limit}"
        );
    }
}

/// 1 − 0.05^(1/100) = 0.0295: none of 100 leaves up to 3%, and 299 are needed for 1%.
#[test]
fn none_of_a_hundred_is_not_enough_for_one_percent() {
    let none = share("own_verbatim", 0.0, (0.0, 1.0 - 0.05_f64.powf(0.01)), 100);
    let (outcome, reason) = outcomes(&[none], "own_verbatim=0.01").remove(0);
    assert_eq!(outcome, Outcome::NotEnoughData);
    assert_eq!(reason.unwrap(), "about 299 documents would decide, at this rate");
}

/// A model that was tuned elsewhere passes only where somebody could check that it was on this text.
#[test]
fn a_low_rate_of_text_that_may_be_another_is_not_enough() {
    let audited = SummaryRow {
        learning_rate: None,
        mode: "tuned".into(),
        ..share("own_verbatim", 0.0, (0.0, 0.01), 400)
    };
    let (outcome, reason) = outcomes(std::slice::from_ref(&audited), "own_verbatim=0.05").remove(0);
    assert_eq!(outcome, Outcome::NotEnoughData);
    assert!(reason.unwrap().contains("BASE"));
    // What is over the limit is, whatever text it is.
    assert_eq!(
        outcomes(
            &[SummaryRow {
                ci_low: Some(0.2),
                ..audited.clone()
            }],
            "own_verbatim=0.05"
        )[0]
        .0,
        Outcome::Fail
    );
    let checked = SummaryRow {
        measure: "check_tuned_text_likelier".into(),
        verdict: Some("passed".into()),
        value: 1.0,
        ..audited.clone()
    };
    assert_eq!(
        outcomes(&[audited, checked], "own_verbatim=0.05"),
        [(Outcome::Pass, None)]
    );
}

#[test]
fn what_is_no_evidence_never_passes() {
    let low = share("own_verbatim", 0.0, (0.0, 0.001), 5000);
    let without_interval = SummaryRow {
        ci_low: None,
        ci_high: None,
        ..low.clone()
    };
    let not_a_number = SummaryRow {
        ci_high: Some(f64::NAN),
        ..low.clone()
    };
    let lower_bound = SummaryRow {
        at_least: true,
        ..low.clone()
    };
    let check_that = |verdict: &str, cell: &str| SummaryRow {
        cell: Some(cell.into()),
        measure: "check_text_form".into(),
        verdict: Some(verdict.into()),
        ..low.clone()
    };
    for (rows, expected, reason) in [
        (vec![low.clone()], Outcome::Pass, ""),
        (vec![without_interval], Outcome::NotEnoughData, "interval"),
        (vec![not_a_number], Outcome::NotEnoughData, "interval"),
        (vec![lower_bound], Outcome::NotEnoughData, "lower bound"),
        (
            vec![low.clone(), check_that("failed", "cell")],
            Outcome::NotEnoughData,
            "check_text_form failed",
        ),
        (
            vec![low.clone(), check_that("failed", "another")],
            Outcome::Pass,
            "",
        ),
        (
            vec![low.clone(), check_that("warning", "cell")],
            Outcome::Pass,
            "",
        ),
    ] {
        let (outcome, found) = outcomes(&rows, "own_verbatim=0.01").remove(0);
        assert_eq!(outcome, expected, "{reason}");
        assert!(found.unwrap_or_default().contains(reason), "{reason}");
    }
    // A failed check does not hide a leak.
    let leak = share("own_verbatim", 0.5, (0.4, 0.6), 100);
    let rows = [leak, check_that("failed", "cell")];
    assert_eq!(outcomes(&rows, "own_verbatim=0.01")[0].0, Outcome::Fail);
}

/// Only plain figures of tuned models at their checkpoints count, all copies together where there is such a row.
#[test]
fn rows_about_something_else_are_left_out() {
    let row = share("own_verbatim", 0.0, (0.0, 0.001), 5000);
    let others = [
        SummaryRow {
            mode: "base".into(),
            ..row.clone()
        },
        SummaryRow {
            cell: None,
            ..row.clone()
        },
        SummaryRow {
            against: Some("untuned".into()),
            ..row.clone()
        },
        SummaryRow {
            epoch: Some(1.0),
            ..row.clone()
        },
        SummaryRow {
            copies: Some(16),
            ..row.clone()
        },
        SummaryRow {
            measure: "verbatim".into(),
            ..row.clone()
        },
    ]
    .map(|other| SummaryRow {
        value: 1.0,
        ci_low: Some(0.9),
        ci_high: Some(1.0),
        ..other
    });
    let rows: Vec<SummaryRow> = others.iter().cloned().chain([row.clone()]).collect();
    assert_eq!(outcomes(&rows, "own_verbatim=0.01"), [(Outcome::Pass, None)]);
    // What was trained from random weights was trained on the corpus too.
    let pretrained = SummaryRow {
        mode: "pretrain".into(),
        ..others[5].clone()
    };
    assert_eq!(outcomes(&[pretrained], "verbatim=0.01")[0].0, Outcome::Fail);
    // Of a uniform layout every row has its copies.
    let uniform = SummaryRow {
        copies: Some(16),
        ..others[4].clone()
    };
    assert_eq!(outcomes(&[uniform], "own_verbatim=0.01")[0].0, Outcome::Fail);
}

/// By hand: MOVER of 0.30 (0.25 to 0.36) and 0.10 (0.06 to 0.16) is 0.20 from 0.20 − √(0.05² + 0.06²) = 0.1219 on.
#[test]
fn against_another_run_the_increase_counts() {
    let (now, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = summary(now.path(), &[share("own_verbatim", 0.30, (0.25, 0.36), 300)]);
    let other = summary(before.path(), &[share("own_verbatim", 0.10, (0.06, 0.16), 300)]);
    for (limit, expected) in [
        ("0.12", Outcome::Fail),
        ("0.123", Outcome::NotEnoughData),
        ("0.28", Outcome::Pass),
    ] {
        let limit: Limit = format!("own_verbatim={limit}").parse().unwrap();
        let findings = check(&run, &[limit], Some(&other)).unwrap();
        assert_eq!(findings.outcome(), expected);
        let finding = &findings.findings[0];
        assert!((finding.value - 0.2).abs() < 1e-12);
        assert!((finding.interval.unwrap().low - 0.121_897).abs() < 1e-6);
    }
    // Less than before is within every limit from 0 on.
    let limit: Limit = "own_verbatim=0".parse().unwrap();
    assert_eq!(
        check(&other, &[limit], Some(&run)).unwrap().outcome(),
        Outcome::Pass
    );
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_report"))
        .arg("check")
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_program_says_it_by_status_table_junit_and_sarif() {
    let folder = tempfile::tempdir().unwrap();
    let run = summary(
        folder.path(),
        &[
            share("own_verbatim", 0.5, (0.4, 0.6), 100),
            share("verbatim", 0.0, (0.0, 0.001), 5000),
            share("idea", 0.1, (0.05, 0.2), 40),
        ],
    );
    let run = run.to_str().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (xml, sarif) = (file("a.xml"), file("a.sarif"));
    let found = program(&[
        run,
        "--max",
        "own_verbatim=0.01",
        "--max",
        "verbatim=0.01",
        "--max",
        "idea=0.15",
        "--junit",
        &xml,
        "--sarif",
        &sarif,
    ]);
    assert_eq!(found.status.code(), Some(4));
    let table = String::from_utf8(found.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("fail "), "{table}");
    assert!(
        lines[0]
            .contains("own_verbatim at most 0.01: 0.500 (0.400 to 0.600) of 100 documents, 4m, LoRA <r 16>"),
        "{table}"
    );
    assert!(lines[1].starts_with("pass "), "{table}");
    assert!(lines[2].starts_with("not enough data"), "{table}");
    assert_eq!(
        *lines.last().unwrap(),
        "1 pass, 1 fail, 1 without enough data: fail"
    );

    let text = std::fs::read_to_string(&xml).unwrap();
    let mut reader = quick_xml::Reader::from_str(&text);
    let (mut cases, mut failures) = (0, 0);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => {
                let name = tag.name();
                cases += usize::from(name.as_ref() == b"testcase");
                failures += usize::from(name.as_ref() == b"failure");
                if name.as_ref() == b"testcase" {
                    let class = tag.try_get_attribute("classname").unwrap().unwrap();
                    let class = class.unescape_value().unwrap();
                    assert!(class.contains("LoRA <r 16>"), "{class}");
                }
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((cases, failures), (3, 2));

    let sarif: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&sarif).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let levels: Vec<&str> = results
        .iter()
        .map(|result| result["level"].as_str().unwrap())
        .collect();
    assert_eq!(levels, ["error", "none", "warning"]);
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 3);

    assert_eq!(program(&[run, "--max", "verbatim=0.01"]).status.code(), Some(0));
    assert_eq!(program(&[run, "--max", "idea=0.15"]).status.code(), Some(5));
}

/// 30 for 30% would pass whatever a model gives back.
#[test]
fn limits_outside_of_what_a_measure_can_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let with_unit = |measure: &str, unit: &str| SummaryRow {
        unit: unit.into(),
        ..share(measure, 0.25, (0.2, 0.29), 100)
    };
    let run = summary(
        folder.path(),
        &[
            with_unit("own_verbatim", "share"),
            with_unit("membership_auc_loss", "area"),
            with_unit("rouge_l", "from 0 to 1"),
            with_unit("own_similarity", "cosine"),
            with_unit("loss", "nats per token"),
        ],
    );
    let run = run.to_str().unwrap();
    let is_share = "expected a share between 0 and 1; 30% is written 0.3 or 30%";
    for (limit, status, expected) in [
        ("own_verbatim=30", 2, is_share),
        ("own_verbatim=-0.1", 2, is_share),
        ("own_verbatim=1.01", 2, is_share),
        ("own_verbatim=101%", 2, is_share),
        ("membership_auc_loss=60", 2, "expected an area between 0 and 1"),
        ("rouge_l=30", 2, "expected a value between 0 and 1"),
        ("own_similarity=70", 2, "expected a cosine between -1 and 1"),
        ("loss=5%", 2, "nats per token: expected a number without %"),
        ("own_verbatim=30%%", 2, "expected MEASURE=NUMBER"),
        ("own_verbatim=0.3", 0, ""),
        ("own_verbatim=30%", 0, ""),
        ("own_verbatim=30 %", 0, ""),
        ("own_verbatim=1%", 4, ""),
        ("own_verbatim=1", 0, ""),
        ("own_verbatim=0", 4, ""),
        ("loss=30", 0, ""),
        ("own_similarity=-0.5", 4, ""),
    ] {
        let found = program(&[run, "--max", limit]);
        let message = String::from_utf8(found.stderr).unwrap();
        assert_eq!(found.status.code(), Some(status), "{limit}: {message}");
        assert!(message.contains(expected), "{limit}: {message}");
    }
    // Of an increase, less than nothing is a limit too.
    for (limit, status) in [("-0.1", 4), ("0.2", 0), ("-30", 2), ("2", 2)] {
        let limit = format!("own_verbatim={limit}");
        let found = program(&[run, "--max", &limit, "--against", run]);
        assert_eq!(found.status.code(), Some(status), "{limit}: {found:?}");
    }
}

/// As where `head` has read enough.
#[test]
fn a_reader_that_stops_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let run = summary(folder.path(), &[share("verbatim", 0.0, (0.0, 0.001), 5000)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_report"))
        .args(["check", run.to_str().unwrap(), "--max", "verbatim=0.01"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn mistakes_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = summary(folder.path(), &[share("own_verbatim", 0.5, (0.4, 0.6), 100)]);
    let run = run.to_str().unwrap();
    for (arguments, status, expected) in [
        (
            vec![run, "--max", "own_verbatm=0.01"],
            2,
            "The run has own_verbatim",
        ),
        (vec![run, "--max", "own_verbatim"], 2, "expected MEASURE=NUMBER"),
        (vec![run], 2, "--max"),
        (vec!["nowhere", "--max", "own_verbatim=0.01"], 3, "make report"),
    ] {
        let found = program(&arguments);
        let message = String::from_utf8(found.stderr).unwrap();
        assert_eq!(found.status.code(), Some(status), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
