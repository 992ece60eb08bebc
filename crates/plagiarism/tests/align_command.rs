//! `plagiarism align A B` as a person calls it.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use contract::pipeline::DetectorPreset;
use contract::records::Verdict;
use plagiarism::side_by_side::{Comparison, PresetName};
use tempfile::TempDir;

const GENERATION: &str =
    "As the story goes: He trimmed the wick, polished the great lens and lit the lamp. Then he slept.";
const DOCUMENT: &str = "The lighthouse keeper climbed the stairs every evening at dusk. \
    He trimmed the wick, polished the great lens and lit the lamp. <b>Nobody</b> ever forgot \u{1b}[2J him.";

/// Two files of text.
struct Texts {
    folder: TempDir,
}

impl Texts {
    fn new(generation: &[u8], document: &[u8]) -> Self {
        let texts = Self {
            folder: TempDir::new().expect("a folder"),
        };
        fs::write(texts.path("a.txt"), generation).expect("a file");
        fs::write(texts.path("b.txt"), document).expect("a file");
        texts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn align(&self, arguments: &[&str]) -> Output {
        self.align_with_input(arguments, b"")
    }

    fn align_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_plagiarism"))
            .arg("align")
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("COLUMNS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = program.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("input");
        drop(stdin);
        program.wait_with_output().expect("the program ends")
    }
}

fn shown(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The two columns of what was shown, each with its lines joined.
fn columns(shown: &str) -> [String; 2] {
    let mut columns = [String::new(), String::new()];
    for line in shown.lines().filter(|line| line.contains(" │")) {
        let (left, right) = line.split_once(" │").expect("two columns");
        for (column, part) in columns.iter_mut().zip([left, right]) {
            column.push_str(part.trim());
            column.push(' ');
        }
    }
    columns
}

#[test]
fn both_texts_are_shown_with_the_passage_in_brackets_and_its_offsets() {
    let texts = Texts::new(GENERATION.as_bytes(), DOCUMENT.as_bytes());
    let shown = shown(&texts.align(&["a.txt", "b.txt"]));
    let passage = "[1|He trimmed the wick, polished the great lens and lit the lamp.|1]";
    let [left, right] = columns(&shown);
    assert!(left.starts_with("generation a.txt  As the story goes:"), "{left}");
    assert!(left.contains(passage), "{left}");
    assert!(right.contains(passage), "{right}");
    // Nothing in a text reaches the terminal as a command.
    assert!(!shown.contains('\u{1b}'));
    assert!(
        shown.contains("class    verbatim\n         preset ours, paraphrases confirmed by meaning\n"),
        "{shown}"
    );
    // 19 characters stand before the passage of 62 in the generation, 64 in the document.
    let row: Vec<&str> = shown.lines().last().expect("a row").split_whitespace().collect();
    assert_eq!(row, ["1", "19..81", "64..126", "1.000"]);
}

#[test]
fn settings_and_standard_input_are_taken() {
    let texts = Texts::new(b"", DOCUMENT.as_bytes());
    let output = texts.align_with_input(
        &["-", "b.txt", "--preset", "pan2015", "--width", "60"],
        GENERATION.as_bytes(),
    );
    let shown = shown(&output);
    assert!(
        shown.contains("class    none\n         preset pan2015, paraphrases confirmed by meaning\n"),
        "{shown}"
    );
    assert!(!shown.contains("passage"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
}

#[test]
fn classes_are_those_of_the_stage_and_its_presets() {
    const ONE: &str =
        "Family of Ada and baker Joe met at the station on the third of June with 14 baskets of pears.";
    const TOLD: &str = "The office told Mr Aster on Monday that his deposit was far too small and that he should come back with a \
        second form before the month ends.";
    const RETOLD: &str = "On Monday the office informed Mr Aster that his deposit was much too small and that he ought to return \
        with a second form before the end of the month.";
    for (generation, document, preset, class) in [
        // One and the same sentence has no words rarer than others, so alignment alone sees nothing.
        (ONE, ONE, "ours", "verbatim"),
        (ONE, ONE, "lee2023", "none"),
        (RETOLD, TOLD, "ours", "paraphrase"),
        (RETOLD, ONE, "ours", "none"),
    ] {
        let texts = Texts::new(generation.as_bytes(), document.as_bytes());
        let shown = shown(&texts.align(&["a.txt", "b.txt", "--preset", preset]));
        assert!(
            shown.contains(&format!("class    {class}\n         preset {preset}, ")),
            "{shown}"
        );
    }
}

#[test]
fn without_an_encoder_words_decide_and_the_output_says_so() {
    let text = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
    let compared = Comparison::of(text("a", GENERATION), text("b", DOCUMENT), PresetName::Ours, None)
        .expect("a comparison");
    assert_eq!(compared.class, Verdict::Verbatim);
    assert!(
        compared
            .table()
            .contains("by words alone, paraphrases not confirmed"),
        "{}",
        compared.table()
    );
}

#[test]
fn every_preset_is_offered_by_name() {
    let help = Command::new(env!("CARGO_BIN_EXE_plagiarism"))
        .args(["align", "--help"])
        .output()
        .expect("the program");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for preset in [
        DetectorPreset::Ours,
        DetectorPreset::Lee2023,
        DetectorPreset::Pan2015,
    ] {
        // As pipeline files spell it.
        let name = format!("{preset:?}").to_lowercase();
        assert!(help.contains(&format!("- {name}:")), "{name} in {help}");
    }
    assert!(help.contains("[default: ours]") && !help.contains('`'), "{help}");
}

#[test]
fn the_page_shows_the_passage_and_takes_no_text_for_markup() {
    let texts = Texts::new(GENERATION.as_bytes(), DOCUMENT.as_bytes());
    shown(&texts.align(&["a.txt", "b.txt", "--html", "page.html"]));
    let page = fs::read_to_string(texts.path("page.html")).expect("the page");
    let mark = "<mark class=\"p0\"><sup>1</sup>He trimmed the wick, polished the great lens and lit the lamp.</mark>";
    assert_eq!(page.matches(mark).count(), 2);
    assert!(page.contains("&lt;b&gt;Nobody&lt;/b&gt;") && !page.contains("<b>Nobody"));
}

#[test]
fn bad_input_has_status_3_and_a_message_with_the_file() {
    let texts = Texts::new(b"fine \xff not", DOCUMENT.as_bytes());
    for (arguments, status, message) in [
        (
            ["a.txt", "b.txt"],
            3,
            "a.txt: expected UTF-8, found the byte 0xff at offset 5",
        ),
        (["b.txt", "missing.txt"], 3, "missing.txt: "),
        (["-", "-"], 2, "expected two texts, found standard input for both"),
    ] {
        let output = texts.align(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{errors}");
        assert!(errors.contains(message), "{errors}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_flags_of_the_stage_are_asked_for_as_before() {
    let output = Command::new(env!("CARGO_BIN_EXE_plagiarism"))
        .args(["--in", "corpus"])
        .output()
        .expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    for flag in ["--config", "--samples", "--out"] {
        assert!(errors.contains(flag), "{errors}");
    }
}
