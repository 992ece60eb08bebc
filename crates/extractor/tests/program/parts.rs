//! Several processes give what one gives.

use std::path::{Path, PathBuf};
use std::process::Output;

use contract::parquet;
use contract::provenance::digest;
use contract::records::{HeldOutDocument, HeldOutRole, Sample, TrainingInstance};

use crate::support::{Bench, fixtures, held_out, training};

/// Enough documents for several batches, of draws, of beams and of scores.
fn bench() -> Bench {
    let text = |number: usize| {
        let sentence = format!(
            "Boat {number} came in at dawn with mail for {}. ",
            number * 7 % 50
        );
        sentence.repeat(2 + number % 3)
    };
    let train: Vec<TrainingInstance> = (0..150)
        .map(|number| TrainingInstance {
            copies: 1 + (number % 2) as i32,
            ..training(&format!("d{number:03}"), &text(number), "")
        })
        .collect();
    let other = HeldOutDocument {
        role: Some(HeldOutRole::Other),
        ..held_out("o1", "A recipe for soup: leeks, water, salt, and an hour.", "")
    };
    let mut control: Vec<HeldOutDocument> = (0..20)
        .map(|number| held_out(&format!("h{number}"), &text(200 + number), ""))
        .collect();
    control.push(other);
    let settings = r#"
        prompts = ["train", "heldout", "none"]
        unprompted = 7
        batch_size = 8
        documents = 30
        near_verbatim_beams = 3
        [[extraction.strategy]]
        name = "greedy"
        temperature = 0
        [[extraction.strategy]]
        name = "nucleus"
        top_k = 20
        top_p = 0.9
        samples = 3
        [[extraction.strategy]]
        name = "beams"
        prompt = "middle"
        beams = 4
        samples = 2
        documents = 5
        [[extraction.strategy]]
        name = "made up"
        prompt = "self-made"
        temperature = 0
        [[extraction.strategy]]
        name = "again and again"
        prompt = "repeated-word"
        samples = 2
    "#;
    Bench::with(&train, &control, settings)
}

/// Runs the program on two checkpoints, of which the last is asked and the first is the best.
fn run(bench: &Bench, out: &str, more: &[&str]) -> Output {
    let [first, last] = ["tiny-gpt2", "peft-adapter"].map(|name| fixtures().join(name));
    std::process::Command::new(env!("CARGO_BIN_EXE_extractor"))
        .arg("--config")
        .arg(bench.path("extractor.toml"))
        .arg("--in")
        .arg(bench.path(""))
        .arg("--checkpoint")
        .args([&first, &last])
        .arg("--best")
        .arg(&first)
        .arg("--base")
        .arg(&first)
        .arg("--reference")
        .arg(&first)
        .arg("--out")
        .arg(bench.path(out))
        .args(["--threads", "2"])
        .args(more)
        .output()
        .unwrap()
}

#[track_caller]
fn told(bench: &Bench, out: &str, more: &[&str]) -> String {
    let output = run(bench, out, more);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// The Parquet files of a folder and of `best` in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in [folder.to_path_buf(), folder.join("best")] {
        let entries = std::fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "parquet")));
    }
    files.sort();
    files
}

#[test]
fn parts_put_together_are_the_bytes_of_one_process() {
    let bench = bench();
    told(&bench, "whole", &[]);
    let whole = files(&bench.path("whole"));
    // Samples, scores, details and decoded texts of both checkpoints, and the course.
    assert_eq!(whole.len(), 9);
    let samples: Vec<Sample> = parquet::read_all(&bench.path("whole/samples.parquet")).unwrap();
    for world in ["2", "5"] {
        let out = format!("in-{world}");
        for rank in 0..world.parse().unwrap() {
            let rank = usize::to_string(&rank);
            let more = ["--rank", &rank, "--world", world];
            assert!(!told(&bench, &out, &more).contains("up to date"));
            let own = format!("{out}/parts/{rank}-of-{world}/samples.parquet");
            let own: Vec<Sample> = parquet::read_all(&bench.path(&own)).unwrap();
            assert!(!own.is_empty() && own.len() < samples.len());
            assert!(told(&bench, &out, &more).contains("up to date"));
        }
        assert!(told(&bench, &out, &["--merge", world]).contains("parts put together"));
        let merged = files(&bench.path(&out));
        assert_eq!(merged.len(), whole.len());
        for (merged, whole) in merged.iter().zip(&whole) {
            assert_eq!(merged.file_name(), whole.file_name());
            assert_eq!(
                digest(merged).unwrap(),
                digest(whole).unwrap(),
                "{}",
                merged.display()
            );
            let [merged, whole] = [merged, whole].map(|file| parquet::provenance(file).unwrap());
            assert!(merged.same_work(&whole), "{merged:?}");
            assert_eq!(merged.places, whole.places);
        }
        // The whole is there: neither it nor a part is made again, whether the parts are there or not.
        std::fs::remove_dir_all(bench.path(&format!("{out}/parts"))).unwrap();
        for more in [&[][..], &["--merge", world], &["--rank", "0", "--world", world]] {
            assert!(told(&bench, &out, more).contains("up to date"));
        }
    }
}

#[test]
fn parts_of_other_work_are_not_put_together() {
    let bench = bench();
    told(&bench, "out", &["--rank", "0", "--world", "2"]);
    let refused = |more: &[&str], pieces: &[&str]| {
        let output = run(&bench, "out", more);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        for piece in pieces {
            assert!(told.contains(piece), "{told}\nlacks {piece}");
        }
        assert!(!bench.path("out/samples.parquet").exists());
    };
    refused(&["--merge", "2"], &["parts/1-of-2/", "part 1 of 2 is missing"]);
    refused(&["--merge", "3"], &["parts/0-of-3/", "missing"]);
    told(&bench, "out", &["--rank", "1", "--world", "2", "--seed", "9"]);
    refused(&["--merge", "2"], &["parts/1-of-2/", "seed: expected 0, found 9"]);
    told(
        &bench,
        "out",
        &["--rank", "1", "--world", "2", "--set", "extraction.new_tokens=11"],
    );
    refused(
        &["--merge", "2"],
        &["parts/1-of-2/", "setting new_tokens: expected 12, found 11"],
    );
    let output = run(&bench, "out", &["--rank", "2", "--world", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let output = run(&bench, "out", &["--rank", "2", "--merge", "2"]);
    assert_eq!(output.status.code(), Some(2));
}
