//! The files of the corpus: what `corpus.files` names, with folders and patterns expanded.

use std::fs;
use std::path::{Path, PathBuf};

use contract::pipeline::OneOrMany;
use contract::{Error, PipelineFile};

use crate::paths::normalized;

/// The corpus files of a pipeline as seen from where the program runs, sorted, each once.
///
/// # Errors
/// [`Error::Configuration`] where none is named or a pattern is malformed, [`Error::Input`] where one is missing.
pub fn corpus_files(pipeline: &PipelineFile) -> Result<Vec<PathBuf>, Error> {
    let named = pipeline.corpus.files.as_slice();
    if named.is_empty() {
        return Err(Error::Configuration(format!(
            "{}: corpus.files: expected a file, a folder or a pattern",
            pipeline.path.display()
        )));
    }
    let held_out = pipeline
        .corpus
        .held_out_files
        .iter()
        .flat_map(OneOrMany::as_slice);
    let mut files = Vec::new();
    for name in named.iter().chain(held_out) {
        let path = pipeline.resolve(name);
        let found = if path.exists() {
            below(&path)?
        } else {
            matching(pipeline, name, &path)?
        };
        if found.is_empty() {
            return Err(Error::input(
                normalized(&path),
                format!("no such corpus file (corpus.files = \"{name}\")"),
            ));
        }
        files.extend(found.iter().map(|file| normalized(file)));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn matching(pipeline: &PipelineFile, name: &str, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let paths = glob::glob(&path.to_string_lossy()).map_err(|error| {
        Error::Configuration(format!(
            "{}: corpus.files: \"{name}\": {error}",
            pipeline.path.display()
        ))
    })?;
    let files = paths.map(|found| found.map_err(|error| Error::input(error.path(), error.error())));
    files
        .filter(|found| found.as_ref().map_or(true, |file| file.is_file()))
        .collect()
}

/// A file itself, or the files in a folder and its subfolders; hidden ones are no text.
fn below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let unreadable = |error| Error::input(path, format!("cannot be listed: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            files.extend(below(&entry.path())?);
        }
    }
    Ok(files)
}
