//! `dupgen`: the first stage's program. It reads the command line; the work is [`dupgen::run`].

use std::process::ExitCode;

use contract::stage_run::recorded;

fn main() -> ExitCode {
    let arguments: dupgen::Arguments = contract::arguments::start();
    let outcome = recorded("dupgen", &arguments.stage.out, || dupgen::run(&arguments));
    contract::error::exit_code(outcome.map(contract::log::say))
}
