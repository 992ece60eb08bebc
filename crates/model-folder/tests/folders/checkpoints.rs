use model_folder::{Checkpoint, checkpoints};

use crate::place::{Place, QUERIES, factors, gpt2, llama, refused, settings, tensors_of};

#[test]
fn checkpoints_are_ordered_by_their_steps() {
    let names = [
        "checkpoint-1000",
        "checkpoint-500",
        "checkpoint-20",
        "final",
        "checkpoint-2000.partial",
    ];
    let place = Place::new();
    for name in names {
        place.write(&format!("output/{name}/config.json"), "{}");
    }
    place.write("output/runs/events", "");
    let expected = ["checkpoint-20", "checkpoint-500", "checkpoint-1000", "final"];
    let found = checkpoints::expand(&place.path("output")).unwrap();
    let found: Vec<String> = found.iter().map(|folder| checkpoints::name(folder)).collect();
    assert_eq!(found, expected);
    // A folder that is a model stands for itself, whatever lies in it.
    place.write("output/config.json", "{}");
    assert_eq!(
        checkpoints::expand(&place.path("output")).unwrap(),
        [place.path("output")]
    );
    for (folder, piece) in [("output/runs", "found none"), ("nowhere", "cannot be read")] {
        refused(&checkpoints::expand(&place.path(folder)).unwrap_err(), &[piece]);
    }
}

#[test]
fn steps_are_the_numbers_at_the_ends_of_names() {
    for (name, step) in [
        ("checkpoint-500", Some(500)),
        ("step-20", Some(20)),
        ("global_step_7", Some(7)),
        ("global_step7", Some(7)),
        ("epoch_2", Some(2)),
        ("checkpoint-500.partial", None),
        ("final", None),
        ("gpt2", None),
        ("checkpoint-", None),
        ("500", None),
    ] {
        assert_eq!(checkpoints::step(name), step, "{name}");
    }
}

#[test]
fn the_last_checkpoint_of_an_output_folder_is_opened() {
    let place = Place::new();
    place.model("base", &llama(), &tensors_of(&llama()));
    for step in [500, 1000] {
        place.adapter(
            &format!("output/checkpoint-{step}"),
            &settings("../../base", &["q_proj"], &[]),
            &factors(&QUERIES),
        );
    }
    let opened = Checkpoint::open(&place.path("output"), None).unwrap();
    assert_eq!(opened.folder, place.path("output/checkpoint-1000"));
    // No tokenizer lies beside the adapter; the base's is its own.
    assert_eq!(opened.tokenizer, opened.model.folder);
    place.write("output/checkpoint-1000/tokenizer.json", "{}");
    assert_eq!(
        Checkpoint::open(&place.path("output"), None).unwrap().tokenizer,
        opened.folder
    );
}

#[test]
fn a_base_is_named_found_and_a_whole_model() {
    let place = Place::new();
    let base = place.model("base", &llama(), &tensors_of(&llama()));
    let other = place.model("other", &gpt2(), &tensors_of(&gpt2()));
    let adapter = |base: &str, revision: &str| {
        let changed = [("revision", revision.into())];
        place.adapter(
            "adapter",
            &settings(base, &["q_proj"], &changed),
            &factors(&QUERIES),
        )
    };
    let opened = Checkpoint::open(&adapter("../base", ""), None).unwrap();
    assert_eq!(
        opened.model.parameters(),
        Checkpoint::open(&base, None).unwrap().model.parameters()
    );
    // A folder has no revisions.
    assert!(Checkpoint::open(&adapter("../base", "step3000"), None).is_ok());
    assert!(Checkpoint::open(&adapter("nobody/nothing", ""), Some(&base)).is_ok());
    for (name, revision, pieces) in [
        (
            "nobody/nothing",
            "",
            &["nobody/nothing", "BASE=", "hf download nobody/nothing"][..],
        ),
        ("nobody/nothing", "v2", &["revision v2", "--revision v2"]),
        ("", "", &["base_model_name_or_path", "found nothing", "BASE="]),
    ] {
        refused(
            &Checkpoint::open(&adapter(name, revision), None).unwrap_err(),
            pieces,
        );
    }
    let folder = adapter("../base", "");
    refused(
        &Checkpoint::open(&folder, Some(&folder)).unwrap_err(),
        &["found an adapter", "BASE="],
    );
    refused(
        &Checkpoint::open(&folder, Some(&other)).unwrap_err(),
        &["match no linear layer", "transformer.h.0.attn.c_attn"],
    );
}
