use model_folder::adapter::{Change, LowRank, Residual, Table, Untie};
use model_folder::{Adapter, Checkpoint};
use serde_json::{Value, json};

use crate::place::{
    Place, QUERIES, Tensors, factors, gpt2, llama, refused, safetensors, settings, tensors_of,
};

/// Opens an adapter of the Llama whose targets are the query projections.
fn open(changed: &[(&str, Value)], tensors: &Tensors) -> Result<Adapter, contract::Error> {
    open_on(&llama(), &settings("../base", &["q_proj"], changed), tensors)
}

fn open_on(config: &Value, settings: &Value, tensors: &Tensors) -> Result<Adapter, contract::Error> {
    let place = Place::new();
    place.model("base", config, &tensors_of(config));
    let folder = place.adapter("adapter", settings, tensors);
    Checkpoint::open(&folder, None).map(|opened| opened.adapter.unwrap())
}

/// The low-rank update of a module.
fn low_rank(adapter: &Adapter, number: usize) -> &LowRank {
    match &adapter.updates[number].change {
        Change::LowRank(update) => update,
        other => panic!("{other:?}"),
    }
}

/// The tensors of the query projections, and others by their names without peft's prefix.
fn with(more: &[(&str, &[usize])]) -> Tensors {
    let mut tensors = factors(&QUERIES);
    for (name, shape) in more {
        tensors.insert(format!("base_model.model.{name}"), (shape.to_vec(), 7.0));
    }
    tensors
}

#[test]
fn settings_that_change_what_an_adapter_does_are_refused_by_name_with_the_way_out() {
    for (key, value) in [
        ("peft_type", json!("BOFT")),
        ("peft_type", json!("OF_NEXT_YEAR")),
        ("target_parameters", json!(["mlp.experts"])),
        ("layer_replication", json!([[0, 2]])),
        ("alora_invocation_tokens", json!([1])),
        ("arrow_config", json!({"top_k": 3})),
        ("use_qalora", json!(true)),
        ("use_bdlora", json!({"nblocks": 2})),
        ("monteclora_config", json!({"num_samples": 8})),
        ("kasa_config", json!({"beta": 0.1})),
        ("megatron_config", json!({"a": 1})),
        ("enable_lora", json!([true, false])),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("lora_ga")),
        ("init_lora_weights", json!("of_next_year")),
        // Keys that nobody knew when this was written.
        ("use_something_new", json!(true)),
        ("new_scale", json!(2.0)),
        ("new_name", json!("x")),
    ] {
        let error = open(&[(key, value.clone())], &factors(&QUERIES)).unwrap_err();
        refused(
            &error,
            &[
                "adapter_config.json",
                key,
                "merge_and_unload",
                "BASE=",
                "EXTRACTOR=",
            ],
        );
    }
}

#[test]
fn settings_that_say_nothing_are_read_past() {
    let silent = [json!(null), json!(false), json!([]), json!({}), json!("")];
    for value in silent {
        for key in ["target_parameters", "use_bdlora", "use_something_new"] {
            assert!(
                open(&[(key, value.clone())], &factors(&QUERIES)).is_ok(),
                "{key}: {value}"
            );
        }
    }
    for (key, value) in [
        ("auto_mapping", json!({"base_model_class": "LlamaForCausalLM"})),
        ("corda_config", json!({"corda_method": "ipm"})),
        ("eva_config", json!({"rho": 2.0})),
        ("fan_in_fan_out", json!(true)),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("lora_ga_config", json!({"direction": "ArB2r"})),
        ("megatron_core", json!("megatron.core")),
        ("peft_version", json!("0.21.2")),
        ("qalora_group_size", json!(16)),
        ("runtime_config", json!({"ephemeral_gpu_offload": true})),
        ("velora_config", json!({"num_groups": 64})),
        ("init_lora_weights", json!("eva")),
        ("init_lora_weights", json!("gaussian")),
        ("init_lora_weights", json!(false)),
        ("task_type", json!(null)),
        ("rank_pattern", json!(null)),
    ] {
        let adapter = open(&[(key, value.clone())], &factors(&QUERIES)).unwrap();
        assert_eq!((adapter.updates.len(), adapter.parameters), (2, 2 * 16), "{key}");
    }
}

#[test]
fn values_that_are_none_are_told_with_their_key() {
    for (key, value) in [
        ("r", json!(0)),
        ("r", json!("8")),
        ("r", json!(null)),
        ("lora_alpha", json!(null)),
        ("lora_alpha", json!([1])),
        ("use_dora", json!("yes")),
        ("use_rslora", json!(1)),
        ("bias", json!("some")),
        ("target_modules", json!(3)),
        ("target_modules", json!("(q_proj")),
        ("target_modules", json!(["c_attn"])),
        ("rank_pattern", json!([1])),
        ("rank_pattern", json!({"q_proj": 0})),
        ("alpha_pattern", json!({"q_proj": "8"})),
        ("layers_to_transform", json!("0")),
        ("modules_to_save", json!(["lm_head"])),
        ("trainable_token_indices", json!("all")),
        ("trainable_token_indices", json!({"norm": [1]})),
        ("task_type", json!("SEQ_CLS")),
    ] {
        refused(
            &open(&[(key, value.clone())], &factors(&QUERIES)).unwrap_err(),
            &["adapter_config.json", key],
        );
    }
}

#[test]
fn tensors_must_be_those_that_the_settings_ask_for() {
    let cases: [(&str, Tensors, &[&str]); 4] = [
        (
            "another rank",
            factors(&QUERIES),
            &["lora_A.weight", "[3, 4]", "found [2, 4]", "BASE="],
        ),
        (
            "a layer less",
            factors(&QUERIES[..1]),
            &["layers.1.self_attn.q_proj", "no such tensor", "BASE="],
        ),
        (
            "a layer more",
            with(&[("model.layers.0.self_attn.k_proj.lora_A.weight", &[2, 4])]),
            &["k_proj.lora_A.weight", "belongs to no layer", "merge_and_unload"],
        ),
        (
            "a bias that nothing asks for",
            with(&[("model.layers.0.self_attn.q_proj.base_layer.bias", &[4])]),
            &["q_proj.base_layer.bias", "belongs to no layer"],
        ),
    ];
    for (what, tensors, pieces) in cases {
        let rank = if what == "another rank" { 3 } else { 2 };
        refused(&open(&[("r", json!(rank))], &tensors).unwrap_err(), pieces);
    }
    let place = Place::new();
    place.model("base", &llama(), &tensors_of(&llama()));
    let folder = place.adapter("adapter", &settings("../base", &["q_proj"], &[]), &Tensors::new());
    place.write(
        "adapter/adapter_model.safetensors",
        safetensors(&factors(&QUERIES), "U8"),
    );
    refused(
        &Checkpoint::open(&folder, None).unwrap_err(),
        &["lora_A.weight", "found U8"],
    );
}

#[test]
fn pickled_adapters_are_refused_in_the_words_for_models() {
    let place = Place::new();
    place.model("base", &llama(), &tensors_of(&llama()));
    place.write(
        "adapter/adapter_config.json",
        settings("../base", &["q_proj"], &[]).to_string(),
    );
    let open = || Checkpoint::open(&place.path("adapter"), None).unwrap_err();
    refused(&open(), &["adapter_model.safetensors", "no such file"]);
    place.write("adapter/adapter_model.bin", "x");
    refused(
        &open(),
        &[
            "pickled",
            "adapter_model.bin",
            "can run code",
            "save_pretrained",
            "peft",
        ],
    );
    place.write("base/pytorch_model.bin", "x");
    std::fs::remove_file(place.path("base/model.safetensors")).unwrap();
    refused(
        &open(),
        &[
            "pickled",
            "pytorch_model.bin",
            "can run code",
            "save_pretrained",
            "transformers",
        ],
    );
}

#[test]
fn blocks_are_counted_in_the_lists_that_are_named() {
    for (changed, layers) in [
        (vec![], vec![0, 1]),
        (vec![("layers_to_transform", json!([1]))], vec![1]),
        (vec![("layers_to_transform", json!(0))], vec![0]),
        (vec![("layers_to_transform", json!([]))], vec![0, 1]),
        (
            vec![
                ("layers_to_transform", json!([1])),
                ("layers_pattern", json!("layers")),
            ],
            vec![1],
        ),
        (
            vec![
                ("layers_to_transform", json!([0])),
                ("layers_pattern", json!(["h", "lay.*"])),
            ],
            vec![0],
        ),
    ] {
        let stored: Vec<_> = layers.iter().map(|&layer: &usize| QUERIES[layer]).collect();
        let adapter = open(&changed, &factors(&stored)).unwrap();
        let found: Vec<&str> = adapter
            .updates
            .iter()
            .map(|update| update.path.as_str())
            .collect();
        let expected: Vec<&str> = stored.iter().map(|(path, ..)| *path).collect();
        assert_eq!(found, expected);
    }
    // No list of blocks is named so: nothing is adapted.
    let other = [
        ("layers_to_transform", json!([0])),
        ("layers_pattern", json!("h")),
    ];
    refused(
        &open(&other, &factors(&QUERIES)).unwrap_err(),
        &["match no linear layer"],
    );
}

#[test]
fn the_first_pattern_of_the_file_decides() {
    let text = |patterns: &str| {
        let settings = settings("../base", &["q_proj"], &[("rank_pattern", json!("HERE"))]).to_string();
        settings.replace("\"HERE\"", patterns)
    };
    for (patterns, rank) in [
        (r#"{"q_proj": 2, ".*_proj": 3}"#, 2),
        (r#"{".*_proj": 3, "q_proj": 2}"#, 3),
    ] {
        let place = Place::new();
        place.model("base", &llama(), &tensors_of(&llama()));
        let folder = place.adapter("adapter", &json!({}), &factors(&QUERIES));
        place.write("adapter/adapter_config.json", text(patterns));
        match Checkpoint::open(&folder, None) {
            Ok(opened) => assert_eq!((low_rank(&opened.adapter.unwrap(), 0).rank, rank), (2, 2)),
            Err(error) => refused(&error, &[&format!("expected shape [{rank}, 4]")]),
        }
    }
}

#[test]
fn tables_grow_with_the_vocabulary() {
    let grown = [
        ("model.embed_tokens.weight", &[13, 4][..]),
        ("lm_head.weight", &[13, 4]),
    ];
    let adapter = open(&[], &with(&grown)).unwrap();
    assert_eq!((adapter.config.vocabulary, adapter.replacements.len()), (13, 2));
    assert_eq!(adapter.config.json["vocab_size"], json!(13));
    // Of a table that is not stored nobody knows the new rows.
    for (name, _) in grown {
        let one: Vec<_> = grown
            .iter()
            .filter(|(other, _)| *other != name)
            .copied()
            .collect();
        let error = open(&[], &with(&one)).unwrap_err();
        refused(
            &error,
            &[name, "13 rows", "save_embedding_layers=True", "merge_and_unload"],
        );
    }
    let unequal = [
        ("model.embed_tokens.weight", &[13, 4][..]),
        ("lm_head.weight", &[12, 4]),
    ];
    refused(
        &open(&[], &with(&unequal)).unwrap_err(),
        &["lm_head.weight", "[13, 4]", "[12, 4]"],
    );

    let attention = [("transformer.h.0.attn.c_attn", 4, 12)];
    let mut tensors = factors(&attention);
    tensors.insert(
        "base_model.model.transformer.wte.weight".to_owned(),
        (vec![13, 4], 3.0),
    );
    tensors.insert("base_model.model.lm_head.weight".to_owned(), (vec![13, 4], 3.0));
    let tied = settings("../base", &["c_attn"], &[]);
    let adapter = open_on(&gpt2(), &tied, &tensors).unwrap();
    assert!(adapter.config.tied_head);
    assert_eq!((adapter.config.vocabulary, adapter.replacements.len()), (13, 1));
    // Two tables that the base ties.
    tensors.insert("base_model.model.lm_head.weight".to_owned(), (vec![13, 4], 4.0));
    refused(
        &open_on(&gpt2(), &tied, &tensors).unwrap_err(),
        &["lm_head.weight", "wte.weight", "same numbers"],
    );
}

#[test]
fn a_tied_head_is_untied_where_peft_unties_it() {
    let wte = |name: &str| format!("base_model.model.transformer.wte.{name}");
    for (changed, names, untie) in [
        (vec![], vec![], Untie::Never),
        (
            vec![("modules_to_save", json!(["wte"]))],
            vec!["weight"],
            Untie::BeforeReplacing,
        ),
        (
            vec![
                ("modules_to_save", json!(["wte"])),
                ("ensure_weight_tying", json!(true)),
            ],
            vec!["weight"],
            Untie::BeforeReplacing,
        ),
        (
            vec![("target_modules", json!(["c_attn", "wte"]))],
            vec!["lora_embedding_A", "lora_embedding_B"],
            Untie::AfterReplacing,
        ),
        (
            vec![("trainable_token_indices", json!([3]))],
            vec!["token_adapter.trainable_tokens_delta"],
            Untie::Never,
        ),
    ] {
        let mut tensors = factors(&[("transformer.h.0.attn.c_attn", 4, 12)]);
        for name in names {
            let shape = match name {
                "weight" => vec![11, 4],
                "lora_embedding_A" => vec![2, 11],
                "lora_embedding_B" => vec![4, 2],
                _ => vec![1, 4],
            };
            tensors.insert(wte(name), (shape, 2.0));
        }
        let adapter = open_on(&gpt2(), &settings("../base", &["c_attn"], &changed), &tensors).unwrap();
        assert_eq!(
            (adapter.untie, adapter.config.tied_head),
            (untie, untie == Untie::Never),
            "{changed:?}"
        );
    }
}

#[test]
fn single_rows_name_their_table_and_tokens_within_it() {
    let delta = "token_adapter.trainable_tokens_delta";
    let rows = |table: &str, count: usize| with(&[(&format!("{table}.{delta}"), &[count, 4])]);
    let adapter = open(
        &[("trainable_token_indices", json!([3, 10]))],
        &rows("model.embed_tokens", 2),
    )
    .unwrap();
    assert_eq!(
        (adapter.rows[0].table, &adapter.rows[0].tokens[..]),
        (Table::Embedding, &[3, 10][..])
    );
    let adapter = open(
        &[("trainable_token_indices", json!({"lm_head": [0]}))],
        &rows("lm_head", 1),
    )
    .unwrap();
    assert_eq!(adapter.rows[0].table, Table::Head);
    for (indices, count, pieces) in [
        (
            json!([11]),
            1,
            &["trainable_token_indices", "below 11", "found 11"][..],
        ),
        (json!([1, 2]), 1, &[delta, "[2, 4]", "[1, 4]"]),
        (json!({"lm_head": [1]}), 1, &["lm_head", delta, "no such tensor"]),
    ] {
        let changed = [("trainable_token_indices", indices)];
        refused(
            &open(&changed, &rows("model.embed_tokens", count)).unwrap_err(),
            pieces,
        );
    }
}

#[test]
fn what_cannot_be_added_to_a_module_is_refused_with_the_way_out() {
    let embedding = with(&[
        ("model.embed_tokens.lora_embedding_A", &[2, 11]),
        ("model.embed_tokens.lora_embedding_B", &[4, 2]),
        ("model.embed_tokens.lora_magnitude_vector", &[4]),
        ("model.layers.0.self_attn.q_proj.lora_magnitude_vector", &[4]),
        ("model.layers.1.self_attn.q_proj.lora_magnitude_vector", &[4]),
    ]);
    let changed = [
        ("target_modules", json!(["q_proj", "embed_tokens"])),
        ("use_dora", json!(true)),
    ];
    refused(
        &open(&changed, &embedding).unwrap_err(),
        &["use_dora", "embed_tokens", "merge_and_unload"],
    );
    // peft's OLoRA takes the decomposition of a weight that lies the other way round, and cannot load what it saved.
    let conv1d = settings("../base", &["c_attn"], &[("init_lora_weights", json!("olora"))]);
    let tensors = factors(&[("transformer.h.0.attn.c_attn", 4, 12)]);
    refused(
        &open_on(&gpt2(), &conv1d, &tensors).unwrap_err(),
        &["init_lora_weights", "olora", "c_attn", "merge_and_unload"],
    );
}

#[test]
fn initializations_that_took_something_out_of_the_base_are_known() {
    for (init, residual) in [
        (json!("pissa"), Residual::Pissa),
        (json!("olora"), Residual::Olora),
        (json!("OLoRA"), Residual::Olora),
        (json!("orthogonal"), Residual::Whole),
        (json!(true), Residual::Whole),
    ] {
        let adapter = open(&[("init_lora_weights", init)], &factors(&QUERIES)).unwrap();
        for number in 0..adapter.updates.len() {
            assert_eq!(low_rank(&adapter, number).residual, residual);
        }
    }
}
