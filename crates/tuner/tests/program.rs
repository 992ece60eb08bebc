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
                canary_format: None,
            })
            .collect();
        let held_out: Vec<HeldOutDocument> = (100..104)
            .map(|number| HeldOutDocument {
                doc_id: format!("d{number}"),
                text: text(number),
                prompt_chars: 0,
                kind: DocumentKind::Document,
                role: None,
                near_duplicate_of: None,
                shared_8grams: None,
                canary_format: None,
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
            .args(if more.contains(&"--threads") {
                &[][..]
            } else {
                &["--threads", "1"]
            })
            .args(more)
            .stdout(Stdio::null());
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    #[track_caller]
    fn tune(&self, out: &str) -> PathBuf {
        self.tune_with(out, &[])
    }

    #[track_caller]
    fn tune_with(&self, out: &str, more: &[&str]) -> PathBuf {
        let output = self.run(out, more);
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
    let modes = [
        ("kind = \"full\"", "keep_last = 2\nkeep_best = true"),
        ("kind = \"head\"", "hidden_state_megabytes = 0"),
        ("kind = \"lora\"\nrank = 2\ndropout = 0.2", "patience = 3"),
    ];
    for (mode, tuning) in modes {
        let bench = Bench::tiny(mode, &format!("save_seconds = 0\naccumulation = 2\n{tuning}"));
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
        assert_eq!(kept(&whole), kept(&killed), "{mode}");
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

/// Largest difference of the losses and gradient norms of two runs, relative.
fn difference(first: &Path, second: &Path) -> f64 {
    let (first, second) = (metrics(first), metrics(second));
    assert_eq!(first.len(), second.len());
    let pairs = first.iter().zip(&second);
    pairs
        .map(|(first, second)| {
            assert_eq!(
                (first.step, first.split, first.tokens),
                (second.step, second.split, second.tokens)
            );
            let relative = |first: f64, second: f64| (first - second).abs() / second.abs().max(1e-3);
            relative(first.loss, second.loss).max(relative(first.grad_norm, second.grad_norm))
        })
        .fold(0.0, f64::max)
}

#[test]
fn checkpointing_gives_the_same_bytes_also_where_something_is_dropped() {
    for mode in [
        "kind = \"full\"",
        "kind = \"lora\"\nrank = 2\ndropout = 0.2\ntargets = \"all-linear\"",
    ] {
        let bench = Bench::tiny(mode, "");
        let plain = bench.tune("plain");
        let checkpointed = bench.tune_with("checkpointed", &["--set", "tuning.gradient_checkpointing=true"]);
        assert_eq!(files(&plain), files(&checkpointed), "{mode}");
        assert_eq!(difference(&plain, &checkpointed), 0.0, "{mode}");
    }
}

#[test]
fn passes_threads_and_the_place_of_hidden_states_do_not_matter() {
    for mode in ["full", "head", "lora"] {
        let bench = Bench::tiny(&format!("kind = \"{mode}\""), "");
        let whole = bench.tune("whole");
        // About two rows a pass; hidden states in a file; two threads.
        for more in [
            "tuning.pass_tokens=40",
            "tuning.hidden_state_megabytes=0",
            "tuning.device=\"cpu\"",
        ] {
            let threads = if more.contains("device") { "2" } else { "1" };
            let other = bench.tune_with("other", &["--set", more, "--threads", threads]);
            let difference = difference(&whole, &other);
            assert!(difference < 1e-3, "{mode}, {more}: {difference}");
            assert!(mode != "head" || !more.contains("megabytes") || difference == 0.0);
        }
    }
}

/// Copies that meet in one step are computed once and count as often as they stand there.
#[test]
fn copies_count_as_often_as_they_are() {
    for mode in ["full", "head", "lora"] {
        let bench = Bench::tiny(&format!("kind = \"{mode}\""), "accumulation = 8");
        let path = bench.folder.path().join("train.parquet");
        let mut instances: Vec<TrainingInstance> = parquet::read_all(&path).unwrap();
        // Of 24 rows in one step, 16 are of one text.
        for (place, instance) in instances.iter_mut().enumerate() {
            if place % 3 > 0 {
                instance.text = "The boat that everybody knows left at 5 with 70 crates.".into();
            }
        }
        parquet::write_all(&path, &Provenance::new("test"), &instances).unwrap();
        // Held-out texts are read one by one: before the first step their loss is that of the first step.
        let held_out: Vec<HeldOutDocument> = instances
            .iter()
            .map(|instance| HeldOutDocument {
                doc_id: instance.doc_id.clone(),
                text: instance.text.clone(),
                prompt_chars: 0,
                kind: DocumentKind::Document,
                role: None,
                near_duplicate_of: None,
                shared_8grams: None,
                canary_format: None,
            })
            .collect();
        let path = bench.folder.path().join("heldout.parquet");
        parquet::write_all(&path, &Provenance::new("test"), &held_out).unwrap();
        let rows = metrics(&bench.tune("cell"));
        assert_eq!((rows[0].step, rows[0].split), (0, Split::Heldout));
        assert_eq!((rows[1].step, rows[1].split), (1, Split::Train));
        let error = (rows[0].loss - rows[1].loss).abs() / rows[0].loss;
        assert!(error < 1e-6, "{mode}: {} {}", rows[0].loss, rows[1].loss);
        let read: i64 = bench_tokens(&instances);
        assert_eq!(rows[1].tokens, read, "copies are among the tokens read");
    }
}

/// Tokens that the rows of some texts read: each text's, and the one that begins it.
fn bench_tokens(instances: &[TrainingInstance]) -> i64 {
    let tokenizer = causal_lm::TextTokenizer::load(&tiny()).unwrap();
    let counts = instances
        .iter()
        .map(|instance| (tokenizer.encode(&instance.text).unwrap().len() as i64 + 1).min(47));
    counts.sum()
}

fn kept(cell: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(cell.join("checkpoints")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn checkpoints_are_kept_by_the_rule() {
    // Six epochs of five steps. At this rate the held-out loss is best early and worse at the end.
    let bench = Bench::tiny("kind = \"full\"\nepochs = 6", "");
    let rising = [
        "--set",
        "mode.0.learning_rate=0.05",
        "--set",
        "tuning.schedule=\"constant\"",
    ];
    let run = |out: &str, more: &[&str]| {
        let more: Vec<&str> = rising
            .into_iter()
            .chain(more.iter().flat_map(|set| ["--set", set]))
            .collect();
        bench.tune_with(out, &more)
    };
    let none = run("none", &[]);
    assert!(kept(&none).is_empty());
    let losses = held_out_losses(&none);
    let best = (1..losses.len())
        .min_by(|&first, &second| losses[first].total_cmp(&losses[second]))
        .unwrap();
    assert!(best < 5, "the test needs a loss that rises: {losses:?}");
    let name = |epoch: usize| format!("step-{:08}", 5 * epoch);

    let last = run("last", &["tuning.keep_last=2"]);
    assert_eq!(kept(&last), [name(5), name(6)]);
    let newest = last.join("checkpoints").join(name(6));
    for (file, bytes) in files(&last) {
        assert_eq!(std::fs::read(newest.join(&file)).unwrap(), bytes, "{file}");
    }
    let both = run("both", &["tuning.keep_last=1", "tuning.keep_best=true"]);
    assert_eq!(kept(&both), [name(best), name(6)]);
    // The result is the best; the rule keeps no other.
    let restored = run("restored", &["tuning.restore_best=true"]);
    assert_eq!(kept(&restored), [name(best)]);
    let weights = |folder: PathBuf| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(
        weights(restored.join("checkpoint")),
        weights(both.join("checkpoints").join(name(best)))
    );
    assert_ne!(
        weights(restored.join("checkpoint")),
        weights(none.join("checkpoint"))
    );
    // Nothing better in two evaluations ends it.
    let stopped = run("stopped", &["tuning.patience=2"]);
    assert_eq!(held_out_losses(&stopped), losses[..=best + 2]);
    // Another rule removes what it does not keep.
    assert!(kept(&run("last", &[])).is_empty());
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
            &["step", "learning rate", "Documents of this step: d", "before it"],
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
