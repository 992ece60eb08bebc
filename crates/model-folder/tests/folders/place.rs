//! Small models and adapters, written tensor by tensor.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

/// Tensors of a file: a name, a shape, and the number that fills it.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, f32)>;

/// A temporary folder.
pub(crate) struct Place(tempfile::TempDir);

/// A Llama of 11 tokens, two layers of width 4.
pub(crate) fn llama() -> Value {
    json!({
        "model_type": "llama", "vocab_size": 11, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "eos_token_id": 2, "bos_token_id": 1
    })
}

/// A GPT-2 of 11 tokens, a layer of width 4.
pub(crate) fn gpt2() -> Value {
    json!({
        "model_type": "gpt2", "vocab_size": 11, "n_embd": 4, "n_head": 2, "n_layer": 1, "n_positions": 8, "eos_token_id": 10
    })
}

/// Tensors as `config` asks for them: each filled with a number of its own.
pub(crate) fn tensors_of(config: &Value) -> Tensors {
    let config = model_folder::Config::from_json(config.clone(), &[]).unwrap();
    let modules = config.modules();
    let named = modules.iter().flat_map(model_folder::Module::tensors);
    named
        .enumerate()
        .map(|(number, (name, shape))| (name, (shape, number as f32)))
        .collect()
}

/// The settings of an adapter on the query projections of a Llama, or `c_attn` of a GPT-2, with some keys changed.
pub(crate) fn settings(base: &str, targets: &[&str], changed: &[(&str, Value)]) -> Value {
    let mut settings = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": 2, "lora_alpha": 4,
        "target_modules": targets, "bias": "none", "inference_mode": true, "init_lora_weights": true
    });
    for (key, value) in changed {
        settings[*key] = value.clone();
    }
    settings
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn model(&self, folder: &str, config: &Value, tensors: &Tensors) -> PathBuf {
        self.write(&format!("{folder}/config.json"), config.to_string());
        self.write(
            &format!("{folder}/model.safetensors"),
            safetensors(tensors, "F32"),
        );
        self.path(folder)
    }

    pub(crate) fn adapter(&self, folder: &str, settings: &Value, tensors: &Tensors) -> PathBuf {
        self.write(&format!("{folder}/adapter_config.json"), settings.to_string());
        self.write(
            &format!("{folder}/adapter_model.safetensors"),
            safetensors(tensors, "F32"),
        );
        self.path(folder)
    }
}

/// Factors of rank 2 of modules `(path, inputs, outputs)`, by peft's names.
pub(crate) fn factors(modules: &[(&str, usize, usize)]) -> Tensors {
    let named = modules.iter().flat_map(|&(path, inputs, outputs)| {
        let name = |factor: &str| format!("base_model.model.{path}.lora_{factor}.weight");
        [
            (name("A"), (vec![2, inputs], 1.0)),
            (name("B"), (vec![outputs, 2], 1.0)),
        ]
    });
    named.collect()
}

/// The query projections of [`llama`].
pub(crate) const QUERIES: [(&str, usize, usize); 2] = [
    ("model.layers.0.self_attn.q_proj", 4, 4),
    ("model.layers.1.self_attn.q_proj", 4, 4),
];

/// A safetensors file whose numbers take as many bytes as `dtype` does in F32 and U8.
pub(crate) fn safetensors(tensors: &Tensors, dtype: &str) -> Vec<u8> {
    let mut header = BTreeMap::from([("__metadata__".to_owned(), json!({"format": "pt"}))]);
    let mut data = Vec::new();
    for (name, (shape, number)) in tensors {
        let start = data.len();
        for _ in 0..shape.iter().product() {
            match dtype {
                "F32" => data.extend(number.to_le_bytes()),
                _ => data.push(*number as u8),
            }
        }
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    file
}

/// The message must hold every piece, and the error must be the input's fault (exit status 3).
#[track_caller]
pub(crate) fn refused(error: &contract::Error, pieces: &[&str]) {
    assert_eq!(error.exit_status(), 3, "{error}");
    for piece in pieces {
        assert!(error.to_string().contains(piece), "{error}\nlacks {piece}");
    }
}
