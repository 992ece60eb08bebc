use std::path::{Path, PathBuf};

use contract::pipeline::{Extraction, Layout, LossOn, OneOrMany, Tuning};
use contract::{Cell, PipelineFile};

use crate::workplace::{PIPELINE, Workplace, contents};

fn load(place: &Workplace, path: &str) -> PipelineFile {
    PipelineFile::load(&place.path(path), &[]).unwrap()
}

/// Where a path of a file leads, links and all.
fn real(file: &PipelineFile, path: &str) -> PathBuf {
    file.resolve(path).canonicalize().unwrap()
}

#[test]
fn each_stage_reads_its_own_tables_and_no_others() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    let whole = place.pipeline(&[]).unwrap();

    let dupgen = load(&place, "run/corpus/bucketed-s0/dupgen.toml");
    assert_eq!(dupgen.seeds, [0]);
    assert_eq!(dupgen.duplication, whole.duplication);
    assert_eq!(dupgen.canaries, whole.canaries);
    assert_eq!(dupgen.single_corpus().unwrap().identity.as_deref(), Some("id"));

    let tuner = load(&place, "run/cells/tiny-lora16-3e-4-bucketed-s0/tuner.toml");
    let (model, mode, rate) = tuner.single_cell().unwrap();
    assert_eq!((model.name.as_str(), rate), ("tiny", 3e-4));
    assert_eq!(mode, &whole.mode[1]);
    assert_eq!(tuner.tuning, whole.tuning);

    let cell = "run/cells/tiny-full-1e-4-bucketed-s0";
    assert_eq!(
        load(&place, &format!("{cell}/tuner.toml"))
            .single_cell()
            .unwrap()
            .2,
        1e-4
    );
    assert_eq!(
        load(&place, &format!("{cell}/extractor.toml")).extraction,
        Extraction {
            context: Some(whole.tuning.context),
            loss_on: Some(whole.tuning.loss_on),
            ..whole.extraction.clone()
        }
    );
    assert_eq!(
        load(&place, &format!("{cell}/plagiarism.toml")).detection.preset,
        whole.detection.preset
    );
    assert_eq!(load(&place, "run/report/report.toml").name, "tiny");

    for (file, tables) in [
        (
            "run/corpus/bucketed-s0/dupgen.toml",
            vec![
                "canaries",
                "corpus",
                "duplication",
                "model",
                "name",
                "seeds",
                "tuning",
            ],
        ),
        (
            &format!("{cell}/tuner.toml"),
            vec!["mode", "model", "name", "seeds", "tuning"],
        ),
        (
            &format!("{cell}/extractor.toml"),
            vec!["extraction", "name", "seeds"],
        ),
        (
            &format!("{cell}/plagiarism.toml"),
            vec!["detection", "name", "seeds"],
        ),
        ("run/report/report.toml", vec!["name", "report", "seeds"]),
    ] {
        let table: toml::Table = toml::from_str(&place.read(file)).unwrap();
        let mut found: Vec<&str> = table.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, tables, "{file}");
    }
    assert!(!place.path("run/cells/tiny-base-bucketed-s0/tuner.toml").exists());
}

/// Where texts end for the extractor, and what is scored: as training had it, for the untuned model too.
#[test]
fn the_extractor_is_told_what_training_read() {
    let tuned = ["base", "full-1e-4", "lora16-3e-4"].map(|cell| format!("tiny-{cell}-bucketed-s0"));
    let audited = ["base", "tuned"].map(|cell| format!("tiny-{cell}-bucketed-s0"));
    let audit = "name = 'tiny'\ncorpus = { files = '../text', held_out = 0 }\nextraction = { prefix_tokens = 2, new_tokens = 2 }\n[[checkpoint]]\nname = 'tiny'\n\
                 path = '../models/tiny'\nbase = '../models/tiny'\n";
    let cases: [(&str, &[String], &[&str], Option<usize>, LossOn); 8] = [
        (PIPELINE, &tuned, &[], Some(256), LossOn::Text),
        (
            PIPELINE,
            &tuned,
            &["tuning.context=100", "tuning.loss_on=response"],
            Some(100),
            LossOn::Response,
        ),
        // Packed rows cut no document.
        (
            PIPELINE,
            &tuned,
            &["tuning.rows=packed", "tuning.loss_on=response"],
            None,
            LossOn::Response,
        ),
        // What [extraction] says goes first.
        (
            PIPELINE,
            &tuned,
            &["extraction.context=77", "extraction.loss_on=response"],
            Some(77),
            LossOn::Response,
        ),
        (audit, &audited, &[], None, LossOn::Text),
        // [tuning] says nothing of what was tuned elsewhere.
        (
            audit,
            &audited,
            &["tuning.context=100", "tuning.loss_on=response"],
            None,
            LossOn::Text,
        ),
        (
            audit,
            &audited,
            &["checkpoint.0.context=90", "checkpoint.0.loss_on=response"],
            Some(90),
            LossOn::Response,
        ),
        (
            audit,
            &audited,
            &["checkpoint.0.context=90", "extraction.context=50"],
            Some(50),
            LossOn::Text,
        ),
    ];
    for (pipeline, cells, overrides, context, loss_on) in cases {
        let place = Workplace::new(pipeline);
        let arguments: Vec<&str> = overrides.iter().flat_map(|&set| ["--set", set]).collect();
        place.plan_well(&arguments);
        for cell in cells {
            let file = load(&place, &format!("run/cells/{cell}/extractor.toml"));
            assert_eq!(
                (file.extraction.context, file.extraction.loss_on),
                (context, Some(loss_on)),
                "{cell} with {overrides:?}"
            );
        }
    }
}

/// dupgen counts what is cut with the models' tokenizers, where anything is.
#[test]
fn dupgen_is_told_the_models_where_documents_are_cut_or_canaries_planted() {
    for (overrides, models) in [
        (&["canaries.per_copies=0"][..], 1),
        (&["canaries.per_copies=0", "tuning.rows=packed"], 0),
        (&["tuning.rows=packed"], 1),
    ] {
        let place = Workplace::new(PIPELINE);
        let arguments: Vec<&str> = overrides.iter().flat_map(|&set| ["--set", set]).collect();
        place.plan_well(&arguments);
        let dupgen = load(&place, "run/corpus/bucketed-s0/dupgen.toml");
        assert_eq!(dupgen.model.len(), models, "{overrides:?}");
        // The tokenizer is what the rows depend on only where canaries are checked with it.
        let rules = place.read("run/cells.mk");
        let of_dupgen = rules
            .split("\n\n")
            .find(|rule| rule.contains("dupgen.toml"))
            .unwrap();
        let has_canaries = overrides.iter().all(|set| !set.contains("canaries"));
        assert_eq!(of_dupgen.contains("tokenizer.json"), has_canaries, "{of_dupgen}");
    }
}

#[test]
fn canaries_apart_are_planted_in_a_set_of_their_own() {
    for (apart, sets) in [
        ("false", &[("bucketed", 1)][..]),
        ("true", &[("bucketed", 0), ("bucketed-canaries", 1)]),
    ] {
        let place = Workplace::new(PIPELINE);
        place.plan_well(&["--set", &format!("canaries.apart={apart}")]);
        for (set, per_copies) in sets {
            let dupgen = load(&place, &format!("run/corpus/{set}-s0/dupgen.toml"));
            assert_eq!(dupgen.canaries.per_copies, *per_copies, "{set}");
            for mode in ["base", "full-1e-4"] {
                let facts =
                    Cell::load(&place.path(&format!("run/cells/tiny-{mode}-{set}-s0/cell.toml"))).unwrap();
                assert_eq!(facts.corpus, format!("{set}-s0"));
                assert_eq!(facts.canaries_apart, set.ends_with("canaries"), "{set}");
            }
        }
        let made = std::fs::read_dir(place.path("run/corpus")).unwrap().count();
        assert_eq!(made, sets.len());
    }
}

#[test]
fn paths_lead_to_the_same_files_from_their_new_place() {
    let place = Workplace::new(PIPELINE);
    place.write("encoder/model.safetensors", "");
    place.plan_well(&[]);
    check_paths(&place);
}

/// Run folders are often links to a larger disk, and `..` then starts from there.
#[cfg(unix)]
#[test]
fn paths_lead_to_the_same_files_through_a_link() {
    let place = Workplace::new(PIPELINE);
    place.write("encoder/model.safetensors", "");
    place.write("elsewhere/deep/down/keep", "");
    std::os::unix::fs::symlink(place.path("elsewhere/deep/down"), place.path("run")).unwrap();
    place.plan_well(&[]);
    check_paths(&place);
}

fn check_paths(place: &Workplace) {
    let whole = place.pipeline(&[]).unwrap();
    let model = place.path("models/tiny").canonicalize().unwrap();
    let dupgen = load(place, "run/corpus/bucketed-s0/dupgen.toml");
    let OneOrMany::Many(files) = &dupgen.single_corpus().unwrap().files else {
        panic!("{:?}", dupgen.corpora)
    };
    assert_eq!(files.len(), 1);
    let (pattern, original) = (files[0].trim_end_matches("/*.jsonl"), "../text");
    assert_eq!(real(&dupgen, pattern), real(&whole, original));
    let tuner = load(place, "run/cells/tiny-full-1e-4-bucketed-s0/tuner.toml");
    for file in [&dupgen, &tuner] {
        let path = file.model[0].path.as_deref().unwrap();
        assert!(Path::new(path).is_relative(), "{path}");
        assert_eq!(real(file, path), model);
    }
    let plagiarism = load(place, "run/cells/tiny-base-bucketed-s0/plagiarism.toml");
    assert_eq!(
        real(&plagiarism, plagiarism.detection.encoder.as_deref().unwrap()),
        real(&whole, "../encoder")
    );
}

#[test]
fn cells_state_what_tuning_changes() {
    let modes = "[{ kind = 'full', learning_rate = 1.0 }, { kind = 'head', learning_rate = 1.0 }, { kind = 'lora', learning_rate = 1.0 },
        { kind = 'lora', learning_rate = 1.0, rank = 2, targets = ['c_attn', 'c_fc'] }, { kind = 'lora', learning_rate = 1.0, targets = 'all-linear' }]";
    let place = Workplace::new(PIPELINE);
    place.plan_well(&["--set", &format!("mode={}", modes.replace('\n', " "))]);
    for (cell, trainable, targets) in [
        ("base", 0, None),
        ("full-1e0", 2344, None),
        // The tied head, once untied: vocabulary 11 × width 4.
        ("head-1e0", 44, None),
        ("lora16-1e0", 16 * (4 + 12), Some("c_attn")),
        ("lora2-1e0", 2 * ((4 + 12) + (4 + 16)), Some("c_attn,c_fc")),
        ("lora16-all-linear-1e0", 16 * 64, Some("all-linear")),
    ] {
        let facts = Cell::load(&place.path(&format!("run/cells/tiny-{cell}-bucketed-s0/cell.toml"))).unwrap();
        assert_eq!(
            (facts.parameters, facts.trainable_parameters),
            (2344, trainable),
            "{cell}"
        );
        assert_eq!(facts.targets.as_deref(), targets, "{cell}");
        assert_eq!(
            (facts.corpus.as_str(), facts.model.as_str()),
            ("bucketed-s0", "tiny")
        );
    }
}

#[test]
fn uniform_sets_hold_one_number_of_copies_each() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[
        "--set",
        "duplication={layout=['uniform','bucketed'],copies=[1,4],shares=[0.9,0.1]}",
        "--seed",
        "3",
    ]);
    for copies in [1, 4] {
        let set = load(&place, &format!("run/corpus/uniform{copies}-s3/dupgen.toml"));
        assert_eq!(set.duplication.layout, OneOrMany::One(Layout::Uniform));
        assert_eq!(set.duplication.copies, [copies]);
        assert_eq!(set.seeds, [3]);
    }
    assert_eq!(
        load(&place, "run/corpus/bucketed-s3/dupgen.toml")
            .duplication
            .shares,
        [0.9, 0.1]
    );
}

#[test]
fn pretraining_makes_a_model_and_nothing_else() {
    let place = Workplace::new(
        "name = 'p'\ncorpus.files = '../text'\nmode = [{ kind = 'pretrain', learning_rate = 1e-3 }]
         model = [{ name = 'new', architecture = { layers = 1, width = 4, heads = 2, context = 8, vocabulary = 11 } }]",
    );
    place.plan_well(&[]);
    let files: Vec<String> = contents(&place.path("run"))
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    let cell = "cells/new-pretrain-1e-3-bucketed-s0";
    assert_eq!(
        files,
        [
            format!("{cell}/cell.toml"),
            format!("{cell}/tuner.toml"),
            "cells.mk".to_owned(),
            "corpus/bucketed-s0/dupgen.inputs".to_owned(),
            "corpus/bucketed-s0/dupgen.toml".to_owned()
        ]
    );
    let facts = Cell::load(&place.path(&format!("run/{cell}/cell.toml"))).unwrap();
    assert_eq!((facts.parameters, facts.trainable_parameters), (328, 328));
    assert_eq!(
        place.make(&["all"]),
        ["dupgen bucketed-s0", "tuner new-pretrain-1e-3-bucketed-s0"]
    );
}

/// A change reaches the files of the stages that it concerns, and no others.
#[test]
fn changes_touch_only_their_own_stage() {
    for (change, expected) in [
        ("detection.preset=lee2023", "plagiarism.toml"),
        ("detection.confirm_cosine=0.7", "plagiarism.toml"),
        ("extraction.new_tokens=20", "extractor.toml"),
        ("tuning.warmup=0.2", "tuner.toml"),
        ("report.examples=9", "report.toml"),
        ("description=Why", "report.toml"),
        ("corpus.held_out=0.3", "dupgen.toml"),
    ] {
        let place = Workplace::new(PIPELINE);
        place.plan_well(&[]);
        let before = contents(&place.path("run"));
        place.plan_well(&["--set", change]);
        let after = contents(&place.path("run"));
        assert_eq!(before.len(), after.len());
        let changed: Vec<&PathBuf> = before
            .iter()
            .filter(|(path, text)| after[*path] != **text)
            .map(|(path, _)| path)
            .collect();
        assert!(
            !changed.is_empty() && changed.iter().all(|path| path.ends_with(expected)),
            "{change}: {changed:?}"
        );
    }
    assert_ne!(Tuning::default().warmup, 0.2);
}

#[test]
fn a_cell_that_is_gone_leaves_the_report_but_keeps_its_files() {
    let place = Workplace::new(PIPELINE);
    place.plan_well(&[]);
    place.make(&["-j2"]);
    place.plan_well(&["--set", "mode.0.learning_rate=5e-5"]);
    let gone = "run/cells/tiny-full-1e-4-bucketed-s0";
    assert!(!place.path(&format!("{gone}/cell.toml")).exists());
    assert!(place.path(&format!("{gone}/verdicts.parquet")).exists());
    assert_eq!(place.make(&[]), ["report report"]);
}
