//! `check`: a look at a corpus before tuning. It reads the command line; the work is [`corpus_check::run`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = corpus_check::Arguments::parse();
    contract::arguments::start_program();
    let result = corpus_check::run(&arguments).map(contract::log::say);
    contract::error::exit_code(result.map_err(anyhow::Error::from))
}
