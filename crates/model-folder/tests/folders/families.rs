//! What configurations of each family say, in every spelling that is in use.

use model_folder::Config;
use model_folder::families::Family;
use model_folder::families::llama::Settings;
use serde_json::{Value, json};

/// A configuration of this family, with `changes` to what is common.
fn config(model_type: &str, changes: &Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "vocab_size": 11, "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 6,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 512, "eos_token_id": 2,
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn read(model_type: &str, changes: &Value) -> Result<Config, String> {
    Config::from_json(config(model_type, changes), &[])
}

#[track_caller]
fn settings(model_type: &str, changes: &Value) -> Settings {
    match read(model_type, changes).unwrap().family {
        Family::Llama(settings) => settings,
        other => panic!("{model_type}: {other:?}"),
    }
}

/// Numbers of the layers for which something holds.
fn layers(settings: &Settings, holds: fn(&model_folder::families::llama::Layer) -> bool) -> Vec<usize> {
    let numbered = settings.layers.iter().enumerate();
    numbered
        .filter(|(_, layer)| holds(layer))
        .map(|(number, _)| number)
        .collect()
}

#[test]
fn windows_are_in_the_layers_that_each_family_gives_them_to() {
    let types = ["full_attention", "sliding_attention"].repeat(3);
    let every = vec![0, 1, 2, 3, 4, 5];
    let cases: [(&str, Value, Option<usize>, &[usize]); 15] = [
        ("mistral", json!({}), Some(4096), &every),
        ("mistral", json!({"sliding_window": 5}), Some(5), &every),
        ("mistral", json!({"sliding_window": null}), None, &[]),
        ("ministral", json!({}), Some(4096), &every),
        ("ministral", json!({"layer_types": types}), Some(4096), &[1, 3, 5]),
        ("ministral", json!({"sliding_window": null}), None, &[]),
        ("phi3", json!({}), None, &[]),
        ("phi3", json!({"sliding_window": 7}), Some(7), &every),
        ("gemma2", json!({}), Some(4096), &[0, 2, 4]),
        ("gemma2", json!({"layer_types": types}), Some(4096), &[1, 3, 5]),
        (
            "gemma3_text",
            json!({"sliding_window": 9}),
            Some(9),
            &[0, 1, 2, 3, 4],
        ),
        (
            "gemma3_text",
            json!({"sliding_window_pattern": 3}),
            Some(4096),
            &[0, 1, 3, 4],
        ),
        (
            "gemma3_text",
            json!({"layer_types": types}),
            Some(4096),
            &[1, 3, 5],
        ),
        ("smollm3", json!({"sliding_window": 3}), None, &[]),
        (
            "smollm3",
            json!({"sliding_window": 3, "use_sliding_window": true}),
            Some(3),
            &[3],
        ),
    ];
    for (model_type, changes, window, windowed) in cases {
        let settings = settings(model_type, &changes);
        assert_eq!(settings.window, window, "{model_type} {changes}");
        let found = layers(&settings, |layer| layer.is_windowed);
        assert_eq!(found, windowed, "{model_type} {changes}");
    }
}

#[test]
fn rotary_positions_are_in_the_layers_that_have_them() {
    let without = |changes: &Value| layers(&settings("smollm3", changes), |layer| layer.rotary.is_none());
    assert_eq!(without(&json!({})), [3]);
    assert_eq!(without(&json!({"no_rope_layer_interval": 2})), [1, 3, 5]);
    assert_eq!(without(&json!({"no_rope_layers": [1, 1, 0, 0, 1, 1]})), [2, 3]);
    let gemma = settings("gemma3_text", &json!({}));
    assert_eq!(
        gemma.rotary.iter().map(|rotary| rotary.theta).collect::<Vec<_>>(),
        [1e6, 1e4]
    );
    // Of the second kind are those that see only the last tokens.
    assert_eq!(layers(&gemma, |layer| layer.rotary == Some(1)), [0, 1, 2, 3, 4]);
    assert_eq!(layers(&gemma, |layer| layer.rotary == Some(0)), [5]);
}

#[test]
fn caps_that_are_null_are_none_and_missing_ones_are_the_familys() {
    let caps = |model_type: &str, changes: Value| {
        let settings = settings(model_type, &changes);
        (settings.attention_cap, settings.logits.cap)
    };
    assert_eq!(caps("gemma2", json!({})), (Some(50.0), Some(30.0)));
    let null = json!({"attn_logit_softcapping": null, "final_logit_softcapping": null});
    assert_eq!(caps("gemma2", null), (None, None));
    assert_eq!(caps("gemma3_text", json!({})), (None, None));
    assert_eq!(
        caps("gemma3_text", json!({"final_logit_softcapping": 20})),
        (None, Some(20.0))
    );
}

#[test]
fn a_share_of_each_head_is_turned_where_the_family_has_that() {
    let older = json!({"partial_rotary_factor": 0.5});
    let newer = json!({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}});
    for changes in [older, newer] {
        assert!(read("phi3", &changes).is_ok());
        for model_type in ["llama", "mistral", "qwen2", "qwen3", "gemma2", "olmo2", "smollm3"] {
            let problem = read(model_type, &changes).unwrap_err();
            assert!(problem.contains("partial_rotary_factor"), "{problem}");
        }
    }
    assert!(read("llama", &json!({"partial_rotary_factor": 1.0})).is_ok());
}

#[test]
fn older_spellings_mean_what_newer_ones_mean() {
    let longrope = |kind: &str| json!({"type": kind, "short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0]});
    let newer_longrope = json!({
        "rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0], "rope_theta": 50.0,
        "original_max_position_embeddings": 128
    });
    let cases = [
        (
            "gemma3_text",
            json!({"rope_theta": 1000.0, "rope_local_base_freq": 20.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
            json!({"rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 20.0}}}),
        ),
        (
            "phi3",
            json!({"rope_theta": 50.0, "rope_scaling": longrope("su"), "original_max_position_embeddings": 128}),
            json!({"rope_parameters": newer_longrope}),
        ),
        (
            "phi3",
            json!({"rope_theta": 50.0, "rope_scaling": longrope("longrope"), "original_max_position_embeddings": 128}),
            json!({"rope_parameters": newer_longrope}),
        ),
        (
            "phi3",
            json!({"partial_rotary_factor": 0.5, "rope_theta": 9.0}),
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 9.0, "partial_rotary_factor": 0.5}}),
        ),
    ];
    for (model_type, older, newer) in cases {
        let (older, newer) = (
            read(model_type, &older).unwrap(),
            read(model_type, &newer).unwrap(),
        );
        assert_eq!(format!("{:?}", older.family), format!("{:?}", newer.family));
        assert_eq!(older.context, newer.context);
    }
}

/// Beyond the context of pre-training all positions have other frequencies.
#[test]
fn a_longrope_model_reads_as_far_as_its_short_factors_go() {
    let longrope = json!({"rope_type": "longrope", "short_factor": [1, 1], "long_factor": [2, 2]});
    let of = |original: u64| {
        read(
            "phi3",
            &json!({"rope_scaling": longrope, "original_max_position_embeddings": original}),
        )
    };
    assert_eq!(of(128).unwrap().context, 128);
    assert_eq!(of(512).unwrap().context, 512);
}

#[test]
fn settings_that_would_compute_something_else_are_refused_by_name() {
    let mixed = ["full_attention", "sliding_attention"].repeat(3);
    let short = json!({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0, 1.0]});
    let cases: [(&str, Value, &[&str]); 9] = [
        (
            "gemma2",
            json!({"use_bidirectional_attention": true}),
            &["use_bidirectional_attention"],
        ),
        (
            "mistral",
            json!({"layer_types": mixed}),
            &["layer_types", "all layers"],
        ),
        (
            "gemma2",
            json!({"layer_types": ["full_attention"]}),
            &["layer_types", "each"],
        ),
        (
            "gemma2",
            json!({"layer_types": vec!["chunked_attention"; 6]}),
            &["layer_types", "chunked"],
        ),
        (
            "smollm3",
            json!({"no_rope_layers": [1, 0]}),
            &["no_rope_layers", "6 layers"],
        ),
        (
            "smollm3",
            json!({"no_rope_layers": [1, 0, 1, 2, 1, 1]}),
            &["no_rope_layers", "0 or 1"],
        ),
        (
            "phi3",
            json!({"rope_parameters": short}),
            &["short_factor", "2 numbers"],
        ),
        (
            "phi3",
            json!({"rope_parameters": {"rope_type": "yarn"}}),
            &["rope_type", "yarn"],
        ),
        (
            "gemma2",
            json!({"final_logit_softcapping": 0}),
            &["final_logit_softcapping", "over 0"],
        ),
    ];
    for (model_type, changes, pieces) in cases {
        let problem = read(model_type, &changes).unwrap_err();
        for piece in pieces {
            assert!(problem.contains(piece), "{model_type} {changes}: {problem}");
        }
    }
}

#[test]
fn a_family_that_is_not_read_is_refused_with_the_way_out() {
    for (model_type, pieces) in [
        ("mamba", ["scripts/example_extractor.py", "EXTRACTOR="]),
        (
            "gemma3",
            ["gemma3_text", "Gemma3ForCausalLM(full.config.text_config)"],
        ),
    ] {
        let problem = read(model_type, &json!({})).unwrap_err();
        for piece in pieces {
            assert!(problem.contains(piece), "{problem}");
        }
    }
}
