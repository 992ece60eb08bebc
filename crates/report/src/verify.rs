//! Whether a run folder is what its stages wrote: every file by its seal, and every output by the inputs that it was made from.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use contract::provenance::digest;
use contract::seal::{self, Seal};
use contract::{Error, Provenance, parquet, stage_run};

/// What was found. Paths are as seen from the run folder.
#[derive(Debug, Default)]
pub struct Verified {
    /// Files whose seal, or line in a list of checksums, holds.
    pub whole: Vec<PathBuf>,
    /// Files that are not what was written, each with what is wrong.
    pub damaged: Vec<(PathBuf, String)>,
    /// Files without a seal: those of other programs, pages, and what make reads.
    pub unsealed: Vec<PathBuf>,
    /// Inputs that are what outputs were made from.
    pub inputs: usize,
    /// Outputs of which an input is another now: the output, and the input.
    pub changed: Vec<(PathBuf, PathBuf)>,
    /// Outputs of which an input cannot be found: the output, and the input.
    pub lost: Vec<(PathBuf, PathBuf)>,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.damaged.is_empty() && self.changed.is_empty()
    }
}

/// Looks at every file of a run folder, and at every input that an output of it names.
///
/// # Errors
/// [`Error::Input`] for a folder that cannot be read, or holds no file that a stage wrote.
pub fn verify(run: &Path) -> Result<Verified, Error> {
    let mut files = Vec::new();
    list(run, &mut files)?;
    files.sort();
    let mut verified = Verified::default();
    let listed = check_lists(run, &files, &mut verified);
    let mut digests = HashMap::new();
    for file in &files {
        let shown = shown(run, file);
        match seal_of(file) {
            Err(error) => verified.damaged.push((shown, told(error))),
            Ok(Seal::Broken) => verified
                .damaged
                .push((shown, "its bytes are not those that were written".to_owned())),
            Ok(Seal::None) if listed.get(file) == Some(&true) => verified.whole.push(shown),
            Ok(Seal::None) if listed.contains_key(file) => {}
            Ok(Seal::None) => verified.unsealed.push(shown),
            Ok(Seal::Whole) => {
                verified.whole.push(shown);
                if let Some(provenance) = is_parquet(file).then(|| parquet::provenance(file)).flatten() {
                    check_inputs(run, file, &provenance, &mut digests, &mut verified);
                }
            }
        }
    }
    if verified.whole.is_empty() && verified.damaged.is_empty() {
        let problem = "holds no file that a stage wrote; name a run folder, such as data/runs/demo";
        return Err(Error::input(run, problem));
    }
    Ok(verified)
}

/// Folders of files that are made again where they are not what was written, and have digests of their own for that.
const CACHES: [&str; 2] = ["token-cache", "detection-cache"];

/// Every file below a folder but those of caches and records of runs, links to folders not followed.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let unreadable = |error| Error::input(folder, format!("cannot be read: {error}"));
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        if CACHES.iter().any(|cache| name == *cache) || stage_run::is_record(&name.to_string_lossy()) {
            continue;
        }
        if entry.file_type().map_err(unreadable)?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn has_end(file: &Path, end: &str) -> bool {
    file.extension() == Some(OsStr::new(end))
}

pub(crate) fn is_parquet(file: &Path) -> bool {
    has_end(file, "parquet")
}

fn seal_of(file: &Path) -> Result<Seal, Error> {
    if is_parquet(file) {
        return parquet::check_seal(file);
    }
    let unreadable = |error| Error::input(file, format!("cannot be read: {error}"));
    if has_end(file, "safetensors") {
        return seal::check(file, seal::safetensors_header(file).map_err(unreadable)?);
    }
    if has_end(file, "toml") {
        let text = fs::read_to_string(file).map_err(unreadable)?;
        return Ok(seal::check_text(&text));
    }
    Ok(Seal::None)
}

/// The files that lists of checksums name, and whether they are what was listed. The lists are among them.
fn check_lists(run: &Path, files: &[PathBuf], verified: &mut Verified) -> BTreeMap<PathBuf, bool> {
    let mut listed = BTreeMap::new();
    for list in files
        .iter()
        .filter(|file| file.file_name() == Some(OsStr::new(seal::CHECKSUMS)))
    {
        let checked = match seal::check_each(list.parent().unwrap_or(run)) {
            Ok(checked) => checked.into_iter().chain([(list.clone(), Ok(()))]).collect(),
            Err(error) => vec![(list.clone(), Err(error))],
        };
        for (file, checked) in checked {
            listed.insert(file.clone(), checked.is_ok());
            if let Err(error) = checked {
                verified.damaged.push((shown(run, &file), told(error)));
            }
        }
    }
    listed
}

/// What is wrong, without the name of the file.
fn told(error: Error) -> String {
    match error {
        Error::Input { problem, .. } => problem,
        other => other.to_string(),
    }
}

/// Compares the inputs that a file was made from with what lies where they were.
fn check_inputs(
    run: &Path,
    file: &Path,
    provenance: &Provenance,
    digests: &mut HashMap<PathBuf, Option<String>>,
    verified: &mut Verified,
) {
    for (role, made_from) in &provenance.inputs {
        let Some(place) = provenance.places.get(role) else {
            verified.lost.push((shown(run, file), PathBuf::from(role)));
            continue;
        };
        let places = places_of(run, file, place);
        let found = places.iter().filter_map(|place| {
            let known = digests.entry(place.clone()).or_insert_with(|| digest(place).ok());
            Some((place, known.clone()?))
        });
        let found: Vec<(&PathBuf, String)> = found.collect();
        let output = shown(run, file);
        match (found.iter().any(|(_, found)| found == made_from), found.first()) {
            (true, _) => verified.inputs += 1,
            (false, Some((place, _))) => verified.changed.push((output, shown(run, place))),
            (false, None) => verified.lost.push((output, place.clone())),
        }
    }
}

/// Where an input of a file may lie, by the place that the file keeps of it.
pub(crate) fn places_of(run: &Path, file: &Path, place: &Path) -> Vec<PathBuf> {
    let real_run = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    // A folder around the run is no input of it, whatever its files say; and taking its digest might have no end.
    let is_around = |place: &PathBuf| {
        place
            .canonicalize()
            .is_ok_and(|place| real_run.starts_with(place))
    };
    // Results of the last checkpoint that are those of the best as well were copied a folder down.
    let folders = file.ancestors().skip(1).take(2);
    folders
        .map(|folder| contract::paths::normalized(&folder.join(place)))
        .filter(|place| !is_around(place))
        .collect()
}

/// A file as seen from the run folder.
pub(crate) fn shown(run: &Path, file: &Path) -> PathBuf {
    file.strip_prefix(run).unwrap_or(file).to_path_buf()
}

/// What a person reads: the counts, then each thing that is wrong with what to do.
impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            whole,
            damaged,
            unsealed,
            inputs,
            changed,
            lost,
        } = self;
        writeln!(
            formatter,
            "{} files are as they were written, {} are not; {} have no seal",
            whole.len(),
            damaged.len(),
            unsealed.len()
        )?;
        write!(
            formatter,
            "{inputs} inputs are those that outputs were made from, {} are not; {} were not found",
            changed.len(),
            lost.len()
        )?;
        for (file, problem) in damaged {
            write!(formatter, "\ndamaged    {}: {problem}", file.display())?;
        }
        for (output, input) in changed {
            write!(
                formatter,
                "\nchanged    {} was made from another {}",
                output.display(),
                input.display()
            )?;
        }
        for (output, input) in lost {
            write!(
                formatter,
                "\nnot found  {} was made from {}",
                output.display(),
                input.display()
            )?;
        }
        if !unsealed.is_empty() {
            let names: Vec<String> = unsealed.iter().map(|file| file.display().to_string()).collect();
            write!(formatter, "\nno seal    {}", names.join(", "))?;
        }
        if !self.is_right() {
            write!(
                formatter,
                "\nRemove what is damaged, or made from what has changed, and run once more: make makes it again."
            )?;
        }
        Ok(())
    }
}
