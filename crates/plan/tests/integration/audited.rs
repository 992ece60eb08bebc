//! Checkpoints that somebody else tuned: which folder is meant, and what is refused before anything is built.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::workplace::{TINY_GPT2, Workplace, safetensors};

const AUDIT: &str = "name = 'tiny'\ncorpus = { files = '../text', held_out = 0 }\n\
                     extraction = { prefix_tokens = 2, new_tokens = 2 }\n[[checkpoint]]\nname = 'tiny'\n\
                     path = '../tuned'\n";

/// Factors of `c_attn` of the tiny GPT-2, of rank 2.
const FACTORS: [(&str, &[u64]); 2] = [
    (
        "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight",
        &[2, 4],
    ),
    (
        "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight",
        &[12, 2],
    ),
];

fn settings(base: &str, changed: &[(&str, Value)]) -> String {
    let mut settings = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": 2, "lora_alpha": 4,
        "target_modules": ["c_attn"], "bias": "none"
    });
    for (key, value) in changed {
        settings[*key] = value.clone();
    }
    settings.to_string()
}

fn adapter(place: &Workplace, folder: &str, settings: &str) {
    place.write(&format!("{folder}/adapter_config.json"), settings);
    place.write(
        &format!("{folder}/adapter_model.safetensors"),
        safetensors(&FACTORS),
    );
}

/// Runs `plan` with the hub's cache in the folder `hub`.
fn plan(place: &Workplace) -> Output {
    plan_for(place, "target/debug/extractor")
}

/// Runs `plan` for an extraction stage that is done by this command.
fn plan_for(place: &Workplace, extractor: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plan"))
        .args(["--config", "pipelines/tiny.toml", "--out", "run"])
        .env("HF_HUB_CACHE", place.path("hub"))
        .env("EXTRACTOR", extractor)
        .current_dir(place.path("."))
        .output()
        .unwrap()
}

#[track_caller]
fn planned(place: &Workplace) -> String {
    let output = plan(place);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    place.read("run/cells.mk")
}

#[test]
fn of_an_output_folder_the_last_checkpoint_is_audited_and_that_is_said() {
    let place = Workplace::new(AUDIT);
    for step in [500, 1000] {
        adapter(
            &place,
            &format!("tuned/checkpoint-{step}"),
            &settings("../../models/tiny", &[]),
        );
    }
    let output = plan(&place);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("checkpoint-1000 is the last"),
        "{said}"
    );
    let rules = place.read("run/cells.mk");
    assert!(rules.contains("--checkpoint tuned/checkpoint-1000 "), "{rules}");
    assert!(!rules.contains("checkpoint-500"), "{rules}");
    let facts = place.read("run/cells/tiny-tuned-bucketed-s0/cell.toml");
    for fact in [
        "rank = 2",
        "targets = \"c_attn\"",
        "trainable_parameters = 32",
        "parameters = 2344",
    ] {
        assert!(facts.contains(fact), "{facts}");
    }
}

#[test]
fn the_revision_that_an_adapter_names_chooses_its_base() {
    let place = Workplace::new(AUDIT);
    let (main, other) = ("a".repeat(40), "b".repeat(40));
    for commit in [&main, &other] {
        let folder = format!("hub/models--acme--tiny/snapshots/{commit}");
        place.write(
            &format!("{folder}/config.json"),
            place.read("models/tiny/config.json"),
        );
        place.write(&format!("{folder}/model.safetensors"), safetensors(&TINY_GPT2));
    }
    place.write("hub/models--acme--tiny/refs/main", &main);
    place.write("hub/models--acme--tiny/refs/step3000", &other);
    for (revision, commit) in [
        (json!(null), &main),
        (json!("main"), &main),
        (json!("step3000"), &other),
        (json!(other), &other),
        (json!(other[..8]), &other),
    ] {
        adapter(
            &place,
            "tuned",
            &settings("acme/tiny", &[("revision", revision.clone())]),
        );
        let rules = planned(&place);
        assert!(
            rules.contains(&format!("snapshots/{commit}")),
            "{revision}: {rules}"
        );
    }
    adapter(
        &place,
        "tuned",
        &settings("acme/tiny", &[("revision", json!("step9"))]),
    );
    refused(
        &place,
        &[
            "revision step9",
            "hf download acme/tiny --revision step9",
            "BASE=",
        ],
    );
}

#[track_caller]
fn refused(place: &Workplace, pieces: &[&str]) {
    let output = plan(place);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    for piece in pieces {
        assert!(said.contains(piece), "{said}\nlacks {piece}");
    }
}

#[test]
fn what_could_not_be_loaded_is_refused_before_anything_is_built() {
    type Change = fn(&Workplace);
    let cases: [(&[&str], Change); 6] = [
        (
            &["adapter_config.json", "use_bdlora", "merge_and_unload", "BASE="],
            |place| {
                adapter(
                    place,
                    "tuned",
                    &settings("../models/tiny", &[("use_bdlora", json!({"nblocks": 2}))]),
                );
            },
        ),
        (&["lora_A.weight", "[3, 4]", "found [2, 4]", "BASE="], |place| {
            adapter(place, "tuned", &settings("../models/tiny", &[("r", json!(3))]));
        }),
        (&["pickled", "adapter_model.bin", "save_pretrained"], |place| {
            std::fs::remove_file(place.path("tuned/adapter_model.safetensors")).unwrap();
            place.write("tuned/adapter_model.bin", "x");
        }),
        (&["pickled", "pytorch_model.bin", "save_pretrained"], |place| {
            std::fs::remove_file(place.path("models/tiny/model.safetensors")).unwrap();
            place.write("models/tiny/pytorch_model.bin", "x");
        }),
        (&["quantised by bitsandbytes", "BASE="], |place| {
            let mut shapes = TINY_GPT2.to_vec();
            shapes.push(("transformer.h.0.mlp.c_fc.weight.absmax", &[1]));
            place.write("models/tiny/model.safetensors", safetensors(&shapes));
        }),
        (&["model_type", "mamba", "EXTRACTOR="], |place| {
            place.write("models/tiny/config.json", r#"{"model_type": "mamba"}"#);
        }),
    ];
    for (pieces, change) in cases {
        let place = Workplace::new(AUDIT);
        adapter(&place, "tuned", &settings("../models/tiny", &[]));
        change(&place);
        refused(&place, pieces);
    }
}

#[test]
fn a_family_that_is_not_read_is_planned_for_an_extractor_of_ones_own() {
    let place = Workplace::new(AUDIT);
    adapter(&place, "tuned", &settings("../models/tiny", &[]));
    place.write("models/tiny/config.json", r#"{"model_type": "mamba"}"#);
    refused(&place, &["model_type", "mamba", "scripts/example_extractor.py"]);
    let output = plan_for(&place, "python3 mine.py");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    for piece in ["mamba", "left to EXTRACTOR"] {
        assert!(said.contains(piece), "{said}");
    }
    // Its base is asked as well, and the adapter is one.
    let rules = place.read("run/cells.mk");
    assert!(rules.contains("tiny-base-"), "{rules}");
    let facts = place.read("run/cells/tiny-tuned-bucketed-s0/cell.toml");
    // Of the factors, 2 · 4 + 12 · 2.
    for piece in ["mode = \"lora\"", "trainable_parameters = 32\n"] {
        assert!(facts.contains(piece), "{facts}");
    }
}

/// An adapter of another kind than LoRA on the tiny GPT-2, with the one tensor that it has.
fn other_adapter(place: &Workplace, settings: &Value, tensor: (&str, &[u64])) {
    let mut settings = settings.clone();
    settings["task_type"] = json!("CAUSAL_LM");
    settings["base_model_name_or_path"] = json!("../models/tiny");
    place.write("tuned/adapter_config.json", settings.to_string());
    place.write("tuned/adapter_model.safetensors", safetensors(&[tensor]));
}

#[test]
fn a_cell_names_the_kind_of_its_adapter() {
    let place = Workplace::new(AUDIT);
    let facts = |place: &Workplace| place.read("run/cells/tiny-tuned-bucketed-s0/cell.toml");
    other_adapter(
        &place,
        &json!({"peft_type": "IA3", "target_modules": ["c_attn"], "feedforward_modules": []}),
        ("base_model.model.transformer.h.0.attn.c_attn.ia3_l", &[12, 1]),
    );
    planned(&place);
    let found = facts(&place);
    for piece in [
        "mode = \"IA3\"",
        "targets = \"c_attn\"",
        "trainable_parameters = 12\n",
    ] {
        assert!(found.contains(piece), "{found}");
    }
    for absent in ["rank", "alpha", "dora", "lora"] {
        assert!(!found.contains(absent), "{found}");
    }
    other_adapter(
        &place,
        &json!({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "token_dim": 4}),
        ("prompt_embeddings", &[2, 4]),
    );
    planned(&place);
    let found = facts(&place);
    for piece in ["mode = \"prompt tuning\"", "patterns = \"2 virtual tokens\""] {
        assert!(found.contains(piece), "{found}");
    }
    assert!(!found.contains("targets"), "{found}");
    // Virtual tokens take a part of the context of 512.
    other_adapter(
        &place,
        &json!({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 509, "token_dim": 4}),
        ("prompt_embeddings", &[509, 4]),
    );
    let output = plan(&place);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("beyond the context of 3"), "{said}");
}

#[test]
fn a_kind_of_adapter_that_is_not_read_is_refused_by_name_and_planned_for_an_extractor_of_ones_own() {
    for (kind, way_out) in [
        ("BOFT", "merge_and_unload"),
        ("ADAPTION_PROMPT", "cannot be merged"),
    ] {
        let place = Workplace::new(AUDIT);
        other_adapter(&place, &json!({"peft_type": kind}), ("anything", &[3, 5]));
        refused(
            &place,
            &[
                "peft_type",
                kind,
                way_out,
                "scripts/example_extractor.py",
                "EXTRACTOR=",
            ],
        );
        let output = plan_for(&place, "python3 mine.py");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let facts = place.read("run/cells/tiny-tuned-bucketed-s0/cell.toml");
        for piece in [
            format!("mode = \"adapter {kind}\""),
            "trainable_parameters = 15\n".to_owned(),
        ] {
            assert!(facts.contains(&piece), "{facts}");
        }
    }
}

#[test]
fn a_cell_says_how_the_base_of_an_adapter_is_stored_and_which_base_it_names() {
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../causal-lm/tests/fixtures/four_bit/nf4-double"
    );
    let read = |name: &str| std::fs::read(format!("{fixture}/{name}")).unwrap();
    for (named, given, expected) in [
        ("../base", "", None),
        ("acme/four-bit", "base = '../base'\n", Some("acme/four-bit")),
    ] {
        let place = Workplace::new(&format!("{AUDIT}{given}"));
        for name in ["config.json", "model.safetensors"] {
            place.write(&format!("base/{name}"), read(name));
        }
        place.write("base/tokenizer.json", crate::workplace::TOKENIZER);
        let adapter = String::from_utf8(read("adapter/adapter_config.json")).unwrap();
        let of_base = adapter.replace(
            "\"base_model_name_or_path\": \"..\"",
            &format!("\"base_model_name_or_path\": \"{named}\""),
        );
        assert_ne!(adapter, of_base);
        place.write("tuned/adapter_config.json", of_base);
        place.write(
            "tuned/adapter_model.safetensors",
            read("adapter/adapter_model.safetensors"),
        );
        let _ = planned(&place);
        let fact = |cell: &str, name: &str| {
            let facts = place.read(&format!("run/cells/{cell}/cell.toml"));
            let line = facts
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} = ")));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let (tuned, base) = ("tiny-tuned-bucketed-s0", "tiny-base-bucketed-s0");
        for cell in [tuned, base] {
            assert_eq!(fact(cell, "stored").as_deref(), Some("four bits (nf4)"), "{cell}");
        }
        assert_eq!(fact(tuned, "base").as_deref(), Some("base"));
        assert_eq!(fact(base, "base"), None);
        assert_eq!(fact(tuned, "named_base").as_deref(), expected);
    }
}
