//! The command line.

use std::path::PathBuf;

use contract::StageArguments;

const EXAMPLES: &str = "\
Examples:
  # What dupgen made of a corpus, without a model
  check --config pipelines/check.toml --in corpus/found-s0 --out looked-at
  # With the model that is going to be tuned, and its scores by the extractor
  check --config pipelines/check.toml --in corpus/found-s0 --out looked-at \\
      --model data/models/4m --scores base/scores.parquet";

/// Looks at a corpus before anything is tuned on it
///
/// Writes check.parquet (a row per document), table.txt (the table that is shown at the end) and check.html (a page with the documents
/// most at risk, of which it shows the beginnings alone).
#[derive(Debug, clap::Parser)]
#[command(name = "check", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What every stage takes.
    #[command(flatten)]
    pub stage: StageArguments,

    /// Folder with train.parquet, heldout.parquet and corpus.parquet
    #[arg(long = "in", value_name = "FOLDER")]
    pub corpus: PathBuf,

    /// Folder with the tokenizer of the model that is going to be tuned; without it nothing is said of tokens
    #[arg(long, value_name = "FOLDER")]
    pub model: Option<PathBuf>,

    /// scores.parquet of that model, as the extractor writes it; without it zlib stands for its loss
    #[arg(long, value_name = "FILE")]
    pub scores: Option<PathBuf>,
}
