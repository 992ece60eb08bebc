//! Parity with peft and transformers for every kind of adapter and of checkpoint that is loaded, on fixtures made by
//! `scripts/fixtures/adapters.py`.
//!
//! What is measured is printed as lines of JSON behind the word `parity`, which `scripts/parity.py` collects.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, LeftPadding, load_checkpoint, weights, write_adapter_folder, write_model_folder};
use tch::{Device, Kind, Tensor};
use text_tokens::TextTokenizer;

/// Largest difference allowed, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;

/// The adapters: every folder of one.
fn adapters() -> Vec<String> {
    let folders = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap());
    let adapters = folders.filter(|folder| folder.path().join("adapter_config.json").is_file());
    let mut names: Vec<String> = adapters
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

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
    let base = setting(name, "base_model_name_or_path");
    fixtures().join(name).join(base.as_str().unwrap())
}

/// A setting of an adapter.
fn setting(name: &str, key: &str) -> serde_json::Value {
    let config = std::fs::read_to_string(fixtures().join(name).join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config[key].clone()
}

/// Whether an adapter puts virtual tokens before every text.
fn is_prompt(name: &str) -> bool {
    setting(name, "num_virtual_tokens").is_number()
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
        let bf16_error = self
            .0
            .get(&format!("{name}.bf16_error"))
            .filter(|_| what.starts_with("bf16"));
        let theirs = bf16_error.map(|error| error.double_value(&[]));
        let (found, expected) = (logits(model, self.tokens(name)), &self.0[name]);
        assert_eq!(found.size(), expected.size(), "{name}, {what}");
        let error = difference(&found, expected);
        let kind = match name.strip_prefix("two-tables-") {
            Some(_) => serde_json::Value::Null,
            None => setting(name, "peft_type"),
        };
        let measured = serde_json::json!({
            "table": "adapter", "subject": name, "kind": kind, "check": what, "difference": error, "allowed": tolerance,
            "theirs": theirs,
        });
        println!("parity {measured}");
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
    let names = adapters();
    // Of every folder there is an expectation, and of every expectation a folder.
    let expectations = expected
        .0
        .keys()
        .filter(|key| !key.contains('.') && *key != "tokens");
    let expectations: Vec<&String> = expectations
        .filter(|key| !key.starts_with("two-tables"))
        .collect();
    assert_eq!(names.iter().collect::<Vec<_>>(), expectations);
    for name in &names {
        let mut model = load(name, Kind::Float);
        assert!(!model.adapter_is_zero(), "{name}");
        expected.check(name, "loaded", &model, TOLERANCE);
        if is_prompt(name) {
            let error = contract::Error::from(model.merge().unwrap_err()).to_string();
            assert!(error.contains("no change of weights"), "{name}: {error}");
            continue;
        }
        model.merge().unwrap();
        expected.check(name, "merged", &model, TOLERANCE);
        if let Some(theirs) = expected.0.get(&format!("{name}.merged")) {
            let error = difference(&logits(&model, expected.tokens(name)), theirs);
            assert!(error <= TOLERANCE, "{name}, merged by peft: differs by {error}");
        }
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
    for name in &adapters() {
        // One part in ten, as for the families, or twice the error of peft's own bf16 arithmetic where that is more.
        let theirs = expected.0[&format!("{name}.bf16_error")].double_value(&[]);
        let allowed = (2.0 * theirs).max(1e-1);
        let mut model = load(name, Kind::BFloat16);
        expected.check(name, "bf16", &model, allowed);
        if !is_prompt(name) {
            model.merge().unwrap();
            expected.check(name, "bf16, merged", &model, allowed);
        }
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

/// Kinds beside LoRA, each by `tuner merge`'s own functions, are models of their own that peft is not needed for.
#[test]
fn adapters_of_other_kinds_are_merged_and_not_written_as_adapters() {
    let expected = Expected::read();
    let others = adapters().into_iter();
    let others = others.filter(|name| setting(name, "peft_type") != "LORA" && !is_prompt(name));
    let mut merged = 0;
    for name in others {
        let folder = tempfile::tempdir().unwrap();
        let mut model = load(&name, Kind::Float);
        let error = write_adapter_folder(&mut model, folder.path(), "base", &fixtures()).unwrap_err();
        assert!(error.to_string().contains("part of its own"), "{name}: {error}");
        model.merge().unwrap();
        write_model_folder(&mut model, folder.path(), Kind::Float, &fixtures()).unwrap();
        let again = CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
        expected.check(&name, "written and read", &again, TOLERANCE);
        merged += 1;
    }
    assert!(merged >= 35, "{merged}");
}

/// Virtual tokens before the text: a cache, token by token, and a left-padded batch give what each text gives alone.
#[test]
fn virtual_tokens_stand_before_every_text_of_a_batch_and_in_the_cache() {
    let _guard = tch::no_grad_guard();
    let all = adapters().into_iter();
    let prompts: Vec<String> = all.filter(|name| is_prompt(name)).collect();
    assert!(prompts.len() >= 10, "{prompts:?}");
    for name in &prompts {
        let model = load(name, Kind::Float);
        let context = setting(name, "num_virtual_tokens").as_u64().unwrap() as usize + model.config.context;
        assert_eq!(context, 64, "{name}: the context is as much shorter");
        let tokens = Expected::read().tokens(name).shallow_clone();
        let texts = [
            tokens.narrow(1, 0, 12),
            tokens.narrow(1, 2, 7),
            tokens.narrow(1, 5, 3),
        ];
        let counts: Vec<i64> = texts.iter().map(|text| 12 - text.size()[1]).collect();
        let padded: Vec<Tensor> = texts
            .iter()
            .zip(&counts)
            .map(|(text, &count)| {
                Tensor::cat(&[&Tensor::zeros([1, count], (Kind::Int64, Device::Cpu)), text], 1)
            })
            .collect();
        let batch = Tensor::cat(&padded, 0);
        let padding = LeftPadding::new(&counts, Device::Cpu);
        let mut cache = model.cache(12);
        let start = batch.narrow(1, 0, 10);
        let begun = model.hidden(&start, padding.as_ref(), Some(&mut cache)).unwrap();
        assert_eq!(begun.size()[1], 10, "{name}: virtual tokens give no logits");
        let mut steps = vec![model.logits(&begun.narrow(1, 9, 1)).unwrap()];
        for column in 10..12 {
            let next = batch.narrow(1, column, 1);
            let hidden = model.hidden(&next, padding.as_ref(), Some(&mut cache)).unwrap();
            steps.push(model.logits(&hidden).unwrap());
        }
        let steps = Tensor::cat(&steps, 1);
        for (row, text) in texts.iter().enumerate() {
            let alone = logits(&model, text);
            let alone = alone.narrow(1, alone.size()[1] - 3, 3);
            let error = difference(&steps.narrow(0, row as i64, 1), &alone);
            assert!(error <= TOLERANCE, "{name}, row {row}: {error:.1e}");
        }
        // A text as long as the shorter context fits, and one token more does not.
        let length = model.config.context as i64;
        let long = Tensor::ones([1, length + 1], (Kind::Int64, Device::Cpu));
        assert!(model.hidden(&long.narrow(1, 0, length), None, None).is_ok());
        assert!(model.hidden(&long, None, None).is_err(), "{name}");
    }
}

/// A copy of an adapter whose settings were changed.
fn with_settings(name: &str, changes: &[(&str, serde_json::Value)]) -> tempfile::TempDir {
    let copy = changed(&fixtures().join(name), "adapter_model.safetensors", |_| ());
    let path = copy.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (key, value) in changes {
        settings[*key] = value.clone();
    }
    std::fs::write(path, settings.to_string()).unwrap();
    copy
}

/// Every setting that scales, chooses or draws something counts: with another value the logits are not peft's, or the adapter is
/// refused.
#[test]
fn a_setting_of_another_value_is_another_model_or_refused() {
    use serde_json::json;
    let expected = Expected::read();
    for (name, key, value) in [
        ("rank-pattern", "alpha_pattern", json!({})),
        ("rank-pattern", "lora_alpha", json!(4)),
        ("adalora-llama", "lora_alpha", json!(7)),
        ("adalora-llama", "init_r", json!(5)),
        ("adalora-llama", "rank_pattern", json!(null)),
        ("adalora-gpt2", "target_modules", json!(["c_attn"])),
        ("adalora-no-alpha", "lora_alpha", json!(1)),
        ("vera-drawn-gpt2", "projection_prng_key", json!(18)),
        ("vera-drawn-gpt2", "save_projection", json!(true)),
        (
            "vera-drawn-llama",
            "target_modules",
            json!(["q_proj", "v_proj", "lm_head"]),
        ),
        ("vera-gpt2", "r", json!(3)),
        ("vera-llama", "layers_to_transform", json!([0, 1])),
        ("ia3-gpt2", "feedforward_modules", json!([])),
        ("ia3-gpt2", "feedforward_modules", json!(["mlp.c_proj", "c_attn"])),
        ("ia3-gpt2", "feedforward_modules", json!(null)),
        ("ia3-pattern", "feedforward_modules", json!(".*k_proj")),
        ("loha-llama", "alpha", json!(4)),
        ("loha-llama", "alpha_pattern", json!({})),
        ("loha-llama", "rank_pattern", json!({})),
        ("loha-neox", "modules_to_save", json!(null)),
        ("lokr-llama", "alpha", json!(2)),
        ("lokr-llama", "alpha_pattern", json!({"0.self_attn.q_proj": 5})),
        ("lokr-both", "decompose_both", json!(false)),
        ("lokr-factor", "decompose_factor", json!(2)),
        ("lokr-factor", "decompose_factor", json!(0)),
        ("oft-llama", "oft_block_size", json!(2)),
        ("oft-llama", "use_cayley_neumann", json!(false)),
        ("oft-llama", "num_cayley_neumann_terms", json!(4)),
        ("oft-llama", "peft_version", json!("0.17.1")),
        ("oft-limited", "eps", json!(0.5)),
        ("oft-limited", "coft", json!(false)),
        ("oft-shared", "block_share", json!(false)),
        ("oft-exact", "r", json!(4)),
        ("hra-orthogonal", "apply_GS", json!(false)),
        ("hra-llama", "r", json!(2)),
        ("fourierft-gpt2", "scaling", json!(151.0)),
        ("fourierft-gpt2", "random_loc_seed", json!(778)),
        ("fourierft-llama", "n_frequency_pattern", json!({"q_proj": 9})),
        ("vblora-llama", "topk", json!(2)),
        ("vblora-llama", "vector_length", json!(2)),
        ("vblora-gpt2", "save_only_topk_weights", json!(true)),
        ("norms-llama", "target_modules", json!(["norm"])),
        ("tokens-gpt2", "token_indices", json!([1, 5, 62])),
        ("prompt-llama", "num_virtual_tokens", json!(2)),
        ("prefix-llama", "num_attention_heads", json!(4)),
        ("prefix-gpt2", "token_dim", json!(8)),
        ("p-tuning-gpt2", "num_transformer_submodules", json!(2)),
    ] {
        let folder = with_settings(name, &[(key, value.clone())]);
        match load_checkpoint(folder.path(), Some(&base_of(name)), Kind::Float, Device::Cpu) {
            Ok((model, _)) => {
                let error = difference(&logits(&model, expected.tokens(name)), &expected.0[name]);
                assert!(
                    error > TOLERANCE,
                    "{name}: {key}: {value} changes nothing ({error:.1e})"
                );
            }
            Err(error) => {
                let error = contract::Error::from(error);
                assert_eq!(error.exit_status(), 3, "{name}: {key}: {value}: {error}");
            }
        }
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
    type Change = Box<dyn FnOnce(&mut BTreeMap<String, Tensor>)>;
    let filled = |ending: &'static str, value: f64| -> Change {
        Box::new(move |tensors: &mut BTreeMap<String, Tensor>| {
            let mut named = tensors
                .iter_mut()
                .filter(|(name, _)| name.ends_with(ending))
                .peekable();
            assert!(named.peek().is_some(), "{ending}");
            for (_, tensor) in named {
                let _ = tensor.fill_(value);
            }
        })
    };
    let zero = |ending| filled(ending, 0.0);
    let one = |ending| filled(ending, 1.0);
    let zero_b = |tensors: &mut BTreeMap<String, Tensor>| {
        for (name, tensor) in tensors {
            if name.ends_with("lora_B.weight") || name.ends_with("lora_embedding_B") {
                let _ = tensor.zero_();
            }
        }
    };
    for (name, change, is_zero) in [
        ("gaussian", Box::new(zero_b) as Change, true),
        ("lora-bias", Box::new(zero_b) as Change, false),
        // The head is stored along as it was, and its update is zero too.
        ("head", Box::new(zero_b) as Change, true),
        ("embedding-tied", Box::new(zero_b) as Change, true),
        // Where training took something out of the base, an update of zero is a change.
        ("pissa", Box::new(zero_b) as Change, false),
        ("bias-all", Box::new(zero_b) as Change, false),
        ("rows", Box::new(zero_b) as Change, false),
        ("gaussian", Box::new(|_: &mut BTreeMap<String, Tensor>| {}), false),
        ("adalora-rows", zero(".lora_E"), false),
        ("adalora-no-alpha", zero(".lora_E"), true),
        ("vera-gpt2", zero(".vera_lambda_b"), false),
        ("vera-drawn-llama", zero(".vera_lambda_b"), true),
        ("ia3-gpt2", one(".ia3_l"), true),
        ("ia3-llama", one(".ia3_l"), false),
        ("ia3-head-tied", one(".ia3_l"), true),
        ("loha-llama", zero(".hada_w2_b"), true),
        ("lokr-llama", zero(".lokr_w1"), true),
        ("oft-exact", zero(".oft_R.weight"), true),
        ("oft-llama", zero(".oft_R.weight"), false),
        ("fourierft-llama", zero(".fourierft_spectrum"), true),
        ("vblora-llama", zero("vblora_vector_bank"), true),
        ("prompt-llama", zero("prompt_embeddings"), false),
        ("prefix-llama", zero("prompt_embeddings"), false),
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
        let error = short.encode(text).unwrap_err();
        assert_eq!(error.exit_status(), 3);
        let error = error.to_string();
        for piece in ["tokenizer.json", text, &end.to_string(), "rows"] {
            assert!(error.contains(piece), "{error}\nlacks {piece}");
        }
        assert!(short.tokenize(text).is_err());
    }
}
