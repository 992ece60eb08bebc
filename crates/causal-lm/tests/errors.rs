//! What a person reads about a model folder that cannot be used.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, load_checkpoint};
use tch::{Device, Kind};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn copy(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn edit(path: &Path, key: &str, value: serde_json::Value) {
    let mut json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    json[key] = value;
    std::fs::write(path, json.to_string()).unwrap();
}

/// The message must hold every piece, and the error must be the input's fault (exit status 3).
#[track_caller]
fn refused(error: causal_lm::Error, pieces: &[&str]) {
    let error = contract::Error::from(error);
    assert_eq!(error.exit_status(), 3, "{error}");
    for piece in pieces {
        assert!(error.to_string().contains(piece), "{error}\nlacks {piece}");
    }
}

#[test]
fn model_folders() {
    type Damage = fn(&Path);
    let cases: [(Damage, &[&str]); 7] = [
        (
            |folder| std::fs::remove_file(folder.join("config.json")).unwrap(),
            &["config.json", "model folder"],
        ),
        (
            |folder| std::fs::remove_file(folder.join("model.safetensors")).unwrap(),
            &["expected model.safetensors", "neither"],
        ),
        (
            |folder| {
                std::fs::remove_file(folder.join("model.safetensors")).unwrap();
                std::fs::write(folder.join("pytorch_model.bin"), b"x").unwrap();
            },
            &["pickled", "save_pretrained"],
        ),
        (
            |folder| std::fs::write(folder.join("model.safetensors"), b"not a model").unwrap(),
            &["model.safetensors", "expected safetensors"],
        ),
        (
            |folder| edit(&folder.join("config.json"), "model_type", "bert".into()),
            &["config.json", "gpt2", "bert"],
        ),
        (
            |folder| edit(&folder.join("config.json"), "n_layer", 3.into()),
            &[
                "transformer.h.2.ln_1.weight",
                "expected shape [16]",
                "no such tensor",
            ],
        ),
        (
            |folder| edit(&folder.join("config.json"), "n_positions", 32.into()),
            &[
                "transformer.wpe.weight",
                "expected shape [32, 16]",
                "found [64, 16]",
            ],
        ),
    ];
    for (damage, pieces) in cases {
        let folder = copy(&fixture("tiny-gpt2"));
        damage(folder.path());
        refused(
            CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap_err(),
            pieces,
        );
    }
}

#[test]
fn a_layer_too_many_is_refused_too() {
    let folder = copy(&fixture("tiny-gpt2"));
    edit(&folder.path().join("config.json"), "n_layer", 1.into());
    refused(
        CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap_err(),
        &["transformer.h.1", "no such tensor"],
    );
}

#[test]
fn adapter_features_that_are_not_supported_are_refused_by_name() {
    for (key, value) in [
        ("modules_to_save", serde_json::json!(["lm_head"])),
        ("trainable_token_indices", serde_json::json!("all")),
        ("target_parameters", serde_json::json!(["mlp.experts"])),
        ("layer_replication", serde_json::json!([[0, 2]])),
        ("target_modules", serde_json::json!("(c_attn")),
        ("target_modules", serde_json::json!(["q_proj"])),
        ("bias", "some".into()),
        ("peft_type", "BOFT".into()),
    ] {
        let folder = copy(&fixture("peft-adapter"));
        let config = folder.path().join("adapter_config.json");
        edit(
            &config,
            "base_model_name_or_path",
            fixture("tiny-gpt2").to_str().unwrap().into(),
        );
        edit(&config, key, value);
        refused(
            load_checkpoint(folder.path(), None, Kind::Float, Device::Cpu).unwrap_err(),
            &["adapter_config.json", key],
        );
    }
}

#[test]
fn a_rank_that_its_weights_do_not_have_is_refused() {
    let folder = copy(&fixture("peft-adapter"));
    let config = folder.path().join("adapter_config.json");
    edit(
        &config,
        "base_model_name_or_path",
        fixture("tiny-gpt2").to_str().unwrap().into(),
    );
    edit(&config, "r", 8.into());
    let error = load_checkpoint(folder.path(), None, Kind::Float, Device::Cpu).unwrap_err();
    refused(
        error,
        &[
            "adapter_model.safetensors",
            "lora_A",
            "expected shape [8, 16]",
            "found [4, 16]",
        ],
    );
}
