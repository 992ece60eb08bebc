//! Given files that are replaced by older ones: make compares times, and these are no newer than the results.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::workplace::{PIPELINE, Workplace, contents};

/// Gives a file another content, and a time before all results.
fn replace_by_older(place: &Workplace, file: &str, content: impl AsRef<[u8]>) {
    let path = place.path(file);
    fs::remove_file(&path).ok();
    place.write(file, content);
    date_back(&path);
}

fn date_back(path: &Path) {
    let old = SystemTime::now() - Duration::from_hours(1000);
    File::open(path).unwrap().set_modified(old).unwrap();
}

/// The stages that run once the plan is made anew, each once, and that afterwards none does.
fn stages_after_plan(place: &Workplace) -> Vec<String> {
    place.plan_well(&[]);
    let mut stages: Vec<String> = place
        .make(&["-j4"])
        .iter()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    stages.dedup();
    place.plan_well(&[]);
    assert_eq!(place.make(&[]), Vec::<String>::new());
    stages
}

#[test]
fn what_is_replaced_by_something_older_is_noticed() {
    let all = ["dupgen", "extractor", "plagiarism", "report", "tuner"];
    let behind_tuner = ["extractor", "plagiarism", "report", "tuner"];
    let place = Workplace::new(&PIPELINE.replace("../models/tiny", "../models/latest"));
    let weights = fs::read(place.path("models/tiny/model.safetensors")).unwrap();
    fs::create_dir(place.path("models/other")).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(
            place.path(&format!("models/tiny/{file}")),
            place.path(&format!("models/other/{file}")),
        )
        .unwrap();
        date_back(&place.path(&format!("models/other/{file}")));
        date_back(&place.path(&format!("models/tiny/{file}")));
    }
    symlink("tiny", place.path("models/latest")).unwrap();
    assert_eq!(stages_after_plan(&place), all);

    // Weights of the same length, as of a model that was trained further.
    let mut others = weights;
    others.last_mut().map(|last| *last ^= 1).unwrap();
    replace_by_older(&place, "models/tiny/model.safetensors", others);
    assert_eq!(stages_after_plan(&place), behind_tuner, "weights");
    // What decides how text becomes tokens, and is not among the files that the rules name.
    replace_by_older(&place, "models/tiny/added_tokens.json", "{}");
    assert_eq!(stages_after_plan(&place), behind_tuner, "tokens");
    // A link leads to another model, all of whose files are as old; its tokenizer cuts canaries.
    fs::remove_file(place.path("models/latest")).unwrap();
    symlink("other", place.path("models/latest")).unwrap();
    assert_eq!(stages_after_plan(&place), all, "a link that leads elsewhere");
    replace_by_older(
        &place,
        "text/a.jsonl",
        "{\"id\": 1, \"text\": \"four three two one\"}\n",
    );
    assert_eq!(stages_after_plan(&place), all, "the corpus");
    replace_by_older(&place, "text/c.jsonl", "{\"id\": 3, \"text\": \"nine\"}\n");
    assert_eq!(stages_after_plan(&place), all, "a further file of the corpus");
    fs::remove_file(place.path("text/c.jsonl")).unwrap();
    assert_eq!(stages_after_plan(&place), all, "a file of the corpus less");
    replace_by_older(&place, "encoder/config.json", "{ }");
    assert_eq!(stages_after_plan(&place), ["plagiarism", "report"], "the encoder");
}

/// A dry run plans too; what has changed must not be forgotten over it.
#[test]
fn a_plan_without_a_run_forgets_no_change() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    place.make(&["-j4"]);
    replace_by_older(
        &place,
        "text/a.jsonl",
        "{\"id\": 1, \"text\": \"four three two one\"}\n",
    );
    place.plan_well(&[]);
    assert_eq!(place.make(&["-n"]), Vec::<String>::new());
    assert!(stages_after_plan(&place).contains(&"dupgen".to_owned()));
}

/// What nobody changed is not written anew, in a run folder that was moved neither.
#[test]
fn lists_of_given_files_stay_where_nothing_changed() {
    let place = Workplace::new(&PIPELINE.replace("../models/tiny", "../models/tiny [1]"));
    fs::rename(place.path("models/tiny"), place.path("models/tiny [1]")).unwrap();
    place.plan_well(&[]);
    let lists = |run: &str| {
        let mut found = contents(&place.path(run));
        found.retain(|path, _| path.extension().is_some_and(|ending| ending == "inputs"));
        found
    };
    let before = lists("run");
    let names: Vec<String> = before.keys().map(|path| path.display().to_string()).collect();
    assert!(
        names.contains(&"corpus/bucketed-s0/dupgen.inputs".to_owned()),
        "{names:?}"
    );
    assert!(
        names.contains(&"cells/tiny-lora16-3e-4-bucketed-s0/tuner.inputs".to_owned()),
        "{names:?}"
    );
    let modified = |run: &str| {
        let lists = lists(run).into_keys();
        let times = lists.map(|path| {
            let metadata = fs::metadata(place.path(run).join(path)).unwrap();
            metadata.modified().unwrap()
        });
        times.collect::<Vec<_>>()
    };
    let times = modified("run");
    place.plan_well(&[]);
    assert_eq!(modified("run"), times);
    fs::rename(place.path("run"), place.path("moved")).unwrap();
    let planned = Command::new(env!("CARGO_BIN_EXE_plan"))
        .args(["--config", "pipelines/tiny.toml", "--out", "moved"])
        .current_dir(place.path("."))
        .output()
        .unwrap();
    assert!(planned.status.success(), "{planned:?}");
    assert_eq!(lists("moved"), before);
    assert_eq!(modified("moved"), times);
}
