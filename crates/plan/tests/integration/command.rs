use crate::workplace::{PIPELINE, Workplace};

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
            "no such corpus file (corpus.files = \"../text/*.csv\")",
        ),
        (
            "../text/*.jsonl",
            "../none.jsonl",
            "none.jsonl: no such corpus file",
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

#[test]
fn paths_that_make_cannot_carry_are_refused() {
    let place = Workplace::new(PIPELINE);
    place.write("text/my letters.jsonl", "{}\n");
    let (status, message) = failure(&place, &[]);
    assert_eq!(status, Some(2), "{message}");
    assert!(
        message.contains("text/my letters.jsonl: the character ' '"),
        "{message}"
    );
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
    ]);
    assert!(output.status.success());
    assert!(!place.path("run").exists());
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 4 + 1 + 1, "{table}");
    // Two documents of 18 and 20 bytes are 4.75 tokens on average. One is trained on with 2.5 copies on average, and
    // (1 + 4) instances of canaries: 7.5 · 4.75 · 4 epochs = 142.5 tokens.
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = lines
        .iter()
        .find(|line| line.starts_with("tiny-full-5e-5-bucketed-s0"))
        .unwrap();
    assert_eq!(fields(row)[1], "142", "{table}");
    let base = lines.iter().find(|line| line.starts_with("tiny-base")).unwrap();
    assert_eq!(fields(base)[1], "0", "{table}");
    assert!(lines[6].starts_with("Estimates"), "{table}");
}
