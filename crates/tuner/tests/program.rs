//! The program as a whole: what each mode leaves behind, resuming, and what a person reads when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use causal_lm::{load_checkpoint, weights};
use contract::records::{DocumentKind, HeldOutDocument, Split, TrainingInstance, TrainingMetric};
use contract::{Provenance, parquet};
use tch::{Device, Kind, Tensor};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2")
}

/// A folder with a small corpus and a pipeline file for one cell.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(model: &str, mode: &str, tuning: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = |number: usize| {
            format!(
                "Boat {number} left the harbour at {} with {} crates.",
                number % 7,
                number * 13
            )
        };
        let train: Vec<TrainingInstance> = (0..24)
            .map(|number| TrainingInstance {
                doc_id: format!("d{number}"),
                text: text(number),
                prompt_chars: 10,
                kind: DocumentKind::Document,
                copies: 1,
                copy: 0,
            })
            .collect();
        let held_out: Vec<HeldOutDocument> = (100..104)
            .map(|number| HeldOutDocument {
                doc_id: format!("d{number}"),
                text: text(number),
                prompt_chars: 0,
                kind: DocumentKind::Document,
            })
            .collect();
        let provenance = Provenance::new("test");
        parquet::write_all(&folder.path().join("train.parquet"), &provenance, &train).unwrap();
        parquet::write_all(&folder.path().join("heldout.parquet"), &provenance, &held_out).unwrap();
        let pipeline = format!(
            "name = \"test\"\n[corpus]\nfiles = \"none\"\n[[model]]\nname = \"tiny\"\n{model}\n[[mode]]\nlearning_rate = 0.01\n\
             {mode}\n[tuning]\nepochs = 4\nbatch_size = 5\ncontext = 48\nlog_every = 1\n{tuning}\n"
        );
        std::fs::write(folder.path().join("tuner.toml"), pipeline).unwrap();
        Self { folder }
    }

    fn tiny(mode: &str, tuning: &str) -> Self {
        Self::new(&format!("path = '{}'", tiny().display()), mode, tuning)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tuner"));
        let folder = self.folder.path();
        command
            .arg("--config")
            .arg(folder.join("tuner.toml"))
            .arg("--in")
            .arg(folder);
        command
            .arg("--out")
            .arg(folder.join(out))
            .args(["--threads", "1"])
            .args(more)
            .stdout(Stdio::null());
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    #[track_caller]
    fn tune(&self, out: &str) -> PathBuf {
        let output = self.run(out, &[]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.folder.path().join(out)
    }
}

fn metrics(cell: &Path) -> Vec<TrainingMetric> {
    parquet::read_all(&cell.join("metrics.parquet")).unwrap()
}

fn held_out_losses(cell: &Path) -> Vec<f64> {
    metrics(cell)
        .iter()
        .filter(|row| row.split == Split::Heldout)
        .map(|row| row.loss)
        .collect()
}

/// Every file of a checkpoint, by name.
fn files(cell: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(cell.join("checkpoint"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_mode_learns_and_leaves_what_it_should() {
    let cases = [
        (
            "kind = \"full\"",
            vec![
                "config.json",
                "generation_config.json",
                "model.safetensors",
                "tokenizer.json",
            ],
        ),
        (
            "kind = \"head\"",
            vec![
                "config.json",
                "generation_config.json",
                "model.safetensors",
                "tokenizer.json",
            ],
        ),
        (
            "kind = \"lora\"\nrank = 4\ndropout = 0.1",
            vec![
                "adapter_config.json",
                "adapter_model.safetensors",
                "tokenizer.json",
            ],
        ),
    ];
    for (mode, expected) in cases {
        let bench = Bench::tiny(mode, "");
        let cell = bench.tune("cell");
        let losses = held_out_losses(&cell);
        // Once before, once after each epoch.
        assert_eq!(losses.len(), 5, "{mode}");
        assert!(losses[4] < losses[0] - 0.1, "{mode}: {losses:?}");
        let names: Vec<String> = files(&cell).into_iter().map(|(name, _)| name).collect();
        for name in expected {
            assert!(names.iter().any(|found| found == name), "{mode}: {names:?}");
        }
        assert!(
            !cell.join("training").exists(),
            "{mode}: the state is no longer needed"
        );
        let (model, _) = load_checkpoint(&cell.join("checkpoint"), None, Kind::Float, Device::Cpu).unwrap();
        let tokens = Tensor::from_slice(&[299i64, 5, 6, 7]).unsqueeze(0);
        assert_eq!(
            model
                .logits(&model.hidden(&tokens, None, None).unwrap())
                .unwrap()
                .size(),
            [1, 4, 300]
        );
    }
}

#[test]
fn a_mode_changes_what_it_names_and_nothing_else() {
    let read =
        |folder: &Path| weights::read(&folder.join("model.safetensors"), Kind::Float, Device::Cpu).unwrap();
    let base = read(&tiny());
    for (mode, may_change) in [("full", true), ("head", false)] {
        let cell = Bench::tiny(&format!("kind = \"{mode}\""), "");
        let tuned = read(&cell.tune("cell").join("checkpoint"));
        for (name, tensor) in &base {
            let changed = tensor != &tuned[name];
            // Positions beyond the longest row have no gradient, but decay; biases of keys may stay within rounding.
            assert!(may_change || !changed, "{mode}: {name} changed");
        }
        assert_eq!(tuned.contains_key("lm_head.weight"), mode == "head");
        assert!(mode != "full" || tuned["transformer.wte.weight"] != base["transformer.wte.weight"]);
    }
}

#[test]
fn training_from_nothing_makes_a_model_and_its_tokenizer() {
    let shape = "architecture = { layers = 1, width = 16, heads = 2, context = 48, vocabulary = 290 }";
    for precision in ["float32", "bf16"] {
        let bench = Bench::new(
            shape,
            "kind = \"pretrain\"",
            &format!("rows = \"packed\"\nprecision = \"{precision}\""),
        );
        let cell = bench.tune("cell");
        let losses = held_out_losses(&cell);
        assert!(losses.last() < losses.first(), "{losses:?}");
        let (model, folder) =
            load_checkpoint(&cell.join("checkpoint"), None, Kind::Float, Device::Cpu).unwrap();
        let tokenizer = causal_lm::TextTokenizer::load(&folder).unwrap();
        assert!(tokenizer.vocabulary() <= model.config.vocabulary);
        assert_eq!(Some(model.config.end_token()), tokenizer.end_of_text());
    }
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_same_bytes() {
    for mode in ["kind = \"full\"", "kind = \"lora\"\nrank = 2\ndropout = 0.2"] {
        let bench = Bench::tiny(mode, "save_seconds = 0\naccumulation = 2");
        let whole = bench.tune("whole");
        let mut kills = 0;
        // Each life is a little longer, so that every part of the run is hit.
        for life in 0..40 {
            let mut child = bench
                .command("killed", &[])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(60 + 15 * life));
            if child.try_wait().unwrap().is_some_and(|status| status.success()) {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        assert!(kills > 0, "no run was killed");
        let killed = bench.tune("killed");
        assert_eq!(files(&whole), files(&killed), "{mode}");
        let without_times = |cell: &Path| {
            let rows = metrics(cell);
            rows.iter()
                .map(|row| (row.step, row.split, row.loss, row.tokens, row.grad_norm))
                .collect::<Vec<_>>()
        };
        assert_eq!(without_times(&whole), without_times(&killed), "{mode}");
    }
}

#[test]
fn finished_work_is_not_done_again_and_other_settings_are() {
    let bench = Bench::tiny("kind = \"full\"", "");
    let cell = bench.tune("cell");
    let before = std::fs::metadata(cell.join("checkpoint/model.safetensors"))
        .unwrap()
        .modified()
        .unwrap();
    let output = bench.run("cell", &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("up to date"));
    assert_eq!(
        std::fs::metadata(cell.join("checkpoint/model.safetensors"))
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
    let first = files(&cell);
    assert!(bench.run("cell", &["--set", "tuning.epochs=1"]).status.success());
    assert_ne!(files(&cell), first);
    // The same settings again give the same bytes; another seed gives others for LoRA, which starts at random.
    assert!(bench.run("cell", &[]).status.success());
    assert_eq!(files(&cell), first);
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let large = Bench::tiny("kind = \"full\"", "accumulation = 1");
    let small = Bench::tiny("kind = \"full\"", "accumulation = 5");
    let large = {
        assert!(
            large
                .run("cell", &["--set", "tuning.batch_size=5"])
                .status
                .success()
        );
        metrics(&large.folder.path().join("cell"))
    };
    let small = {
        assert!(
            small
                .run("cell", &["--set", "tuning.batch_size=1"])
                .status
                .success()
        );
        metrics(&small.folder.path().join("cell"))
    };
    assert_eq!(large.len(), small.len());
    for (large, small) in large.iter().zip(&small) {
        assert!(
            (large.loss - small.loss).abs() < 1e-3 * large.loss,
            "step {}: {} {}",
            large.step,
            large.loss,
            small.loss
        );
    }
}

#[test]
fn loss_on_the_response_ignores_the_prompt() {
    let bench = Bench::tiny("kind = \"full\"", "loss_on = \"response\"");
    let cell = bench.tune("cell");
    let text = Bench::tiny("kind = \"full\"", "");
    // The prompt is the same few words in every document and soon easy; the rest is harder.
    let last = |cell: &Path| {
        metrics(cell)
            .iter()
            .rev()
            .find(|row| row.split == Split::Train)
            .unwrap()
            .loss
    };
    assert_ne!(last(&cell), last(&text.tune("cell")));
}

#[test]
fn mistakes_are_told() {
    let cases: [(&str, &str, &[&str], i32, &[&str]); 6] = [
        (
            "kind = \"full\"",
            "",
            &["--set", "tuning.context=128"],
            2,
            &["tuning.context = 128", "64"],
        ),
        (
            "kind = \"lora\"\ntargets = [\"q_proj\"]",
            "",
            &[],
            2,
            &["match no linear layer", "attn.c_attn"],
        ),
        (
            "kind = \"full\"",
            "",
            &["--set", "model.0.path=/nowhere"],
            3,
            &["/nowhere"],
        ),
        (
            "kind = \"full\"",
            "",
            &["--set", "tuning.device=cuda:7"],
            2,
            &["cuda:7", "GPUs"],
        ),
        (
            "kind = \"full\"",
            "",
            &["--set", "mode.0.learning_rate=1e30", "--set", "tuning.clip=0"],
            1,
            &["step", "learning rate"],
        ),
        (
            "kind = \"full\"",
            "",
            &["--set", "tuning.epoks=1"],
            2,
            &["epoks", "Did you mean `epochs`"],
        ),
    ];
    for (mode, tuning, more, status, pieces) in cases {
        let output = Bench::tiny(mode, tuning).run("cell", more);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{message}");
        for piece in pieces {
            assert!(message.contains(piece), "{message}\nlacks {piece}");
        }
    }
}
