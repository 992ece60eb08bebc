//! How far a run is, from its run folder alone: which stages of which cells are done, running, failed or to do, as make would see it, with
//! times and disk. Nothing but files is looked at, so that it holds for a run on any machine, under whatever engine.
//!
//! Whether a stage is done follows from its files as in make's rules: all are there, none is older than what it is made from, and
//! all that is made by other stages is done itself. Otherwise the records that stages leave ([`contract::stage_run`]) say whether it is running
//! or why it failed. A queue's own state, such as of jobs that wait, would be one more [`State`].

mod rules;
mod table;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use contract::Error;
use contract::stage_run::{LastRun, last_run};
use serde::Serialize;

use rules::Rule;

pub use table::Brief;

/// How far one stage of one cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It failed, or was killed, and make would start it again.
    Failed,
    /// It is under way.
    Running,
    /// Files of it are missing.
    ToDo,
    /// It was done, and what it is made from has changed since, or will.
    Old,
    /// Its files are there, and up to date.
    Done,
}

impl State {
    /// All, in the order in which they are counted.
    pub const ALL: [Self; 5] = [Self::Done, Self::Running, Self::Failed, Self::Old, Self::ToDo];
}

/// One stage of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// The column: a stage's name, or `best` for detection at the checkpoint with the best held-out loss.
    pub name: String,
    /// The stage's name.
    pub stage: String,
    /// How far it is.
    pub state: State,
    /// Seconds that it took, or has taken so far; none where it left no record.
    pub seconds: Option<f64>,
    /// Exit status of one that failed; none where it was killed and nobody saw its exit status.
    pub exit_status: Option<i32>,
    /// Why it failed.
    pub message: Option<String>,
    /// How far one that is running is.
    pub progress: Option<String>,
    /// The machine of one that is running or failed.
    pub host: Option<String>,
    /// The process of one that is running.
    pub pid: Option<u32>,
}

/// A training set, a cell, the report or a look at a corpus, with its stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The name of its folder.
    pub name: String,
    /// Its stages in their order.
    pub stages: Vec<Stage>,
    /// Bytes of its folder on disk.
    pub disk_bytes: u64,
}

impl Row {
    /// The state of the whole: that of the stage that is furthest from done.
    pub fn state(&self) -> State {
        let states = self.stages.iter().map(|stage| stage.state);
        states.min().unwrap_or(State::ToDo)
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The run folder.
    pub run: PathBuf,
    /// The training sets.
    pub training_sets: Vec<Row>,
    /// The cells.
    pub cells: Vec<Row>,
    /// The report, or looks at the corpus.
    pub results: Vec<Row>,
    /// Bytes of the run folder on disk.
    pub disk_bytes: u64,
    /// Files outside of the run folder that something is made from and that are not there, so that nothing was compared with them.
    pub not_found: Vec<PathBuf>,
}

impl Status {
    /// How far the run in a folder is.
    ///
    /// # Errors
    /// [`Error::Input`] for a folder that holds no run.
    pub fn of(run: &Path) -> Result<Self, Error> {
        let rules = rules::read(run)?;
        let disk = Disk::of(run);
        let mut states = States::of(&rules, run);
        let mut status = Self {
            run: run.to_path_buf(),
            training_sets: Vec::new(),
            cells: Vec::new(),
            results: Vec::new(),
            disk_bytes: disk.bytes,
            not_found: Vec::new(),
        };
        let mut numbers: HashMap<PathBuf, usize> = HashMap::new();
        // Rules are in the order of stages; cells have numbers.
        let mut in_order: Vec<(usize, &Rule)> = rules.iter().enumerate().collect();
        in_order.sort_by_key(|(_, rule)| rule.cell);
        for (number, rule) in in_order {
            let stage = states.stage(number);
            let (rows, folder) = status.place_of(rule);
            let place = *numbers.entry(folder.clone()).or_insert(rows.len());
            if place == rows.len() {
                rows.push(Row {
                    name: folder
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    stages: Vec::new(),
                    disk_bytes: disk.below.get(&folder).copied().unwrap_or(0),
                });
            }
            rows[place].stages.push(stage);
        }
        states.not_found.sort();
        status.not_found = states.not_found;
        Ok(status)
    }

    /// The rows that a rule's belongs to, and the folder of its row.
    fn place_of(&mut self, rule: &Rule) -> (&mut Vec<Row>, PathBuf) {
        let below = rule.folder.strip_prefix(&self.run).unwrap_or(&rule.folder);
        let kind = below.components().next().map(|kind| kind.as_os_str().to_owned());
        let folder = self.run.join(below.components().take(2).collect::<PathBuf>());
        match kind.as_deref().and_then(|kind| kind.to_str()) {
            Some("corpus") => (&mut self.training_sets, folder),
            Some("cells") => (&mut self.cells, folder),
            _ => (&mut self.results, rule.folder.clone()),
        }
    }

    /// All rows: training sets, cells, results.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.training_sets.iter().chain(&self.cells).chain(&self.results)
    }

    /// How many cells are in each state.
    pub fn counts(&self) -> HashMap<State, usize> {
        let mut counts = HashMap::new();
        for cell in &self.cells {
            *counts.entry(cell.state()).or_default() += 1;
        }
        counts
    }

    /// Seconds of all stages together, where they left records.
    pub fn seconds(&self) -> f64 {
        let stages = self.rows().flat_map(|row| &row.stages);
        stages.filter_map(|stage| stage.seconds).sum()
    }

    /// The stages that are in a state, each with the name of its row.
    pub fn stages_in(&self, state: State) -> impl Iterator<Item = (&str, &Stage)> {
        self.rows().flat_map(move |row| {
            let stages = row.stages.iter().filter(move |stage| stage.state == state);
            stages.map(|stage| (row.name.as_str(), stage))
        })
    }
}

/// The states of the rules of a run, found out one from the other.
struct States<'a> {
    rules: &'a [Rule],
    run: &'a Path,
    /// Which rule makes a file.
    makers: HashMap<&'a Path, usize>,
    /// What is known so far; a rule that depends on itself counts as still to do.
    known: HashMap<usize, Stage>,
    times: HashMap<&'a Path, Option<SystemTime>>,
    not_found: Vec<PathBuf>,
    now: f64,
}

impl<'a> States<'a> {
    fn of(rules: &'a [Rule], run: &'a Path) -> Self {
        let outputs = |(number, rule): (usize, &'a Rule)| {
            let outputs = rule.files.iter().chain(&rule.folders);
            outputs
                .map(move |output| (output.as_path(), number))
                .collect::<Vec<_>>()
        };
        Self {
            rules,
            run,
            makers: rules.iter().enumerate().flat_map(outputs).collect(),
            known: HashMap::new(),
            times: HashMap::new(),
            not_found: Vec::new(),
            now: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |elapsed| elapsed.as_secs_f64()),
        }
    }

    fn stage(&mut self, number: usize) -> Stage {
        if let Some(stage) = self.known.get(&number) {
            return stage.clone();
        }
        let rule = &self.rules[number];
        self.known.insert(number, stage_without_record(rule, State::ToDo));
        let by_files = self.state_by_files(rule);
        let stage = with_record(stage_without_record(rule, by_files), last_run_of(rule), self.now);
        self.known.insert(number, stage.clone());
        stage
    }

    /// Done, old or to do, as make sees it.
    fn state_by_files(&mut self, rule: &'a Rule) -> State {
        let files: Vec<Option<SystemTime>> = rule.files.iter().map(|file| self.time(file)).collect();
        let mut newest = None;
        let mut are_made = true;
        for path in &rule.prerequisites {
            let time = self.time(path);
            newest = newest.max(time);
            match self.makers.get(path.as_path()).copied() {
                Some(maker) => are_made &= self.stage(maker).state == State::Done,
                None if time.is_none() => {
                    if path.starts_with(self.run) {
                        are_made = false;
                    } else if !self.not_found.contains(path) {
                        self.not_found.push(path.clone());
                    }
                }
                None => {}
            }
        }
        let are_there = files.iter().all(Option::is_some)
            && rule.folders.iter().all(|folder| self.time(folder).is_some());
        // As make compares: of the same age is up to date.
        let oldest = files.iter().min().copied().flatten();
        if !are_there {
            State::ToDo
        } else if are_made && oldest >= newest {
            State::Done
        } else {
            State::Old
        }
    }

    /// When a file or folder was changed; nothing where it is not there.
    fn time(&mut self, path: &'a Path) -> Option<SystemTime> {
        *self
            .times
            .entry(path)
            .or_insert_with(|| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
    }
}

fn stage_without_record(rule: &Rule, state: State) -> Stage {
    let is_of_best = rule.folder.ends_with("best");
    Stage {
        name: if is_of_best { "best" } else { &rule.stage }.to_owned(),
        stage: rule.stage.clone(),
        state,
        seconds: None,
        exit_status: None,
        message: None,
        progress: None,
        host: None,
        pid: None,
    }
}

/// The last run of a rule's stage. Where several processes share the work: that of the whole, unless a part is running or has failed.
fn last_run_of(rule: &Rule) -> Option<LastRun> {
    let whole = last_run(&rule.folder, &rule.stage);
    if matches!(whole, Some(LastRun::Running(_))) {
        return whole;
    }
    let parts = rule.parts.iter().filter_map(|part| last_run(part, &rule.stage));
    let of_parts: Vec<LastRun> = parts.collect();
    let find = |is_it: fn(&LastRun) -> bool| of_parts.iter().find(|run| is_it(run)).cloned();
    find(|run| matches!(run, LastRun::Running(_)))
        .or_else(|| find(|run| matches!(run, LastRun::Failed(_))))
        .or(whole)
}

/// A stage with what the records of its runs say. One that make would leave alone is done, however a later run of it ended.
fn with_record(stage: Stage, last_run: Option<LastRun>, now: f64) -> Stage {
    match (last_run, stage.state) {
        (Some(LastRun::Running(record)), _) => Stage {
            state: State::Running,
            seconds: (record.started > 0).then(|| (now - record.started as f64).max(record.seconds)),
            progress: record.progress,
            host: Some(record.host),
            pid: Some(record.pid),
            ..stage
        },
        (Some(LastRun::Done(record)), State::Done) => Stage {
            seconds: Some(record.seconds),
            ..stage
        },
        (Some(LastRun::Failed(record)), State::Old | State::ToDo) => Stage {
            state: State::Failed,
            seconds: (record.started > 0).then_some(record.seconds),
            exit_status: record.exit_status,
            message: record.message,
            host: Some(record.host).filter(|host| !host.is_empty()),
            ..stage
        },
        _ => stage,
    }
}

/// What a run folder takes on disk.
#[derive(Default)]
struct Disk {
    bytes: u64,
    /// Of the folders one and two levels below it, where rows have theirs.
    below: HashMap<PathBuf, u64>,
}

impl Disk {
    fn of(run: &Path) -> Self {
        let mut disk = Self::default();
        disk.bytes = disk.measure(run, 0);
        disk
    }

    /// What a folder takes, links not followed. What cannot be read counts as nothing.
    fn measure(&mut self, folder: &Path, level: usize) -> u64 {
        let mut bytes = 0;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            // Blocks are of 512 bytes whatever the file system.
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                bytes += self.measure(&entry.path(), level + 1);
            }
        }
        if level == 1 || level == 2 {
            self.below.insert(folder.to_path_buf(), bytes);
        }
        bytes
    }
}
