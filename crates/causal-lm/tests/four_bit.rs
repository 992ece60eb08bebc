//! Models of four bits a number, on fixtures that `scripts/fixtures/four_bit.py` makes with bitsandbytes.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, load_checkpoint, weights, write_model_folder};
use tch::{Device, Kind, Tensor};

const MODELS: [&str; 4] = ["nf4", "nf4-double", "fp4", "fp4-double"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/four_bit")
        .join(name)
}

fn expected(name: &str, key: &str) -> Tensor {
    let file = fixture(name).join("expected.safetensors");
    let mut tensors = weights::read(&file, Kind::Float, Device::Cpu).unwrap();
    tensors.remove(key).unwrap()
}

/// Largest difference, relative to the largest number expected.
#[track_caller]
fn assert_close(found: &Tensor, expected: &Tensor, name: &str, what: &str) {
    let error = (found - expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[]);
    assert!(error < 1e-4, "{what}: {error:.1e}");
    // Lines that scripts/parity.py collects.
    let measured = serde_json::json!({
        "table": "four bits", "subject": name, "check": what, "difference": error, "allowed": 1e-4,
    });
    println!("parity {measured}");
}

fn logits(model: &CausalLm, tokens: &Tensor) -> Tensor {
    let _guard = tch::no_grad_guard();
    model.logits(&model.hidden(tokens, None, None).unwrap()).unwrap()
}

#[test]
fn weights_are_those_that_bitsandbytes_dequantises_bit_for_bit() {
    for name in MODELS {
        let file = fixture(name).join("expected.safetensors");
        let stored = weights::read(&file, Kind::Float, Device::Cpu).unwrap();
        let mut model = CausalLm::load(&fixture(name), Kind::Float, Device::Cpu).unwrap();
        let mut compared = 0;
        for parameter in model.parameters_mut() {
            if let Some(weight) = stored.get(&format!("weight.{}", parameter.name)) {
                assert_eq!(&*parameter.tensor, weight, "{name}: {}", parameter.name);
                compared += 1;
            }
        }
        assert_eq!(compared, 14, "{name}");
        let measured = serde_json::json!({
            "table": "four bits", "subject": name, "check": "weights, bit for bit", "difference": 0.0, "allowed": 0.0,
        });
        println!("parity {measured}");
    }
}

#[test]
fn logits_are_those_of_the_dequantised_model_and_so_are_an_adapters() {
    for name in MODELS {
        let tokens = expected(name, "tokens");
        let model = CausalLm::load(&fixture(name), Kind::Float, Device::Cpu).unwrap();
        assert_close(
            &logits(&model, &tokens),
            &expected(name, "logits"),
            name,
            "logits",
        );
    }
    let (mut model, _) =
        load_checkpoint(&fixture("nf4-double/adapter"), None, Kind::Float, Device::Cpu).unwrap();
    let (tokens, goal) = (
        expected("nf4-double", "tokens"),
        expected("nf4-double", "adapter_logits"),
    );
    assert_close(&logits(&model, &tokens), &goal, "nf4-double", "LoRA adapter");
    model.merge().unwrap();
    assert_close(&logits(&model, &tokens), &goal, "nf4-double", "LoRA merged");
}

/// What is written is a model in full precision, and says nothing of four bits.
#[test]
fn a_dequantised_model_is_written_in_full_precision() {
    let mut model = CausalLm::load(&fixture("nf4"), Kind::Float, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_model_folder(&mut model, folder.path(), Kind::Float, &fixture("nf4")).unwrap();
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(!config.contains("quantization_config"), "{config}");
    let again = CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap();
    let tokens = expected("nf4", "tokens");
    assert_eq!(logits(&again, &tokens), logits(&model, &tokens));
}

/// Something done to the tensors of a file, about this weight.
type Damage = fn(&mut BTreeMap<String, Tensor>, &str);

/// Bytes cut in half, a largest number missing, a shape that the bytes do not fill: each is refused by the tensor's name.
#[test]
fn damaged_four_bit_weights_are_refused_by_name() {
    let weight = "model.layers.0.mlp.up_proj.weight";
    let cases: [(&str, Damage, &[&str]); 4] = [
        (
            "nf4",
            |tensors, weight| drop(tensors.remove(&format!("{weight}.absmax"))),
            &["absmax", "no such tensor"],
        ),
        (
            "nf4",
            |tensors, weight| {
                let packed = tensors[weight].narrow(0, 0, 7).copy();
                tensors.insert(weight.to_owned(), packed);
            },
            &["up_proj.weight", "expected 480 numbers of type U8"],
        ),
        (
            "nf4-double",
            |tensors, weight| drop(tensors.remove(&format!("{weight}.nested_quant_map"))),
            &["nested_quant_map", "no such tensor"],
        ),
        (
            "nf4",
            |tensors, weight| {
                let state = Tensor::from_slice(b"{\"blocksize\": 64}");
                tensors.insert(format!("{weight}.quant_state.bitsandbytes__nf4"), state);
            },
            &["quant_state.bitsandbytes__nf4", "shape"],
        ),
    ];
    for (name, damage, pieces) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(
            fixture(name).join("config.json"),
            folder.path().join("config.json"),
        )
        .unwrap();
        let stored = fixture(name).join("model.safetensors");
        let mut tensors = weights::read(&stored, Kind::Float, Device::Cpu).unwrap();
        damage(&mut tensors, weight);
        weights::write(
            &folder.path().join("model.safetensors"),
            &tensors,
            &[("format", "pt")],
        )
        .unwrap();
        let error = CausalLm::load(folder.path(), Kind::Float, Device::Cpu).unwrap_err();
        let error = contract::Error::from(error);
        assert_eq!(error.exit_status(), 3, "{error}");
        for piece in pieces {
            assert!(error.to_string().contains(piece), "{error}\nlacks {piece}");
        }
    }
}
