//! Whether a report is about what its run folder holds now.
//!
//! Where a model was exchanged and the second audit failed, the report of the first is still there, and says of the new model what was
//! found in the old one. So before anything is concluded from a report:
//!
//! 1. No stage may have failed, or not have ended, since the report was made: by the marks that stages leave (`contract::stage_run`).
//! 2. What the report was made from must be there as it was, and what that was made from, down to the corpus: by the digests that
//!    outputs keep of their inputs, as in [`verify`].
//! 3. Given files that are large, such as weights, are only read where something about them has changed since the run was planned
//!    ([`given`](super::given)).
//!
//! What is not there any more, as in a run folder that was copied elsewhere, is not asked for.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use contract::provenance::digest;
use contract::stage_run::{self, LastRun, last_run};
use contract::{Error, parquet};

use super::given::Lists;
use crate::read::RunFiles;
use crate::verify::{self, is_parquet, places_of};

/// Given files of up to so many bytes are compared by their bytes; larger ones, and folders, where something about them has changed.
const MAX_COMPARED_BYTES: u64 = 64 << 20;

/// Why a report is not of what the run folder holds.
enum Reason {
    Running(String, PathBuf),
    Failed(String, PathBuf, String),
    NotPlanned(PathBuf),
    Damaged(PathBuf),
    Changed { output: PathBuf, input: PathBuf },
    Given(PathBuf),
}

impl Reason {
    /// What to do.
    fn advice(&self) -> String {
        let again = "Run the same `make run` or `make audit` again: it makes what is missing or old, and the report with it";
        match self {
            Self::Running(..) => format!("Wait until it has ended. {again}"),
            // Of a file that was changed behind its back make knows nothing.
            Self::Damaged(file) | Self::Changed { output: file, .. } => format!(
                "{again}. Where it finds nothing to do, remove {} before (`report verify` lists all that does not fit)",
                file.display()
            ),
            Self::Failed(..) | Self::NotPlanned(_) | Self::Given(_) => again.to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(stage, folder) => write!(formatter, "{stage} is running in {}", folder.display()),
            Self::Failed(stage, folder, message) => write!(
                formatter,
                "{stage} failed in {} after the report was made ({message})",
                folder.display()
            ),
            Self::NotPlanned(file) => write!(
                formatter,
                "a run failed after the report was made ({} says so)",
                file.display()
            ),
            Self::Damaged(file) => write!(
                formatter,
                "the bytes of {} are not those that were written",
                file.display()
            ),
            Self::Changed { output, input } => write!(
                formatter,
                "{} was made from another {}",
                output.display(),
                input.display()
            ),
            Self::Given(file) => write!(
                formatter,
                "{} is another file than the one that the stages read",
                file.display()
            ),
        }
    }
}

/// Refuses a run folder, a report folder or a file `summary.parquet` whose report is not of what lies there now.
///
/// # Errors
/// [`Error::Input`] with the first reason, and what to do.
pub fn require_current(run: &Path) -> Result<(), Error> {
    let summary = super::summary_of(run).ok();
    let (folder, outputs) = match &summary {
        Some(summary) => (run_of(summary, run), vec![summary.clone()]),
        // Two runs can be compared without a report.
        None => (Some(run.to_path_buf()), compared_files(run)),
    };
    // A summary alone says nothing of a run.
    let Some(folder) = folder else { return Ok(()) };
    let made = outputs.iter().filter_map(|file| modified(file)).max();
    let reason = made
        .and_then(|made| first_mark(&folder, made))
        .or_else(|| Chain::of(&folder, outputs).reason(made));
    match reason {
        None => Ok(()),
        Some(reason) => Err(Error::input(
            run,
            format!(
                "its report is not of what the run folder holds now: {reason}. {}",
                reason.advice()
            ),
        )),
    }
}

/// The run folder of a report, by what the report was made from; none where that is not there.
fn run_of(summary: &Path, named: &Path) -> Option<PathBuf> {
    let has_cells = |folder: &PathBuf| folder.join("cells").is_dir();
    // Of a run folder that was named, messages have the name.
    if summary == named.join("report/summary.parquet") {
        return Some(named.to_path_buf()).filter(has_cells);
    }
    let provenance = parquet::provenance(summary)?;
    let folder = summary.parent()?;
    // The role of an input of a report is its path from the run folder.
    let runs = provenance.places.iter().filter_map(|(role, place)| {
        let place = contract::paths::normalized(&folder.join(place));
        let depth = Path::new(role).components().count();
        place
            .ends_with(role)
            .then(|| place.ancestors().nth(depth).map(Path::to_path_buf))?
    });
    let mut runs = runs.map(|run| {
        if run.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            run
        }
    });
    runs.find(has_cells)
}

/// What a comparison of runs reads.
fn compared_files(run: &Path) -> Vec<PathBuf> {
    let files = RunFiles::find(run);
    let files = files.iter().flat_map(RunFiles::inputs);
    files
        .map(|(_, file)| file.to_path_buf())
        .filter(|file| is_parquet(file))
        .collect()
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// The first mark of a stage that failed or has not ended, left when the report was made or later.
fn first_mark(run: &Path, made: SystemTime) -> Option<Reason> {
    let is_later = |file: &Path| modified(file).is_some_and(|left| left >= made);
    // Left by scripts/run.sh and the rules of make, and removed where a run begins.
    let status = run.join("exit_status");
    let mut folders = vec![run.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let stage = name.split_once('-').map(|(_, stage)| stage);
            let Some(stage) = stage.filter(|_| stage_run::is_record(&name)) else {
                continue;
            };
            if name.starts_with(".done-") || !is_later(&entry.path()) {
                continue;
            }
            let place = match verify::shown(run, &folder) {
                place if place.as_os_str().is_empty() => PathBuf::from("."),
                place => place,
            };
            match last_run(&folder, stage) {
                Some(LastRun::Running(_)) => return Some(Reason::Running(stage.to_owned(), place)),
                Some(LastRun::Failed(record)) => {
                    let message = record.message.unwrap_or_else(|| "without a message".to_owned());
                    return Some(Reason::Failed(stage.to_owned(), place, message));
                }
                Some(LastRun::Done(_)) | None => {}
            }
        }
    }
    is_later(&status).then(|| Reason::NotPlanned(PathBuf::from("exit_status")))
}

/// What a report was made from, down to what users gave.
struct Chain<'a> {
    run: &'a Path,
    /// Outputs whose inputs are still to be looked at.
    outputs: Vec<PathBuf>,
    digests: HashMap<PathBuf, Option<String>>,
    /// Folders in which outputs and settings lie.
    folders: BTreeSet<PathBuf>,
    /// Given files and folders that were compared, without links.
    compared: Vec<PathBuf>,
    /// Those that were not, since they are large: the output, where it may lie, and its digest.
    large: Vec<(PathBuf, Vec<PathBuf>, String)>,
}

impl<'a> Chain<'a> {
    fn of(run: &'a Path, outputs: Vec<PathBuf>) -> Self {
        Self {
            run,
            outputs,
            digests: HashMap::new(),
            folders: BTreeSet::new(),
            compared: Vec::new(),
            large: Vec::new(),
        }
    }

    /// The first thing that does not fit.
    fn reason(mut self, made: Option<SystemTime>) -> Option<Reason> {
        let mut seen = BTreeSet::new();
        while let Some(output) = self.outputs.pop() {
            if seen.insert(output.clone())
                && let Some(reason) = self.compare_inputs(&output)
            {
                return Some(reason);
            }
        }
        self.compare_given(made)
    }

    fn compare_inputs(&mut self, output: &Path) -> Option<Reason> {
        if matches!(parquet::check_seal(output), Ok(contract::seal::Seal::Broken)) {
            return Some(Reason::Damaged(verify::shown(self.run, output)));
        }
        // Another program's output says nothing of what it was made from.
        let provenance = parquet::provenance(output)?;
        for (role, made_from) in &provenance.inputs {
            let Some(place) = provenance.places.get(role) else {
                continue;
            };
            let mut places = places_of(self.run, output, place);
            places.retain(|place| place.exists());
            if places.is_empty() {
                continue;
            }
            if !places.iter().any(|place| is_compared(place)) {
                self.large.push((output.to_path_buf(), places, made_from.clone()));
                continue;
            }
            let found: Vec<PathBuf> = places
                .iter()
                .filter(|place| self.digest(place).as_ref() == Some(made_from))
                .cloned()
                .collect();
            if found.is_empty() {
                return Some(self.changed(output, &places));
            }
            self.compared
                .extend(found.iter().filter_map(|place| place.canonicalize().ok()));
            for place in found {
                self.folders.extend(place.parent().map(Path::to_path_buf));
                if is_parquet(&place) {
                    self.outputs.push(place);
                }
            }
        }
        None
    }

    /// Compares the large given files of which something has changed since the run was planned.
    fn compare_given(&mut self, made: Option<SystemTime>) -> Option<Reason> {
        let changed = Lists::of(&self.folders).changed(made);
        if changed.is_empty() {
            return None;
        }
        for (output, places, made_from) in std::mem::take(&mut self.large) {
            let real = places.iter().filter_map(|place| place.canonicalize().ok());
            let real: Vec<PathBuf> = real.collect();
            let is_concerned = |file: &PathBuf| real.iter().any(|place| file.starts_with(place));
            if !changed.iter().any(is_concerned) {
                continue;
            }
            if !places
                .iter()
                .any(|place| self.digest(place).as_ref() == Some(&made_from))
            {
                return Some(self.changed(&output, &places));
            }
            self.compared.extend(real);
        }
        // A link that leads elsewhere now leads to what no output was made from.
        let is_known = |file: &&PathBuf| self.compared.iter().any(|place| file.starts_with(place));
        let other = changed.iter().find(|file| !is_known(file))?;
        Some(Reason::Given(other.clone()))
    }

    fn digest(&mut self, place: &Path) -> Option<String> {
        let known = self.digests.entry(place.to_path_buf());
        known.or_insert_with(|| digest(place).ok()).clone()
    }

    fn changed(&self, output: &Path, places: &[PathBuf]) -> Reason {
        Reason::Changed {
            output: verify::shown(self.run, output),
            input: places
                .first()
                .map(|place| verify::shown(self.run, place))
                .unwrap_or_default(),
        }
    }
}

/// Whether an input is compared by its bytes in any case: a stage's output, or a small file.
fn is_compared(place: &Path) -> bool {
    let is_small = |bytes: u64| bytes <= MAX_COMPARED_BYTES;
    let file = fs::metadata(place).ok().filter(fs::Metadata::is_file);
    file.is_some_and(|file| {
        is_small(file.len()) || (is_parquet(place) && parquet::provenance(place).is_some())
    })
}
