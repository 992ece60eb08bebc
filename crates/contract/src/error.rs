//! One error type for everything the stages share, each variant with the exit status that the
//! command line promises.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::log;

/// What went wrong, told so that a person knows what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the pipeline file is wrong. Exit status 2.
    #[error("{0}")]
    Configuration(String),

    /// A file that was given to read is missing, damaged, or not what it should be. Exit status 3.
    #[error("{}: {problem}", file.display())]
    Input {
        /// The file that could not be used.
        file: PathBuf,
        /// Where in it, what was expected and what was found.
        problem: String,
    },

    /// An output could not be written. Exit status 1.
    #[error("cannot write {}: {source}", file.display())]
    Output {
        /// The file or folder being written.
        file: PathBuf,
        /// What the operating system or the file format said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The work itself failed. Exit status 1.
    #[error("{0}")]
    Run(String),
}

impl Error {
    /// An unusable input file: `problem` says where in it, what was expected, and what was found.
    pub fn input(file: impl AsRef<Path>, problem: impl fmt::Display) -> Self {
        Self::Input {
            file: file.as_ref().to_path_buf(),
            problem: problem.to_string(),
        }
    }

    /// An output that could not be written.
    pub fn output(
        file: impl AsRef<Path>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Output {
            file: file.as_ref().to_path_buf(),
            source: source.into(),
        }
    }

    /// The exit status promised for this kind of error: 1 the run failed, 2 wrong configuration, 3
    /// bad input.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Output { .. } | Self::Run(_) => 1,
            Self::Configuration(_) => 2,
            Self::Input { .. } => 3,
        }
    }
}

/// Turns a stage's result into its exit status, telling a failure on standard error.
///
/// The status is that of the first [`Error`] in the chain of causes, and 1 where there is none.
pub fn exit_code(result: Result<(), anyhow::Error>) -> ExitCode {
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    let (status, message) = status_and_message(&failure);
    // Not by the log: no level of RUST_LOG hides why a program failed.
    log::say(format_args!("error: {message}"));
    ExitCode::from(status)
}

/// The exit status of a failure, and its message.
pub(crate) fn status_and_message(failure: &anyhow::Error) -> (u8, String) {
    let known = failure.chain().find_map(|cause| cause.downcast_ref::<Error>());
    match known {
        // Its message holds its cause already.
        Some(error) => (error.exit_status(), error.to_string()),
        None => (1, format!("{failure:#}")),
    }
}
