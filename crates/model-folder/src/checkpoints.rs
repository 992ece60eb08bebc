//! Folders that hold checkpoints, in the order of their steps.

use std::path::{Path, PathBuf};

use contract::Error;

use crate::files::is_model;
use crate::{ADAPTER_CONFIG, ENDPOINT};

/// The checkpoints that a folder stands for: itself where it is a model or an adapter, or else those in it, in the order of their
/// steps (checkpoint-500 before checkpoint-1000); those whose name says no step come last, by name.
///
/// # Errors
/// [`Error::Input`] for a folder that cannot be read, or that is no model and holds none.
pub fn expand(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if is_model(folder) {
        return Ok(vec![folder.to_path_buf()]);
    }
    let entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| Error::input(folder, format!("cannot be read: {error}")))?;
    let mut inside: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| is_model(path) && !is_unfinished(path))
        .collect();
    if inside.is_empty() {
        let problem = format!(
            "expected config.json, {ADAPTER_CONFIG}, {ENDPOINT}, or folders with one of them; found none"
        );
        return Err(Error::input(folder, problem));
    }
    inside.sort_by_key(|path| {
        let step = step(&name(path));
        (step.is_none(), step, path.clone())
    });
    Ok(inside)
}

/// The last of the checkpoints that a folder stands for; where it was chosen among several, that is said.
///
/// # Errors
/// As [`expand`].
pub fn last(folder: &Path) -> Result<PathBuf, Error> {
    let mut checkpoints = expand(folder)?;
    let last = checkpoints.pop().unwrap_or_else(|| folder.to_path_buf());
    if last != folder {
        tracing::info!(
            "{} holds {} checkpoints; {} is the last by its step, and is taken",
            folder.display(),
            checkpoints.len() + 1,
            name(&last)
        );
    }
    Ok(last)
}

/// The step in a checkpoint's name: the number at its end, behind a dash or an underscore (`checkpoint-500` of
/// transformers, `step-20`, `global_step_7`).
pub fn step(name: &str) -> Option<i64> {
    let digits = name.trim_end_matches(|character: char| character.is_ascii_digit());
    let word = digits
        .strip_suffix(['-', '_'])
        .or_else(|| digits.strip_suffix("step"))?;
    let is_word = word.chars().any(char::is_alphabetic) || word.is_empty();
    name[digits.len()..].parse().ok().filter(|_| is_word)
}

/// The last part of a folder's path.
pub fn name(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Whether a folder was left behind while it was being written.
fn is_unfinished(folder: &Path) -> bool {
    let ending = folder.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("partial" | "replaced"))
}
