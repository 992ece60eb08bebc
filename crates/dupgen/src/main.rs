//! `dupgen`: the first stage's program. It reads the command line; the work is [`dupgen::run`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = dupgen::Arguments::parse();
    contract::arguments::start_program();
    let result = dupgen::run(&arguments).map(contract::log::say);
    contract::error::exit_code(result.map_err(anyhow::Error::from))
}
