//! How far a run is, from its folder alone: what make would do, what stages left of their runs, and what a person reads of it.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use contract::stage_run::recorded;
use plan::status::{Brief, Row, State, Status};

use crate::workplace::{PIPELINE, Workplace};

const LORA: &str = "tiny-lora16-3e-4-bucketed-s0";
const BASE: &str = "tiny-base-bucketed-s0";

fn finished() -> Workplace {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    place.make(&["-j4"]);
    place
}

/// Its status, as seen from the folder that plan and make ran in.
fn status(place: &Workplace) -> serde_json::Value {
    let output = place.plan(&["--status", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is not done: `row/column state`.
fn not_done(status: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    for rows in ["training_sets", "cells", "results"] {
        for row in status[rows].as_array().unwrap() {
            for stage in row["stages"].as_array().unwrap() {
                let [row, column, state] =
                    [&row["name"], &stage["name"], &stage["state"]].map(|text| text.as_str().unwrap());
                if state != "done" {
                    found.push(format!("{row}/{column} {state}"));
                }
            }
        }
    }
    found
}

fn shown(place: &Workplace, arguments: &[&str]) -> String {
    let output = place.plan(&[&["--status"], arguments].concat());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_is_planned_is_to_do_and_what_is_made_is_done() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    let planned = status(&place);
    let stages = not_done(&planned);
    // One training set, four extractions, three trainings, four detections and three of best checkpoints, one report.
    assert_eq!(stages.len(), 1 + 4 + 3 + 4 + 3 + 1, "{stages:?}");
    assert!(stages.iter().all(|stage| stage.ends_with(" to-do")), "{stages:?}");
    let cells = planned["cells"].as_array().unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            BASE,
            "tiny-full-5e-5-bucketed-s0",
            "tiny-full-1e-4-bucketed-s0",
            LORA
        ]
    );

    place.make(&["-j4"]);
    let made = status(&place);
    assert_eq!(not_done(&made), [""; 0]);
    let text = shown(&place, &[]);
    assert!(text.starts_with("run: 4 cells: ✓ 4 done. "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// Whatever is wrong with a run folder, what is not done is what make then makes, and no other.
#[test]
fn what_is_not_done_is_what_make_would_make() {
    let lora = format!("run/cells/{LORA}");
    let removed = |path: String| move |place: &Workplace| remove(&place.path(&path));
    // Newer than all results, and older than those that are made then.
    let newer = |path: String| move |place: &Workplace| set_time(&place.path(&path), SystemTime::now());
    let older = |path: String| {
        move |place: &Workplace| set_time(&place.path(&path), SystemTime::now() - Duration::from_hours(1))
    };
    let changes: Vec<(&str, Box<dyn Fn(&Workplace)>)> = vec![
        ("nothing", Box::new(|_: &Workplace| {})),
        ("scores gone", Box::new(removed(format!("{lora}/scores.parquet")))),
        (
            "checkpoint gone",
            Box::new(removed(format!("{lora}/best/checkpoint"))),
        ),
        (
            "held-out text gone",
            Box::new(removed("run/corpus/bucketed-s0/heldout.parquet".to_owned())),
        ),
        (
            "page gone",
            Box::new(removed("run/report/report.html".to_owned())),
        ),
        (
            "settings changed",
            Box::new(newer(format!("{lora}/plagiarism.toml"))),
        ),
        (
            "model changed",
            Box::new(newer("models/tiny/model.safetensors".to_owned())),
        ),
        ("corpus changed", Box::new(newer("text/a.jsonl".to_owned()))),
        (
            "matches are old",
            Box::new(older(format!("{lora}/best/matches.parquet"))),
        ),
        ("facts changed", Box::new(newer(format!("{lora}/cell.toml")))),
    ];
    for (change, apply) in changes {
        let place = finished();
        apply(&place);
        let mut told: Vec<String> = not_done(&status(&place))
            .iter()
            .map(|stage| as_in_log(stage))
            .collect();
        told.sort();
        assert_eq!(told, place.make(&["-j4"]), "{change}");
    }
}

/// `cell/best old` as the fake stages log it: `plagiarism cell/best`.
fn as_in_log(stage: &str) -> String {
    let (stage, _) = stage.split_once(' ').unwrap();
    match stage.split_once('/').unwrap() {
        (cell, "best") => format!("plagiarism {cell}/best"),
        (row, stage) => format!("{stage} {row}"),
    }
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_was_made_is_old_where_it_would_be_made_anew() {
    let place = finished();
    set_time(
        &place.path(&format!("run/cells/{LORA}/plagiarism.toml")),
        SystemTime::now() + Duration::from_secs(2),
    );
    assert_eq!(
        not_done(&status(&place)),
        [
            format!("{LORA}/plagiarism old"),
            format!("{LORA}/best old"),
            "report/report old".to_owned()
        ]
    );
    let text = shown(&place, &[]);
    assert!(text.contains("✓ 3 done, ~ 1 old"), "{text}");
    assert!(text.contains("~ old: was made"), "{text}");
}

/// Stages that are other programs leave no records; make leaves their exit status.
#[test]
fn a_failed_program_is_listed_with_what_is_known_of_it() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    let failing =
        "TUNER=sh -c 'case $$* in *lora*) exit 3;; *1e-4*) kill -9 $$$$;; esac; sh stage.sh tuner $$*' tuner";
    let output = place.make_output(&["-k", failing]);
    assert_eq!(output.status.code(), Some(2));
    let told = status(&place);
    let states = not_done(&told);
    assert!(states.contains(&format!("{LORA}/tuner failed")), "{states:?}");
    assert!(states.contains(&format!("{LORA}/extractor to-do")), "{states:?}");
    assert!(!states.iter().any(|stage| stage.starts_with(BASE)), "{states:?}");
    for arguments in [&[][..], &["--brief"]] {
        let text = shown(&place, arguments);
        for fragment in [
            "4 cells: ✓ 2 done, ✗ 2 failed. ",
            &format!("  {LORA}  {:17}  3\n    it left no message", "tuner"),
            &format!(
                "  {:28}  {:17}  137\n    it was ended by signal 9",
                "tiny-full-1e-4-bucketed-s0", "tuner"
            ),
            "There is no report: ",
        ] {
            assert!(text.contains(fragment), "{fragment:?} in {text}");
        }
        assert_eq!(text.contains("\ncell "), arguments.is_empty(), "{text}");
    }

    place.make(&["-k"]);
    assert_eq!(not_done(&status(&place)), [""; 0], "what failed is made");
}

#[test]
fn stages_say_that_they_run_how_long_they_took_and_why_they_failed() {
    let place = finished();
    let folder = place.path(&format!("run/cells/{LORA}"));
    let error = || Err::<(), _>(contract::Error::input("train.parquet", "row 3 has no text"));
    remove(&folder.join("metrics.parquet"));
    recorded("tuner", &folder, || {
        let told = status(&place);
        assert!(not_done(&told).contains(&format!("{LORA}/tuner running")));
        let text = shown(&place, &[]);
        assert!(text.contains("▸ 1 running"), "{text}");
        assert!(
            text.contains(&format!("(process {} on ", std::process::id())),
            "{text}"
        );
        error()
    })
    .unwrap_err();
    let text = shown(&place, &["--brief"]);
    assert!(text.contains("train.parquet: row 3 has no text"), "{text}");
    assert!(
        text.contains("The report in the folder is an older one"),
        "{text}"
    );

    // make leaves alone what is complete, however a later run of it ended.
    fs::write(folder.join("metrics.parquet"), "x").unwrap();
    place.make(&[]);
    fs::write(folder.join(".exit-tuner"), "3").unwrap();
    assert_eq!(not_done(&status(&place)), [""; 0]);

    recorded("tuner", &folder, || {
        std::thread::sleep(Duration::from_millis(20));
        contract::files::write_atomic(&folder.join("other"), b"")
    })
    .unwrap();
    let told = status(&place);
    let cell = told["cells"]
        .as_array()
        .unwrap()
        .iter()
        .find(|cell| cell["name"] == LORA)
        .unwrap();
    let tuner = cell["stages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|stage| stage["name"] == "tuner")
        .unwrap();
    assert!(tuner["seconds"].as_f64().unwrap() >= 0.02, "{tuner}");
    assert!(cell["disk_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_run_folder_tells_the_same_elsewhere() {
    let place = finished();
    remove(&place.path(&format!("run/cells/{LORA}/scores.parquet")));
    let here = not_done(&status(&place));
    assert_eq!(here.len(), 4, "{here:?}");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(place.path("run"), elsewhere.path().join("moved")).unwrap();
    let moved = Status::of(&elsewhere.path().join("moved")).unwrap();
    // The corpus and the model are not there as seen from here.
    assert!(!moved.not_found.is_empty());
    assert_eq!(not_done(&serde_json::to_value(&moved).unwrap()), here);
    let text = moved.to_string();
    assert!(
        text.contains("Not compared with, since not there as seen from here: "),
        "{text}"
    );
}

/// A thousand cells, made of the rules and the files of one.
#[test]
fn a_thousand_cells_are_counted_one_by_one() {
    let place = finished();
    let name = |number: usize| format!("tiny-lora{number}-bucketed-s0");
    let rules = place.read("run/cells.mk");
    let (head, rest) = rules.split_once("\n\n$(run)/").unwrap();
    let rest = format!("$(run)/{rest}");
    let of_lora: Vec<&str> = rest
        .split("\n\n")
        .filter(|rule| rule.starts_with(&format!("$(run)/cells/{LORA}/")))
        .collect();
    let of_lora = format!("\n\n{}", of_lora.join("\n\n"));
    let dupgen = rest
        .split("\n\n")
        .find(|rule| rule.starts_with("$(run)/corpus/"))
        .unwrap();
    let mut many = format!("{head}\n\n{dupgen}");
    let cell = place.path(&format!("run/cells/{LORA}"));
    for number in 0..1000 {
        many.push_str(&of_lora.replace(LORA, &name(number)));
        copy(&cell, &place.path(&format!("run/cells/{}", name(number))));
    }
    place.write("run/cells.mk", many);
    // 7 without verdicts, 11 to be trained anew, 13 that failed, 17 whose settings are newer.
    for number in 0..7 {
        remove(&place.path(&format!("run/cells/{}/verdicts.parquet", name(number))));
    }
    for number in 7..18 {
        remove(&place.path(&format!("run/cells/{}/checkpoint", name(number))));
    }
    for number in 18..31 {
        let folder = place.path(&format!("run/cells/{}", name(number)));
        remove(&folder.join("samples.parquet"));
        fs::write(folder.join(".exit-extractor"), "1").unwrap();
    }
    for number in 31..48 {
        set_time(
            &place.path(&format!("run/cells/{}/plagiarism.toml", name(number))),
            SystemTime::now() + Duration::from_secs(2),
        );
    }
    let text = shown(&place, &[]);
    let sums = "1000 cells: ✓ 952 done, ✗ 13 failed, ~ 17 old, · 18 to do. ";
    assert!(text.contains(sums), "{}", text.lines().next().unwrap());
    assert_eq!(
        text.lines().filter(|line| line.starts_with("tiny-lora")).count(),
        1000
    );
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("  tiny-lora"))
            .count(),
        13
    );
}

/// Copies a folder with what is in it, times kept.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
            set_time(&to, entry.metadata().unwrap().modified().unwrap());
        }
    }
    set_time(to, fs::metadata(from).unwrap().modified().unwrap());
}

#[test]
fn a_folder_without_a_run_is_told() {
    let place = Workplace::new(PIPELINE);
    for (rules, fragment) in [(None, "cannot be read"), (Some("all:\n"), "found none")] {
        if let Some(rules) = rules {
            place.write("run/cells.mk", rules);
        }
        let output = place.plan(&["--status"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(
            message.contains("run/cells.mk") && message.contains(fragment),
            "{message}"
        );
    }
}

/// Rules that somebody wrote by hand, each made from what the other makes.
#[test]
fn rules_in_a_circle_are_to_do() {
    let place = Workplace::new(PIPELINE);
    let rule = |file: &str, from: &str| {
        format!(
            "$(run)/cells/{file}: \\\n  $(run)/cells/{from}\n$(run)/cells/{file}:\n\t@echo 'x: tuner'\n\n"
        )
    };
    place.write(
        "run/cells.mk",
        format!(
            "run := run\n\n{}{}",
            rule("a/metrics.parquet", "b/metrics.parquet"),
            rule("b/metrics.parquet", "a/metrics.parquet")
        ),
    );
    assert_eq!(not_done(&status(&place)), ["a/tuner to-do", "b/tuner to-do"]);
}

#[test]
fn a_row_is_as_far_as_its_furthest_from_done() {
    let place = finished();
    let status = Status::of(&place.path("run")).unwrap();
    let cell = status.cells[0].clone();
    let with = |states: &[State]| {
        let stages = states.iter().map(|&state| plan::status::Stage {
            state,
            ..cell.stages[0].clone()
        });
        Row {
            stages: stages.collect(),
            ..cell.clone()
        }
        .state()
    };
    assert_eq!(with(&[State::Done, State::Done]), State::Done);
    assert_eq!(with(&[State::Done, State::Old]), State::Old);
    assert_eq!(with(&[State::Old, State::ToDo]), State::ToDo);
    assert_eq!(with(&[State::Running, State::ToDo]), State::Running);
    assert_eq!(with(&[State::Running, State::Failed]), State::Failed);
    assert!(Brief(&status).to_string().lines().count() == 1);
}

/// Each cell of the tiny model takes the memory that LibTorch and the program hold, 350 MB, and little more.
#[test]
fn as_many_jobs_as_memory_holds() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    let at_once = |memory: &str| {
        let output = place.plan(&["--at-once", "8", "--memory", memory]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    // Nine tenths are filled: 1.35 GB hold three of 0.36 GB, 0.09 GB none, and 9 GB all four.
    let (jobs, said) = at_once("1.5e9");
    assert_eq!(jobs, "3\n", "{said}");
    assert!(
        said.starts_with("3 of 8 jobs at once: cells take up to 3"),
        "{said}"
    );
    assert!(said.contains("1.5 GB are free"), "{said}");
    let (jobs, said) = at_once("1e8");
    assert_eq!(jobs, "1\n");
    assert!(said.contains("the largest may fail"), "{said}");
    assert_eq!(at_once("1e10"), ("8\n".to_owned(), String::new()));
    // What is made needs no memory any more.
    place.make(&["-j4"]);
    assert_eq!(at_once("1e8").0, "8\n");
    assert_eq!(place.plan(&["--at-once", "0"]).status.code(), Some(2));
}
