use contract::pipeline::{Architecture, Mode};
use model_folder::Model;
use serde_json::{Value, json};

use crate::place::{Place, Tensors, gpt2, llama, refused, safetensors, tensors_of};

#[test]
fn a_gpt2_is_counted_as_transformers_counts_it() {
    let place = Place::new();
    let folder = place.model("model", &gpt2(), &tensors_of(&gpt2()));
    let model = Model::open(&folder).unwrap();
    // (11 + 8) · 4 embeddings, 12 · 4² + 13 · 4 in the layer, 2 · 4 in the last norm.
    assert_eq!(model.parameters(), 76 + 192 + 52 + 8);
    assert_eq!(model.head_parameters(), 11 * 4);
    let lora = |targets: &[&str]| {
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        model.lora_parameters(&lora_of_rank(16), &targets)
    };
    // Rank · (in + out); a GPT-2 weight is [in, out]. `c_proj` ends two names.
    assert_eq!(lora(&["c_attn"]).unwrap(), 16 * (4 + 12));
    assert_eq!(lora(&["c_proj"]).unwrap(), 16 * ((4 + 4) + (16 + 4)));
    assert_eq!(lora(&["attn.c_proj"]).unwrap(), 16 * (4 + 4));
    let all = 16 * ((4 + 12) + (4 + 4) + (4 + 16) + (16 + 4));
    assert_eq!(lora(&["all-linear"]).unwrap(), all);
    let message = lora(&["q_proj"]).unwrap_err().to_string();
    for piece in ["q_proj", "c_attn, c_fc, c_proj"] {
        assert!(message.contains(piece), "{message}");
    }
    // The end of a part of a name is no module.
    assert!(lora(&["attn"]).is_err());
    let shape: Architecture =
        toml::from_str("layers = 1\nwidth = 4\nheads = 2\ncontext = 8\nvocabulary = 11").unwrap();
    assert_eq!(Model::gpt2(&shape, 0).unwrap().parameters(), model.parameters());
}

fn lora_of_rank(rank: usize) -> Mode {
    toml::from_str(&format!("kind = 'lora'\nlearning_rate = 1e-3\nrank = {rank}")).unwrap()
}

#[test]
fn patterns_ranks_and_magnitudes_count_in_lora() {
    let place = Place::new();
    let model = Model::open(&place.model("model", &llama(), &tensors_of(&llama()))).unwrap();
    let mut mode = lora_of_rank(2);
    mode.dora = true;
    mode.rank_pattern.insert("v_proj".to_owned(), 5);
    let pattern = [r".*\.self_attn\.[qv]_proj".to_owned()];
    // In each of two layers: q_proj 4 → 4, v_proj 4 → 2; DoRA adds a number for each output.
    let expected = 2 * (2 * 8 + 5 * 6 + 4 + 2);
    assert_eq!(model.lora_parameters(&mode, &pattern).unwrap(), expected);
}

#[test]
fn lora_on_some_blocks_has_fewer_parameters_and_no_block_may_be_missing() {
    let place = Place::new();
    let model = Model::open(&place.model("model", &llama(), &tensors_of(&llama()))).unwrap();
    let targets = ["q_proj".to_owned()];
    let of = |layers: &[usize]| {
        let mut mode = lora_of_rank(2);
        mode.layers = layers.to_vec();
        model.lora_parameters(&mode, &targets)
    };
    // q_proj 4 → 4 in each of two blocks.
    assert_eq!(of(&[]).unwrap(), 32);
    assert_eq!(of(&[1]).unwrap(), 16);
    assert_eq!(of(&[0, 1]).unwrap(), 32);
    let told = of(&[0, 2]).unwrap_err().to_string();
    assert!(told.contains("there is no block 2; this model has 2"), "{told}");
}

#[test]
fn files_without_prefix_with_masks_or_in_shards_are_the_same_model() {
    let whole = tensors_of(&gpt2());
    let mut bare: Tensors = whole
        .iter()
        .map(|(name, tensor)| (name.replace("transformer.", ""), tensor.clone()))
        .collect();
    bare.insert("h.0.attn.bias".to_owned(), (vec![1, 1, 8, 8], 1.0));
    bare.insert("h.0.attn.masked_bias".to_owned(), (vec![1], 1.0));
    // A copy of the tied head, and the table under the head's name alone.
    let mut with_head = whole.clone();
    with_head.insert(
        "lm_head.weight".to_owned(),
        whole["transformer.wte.weight"].clone(),
    );
    let mut under_head = with_head.clone();
    under_head.remove("transformer.wte.weight");
    for tensors in [whole, bare, with_head, under_head] {
        let place = Place::new();
        let model = Model::open(&place.model("model", &gpt2(), &tensors)).unwrap();
        assert_eq!(model.parameters(), 328);
        assert!(model.config.tied_head);
        assert_eq!(model.stored.len(), 16);
        assert!(model.stored.values().all(|stored| tensors.contains_key(stored)));
    }
    let place = Place::new();
    let whole = tensors_of(&llama());
    let (first, second): (Tensors, Tensors) = whole
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .partition(|(name, _)| name.contains("mlp"));
    place.write("model/config.json", llama().to_string());
    place.write("model/1.safetensors", safetensors(&first, "F32"));
    place.write("model/2.safetensors", safetensors(&second, "F32"));
    place.write(
        "model/model.safetensors.index.json",
        r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}}"#,
    );
    let model = Model::open(&place.path("model")).unwrap();
    assert_eq!((model.shards.len(), model.config.tied_head), (2, false));
}

#[test]
fn tables_that_the_configuration_ties_are_kept_apart_where_they_differ() {
    for (mut config, head) in [(gpt2(), "lm_head.weight"), (llama(), "lm_head.weight")] {
        config["tie_word_embeddings"] = json!(true);
        let mut tensors = tensors_of(&config);
        tensors.insert(head.to_owned(), (vec![11, 4], 99.0));
        let place = Place::new();
        let model = Model::open(&place.model("model", &config, &tensors)).unwrap();
        assert!(!model.config.tied_head);
        assert_eq!(model.config.json["tie_word_embeddings"], json!(false));
        assert_eq!(model.stored[head], head);
    }
}

#[test]
fn a_stored_head_that_is_not_used_must_be_a_copy() {
    let config = json!({
        "model_type": "gpt_neox", "vocab_size": 11, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1,
        "num_attention_heads": 1, "rotary_pct": 0.5, "eos_token_id": 0
    });
    let mut tensors = tensors_of(&config);
    let place = Place::new();
    tensors.insert("lm_head.weight".to_owned(), tensors["embed_out.weight"].clone());
    assert!(Model::open(&place.model("model", &config, &tensors)).is_ok());
    tensors.insert("lm_head.weight".to_owned(), (vec![11, 4], 99.0));
    let error = Model::open(&place.model("model", &config, &tensors)).unwrap_err();
    refused(&error, &["embed_out.weight", "lm_head.weight", "same numbers"]);
}

/// Something done to a sound model folder.
type Change = fn(&Place, &mut Value, &mut Tensors);

#[test]
fn unusable_models_are_told_with_their_file() {
    let cases: [(&[&str], Change); 12] = [
        (&["config.json", "n_layer"], |_, config, _| {
            config["n_layer"] = json!(0);
        }),
        (
            &[
                "config.json",
                "model_type",
                "gpt2, gpt_neo",
                "mamba",
                "EXTRACTOR=",
            ],
            |_, config, _| {
                config["model_type"] = json!("mamba");
            },
        ),
        (&["config.json", "model_type", "(none)"], |_, config, _| {
            *config = json!({});
        }),
        (&["activation_function", "tanh"], |_, config, _| {
            config["activation_function"] = json!("tanh");
        }),
        (
            &["transformer.h.1.ln_1.weight", "no such tensor"],
            |_, config, _| {
                config["n_layer"] = json!(2);
            },
        ),
        (&["transformer.wpe.weight", "[9, 4]", "[8, 4]"], |_, config, _| {
            config["n_positions"] = json!(9);
        }),
        (
            &["transformer.wte.weight", "[12, 4]", "[11, 4]"],
            |_, config, _| {
                config["vocab_size"] = json!(12);
            },
        ),
        (&["transformer.ln_f.bias", "no such tensor"], |_, _, tensors| {
            tensors.remove("transformer.ln_f.bias");
        }),
        (
            &["transformer.h.1.ln_1.weight", "no such tensor"],
            |_, _, tensors| {
                tensors.insert("transformer.h.1.ln_1.weight".to_owned(), (vec![4], 1.0));
            },
        ),
        (
            &["lm_head.weight", "[11, 4]", "no such tensor"],
            |_, config, _| {
                config["tie_word_embeddings"] = json!(false);
            },
        ),
        (&["eos_token_id", "below vocab_size 11"], |_, config, _| {
            config["eos_token_id"] = json!(11);
        }),
        (&["generation_config.json"], |place, _, _| {
            place.write("model/generation_config.json", "{");
        }),
    ];
    for (pieces, change) in cases {
        let place = Place::new();
        let (mut config, mut tensors) = (gpt2(), tensors_of(&gpt2()));
        change(&place, &mut config, &mut tensors);
        refused(
            &Model::open(&place.model("model", &config, &tensors)).unwrap_err(),
            pieces,
        );
    }
}

#[test]
fn files_that_hold_no_readable_weights_are_told_with_the_way_out() {
    let whole = safetensors(&tensors_of(&gpt2()), "F32");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let cases: [(&[&str], &str, &[u8]); 11] = [
        (&["expected model.safetensors", "neither"], "other.txt", b""),
        (
            &["pickled", "pytorch_model.bin", "save_pretrained"],
            "pytorch_model.bin",
            b"x",
        ),
        (
            &["pickled", "pytorch_model-00001-of-00002.bin", "save_pretrained"],
            "pytorch_model-00001-of-00002.bin",
            b"x",
        ),
        (
            &["pickled", "consolidated.00.pth", "save_pretrained"],
            "consolidated.00.pth",
            b"x",
        ),
        (&["ends at byte"], "model.safetensors", &whole[..whole.len() - 1]),
        (&["a header of"], "model.safetensors", &whole[..100]),
        (&["shorter than"], "model.safetensors", b"x"),
        (&["Git LFS", "git lfs pull"], "model.safetensors", pointer),
        (
            &["index.json", "expected JSON"],
            "model.safetensors.index.json",
            b"{}",
        ),
        (
            &[
                "index.json",
                "names of files beside it",
                "../../other/model.safetensors",
            ],
            "model.safetensors.index.json",
            br#"{"weight_map": {"a": "../../other/model.safetensors"}}"#,
        ),
        (
            &["index.json", "names of files beside it", "/etc/passwd"],
            "model.safetensors.index.json",
            br#"{"weight_map": {"a": "1.safetensors", "b": "/etc/passwd"}}"#,
        ),
    ];
    for (pieces, name, content) in cases {
        let place = Place::new();
        place.write("model/config.json", gpt2().to_string());
        place.write(&format!("model/{name}"), content);
        refused(&Model::open(&place.path("model")).unwrap_err(), pieces);
    }
}

#[test]
fn quantised_weights_are_named_as_such() {
    let bitsandbytes =
        json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"});
    let eight = json!({"load_in_8bit": true, "load_in_4bit": false});
    let unnamed: [(Option<Value>, &str, &str); 8] = [
        (Some(bitsandbytes), ".weight.absmax", "bitsandbytes (nf4)"),
        (Some(eight), ".SCB", "bitsandbytes (8 bits)"),
        (
            Some(json!({"quant_method": "gptq", "bits": 4})),
            ".qweight",
            "gptq (4 bits)",
        ),
        (
            Some(json!({"quant_method": "awq", "bits": 4})),
            ".qweight",
            "awq (4 bits)",
        ),
        (Some(json!({"quant_method": "fp8"})), ".weight_scale_inv", "fp8"),
        (
            Some(json!({"quant_method": "compressed-tensors"})),
            ".weight_packed",
            "compressed-tensors",
        ),
        (None, ".qzeros", "GPTQ or AWQ"),
        (None, ".weight_scale", "a method of its own"),
    ];
    for (settings, tensor, name) in unnamed {
        let place = Place::new();
        let (mut config, mut tensors) = (llama(), tensors_of(&llama()));
        if let Some(settings) = settings {
            config["quantization_config"] = settings;
        }
        tensors.insert(format!("model.layers.0.mlp.up_proj{tensor}"), (vec![3], 1.0));
        let error = Model::open(&place.model("model", &config, &tensors)).unwrap_err();
        refused(&error, &["quantised by", name, "BASE="]);
    }
    // Packed numbers that go by the names of whole ones.
    let place = Place::new();
    let folder = place.model("model", &llama(), &Tensors::new());
    place.write(
        "model/model.safetensors",
        safetensors(&tensors_of(&llama()), "U8"),
    );
    refused(
        &Model::open(&folder).unwrap_err(),
        &["tensor", "expected F32, F16 or BF16, found U8"],
    );
    // What asks to quantise while loading says nothing about the file.
    let mut config = llama();
    config["quantization_config"] = json!({"quant_method": "bitsandbytes", "load_in_4bit": true});
    assert!(Model::open(&place.model("plain", &config, &tensors_of(&llama()))).is_ok());
}
