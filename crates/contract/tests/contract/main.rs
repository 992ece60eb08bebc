//! The contract through its public interface: what one program writes, another reads, and what is
//! wrong is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod any_record;
mod damaged_files;
mod decoding;
mod exit_status;
mod foreign_files;
mod log;
mod outputs;
mod parts;
mod pipeline_file;
mod polars;
mod provenance;
mod round_trip;
mod seals;
mod stage_runs;

use std::path::Path;

/// The message of an error, and its exit status.
#[track_caller]
fn told<T>(result: Result<T, contract::Error>) -> (String, u8) {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => (error.to_string(), error.exit_status()),
    }
}

/// Fails unless `message` holds every fragment.
#[track_caller]
fn assert_tells(message: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(message.contains(fragment), "`{fragment}` is not in: {message}");
    }
}

/// Names in a folder, in order.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
