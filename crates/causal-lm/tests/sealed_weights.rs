//! Weights that were written here are read as they were written, or not at all.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::fs;

use causal_lm::weights;
use tch::{Device, Kind, Tensor};

fn tensors() -> BTreeMap<String, Tensor> {
    let numbers = |count, kind| Tensor::arange(count, (Kind::Float, Device::Cpu)).to_kind(kind);
    [
        ("a.weight", numbers(6, Kind::Float).view([2, 3])),
        ("b.bias", numbers(4, Kind::BFloat16)),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into()
}

#[test]
fn a_turned_bit_of_weights_is_found_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    weights::write(&file, &tensors(), &[("format", "pt"), ("progress", "12 steps")]).unwrap();
    let whole = fs::read(&file).unwrap();
    let expected = weights::read(&file, Kind::Float, Device::Cpu).unwrap();
    assert_eq!(expected.keys().collect::<Vec<_>>(), ["a.weight", "b.bias"]);
    let (mut found, mut harmless) = (0, 0);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &bytes).unwrap();
        match weights::read(&file, Kind::Float, Device::Cpu) {
            Err(_) => found += 1,
            Ok(read) => {
                harmless += 1;
                assert_eq!(read, expected, "bit {bit} of {}", whole.len() * 8);
            }
        }
        if let Ok(metadata) = weights::metadata(&file) {
            assert_eq!(
                metadata.get("progress").map(String::as_str),
                Some("12 steps"),
                "bit {bit}"
            );
        }
    }
    // The word that begins a seal is in no weight.
    assert!(harmless * 4 < found, "{harmless} of {found} were not found");
}

/// The same seed gives the same bytes, and digests of checkpoints are compared.
#[test]
fn the_same_weights_make_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let written: Vec<Vec<u8>> = (0..20)
        .map(|number| {
            let file = folder.path().join(format!("{number}.safetensors"));
            weights::write(
                &file,
                &tensors(),
                &[("format", "pt"), ("progress", "\"ä\"\n12"), ("a", "b")],
            )
            .unwrap();
            let metadata = weights::metadata(&file).unwrap();
            assert_eq!(metadata["progress"], "\"ä\"\n12");
            fs::read(&file).unwrap()
        })
        .collect();
    assert!(written.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn weights_of_another_program_have_no_seal_and_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &2.5_f32.to_le_bytes(),
    ]
    .concat();
    fs::write(&file, bytes).unwrap();
    let read = weights::read(&file, Kind::Float, Device::Cpu).unwrap();
    assert_eq!(read["a"], Tensor::from_slice(&[2.5_f32]));
}

#[test]
fn damage_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    weights::write(&file, &tensors(), &[]).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = contract::Error::from(weights::read(&file, Kind::Float, Device::Cpu).unwrap_err());
    assert_eq!(error.exit_status(), 3);
    let message = error.to_string();
    for piece in [
        "model.safetensors",
        "damaged",
        "Make it again with the stage that writes it",
        "remove `seal`",
    ] {
        assert!(message.contains(piece), "{message}");
    }
}
