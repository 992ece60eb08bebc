//! `check`: a look at a corpus before tuning. It reads the command line; the work is [`corpus_check::run`].

use std::process::ExitCode;

use contract::stage_run::recorded;

fn main() -> ExitCode {
    let arguments: corpus_check::Arguments = contract::arguments::start();
    let outcome = recorded("check", &arguments.stage.out, || corpus_check::run(&arguments));
    contract::error::exit_code(outcome.map(contract::log::say))
}
