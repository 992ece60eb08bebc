//! A run folder of hand-made files, and short ways to say what stands in it.

use std::path::{Path, PathBuf};

use contract::parts::PartArguments;
use contract::records::{
    DocumentKind, FinishReason, HeldOutDocument, PassageMatch, Sample, SampleVerdict, Split, TrainingInstance,
};
use contract::{Error, Provenance, StageArguments, parquet};
use plagiarism::{Arguments, Outcome};
use tempfile::TempDir;

/// Inputs and outputs of one run.
pub(crate) struct Run {
    folder: TempDir,
}

/// What a run left behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Outputs {
    pub(crate) verdicts: Vec<SampleVerdict>,
    pub(crate) matches: Vec<PassageMatch>,
}

pub(crate) fn training(doc_id: &str, text: &str) -> TrainingInstance {
    TrainingInstance {
        doc_id: doc_id.into(),
        text: text.into(),
        prompt_chars: 0,
        kind: DocumentKind::Document,
        copies: 1,
        copy: 0,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    }
}

pub(crate) fn held_out(doc_id: &str, text: &str, kind: DocumentKind) -> HeldOutDocument {
    HeldOutDocument {
        doc_id: doc_id.into(),
        text: text.into(),
        prompt_chars: 0,
        kind,
        role: None,
        near_duplicate_of: None,
        shared_8grams: None,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    }
}

/// A generation from a training document, without a known truth.
pub(crate) fn sample(sample_id: i64, generation: &str) -> Sample {
    Sample {
        sample_id,
        doc_id: Some("b-clinic".into()),
        split: Split::Train,
        copies: 4,
        strategy: "greedy".into(),
        prompt: "Mrs.".into(),
        generation: generation.into(),
        truth: None,
        prompt_tokens: vec![1],
        generated_tokens: vec![2],
        logprobs: vec![-1.0],
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        seed: 0,
        finish: FinishReason::Length,
        prompt_form: None,
        tokens_read: None,
        lower_case_loss: None,
        reference_loss: None,
        zlib_bytes: None,
    }
}

impl Run {
    pub(crate) fn new(train: &[TrainingInstance], held_out: &[HeldOutDocument], samples: &[Sample]) -> Self {
        let run = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let provenance = Provenance::new("test");
        parquet::write_all(&run.file("train.parquet"), &provenance, train).unwrap();
        parquet::write_all(&run.file("heldout.parquet"), &provenance, held_out).unwrap();
        parquet::write_all(&run.file("samples.parquet"), &provenance, samples).unwrap();
        let pipeline = "name = \"test\"\n[corpus]\nfiles = \"none.txt\"\n";
        std::fs::write(run.file("pipeline.toml"), pipeline).unwrap();
        run
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the stage with these values of `--set`.
    pub(crate) fn run(&self, overrides: &[&str], threads: usize) -> Result<Outcome, Error> {
        plagiarism::run(&self.arguments(overrides, threads))
    }

    pub(crate) fn arguments(&self, overrides: &[&str], threads: usize) -> Arguments {
        let stage = StageArguments {
            config: self.file("pipeline.toml"),
            out: self.file("out"),
            seed: None,
            threads: Some(threads),
            force: false,
            overrides: overrides.iter().map(ToString::to_string).collect(),
        };
        Arguments {
            stage,
            corpus: self.folder.path().to_path_buf(),
            samples: self.file("samples.parquet"),
            parts: PartArguments::default(),
        }
    }

    /// Runs the stage and reads what it wrote.
    pub(crate) fn outputs(&self, overrides: &[&str], threads: usize) -> Outputs {
        self.run(overrides, threads).unwrap();
        self.read()
    }

    pub(crate) fn read(&self) -> Outputs {
        Outputs {
            verdicts: parquet::read_all(&self.file("out/verdicts.parquet")).unwrap(),
            matches: parquet::read_all(&self.file("out/matches.parquet")).unwrap(),
        }
    }
}

/// Characters `start..end` of `text`, as polars' `str.slice` would cut them.
pub(crate) fn cut(text: &str, start: i32, end: i32) -> String {
    text.chars()
        .skip(start as usize)
        .take((end - start) as usize)
        .collect()
}

/// Cuts a file in half.
pub(crate) fn truncate(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}
