//! A small corpus with the tiny GPT-2, and the program run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contract::records::{DocumentKind, HeldOutDocument, Sample, Score, TrainingInstance};
use contract::{Provenance, parquet};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../causal-lm/tests/fixtures")
}

/// A training document with one copy.
pub(crate) fn training(doc_id: &str, text: &str, prompt: &str) -> TrainingInstance {
    TrainingInstance {
        doc_id: doc_id.into(),
        text: format!("{prompt}{text}"),
        prompt_chars: prompt.chars().count() as i32,
        kind: DocumentKind::Document,
        copies: 1,
        copy: 0,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    }
}

pub(crate) fn held_out(doc_id: &str, text: &str, prompt: &str) -> HeldOutDocument {
    HeldOutDocument {
        doc_id: doc_id.into(),
        text: format!("{prompt}{text}"),
        prompt_chars: prompt.chars().count() as i32,
        kind: DocumentKind::Document,
        role: None,
        near_duplicate_of: None,
        shared_8grams: None,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    }
}

pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    /// Documents of one to three sentences with a greedy and a nucleus strategy, and a canary with its reference.
    pub(crate) fn new(extraction: &str) -> Self {
        let text = |number: usize| {
            "The pilot boat came in at dawn with mail. ".repeat(1 + number % 3) + &number.to_string()
        };
        let mut train = Vec::new();
        for (number, copies) in [(1, 1), (2, 3), (3, 1)] {
            for copy in 0..copies {
                train.push(TrainingInstance {
                    copies,
                    copy,
                    ..training(&format!("d{number}"), &text(number), "")
                });
            }
        }
        train.push(TrainingInstance {
            kind: DocumentKind::Canary,
            canary_format: Some(4),
            ..training("canary", "code 4711", "")
        });
        let held_out = [
            held_out("h1", &text(5), ""),
            HeldOutDocument {
                kind: DocumentKind::CanaryReference,
                canary_format: Some(4),
                ..held_out("r1", "code 4712", "")
            },
        ];
        let strategies = "[[extraction.strategy]]\nname = \"greedy\"\ntemperature = 0\n[[extraction.strategy]]\n\
                          name = \"nucleus\"\ntop_k = 20\ntop_p = 0.9\nsamples = 3\n";
        Self::with(&train, &held_out, &format!("{extraction}\n{strategies}"))
    }

    /// A corpus, and what the pipeline file says after `[extraction]`, a prompt of 8 tokens and 12 new ones.
    pub(crate) fn with(train: &[TrainingInstance], held_out: &[HeldOutDocument], extraction: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let provenance = Provenance::new("test");
        parquet::write_all(&folder.path().join("train.parquet"), &provenance, train).unwrap();
        parquet::write_all(&folder.path().join("heldout.parquet"), &provenance, held_out).unwrap();
        let pipeline = format!(
            "name = \"test\"\n[corpus]\nfiles = \"none\"\n[extraction]\nprefix_tokens = 8\nnew_tokens = 12\n{extraction}"
        );
        std::fs::write(folder.path().join("extractor.toml"), pipeline).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program on a fixture, or on any other folder by its whole path.
    pub(crate) fn run(&self, checkpoint: impl AsRef<Path>, out: &str, more: &[&str]) -> Output {
        let folder = self.folder.path();
        Command::new(env!("CARGO_BIN_EXE_extractor"))
            .arg("--config")
            .arg(folder.join("extractor.toml"))
            .arg("--in")
            .arg(folder)
            .arg("--checkpoint")
            .arg(fixtures().join(checkpoint))
            .arg("--out")
            .arg(folder.join(out))
            .args(more)
            .output()
            .unwrap()
    }

    /// Runs it and returns what it told.
    #[track_caller]
    pub(crate) fn told(&self, checkpoint: impl AsRef<Path>, out: &str, more: &[&str]) -> String {
        let output = self.run(checkpoint, out, more);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    }

    #[track_caller]
    pub(crate) fn extract(
        &self,
        checkpoint: impl AsRef<Path>,
        out: &str,
        more: &[&str],
    ) -> (Vec<Sample>, Vec<Score>) {
        self.told(checkpoint, out, more);
        self.results(out)
    }

    #[track_caller]
    pub(crate) fn results(&self, out: &str) -> (Vec<Sample>, Vec<Score>) {
        let file = |name: &str| self.path(out).join(name);
        (
            parquet::read_all(&file("samples.parquet")).unwrap(),
            parquet::read_all(&file("scores.parquet")).unwrap(),
        )
    }
}

/// Copies the files of a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A file that holds JSON, changed.
pub(crate) fn edit_json(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

/// The row of a document's scores with this prefix and so many tokens.
#[track_caller]
pub(crate) fn row<'a>(scores: &'a [Score], doc_id: &str, prefix: i32, tokens: i32) -> &'a Score {
    let found = scores.iter().find(|score| {
        score.doc_id == doc_id && (score.prefix_tokens, score.suffix_tokens) == (prefix, tokens)
    });
    found.unwrap_or_else(|| panic!("no row of {doc_id} with {prefix} and {tokens} tokens"))
}
