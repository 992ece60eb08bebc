//! The program of stage 4; all of the work is in the library.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use contract::log::say;
use contract::stage_run::recorded;
use plagiarism::side_by_side::{self, AlignArguments};
use plagiarism::{Arguments, Outcome};

/// The name of the command that compares two texts.
const ALIGN: &str = "align";

fn main() -> ExitCode {
    let command = Arguments::command()
        .subcommand(AlignArguments::command().name(ALIGN))
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true);
    let matches = contract::arguments::start_command(command);
    torch_device::sharing::watch();
    let outcome = match matches.subcommand() {
        Some((_, chosen)) => {
            let arguments = AlignArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            side_by_side::run(&arguments).map_err(Into::into)
        }
        None => {
            let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
            run_stage(&arguments)
        }
    };
    contract::error::exit_code(outcome)
}

fn run_stage(arguments: &Arguments) -> Result<(), anyhow::Error> {
    let out = arguments.parts.share()?.folder(&arguments.stage.out);
    let outcome = recorded("plagiarism", &out, || plagiarism::run(arguments))?;
    match outcome {
        Outcome::UpToDate => say(format_args!(
            "plagiarism: {} is up to date",
            arguments.stage.out.display()
        )),
        Outcome::Copied(folder) => say(format_args!(
            "plagiarism: the best checkpoint is the last, and so are its results: copied from {}",
            folder.display()
        )),
        Outcome::Merged(parts) => say(format_args!(
            "plagiarism: {parts} parts put together in {}",
            arguments.stage.out.display()
        )),
        Outcome::Done(verdicts) => say(verdicts),
    }
    Ok(())
}
