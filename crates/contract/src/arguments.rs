//! The part of the command line that every stage has, and what every program does before its work.

use std::ffi::c_int;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, value_parser};
use clap_complete::Shell;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{self, signal_name};

use crate::{Error, PipelineFile, files, log, stage_run};

/// Arguments common to all stages.
#[derive(Debug, Clone, clap::Args)]
pub struct StageArguments {
    /// Pipeline file, or the file that plan makes of it for this stage of one cell; the stage reads
    /// its own tables of it
    #[arg(long, value_name = "FILE.toml")]
    pub config: PathBuf,

    /// Folder that the results are written to
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,

    /// Seed of everything random [default: the first of `seeds` in the pipeline file]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// Run even where the output is complete and up to date
    #[arg(long)]
    pub force: bool,

    /// Override one value of the pipeline file, e.g. --set tuning.epochs=3 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

impl StageArguments {
    /// Reads the pipeline file with the overrides applied.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an unreadable file, an unknown key, or a value of the wrong
    /// type.
    pub fn pipeline(&self) -> Result<PipelineFile, Error> {
        PipelineFile::load(&self.config, &self.overrides)
    }

    /// The seed to use: the one given, or the first of the pipeline file.
    pub fn seed(&self, pipeline: &PipelineFile) -> u64 {
        self.seed.or_else(|| pipeline.seeds.first().copied()).unwrap_or(0)
    }

    /// The number of threads to compute with: the number given, or every core.
    pub fn threads(&self) -> usize {
        self.threads
            .filter(|&threads| threads > 0)
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

/// Option of every program: how its log is written.
const LOG_FORMAT: &str = "log-format";

/// The variable of the environment that says the same where the option is not given.
const LOG_FORMAT_VARIABLE: &str = "LOG_FORMAT";

/// Option of every program: print what a shell needs to complete its command line.
const COMPLETIONS: &str = "completions";

/// Reads the command line of a program, and sets up what every program has: see [`start_command`].
/// Ends the program where the command line is wrong, with the reason.
pub fn start<A: CommandFactory + FromArgMatches>() -> A {
    let matches = start_command(A::command());
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Reads the command line of a program that has subcommands, and sets up the log and the end by a
/// signal. `--log-format` says how the log is written (without it `LOG_FORMAT` in the environment);
/// `--completions` prints a script for a shell, and ends the program.
pub fn start_command(command: Command) -> ArgMatches {
    let mut command = with_common_options(command);
    let matches = command.get_matches_mut();
    if let Some(&shell) = matches.get_one::<Shell>(COMPLETIONS) {
        print_completions(command, shell);
    }
    let given = matches.get_one::<String>(LOG_FORMAT).cloned();
    let name = given
        .or_else(|| std::env::var(LOG_FORMAT_VARIABLE).ok())
        .filter(|name| !name.is_empty());
    let format = name.map_or(Some(log::Format::Plain), |name| log::Format::named(&name));
    let format = format.unwrap_or_else(|| {
        let expected = format!(
            "{LOG_FORMAT_VARIABLE}: expected one of {}",
            log::Format::NAMES.join(", ")
        );
        command.error(ErrorKind::InvalidValue, expected).exit()
    });
    start_with(format);
    matches
}

fn with_common_options(command: Command) -> Command {
    command
        .arg(
            Arg::new(LOG_FORMAT)
                .long(LOG_FORMAT)
                .global(true)
                .value_name("FORMAT")
                .value_parser(PossibleValuesParser::new(log::Format::NAMES))
                .help("How the log on standard error is written [default: LOG_FORMAT of the environment, or plain]"),
        )
        .arg(
            Arg::new(COMPLETIONS)
                .long(COMPLETIONS)
                .exclusive(true)
                .value_name("SHELL")
                .value_parser(value_parser!(Shell))
                .help("Print a script that completes this program's command line, for source in a shell"),
        )
}

fn print_completions(mut command: Command, shell: Shell) -> ! {
    let called = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&called)
        .file_stem()
        .unwrap_or(&called)
        .to_string_lossy();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, program, &mut script);
    match log::print(String::from_utf8_lossy(&script)) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            log::say(format_args!("error: {error}"));
            std::process::exit(error.exit_status().into())
        }
    }
}

/// Sets up the log on standard error (level by `RUST_LOG`, `info` without it), and an end by Ctrl-C
/// or SIGTERM that leaves no half-written file, says what it was, and has the status that shells
/// give it.
pub fn start_program() {
    start_with(log::Format::Plain);
}

fn start_with(format: log::Format) {
    log::start(format);
    drop(ctrlc::set_handler(|| stop(SIGINT)));
    // Schedulers send it. That of ctrlc would not tell the two apart, and takes SIGHUP too, which
    // `nohup` has told us to ignore.
    if let Ok(mut signals) = Signals::new([SIGTERM]) {
        std::thread::spawn(move || signals.forever().for_each(stop));
    }
}

/// Ends the program by a signal.
fn stop(signal: c_int) {
    files::exit_without_partial_files(|| {
        let name = signal_name(signal).unwrap_or("a signal");
        log::say(format_args!(
            "error: stopped by {name}. What is finished stays; the same command goes on from there"
        ));
        stage_run::stopped(128 + signal, &format!("stopped by {name}"));
        // At once: what ends with a program that ends by itself does not expect threads that are at
        // work.
        low_level::exit(128 + signal);
    });
}
