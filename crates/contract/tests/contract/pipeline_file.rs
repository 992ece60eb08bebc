//! A mistake in a pipeline file is told with its place and what was meant; exit status 2.

use std::fs;
use std::path::Path;

use contract::pipeline::{Layout, ModeKind, OneOrMany};
use contract::{Error, PipelineFile};

use crate::{assert_tells, told};

const WHOLE: &str = r#"name = "harbour"
seeds = [3, 5]

[corpus]
files = "texts/*.txt"

[duplication]
layout = "uniform"
copies = [1, 4]

[[model]]
name = "gpt2"
path = "../models/gpt2"

[[mode]]
kind = "full"
learning_rate = 5e-5

[[mode]]
kind = "lora"
learning_rate = [1e-4, 3e-4]

[tuning]
epochs = 2.0

[[extraction.strategy]]
name = "greedy"
temperature = 0
"#;

fn load(content: &str, overrides: &[&str]) -> Result<PipelineFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("harbour.toml");
    fs::write(&file, content).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    PipelineFile::load(&file, &overrides)
}

#[test]
fn a_whole_file_is_read() {
    let pipeline = load(WHOLE, &[]).unwrap();
    assert_eq!(
        (pipeline.name.as_str(), pipeline.seeds.as_slice()),
        ("harbour", [3, 5].as_slice())
    );
    assert_eq!(pipeline.duplication.layout, OneOrMany::One(Layout::Uniform));
    assert_eq!(pipeline.mode[1].kind, ModeKind::Lora);
    assert_eq!(pipeline.mode[0].learning_rate, OneOrMany::One(5e-5));
    assert_eq!(pipeline.mode[1].learning_rate.as_slice(), [1e-4, 3e-4]);
    // What the file leaves out has its default; alpha's is twice the rank.
    assert_eq!((pipeline.mode[1].rank, pipeline.mode[1].alpha()), (16, 32.0));
    assert_eq!(pipeline.extraction.prefix_tokens, 50);
}

/// What is given as one value may be given as a list, and a whole number where a real one is meant.
#[test]
fn one_value_or_a_list_of_any_kind() {
    let content = WHOLE
        .replace(r#"files = "texts/*.txt""#, r#"files = ["a.txt", "b.txt"]"#)
        .replace(r#"layout = "uniform""#, r#"layout = ["uniform", "bucketed"]"#)
        .replace("learning_rate = 5e-5", "learning_rate = 1");
    let pipeline = load(&content, &[]).unwrap();
    assert_eq!(
        pipeline.single_corpus().unwrap().files.as_slice(),
        ["a.txt", "b.txt"]
    );
    assert_eq!(
        pipeline.duplication.layout.as_slice(),
        [Layout::Uniform, Layout::Bucketed]
    );
    assert_eq!(pipeline.mode[0].learning_rate.as_slice(), [1.0]);
}

/// A file may have the names that keys had before; an override by either name replaces the value.
#[test]
fn keys_under_their_old_names_are_read_and_overridden() {
    let content = WHOLE.replace(
        "epochs = 2.0",
        "epochs = 2.0\nclip = 0.5\naccumulation = 3\npass_tokens = 99",
    );
    for (overrides, norm) in [
        (&[] as &[&str], 0.5),
        (&["tuning.clip=2"], 2.0),
        (&["tuning.max_grad_norm=3", "tuning.epochs=1"], 3.0),
    ] {
        let tuning = load(&content, overrides).unwrap().tuning.clone();
        assert_eq!(tuning.max_grad_norm, norm);
        assert_eq!(tuning.gradient_accumulation_steps, 3);
        assert_eq!(tuning.max_tokens_per_microbatch, Some(99));
    }
    let message = load(&content.replace("clip = 0.5", "clip = -1.0"), &[])
        .unwrap_err()
        .to_string();
    assert!(message.contains("line 25: tuning.max_grad_norm"), "{message}");
    let twice = content.replace("clip = 0.5", "clip = 0.5\nmax_grad_norm = 1.0");
    let message = load(&twice, &[]).unwrap_err().to_string();
    assert!(message.contains("duplicate field `max_grad_norm`"), "{message}");
}

#[test]
fn rows_that_texts_share_are_not_private() {
    let content = WHOLE.replace(
        "kind = \"full\"",
        "kind = \"full\"\nprivacy = { noise_multiplier = 2 }",
    );
    assert!(load(&content, &[]).is_ok());
    let message = load(&content, &["tuning.rows=packed"]).unwrap_err().to_string();
    assert!(
        message.contains("tuning.rows: \"packed\" puts texts into rows together"),
        "{message}"
    );
}

/// Each case: what is put in place of what in the file, and what the message must say.
#[test]
fn mistakes_in_the_file_are_told_with_line_key_and_nearest_name() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "epochs = 2.0",
            "epoch = 2.0",
            &[
                "line 24",
                "unknown field `epoch`",
                "Did you mean `epochs`?",
                "in `epoch = 2.0`",
            ],
        ),
        (
            "[tuning]",
            "[tunning]",
            &["line 23", "`tunning`", "Did you mean `tuning`?"],
        ),
        (
            "epochs = 2.0",
            "epochs = \"two\"",
            &["line 24", "invalid type: string \"two\"", "in `epochs = \"two\"`"],
        ),
        (
            "kind = \"full\"",
            "kind = \"ful\"",
            &["line 16", "unknown variant `ful`", "Did you mean `full`?"],
        ),
        (
            "layout = \"uniform\"",
            "layout = \"unifrom\"",
            &["line 8", "unknown variant `unifrom`", "Did you mean `uniform`?"],
        ),
        (
            "layout = \"uniform\"",
            "layout = [\"uniform\", \"buckets\"]",
            &["line 8", "Did you mean `bucketed`?"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = \"fast\"",
            &["line 17", "string \"fast\"", "in `learning_rate"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = { from = 1 }",
            &["line 17", "invalid type: map, expected f64"],
        ),
        (
            "seeds = [3, 5]",
            "seeds = [3, -5]",
            &["line 2", "seeds = [3, -5]"],
        ),
        (
            "name = \"harbour\"",
            "nmae = \"harbour\"",
            &["line 1", "`nmae`", "Did you mean `name`?"],
        ),
        ("name = \"harbour\"\n", "", &["missing field `name`"]),
        (
            "copies = [1, 4]",
            "copies = [1, 4",
            &[
                "line 11",
                "missing comma",
                "The list begins on line 9: is its ] missing?",
            ],
        ),
        // The hint comes in place of the names of all keys; where no name is near, they are listed.
        (
            "epochs = 2.0",
            "epoch = 2.0   # passes",
            &["line 24: unknown field `epoch` in `epoch = 2.0`. Did you mean `epochs`?"],
        ),
        (
            "epochs = 2.0",
            "zzz = 2.0",
            &[
                "line 24: unknown field `zzz`, expected one of `epochs`",
                "in `zzz = 2.0`",
            ],
        ),
        (
            "epochs = 2.0",
            "epochs = 0",
            &["harbour.toml, line 24: tuning.epochs: "],
        ),
        (
            "copies = [1, 4]",
            "copies = [1, 4]\ntrained_share = 0",
            &["duplication.trained_share", "over 0, at most 1"],
        ),
        (
            "copies = [1, 4]",
            "copies = [1, 0]",
            &["duplication.copies", "at least 1"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = -5e-5",
            &["mode.learning_rate", "over 0"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\ngoldfish = 1",
            &["mode.goldfish", "every token", "2 or more"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nstop_at_ngrams = 5",
            &["mode.stop_at_ngrams", "at least 0 and less than 1", "found 5"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nstop_at_ngrams = 0.05\nprivacy = { noise_multiplier = 1 }",
            &["mode.privacy", "without any noise"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nwithout_details = true\nprivacy = { noise_multiplier = 1 }",
            &["mode.privacy", "without any noise"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nother_share = 0.95",
            &["mode.other_share", "from 0 to 0.9"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nother_share = 0.5\nprivacy = { noise_multiplier = 1 }",
            &["mode.privacy", "ε would not hold"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nbatch_size = 0",
            &["mode.batch_size", "at least 1"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nprivacy = { noise_multiplier = 0 }",
            &["mode.privacy.noise_multiplier", "over 0"],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nprivacy = { noise_multiplier = 1, max_grad_norm = -1 }",
            &["mode.privacy.max_grad_norm", "over 0"],
        ),
        (
            "kind = \"full\"",
            "kind = \"pretrain\"\nprivacy = { noise_multiplier = 1 }",
            &[
                "mode.privacy",
                "tokenizer from the corpus",
                "expected full, head or lora",
            ],
        ),
        (
            "learning_rate = 5e-5",
            "learning_rate = 5e-5\nlayers = [0]",
            &["mode.layers", "kind = \"lora\"", "found \"full\""],
        ),
        (
            "kind = \"full\"",
            "kind = \"lora\"\ntargets = \".*attn.*\"\nlayers = [0]",
            &[
                "mode.layers",
                "a regular expression in mode.targets can name the blocks itself",
            ],
        ),
        (
            "temperature = 0",
            "temperature = -0.5",
            &["extraction.strategy.temperature", "0 (greedy) or more"],
        ),
        (
            "[corpus]\n",
            "[corpus]\nmax_document_mb = 2001\n",
            &["corpus.max_document_mb", "1 to 2000"],
        ),
        (
            "[corpus]\n",
            "[corpus]\nname = \"a/b\"\n",
            &["corpus.name", "a/b"],
        ),
        (
            "[corpus]\n",
            "[[corpus]]\nfiles = \"a\"\n[[corpus]]\n",
            &["corpus.name", "each of the 2", "found 0"],
        ),
        (
            "[corpus]\n",
            "[[corpus]]\nname = \"a\"\nfiles = \"a\"\n[[corpus]]\nname = \"a\"\n",
            &["two corpora are named \"a\""],
        ),
        (
            "[corpus]\n",
            "[[corpus]]\nfile = \"a\"\n[[corpus]]\n",
            &["`file`", "Did you mean `files`"],
        ),
        (
            "[corpus]\n",
            "[corpus]\nmessages = \"dialog\"\n",
            &["corpus.messages", "corpus.shape = \"messages\""],
        ),
        (
            "[corpus]\n",
            "[corpus]\nshape = \"alpaca\"\nprompt = \"q\"\nresponse = \"a\"\n",
            &["corpus.prompt", "corpus.shape"],
        ),
        (
            "[corpus]\n",
            "[cluster]\ncpu = 4\n[corpus]\n",
            &["line 5", "unknown field `cpu`", "Did you mean `cpus`?"],
        ),
        (
            "[corpus]\n",
            "[cluster]\nmax_array_size = 1\n[corpus]\n",
            &["line 5", "cluster.max_array_size", "at least 2"],
        ),
        (
            "[corpus]\n",
            "[cluster.tuner]\nhours = 0\n[corpus]\n",
            &["cluster.tuner", "hours over 0"],
        ),
        (
            "[corpus]\n",
            "[cluster]\npartition = \"a b\"\n[corpus]\n",
            &["line 5", "cluster.partition", "without blanks"],
        ),
        (
            "[corpus]\n",
            "[cluster]\noptions = [\"--qos=x\", \"qos=y\"]\n[corpus]\n",
            &["line 5", "cluster.options", "found `qos=y`"],
        ),
        (
            "[corpus]\n",
            "[cluster.report]\noptions = [\"-d afterok:1\"]\n[corpus]\n",
            &["cluster.report", "--dependency is written by plan"],
        ),
        (
            "[corpus]\n",
            "[cluster]\nsetup = [\"#SBATCH --qos=x\"]\n[corpus]\n",
            &["line 5", "cluster.setup", "cluster.options"],
        ),
        (
            "temperature = 0",
            "top_p = 0.0",
            &["extraction.strategy.top_p", "over 0"],
        ),
    ];
    for (found, replacement, fragments) in cases {
        assert!(WHOLE.contains(found), "{found}");
        let (message, status) = told(load(&WHOLE.replacen(found, replacement, 1), &[]));
        assert_tells(&message, &["harbour.toml"]);
        assert_tells(&message, fragments);
        assert_eq!(status, 2, "{message}");
    }
}

#[test]
fn overrides_set_values_by_their_dotted_names() {
    let overrides = [
        "tuning.epochs=0.5",
        "mode.0.learning_rate=[1e-3, 1e-2]",
        "tuning.device=cpu",
        "duplication.layout=bucketed",
    ];
    let pipeline = load(WHOLE, &overrides).unwrap();
    assert_eq!(pipeline.tuning.epochs, 0.5);
    assert_eq!(pipeline.mode[0].learning_rate.as_slice(), [1e-3, 1e-2]);
    assert_eq!(pipeline.mode[1].learning_rate.as_slice(), [1e-4, 3e-4]);
    assert_eq!(pipeline.tuning.device, "cpu");
    assert_eq!(pipeline.duplication.layout, OneOrMany::One(Layout::Bucketed));
    // A table that the file does not have begins with its defaults.
    let pipeline = load(
        WHOLE,
        &["canaries.per_copies=2", "tuning.epochs=1", "tuning.epochs=9"],
    )
    .unwrap();
    assert_eq!((pipeline.canaries.per_copies, pipeline.canaries.digits), (2, 6));
    assert_eq!(pipeline.tuning.epochs, 9.0, "the last one counts");
}

#[test]
fn mistakes_in_overrides_are_told_with_the_override() {
    let cases: &[(&str, &[&str])] = &[
        ("tuning.epochs", &["expected key=value"]),
        (
            "tuning.epoch=3",
            &["unknown field `epoch`", "Did you mean `epochs`?"],
        ),
        ("tuning.epochs=many", &["invalid type: string \"many\""]),
        ("tunning.epochs=3", &["`tunning`", "Did you mean `tuning`?"]),
        ("mode.7.rank=3", &["`7` is no element of a list of 2"]),
        ("mode.first.rank=3", &["`first` is no element"]),
        ("name.first=3", &["nothing below"]),
        (
            "mode.1.kind=lorra",
            &["unknown variant `lorra`", "Did you mean `lora`?"],
        ),
        (
            "duplication.layout=unifrom",
            &["unknown variant `unifrom`", "Did you mean `uniform`?"],
        ),
    ];
    for (assignment, fragments) in cases {
        let (message, status) = told(load(WHOLE, &[assignment]));
        assert_tells(&message, &[&format!("--set {assignment}")]);
        assert_tells(&message, fragments);
        assert_eq!(status, 2, "{message}");
    }
    // Of the right type, but out of range.
    let (message, status) = told(load(WHOLE, &["tuning.epochs=0"]));
    assert_tells(&message, &["tuning.epochs", "over 0"]);
    assert_eq!(status, 2);
}

#[test]
fn a_file_that_is_not_there_is_a_wrong_command_line() {
    let (message, status) = told(PipelineFile::load(Path::new("no/such/file.toml"), &[]));
    assert_tells(&message, &["no/such/file.toml", "cannot be read"]);
    assert_eq!(status, 2);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let pipeline = load(WHOLE, &[]).unwrap();
    let folder = pipeline.path.parent().unwrap();
    assert_eq!(pipeline.resolve("texts/a.txt"), folder.join("texts/a.txt"));
    assert_eq!(pipeline.resolve("/texts/a.txt"), Path::new("/texts/a.txt"));
}

#[test]
fn a_single_cell_is_one_model_one_mode_one_rate() {
    let (message, status) = told(load(WHOLE, &[]).unwrap().single_cell().map(|_| ()));
    assert_tells(
        &message,
        &["found 1 models, 2 modes, 3 learning rates", "plan --config"],
    );
    assert_eq!(status, 2);

    let pipeline = load(
        WHOLE,
        &["mode=[{kind = 'lora', rank = 4, learning_rate = [1e-3]}]"],
    )
    .unwrap();
    let (model, mode, rate) = pipeline.single_cell().unwrap();
    assert_eq!((model.name.as_str(), mode.rank, rate), ("gpt2", 4, 1e-3));
}

#[test]
fn nesting_without_end_is_refused() {
    let (depth, keys) = (100_000, vec!["a"; 100_000].join("."));
    for deep in [
        format!("seeds = {}1{}\n", "[".repeat(depth), "]".repeat(depth)),
        format!("seeds = {}1{}\n", "{a = ".repeat(depth), "}".repeat(depth)),
        format!("{keys} = 1\n"),
        format!("[{keys}]\n"),
    ] {
        let (message, status) = told(load(&format!("{deep}{WHOLE}"), &[]));
        assert_eq!(status, 2, "{}", &message[..message.len().min(400)]);
        assert!(message.len() < 2000, "{}", message.len());
    }
}
