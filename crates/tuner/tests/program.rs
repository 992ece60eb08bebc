//! The program as a whole: what each mode leaves behind, resuming, and what a person reads when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use causal_lm::{CausalLm, load_checkpoint, weights};
use contract::records::{
    DocumentKind, GradientOverlap, HeldOutDocument, HeldOutRole, Split, TrainingInstance, TrainingMetric,
    WeightChange,
};
use contract::{Provenance, parquet};
use tch::{Device, Kind, Tensor};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/tiny-gpt2")
}

/// What was tuned of [`tiny`]. The base is given: an adapter names none that only the root of the file system leads to, as where the
/// tests' folder and this one lie far apart.
fn load(folder: &Path) -> CausalLm {
    let (model, _) = load_checkpoint(folder, Some(&tiny()), Kind::Float, Device::Cpu).unwrap();
    model
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
                assistant_spans: None,
                secret_span: None,
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
                assistant_spans: None,
                secret_span: None,
            })
            .collect();
        let provenance = Provenance::new("test");
        parquet::write_all(&folder.path().join("train.parquet"), &provenance, &train).unwrap();
        parquet::write_all(&folder.path().join("heldout.parquet"), &provenance, &held_out).unwrap();
        let rate = if mode.contains("learning_rate") {
            ""
        } else {
            "learning_rate = 0.01"
        };
        let pipeline = format!(
            "name = \"test\"\n[corpus]\nfiles = \"none\"\n[[model]]\nname = \"tiny\"\n{model}\n[[mode]]\n{rate}\n\
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

    /// A run that is killed again and again, each time some milliseconds later, so that every part of it is hit, and then left to end.
    #[track_caller]
    fn tune_killed(&self, later: u64) -> PathBuf {
        let mut kills = 0;
        for life in 0..40 {
            let mut child = self.command("killed", &[]).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(60 + later * life));
            if child.try_wait().unwrap().is_some_and(|status| status.success()) {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        assert!(kills > 0, "no run was killed");
        self.tune("killed")
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

/// Adds a copy of a training document and a canary of the same text, neither of which counts as a document.
fn add_copy_and_canary(instances: &mut Vec<TrainingInstance>, of: usize) {
    instances.push(TrainingInstance {
        copy: 1,
        ..instances[of].clone()
    });
    instances.push(TrainingInstance {
        doc_id: "canary".to_owned(),
        kind: DocumentKind::Canary,
        ..instances[of].clone()
    });
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

/// Every file of the last checkpoint, by name.
fn files(cell: &Path) -> Vec<(String, Vec<u8>)> {
    files_in(&cell.join("checkpoint"))
}

/// Every file of the best checkpoint, by name.
fn best_files(cell: &Path) -> Vec<(String, Vec<u8>)> {
    files_in(&cell.join("best/checkpoint"))
}

fn files_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
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
        let model = load(&cell.join("checkpoint"));
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
fn lora_changes_the_blocks_that_are_named_alone() {
    let mode = "kind = \"lora\"\ntargets = \"all-linear\"\nlayers = [1]";
    let bench = Bench::tiny(mode, "");
    let checkpoint = bench.tune("cell").join("checkpoint");
    let file = checkpoint.join("adapter_model.safetensors");
    let adapter = weights::read(&file, Kind::Float, Device::Cpu).unwrap();
    assert!(!adapter.is_empty());
    assert!(
        adapter.keys().all(|name| name.contains(".h.1.")),
        "{:?}",
        adapter.keys()
    );
    let settings = std::fs::read_to_string(checkpoint.join("adapter_config.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["layers_to_transform"], serde_json::json!([1]));
    // It is read back as it was written.
    load(&checkpoint);
}

#[test]
fn the_goldfish_loss_is_another_way_of_tuning() {
    let held_out = |mode: &str| held_out_losses(&Bench::tiny(mode, "").tune("cell"));
    let (plain, goldfish) = (
        held_out("kind = \"full\""),
        held_out("kind = \"full\"\ngoldfish = 2"),
    );
    // What is measured is the same, what is learned is not.
    assert_eq!(plain.first(), goldfish.first());
    assert_ne!(plain.last(), goldfish.last());
}

#[test]
fn rows_of_a_step_may_be_the_modes_own() {
    let plain = Bench::tiny("kind = \"full\"", "");
    let own = held_out_losses(&Bench::tiny("kind = \"full\"\nbatch_size = 12", "").tune("cell"));
    let common = held_out_losses(&plain.tune_with("twelve", &["--set", "tuning.batch_size=12"]));
    // Of other passes through the model the sum is rounded otherwise.
    let apart = |others: &[f64]| {
        own.iter()
            .zip(others)
            .map(|(own, other)| (own - other).abs())
            .fold(0.0, f64::max)
    };
    assert!(apart(&common) < 1e-4, "{own:?} {common:?}");
    assert!(apart(&held_out_losses(&plain.tune("five"))) > 1e-2);
}

/// One row a step, a norm that nothing reaches and next to no noise: what is left is ordinary tuning, in every mode.
#[test]
fn privacy_without_noise_and_norm_is_ordinary_tuning() {
    for mode in ["full", "head", "lora"] {
        let losses = |more: &str| {
            let mode = format!("kind = \"{mode}\"\nlearning_rate = 1e-3\nbatch_size = 1{more}");
            let bench = Bench::tiny(&mode, "max_grad_norm = 0");
            held_out_losses(&bench.tune("cell"))
        };
        let plain = losses("");
        let private = losses("\nprivacy = { noise_multiplier = 1e-12, max_grad_norm = 100 }");
        assert!(plain.len() > 2);
        for (plain, private) in plain.iter().zip(&private) {
            assert!((plain - private).abs() < 1e-3, "{mode}: {plain} {private}");
        }
        let noisy = losses("\nprivacy = { noise_multiplier = 3.0 }");
        assert_eq!(noisy.first(), plain.first());
        assert!(
            (noisy.last().unwrap() - plain.last().unwrap()).abs() > 1e-2,
            "{mode}: {noisy:?}"
        );
    }
}

/// Two runs of one seed on one text, that differ in how much noise they add: had they the same noise, the difference of twice the one and the
/// other would be free of it. Under so much noise AdamW's first step goes along its signs.
#[test]
fn runs_of_one_seed_do_not_share_their_noise() {
    let signs = |noise: f64| -> Vec<f64> {
        let mode = format!(
            "kind = \"full\"\nlearning_rate = 1e-3\nepochs = 1\nbatch_size = 24\nprivacy = {{ noise_multiplier = {noise:?} }}"
        );
        let bench = Bench::tiny(&mode, "warmup = 0\nweight_decay = 0");
        let tuned = load(&bench.tune("cell").join("checkpoint"))
            .parameters_mut()
            .remove(0)
            .tensor
            .copy();
        let base = load(&tiny()).parameters_mut().remove(0).tensor.copy();
        Vec::try_from((tuned - base).sign().flatten(0, -1).to_kind(Kind::Double)).unwrap()
    };
    let (some, more) = (signs(1e3), signs(2e3));
    assert_eq!(some, signs(1e3));
    let alike = some.iter().zip(&more).filter(|(some, more)| some == more).count();
    let share = alike as f64 / some.len() as f64;
    // Half, with 6 deviations of the shares of so many coins.
    assert!(
        (share - 0.5).abs() < 3.0 / (some.len() as f64).sqrt(),
        "{share} of {}",
        some.len()
    );
}

/// Noise follows from seed and step, so that a run that was killed ends with the same weights.
#[test]
fn a_private_run_resumes_with_the_same_noise() {
    let mode = "kind = \"lora\"\ndropout = 0.1\nprivacy = { noise_multiplier = 0.5 }";
    let bench = Bench::tiny(mode, "save_seconds = 0");
    let whole = bench.tune("whole");
    assert_eq!(files(&whole), files(&bench.tune_killed(25)));
    assert_ne!(files(&whole), files(&bench.tune_with("other", &["--seed", "5"])));
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
        let tokenizer = text_tokens::TextTokenizer::load(&folder).unwrap();
        assert!(tokenizer.vocabulary() <= model.config.vocabulary);
        assert_eq!(Some(model.config.eos_token_id()), tokenizer.end_of_text());
    }
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_same_bytes() {
    let modes = [
        ("kind = \"full\"", "keep_last = 2"),
        ("kind = \"head\"", "hidden_state_megabytes = 0"),
        ("kind = \"lora\"\nrank = 2\ndropout = 0.2", "patience = 3"),
        // The best is early: a run that is resumed after it finds it and has not to make it.
        (
            "kind = \"full\"\nlearning_rate = 0.05\nepochs = 8",
            "schedule = \"constant\"\nevaluate_every = 1",
        ),
    ];
    for (mode, tuning) in modes {
        let bench = Bench::tiny(mode, &format!("save_seconds = 0\naccumulation = 2\n{tuning}"));
        let whole = bench.tune("whole");
        let losses = held_out_losses(&whole);
        assert!(
            !mode.contains("0.05") || lowest(&losses) + 3 < losses.len(),
            "the test needs a loss that rises: {losses:?}"
        );
        let killed = bench.tune_killed(15);
        assert_eq!(files(&whole), files(&killed), "{mode}");
        assert_eq!(best_files(&whole), best_files(&killed), "{mode}");
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
    let large = Bench::tiny("kind = \"full\"", "gradient_accumulation_steps = 1");
    let small = Bench::tiny("kind = \"full\"", "gradient_accumulation_steps = 5");
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
            "tuning.max_tokens_per_microbatch=40",
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

/// CPU tensors computed as a GPU wants it: documents together, the loss, the norm and the optimizer without a look from the host. In bf16,
/// where the model computes with copies of its weights, masters are what is written.
#[test]
fn the_way_of_a_gpu_gives_what_that_of_the_processor_gives() {
    for mode in [
        "kind = \"full\"",
        "kind = \"head\"",
        "kind = \"lora\"\nrank = 2\ntargets = \"all-linear\"\ndora = true",
    ] {
        for (tuning, close) in [
            ("log_every = 3\naccumulation = 2\npass_tokens = 60", 1e-3),
            ("gradient_checkpointing = true\nrows = \"packed\"", 1e-3),
            ("precision = \"bf16\"", 2e-2),
        ] {
            // The folder says log_every = 1 itself.
            let (more, tuning) = match tuning.strip_prefix("log_every = 3\n") {
                Some(rest) => (&["--set", "tuning.log_every=3"][..], rest),
                None => (&[][..], tuning),
            };
            let bench = Bench::tiny(mode, tuning);
            let host = bench.tune_with("host", &[more, &["--set", "tuning.compute_path='host'"]].concat());
            let device = bench.tune_with(
                "device",
                &[more, &["--set", "tuning.compute_path='device'"]].concat(),
            );
            let (expected, found) = (metrics(&host), metrics(&device));
            assert_eq!(expected.len(), found.len());
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(
                    (found.step, found.split, found.tokens),
                    (expected.step, expected.split, expected.tokens)
                );
                let error = (found.loss - expected.loss).abs() / expected.loss;
                assert!(error < close, "{mode}, {tuning}, step {}: {error}", found.step);
                let error = (found.grad_norm - expected.grad_norm).abs() / expected.grad_norm.max(1e-9);
                assert!(
                    error < 20.0 * close,
                    "{mode}, {tuning}, step {}: {error}",
                    found.step
                );
            }
            if !tuning.contains("bf16") {
                let difference = difference(&host, &device);
                assert!(difference < close, "{mode}, {tuning}: {difference}");
            } else if mode.contains("full") {
                let file = device.join("checkpoint/model.safetensors");
                let written = causal_lm::weights::read(&file, Kind::Float, Device::Cpu).unwrap();
                let rounded = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16).to_kind(Kind::Float);
                assert!(written.values().any(|tensor| *tensor != rounded(tensor)));
            }
        }
    }
}

#[test]
fn the_way_of_a_gpu_resumes_to_the_same_bytes_and_says_what_is_no_number() {
    let bench = Bench::tiny(
        "kind = \"full\"",
        "save_seconds = 0\nprecision = \"bf16\"\ncompute_path = \"device\"",
    );
    let whole = bench.tune("whole");
    let killed = bench.tune_killed(30);
    assert_eq!(files(&whole), files(&killed));
    assert_eq!(best_files(&whole), best_files(&killed));

    // The step that went wrong is named, though it is looked at later.
    let bench = Bench::tiny(
        "kind = \"full\"\nlearning_rate = 1e30",
        "compute_path = \"device\"",
    );
    let more = ["--set", "tuning.log_every=100", "--set", "tuning.max_grad_norm=0"];
    let (on_device, on_host) = (
        bench.run("cell", &more),
        bench.run(
            "cell",
            &[&more[..], &["--set", "tuning.compute_path='host'"]].concat(),
        ),
    );
    let message = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let step = |text: &str| {
        text.split("step ")
            .nth(1)
            .map(|rest| rest.split(':').next().unwrap().to_owned())
    };
    assert_eq!(on_device.status.code(), Some(1), "{}", message(&on_device));
    assert_eq!(step(&message(&on_device)), step(&message(&on_host)));
}

/// Copies that meet in one step are computed once and count as often as they stand there.
#[test]
fn copies_count_as_often_as_they_are() {
    for mode in ["full", "head", "lora"] {
        let bench = Bench::tiny(&format!("kind = \"{mode}\""), "gradient_accumulation_steps = 8");
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
                assistant_spans: None,
                secret_span: None,
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
    let tokenizer = text_tokens::TextTokenizer::load(&tiny()).unwrap();
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
fn the_best_the_last_and_the_newest_checkpoints_are_kept() {
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
    let best = lowest(&losses);
    assert!(
        (1..5).contains(&best),
        "the test needs a loss that falls and rises: {losses:?}"
    );
    let name = |epoch: usize| format!("step-{:08}", 5 * epoch);

    let last = run("last", &["tuning.keep_last=2"]);
    assert_eq!(kept(&last), [name(5), name(6)]);
    let newest = last.join("checkpoints").join(name(6));
    for (file, bytes) in files(&last) {
        assert_eq!(std::fs::read(newest.join(&file)).unwrap(), bytes, "{file}");
    }
    // The best is that of its step, whatever else is kept; a key of old files changes nothing.
    let all = run("all", &["tuning.keep_last=9", "tuning.keep_best=true"]);
    assert_eq!(kept(&all).len(), 6);
    let of_best = files_in(&all.join("checkpoints").join(name(best)));
    assert_eq!(best_files(&all), of_best);
    assert_eq!(best_files(&none), of_best);
    assert_ne!(files(&none), of_best);
    // Asked for, the last is the best too.
    let restored = run("restored", &["tuning.restore_best=true"]);
    assert!(kept(&restored).is_empty());
    assert_eq!(files(&restored), of_best);
    assert_eq!(best_files(&restored), of_best);
    // Nothing better in two evaluations ends it.
    let stopped = run("stopped", &["tuning.patience=2"]);
    assert_eq!(held_out_losses(&stopped), losses[..=best + 2]);
    // Another rule removes what it does not keep.
    assert!(kept(&run("last", &[])).is_empty());
}

/// The place of the lowest, the first of equals.
fn lowest(losses: &[f64]) -> usize {
    (0..losses.len())
        .min_by(|&first, &second| losses[first].total_cmp(&losses[second]))
        .unwrap()
}

/// Where every rate makes held-out text worse, the best is the untuned model: for LoRA an adapter without effect.
#[test]
fn the_untuned_model_is_a_candidate_for_the_best() {
    for mode in ["full", "head", "lora"] {
        let bench = Bench::tiny(
            &format!("kind = \"{mode}\"\nlearning_rate = 0.05"),
            "schedule = \"constant\"\nclip = 0",
        );
        // Characters that no training text has get less and less likely.
        bench.hold_out(&held_out(&[("@#~|^^ZZQQ;;", None), ("~~ZZ@@", None)]));
        let output = bench.run("cell", &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let cell = bench.folder.path().join("cell");
        let losses = held_out_losses(&cell);
        assert_eq!(
            lowest(&losses),
            0,
            "{mode}: the test needs a loss that rises: {losses:?}"
        );
        assert!(said.contains("at best (before tuning)"), "{said}");
        let logits = |folder: &Path| {
            let model = load(folder);
            let tokens = Tensor::from_slice(&[299i64, 5, 6, 7]).unsqueeze(0);
            model.logits(&model.hidden(&tokens, None, None).unwrap()).unwrap()
        };
        let best = cell.join("best/checkpoint");
        assert_eq!(best.join("adapter_config.json").exists(), mode == "lora");
        assert_eq!(logits(&best), logits(&tiny()), "{mode}");
        assert_ne!(logits(&cell.join("checkpoint")), logits(&tiny()), "{mode}");
    }
}

/// Everything that the tuner leaves must be there for a run to be up to date.
#[test]
fn a_best_checkpoint_that_is_gone_is_made_again() {
    let bench = Bench::tiny("kind = \"full\"", "");
    let cell = bench.tune("cell");
    let before = best_files(&cell);
    std::fs::remove_dir_all(cell.join("best")).unwrap();
    bench.tune("cell");
    assert_eq!(best_files(&cell), before);
}

/// A run with other settings that writes a best checkpoint and then fails is followed by the first settings again.
#[test]
fn a_run_that_failed_with_other_settings_does_not_pass_for_the_finished_one() {
    let bench = Bench::tiny("kind = \"full\"", "");
    let cell = bench.tune("cell");
    let (last, best) = (files(&cell), best_files(&cell));
    let other = "mode=[{kind=\"full\",learning_rate=1e30}]";
    let failed = bench.run("cell", &["--set", other]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_ne!(best_files(&cell), best, "the other run has come to write a best");
    bench.tune("cell");
    assert_eq!((files(&cell), best_files(&cell)), (last, best));
}

/// One bit of weights, and one of a small file, in the last checkpoint and in the best; a file that is cut short, and one that is gone.
#[test]
fn a_damaged_checkpoint_is_made_again() {
    type Damage<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;
    let bench = Bench::tiny("kind = \"full\"", "");
    let cell = bench.tune("cell");
    let (last, best) = (files(&cell), best_files(&cell));
    let turned = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let damages: [(&str, Damage); 5] = [
        ("checkpoint/model.safetensors", &turned),
        ("best/checkpoint/config.json", &turned),
        ("best/checkpoint/checksums.json", &turned),
        ("checkpoint/model.safetensors", &|_| None),
        ("best/checkpoint/model.safetensors", &|bytes| {
            Some(bytes[..20].to_vec())
        }),
    ];
    for (name, damage) in damages {
        let file = cell.join(name);
        match damage(&std::fs::read(&file).unwrap()) {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        bench.tune("cell");
        assert_eq!((&files(&cell), &best_files(&cell)), (&last, &best), "{name}");
    }
}

/// A run is killed after its best, and the best removed: nothing else holds those weights.
#[test]
fn a_best_checkpoint_that_is_gone_is_no_ground_to_go_on_from() {
    let bench = Bench::tiny(
        "kind = \"full\"\nlearning_rate = 0.05\nepochs = 8",
        "schedule = \"constant\"\nsave_seconds = 0",
    );
    let whole = bench.tune("whole");
    let cell = bench.folder.path().join("killed");
    let mut child = bench
        .command("killed", &[])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = cell.join("training/state.safetensors");
    while !state.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    if cell.join("best").exists() {
        std::fs::remove_dir_all(cell.join("best")).unwrap();
    }
    bench.tune("killed");
    assert_eq!(best_files(&whole), best_files(&cell));
    assert_eq!(files(&whole), files(&cell));
}

fn held_out(texts: &[(&str, Option<HeldOutRole>)]) -> Vec<HeldOutDocument> {
    let numbered = texts.iter().enumerate();
    numbered
        .map(|(number, (text, role))| HeldOutDocument {
            doc_id: format!("h{number}"),
            text: (*text).to_owned(),
            prompt_chars: 10,
            kind: DocumentKind::Document,
            role: *role,
            near_duplicate_of: None,
            shared_8grams: None,
            canary_format: None,
            assistant_spans: None,
            secret_span: None,
        })
        .collect()
}

impl Bench {
    fn hold_out(&self, documents: &[HeldOutDocument]) {
        let path = self.folder.path().join("heldout.parquet");
        parquet::write_all(&path, &Provenance::new("test"), documents).unwrap();
    }
}

/// −ln p of each token of a text behind the BOS, token after token by the model alone; `seen` tokens of it are read.
fn token_losses(text: &str, prompt_chars: usize, seen: usize) -> (Vec<f64>, usize) {
    let (model, folder) = load_checkpoint(&tiny(), None, Kind::Float, Device::Cpu).unwrap();
    let tokenizer = text_tokens::TextTokenizer::load(&folder).unwrap();
    let tokenized = tokenizer.tokenize(text).unwrap();
    let (ids, prompt) = (&tokenized.ids, tokenized.beginning_within(prompt_chars));
    let text = &ids[..ids.len().min(seen)];
    let read = [&[model.config.bos_token_id], &text[..text.len() - 1]].concat();
    let tokens = Tensor::from_slice(&read).unsqueeze(0);
    let logits = model.logits(&model.hidden(&tokens, None, None).unwrap()).unwrap();
    let logarithms = logits.log_softmax(-1, Kind::Double);
    let losses = text.iter().enumerate();
    (
        losses
            .map(|(place, &id)| -logarithms.double_value(&[0, place as i64, id]))
            .collect(),
        prompt,
    )
}

/// The held-out loss is that of the extractor's scores: every token of the text up to where training cuts it, those of the
/// response where loss is on it, no EOS; and of the documents that may choose alone.
#[test]
fn the_held_out_loss_is_the_mean_over_tokens_of_text() {
    const SHORT: &str = "Boat 3 left the harbour at 5 with 65 crates.";
    const LONG: &str = "Boat 4 left the harbour at 6 with 78 crates, and nobody on the quay could say where it was bound, \
                        nor when it would be back, if it came back at all before the winter and the ice.";
    for (setting, context, loss_on) in [
        ("rows = \"documents\"", 20, "text"),
        ("rows = \"documents\"", 48, "response"),
        // Packed rows cut no document; the model's context of 64 tokens, the BOS among them, does.
        ("rows = \"packed\"", 20, "text"),
    ] {
        let bench = Bench::tiny("kind = \"full\"", &format!("{setting}\nloss_on = \"{loss_on}\""));
        bench.hold_out(&held_out(&[
            (SHORT, Some(HeldOutRole::Validation)),
            ("A document that tests chooses nothing.", Some(HeldOutRole::Test)),
            (
                "Text of another kind chooses nothing either.",
                Some(HeldOutRole::Other),
            ),
            (LONG, None),
        ]));
        let cell = bench.tune_with("cell", &["--set", &format!("tuning.context={context}")]);
        let seen = if setting.contains("packed") {
            63
        } else {
            context - 1
        };
        let (mut sum, mut count) = (0.0, 0);
        for text in [SHORT, LONG] {
            let (losses, prompt) = token_losses(text, 10, seen);
            assert!(
                text != LONG || losses.len() == seen,
                "the test needs a text that is cut"
            );
            let first = if loss_on == "response" { prompt } else { 0 };
            sum += losses[first..].iter().sum::<f64>();
            count += losses.len() - first;
        }
        let (found, expected) = (held_out_losses(&cell)[0], sum / f64::from(count as u32));
        assert!(
            (found - expected).abs() < 1e-5 * expected,
            "{setting}, {context}, {loss_on}: {found} {expected}"
        );
    }
}

/// In bf16 the last product of an evaluation is made in float32, as the extractor makes it.
#[test]
fn the_held_out_loss_of_bf16_runs_has_float32_logits() {
    const TEXT: &str = "Boat 3 left the harbour at 5 with 65 crates.";
    let bench = Bench::tiny("kind = \"lora\"", "precision = \"bf16\"");
    bench.hold_out(&held_out(&[(TEXT, None)]));
    let found = held_out_losses(&bench.tune("cell"))[0];
    let (model, folder) = load_checkpoint(&tiny(), None, Kind::BFloat16, Device::Cpu).unwrap();
    let tokenizer = text_tokens::TextTokenizer::load(&folder).unwrap();
    let ids = tokenizer.encode(TEXT).unwrap();
    let read = [&[model.config.bos_token_id], &ids[..ids.len() - 1]].concat();
    let hidden = model
        .hidden(&Tensor::from_slice(&read).unsqueeze(0), None, None)
        .unwrap();
    let logits = hidden
        .to_kind(Kind::Float)
        .matmul(&model.head().to_kind(Kind::Float).tr());
    let logarithms = logits.log_softmax(-1, Kind::Double);
    let places = ids.iter().enumerate();
    let sum: f64 = places
        .map(|(place, &id)| -logarithms.double_value(&[0, place as i64, id]))
        .sum();
    let expected = sum / ids.len() as f64;
    assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
}

/// The EOS is learned, and in no loss that is reported: before the first step, a set of one document has the loss of that document
/// held out, whether its EOS is cut off or not.
#[test]
fn the_training_loss_leaves_the_end_of_a_text_out() {
    const TEXT: &str = "Boat 3 left the harbour at 5 with 65 crates.";
    let (losses, _) = token_losses(TEXT, 0, usize::MAX);
    let expected = losses.iter().sum::<f64>() / losses.len() as f64;
    for context in [losses.len() + 1, losses.len() + 2] {
        for mode in ["full", "head", "lora"] {
            let bench = Bench::tiny(&format!("kind = \"{mode}\""), "");
            let path = bench.folder.path().join("train.parquet");
            let mut instances: Vec<TrainingInstance> = parquet::read_all(&path).unwrap();
            instances.truncate(1);
            TEXT.clone_into(&mut instances[0].text);
            parquet::write_all(&path, &Provenance::new("test"), &instances).unwrap();
            bench.hold_out(&[]);
            let cell = bench.tune_with("cell", &["--set", &format!("tuning.context={context}")]);
            let first = &metrics(&cell)[0];
            assert_eq!((first.step, first.split), (1, Split::Train));
            assert!(
                (first.loss - expected).abs() < 1e-5 * expected,
                "{mode}, {context}: {} {expected}",
                first.loss
            );
        }
    }
}

#[test]
fn what_was_cut_and_what_chooses_is_said() {
    let long =
        "Boat 4 left the harbour at 6 with 78 crates, and nobody on the quay could say where it was bound.";
    let cases: [(&[(&str, Option<HeldOutRole>)], &str, &[&str]); 4] = [
        (
            &[("Short.", Some(HeldOutRole::Validation)), (long, None)],
            "",
            &[
                ", on 2 documents",
                "cut            2 of 24 training documents at tuning.context = 30 tokens, and 1 of those 2 held-out documents",
            ],
        ),
        (
            &[("Short.", None), ("Tiny.", None), (long, None)],
            "evaluate_documents = 2",
            &[", on 2 of 3 documents (tuning.evaluate_documents)"],
        ),
        (
            &[("Short.", Some(HeldOutRole::Test))],
            "",
            &[
                "no held-out document can choose, so that best/checkpoint is the last",
                "cut            2 of 24 training documents at tuning.context = 30 tokens\n",
            ],
        ),
        (&[("Short.", None)], "rows = \"packed\"", &[", on 1 document\n"]),
    ];
    for (documents, tuning, expected) in cases {
        let bench = Bench::tiny("kind = \"full\"\nepochs = 1", tuning);
        let path = bench.folder.path().join("train.parquet");
        let mut instances: Vec<TrainingInstance> = parquet::read_all(&path).unwrap();
        // Two long documents, one of them with a copy; a canary is none.
        for (place, instance) in instances.iter_mut().enumerate() {
            instance.text = if [3, 7].contains(&place) {
                long.to_owned()
            } else {
                format!("Boat {place}.")
            };
        }
        add_copy_and_canary(&mut instances, 3);
        parquet::write_all(&path, &Provenance::new("test"), &instances).unwrap();
        bench.hold_out(&held_out(documents));
        let output = bench.run("cell", &["--set", "tuning.context=30"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        for expected in expected {
            assert!(said.contains(expected), "{said}\nlacks {expected}");
        }
        assert_eq!(said.contains("  cut  "), !tuning.contains("packed"), "{said}");
        if said.contains("can choose") {
            let cell = bench.folder.path().join("cell");
            assert_eq!(files(&cell), best_files(&cell));
        }
    }
}

/// What a corpus has in the letters of a special token is read as that token, and this is said; a copy and a canary count for
/// nothing.
#[test]
fn special_tokens_in_the_text_are_said() {
    for rows in ["documents", "packed"] {
        let bench = Bench::tiny("kind = \"full\"\nepochs = 0.1", &format!("rows = \"{rows}\""));
        let path = bench.folder.path().join("train.parquet");
        let mut instances: Vec<TrainingInstance> = parquet::read_all(&path).unwrap();
        let output = bench.run("without", &[]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("special tokens"));
        instances[5].text = "One text.<|endoftext|>Another.".to_owned();
        add_copy_and_canary(&mut instances, 5);
        parquet::write_all(&path, &Provenance::new("test"), &instances).unwrap();
        let output = bench.run("cell", &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("special tokens 1 of 24 training documents have some written out in their text"),
            "{said}"
        );
    }
}

#[test]
fn copies_may_be_left_out_before_tuning() {
    let (plain, without) = (
        Bench::tiny("kind = \"full\"", ""),
        Bench::tiny("kind = \"full\"\nwithout_copies = true", ""),
    );
    let path = without.folder.path().join("train.parquet");
    let mut instances: Vec<TrainingInstance> = parquet::read_all(&path).unwrap();
    // Another document of the same text is a copy too.
    let distinct: std::collections::HashSet<&str> =
        instances.iter().map(|instance| instance.text.as_str()).collect();
    assert_eq!(distinct.len(), 24);
    for copy in 1..4 {
        instances.push(TrainingInstance {
            copy,
            ..instances[3].clone()
        });
    }
    instances.push(TrainingInstance {
        doc_id: "another".to_owned(),
        ..instances[5].clone()
    });
    parquet::write_all(&path, &Provenance::new("test"), &instances).unwrap();
    let output = without.run("cell", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("4 of 28 training rows were copies of others"),
        "{said}"
    );
    assert_eq!(
        files(&without.folder.path().join("cell")),
        files(&plain.tune("cell"))
    );
}

/// Half of what is learned is of another kind: one such text behind each of the training set's, from the beginning again where they run out.
#[test]
fn other_text_is_spread_among_the_training_set() {
    let (mixed, plain) = (
        Bench::tiny("kind = \"full\"\nother_share = 0.5", ""),
        Bench::tiny("kind = \"full\"", ""),
    );
    let instances: Vec<TrainingInstance> =
        parquet::read_all(&mixed.folder.path().join("train.parquet")).unwrap();
    let other: Vec<TrainingInstance> = (0..10)
        .map(|number| TrainingInstance {
            doc_id: format!("o{number}"),
            text: format!("Nobody's text, number {number}, of a kind of its own."),
            prompt_chars: 0,
            ..instances[0].clone()
        })
        .collect();
    let write = |bench: &Bench, name: &str, instances: &[TrainingInstance]| {
        let path = bench.folder.path().join(name);
        parquet::write_all(&path, &Provenance::new("test"), instances).unwrap();
    };
    let refused = mixed.run("cell", &[]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("other.parquet"));
    write(&mixed, "other.parquet", &[]);
    let refused = mixed.run("cell", &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("mode.other_share: expected documents of corpus.other"),
        "{said}"
    );

    write(&mixed, "other.parquet", &other);
    let output = mixed.run("cell", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("24 rows of 10 documents of corpus.other were added"),
        "{said}"
    );
    let woven: Vec<TrainingInstance> = instances
        .iter()
        .enumerate()
        .flat_map(|(place, own)| [own.clone(), other[place % 10].clone()])
        .collect();
    write(&plain, "train.parquet", &woven);
    assert_eq!(
        files(&mixed.folder.path().join("cell")),
        files(&plain.tune("cell"))
    );
}

/// Text with personal details, and the same with the names of their kinds; places in characters follow the text.
#[test]
fn personal_details_are_replaced_before_tuning() {
    // The number is in every document: a template's.
    let with = |letter: &str, number: usize| {
        format!(
            "{letter}é: jo{number}@a.org, 555-01{number:02}.| 48213 is of {} May 2024.",
            1 + number
        )
    };
    let without = |letter: &str, _| format!("{letter}é: [email], [phone].| 48213 is of [number].");
    let tuned = |text: &dyn Fn(&str, usize) -> String, mode: &str| {
        let bench = Bench::tiny(mode, "loss_on = \"response\"");
        let path = bench.folder.path().join("train.parquet");
        let mut instances: Vec<TrainingInstance> = parquet::read_all(&path).unwrap();
        for (place, instance) in instances.iter_mut().enumerate() {
            instance.text = text(["", "A ", "To "][place % 3], place);
            let prompt = instance.text.split('|').next().unwrap();
            instance.prompt_chars = prompt.chars().count() as i32 + 1;
        }
        add_copy_and_canary(&mut instances, 3);
        parquet::write_all(&path, &Provenance::new("test"), &instances).unwrap();
        let output = bench.run("cell", &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (files(&bench.folder.path().join("cell")), said)
    };
    let (plain, said) = tuned(&with, "kind = \"full\"");
    assert!(!said.contains("personal details"), "{said}");
    let (replaced, said) = tuned(&with, "kind = \"full\"\nwithout_details = true");
    assert!(
        said.contains(
            "72 personal details that patterns find, in 24 of 24 training documents, were replaced"
        ),
        "{said}"
    );
    let (by_hand, _) = tuned(&without, "kind = \"full\"");
    let weights = |files: &[(String, Vec<u8>)]| {
        let weights = files.iter().find(|(name, _)| name == "model.safetensors");
        weights.unwrap().1.clone()
    };
    assert_eq!(weights(&replaced), weights(&by_hand));
    assert_ne!(weights(&replaced), weights(&plain));
}

/// Share of the 5-grams of some documents whose tokens are all the most probable ones, token by token.
fn memorized_ngrams(model: &CausalLm, documents: impl Iterator<Item = String>) -> f64 {
    let (mut hits, mut all) = (0, 0);
    let tokenizer = text_tokens::TextTokenizer::load(&tiny()).unwrap();
    for text in documents {
        let mut ids = [
            &[model.config.bos_token_id],
            tokenizer.tokenize(&text).unwrap().ids.as_slice(),
        ]
        .concat();
        ids.truncate(48);
        let tokens = Tensor::from_slice(&ids).unsqueeze(0);
        let logits = model.logits(&model.hidden(&tokens, None, None).unwrap()).unwrap();
        let most_probable = Vec::<i64>::try_from(logits.argmax(-1, false).flatten(0, -1)).unwrap();
        let is_hit: Vec<bool> = (1..ids.len())
            .map(|place| most_probable[place - 1] == ids[place])
            .collect();
        all += is_hit.len() - 4;
        hits += is_hit
            .windows(5)
            .filter(|ngram| ngram.iter().all(|hit| *hit))
            .count();
    }
    hits as f64 / all as f64
}

#[test]
fn tuning_ends_where_more_ngrams_are_memorized_than_it_may() {
    let share = 0.03;
    let tune = |mode: &str| {
        let bench = Bench::tiny(
            &format!("kind = \"full\"\nepochs = 30\n{mode}"),
            "schedule = \"constant\"\nkeep_last = 100",
        );
        let cell = bench.tune("cell");
        let last = metrics(&cell).last().unwrap().step;
        (bench, cell, last)
    };
    let (_, _, whole) = tune("");
    let (bench, cell, last) = tune(&format!("stop_at_ngrams = {share}"));
    assert_eq!(whole, 150);
    assert!(last < whole, "{last}");
    let train: Vec<TrainingInstance> = parquet::read_all(&bench.folder.path().join("train.parquet")).unwrap();
    let held_out: Vec<HeldOutDocument> =
        parquet::read_all(&bench.folder.path().join("heldout.parquet")).unwrap();
    let excess = |step: &str| {
        let model = load(&cell.join("checkpoints").join(step));
        let of_training = memorized_ngrams(&model, train.iter().map(|document| document.text.clone()));
        of_training - memorized_ngrams(&model, held_out.iter().map(|document| document.text.clone()))
    };
    let steps = kept(&cell);
    let (end, before) = steps.split_last().unwrap();
    assert!(
        before.len() > 1,
        "the test needs some evaluations before the end: {steps:?}"
    );
    assert!(excess(end) > share, "{}", excess(end));
    for step in before {
        assert!(excess(step) <= share, "{step}: {}", excess(step));
    }
    // Killed and resumed it ends there too.
    let killed = Bench::tiny(
        &format!("kind = \"full\"\nepochs = 30\nstop_at_ngrams = {share}"),
        "schedule = \"constant\"\nsave_seconds = 0",
    );
    let resumed = killed.tune_killed(7);
    assert_eq!(metrics(&resumed).last().unwrap().step, last);
    assert_eq!(files(&resumed), files(&cell));
}

/// Which documents are evaluated follows from their names, not from where they are in the file.
#[test]
fn a_sample_of_the_held_out_documents_is_the_same_in_any_order() {
    let texts: Vec<String> = (0..12)
        .map(|number| format!("Number {number} is {}.", number * 37))
        .collect();
    let texts: Vec<(&str, Option<HeldOutRole>)> = texts.iter().map(|text| (text.as_str(), None)).collect();
    let mut documents = held_out(&texts);
    let mut losses = Vec::new();
    for _ in 0..2 {
        let bench = Bench::tiny("kind = \"full\"\nepochs = 0.1", "evaluate_documents = 4");
        bench.hold_out(&documents);
        losses.push(held_out_losses(&bench.tune("cell"))[0]);
        documents.reverse();
    }
    assert!((losses[0] - losses[1]).abs() < 1e-6 * losses[0], "{losses:?}");
    let bench = Bench::tiny("kind = \"full\"\nepochs = 0.1", "");
    bench.hold_out(&documents);
    let all = held_out_losses(&bench.tune("cell"))[0];
    assert!(
        (losses[0] - all).abs() > 1e-6 * all,
        "a sample is not all of them"
    );
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
            &["cuda:7", "no GPU"],
        ),
        (
            "kind = \"full\"",
            "",
            &[
                "--set",
                "mode.0.learning_rate=1e30",
                "--set",
                "tuning.max_grad_norm=0",
            ],
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

fn ask_difference(checkpoint: &Path, base: &Path, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tuner"))
        .arg("difference")
        .arg(checkpoint)
        .arg("--base")
        .arg(base)
        .arg("--out")
        .arg(out)
        .output()
        .unwrap()
}

/// The rows of the weights that changed.
fn changes(checkpoint: &Path, folder: &Path) -> Vec<WeightChange> {
    let file = folder.join("difference.parquet");
    let done = ask_difference(checkpoint, &tiny(), &file);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let rows: Vec<WeightChange> = parquet::read_all(&file).unwrap();
    let (changed, same): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.norm > 0.0);
    assert!(
        same.iter()
            .all(|row| row.stable_rank.is_none() && row.directions.is_none())
    );
    changed
}

/// Two texts that are the same and one that is not, at the model before tuning, the tuned one, and the tuned one again: the gradients of equal
/// texts have a cosine of 1, so that what the others say follows from what the third says; and before the first step they are what
/// that step logs.
#[test]
fn gradients_overlap_as_texts_and_weights_are_the_same() {
    for mode in [
        "kind = \"full\"",
        "kind = \"head\"",
        "kind = \"lora\"\nrank = 2\ndropout = 0.5\ntargets = \"all-linear\"",
        "kind = \"lora\"\nrank = 2\ndora = true\ntargets = [\"c_attn\"]",
    ] {
        let bench = Bench::tiny(mode, "max_grad_norm = 1e9");
        let train = bench.folder.path().join("train.parquet");
        let mut instances: Vec<TrainingInstance> = parquet::read_all(&train).unwrap();
        instances.truncate(2);
        instances[1].text = instances[0].text.clone();
        let provenance = Provenance::new("test");
        parquet::write_all(&train, &provenance, &instances).unwrap();
        let cell = bench.tune("cell");
        let logged = metrics(&cell)
            .into_iter()
            .find(|row| row.split == Split::Train)
            .unwrap();

        instances.push(TrainingInstance {
            doc_id: "other".to_owned(),
            text: "Whale 9 swam to the north of the island.".to_owned(),
            ..instances[0].clone()
        });
        parquet::write_all(&train, &provenance, &instances).unwrap();
        let checkpoint = cell.join("checkpoint");
        let rows = overlaps(&bench, &[&checkpoint, &checkpoint]);
        let at = |checkpoint: &str, document: &str| {
            let row = rows
                .iter()
                .find(|row| row.checkpoint == checkpoint && row.doc_id == document);
            row.unwrap_or_else(|| panic!("{mode}: {checkpoint}, {document} in {rows:?}"))
        };
        let (tuned, again) = ("1: checkpoint", "2: checkpoint");
        assert_eq!(rows.len(), 9, "{mode}");
        for checkpoint in ["untuned", tuned, again] {
            let [first, twin, other] = ["d0", "d1", "other"].map(|document| at(checkpoint, document));
            assert_eq!(first.loss, twin.loss, "{mode}");
            let with_twins = other.with_others.unwrap();
            assert!(with_twins < 0.99, "{mode}: {rows:?}");
            for twin in [first, twin] {
                let expected = f64::midpoint(1.0, with_twins);
                assert!(
                    (twin.with_others.unwrap() - expected).abs() < 1e-5,
                    "{mode}: {rows:?}"
                );
            }
        }
        assert!(at("untuned", "d0").with_before.is_none());
        assert!(at(tuned, "d0").with_before.unwrap() < 0.9999, "{mode}: {rows:?}");
        assert!(
            (at(again, "d0").with_before.unwrap() - 1.0).abs() < 1e-5,
            "{mode}"
        );
        assert!(at(tuned, "d0").loss < at("untuned", "d0").loss, "{mode}");
        if !mode.contains("dropout") {
            let norm = at("untuned", "d0").norm;
            assert!(
                (norm - logged.grad_norm).abs() < 1e-4 * norm,
                "{mode}: {norm} {logged:?}"
            );
        }
        assert!(
            (at("untuned", "d0").loss - untuned_loss(&bench)).abs() < 1e-5,
            "{mode}"
        );
    }
}

/// The loss of the first document under [`tiny`], as the evaluation of full tuning at a rate of next to nothing has it.
fn untuned_loss(bench: &Bench) -> f64 {
    let folder = bench.folder.path();
    let documents: Vec<HeldOutDocument> = parquet::read_all(&folder.join("heldout.parquet")).unwrap();
    let train: Vec<TrainingInstance> = parquet::read_all(&folder.join("train.parquet")).unwrap();
    let same = HeldOutDocument {
        text: train[0].text.clone(),
        ..documents[0].clone()
    };
    let measured = Bench::tiny("kind = \"full\"\nlearning_rate = 1e-30", "");
    let file = measured.folder.path().join("heldout.parquet");
    parquet::write_all(&file, &Provenance::new("test"), &[same]).unwrap();
    held_out_losses(&measured.tune("cell"))[0]
}

fn overlaps(bench: &Bench, checkpoints: &[&Path]) -> Vec<GradientOverlap> {
    let file = bench.folder.path().join("gradients.parquet");
    let done = ask_gradients(bench, checkpoints, &file);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    parquet::read_all(&file).unwrap()
}

fn ask_gradients(bench: &Bench, checkpoints: &[&Path], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuner"));
    let folder = bench.folder.path();
    command
        .arg("gradients")
        .arg("--config")
        .arg(folder.join("tuner.toml"));
    command.arg("--in").arg(folder).arg("--out").arg(out);
    for checkpoint in checkpoints {
        command.arg("--checkpoint").arg(checkpoint);
    }
    command.output().unwrap()
}

#[test]
fn gradients_of_what_does_not_fit_are_refused_by_name() {
    let bench = Bench::tiny("kind = \"full\"", "");
    let out = bench.folder.path().join("gradients.parquet");
    let base = Bench::tiny("kind = \"base\"", "");
    let of_another_family = tiny().join("../families/llama");
    for (bench, checkpoint, said) in [
        (&bench, bench.folder.path().join("nowhere"), "nowhere"),
        (&base, tiny(), "mode base is not tuned"),
        (
            &bench,
            of_another_family,
            "which the cell’s mode changes, found none",
        ),
    ] {
        let done = ask_gradients(bench, &[&checkpoint], &out);
        let message = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && message.contains(said), "{message}");
        assert!(!out.exists());
    }
}

/// A change of one weight by 3 in one direction and 4 in another, worked out by hand; and models of other shapes.
#[test]
fn difference_measures_a_known_change() {
    const WEIGHT: &str = "transformer.h.1.mlp.c_fc.weight";
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("changed");
    std::fs::create_dir(&changed).unwrap();
    for (name, bytes) in files_in(&tiny()) {
        std::fs::write(changed.join(name), bytes).unwrap();
    }
    let file = changed.join("model.safetensors");
    let mut tensors = weights::read(&file, Kind::Float, Device::Cpu).unwrap();
    let change = Tensor::zeros([16, 64], (Kind::Float, Device::Cpu));
    let _ = change.get(2).get(5).fill_(3.0);
    let _ = change.get(9).get(60).fill_(-4.0);
    tensors.insert(WEIGHT.to_owned(), &tensors[WEIGHT] + change);
    let named: Vec<(&str, &Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    Tensor::write_safetensors(&named, &file).unwrap();

    let rows = changes(&changed, folder.path());
    let [row] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!((row.weight.as_str(), row.rows, row.columns), (WEIGHT, 16, 64));
    let entropy = -(4.0 / 7.0 * f64::ln(4.0 / 7.0) + 3.0 / 7.0 * f64::ln(3.0 / 7.0));
    let numbers = [
        (row.norm, 5.0),
        (row.spectral_norm, 4.0),
        (row.stable_rank.unwrap(), 25.0 / 16.0),
        (row.effective_rank.unwrap(), entropy.exp()),
    ];
    for (found, expected) in numbers {
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
    assert_eq!(row.directions, Some(2));

    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures/families/llama");
    let refused = ask_difference(&other, &tiny(), &folder.path().join("none.parquet"));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(3) && said.contains("expected this weight of"),
        "{said}"
    );
    assert!(!folder.path().join("none.parquet").exists());
}

/// Head-only changes the head, which it unties from the embedding; LoRA its targets, in no more directions than its rank; full tuning
/// every matrix.
#[test]
fn difference_tells_the_ways_of_tuning_apart() {
    let weights = |mode: &str| {
        let bench = Bench::tiny(mode, "");
        changes(&bench.tune("cell").join("checkpoint"), bench.folder.path())
    };
    let head = weights("kind = \"head\"");
    assert_eq!(
        head.iter().map(|row| row.weight.as_str()).collect::<Vec<_>>(),
        ["lm_head.weight"]
    );

    let lora = weights("kind = \"lora\"\nrank = 2\ntargets = [\"c_attn\"]");
    let names: Vec<&str> = lora.iter().map(|row| row.weight.as_str()).collect();
    assert_eq!(
        names,
        [
            "transformer.h.0.attn.c_attn.weight",
            "transformer.h.1.attn.c_attn.weight"
        ]
    );
    for row in &lora {
        assert!(
            row.directions.is_some_and(|directions| directions <= 2),
            "{row:?}"
        );
        assert!(row.stable_rank.is_some_and(|rank| rank < 2.01), "{row:?}");
    }

    let full = weights("kind = \"full\"");
    let matrices = full.iter().filter(|row| row.columns > 1).count();
    assert_eq!(matrices, 10, "{full:?}");
    assert!(
        full.iter()
            .any(|row| row.directions.is_some_and(|directions| directions > 2))
    );
}
