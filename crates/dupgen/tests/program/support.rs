//! A folder with corpus and pipeline files, and the program run in it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use contract::parquet;
use contract::records::{CorpusFact, CorpusFactKind, DocumentKind, HeldOutDocument, TrainingInstance};

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, creating the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Writes the pipeline file.
    pub(crate) fn pipeline(&self, tables: &str) -> &Self {
        self.write("test.toml", format!("name = \"test\"\n{tables}"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dupgen"));
        command
            .current_dir(self.0.path())
            .args(["--config", "test.toml", "--out", "corpus"])
            .args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must succeed; what it says on standard error.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(output.stdout.is_empty());
        said
    }

    /// Runs the program, which must fail with this exit status, say all these `pieces`, and leave no file behind.
    pub(crate) fn fail(&self, arguments: &[&str], status: i32, pieces: &[&str]) {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        for piece in pieces {
            assert!(said.contains(piece), "expected `{piece}` in: {said}");
        }
        assert_eq!(self.results(), Vec::<String>::new());
    }

    /// Names of the files in the results' folder but for records of runs, sorted.
    pub(crate) fn results(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("corpus")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !contract::stage_run::is_record(name))
            .collect();
        names.sort();
        names
    }

    pub(crate) fn train(&self) -> Vec<TrainingInstance> {
        parquet::read_all(&self.path("corpus/train.parquet")).unwrap()
    }

    pub(crate) fn held_out(&self) -> Vec<HeldOutDocument> {
        parquet::read_all(&self.path("corpus/heldout.parquet")).unwrap()
    }

    pub(crate) fn facts(&self) -> Vec<CorpusFact> {
        parquet::read_all(&self.path("corpus/corpus.parquet")).unwrap()
    }

    /// What `corpus.parquet` says of one kind.
    pub(crate) fn facts_of(&self, kind: CorpusFactKind) -> Vec<CorpusFact> {
        let mut facts = self.facts();
        facts.retain(|fact| fact.fact == kind);
        facts
    }

    /// Texts of the documents on either side, each once and sorted.
    pub(crate) fn sides(&self) -> (Vec<String>, Vec<String>) {
        let train = self
            .train()
            .into_iter()
            .filter(|row| row.kind == DocumentKind::Document && row.copy == 0);
        let held_out = self
            .held_out()
            .into_iter()
            .filter(|row| row.kind == DocumentKind::Document);
        let (mut train, mut held_out): (Vec<String>, Vec<String>) = (
            train.map(|row| row.text).collect(),
            held_out.map(|row| row.text).collect(),
        );
        train.sort();
        held_out.sort();
        (train, held_out)
    }
}

/// A tokenizer for which every word, number and run of punctuation is one token.
pub(crate) const WORDS: &str = r#"{
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
}"#;

/// `count` JSONL documents with different texts.
pub(crate) fn numbered(count: usize) -> String {
    (0..count)
        .map(|number| format!("{{\"text\": \"Letter number {number}.\"}}\n"))
        .collect()
}
