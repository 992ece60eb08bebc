//! The part of the command line that every stage has, and what every program does before its work.

use std::ffi::c_int;
use std::path::PathBuf;

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

/// Sets up the log on standard error (level by `RUST_LOG`, `info` without it), and an end by Ctrl-C
/// or SIGTERM that leaves no half-written file, says what it was, and has the status that shells
/// give it.
pub fn start_program() {
    log::start();
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
