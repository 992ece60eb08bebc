//! Parity with peft and transformers for every kind of adapter and of checkpoint that is loaded, on fixtures made by
//! `scripts/fixtures/adapters.py`.
//!
//! `cargo test -p causal-lm --test adapters -- --nocapture` prints the largest relative error of each.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use causal_lm::{
    CausalLm, TextTokenizer, load_checkpoint, weights, write_adapter_folder, write_model_folder,
};
use tch::{Device, Kind, Tensor};

/// Largest difference allowed, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;

/// Adapters that are loaded.
const ADAPTERS: [&str; 48] = [
    "bias-all",
    "bias-all-neox",
    "bias-lora-only",
    "embedding",
    "embedding-and-head-kept-tied",
    "embedding-and-head-tied",
    "embedding-kept-tied",
    "embedding-kept-tied-llama",
    "embedding-pattern",
    "embedding-positions",
    "embedding-tied",
    "gaussian",
    "grown",
    "grown-embedding",
    "grown-half-whole",
    "grown-neox",
    "grown-tied",
    "grown-whole",
    "head",
    "head-alone",
    "head-dora",
    "head-neox",
    "head-tied",
    "layers-other-pattern",
    "layers-pattern",
    "lora-bias",
    "lora-bias-without-bias",
    "mica",
    "olora",
    "orthogonal",
    "pissa",
    "pissa-conv1d",
    "pissa-dora",
    "pissa-head",
    "pissa-rslora",
    "rank-pattern",
    "rows",
    "rows-grown",
    "rows-of-both",
    "rows-tied",
    "shrunk",
    "whole-attention",
    "whole-head-neox",
    "whole-kept-tied",
    "whole-kept-tied-llama",
    "whole-norm",
    "whole-tied",
    "whole-tied-both",
];

/// Whole models whose configuration ties two tables that differ.
const TWO_TABLES: [&str; 2] = ["two-tables-gpt2", "two-tables-llama3-sharded"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapters")
}

fn load(name: &str, kind: Kind) -> CausalLm {
    let (model, _) = load_checkpoint(&fixtures().join(name), None, kind, Device::Cpu).unwrap();
    model
}

fn base_of(name: &str) -> PathBuf {
    let folder = fixtures().join(name);
    let config = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    folder.join(config["base_model_name_or_path"].as_str().unwrap())
}

fn logits(model: &CausalLm, tokens: &Tensor) -> Tensor {
    let _guard = tch::no_grad_guard();
    model.logits(&model.hidden(tokens, None, None).unwrap()).unwrap()
}

/// What peft or transformers make of the folders, and the tokens read.
struct Expected(BTreeMap<String, Tensor>);

impl Expected {
    fn read() -> Self {
        let file = fixtures().join("expected.safetensors");
        Self(weights::read(&file, Kind::Float, Device::Cpu).unwrap())
    }

    fn tokens(&self, name: &str) -> &Tensor {
        self.0.get(&format!("{name}.tokens")).unwrap_or(&self.0["tokens"])
    }

    #[track_caller]
    fn check(&self, name: &str, what: &str, model: &CausalLm, tolerance: f64) {
        let (found, expected) = (logits(model, self.tokens(name)), &self.0[name]);
        assert_eq!(found.size(), expected.size(), "{name}, {what}");
        let error = difference(&found, expected);
        println!("{name}, {what}: {error:.1e}");
        assert!(error <= tolerance, "{name}, {what}: differs by {error}");
    }
}

fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let difference = (found - expected).abs().max().double_value(&[]);
    difference / expected.abs().max().double_value(&[])
}

#[test]
fn adapters_of_every_kind_give_the_logits_of_peft_merged_or_not() {
    let expected = Expected::read();
    for name in ADAPTERS {
        let mut model = load(name, Kind::Float);
        assert!(!model.adapter_is_zero(), "{name}");
        expected.check(name, "loaded", &model, TOLERANCE);
        model.merge().unwrap();
        expected.check(name, "merged", &model, TOLERANCE);
        if model.config.vocabulary == 64 {
            let base = CausalLm::load(&base_of(name), Kind::Float, Device::Cpu).unwrap();
            let effect = difference(&logits(&base, expected.tokens(name)), &expected.0[name]);
            assert!(
                effect > 100.0 * TOLERANCE,
                "{name}: no effect to compare, {effect}"
            );
        }
    }
}

#[test]
fn adapters_in_bf16_are_near_to_what_they_are_in_float32() {
    let expected = Expected::read();
    for name in ADAPTERS {
        // One part in ten, as for the families, or twice the error of peft's own bf16 arithmetic where that is more.
        let theirs = expected.0[&format!("{name}.bf16_error")].double_value(&[]);
        expected.check(
            name,
            "bf16",
            &load(name, Kind::BFloat16),
            (2.0 * theirs).max(1e-1),
        );
    }
}

#[test]
fn a_merged_adapter_is_a_model_folder_of_its_own() {
    let expected = Expected::read();
    for name in [
        "grown",
        "grown-tied",
        "head-tied",
        "embedding-tied",
        "rows-tied",
        "pissa",
        "bias-all",
        "lora-bias",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut model = load(name, Kind::Float);
        model.merge().unwrap();
        write_model_folder(&mut model, folder.path(), Kind::Float, &fixtures()).unwrap();
        let again = CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
        expected.check(name, "written and read", &again, TOLERANCE);
    }
    // A Llama's query projection has no bias; the sum would be a model of no family.
    let folder = tempfile::tempdir().unwrap();
    let mut model = load("lora-bias-without-bias", Kind::Float);
    model.merge().unwrap();
    let error = write_model_folder(&mut model, folder.path(), Kind::Float, &fixtures()).unwrap_err();
    assert!(error.to_string().contains("q_proj.bias"), "{error}");
}

#[test]
fn an_adapter_that_is_a_part_of_the_parameters_is_not_written_as_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["grown", "head", "pissa", "rows"] {
        let mut model = load(name, Kind::Float);
        let error = write_adapter_folder(&mut model, folder.path(), "base", &fixtures()).unwrap_err();
        assert!(error.to_string().contains("part of its own"), "{name}: {error}");
    }
}

#[test]
fn two_tables_that_differ_are_both_kept_though_the_configuration_ties_them() {
    let expected = Expected::read();
    for name in TWO_TABLES {
        let model = load(name, Kind::Float);
        assert!(!model.config.tied_head);
        expected.check(name, "loaded", &model, TOLERANCE);
    }
}

/// A copy of a folder whose tensors were changed.
fn changed(
    folder: &Path,
    file: &str,
    change: impl FnOnce(&mut BTreeMap<String, Tensor>),
) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = copy.path().join(file);
    let mut tensors = weights::read(&path, Kind::Float, Device::Cpu).unwrap();
    change(&mut tensors);
    weights::write(&path, &tensors, &[("format", "pt")]).unwrap();
    copy
}

#[test]
fn an_adapter_that_changes_nothing_is_known() {
    type Change = fn(&mut BTreeMap<String, Tensor>);
    let zero_b: Change = |tensors| {
        for (name, tensor) in tensors {
            if name.ends_with("lora_B.weight") || name.ends_with("lora_embedding_B") {
                let _ = tensor.zero_();
            }
        }
    };
    for (name, change, is_zero) in [
        ("gaussian", zero_b, true),
        ("lora-bias", zero_b, false),
        // The head is stored along as it was, and its update is zero too.
        ("head", zero_b, true),
        ("embedding-tied", zero_b, true),
        // Where training took something out of the base, an update of zero is a change.
        ("pissa", zero_b, false),
        ("bias-all", zero_b, false),
        ("rows", zero_b, false),
        ("gaussian", |_| {}, false),
    ] {
        let folder = changed(&fixtures().join(name), "adapter_model.safetensors", change);
        let base = base_of(name);
        let (model, _) = load_checkpoint(folder.path(), Some(&base), Kind::Float, Device::Cpu).unwrap();
        assert_eq!(model.adapter_is_zero(), is_zero, "{name}");
    }
    // As PiSSA begins: what was taken out of the base is the update.
    let folder = changed(
        &fixtures().join("pissa-rslora"),
        "adapter_model.safetensors",
        |tensors| {
            let base = weights::read(
                &base_of("pissa-rslora").join("model.safetensors"),
                Kind::Float,
                Device::Cpu,
            )
            .unwrap();
            let scale = 3.0 / 2f64.sqrt();
            for layer in 0..2 {
                let path = format!("model.layers.{layer}.self_attn.q_proj");
                let (left, values, right) = base[&format!("{path}.weight")].svd(true, true);
                let root = (values.narrow(0, 0, 2) / scale).sqrt();
                let name = |factor: &str| format!("base_model.model.{path}.lora_{factor}.weight");
                tensors.insert(name("A"), root.unsqueeze(1) * right.narrow(1, 0, 2).tr());
                tensors.insert(name("B"), left.narrow(1, 0, 2) * root);
            }
        },
    );
    let base = base_of("pissa-rslora");
    let (model, _) = load_checkpoint(folder.path(), Some(&base), Kind::Float, Device::Cpu).unwrap();
    assert!(model.adapter_is_zero());
}

#[test]
fn numbers_that_are_not_finite_are_refused_with_their_tensor() {
    let model = fixtures().join("two-tables-gpt2");
    let adapter = fixtures().join("rows");
    for (folder, file, tensor, value) in [
        (
            &model,
            "model.safetensors",
            "transformer.h.1.mlp.c_fc.weight",
            f64::NAN,
        ),
        (&model, "model.safetensors", "lm_head.weight", f64::INFINITY),
        (
            &model,
            "model.safetensors",
            "transformer.ln_f.bias",
            f64::NEG_INFINITY,
        ),
        (
            &adapter,
            "adapter_model.safetensors",
            "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight",
            f64::NAN,
        ),
        (
            &adapter,
            "adapter_model.safetensors",
            "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
            f64::INFINITY,
        ),
    ] {
        let broken = changed(folder, file, |tensors| {
            let _ = tensors
                .get_mut(tensor)
                .unwrap()
                .flatten(0, -1)
                .get(-1)
                .fill_(value);
        });
        let base = fixtures().join("../families/llama");
        for kind in [Kind::Float, Kind::BFloat16] {
            let error = load_checkpoint(broken.path(), Some(&base), kind, Device::Cpu)
                .unwrap_err()
                .to_string();
            for piece in [file, tensor, "finite"] {
                assert!(error.contains(piece), "{error}\nlacks {piece}");
            }
        }
    }
    // A mask that older files carry may be anything.
    let masked = changed(&model, "model.safetensors", |tensors| {
        let mask = Tensor::full([1], f64::NEG_INFINITY, (Kind::Float, Device::Cpu));
        tensors.insert("transformer.h.0.attn.masked_bias".to_owned(), mask);
    });
    let found = load_checkpoint(masked.path(), None, Kind::Float, Device::Cpu)
        .unwrap()
        .0;
    Expected::read().check("two-tables-gpt2", "with a mask", &found, TOLERANCE);
}

#[test]
fn a_token_beyond_the_table_is_refused_with_its_text_and_others_are_read() {
    let folder = fixtures().join("../tiny-gpt2");
    let whole = TextTokenizer::load(&folder).unwrap();
    let end = whole.end_of_text().unwrap();
    // A table without the last token: as where a token for padding was added to the tokenizer alone.
    let short = TextTokenizer::load(&folder).unwrap().with_rows(end as usize);
    let text = "The harbour at dawn.";
    assert_eq!(short.encode(text).unwrap(), whole.encode(text).unwrap());
    for text in ["dawn<|endoftext|>", "<|endoftext|>"] {
        assert!(whole.encode(text).unwrap().contains(&end));
        let error = contract::Error::from(short.encode(text).unwrap_err());
        assert_eq!(error.exit_status(), 3);
        let error = error.to_string();
        for piece in ["tokenizer.json", text, &end.to_string(), "rows"] {
            assert!(error.contains(piece), "{error}\nlacks {piece}");
        }
        assert!(short.encode_with_prompt(text, 2).is_err());
    }
}
