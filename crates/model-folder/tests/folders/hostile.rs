//! Folders that are made to bring programs down are refused in bounded memory and time, as damaged ones are.

use model_folder::adapter::AdapterConfig;
use model_folder::{Checkpoint, Model};
use serde_json::{Value, json};

use crate::place::{Place, QUERIES, factors, gpt2, llama, refused, settings, tensors_of};

/// A safetensors file with this header and so many bytes behind it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

#[test]
fn headers_that_cannot_be_are_refused() {
    let tensor = |entry: &str| file(&format!("{{\"a\": {entry}}}"), 16);
    let huge = |length: u64| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend([b'{'; 100]);
        bytes
    };
    let nested = format!("{{\"a\": {}", "[".repeat(100_000));
    let in_metadata = format!("{{\"__metadata__\": {}", "{\"a\":".repeat(100_000));
    let cases: [(&str, Vec<u8>); 13] = [
        ("where the format allows 100000000", huge(u64::MAX)),
        ("where the format allows 100000000", huge(1 << 40)),
        ("a header of 99999999 bytes in a file of 108", huge(99_999_999)),
        (
            "more numbers than there can be",
            tensor(
                r#"{"dtype": "F32", "shape": [4294967296, 4294967296, 4294967296], "data_offsets": [0, 16]}"#,
            ),
        ),
        (
            "expected 16000000000000 bytes",
            tensor(r#"{"dtype": "F32", "shape": [4000000000000], "data_offsets": [0, 16]}"#),
        ),
        (
            "expected 8 bytes for F32 [2], found 16",
            tensor(r#"{"dtype": "F32", "shape": [2], "data_offsets": [0, 16]}"#),
        ),
        (
            "expected 1 bytes for F4 [8], found 0",
            tensor(r#"{"dtype": "F4", "shape": [8], "data_offsets": [0, 0]}"#),
        ),
        (
            "ends at byte",
            tensor(r#"{"dtype": "F32", "shape": [4], "data_offsets": [8, 18446744073709551615]}"#),
        ),
        (
            "ends at byte",
            tensor(r#"{"dtype": "F32", "shape": [0], "data_offsets": [16, 0]}"#),
        ),
        (
            "tensor a: ",
            tensor(r#"{"dtype": "F32", "shape": [-1], "data_offsets": [0, 16]}"#),
        ),
        (
            "tensor a and tensor b share bytes",
            file(
                r#"{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}"#,
                16,
            ),
        ),
        ("its header: ", file(&nested, 0)),
        ("its header: ", file(&in_metadata, 0)),
    ];
    for (expected, content) in cases {
        let place = Place::new();
        place.write("model/config.json", gpt2().to_string());
        place.write("model/model.safetensors", content);
        refused(
            &Model::open(&place.path("model")).unwrap_err(),
            &["model.safetensors", expected],
        );
        assert_eq!(
            model_folder::stored_numbers(&place.path("model")),
            None,
            "{expected}"
        );
    }
}

#[test]
fn tensors_without_numbers_may_lie_anywhere() {
    let place = Place::new();
    let header = r#"{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [0], "data_offsets": [8, 8]}}"#;
    place.write("model/model.safetensors", file(header, 16));
    assert_eq!(model_folder::stored_numbers(&place.path("model")), Some(4));
}

#[test]
fn sizes_beyond_any_model_are_refused_before_anything_is_made_of_them() {
    let too_large = |mut config: Value, key: &str, value: u64| {
        config[key] = json!(value);
        let place = Place::new();
        let tensors = if config["model_type"] == "gpt2" {
            tensors_of(&gpt2())
        } else {
            tensors_of(&llama())
        };
        let error = Model::open(&place.model("model", &config, &tensors)).unwrap_err();
        refused(&error, &["config.json", key, "expected at most"]);
    };
    for key in [
        "num_hidden_layers",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "max_position_embeddings",
        "head_dim",
    ] {
        too_large(llama(), key, 1 << 40);
        too_large(llama(), key, u64::MAX);
    }
    too_large(llama(), "num_hidden_layers", 1_000_000);
    for key in ["n_layer", "n_embd", "vocab_size", "n_positions"] {
        too_large(gpt2(), key, 1 << 33);
    }
    // The largest that may be: nothing is made of them but the shapes that the file does not have.
    let mut config = llama();
    for key in ["vocab_size", "hidden_size", "intermediate_size", "head_dim"] {
        config[key] = json!(i32::MAX - 1);
    }
    config["num_hidden_layers"] = json!(10_000);
    let place = Place::new();
    let error = Model::open(&place.model("model", &config, &tensors_of(&llama()))).unwrap_err();
    refused(&error, &["model.safetensors", "expected shape"]);
}

#[test]
fn nesting_without_end_and_files_without_end_are_no_settings() {
    let nested = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for name in [
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
    ] {
        let place = Place::new();
        place.write("model/config.json", gpt2().to_string());
        place.write(&format!("model/{name}"), &nested);
        refused(&Model::open(&place.path("model")).unwrap_err(), &[name, "JSON"]);

        // A hundred megabytes and one byte, which take no room on the disk.
        let file = std::fs::File::create(place.path(&format!("model/{name}"))).unwrap();
        file.set_len(100_000_001).unwrap();
        let error = Model::open(&place.path("model")).map(|model| model.file);
        if name != "generation_config.json" {
            refused(&error.unwrap_err(), &[name, "at most 100000000 bytes"]);
        }
    }
    let place = Place::new();
    place.write("adapter/adapter_config.json", &nested);
    refused(
        &AdapterConfig::read(&place.path("adapter")).unwrap_err(),
        &["adapter_config.json", "JSON"],
    );
}

#[test]
fn numbers_beyond_any_adapter_are_refused_or_change_nothing() {
    let place = Place::new();
    place.model("base", &llama(), &tensors_of(&llama()));
    for huge in [
        json!(u64::MAX),
        json!(i64::MAX),
        json!(1u64 << 62),
        json!(1e308),
        json!(-1),
    ] {
        for (key, value) in [
            ("r", huge.clone()),
            ("lora_alpha", huge.clone()),
            ("layers_to_transform", json!([huge])),
            ("rank_pattern", json!({"q_proj": huge})),
            ("alpha_pattern", json!({"q_proj": huge})),
            ("trainable_token_indices", json!([huge])),
        ] {
            let changed = settings("../base", &["q_proj"], &[(key, value)]);
            let adapter = place.adapter("adapter", &changed, &factors(&QUERIES));
            if let Err(error) = Checkpoint::open(&adapter, None) {
                assert_eq!(error.exit_status(), 3, "{key}, {huge}: {error}");
            }
        }
    }
}
