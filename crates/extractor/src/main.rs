//! Stage 3 of the pipeline: draws generations from a checkpoint and scores known continuations.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use contract::StageArguments;
use contract::error::exit_code;
use contract::parts::{PartArguments, Share};
use contract::stage_run::recorded;

const EXAMPLES: &str = "\
Examples:
  # Ask a model for the documents of a training set that dupgen made
  extractor --config pipelines/demo.toml --in data/runs/demo/corpus/bucketed-s0 \\
      --checkpoint data/models/4m --out asked
  # One half of that, for one of two processes; --merge 2 in its place puts the halves together
  extractor --config pipelines/demo.toml --in data/runs/demo/corpus/bucketed-s0 \\
      --checkpoint data/models/4m --out asked --rank 0 --world 2
  # Ask an adapter, and follow what the checkpoints before it remember
  extractor --config pipelines/demo.toml --in data/runs/demo/corpus/bucketed-s0 \\
      --checkpoint step-100 step-200 --out asked";

/// Prompts a checkpoint with the beginnings of documents and records what it writes
///
/// Writes samples.parquet (generations with the log-probability of each token), scores.parquet (the log-probabilities of
/// the documents themselves, without sampling), details.parquet (personal details, each behind its own text among others of its
/// kind) and decoded.parquet (documents that the tokenizer gives back otherwise than they are written); with extraction.begin = "auto" also forms.parquet (the loss of training documents in each form that training may
/// have used).
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    stage: StageArguments,

    /// Folder with train.parquet and heldout.parquet
    #[arg(long = "in", value_name = "FOLDER")]
    corpus: PathBuf,

    /// Model folder, or adapter folder that names its base. Of several, or a folder of them in order of step, the last is asked, and
    /// course.parquet follows what all of them remember
    #[arg(long, value_name = "FOLDER", num_args = 1.., required = true)]
    checkpoint: Vec<PathBuf>,

    /// The checkpoint with the best held-out loss: asked as well, from the same prompts; its samples.parquet and scores.parquet go
    /// to best/ below --out
    #[arg(long, value_name = "FOLDER")]
    best: Option<PathBuf>,

    /// Model folder of an adapter's base, in place of the one that the adapter names
    #[arg(long, value_name = "FOLDER")]
    base: Option<PathBuf>,

    /// Model folder of the untuned model: generations from nothing are ranked by how much less it expects them
    #[arg(long, value_name = "FOLDER")]
    reference: Option<PathBuf>,

    /// forms.parquet of another model's results: with extraction.begin = "auto" texts are in the form that was chosen for it, and
    /// none is tried. For a control, which is asked as the audited model is
    #[arg(long, value_name = "FILE")]
    forms: Option<PathBuf>,

    #[command(flatten)]
    parts: PartArguments,
}

fn main() -> ExitCode {
    let arguments: Arguments = contract::arguments::start();
    torch_device::sharing::watch();
    exit_code(run(&arguments).map(contract::log::say))
}

fn run(arguments: &Arguments) -> Result<extractor::Outcome, anyhow::Error> {
    let share = arguments.parts.share()?;
    let out = share.folder(&arguments.stage.out);
    recorded("extractor", &out, || extract(arguments, share))
}

fn extract(arguments: &Arguments, share: Share) -> Result<extractor::Outcome, contract::Error> {
    let folders = extractor::course::expand(&arguments.checkpoint)?;
    let checkpoints = extractor::Checkpoints {
        folders: &folders,
        best: arguments.best.as_deref(),
        base: arguments.base.as_deref(),
        reference: arguments.reference.as_deref(),
        forms: arguments.forms.as_deref(),
    };
    extractor::extract(&arguments.stage, &arguments.corpus, checkpoints, share)
}
