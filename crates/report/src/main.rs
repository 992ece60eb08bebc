//! `report`: reads a run folder and writes its summary and its page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use contract::StageArguments;
use contract::log::say;
use contract::stage_run::recorded;

const EXAMPLES: &str = "\
Examples:
  # The page of a run once more, with other settings
  report --config pipelines/demo.toml --in data/runs/demo \\
      --out data/runs/demo/report --set report.examples=8
  # Whether the files of a run are what its stages wrote, and were made from one another
  report verify data/runs/demo";

/// Rates with intervals and controls from a run folder: summary.parquet, and report.html, a page that needs nothing else
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    stage: StageArguments,

    /// Run folder, with its cells/ and corpus/
    #[arg(long = "in", value_name = "RUN_FOLDER")]
    input: PathBuf,
}

/// Whether every file of a run is what a stage wrote, and every output made from the inputs that are there: by the seals in the files,
/// and the digests that outputs keep of their inputs. Ends with 3 where something is not
#[derive(Debug, Args)]
struct VerifyArguments {
    /// Run folder
    #[arg(value_name = "RUN_FOLDER")]
    run: PathBuf,
}

const VERIFY: &str = "verify";

fn main() -> ExitCode {
    let verifying = VerifyArguments::augment_args(clap::Command::new(VERIFY));
    let command = Arguments::command()
        .subcommand(verifying)
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true);
    let matches = command.get_matches();
    contract::arguments::start_program();
    if let Some((VERIFY, chosen)) = matches.subcommand() {
        let arguments = VerifyArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
        return verify(&arguments.run);
    }
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    contract::error::exit_code(recorded("report", &arguments.stage.out, || run(&arguments)))
}

fn verify(run: &Path) -> ExitCode {
    match report::verify::verify(run) {
        Ok(verified) => {
            println!("{verified}");
            ExitCode::from(if verified.is_right() { 0 } else { 3 })
        }
        Err(error) => contract::error::exit_code(Err(error.into())),
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.stage.threads())
        .build()?;
    let outcome = threads.install(|| report::report(&arguments.stage, &arguments.input))?;
    if outcome.up_to_date {
        say(format_args!("report: up to date, {}", outcome.page.display()));
        if !outcome.table.is_empty() {
            say(outcome.table);
        }
    } else {
        say(format_args!("{}\n{}", outcome.table, outcome.page.display()));
    }
    Ok(())
}
