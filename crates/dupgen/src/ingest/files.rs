//! Which files a corpus is made of.

use std::path::{Path, PathBuf};

use contract::Error;
use contract::pipeline::{Corpus, CorpusFormat, TextUnit};

/// A file of the corpus and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusFile {
    /// Where it is.
    pub path: PathBuf,
    /// How to read it.
    pub format: Format,
}

/// How to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Separated values with a header.
    Csv {
        /// The byte between two fields.
        delimiter: u8,
    },
    /// Plain text.
    Text(Unit),
    /// Parquet.
    Parquet,
}

/// What one document of a plain text file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The whole file.
    File,
    /// Lines up to the next blank one.
    Paragraph,
    /// A line.
    Line,
}

/// Finds the files that `corpus` names, relative to `base`.
///
/// A folder stands for all files in and below it but those whose names begin with a dot or an underscore; where a format is
/// given, for those with one of its extensions. What a folder or a glob stands for is sorted by path, and a file named twice is
/// read once, so that the order is the same on every file system.
///
/// # Errors
/// [`Error::Input`] for a path that is not there and a folder or glob that stands for no file; [`Error::Configuration`] for a
/// glob that cannot be understood and for columns asked of plain text.
pub fn find_files(corpus: &Corpus, base: &Path) -> Result<Vec<CorpusFile>, Error> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut named_singly = true;
    for pattern in corpus.files.as_slice() {
        let found = expand(pattern, base, corpus.format)?;
        named_singly &= matches!(found.as_slice(), [path] if path == &base.join(pattern));
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let unit = match corpus.unit {
        TextUnit::Auto if named_singly && paths.len() == 1 => Unit::Paragraph,
        TextUnit::Auto | TextUnit::File => Unit::File,
        TextUnit::Paragraph => Unit::Paragraph,
        TextUnit::Line => Unit::Line,
    };
    paths
        .into_iter()
        .map(|path| {
            let format = format_of(&path, corpus.format, unit);
            refuse_columns_of_text(corpus, &path, format)?;
            Ok(CorpusFile { path, format })
        })
        .collect()
}

fn expand(pattern: &str, base: &Path, format: CorpusFormat) -> Result<Vec<PathBuf>, Error> {
    let path = base.join(pattern);
    let nothing = |expected: &str| {
        let advice =
            "Relative paths start from the pipeline file's folder, and those of --in from the current one";
        Err(Error::input(
            &path,
            format!("expected {expected}, found none. {advice}"),
        ))
    };
    if path.is_dir() {
        let files = folder(&path, format)?;
        return if files.is_empty() {
            nothing("a folder with at least one corpus file")
        } else {
            Ok(files)
        };
    }
    if path.exists() {
        return Ok(vec![path]);
    }
    if !pattern.contains(['*', '?', '[']) {
        return nothing("a file, a folder or a glob");
    }
    let mut files = Vec::new();
    for path in globbed(pattern, base)? {
        if path.is_dir() {
            files.extend(folder(&path, format)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        nothing("a glob that matches at least one file")
    } else {
        Ok(files)
    }
}

/// What a glob matches. The folder that it starts from is taken literally, whatever characters are in its name.
fn globbed(pattern: &str, base: &Path) -> Result<Vec<PathBuf>, Error> {
    let whole = if Path::new(pattern).is_absolute() || base.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        format!("{}/{pattern}", glob::Pattern::escape(&base.to_string_lossy()))
    };
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    glob::glob_with(&whole, options)
        .map_err(|error| Error::Configuration(format!("corpus.files: {pattern}: expected a glob: {error}")))?
        .map(|path| path.map_err(|error| Error::input(error.path(), format!("cannot be read: {error}"))))
        .collect()
}

fn folder(path: &Path, format: CorpusFormat) -> Result<Vec<PathBuf>, Error> {
    let failed = |error: std::io::Error| Error::input(path, format!("expected a readable folder: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        if name.to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            files.extend(folder(&path, format)?);
        } else if format == CorpusFormat::Auto
            || format == CorpusFormat::Text
            || by_extension(&path) == format
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn extension(path: &Path) -> String {
    path.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

fn by_extension(path: &Path) -> CorpusFormat {
    match extension(path).as_str() {
        "jsonl" | "ndjson" | "json" => CorpusFormat::Jsonl,
        "csv" | "tsv" => CorpusFormat::Csv,
        "parquet" => CorpusFormat::Parquet,
        _ => CorpusFormat::Text,
    }
}

fn format_of(path: &Path, asked: CorpusFormat, unit: Unit) -> Format {
    match if asked == CorpusFormat::Auto {
        by_extension(path)
    } else {
        asked
    } {
        CorpusFormat::Jsonl => Format::Jsonl,
        CorpusFormat::Csv => Format::Csv {
            delimiter: if extension(path) == "tsv" { b'\t' } else { b',' },
        },
        CorpusFormat::Parquet => Format::Parquet,
        CorpusFormat::Text | CorpusFormat::Auto | CorpusFormat::Arrow => Format::Text(unit),
    }
}

fn refuse_columns_of_text(corpus: &Corpus, path: &Path, format: Format) -> Result<(), Error> {
    let asked = [
        ("corpus.prompt", &corpus.prompt),
        ("corpus.identity", &corpus.identity),
    ];
    match asked.into_iter().find(|(_, column)| column.is_some()) {
        Some((key, _)) if matches!(format, Format::Text(_)) => Err(Error::Configuration(format!(
            "{key}: {} is read as plain text, which has no columns. Leave the key out, or set corpus.format",
            path.display()
        ))),
        _ => Ok(()),
    }
}
