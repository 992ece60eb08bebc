//! Kinds of adapters beside LoRA: which settings and tensors each must have, by name.

use model_folder::{Adapter, Checkpoint};
use serde_json::{Value, json};

use crate::place::{Place, Tensors, gpt2, llama, refused, tensors_of};

/// An adapter of a kind on the Llama of width 4 with a feed-forward of 6, or the GPT-2.
struct Kind {
    name: &'static str,
    base: fn() -> Value,
    settings: Value,
    /// Names without peft's prefix, and shapes.
    tensors: Vec<(String, Vec<usize>)>,
}

/// The query projections, with tensors of these endings and shapes.
fn on_queries(endings: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    let layers = [0, 1].into_iter();
    let named = layers.flat_map(|layer| {
        endings.iter().map(move |(ending, shape)| {
            (
                format!("model.layers.{layer}.self_attn.q_proj.{ending}"),
                shape.to_vec(),
            )
        })
    });
    named.collect()
}

fn kinds() -> Vec<Kind> {
    let queries = |name: &'static str, mut settings: Value, tensors: Vec<(String, Vec<usize>)>| {
        settings["peft_type"] = json!(name);
        settings["target_modules"] = json!(["q_proj"]);
        let base: fn() -> Value = llama;
        Kind {
            name,
            base,
            settings,
            tensors,
        }
    };
    let mut vera = on_queries(&[("vera_lambda_b", &[4]), ("vera_lambda_d", &[3])]);
    vera.push(("base_model.vera_A".to_owned(), vec![3, 4]));
    vera.push(("base_model.vera_B".to_owned(), vec![4, 3]));
    let mut vblora = on_queries(&[("vblora_logits_A", &[2, 2, 5]), ("vblora_logits_B", &[2, 2, 5])]);
    vblora.push(("base_model.vblora_vector_bank".to_owned(), vec![5, 2]));
    let prompt = |name, settings: Value, width| {
        let mut settings = settings;
        settings["peft_type"] = json!(name);
        settings["num_virtual_tokens"] = json!(3);
        let base: fn() -> Value = gpt2;
        Kind {
            name,
            base,
            settings,
            tensors: vec![("prompt_embeddings".to_owned(), vec![3, width])],
        }
    };
    vec![
        queries(
            "ADALORA",
            json!({"init_r": 3, "lora_alpha": 4, "rank_pattern": {"model.layers.1.self_attn.q_proj.lora_E": [true, false, false]}}),
            [(0, 3), (1, 1)]
                .into_iter()
                .flat_map(|(layer, rank)| {
                    [("A", vec![rank, 4]), ("B", vec![4, rank]), ("E", vec![rank, 1])].map(
                        |(factor, shape)| {
                            (
                                format!("model.layers.{layer}.self_attn.q_proj.lora_{factor}"),
                                shape,
                            )
                        },
                    )
                })
                .collect(),
        ),
        queries(
            "VERA",
            json!({"r": 3, "save_projection": true, "projection_prng_key": 0}),
            vera,
        ),
        queries(
            "IA3",
            json!({"feedforward_modules": []}),
            on_queries(&[("ia3_l", &[4, 1])]),
        ),
        queries(
            "LOHA",
            json!({"r": 2, "alpha": 3}),
            on_queries(&[
                ("hada_w1_a", &[4, 2]),
                ("hada_w1_b", &[2, 4]),
                ("hada_w2_a", &[4, 2]),
                ("hada_w2_b", &[2, 4]),
            ]),
        ),
        queries(
            "LOKR",
            json!({"r": 2, "alpha": 3, "decompose_factor": -1}),
            on_queries(&[("lokr_w1", &[2, 2]), ("lokr_w2", &[2, 2])]),
        ),
        queries(
            "OFT",
            json!({"r": 0, "oft_block_size": 2, "use_cayley_neumann": false}),
            on_queries(&[("oft_R.weight", &[2, 1])]),
        ),
        queries(
            "HRA",
            json!({"r": 2, "apply_GS": false}),
            on_queries(&[("hra_u", &[4, 2])]),
        ),
        queries(
            "FOURIERFT",
            json!({"n_frequency": 5, "scaling": 10.0, "random_loc_seed": 7}),
            on_queries(&[("fourierft_spectrum", &[5])]),
        ),
        queries(
            "VBLORA",
            json!({"r": 2, "num_vectors": 5, "vector_length": 2, "topk": 2}),
            vblora,
        ),
        Kind {
            name: "LN_TUNING",
            base: gpt2,
            settings: json!({"peft_type": "LN_TUNING", "target_modules": ["ln_f"]}),
            tensors: ["weight", "bias"]
                .map(|parameter| (format!("transformer.ln_f.ln_tuning_layers.{parameter}"), vec![4]))
                .to_vec(),
        },
        Kind {
            name: "TRAINABLE_TOKENS",
            base: gpt2,
            settings: json!({"peft_type": "TRAINABLE_TOKENS", "target_modules": "transformer.wte", "token_indices": [1, 9]}),
            tensors: ["transformer.wte", "lm_head"]
                .map(|table| (format!("{table}.trainable_tokens_delta"), vec![2, 4]))
                .to_vec(),
        },
        prompt("PROMPT_TUNING", json!({}), 4),
        prompt("P_TUNING", json!({"encoder_hidden_size": 128}), 4),
        prompt(
            "PREFIX_TUNING",
            json!({"num_attention_heads": 2, "token_dim": 4}),
            8,
        ),
    ]
}

fn open(
    kind: &Kind,
    changed: &[(&str, Value)],
    tensors: &[(String, Vec<usize>)],
) -> Result<Adapter, contract::Error> {
    let place = Place::new();
    let config = (kind.base)();
    place.model("base", &config, &tensors_of(&config));
    let mut settings = kind.settings.clone();
    settings["task_type"] = json!("CAUSAL_LM");
    settings["base_model_name_or_path"] = json!("../base");
    for (key, value) in changed {
        settings[*key] = value.clone();
    }
    let named: Tensors = tensors
        .iter()
        .map(|(name, shape)| {
            let has_prefix = name.starts_with("base_model.") || !name.contains('.');
            let prefix = if has_prefix { "" } else { "base_model.model." };
            (format!("{prefix}{name}"), (shape.clone(), 3.0))
        })
        .collect();
    let folder = place.adapter("adapter", &settings, &named);
    Checkpoint::open(&folder, None).map(|opened| opened.adapter.unwrap())
}

#[test]
fn each_kind_is_opened_with_its_name_and_its_numbers() {
    for kind in kinds() {
        let adapter = open(&kind, &[], &kind.tensors).unwrap();
        assert_eq!(adapter.spec.peft_type, kind.name);
        let numbers: usize = kind
            .tensors
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(adapter.parameters, numbers as u64, "{}", kind.name);
        let virtual_tokens = if adapter.prompt.is_some() { 3 } else { 0 };
        let context = model_folder::Config::from_json((kind.base)(), &[])
            .unwrap()
            .context;
        assert_eq!(adapter.config.context, context - virtual_tokens, "{}", kind.name);
        // Fewer than one for each module would be a silent skip.
        let changed = adapter.updates.len() + adapter.replacements.len() + adapter.rows.len();
        assert!(changed + virtual_tokens > 0, "{}", kind.name);
    }
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_or_left_over_is_refused_by_name() {
    for kind in kinds() {
        for left_out in 0..kind.tensors.len() {
            let mut tensors = kind.tensors.clone();
            let (name, shape) = tensors.remove(left_out);
            // Of a tied table one copy will do.
            if kind.name != "TRAINABLE_TOKENS" {
                refused(
                    &open(&kind, &[], &tensors).unwrap_err(),
                    &[&name, "no such tensor"],
                );
            }
            let mut longer = shape.clone();
            longer[0] += 1;
            tensors.push((name.clone(), longer));
            let error = open(&kind, &[], &tensors).unwrap_err();
            refused(&error, &["adapter_model.safetensors"]);
            if kind.name != "TRAINABLE_TOKENS" {
                refused(&error, &[&name, &format!("{shape:?}")]);
            }
        }
        let mut tensors = kind.tensors.clone();
        tensors.push(("model.layers.0.mlp.up_proj.something".to_owned(), vec![2]));
        refused(
            &open(&kind, &[], &tensors).unwrap_err(),
            &["up_proj.something", "belongs to no layer"],
        );
    }
}

#[test]
fn a_setting_that_nobody_knows_is_refused_by_name_in_each_kind() {
    for kind in kinds() {
        refused(
            &open(&kind, &[("of_next_year", json!(2))], &kind.tensors).unwrap_err(),
            &[
                "adapter_config.json",
                "of_next_year",
                "scripts/example_extractor.py",
            ],
        );
        for silent in [json!(null), json!(false), json!([])] {
            open(&kind, &[("of_next_year", silent)], &kind.tensors).unwrap();
        }
    }
}

#[test]
fn values_that_are_none_are_told_with_their_key() {
    for (name, key, value) in [
        ("ADALORA", "init_r", json!(0)),
        ("ADALORA", "lora_alpha", json!(null)),
        (
            "ADALORA",
            "rank_pattern",
            json!({"model.layers.1.self_attn.q_proj.lora_E": [1, 0]}),
        ),
        (
            "ADALORA",
            "rank_pattern",
            json!({"model.layers.7.self_attn.q_proj.lora_E": [true]}),
        ),
        ("ADALORA", "use_dora", json!(true)),
        ("VERA", "r", json!("3")),
        ("VERA", "save_projection", json!("yes")),
        ("IA3", "feedforward_modules", json!(null)),
        ("IA3", "layers_to_transform", json!([0])),
        ("LOHA", "alpha", json!(null)),
        ("LOKR", "decompose_factor", json!(0)),
        ("LOKR", "target_modules", json!(null)),
        ("OFT", "r", json!(2)),
        ("OFT", "oft_block_size", json!(null)),
        ("OFT", "use_cayley_neumann", json!(true)),
        ("FOURIERFT", "random_loc_seed", json!(null)),
        ("FOURIERFT", "n_frequency", json!(17)),
        ("VBLORA", "topk", json!(6)),
        ("VBLORA", "vector_length", json!(3)),
        ("LN_TUNING", "target_modules", json!(["wte"])),
        ("LN_TUNING", "target_modules", json!(["norm"])),
        ("TRAINABLE_TOKENS", "token_indices", json!([])),
        ("PROMPT_TUNING", "num_virtual_tokens", json!(8)),
        ("PROMPT_TUNING", "num_transformer_submodules", json!(2)),
        ("PROMPT_TUNING", "modules_to_save", json!(["lm_head"])),
        ("PREFIX_TUNING", "num_attention_heads", json!(4)),
        ("P_TUNING", "task_type", json!("SEQ_CLS")),
    ] {
        let kinds = kinds();
        let kind = kinds.iter().find(|kind| kind.name == name).unwrap();
        let error = open(kind, &[(key, value.clone())], &kind.tensors).unwrap_err();
        refused(&error, &["adapter_config.json", key]);
    }
}

#[test]
fn kinds_that_peft_does_not_put_on_conv1d_are_refused_there() {
    for kind in kinds() {
        if !["LOHA", "LOKR", "OFT", "HRA"].contains(&kind.name) {
            continue;
        }
        let on_gpt2 = Kind { base: gpt2, ..kind };
        let error = open(&on_gpt2, &[("target_modules", json!(["c_attn"]))], &[]).unwrap_err();
        refused(
            &error,
            &["target_modules", "c_attn", "Conv1D", "merge_and_unload"],
        );
    }
}

/// What transformers 4 and 5 make of virtual tokens differs where the family scales its embeddings in a module of its own.
#[test]
fn virtual_tokens_of_a_family_with_scaled_embeddings_are_refused_with_the_way_out() {
    let gemma = || {
        json!({
            "model_type": "gemma2", "vocab_size": 11, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2, "max_position_embeddings": 8
        })
    };
    let prompts = kinds()
        .into_iter()
        .find(|kind| kind.name == "PROMPT_TUNING")
        .unwrap();
    let on_gemma = Kind {
        base: gemma,
        ..prompts
    };
    let error = open(&on_gemma, &[], &on_gemma.tensors).unwrap_err();
    refused(
        &error,
        &["PROMPT_TUNING", "gemma2", "scripts/example_extractor.py"],
    );
}
