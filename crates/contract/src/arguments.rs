//! The part of the command line that every stage has, and what every program does before its work.

use std::path::PathBuf;

use crate::{Error, PipelineFile, files, log, stage_run};

/// Arguments common to all stages.
#[derive(Debug, Clone, clap::Args)]
pub struct StageArguments {
    /// Pipeline file, or the file that plan makes of it for this stage of one cell; the stage reads its own tables of it
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
    /// [`Error::Configuration`] for an unreadable file, an unknown key, or a value of the wrong type.
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

/// Sets up the log on standard error (level by `RUST_LOG`, `info` without it) and a Ctrl-C that leaves no half-written file.
pub fn start_program() {
    log::start();
    let handler = ctrlc::set_handler(|| {
        files::remove_unfinished();
        stage_run::interrupted();
        std::process::exit(130);
    });
    drop(handler);
}
