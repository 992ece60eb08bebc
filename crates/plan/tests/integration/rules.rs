use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::workplace::{PIPELINE, Workplace, contents, write_labels};

const CELLS: [&str; 4] = ["base", "full-1e-4", "full-5e-5", "lora16-3e-4"];

/// The log of these stages on all cells (`tuner` not on the base model, which has no best checkpoint either), sorted as
/// [`Workplace::make`] sorts it.
fn everything(stages: &[&str]) -> Vec<String> {
    let mut log = Vec::new();
    for &stage in stages {
        match stage {
            "dupgen" => log.push("dupgen bucketed-s0".to_owned()),
            "report" => log.push("report report".to_owned()),
            stage => {
                for cell in CELLS {
                    let is_tuned = cell != "base";
                    if stage != "tuner" || is_tuned {
                        log.push(format!("{stage} tiny-{cell}-bucketed-s0"));
                    }
                    if stage == "plagiarism" && is_tuned {
                        log.push(format!("{stage} tiny-{cell}-bucketed-s0/best"));
                    }
                }
            }
        }
    }
    log.sort();
    log
}

fn planned() -> Workplace {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    place
}

fn finished() -> Workplace {
    let place = planned();
    place.make(&["-j4"]);
    place
}

#[test]
fn everything_runs_once_and_the_second_time_nothing() {
    for jobs in ["-j1", "-j4"] {
        let place = planned();
        assert_eq!(
            place.make(&[jobs]),
            everything(&["dupgen", "tuner", "extractor", "plagiarism", "report"])
        );
        place.plan_well(&[]);
        assert!(place.make(&[jobs]).is_empty());
        // Without a single recipe to run, make says so.
        let again = place.make_output(&["all"]);
        assert!(
            String::from_utf8_lossy(&again.stdout).contains("Nothing to be done"),
            "{again:?}"
        );
    }
}

/// With [`PIPELINE`]'s cells, each of whose extractions is in three parts, and each comparison in two.
#[test]
fn work_in_parts_is_put_together_and_what_is_whole_needs_no_parts() {
    let mut parts = Vec::new();
    for line in everything(&["extractor", "plagiarism"]) {
        let world = if line.starts_with("extractor") { 3 } else { 2 };
        parts.extend((0..world).map(|rank| format!("{line}, part {rank} of {world}")));
    }
    let in_parts = ["--set", "extraction.parts=3", "--set", "detection.parts=2"];
    for jobs in ["-j1", "-j4"] {
        let place = Workplace::new(PIPELINE);
        place.plan_well(&in_parts);
        let mut all = everything(&["dupgen", "tuner", "extractor", "plagiarism", "report"]);
        all.extend(parts.clone());
        all.sort();
        assert_eq!(place.make(&[jobs]), all);
        assert!(place.make(&[jobs]).is_empty());
        // Parts may be removed, and another number of them asks for nothing that is there.
        for cell in CELLS {
            std::fs::remove_dir_all(place.path(&format!("run/cells/tiny-{cell}-bucketed-s0/parts"))).unwrap();
        }
        assert!(place.make(&[jobs]).is_empty());
        for again in [&in_parts[..2], &[], &in_parts] {
            place.plan_well(again);
            let made = place.make(&[jobs]);
            assert!(made.iter().all(|line| line.starts_with("report")), "{made:?}");
        }
        // A change of settings makes all parts again, and what follows.
        place.plan_well(&[&in_parts[..], &["--set", "detection.candidate_limit=3"]].concat());
        let mut again = everything(&["plagiarism", "report"]);
        again.extend(
            parts
                .iter()
                .filter(|line| line.starts_with("plagiarism"))
                .cloned(),
        );
        again.sort();
        assert_eq!(place.make(&[jobs]), again);
    }
}

#[test]
fn kept_checkpoints_are_followed() {
    let rules = |pipeline: &str| {
        let place = Workplace::new(pipeline);
        place.plan_well(&[]);
        std::fs::read_to_string(place.path("run/cells.mk")).unwrap()
    };
    assert!(!rules(PIPELINE).contains("course.parquet"));
    let kept = rules(&format!("{PIPELINE}\n[tuning]\nkeep_last = 3\n"));
    let lora = "$(run)/cells/tiny-lora16-3e-4-bucketed-s0";
    assert!(
        kept.contains(&format!("--checkpoint {lora}/checkpoints {lora}/checkpoint ")),
        "{kept}"
    );
    assert!(kept.contains(&format!("{lora}/course.parquet")), "{kept}");
    assert!(!kept.contains("tiny-base-bucketed-s0/course.parquet"), "{kept}");
}

#[test]
fn stages_can_be_asked_for_one_by_one() {
    let place = planned();
    for (target, stages) in [
        ("dupgen", &["dupgen"][..]),
        ("tune", &["tuner"]),
        ("extract", &["extractor"]),
        ("plagiarism", &["plagiarism"]),
        ("report", &["report"]),
    ] {
        assert_eq!(place.make(&[target]), everything(stages), "{target}");
    }
}

#[test]
fn a_dry_run_shows_the_commands_and_runs_none() {
    let place = planned();
    let output = String::from_utf8(place.make_output(&["-n"]).stdout).unwrap();
    let command = "sh stage.sh extractor --config run/cells/tiny-base-bucketed-s0/extractor.toml --in run/corpus/bucketed-s0 \
                   --checkpoint models/tiny --out run/cells/tiny-base-bucketed-s0";
    assert!(output.contains(command), "{output}");
    assert!(
        output.contains(
            "--checkpoint run/cells/tiny-full-5e-5-bucketed-s0/checkpoint --best \
             run/cells/tiny-full-5e-5-bucketed-s0/best/checkpoint --out"
        ),
        "{output}"
    );
    assert!(
        output.contains(
            "--samples run/cells/tiny-full-5e-5-bucketed-s0/best/samples.parquet --out \
             run/cells/tiny-full-5e-5-bucketed-s0/best"
        ),
        "{output}"
    );
    assert!(!output.contains("tiny-base-bucketed-s0/best"), "{output}");
    assert!(place.make(&["-n"]).is_empty());
}

#[test]
fn changes_rerun_what_depends_on_them() {
    for (change, stages) in [
        ("detection.preset=lee2023", &["plagiarism", "report"][..]),
        ("report.examples=9", &["report"]),
        ("extraction.new_tokens=20", &["extractor", "plagiarism", "report"]),
        ("tuning.epochs=7", &["tuner", "extractor", "plagiarism", "report"]),
        // Where training ends, the untuned model is asked and scored anew too; and so is what dupgen says is cut.
        (
            "tuning.context=128",
            &["dupgen", "tuner", "extractor", "plagiarism", "report"],
        ),
        (
            "corpus.held_out=0.3",
            &["dupgen", "tuner", "extractor", "plagiarism", "report"],
        ),
    ] {
        let place = finished();
        place.plan_well(&["--set", change]);
        let mut expected = everything(stages);
        // Nothing that concerns the base model has changed where only tuning did.
        if stages.first() == Some(&"tuner") {
            expected.retain(|line| !line.contains("-base-"));
        }
        assert_eq!(place.make(&["-j4"]), expected, "{change}");
        assert!(place.make(&[]).is_empty(), "{change}");
    }
}

#[test]
fn new_text_in_the_corpus_is_noticed() {
    let place = finished();
    place.write("text/c.jsonl", "{\"id\": 3, \"text\": \"nine\"}\n");
    place.plan_well(&[]);
    assert_eq!(
        place.make(&[]).len(),
        everything(&["dupgen", "tuner", "extractor", "plagiarism", "report"]).len()
    );
}

/// Labels are looked up where generations are compared; other text is part of the corpus, so that all is made anew.
#[test]
fn changed_labels_and_other_text_rerun_what_reads_them() {
    let set = [
        "--set",
        "detection.personal_details=../my labels.parquet",
        "--set",
        "corpus.other=../moon.txt",
    ];
    let place = Workplace::new(PIPELINE);
    write_labels(&place, "my labels.parquet");
    place.write("moon.txt", "The moon.\n");
    place.plan_well(&set);
    place.make(&["-j4"]);
    assert!(place.make(&[]).is_empty());
    for (file, stages) in [
        ("my labels.parquet", &["plagiarism", "report"][..]),
        (
            "moon.txt",
            &["dupgen", "tuner", "extractor", "plagiarism", "report"],
        ),
    ] {
        // Newer than all results, and older than those that are made now.
        File::open(place.path(file))
            .unwrap()
            .set_modified(SystemTime::now())
            .unwrap();
        assert_eq!(place.make(&["-j4"]), everything(stages), "{file}");
    }
}

#[test]
fn a_removed_file_is_made_again_and_then_all_is_settled() {
    let of_lora = |stages: &[&str]| {
        let mut log = Vec::new();
        for stage in stages {
            match stage.split_once(' ') {
                Some((stage, "best")) => log.push(format!("{stage} tiny-lora16-3e-4-bucketed-s0/best")),
                _ => log.push(format!("{stage} tiny-lora16-3e-4-bucketed-s0")),
            }
        }
        log.push("report report".to_owned());
        log
    };
    let lora = "cells/tiny-lora16-3e-4-bucketed-s0";
    for (file, expected) in [
        (
            "corpus/bucketed-s0/heldout.parquet".to_owned(),
            everything(&["dupgen", "tuner", "extractor", "plagiarism", "report"]),
        ),
        (
            format!("{lora}/checkpoint"),
            of_lora(&["extractor", "plagiarism", "plagiarism best", "tuner"]),
        ),
        (
            format!("{lora}/best/checkpoint"),
            of_lora(&["extractor", "plagiarism", "plagiarism best", "tuner"]),
        ),
        (
            format!("{lora}/scores.parquet"),
            of_lora(&["extractor", "plagiarism", "plagiarism best"]),
        ),
        (
            format!("{lora}/best/samples.parquet"),
            of_lora(&["extractor", "plagiarism", "plagiarism best"]),
        ),
        (
            format!("{lora}/best/scores.parquet"),
            of_lora(&["extractor", "plagiarism", "plagiarism best"]),
        ),
        (format!("{lora}/matches.parquet"), of_lora(&["plagiarism"])),
        (
            format!("{lora}/best/matches.parquet"),
            of_lora(&["plagiarism best"]),
        ),
        (
            format!("{lora}/best/verdicts.parquet"),
            of_lora(&["plagiarism best"]),
        ),
        // All that it holds, checkpoint, samples and verdicts.
        (
            format!("{lora}/best"),
            of_lora(&["extractor", "plagiarism", "plagiarism best", "tuner"]),
        ),
        (
            "report/summary.parquet".to_owned(),
            vec!["report report".to_owned()],
        ),
    ] {
        let place = finished();
        let path = place.path(&format!("run/{file}"));
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let mut expected = expected;
        expected.sort();
        assert_eq!(place.make(&["-j4"]), expected, "{file}");
        assert!(path.exists(), "{file}");
        assert!(place.make(&[]).is_empty(), "{file}");
    }
}

/// Several missing files of one run of a stage are made by one run, however many jobs there are.
#[test]
fn a_stage_does_not_run_beside_itself() {
    let place = finished();
    let cell = "run/cells/tiny-lora16-3e-4-bucketed-s0";
    for file in ["scores", "best/samples", "best/scores"] {
        std::fs::remove_file(place.path(&format!("{cell}/{file}.parquet"))).unwrap();
    }
    for folder in ["checkpoint", "best/checkpoint"] {
        std::fs::remove_dir_all(place.path(&format!("{cell}/{folder}"))).unwrap();
    }
    assert_eq!(
        place.make(&["-j8"]),
        [
            "extractor tiny-lora16-3e-4-bucketed-s0",
            "plagiarism tiny-lora16-3e-4-bucketed-s0",
            "plagiarism tiny-lora16-3e-4-bucketed-s0/best",
            "report report",
            "tuner tiny-lora16-3e-4-bucketed-s0",
        ]
    );
    assert!(place.make(&["-j8"]).is_empty());
}

#[test]
fn canaries_apart_are_cells_of_their_own() {
    let place = Workplace::new(&PIPELINE.replace("per_copies = 1", "per_copies = 1, apart = true"));
    place.plan_well(&[]);
    let log = place.make(&["-j4"]);
    for stage in [
        "dupgen bucketed-s0",
        "dupgen bucketed-canaries-s0",
        "tuner tiny-lora16-3e-4-bucketed-canaries-s0",
        "extractor tiny-base-bucketed-canaries-s0",
        "plagiarism tiny-full-1e-4-bucketed-canaries-s0/best",
    ] {
        assert!(
            log.iter().any(|line| line == stage),
            "{stage} is missing among {log:?}"
        );
    }
    // Twice everything but the report.
    let once = everything(&["dupgen", "tuner", "extractor", "plagiarism"]).len();
    assert_eq!(log.len(), 2 * once + 1);
    assert!(place.make(&[]).is_empty());
}

/// A stage killed between its two files leaves the new one beside the old one of the time before.
#[test]
fn a_file_older_than_its_configuration_is_made_again_though_its_sibling_is_new() {
    let place = finished();
    let old = SystemTime::now() - Duration::from_hours(1);
    File::options()
        .append(true)
        .open(place.path("run/corpus/bucketed-s0/heldout.parquet"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    assert!(place.make(&["dupgen"]).contains(&"dupgen bucketed-s0".to_owned()));
    assert!(place.make(&["dupgen"]).is_empty());
}

#[test]
fn a_stage_can_be_swapped_and_threads_are_passed_on() {
    let place = planned();
    let log = place.make(&["-j2", "EXTRACTOR=sh stage.sh mine", "THREADS=3"]);
    let threads = place.read("threads");
    assert!(
        threads.contains("mine tiny-base-bucketed-s0 on 3 threads\n"),
        "{threads}"
    );
    assert!(!log.iter().any(|line| line.starts_with("extractor")), "{log:?}");
    assert_eq!(
        log.len(),
        everything(&["dupgen", "tuner", "extractor", "plagiarism", "report"]).len()
    );
}

#[test]
fn stages_that_run_at_once_share_the_processors() {
    let processors = std::thread::available_parallelism().unwrap().get();
    for (jobs, share) in [(2, processors / 2), (3 * processors, 1)] {
        let place = planned();
        place.make(&[&format!("-j{jobs}")]);
        let threads = place.read("threads");
        let expected = format!(" on {} threads", share.max(1));
        let mut tuned = threads
            .lines()
            .filter(|line| line.starts_with("tuner"))
            .peekable();
        assert!(tuned.peek().is_some());
        assert!(tuned.all(|line| line.ends_with(&expected)), "{threads}");
    }
    let place = planned();
    place.make(&[]);
    assert!(!place.read("threads").contains(" threads"));
}

#[test]
fn one_failure_leaves_the_other_cells_running_under_k() {
    let place = planned();
    let failing = "TUNER=sh -c 'case $$* in *lora*) exit 1;; esac; sh stage.sh tuner $$*' tuner";
    let output = place.make_output(&["-k", failing]);
    assert_eq!(output.status.code(), Some(2));
    let log = place.read("log");
    assert!(
        log.contains("plagiarism tiny-full-1e-4-bucketed-s0")
            && !log.contains("lora")
            && !log.contains("report"),
        "{log}"
    );
}

/// make's own status is 2 whatever happened.
#[test]
fn the_exit_status_of_a_stage_that_fails_is_left_beside_the_rules() {
    for status in ["1", "2", "3"] {
        let place = planned();
        let output = place.make_output(&[&format!("PLAGIARISM=sh -c 'exit {status}'")]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(place.read("run/exit_status").trim(), status);
    }
}

/// A run says which of its cells it works on, in its own lines and to the stage.
#[test]
fn rules_number_the_cells() {
    let place = Workplace::new(PIPELINE);
    place.write(
        "stage.sh",
        format!("echo \"$1 $TUNELEAK_CELL\" >>cells\n{}", place.read("stage.sh")),
    );
    place.plan_well(&[]);
    let output = place.make_output(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "bucketed-s0: dupgen",
        "[1 of 4] tiny-base-bucketed-s0: extractor",
        "[2 of 4] tiny-full-5e-5-bucketed-s0: tuner",
        "[4 of 4] tiny-lora16-3e-4-bucketed-s0, checkpoint with the best held-out loss: plagiarism",
        "tiny: report",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    let cells = place.read("cells");
    for line in [
        "dupgen ",
        "tuner cell 2 of 4",
        "extractor cell 1 of 4",
        "plagiarism cell 4 of 4",
        "report ",
    ] {
        assert!(cells.lines().any(|cell| cell == line), "{line}: {cells}");
    }
}

/// The clock was a day ahead when the run was made, and was then set right.
#[test]
fn results_dated_ahead_of_the_clock_are_current_and_are_made_again_with_other_settings() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    assert!(!place.make(&[]).is_empty());
    let date_ahead = || {
        for path in contents(&place.path("run")).into_keys() {
            let file = std::fs::File::open(place.path("run").join(path)).unwrap();
            let time = file.metadata().unwrap().modified().unwrap();
            file.set_modified(time + Duration::from_hours(24)).unwrap();
        }
    };
    date_ahead();
    place.plan_well(&[]);
    assert_eq!(place.make(&[]), Vec::<String>::new(), "nothing has changed");
    date_ahead();
    place.plan_well(&["--set", "detection.preset=pan2015"]);
    let made = place.make(&[]);
    assert!(
        made.iter().any(|stage| stage.starts_with("plagiarism ")),
        "{made:?}"
    );
    assert!(
        made.iter().all(|stage| !stage.starts_with("extractor ")),
        "{made:?}"
    );
}
