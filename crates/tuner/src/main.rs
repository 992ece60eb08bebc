//! Stage 2 of the pipeline: tunes a model on a training set. Beside it, `tuner merge` puts an adapter into its base.

mod allocation;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use contract::StageArguments;
use contract::error::exit_code;
use contract::stage_run::recorded;
use tuner::{
    DifferenceArguments, GradientArguments, MergeArguments, SpeedArguments, difference, gradient_overlaps,
    measure_speed, merge, tune,
};

const EXAMPLES: &str = "\
Examples:
  # One cell of a run; plan writes its tuner.toml, with one model, one mode and one learning rate
  tuner --config data/runs/demo/cells/4m-full-3e-4-bucketed-s0/tuner.toml \\
      --in data/runs/demo/corpus/bucketed-s0 --out cell
  # The model that an adapter makes of its base, as a folder of its own
  tuner merge cell/checkpoint --out merged
  # How far tuning moved each weight, and in how many directions
  tuner difference cell/checkpoint --base data/models/4m --out difference.parquet
  # How alike the gradients of its documents are, within a checkpoint and from one to the next
  tuner gradients --config cell/tuner.toml --in corpus --checkpoint cell/checkpoint \\
      --out gradients.parquet";

const MERGE_EXAMPLES: &str = "\
Examples:
  tuner merge data/runs/demo/cells/4m-lora16-3e-3-bucketed-s0/checkpoint \\
      --out merged --precision bf16";

const DIFFERENCE_EXAMPLES: &str = "\
Examples:
  tuner difference data/runs/demo/cells/4m-lora16-3e-3-bucketed-s0/checkpoint \\
      --base data/models/4m --out difference.parquet";

const GRADIENTS_EXAMPLES: &str = "\
Examples:
  tuner gradients --config data/runs/demo/cells/4m-lora16-3e-3-bucketed-s0/tuner.toml \\
      --in data/runs/demo/corpus/bucketed-s0 \\
      --checkpoint data/runs/demo/cells/4m-lora16-3e-3-bucketed-s0/checkpoint --out gradients.parquet";

const SPEED_EXAMPLES: &str = "\
Examples:
  tuner speed --width 256 --vocabulary 4096";

/// Tunes a model: pre-training, full, head-only, or LoRA
///
/// Reads train.parquet and heldout.parquet; writes checkpoint/ (the last: a model folder that transformers loads, or an adapter
/// folder that peft loads), best/checkpoint/ (that with the best held-out loss) and metrics.parquet. Interrupted, it resumes where it was and ends with the same weights.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    stage: StageArguments,

    /// Folder with train.parquet and heldout.parquet
    #[arg(long = "in", value_name = "FOLDER")]
    corpus: PathBuf,
}

const MERGE: &str = "merge";
const DIFFERENCE: &str = "difference";
const GRADIENTS: &str = "gradients";
const SPEED: &str = "speed";

fn main() -> ExitCode {
    allocation::keep_freed_memory();
    let merging = MergeArguments::augment_args(clap::Command::new(MERGE)).after_help(MERGE_EXAMPLES);
    let comparing =
        DifferenceArguments::augment_args(clap::Command::new(DIFFERENCE)).after_help(DIFFERENCE_EXAMPLES);
    let overlapping =
        GradientArguments::augment_args(clap::Command::new(GRADIENTS)).after_help(GRADIENTS_EXAMPLES);
    let measuring = SpeedArguments::augment_args(clap::Command::new(SPEED))
        .about("Measures how fast this machine trains and generates, for plan --estimate")
        .after_help(SPEED_EXAMPLES);
    let command = Arguments::command()
        .subcommand(merging)
        .subcommand(comparing)
        .subcommand(overlapping)
        .subcommand(measuring)
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true);
    let matches = contract::arguments::start_command(command);
    torch_device::sharing::watch();
    let outcome = match matches.subcommand() {
        Some((SPEED, chosen)) => {
            let arguments = SpeedArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            measure_speed(&arguments)
                .and_then(print_as_json)
                .map_err(Into::into)
        }
        Some((DIFFERENCE, chosen)) => {
            let arguments =
                DifferenceArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            difference(&arguments).map(contract::log::say).map_err(Into::into)
        }
        Some((GRADIENTS, chosen)) => {
            let arguments = GradientArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            gradient_overlaps(&arguments)
                .map(contract::log::say)
                .map_err(Into::into)
        }
        Some((_, chosen)) => {
            let arguments = MergeArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            merge(&arguments).map(contract::log::say).map_err(Into::into)
        }
        None => {
            let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
            let Arguments { stage, corpus } = &arguments;
            recorded("tuner", &stage.out, || tune(stage, corpus)).map(contract::log::say)
        }
    };
    exit_code(outcome)
}

fn print_as_json(speed: tuner::MeasuredSpeed) -> Result<(), contract::Error> {
    let json = serde_json::to_string(&speed)
        .map_err(|error| contract::Error::Run(format!("the speed is no JSON: {error}")))?;
    contract::log::print(format_args!("{json}\n"))
}
