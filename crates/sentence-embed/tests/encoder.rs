//! What holds for any encoder, shown on the tiny one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use sentence_embed::{EmbedError, Encoder, Precision};
use tch::Device;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny")
}

#[test]
fn order_batches_and_repetition_change_nothing() {
    let encoder = Encoder::load(tiny(), Device::Cpu).unwrap();
    // Lengths from 2 to 24 tokens, many batches of 1,024 tokens.
    let sentences: Vec<String> = (0..1_000_usize)
        .map(|index| "happy is that ".repeat(index * 7 % 11))
        .collect();
    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let together = encoder.encode(&sentences).unwrap();
    assert_eq!(together, encoder.encode(&sentences).unwrap(), "two runs differ");
    for index in [0, 1, 2, 499, 998, 999] {
        let alone = encoder.encode(&[sentences[index]]).unwrap();
        for (alone, together) in alone.values().iter().zip(together.row(index).unwrap()) {
            assert!((alone - together).abs() < 1e-5, "sentence {index}");
        }
    }
    for row in together.rows() {
        let length: f32 = row.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
}

#[test]
fn threads_change_nothing_and_progress_counts_every_sentence() {
    tch::set_num_threads(1);
    for precision in [Precision::Single, Precision::BFloat16] {
        let encoder = Encoder::load_in(precision, tiny(), Device::Cpu).unwrap();
        // Many batches of many lengths, and every sentence twice.
        let sentences: Vec<String> = (0..3_000_usize)
            .map(|index| format!("{} {}", "happy is ".repeat(index % 10), index % 1_500))
            .collect();
        let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let alone = encoder.encode(&sentences).unwrap();
        assert_eq!(alone.row(7), alone.row(1_507), "equal sentences");
        for threads in [1, 2, 5] {
            let mut done = 0;
            let together = encoder
                .encode_on(threads, &sentences, |more| done += more)
                .unwrap();
            assert_eq!(together, alone, "{threads} threads, {precision:?}");
            assert_eq!(done, 3_000);
        }
        assert_eq!(tch::get_num_threads(), 1, "as it was before");
    }
}

#[test]
fn what_lies_beyond_the_length_is_not_read() {
    let encoder = Encoder::load(tiny(), Device::Cpu).unwrap();
    // 24 tokens are read: [CLS], 22 of the sentence, [SEP].
    let read = "happy ".repeat(22);
    let embeddings = encoder
        .encode(&[&read, &format!("{read} is"), &"happy ".repeat(21)])
        .unwrap();
    assert_eq!(embeddings.row(0), embeddings.row(1));
    assert_ne!(embeddings.row(0), embeddings.row(2));
}

#[test]
fn no_sentences_give_no_rows() {
    let embeddings = Encoder::load(tiny(), Device::Cpu).unwrap().encode(&[]).unwrap();
    assert!(embeddings.is_empty());
    assert_eq!(
        (embeddings.len(), embeddings.dimensions(), embeddings.row(0)),
        (0, 32, None)
    );
}

/// Copies the tiny encoder, with `file` replaced, or removed if there is no `content`.
fn altered(file: &str, content: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let names = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "modules.json",
        "sentence_bert_config.json",
    ];
    for name in names.into_iter().chain(["1_Pooling/config.json"]) {
        std::fs::copy(tiny().join(name), folder.path().join(name)).unwrap();
    }
    match content {
        Some(content) => std::fs::write(folder.path().join(file), content).unwrap(),
        None => std::fs::remove_file(folder.path().join(file)).unwrap(),
    }
    folder
}

#[test]
fn a_folder_that_cannot_be_used_says_why() {
    let config = std::fs::read_to_string(tiny().join("config.json")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        config.replace(from, to)
    };
    for (file, content, expected) in [
        ("config.json", None, "cannot read"),
        ("model.safetensors", None, "cannot read"),
        ("tokenizer.json", None, "cannot read"),
        (
            "config.json",
            Some("{".to_owned()),
            "is not what an encoder's settings look like",
        ),
        (
            "config.json",
            Some(with("\"hidden_size\": 32,", "")),
            "missing field `hidden_size`",
        ),
        (
            "config.json",
            Some(with("gelu_new", "swish")),
            "unknown variant `swish`",
        ),
        (
            "config.json",
            Some(with("\"bert\"", "\"roberta\"")),
            "asks for model_type \"roberta\"",
        ),
        (
            "config.json",
            Some(with("heads\": 4", "heads\": 5")),
            "hidden_size 32 for 5 heads",
        ),
        (
            "config.json",
            Some(with("heads\": 4", "heads\": 0")),
            "a size below 1",
        ),
        (
            "config.json",
            Some(with("layers\": 2", "layers\": 3")),
            "encoder.layer.2.attention.self.query.weight",
        ),
        (
            "config.json",
            Some(with("size\": 48", "size\": 47")),
            "expected shape [47, 32], found [48, 32]",
        ),
        ("model.safetensors", Some("not weights".to_owned()), "the weights"),
        ("tokenizer.json", Some("{}".to_owned()), "the tokenizer"),
        (
            "sentence_bert_config.json",
            Some(r#"{"max_seq_length": 2}"#.to_owned()),
            "2 special tokens in sentences of 2",
        ),
        (
            "1_Pooling/config.json",
            Some(r#"{"pooling_mode": "max"}"#.to_owned()),
            "pooling mode [\"max\"]",
        ),
        (
            "1_Pooling/config.json",
            Some(r#"{"pooling_mode_mean_tokens": false}"#.to_owned()),
            "pooling mode []",
        ),
        (
            "modules.json",
            Some(r#"[{"path": "2_Dense", "type": "a.b.Dense"}]"#.to_owned()),
            "asks for a.b.Dense",
        ),
        (
            "modules.json",
            Some(r#"[{"path": "../elsewhere", "type": "a.b.Transformer"}]"#.to_owned()),
            "asks for the module \"../elsewhere\"; only a folder beside that file",
        ),
        (
            "modules.json",
            Some(r#"[{"path": "/etc", "type": "a.b.Pooling"}]"#.to_owned()),
            "asks for the module \"/etc\"",
        ),
        (
            "config.json",
            Some("[".repeat(100_000)),
            "is not what an encoder's settings look like",
        ),
    ] {
        let folder = altered(file, content.as_deref());
        let error = Encoder::load(folder.path(), Device::Cpu)
            .err()
            .expect(expected)
            .to_string();
        assert!(error.contains(expected), "{error}\nlacks {expected:?}");
        assert!(
            error.contains(folder.path().to_str().unwrap()),
            "{error}\nnames no file"
        );
    }
}

#[test]
fn optional_files_may_be_missing() {
    let usual = Encoder::load(tiny(), Device::Cpu)
        .unwrap()
        .encode(&["that is happy"])
        .unwrap();
    for file in [
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ] {
        let folder = altered(file, None);
        let encoder = Encoder::load(folder.path(), Device::Cpu).unwrap();
        assert_eq!(encoder.encode(&["that is happy"]).unwrap(), usual, "{file}");
    }
}

#[test]
fn a_vocabulary_beyond_the_model_is_refused() {
    let tokenizer = std::fs::read_to_string(tiny().join("tokenizer.json")).unwrap();
    let folder = altered(
        "tokenizer.json",
        Some(&tokenizer.replace("\"##ing\":113", "\"##ing\":114")),
    );
    let error = Encoder::load(folder.path(), Device::Cpu)
        .err()
        .expect("token 114 has no row");
    assert!(matches!(error, EmbedError::Unsupported { .. }), "{error}");
    assert!(
        error.to_string().contains("token 114 of a model with 114 tokens"),
        "{error}"
    );
}

#[test]
fn pickled_weights_are_refused_with_the_way_out() {
    for name in ["pytorch_model.bin", "model.pt"] {
        let folder = altered("model.safetensors", None);
        std::fs::write(folder.path().join(name), "pickled").unwrap();
        let error = Encoder::load(folder.path(), Device::Cpu).err().unwrap();
        assert!(matches!(error, EmbedError::Pickled { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains("save_pretrained"),
            "{message}"
        );
        // Beside weights that are read, pickled ones do no harm.
        std::fs::copy(
            tiny().join("model.safetensors"),
            folder.path().join("model.safetensors"),
        )
        .unwrap();
        assert!(Encoder::load(folder.path(), Device::Cpu).is_ok());
    }
}
