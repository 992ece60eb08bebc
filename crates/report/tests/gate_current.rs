//! A report that is not of what its run folder holds now is refused: by `report check`, `report model-card` and `report compare`.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use contract::records::SummaryRow;
use contract::{Provenance, parquet};
use tempfile::TempDir;

const CELL: &str = "run/cells/audited";

/// A model, a corpus, and a run folder whose files name what they were made from. Nothing but that is looked at here.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (file, content) in [
            ("models/one/model.safetensors", "one"),
            ("models/two/model.safetensors", "two"),
            ("text.jsonl", "text"),
        ] {
            place.write(file, content);
        }
        symlink("one", place.path("models/latest")).unwrap();
        place.write(&format!("{CELL}/cell.toml"), "name = \"audited\"");
        place.make(
            "run/corpus/found/train.parquet",
            &[("corpus 0", "text.jsonl")],
            0.0,
        );
        let samples = format!("{CELL}/samples.parquet");
        let verdicts = format!("{CELL}/verdicts.parquet");
        place.make(
            &samples,
            &[
                ("train.parquet", "run/corpus/found/train.parquet"),
                ("checkpoint", "models/latest"),
            ],
            0.0,
        );
        place.make(&verdicts, &[("samples", &samples)], 0.0);
        place.make(
            "run/report/summary.parquet",
            &[
                ("cells/audited/cell.toml", &format!("{CELL}/cell.toml")),
                ("cells/audited/samples.parquet", &samples),
                ("cells/audited/verdicts.parquet", &verdicts),
            ],
            0.0,
        );
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    /// An output with one row, made from `inputs`.
    fn make(&self, path: &str, inputs: &[(&str, &str)], value: f64) {
        let mut provenance = Provenance::new("test");
        for (role, input) in inputs {
            provenance = provenance.with_input(role, &self.path(input)).unwrap();
        }
        let row = SummaryRow {
            cell: Some("audited".into()),
            model: "tiny".into(),
            method: "audited model".into(),
            mode: "tuned".into(),
            learning_rate: Some(1e-3),
            measure: "own_verbatim".into(),
            unit: "share".into(),
            value,
            ci_low: Some(value),
            ci_high: Some(value + 0.01),
            n: 300,
            n_of: "documents".into(),
            ..SummaryRow::default()
        };
        // A file that is there has the folder that places are seen from.
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        parquet::write_all(&self.path(path), &provenance, &[row]).unwrap();
    }

    /// As plan lists the files that the extractor was given.
    fn list_model(&self) {
        let file = self.path("models/latest/model.safetensors");
        let metadata = fs::metadata(&file).unwrap();
        let given = serde_json::json!({
            "file": file,
            "lies": file.canonicalize().unwrap(),
            "bytes": metadata.len(),
            "modified": format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()),
            "changed": format!("{}.{:09}", metadata.ctime(), metadata.ctime_nsec()),
            "inode": metadata.ino(),
        });
        self.write(
            &format!("{CELL}/extractor.inputs"),
            &format!("# by a test\n{given}\n"),
        );
        self.date(&format!("{CELL}/extractor.inputs"), -3600);
    }

    /// Dates a file so many seconds after the report.
    fn date(&self, path: &str, seconds: i64) {
        let report = fs::metadata(self.path("run/report/summary.parquet")).unwrap();
        let by = Duration::from_secs(seconds.unsigned_abs());
        let made: SystemTime = report.modified().unwrap();
        let time = if seconds < 0 { made - by } else { made + by };
        File::open(self.path(path)).unwrap().set_modified(time).unwrap();
    }

    fn report(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_report"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn check(&self) -> Output {
        self.report(&["check", "run", "--max", "own_verbatim=0.1"])
    }

    fn passes(&self) {
        let checked = self.check();
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        let card = self.report(&["model-card", "run"]);
        assert_eq!(card.status.code(), Some(0), "{card:?}");
    }

    /// That nothing is concluded from the report, with the reason.
    fn is_refused(&self, reason: &str) {
        for run in ["run", "run/report", "run/report/summary.parquet"] {
            self.refuses(&["check", run, "--max", "own_verbatim=0.1"], reason);
        }
        self.refuses(&["model-card", "run"], reason);
        self.refuses(&["compare", "run", "run"], reason);
    }

    fn refuses(&self, arguments: &[&str], reason: &str) {
        let done = self.report(arguments);
        let message = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(3), "{arguments:?}: {message}");
        assert!(
            message.contains(reason) && message.contains("`make run`"),
            "{message}"
        );
        assert!(done.stdout.is_empty());
    }
}

#[test]
fn a_report_of_what_lies_there_is_checked() {
    let place = Place::new();
    place.passes();
    place.list_model();
    place.passes();
}

/// The second audit made other samples, and failed before they were compared. Files that say that all passed are written over.
#[test]
fn an_older_report_beside_newer_outputs_is_refused() {
    let place = Place::new();
    let files = ["--junit", "a.xml", "--sarif", "a.sarif"];
    let check = ["check", "run", "--max", "own_verbatim=0.1"];
    let with_files = [&check[..], &files].concat();
    assert_eq!(place.report(&with_files).status.code(), Some(0));
    place.make(&format!("{CELL}/samples.parquet"), &[], 1.0);
    place.is_refused("was made from another cells/audited/samples.parquet");

    assert_eq!(place.report(&with_files).status.code(), Some(3));
    let xml = fs::read_to_string(place.path("a.xml")).unwrap();
    assert!(
        xml.contains("tests=\"1\" failures=\"0\" errors=\"1\"") && xml.contains("<error "),
        "{xml}"
    );
    let sarif: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(place.path("a.sarif")).unwrap()).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["results"][0]["level"], "error");
    assert_eq!(run["results"].as_array().unwrap().len(), 1);
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
}

/// Also where the output that is another is not one that the report reads.
#[test]
fn what_the_outputs_were_made_from_is_looked_at_down_to_the_corpus() {
    let place = Place::new();
    place.write("text.jsonl", "other text");
    place.is_refused("corpus/found/train.parquet was made from another");
    // On another machine it may not be there.
    fs::remove_file(place.path("text.jsonl")).unwrap();
    place.passes();
    place.make("run/corpus/found/train.parquet", &[], 1.0);
    place.is_refused("cells/audited/samples.parquet was made from another corpus/found/train.parquet");
}

#[test]
fn a_report_that_is_older_than_a_failure_is_refused() {
    for (mark, content, reason) in [
        (
            ".failed-extractor",
            "message = \"no memory\"\nexit_status = 1\n",
            "extractor failed in cells/audited",
        ),
        (".exit-plagiarism", "1\n", "plagiarism failed in cells/audited"),
        (
            ".running-extractor",
            "stage = \"extractor\"\n",
            "extractor failed in cells/audited",
        ),
        ("best/.exit-plagiarism", "127\n", "there is no such program"),
        (
            "../../exit_status",
            "3\n",
            "a run failed after the report was made",
        ),
    ] {
        let place = Place::new();
        let mark = format!("{CELL}/{mark}");
        place.write(&mark, content);
        place.date(&mark, 1);
        place.is_refused(reason);
        // The stage succeeded afterwards: of another program's failure the mark stays.
        place.date(&mark, -1);
        place.passes();
    }
    let place = Place::new();
    place.write(&format!("{CELL}/.done-extractor"), "stage = \"extractor\"\n");
    place.date(&format!("{CELL}/.done-extractor"), 1);
    place.passes();
}

/// Weights are only read where something about them is not as plan listed it.
#[test]
fn a_model_that_was_exchanged_after_the_report_is_noticed() {
    let weights = "models/one/model.safetensors";
    let place = Place::new();
    place.list_model();
    // The same bytes at another time are the same model.
    place.date(weights, 60);
    place.passes();
    place.write(weights, "two");
    place.date(weights, -86_400);
    place.is_refused("cells/audited/samples.parquet was made from another");

    // A link leads elsewhere; where it led nothing has changed.
    let place = Place::new();
    place.list_model();
    fs::remove_file(place.path("models/latest")).unwrap();
    symlink("two", place.path("models/latest")).unwrap();
    place.is_refused("models/two/model.safetensors is another file than the one that the stages read");
    // Planned anew, and not run.
    place.list_model();
    place.date(&format!("{CELL}/extractor.inputs"), 1);
    place.is_refused("models/two/model.safetensors is another file than the one that the stages read");
    // Not there, as on another machine.
    fs::remove_dir_all(place.path("models")).unwrap();
    place.passes();
}

/// The run that limits are compared with counts as well.
#[test]
fn an_increase_over_an_older_report_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let before = other.path("run");
    let arguments = [
        "check",
        "run",
        "--max",
        "own_verbatim=0.1",
        "--against",
        path(&before),
    ];
    assert_eq!(place.report(&arguments).status.code(), Some(0));
    other.make(&format!("{CELL}/samples.parquet"), &[], 1.0);
    place.refuses(&arguments, "was made from another cells/audited/samples.parquet");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
