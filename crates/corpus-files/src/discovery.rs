//! Which files a corpus is made of.
//!
//! A folder stands for the files that it mainly holds: tables and JSON before plain text, and never what is about the data (README,
//! LICENSE, `dataset_info.json`). What is passed over is in the result, each file with the reason.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use contract::Error;
use contract::foreign::MAX_SETTINGS_BYTES;
use contract::pipeline::{Corpus, CorpusFormat, TextUnit};

use crate::columns::Columns;
use crate::document::{Fault, FlawKind, Guess, open};
use crate::formats::{self, Format};
use crate::input::without_compression;
use crate::limits;

/// A file of the corpus and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its format, by the settings or its name.
    pub format: &'static Format,
    /// Whether the settings ask for that format. Otherwise the content may show another.
    pub is_asked: bool,
    /// What one document of it is, where it is plain text.
    pub unit: Unit,
    /// The byte between two fields, where it has separated values and the settings say so.
    pub delimiter: Option<u8>,
    /// Most bytes of one document.
    pub max_document_bytes: usize,
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
    /// A paragraph, or a line where the file has no blank ones, or what `<|endoftext|>` divides where that is there.
    Guessed,
    /// What `<|endoftext|>` divides.
    Separated,
}

/// The files of a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those to read: in the order of the settings, what a folder or a glob stands for sorted by path. Each once.
    pub files: Vec<CorpusFile>,
    /// Those in named folders that are no part of the corpus.
    pub passed_over: Vec<PassedOver>,
    /// What was settled about them that the settings leave open.
    pub guesses: Vec<Guess>,
}

/// A file, or a hidden folder, that is no part of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassedOver {
    /// Where it is.
    pub path: PathBuf,
    /// Why, in a word or two: `hidden`, `about the data`, `plain text`.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub explanation: String,
}

/// Reasons to pass over a file.
const HIDDEN: &str = "hidden";
const ABOUT: &str = "about the data";
const OTHER_FORMAT: &str = "another format";
const PLAIN_TEXT: &str = "plain text";
const NO_COLUMN: &str = "no such column";
const SAME_NAME: &str = "compressed copy";
const NOT_LISTED: &str = "not listed";
const NO_TEXT: &str = "not text";
const LINK: &str = "link";
const NO_FILE: &str = "no file";

/// Names, before their first dot and in lower case, of files that say something about the data.
const ABOUT_NAMES: [&str; 13] = [
    "readme",
    "license",
    "licence",
    "copying",
    "notice",
    "citation",
    "changelog",
    "contributing",
    "authors",
    "checksums",
    "md5sums",
    "sha256sums",
    "datasheet",
];

/// Files in which Hugging Face's libraries and their like say what the data are.
const ABOUT_FILES: [&str; 9] = [
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    "croissant.json",
    "metadata.json",
    "dataset-metadata.json",
    "datapackage.json",
    "package.json",
];

/// Endings of checksums and locks.
const ABOUT_ENDINGS: [&str; 4] = ["md5", "sha256", "lock", "crc"];

/// Names of splits, as files and folders of data sets have them.
const SPLITS: [(&str, &str); 12] = [
    ("train", "train"),
    ("training", "train"),
    ("test", "test"),
    ("testing", "test"),
    ("validation", "validation"),
    ("valid", "validation"),
    ("val", "validation"),
    ("dev", "validation"),
    ("eval", "validation"),
    ("heldout", "held-out"),
    ("held_out", "held-out"),
    ("holdout", "held-out"),
];

/// Finds the files that `corpus.files` names, relative to `base`. A path that exists is taken literally, whatever characters are in
/// its name; otherwise it is a glob.
///
/// # Errors
/// [`Error::Input`] for a path that is not there, a folder or glob that stands for no file, and a folder whose data are in several
/// formats or several saved data sets; [`Error::Configuration`] for a glob, a delimiter or a template that cannot be understood.
pub fn find_files(corpus: &Corpus, base: &Path) -> Result<Found, Error> {
    let columns = Columns::of_models(corpus, base, &[])?;
    let delimiter = delimiter(corpus)?;
    let mut search = Search {
        corpus,
        columns: &columns,
        delimiter,
        found: Found::default(),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut named_singly = true;
    for pattern in corpus.files.as_slice() {
        let found = search.expand(pattern, base)?;
        named_singly &= matches!(found.as_slice(), [path] if path == &base.join(pattern));
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let unit = match corpus.unit {
        TextUnit::Auto if named_singly && paths.len() == 1 => Unit::Guessed,
        TextUnit::Auto | TextUnit::File => Unit::File,
        TextUnit::Paragraph => Unit::Paragraph,
        TextUnit::Line => Unit::Line,
    };
    let mut found = search.found;
    found.files = paths
        .into_iter()
        .map(|path| corpus_file(path, corpus, corpus.format, unit, delimiter))
        .collect();
    // What is named elsewhere is no longer passed over.
    found
        .passed_over
        .retain(|passed| found.files.iter().all(|file| file.path != passed.path));
    found.passed_over.sort();
    found.passed_over.dedup();
    Ok(found)
}

fn corpus_file(
    path: PathBuf,
    corpus: &Corpus,
    asked: CorpusFormat,
    unit: Unit,
    delimiter: Option<u8>,
) -> CorpusFile {
    let asked = formats::of_setting(asked);
    CorpusFile {
        format: asked.unwrap_or_else(|| formats::of_name(&path)),
        is_asked: asked.is_some(),
        path,
        unit,
        delimiter,
        max_document_bytes: corpus.max_document_mb.saturating_mul(limits::MEGABYTE),
    }
}

fn delimiter(corpus: &Corpus) -> Result<Option<u8>, Error> {
    match corpus.delimiter {
        None => Ok(None),
        Some(delimiter) if delimiter.is_ascii() && !"\"\r\n".contains(delimiter) => Ok(Some(delimiter as u8)),
        Some(delimiter) => Err(Error::Configuration(format!(
            "corpus.delimiter: expected one ASCII character other than a quote or a line end, found {delimiter:?}"
        ))),
    }
}

/// A search for the files of a corpus, with what it passed over so far.
struct Search<'a> {
    corpus: &'a Corpus,
    columns: &'a Columns,
    delimiter: Option<u8>,
    found: Found,
}

impl Search<'_> {
    fn expand(&mut self, pattern: &str, base: &Path) -> Result<Vec<PathBuf>, Error> {
        let path = base.join(pattern);
        if path.is_dir() {
            return self.folder(&path);
        }
        if path.exists() {
            return Ok(vec![path]);
        }
        let nothing = |expected: &str| {
            let advice = "Relative paths start from the pipeline file's folder, and those of --in from the current one";
            Err(Error::input(
                &path,
                format!("expected {expected}, found none. {advice}"),
            ))
        };
        if !pattern.contains(['*', '?', '[']) {
            return nothing("a file, a folder or a glob");
        }
        let mut listing = Listing::default();
        for path in globbed(pattern, base)? {
            if path.is_dir() {
                listing.add_folder(&path)?;
            } else {
                listing.files.push(path);
            }
        }
        if listing.files.is_empty() {
            return nothing("a glob that matches at least one file");
        }
        self.choose(&path, listing)
    }

    fn folder(&mut self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut listing = Listing::default();
        listing.add_folder(path)?;
        self.choose(path, listing)
    }

    fn pass_over(&mut self, path: &Path, reason: &'static str, explanation: impl Into<String>) {
        self.found.passed_over.push(PassedOver {
            path: path.to_path_buf(),
            reason,
            explanation: explanation.into(),
        });
    }

    /// Of what lies below `root`, the files that it mainly holds.
    fn choose(&mut self, root: &Path, listing: Listing) -> Result<Vec<PathBuf>, Error> {
        if listing.data_sets.len() > 1 {
            return Err(several_data_sets(root, listing.data_sets));
        }
        for (path, reason, explanation) in listing.passed_over {
            self.pass_over(&path, reason, explanation);
        }
        let mut files = self.without_notes(listing.files);
        files = self.without_compressed_copies(files);
        files = match formats::of_setting(self.corpus.format) {
            // Whatever their names: the settings say that this is text.
            Some(asked) if !asked.has_columns => files,
            Some(asked) => self.of_format(files, asked),
            None => self.main_format(root, files)?,
        };
        files.sort();
        if files.is_empty() {
            return Err(self.nothing_left(root));
        }
        self.note_splits(root, &files);
        Ok(files)
    }

    /// Takes out what is about the data, unless there is nothing else.
    fn without_notes(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let (notes, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_about_data(file));
        for note in notes {
            self.pass_over(&note, ABOUT, "its name says that it is about the data");
        }
        files
    }

    /// Takes out compressed files whose content is there uncompressed too, by their names.
    fn without_compressed_copies(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let is_copy = |file: &PathBuf| {
            let plain = without_compression(file);
            &plain != file && files.contains(&plain)
        };
        let copies: Vec<PathBuf> = files.iter().filter(|file| is_copy(file)).cloned().collect();
        for copy in &copies {
            self.pass_over(copy, SAME_NAME, "a file of the same name is there uncompressed");
        }
        files.into_iter().filter(|file| !copies.contains(file)).collect()
    }

    fn of_format(&mut self, files: Vec<PathBuf>, asked: &Format) -> Vec<PathBuf> {
        let (files, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| asked.has_ending_of(file));
        for other in others {
            let explanation = format!("corpus.format asks for {}", asked.name);
            self.pass_over(&other, OTHER_FORMAT, explanation);
        }
        files
    }

    /// The files of the one format that holds the corpus: that of the only data there are, or of the only ones with the columns asked
    /// for; plain text where there are no data.
    fn main_format(&mut self, root: &Path, files: Vec<PathBuf>) -> Result<Vec<PathBuf>, Error> {
        let mut groups: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
        let mut texts = Vec::new();
        for file in files {
            let format = formats::of_name(&file);
            match format.group_of(&file).and_then(<[_]>::first) {
                Some(group) if format.has_columns => groups.entry(group).or_default().push(file),
                _ => texts.push(file),
            }
        }
        if groups.is_empty() {
            return Ok(self.without_binary_files(texts));
        }
        if groups.len() > 1 {
            let (with_columns, without): (BTreeMap<_, _>, BTreeMap<_, _>) = groups
                .into_iter()
                .partition(|(_, files)| files.iter().any(|file| self.may_be_read(file)));
            if with_columns.len() != 1 {
                let of_all = with_columns.iter().chain(&without);
                let counted: Vec<String> = of_all
                    .map(|(group, files)| format!("{} .{group}", files.len()))
                    .collect();
                return Err(Error::input(
                    root,
                    format!(
                        "expected a folder with data of one format, found several: {}. Name the files in corpus.files \
                         (`folder/*.jsonl`), or set corpus.format",
                        counted.join(", ")
                    ),
                ));
            }
            for file in without.values().flatten() {
                let explanation = format!("it has no column {}", self.columns.description());
                self.pass_over(file, NO_COLUMN, explanation);
            }
            groups = with_columns;
        }
        for text in texts {
            self.pass_over(&text, PLAIN_TEXT, "it lies beside data that have columns");
        }
        Ok(groups.into_values().flatten().collect())
    }

    /// Whether a file has the columns that are asked for, as far as its first document shows. One that cannot be read at all may have
    /// them.
    fn may_be_read(&self, file: &Path) -> bool {
        let path = file.to_path_buf();
        let file = corpus_file(path, self.corpus, CorpusFormat::Auto, Unit::File, self.delimiter);
        let first = open(&file, self.columns).map(|mut documents| documents.next());
        let (Ok(Some(Err(fault))) | Err(fault)) = first else {
            return true;
        };
        !matches!(
            fault,
            Fault::Document(_, flaw) if matches!(flaw.kind, FlawKind::NoValue | FlawKind::WrongType)
        )
    }

    fn without_binary_files(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let (binary, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_binary(file));
        for file in binary {
            self.pass_over(&file, NO_TEXT, "its bytes are no text");
        }
        files
    }

    /// Says so where files of several splits are read as one corpus.
    fn note_splits(&mut self, root: &Path, files: &[PathBuf]) {
        let mut splits: BTreeMap<&str, usize> = BTreeMap::new();
        for split in files.iter().filter_map(|file| split_of(root, file)) {
            *splits.entry(split).or_default() += 1;
        }
        if splits.len() > 1 {
            let counted: Vec<String> = splits
                .iter()
                .map(|(split, files)| format!("{split} ({files} files)"))
                .collect();
            self.found.guesses.push(Guess::new(
                "splits",
                format!(
                    "{} holds files of several splits, and all are read: {}. Name the files of one in corpus.files, and of another in \
                     corpus.held_out_files (HELD_OUT)",
                    root.display(),
                    counted.join(", ")
                ),
            ));
        }
    }

    fn nothing_left(&self, root: &Path) -> Error {
        let below: Vec<String> = self
            .found
            .passed_over
            .iter()
            .filter(|passed| passed.path.starts_with(root))
            .map(|passed| format!("{} ({})", passed.path.display(), passed.reason))
            .collect();
        let passed_over = match below.as_slice() {
            [] => String::new(),
            [several @ .., _] if several.len() > 8 => {
                format!(
                    "; passed over: {} and {} more",
                    several[..8].join(", "),
                    below.len() - 8
                )
            }
            _ => format!("; passed over: {}", below.join(", ")),
        };
        Error::input(
            root,
            format!("expected a folder with at least one corpus file, found none{passed_over}"),
        )
    }
}

fn several_data_sets(root: &Path, mut folders: Vec<PathBuf>) -> Error {
    folders.sort();
    let trained_on = folders.iter().find(|folder| name_of(folder).starts_with("train"));
    let example = trained_on.or(folders.first()).map_or(root, PathBuf::as_path);
    let names: Vec<String> = folders
        .iter()
        .map(|folder| folder.strip_prefix(root).unwrap_or(folder).display().to_string())
        .collect();
    Error::input(
        root,
        format!(
            "expected one saved data set, found several: {}. Name the folder of the one that was trained on in corpus.files \
             ({}), and of another in corpus.held_out_files (HELD_OUT)",
            names.join(", "),
            example.display()
        ),
    )
}

/// The files below a folder.
#[derive(Debug, Default)]
struct Listing {
    files: Vec<PathBuf>,
    /// The folders that were looked into, without links.
    folders: HashSet<PathBuf>,
    /// Links to folders that are still to be looked into.
    links: BTreeSet<PathBuf>,
    /// Folders of data sets that `save_to_disk` wrote.
    data_sets: Vec<PathBuf>,
    passed_over: Vec<(PathBuf, &'static str, String)>,
}

impl Listing {
    /// Adds what lies below a folder; what is only linked there after all that lies there itself.
    fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        self.add_without_links(folder)?;
        while let Some(link) = self.links.pop_first() {
            self.add_without_links(&link)?;
        }
        Ok(())
    }

    fn add_without_links(&mut self, folder: &Path) -> Result<(), Error> {
        let failed =
            |error: std::io::Error| Error::input(folder, format!("expected a readable folder: {error}"));
        // A link may lead to a folder around it.
        if !self.folders.insert(folder.canonicalize().map_err(failed)?) {
            if folder.is_symlink() {
                let explanation = "it is a link to a folder that is read already".to_owned();
                self.passed_over.push((folder.to_path_buf(), LINK, explanation));
            }
            return Ok(());
        }
        if folder.join("state.json").exists()
            && let Some(listed) = listed_in_state(folder)?
        {
            self.data_sets.push(folder.to_path_buf());
            for entry in fs::read_dir(folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if !listed.contains(&path) {
                    let (reason, explanation) = if is_about_data(&path) {
                        (ABOUT, "its name says that it is about the data")
                    } else {
                        (NOT_LISTED, "state.json does not list it among the data")
                    };
                    self.passed_over.push((path, reason, explanation.to_owned()));
                }
            }
            self.files.extend(listed);
            return Ok(());
        }
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                let explanation = "its name begins with a dot or an underscore".to_owned();
                self.passed_over.push((path, HIDDEN, explanation));
            } else if path.is_dir() && path.is_symlink() {
                self.links.insert(path);
            } else if path.is_dir() {
                self.add_without_links(&path)?;
            } else if path.exists() && !path.is_file() {
                // Reading a pipe waits for a writer, and some devices have no end.
                let explanation = "it is a pipe, a socket or a device".to_owned();
                self.passed_over.push((path, NO_FILE, explanation));
            } else {
                self.files.push(path);
            }
        }
        Ok(())
    }
}

/// The data files that the `state.json` of a data set lists, all of which must be there; none where it lists no such files, and so is
/// something else.
fn listed_in_state(folder: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let path = folder.join("state.json");
    let content = contract::foreign::read(&path, MAX_SETTINGS_BYTES)?;
    let Ok(state) = serde_json::from_slice::<serde_json::Value>(&content) else {
        return Ok(None);
    };
    let Some(listed) = state.get("_data_files").and_then(|files| files.as_array()) else {
        return Ok(None);
    };
    let mut files = Vec::new();
    for entry in listed {
        let name = entry.get("filename").and_then(|name| name.as_str());
        // Older versions write the path from where they ran.
        let name = name.and_then(|name| Path::new(name).file_name());
        let file = name.map(|name| folder.join(name));
        match file {
            Some(file) if file.exists() => files.push(file),
            _ => {
                return Err(Error::input(
                    &path,
                    format!(
                        "expected the data files that it lists, found none at {}: the data set is not whole",
                        file.map_or_else(|| entry.to_string(), |file| file.display().to_string())
                    ),
                ));
            }
        }
    }
    Ok(Some(files))
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

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

fn is_about_data(path: &Path) -> bool {
    let name = name_of(path);
    let stem = name.split('.').next().unwrap_or_default();
    // As in LICENSE-MIT and README_de.
    let is_variant = ["readme", "license", "licence"].iter().any(|about| {
        stem.strip_prefix(about)
            .is_some_and(|behind| behind.starts_with(['-', '_']))
    });
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let has_columns = formats::of_name(path).has_columns;
    ABOUT_FILES.contains(&name.as_str())
        || (!has_columns && (is_variant || ABOUT_NAMES.contains(&stem) || ABOUT_ENDINGS.contains(&ending)))
}

/// Whether a file begins with bytes that no text has. What cannot be read is found out later.
fn is_binary(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let Ok(file) = fs::File::open(path) else {
        return false;
    };
    if file.take(1024).read_to_end(&mut beginning).is_err() {
        return false;
    }
    let is_marked_or_compressed = without_compression(path) != path
        || beginning.starts_with(&[0xff, 0xfe])
        || beginning.starts_with(&[0xfe, 0xff]);
    let format = formats::FORMATS
        .iter()
        .any(|format| (format.is_certain)(&beginning));
    beginning.contains(&0) && !is_marked_or_compressed && !format
}

/// The split that a file belongs to, by its name or that of a folder between it and `root`.
fn split_of(root: &Path, file: &Path) -> Option<&'static str> {
    let below = file.strip_prefix(root).unwrap_or(file);
    below.components().rev().find_map(|part| {
        let name = part.as_os_str().to_string_lossy().to_lowercase();
        SPLITS.iter().find_map(|(word, split)| {
            let behind = name.strip_prefix(word)?;
            let ends = behind.chars().next().is_none_or(|next| !next.is_alphabetic());
            ends.then_some(*split)
        })
    })
}
