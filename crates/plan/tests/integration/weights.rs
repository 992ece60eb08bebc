use contract::Error;
use contract::pipeline::Mode;
use plan::Weights;

use crate::workplace::{TINY_GPT2, Workplace, safetensors};

const LLAMA: [(&str, &[u64]); 5] = [
    ("model.embed_tokens.weight", &[11, 4]),
    ("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.v_proj.weight", &[2, 4]),
    ("model.layers.0.mlp.down_proj.weight", &[4, 10]),
    ("lm_head.weight", &[11, 4]),
];

#[test]
fn gpt2_is_counted_as_transformers_counts_it() {
    let place = Workplace::new("");
    let weights = Weights::read(&place.path("models/tiny")).unwrap();
    // (11 + 8) · 4 embeddings, 12 · 4² + 13 · 4 in the layer, 2 · 4 in the last norm.
    assert_eq!(weights.parameters(), 76 + 192 + 52 + 8);
    assert_eq!(weights.head_parameters(), 11 * 4);
    assert_eq!(weights.vocabulary(), 11);
    let lora = |targets: &[&str]| {
        weights.lora_parameters(
            &lora_of_rank(16),
            &targets
                .iter()
                .map(|&target| target.to_owned())
                .collect::<Vec<_>>(),
        )
    };
    // Rank · (in + out); a GPT-2 weight is [in, out]. `c_proj` ends two names.
    assert_eq!(lora(&["c_attn"]).unwrap(), 16 * (4 + 12));
    assert_eq!(lora(&["c_proj"]).unwrap(), 16 * ((4 + 4) + (16 + 4)));
    assert_eq!(lora(&["attn.c_proj"]).unwrap(), 16 * (4 + 4));
    assert_eq!(
        lora(&["all-linear"]).unwrap(),
        16 * ((4 + 12) + (4 + 4) + (4 + 16) + (16 + 4))
    );
    let message = lora(&["q_proj"]).unwrap_err().to_string();
    assert!(
        message.contains("q_proj") && message.contains("c_attn, c_fc, c_proj"),
        "{message}"
    );
    // The end of a part of a name is no module.
    assert!(lora(&["attn"]).is_err());
}

#[test]
fn older_files_with_masks_and_without_prefix_count_the_same() {
    let place = Workplace::new("");
    let mut shapes: Vec<(String, &[u64])> = TINY_GPT2
        .iter()
        .map(|(name, shape)| (name.replace("transformer.", ""), *shape))
        .collect();
    shapes.push(("h.0.attn.bias".to_owned(), &[1, 1, 8, 8]));
    shapes.push(("lm_head.weight".to_owned(), &[11, 4]));
    let shapes: Vec<(&str, &[u64])> = shapes
        .iter()
        .map(|(name, shape)| (name.as_str(), *shape))
        .collect();
    place.write("models/tiny/model.safetensors", safetensors(&shapes));
    assert_eq!(
        Weights::read(&place.path("models/tiny")).unwrap().parameters(),
        328
    );
}

#[test]
fn shards_are_read_through_their_index_and_an_own_head_counts() {
    let place = Workplace::new("");
    for (tied, parameters) in [("false", 44 + 16 + 8 + 40 + 44), ("true", 44 + 16 + 8 + 40)] {
        place.write(
            "big/config.json",
            format!(r#"{{"model_type": "llama", "tie_word_embeddings": {tied}, "hidden_size": 4}}"#),
        );
        place.write(
            "big/model.safetensors.index.json",
            r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}}"#,
        );
        place.write("big/1.safetensors", safetensors(&LLAMA[..2]));
        place.write("big/2.safetensors", safetensors(&LLAMA[2..]));
        let weights = Weights::read(&place.path("big")).unwrap();
        assert_eq!(weights.parameters(), parameters);
        assert_eq!(weights.head_parameters(), 44);
        let targets: Vec<String> = plan::weights::default_targets("llama")
            .unwrap()
            .iter()
            .map(|&target| target.to_owned())
            .collect();
        assert_eq!(
            weights.lora_parameters(&lora_of_rank(2), &targets).unwrap(),
            2 * (8 + 6)
        );
        // A regular expression fits whole paths; DoRA adds a number for each of the 2 + 4 outputs; v_proj has another rank.
        let mut mode = lora_of_rank(2);
        mode.dora = true;
        mode.rank_pattern.insert("v_proj".to_owned(), 5);
        let pattern = [r".*\.self_attn\.[qv]_proj".to_owned()];
        assert_eq!(
            weights.lora_parameters(&mode, &pattern).unwrap(),
            2 * 8 + 5 * 6 + 2 + 4
        );
    }
}

fn lora_of_rank(rank: usize) -> Mode {
    toml::from_str(&format!("kind = 'lora'\nlearning_rate = 1e-3\nrank = {rank}")).unwrap()
}

/// Something done to a sound model folder, whose weight file is given.
type Change = fn(&Workplace, &[u8]);

#[test]
fn unusable_models_are_told_with_their_file() {
    let whole = safetensors(&TINY_GPT2);
    let cases: [(&str, Change); 6] = [
        ("config.json: cannot be read", |place, _| {
            std::fs::remove_file(place.path("models/tiny/config.json")).unwrap();
        }),
        ("expected a model_type", |place, _| {
            place.write("models/tiny/config.json", "{}");
        }),
        ("found none", |place, _| {
            std::fs::remove_file(place.path("models/tiny/model.safetensors")).unwrap();
        }),
        ("found only pytorch_model.bin", |place, _| {
            std::fs::rename(
                place.path("models/tiny/model.safetensors"),
                place.path("models/tiny/pytorch_model.bin"),
            )
            .unwrap();
        }),
        ("ends at byte", |place, whole| {
            place.write("models/tiny/model.safetensors", &whole[..whole.len() - 1]);
        }),
        ("a header of", |place, whole| {
            place.write("models/tiny/model.safetensors", &whole[..100]);
        }),
    ];
    for (expected, change) in cases {
        let place = Workplace::new("");
        change(&place, &whole);
        let error = Weights::read(&place.path("models/tiny")).unwrap_err();
        assert!(
            matches!(error, Error::Input { .. }) && error.to_string().contains(expected),
            "{expected}: {error}"
        );
    }
}
