//! The command line of `dupgen`, and the corpus settings that it leads to.

use std::path::Path;

use clap::Parser;
use contract::pipeline::{Corpus, Layout, OneOrMany};
use contract::{Error, PipelineFile, StageArguments};

const EXAMPLES: &str = "\
Examples:
  # The training set of the demo
  dupgen --config pipelines/demo.toml --out corpus
  # Other text by the same settings, every document four times
  dupgen --config pipelines/demo.toml --in letters.jsonl --layout uniform --copies 4 --out corpus";

/// Reads a corpus, splits off held-out documents, lays out copies and plants canaries: OUT/train.parquet, OUT/heldout.parquet, OUT/corpus.parquet
#[derive(Debug, Clone, Parser)]
#[command(name = "dupgen", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Arguments of every stage.
    #[command(flatten)]
    pub stage: StageArguments,

    /// Files, folders or globs of the corpus, in place of `corpus.files` (relative to the current folder)
    #[arg(long = "in", value_name = "FILES", num_args = 1..)]
    pub input: Vec<String>,

    /// Layout of the copies, where the pipeline file names several: bucketed, uniform or found
    #[arg(long, value_parser = layout)]
    pub layout: Option<Layout>,

    /// Copies of every document in the uniform layout, where the pipeline file names several numbers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub copies: Option<u32>,
}

fn layout(name: &str) -> Result<Layout, &'static str> {
    match name {
        "bucketed" => Ok(Layout::Bucketed),
        "uniform" => Ok(Layout::Uniform),
        "found" => Ok(Layout::Found),
        _ => Err("expected bucketed, uniform or found"),
    }
}

impl Arguments {
    /// The `[corpus]` table as it applies here.
    ///
    /// # Errors
    /// [`Error::Configuration`] where no file is named, or several corpora are.
    pub fn corpus(&self, pipeline: &PipelineFile) -> Result<Corpus, Error> {
        let mut corpus = pipeline.single_corpus()?.clone();
        if !self.input.is_empty() {
            corpus.files = OneOrMany::Many(self.input.clone());
        }
        if corpus.files.as_slice().is_empty() {
            return Err(Error::Configuration(format!(
                "{}: corpus.files: expected at least one file, folder or glob",
                pipeline.path.display()
            )));
        }
        Ok(corpus)
    }

    /// The folder that relative paths of the corpus start from: the pipeline file's, or the current one for `--in`.
    pub fn base<'a>(&self, pipeline: &'a PipelineFile) -> &'a Path {
        match pipeline.path.parent() {
            Some(folder) if self.input.is_empty() => folder,
            _ => Path::new(""),
        }
    }
}
