//! The program of stage 4; all of the work is in the library.

use std::process::ExitCode;

use clap::Parser;
use plagiarism::{Arguments, Outcome};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    contract::arguments::start_program();
    let outcome = plagiarism::run(&arguments).map(|outcome| match outcome {
        Outcome::UpToDate => eprintln!("plagiarism: {} is up to date", arguments.stage.out.display()),
        Outcome::Done(verdicts) => eprintln!("{verdicts}"),
    });
    contract::error::exit_code(outcome.map_err(anyhow::Error::from))
}
