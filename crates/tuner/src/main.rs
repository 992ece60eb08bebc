//! Stage 2 of the pipeline: tunes a model on a training set.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use contract::StageArguments;
use contract::error::exit_code;

/// Tunes a model: pre-training, full, head-only, or LoRA
///
/// Reads train.parquet and heldout.parquet; writes checkpoint/ (a model folder that transformers loads, or an adapter folder
/// that peft loads) and metrics.parquet. Interrupted, it resumes where it was and ends with the same weights.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    stage: StageArguments,

    /// Folder with train.parquet and heldout.parquet
    #[arg(long = "in", value_name = "FOLDER")]
    corpus: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    contract::arguments::start_program();
    exit_code(
        tuner::tune(&arguments.stage, &arguments.corpus)
            .map(|outcome| eprintln!("{outcome}"))
            .map_err(Into::into),
    )
}
