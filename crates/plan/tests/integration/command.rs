use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};

use crate::workplace::{PIPELINE, Workplace, write_labels};

/// Exit status and message of `plan` on a pipeline with one thing wrong.
fn failure(place: &Workplace, arguments: &[&str]) -> (Option<i32>, String) {
    let output = place.plan(arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn mistakes_are_told_with_file_line_key_and_nearest_name() {
    for (old, new, parts) in [
        (
            "encoder =",
            "encodr =",
            &["tiny.toml, line 14", "`encodr`", "Did you mean `encoder`?"][..],
        ),
        (
            "\"full\"",
            "\"ful\"",
            &["tiny.toml, line 8", "`ful`", "Did you mean `full`?"],
        ),
        ("[5e-5, 1e-4]", "[5e-5, \"x\"]", &["tiny.toml, line 9"]),
        (
            "path = \"../models/tiny\"",
            "pth = \"x\"",
            &["tiny.toml, line 6", "`pth`", "Did you mean `path`?"],
        ),
    ] {
        assert!(PIPELINE.contains(old));
        let (status, message) = failure(&Workplace::new(&PIPELINE.replace(old, new)), &[]);
        assert_eq!(status, Some(2), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn missing_inputs_are_status_three_and_nothing_is_written() {
    for (old, new, expected) in [
        (
            "../text/*.jsonl",
            "../text/*.csv",
            "../text/*.csv: expected a glob that matches at least one file, found none",
        ),
        (
            "../text/*.jsonl",
            "../none.jsonl",
            "none.jsonl: expected a file, a folder or a glob, found none",
        ),
        (
            "../models/tiny",
            "../models/none",
            "models/none: no such model folder",
        ),
    ] {
        let place = Workplace::new(&PIPELINE.replace(old, new));
        let (status, message) = failure(&place, &[]);
        assert_eq!(status, Some(3), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(!place.path("run").exists());
    }
}

/// Make reads blanks, brackets and colons as its own; so do shells.
#[test]
fn paths_that_make_cannot_carry_are_reached_through_links() {
    let names = [
        "my letters (1)",
        "a:b",
        "a$b",
        "a#b",
        "a%b",
        "a=b",
        "a'b\"c",
        "a;b&c",
        "~a",
        "ü [2]",
        &"long ".repeat(49),
    ];
    for name in names {
        let path = format!("{:?}", format!("../models/{name}"));
        let place = Workplace::new(&PIPELINE.replace("\"../models/tiny\"", &path));
        std::fs::rename(place.path("models/tiny"), place.path(&format!("models/{name}"))).unwrap();
        place.write(
            &format!("text/{name}.jsonl"),
            "{\"id\": 3, \"text\": \"nine ten\"}\n",
        );
        place.plan_well(&[]);
        assert!(!place.make(&["-j2"]).is_empty(), "{name}");
        place.plan_well(&[]);
        assert_eq!(
            place.make(&[]),
            Vec::<String>::new(),
            "{name}: nothing has changed"
        );
        // Of a link the file behind it counts.
        let text = std::fs::File::options()
            .append(true)
            .open(place.path(&format!("text/{name}.jsonl")))
            .unwrap();
        text.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5))
            .unwrap();
        assert!(place.make(&["-n", "dupgen"]).is_empty(), "{name}");
        let output = place.make_output(&["-n", "dupgen"]);
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("stage.sh dupgen"),
            "{name}: {output:?}"
        );
    }
}

#[test]
fn links_that_no_rule_needs_any_more_go() {
    let place = Workplace::new(PIPELINE);
    place.write("text/my letters.jsonl", "{\"id\": 3, \"text\": \"nine\"}\n");
    place.plan_well(&[]);
    assert!(place.path("run/inputs/0-my_letters.jsonl").exists());
    std::fs::remove_file(place.path("text/my letters.jsonl")).unwrap();
    place.plan_well(&[]);
    assert_eq!(std::fs::read_dir(place.path("run/inputs")).unwrap().count(), 0);
}

#[test]
fn a_run_folder_that_make_cannot_carry_is_refused() {
    let place = Workplace::new(PIPELINE);
    let output = place.plan(&["--out", "my run"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        message.contains("--out") || message.contains("my run: the character ' '"),
        "{message}"
    );
}

/// What one stage would refuse after hours is refused before anything runs.
#[test]
fn tables_of_every_stage_are_checked_when_the_file_is_read() {
    for (setting, key) in [
        ("corpus.prompt=question", "corpus.response"),
        ("corpus.max_left_out=2", "corpus.max_left_out"),
        ("corpus.delimiter=\"é\"", "corpus.delimiter"),
        ("corpus.documents=0", "corpus.documents"),
        ("corpus.files=[]", "corpus.files"),
        ("duplication.copies=[3000000000]", "duplication.copies"),
        ("duplication.instances=0", "duplication.instances"),
        ("canaries.template=no random part", "canaries.template"),
        ("canaries.references=0", "canaries.references"),
        ("mode.0.learning_rate=[]", "mode.learning_rate"),
        ("mode.0.epochs=0", "mode.epochs"),
        ("mode.1.alpha=inf", "mode.alpha"),
        ("tuning.device=gpu", "tuning.device"),
        ("tuning.betas=[0.9, 1]", "tuning.betas"),
        ("tuning.warmup=nan", "tuning.warmup"),
        ("extraction.device=cuda:x", "extraction.device"),
        ("extraction.prefix_tokens=0", "extraction.prefix_tokens"),
        ("extraction.batch_size=0", "extraction.batch_size"),
        ("extraction.scored_prefixes=[0]", "extraction.scored_prefixes"),
        (
            "extraction.strategy=[{ name = \"a\", prompt = \"question\" }]",
            "extraction.strategy.prompt",
        ),
        (
            "extraction.strategy=[{ name = \"a\", samples = 0 }]",
            "extraction.strategy.samples",
        ),
        ("detection.candidates=[]", "detection.candidates"),
        ("detection.confirm=classifier", "detection.classifier"),
        ("detection.confirm_cosine=nan", "detection.confirm_cosine"),
        ("report.resamples=3", "report.resamples"),
    ] {
        let place = Workplace::new(PIPELINE);
        let (status, message) = failure(&place, &["--set", setting]);
        assert_eq!(status, Some(2), "{setting}: {message}");
        assert!(
            message.contains(&format!("tiny.toml: {key}: ")),
            "{setting}: {message}"
        );
        assert!(!place.path("run").exists(), "{setting}");
    }
}

/// Each case: what is changed, where the file is, and what is said.
#[test]
fn what_a_stage_would_refuse_after_hours_is_refused_by_the_plan() {
    let beyond = "beyond the context of 512";
    let cases: [(&[&str], i32, &[&str]); 15] = [
        (&["tuning.context=513"], 2, &["tuning.context = 513", beyond]),
        (&["extraction.new_tokens=600"], 2, &["need 603 tokens", beyond]),
        (
            &["extraction.prefix_tokens=8"],
            2,
            &[
                "2 of the 2 documents",
                "the longest has 4",
                "SET=\"extraction.prefix_tokens=2\"",
            ],
        ),
        // What training cuts off is no part of a prompt.
        (
            &["tuning.context=3", "extraction.prefix_tokens=4"],
            2,
            &["the longest has 2"],
        ),
        (
            &["extraction.short_documents=error", "extraction.prefix_tokens=8"],
            2,
            &["2 of the 2 documents"],
        ),
        (
            &["corpus.text=body"],
            3,
            &["a.jsonl: line 1: no such column: expected body"],
        ),
        (
            &["corpus.identity=number"],
            3,
            &["a.jsonl: line 1: no such column: expected number"],
        ),
        (
            &["detection.encoder=../nowhere"],
            3,
            &["nowhere/config.json", "correct detection.encoder"],
        ),
        (
            &["detection.classifier=../nowhere", "detection.confirm=classifier"],
            3,
            &["correct detection.classifier"],
        ),
        (
            &["extraction.prompt_file=../none.txt"],
            3,
            &["none.txt", "correct extraction.prompt_file"],
        ),
        (
            &["detection.personal_details=../none.parquet"],
            3,
            &["none.parquet", "correct detection.personal_details"],
        ),
        (
            &["detection.personal_details=../text/a.jsonl"],
            3,
            &["text/a.jsonl"],
        ),
        (&["corpus.other=../none.txt"], 3, &["none.txt"]),
        (
            &["corpus.other=../models/tiny/config.json"],
            3,
            &["config.json", "expected text", "(corpus.other)"],
        ),
        (
            &["corpus.other=../text/a.jsonl"],
            2,
            &["corpus.other (OTHER)", "text/a.jsonl holds the same as"],
        ),
    ];
    for (settings, expected, parts) in cases {
        let place = Workplace::new(PIPELINE);
        let arguments: Vec<&str> = settings.iter().flat_map(|&set| ["--set", set]).collect();
        let (status, message) = failure(&place, &arguments);
        assert_eq!(status, Some(expected), "{settings:?}: {message}");
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{settings:?}: {message}"
        );
        assert!(!place.path("run").exists(), "{settings:?}");
    }
}

#[test]
fn prompts_longer_than_most_documents_are_warned_of() {
    let place = Workplace::new(PIPELINE);
    place.write(
        "text/c.jsonl",
        "{\"id\": 3, \"text\": \"nine ten eleven twelve thirteen fourteen\"}\n",
    );
    let (status, message) = failure(&place, &["--set", "extraction.prefix_tokens=8"]);
    assert_eq!(status, Some(0), "{message}");
    assert!(message.contains("2 of the 3 documents looked at"), "{message}");
    let (_, message) = failure(&place, &["--set", "extraction.prefix_tokens=6"]);
    assert!(!message.contains("have no more than"), "{message}");
}

#[test]
fn too_few_seeds_for_shadow_models_are_warned_of() {
    let place = Workplace::new(PIPELINE);
    let share = ["--set", "duplication.trained_share=0.5"];
    let (status, message) = failure(&place, &[&share[..], &["--set", "seeds=[0, 1]"]].concat());
    assert_eq!(status, Some(0), "{message}");
    assert!(message.contains("from 3 seeds on, found 2"), "{message}");
    for enough in [[&share[..], &["--set", "seeds=[0, 1, 2]"]].concat(), Vec::new()] {
        let (_, message) = failure(&place, &enough);
        assert!(!message.contains("shadow models"), "{message}");
    }
}

/// Held-out text that is the corpus would make every leak look like chance.
#[test]
fn held_out_text_that_is_the_corpus_is_refused() {
    for held_out in [
        "../text/a.jsonl",
        "../text/../text/b.jsonl",
        "../copy.jsonl",
        "../link.jsonl",
        "../text",
    ] {
        let place = Workplace::new(PIPELINE);
        place.write("copy.jsonl", place.read("text/a.jsonl"));
        std::os::unix::fs::symlink(place.path("text/b.jsonl"), place.path("link.jsonl")).unwrap();
        let set = format!("corpus.held_out_files={held_out}");
        let (status, message) = failure(&place, &["--set", &set]);
        assert_eq!(status, Some(2), "{held_out}: {message}");
        assert!(message.contains("holds the same as"), "{held_out}: {message}");
    }
    let place = Workplace::new(PIPELINE);
    place.write("other.jsonl", "{\"id\": 1, \"text\": \"one two three five\"}\n");
    place.plan_well(&["--set", "corpus.held_out_files=../other.jsonl"]);
}

/// On make's command line paths start from the current folder, as CORPUS does; what is not there starts from the pipeline file.
#[test]
fn paths_in_make_s_set_start_from_the_current_folder() {
    let place = Workplace::new(PIPELINE);
    write_labels(&place, "labels.parquet");
    write_labels(&place, "pipelines/beside.parquet");
    for (set, expected) in [
        ("detection.personal_details=labels.parquet", "labels.parquet"),
        (
            "detection.personal_details=\"labels.parquet\" report.examples=3",
            "labels.parquet",
        ),
        (
            "detection.personal_details=beside.parquet",
            "pipelines/beside.parquet",
        ),
    ] {
        place.plan_well(&["--set-all", set]);
        let cell = place.path("run/cells/tiny-base-bucketed-s0");
        let settings = contract::PipelineFile::load(&cell.join("plagiarism.toml"), &[]).unwrap();
        let labels = settings.resolve(settings.detection.personal_details.as_deref().unwrap());
        assert_eq!(
            labels.canonicalize().unwrap(),
            place.path(expected).canonicalize().unwrap(),
            "{set}"
        );
    }
    place.write("moon.txt", "The moon.\n\nThe tides.\n");
    place.plan_well(&["--other", "moon.txt"]);
    assert!(
        place
            .read("run/corpus/bucketed-s0/dupgen.toml")
            .contains("moon.txt")
    );
    assert!(place.read("run/cells.mk").contains("moon.txt"));
}

#[test]
fn targets_that_match_nothing_are_refused_before_anything_runs() {
    let place = Workplace::new(PIPELINE);
    let (status, message) = failure(&place, &["--set", "mode.1.targets=q_proj"]);
    assert_eq!(status, Some(2), "{message}");
    assert!(
        message.contains("q_proj") && message.contains("c_attn, c_fc, c_proj"),
        "{message}"
    );
}

#[test]
fn estimates_are_printed_and_nothing_is_written() {
    let place = Workplace::new(PIPELINE);
    let output = place.plan(&[
        "--estimate",
        "--set",
        "tuning.epochs=4",
        "--set",
        "corpus.held_out=0.5",
        "--set",
        "canaries.template={context} is {digits}.",
    ]);
    assert!(output.status.success());
    assert!(!place.path("run").exists());
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 4 + 1 + 3, "{table}");
    // A document has four words and an EOS. One is trained on with 2.5 copies on average, and (1 + 4) instances of canaries of
    // six words and an EOS: (2.5 · 5 + 5 · 7) · 4 epochs = 190 tokens.
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = lines
        .iter()
        .find(|line| line.starts_with("tiny-full-5e-5-bucketed-s0"))
        .unwrap();
    assert_eq!(fields(row)[1], "190", "{table}");
    let base = lines.iter().find(|line| line.starts_with("tiny-base")).unwrap();
    assert_eq!(fields(base)[1], "0", "{table}");
    assert!(lines[6].starts_with("All stages of all cells"), "{table}");
    assert!(
        lines[7].starts_with("Estimates, at 60 GFLOP/s, which is assumed"),
        "{table}"
    );
    assert!(
        lines[8].contains("none of the documents looked at is longer than tuning.context = 256 tokens"),
        "{table}"
    );
    // A tuned cell is asked at its last checkpoint and at its best.
    let [of_row, of_base] = [row, base].map(|line| fields(line)[2].parse::<f64>().unwrap());
    assert!((of_row - 2.0 * of_base).abs() <= 1.0, "{table}");
}

/// A corpus of five documents of 20, 20, 22, 40 and 200 words, which are tokens.
fn five_documents(place: &Workplace, file: &str) {
    for stale in ["text/a.jsonl", "text/b.jsonl"] {
        std::fs::remove_file(place.path(stale)).unwrap();
    }
    let texts = [40, 40, 44, 80, 400].map(|length| format!("{}xx", "x ".repeat(length / 2 - 1)));
    let lines = match file.rsplit_once('.') {
        Some((_, "jsonl")) => texts.map(|text| format!("{{\"text\": \"{text}\"}}\n")).concat(),
        Some((_, "csv")) => format!("text\n{}\n", texts.join("\n")),
        _ => texts.join("\n\n"),
    };
    place.write(file, lines);
}

#[test]
fn documents_that_training_cuts_are_foretold() {
    let audit = "name = 'tiny'\ncorpus = { files = '../text', held_out = 0 }\nextraction = { prefix_tokens = 2, new_tokens = 2 }\n[[checkpoint]]\nname = 'tiny'\npath = '../models/tiny'\n";
    let tuned = PIPELINE
        .replace("../text/*.jsonl", "../text")
        .replace(", identity = \"id\"", "");
    let cases: [(&str, &[&str], &str); 8] = [
        // One token is the BOS: twenty of text fit into twenty-one.
        (
            &tuned,
            &["tuning.context=21"],
            "about 60% of the documents are longer than tuning.context = 21 tokens of tiny",
        ),
        (&tuned, &["tuning.context=23"], "about 40% of the documents"),
        (&tuned, &["tuning.context=200"], "about 20% of the documents"),
        (
            &tuned,
            &["tuning.context=201"],
            "none of the documents looked at is longer than tuning.context = 201",
        ),
        (&tuned, &["tuning.context=21", "tuning.rows=packed"], ""),
        (audit, &[], ""),
        (
            audit,
            &["checkpoint.0.context=23"],
            "about 40% of the documents are longer than checkpoint.context = 23 tokens",
        ),
        // What is tuned elsewhere is not cut here.
        (audit, &["tuning.context=21"], ""),
    ];
    for (pipeline, overrides, expected) in cases {
        for file in ["text/c.jsonl", "text/c.csv", "text/c.txt"] {
            // Of a folder each text file would be a document.
            let place = Workplace::new(&pipeline.replace("../text", &format!("../{file}")));
            five_documents(&place, file);
            let arguments: Vec<&str> = overrides.iter().flat_map(|&set| ["--set", set]).collect();
            for estimate in [true, false] {
                let more = if estimate { &["--estimate"][..] } else { &[] };
                let output = place.plan(&[&arguments, more].concat());
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8(said).unwrap();
                assert!(output.status.success(), "{said}");
                if expected.is_empty() {
                    assert!(!said.contains("longer"), "{file}, {overrides:?}: {said}");
                } else {
                    assert!(said.contains(expected), "{file}, {overrides:?}: {said}");
                }
            }
        }
    }
}

/// A training set that is there already says it better: each document counts once, and a canary is none.
#[test]
fn a_training_set_says_how_many_documents_are_cut() {
    let place = Workplace::new(PIPELINE);
    let row = |doc_id: &str, length: usize, kind, copies| TrainingInstance {
        doc_id: doc_id.to_owned(),
        text: "x ".repeat(length),
        prompt_chars: 0,
        kind,
        copies,
        copy: 0,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    };
    let mut rows = vec![row("short", 20, DocumentKind::Document, 1)];
    rows.extend((0..4).map(|copy| TrainingInstance {
        copy,
        ..row("long", 40, DocumentKind::Document, 4)
    }));
    rows.extend([
        row("third", 20, DocumentKind::Document, 1),
        row("canary", 40, DocumentKind::Canary, 1),
    ]);
    let folder = place.path("run/corpus/bucketed-s0");
    let provenance = contract::Provenance::new("test");
    contract::parquet::write_all(&folder.join("train.parquet"), &provenance, &rows).unwrap();
    let control: [HeldOutDocument; 0] = [];
    contract::parquet::write_all(&folder.join("heldout.parquet"), &provenance, &control).unwrap();
    let output = place.plan(&["--estimate", "--set", "tuning.context=30"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("about 33% of the documents"), "{said}");
}

/// The beginnings of a corpus in Parquet are looked at as those of any other.
#[test]
fn documents_of_parquet_that_training_cuts_are_foretold() {
    let place = Workplace::new(&PIPELINE.replace("*.jsonl", "c.parquet"));
    let row = TrainingInstance {
        doc_id: "d".to_owned(),
        text: "x ".repeat(2000),
        prompt_chars: 0,
        kind: DocumentKind::Document,
        copies: 1,
        copy: 0,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    };
    let provenance = contract::Provenance::new("test");
    contract::parquet::write_all(&place.path("text/c.parquet"), &provenance, &[row]).unwrap();
    let output = place.plan(&["--estimate"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("about 100% of the documents are longer than tuning.context = 256 tokens of tiny, and are cut there"),
        "{said}"
    );
}

/// Columns of the row of a cell: name, tokens trained on and generated, and the times of tuner, extractor and plagiarism.
fn estimated(place: &Workplace, cell: &str, arguments: &[&str]) -> Vec<String> {
    let output = place.plan(&[&["--estimate"], arguments].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let row = said.lines().find(|line| line.starts_with(cell)).unwrap();
    // Two blanks at least lie between columns; a number and its unit have one between them.
    let columns = row.split("  ").map(str::trim).filter(|column| !column.is_empty());
    columns.map(str::to_owned).collect()
}

#[test]
fn other_text_that_is_not_there_is_refused() {
    let place = Workplace::new(PIPELINE);
    let output = place.plan(&["--set", "mode.0.other_share=0.5"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("mode.other_share: expected files of text of another kind in corpus.other"),
        "{said}"
    );
}

/// What a person pays for: each case changes settings, and says by what factor tokens of training and generation change.
#[test]
fn estimated_tokens_follow_the_settings() {
    let cases: [(&[&str], f64, f64); 8] = [
        // Three times as much other text as there is of the training set.
        (
            &["mode.0.other_share=0.75", "corpus.other=../text/other.txt"],
            4.0,
            1.0,
        ),
        // Documents and canaries once: against 4 · 0.5 + 1 · 0.5 copies.
        (&["mode.0.without_copies=true"], 2.0 / 5.0, 1.0),
        (&["tuning.epochs=10"], 10.0, 1.0),
        (&["extraction.new_tokens=4"], 1.0, 2.0),
        // Documents and canaries: 4 · 0.5 + 1 · 0.5 copies against 8 · 0.5 + 1 · 0.5.
        (&["duplication.copies=[1, 16]"], 17.0 / 5.0, 1.0),
        (
            &["extraction.strategy=[{ name = \"a\", samples = 3 }, { name = \"b\", temperature = 0 }]"],
            1.0,
            4.0,
        ),
        // A document has four tokens, and gives no prompt of four.
        (&["extraction.prefix_tokens=3"], 1.0, 1.0),
        (&["corpus.documents=1"], f64::NAN, 0.5),
    ];
    let place = Workplace::new(&PIPELINE.replace(
        "[extraction]",
        "[tuning]\nepochs = 1\n[extraction]\nstrategy = [{ name = \"a\", temperature = 0 }]",
    ));
    std::fs::write(place.path("text/other.txt"), "Nobody's text.\n\nAnother one.\n").unwrap();
    let tokens = |settings: &[&str]| {
        let settings: Vec<&str> = settings.iter().flat_map(|&set| ["--set", set]).collect();
        let template = ["--set", "canaries.template={digits} is it."];
        let row = estimated(&place, "tiny-full-5e-5", &[&settings[..], &template].concat());
        [1, 2].map(|column| {
            row[column]
                .parse::<f64>()
                .unwrap_or_else(|error| panic!("{row:?}: {error}"))
        })
    };
    let before = tokens(&[]);
    for (settings, trained, generated) in cases {
        let after = tokens(settings);
        for (column, factor) in [trained, generated].into_iter().enumerate() {
            let expected = before[column] * factor;
            assert!(
                factor.is_nan() || (after[column] - expected).abs() <= 1.0,
                "{settings:?}: {before:?} became {after:?}"
            );
        }
    }
}

/// References of canaries in heldout.parquet are no held-out documents: nothing is generated from them.
#[test]
fn a_training_set_that_is_there_changes_no_estimate_by_much() {
    let place = Workplace::new(PIPELINE);
    let settings = [
        "corpus.held_out=0.5",
        "canaries.references=500",
        "canaries.template=now {digits} is it",
    ]
    .map(|setting| ["--set", setting]);
    let settings = settings.as_flattened();
    let before = estimated(&place, "tiny-full-5e-5", settings);
    let provenance = contract::Provenance::new("test");
    let row = |doc_id: &str, kind, copies: i32| TrainingInstance {
        doc_id: doc_id.to_owned(),
        text: "one two three four".to_owned(),
        prompt_chars: 0,
        kind,
        copies,
        copy: 0,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    };
    let mut rows = vec![
        row("a", DocumentKind::Document, 1),
        row("canary-1", DocumentKind::Canary, 1),
    ];
    rows.extend((0..4).map(|_| row("canary-4", DocumentKind::Canary, 4)));
    let held_out = |kind, number: usize| HeldOutDocument {
        doc_id: format!("held-{number}"),
        text: "five six seven eight".to_owned(),
        prompt_chars: 0,
        kind,
        role: None,
        near_duplicate_of: None,
        shared_8grams: None,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    };
    let mut control = vec![held_out(DocumentKind::Document, 0)];
    control.extend((1..1001).map(|number| held_out(DocumentKind::CanaryReference, number)));
    let folder = place.path("run/corpus/bucketed-s0");
    contract::parquet::write_all(&folder.join("train.parquet"), &provenance, &rows).unwrap();
    contract::parquet::write_all(&folder.join("heldout.parquet"), &provenance, &control).unwrap();
    let after = estimated(&place, "tiny-full-5e-5", settings);
    assert_eq!(before[2], after[2], "{before:?} {after:?}");
    let tokens = |row: &[String]| row[1].parse::<f64>().unwrap();
    assert!(
        (0.5..2.0).contains(&(tokens(&after) / tokens(&before))),
        "{before:?} {after:?}"
    );
}

/// The program of stage 2 says how fast the machine is; where it does not, a speed is assumed, and that is said.
#[test]
fn times_follow_the_speed_that_is_told_or_measured() {
    let place = Workplace::new(PIPELINE);
    place.write(
        "speed.sh",
        "echo \"$@\" >>asked\necho '{\"training_gflops\": 1e-6, \"decoding_gflops\": 1e-6}'\n",
    );
    let said = |arguments: &[&str]| {
        let output = place.plan(&[&["--estimate"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let measured = said(&["--measure", "sh speed.sh", "--threads", "3"]);
    assert!(
        measured.contains("measured here: 0 GFLOP/s in training"),
        "{measured}"
    );
    let asked = place.read("asked");
    assert_eq!(
        asked,
        "speed --width 4 --vocabulary 11 --device auto --precision float32 --side-by-side --threads 3\n",
        "once for one shape"
    );
    let slow = estimated(&place, "tiny-full-5e-5", &["--measure", "sh speed.sh"]);
    let fast = estimated(&place, "tiny-full-5e-5", &["--gflops", "1000"]);
    assert!(slow[3].ends_with('h') || slow[3].ends_with("min"), "{slow:?}");
    assert_eq!(fast[3], "1 s", "{fast:?}");
    assert!(said(&["--measure", "false"]).contains("which is assumed"));
    for wrong in ["0", "-1", "nan", "fast"] {
        assert_eq!(
            place.plan(&["--estimate", "--gflops", wrong]).status.code(),
            Some(2),
            "{wrong}"
        );
    }
}

/// On a GPU a batch takes for each row what is worked out here: in float32 keys and values of one layer and the buffer, 3 · 4 · 4 bytes for each
/// of 5 tokens (BOS, 2 and 2), logits twice, 2 · 4 · 11, and 24 · 4 · 4 for each of the 3 tokens of a prompt: 1,480 bytes; beside 350 MB for the
/// program and 512 MiB for what is worked on.
#[test]
fn memory_of_extraction_on_a_gpu_is_that_of_its_batches() {
    let place = Workplace::new(PIPELINE);
    place.write(
        "speed.sh",
        "echo '{\"training_gflops\": 1e5, \"decoding_gflops\": 1e4, \"gpu\": {\"name\": \"a card\", \"free_bytes\": 8e10}}'\n",
    );
    for (settings, expected) in [
        (&[][..], "887 MB"),
        (&["--set", "extraction.batch_size=1000000"], "2.4 GB"),
        (&["--set", "extraction.batch_size=5000000"], "8.3 GB"),
    ] {
        let row = estimated(
            &place,
            "tiny-base",
            &[
                &["--measure", "sh speed.sh", "--set", "extraction.score=false"],
                settings,
            ]
            .concat(),
        );
        assert_eq!(row[6], expected, "{row:?}");
    }
}

#[test]
fn errors_begin_with_the_file_and_name_no_part_of_the_program() {
    let place = Workplace::new(&PIPELINE.replace("encoder =", "encodr ="));
    let (_, message) = failure(&place, &[]);
    assert!(message.starts_with("error: pipelines/tiny.toml"), "{message}");
    assert!(!message.contains("contract::"), "{message}");
}
