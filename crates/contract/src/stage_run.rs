//! Records that a stage leaves in its output folder: that it is running, that it is done, or why it
//! failed. A run folder thereby says by itself how far it is, and a second run of a stage in the
//! same folder is refused by name.
//!
//! | file | written | holds |
//! |---|---|---|
//! | `.running-STAGE` | when the stage starts, and every few seconds | process, host, since when, progress; locked while the stage lives |
//! | `.done-STAGE` | when it succeeds | how long it took, its peak memory |
//! | `.failed-STAGE` | when it fails | exit status and message |
//! | `.exit-STAGE` | by the rules of a run, for every program that fails | exit status alone: all that another program leaves |
//!
//! A running record whose process is gone is that of a stage that was killed. The lock tells: the
//! system releases it with the process. Where a file system has no locks, the process itself is
//! looked for; on another machine a record counts while it is still written.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::status_and_message;
use crate::{Error, files, progress};

/// How often a running stage writes its record anew.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// For how long after a heartbeat a stage on another machine is taken to be running.
const FRESH: Duration = Duration::from_secs(30);

/// For how long a lock may be held by somebody who only looks whether it is.
const MAX_PROBE: Duration = Duration::from_millis(200);

/// How far apart the record of a failed stage and that of its exit status are at most.
const EXIT_DELAY: Duration = Duration::from_secs(5);

/// Exit status of a program that panicked.
const PANICKED: u8 = 101;

const RUNNING: &str = ".running-";
const DONE: &str = ".done-";
const FAILED: &str = ".failed-";
const EXIT: &str = ".exit-";

/// The run of this process, for the handler of Ctrl-C.
static CURRENT: Mutex<Option<Arc<Recorder>>> = Mutex::new(None);

/// What a stage says of one run of itself. What a record lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The stage's name.
    pub stage: String,
    /// Name of the machine.
    pub host: String,
    /// Number of the process.
    pub pid: u32,
    /// The machine's start and the process's, which distinguish a process from a later one of the
    /// same number.
    process: String,
    /// Seconds since 1970 (UTC) at which it started.
    pub started: u64,
    /// Seconds that it took, or has taken so far, whatever the machine's clock did.
    pub seconds: f64,
    /// Time that processors worked for it, in seconds, of all threads together; of a run that was
    /// resumed, that of its last process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Largest memory of the process, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Exit status of a run that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far it is: `training: 24/147 steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
}

/// What the records of a stage in a folder say of its last run.
#[derive(Debug, Clone, PartialEq)]
pub enum LastRun {
    /// It is under way.
    Running(Record),
    /// It succeeded.
    Done(Record),
    /// It failed, or ended without a message.
    Failed(Record),
}

/// Whether a file name is that of a record.
pub fn is_record(name: &str) -> bool {
    [RUNNING, DONE, FAILED, EXIT]
        .iter()
        .any(|kind| name.starts_with(kind))
}

/// Does the work of a stage and records it in the stage's output folder, which is made where there
/// is none.
///
/// # Errors
/// [`Error::Run`] where the same stage is running in the folder already, [`Error::Output`] where
/// the folder cannot be written, and those of the work.
pub fn recorded<T, E: Into<anyhow::Error>>(
    stage: &'static str,
    out: &Path,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, anyhow::Error> {
    let run = StageRun::start(stage, out)?;
    let result = work().map_err(Into::into);
    run.end(result.as_ref().err());
    result
}

/// Records that this process was stopped, with its exit status; for the handler of signals.
pub(crate) fn stopped(status: i32, message: &str) {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(recorder) = current {
        recorder.fail(u8::try_from(status).unwrap_or(1), message);
    }
}

/// What is known of the last run of a stage in a folder; nothing where no record of it is there.
pub fn last_run(folder: &Path, stage: &str) -> Option<LastRun> {
    let running = folder.join(format!("{RUNNING}{stage}"));
    let left_running = read(&running);
    if let Some(record) = &left_running
        && is_alive(&running, record)
    {
        return Some(LastRun::Running(record.clone()));
    }
    let exit = exit_status(&folder.join(format!("{EXIT}{stage}")));
    if let Some(record) = left_running {
        return Some(LastRun::Failed(ended_without_a_message(record, exit)));
    }
    let failed = folder.join(format!("{FAILED}{stage}"));
    match (read(&failed), exit) {
        (Some(record), exit) if exit.is_none_or(|exit| is_exit_of(&failed, &record, exit)) => {
            Some(LastRun::Failed(record))
        }
        (_, Some((status, _))) => Some(LastRun::Failed(Record {
            stage: stage.to_owned(),
            exit_status: Some(status),
            message: Some(describe_status(status)),
            ..Record::default()
        })),
        (_, None) => read(&folder.join(format!("{DONE}{stage}"))).map(LastRun::Done),
    }
}

/// The record of a stage whose process is gone, as one that failed.
fn ended_without_a_message(record: Record, exit: Option<(i32, SystemTime)>) -> Record {
    let mut message = "it ended without a message: it was killed, or the machine went down".to_owned();
    if let Some(progress) = &record.progress {
        message = format!("{message}, at {progress}");
    }
    Record {
        exit_status: exit.map(|(status, _)| status),
        message: Some(message),
        ..record
    }
}

/// Whether an exit status was left by the run that left this record.
fn is_exit_of(failed: &Path, record: &Record, (status, left): (i32, SystemTime)) -> bool {
    let recorded = fs::metadata(failed).and_then(|metadata| metadata.modified());
    record.exit_status == Some(status)
        && recorded.is_ok_and(|recorded| distance(recorded, left) <= EXIT_DELAY)
}

/// What an exit status alone says.
fn describe_status(status: i32) -> String {
    match status {
        126 => "the program cannot be run".to_owned(),
        127 => "there is no such program".to_owned(),
        129.. => format!("it was ended by signal {}", status - 128),
        _ => "it left no message here; what it printed says more".to_owned(),
    }
}

/// An exit status that the rules of a run left, and when.
fn exit_status(path: &Path) -> Option<(i32, SystemTime)> {
    let status = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let left = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    Some((status, left))
}

/// A record; an unreadable one is as good as none, but for a running one, which may be under way
/// all the same.
fn read(path: &Path) -> Option<Record> {
    let text = fs::read_to_string(path).ok()?;
    Some(toml::from_str(&text).unwrap_or_default())
}

/// Whether the process of a running record lives.
fn is_alive(path: &Path, record: &Record) -> bool {
    let lock = File::open(path).map(|file| file.try_lock_shared());
    match lock {
        Ok(Err(TryLockError::WouldBlock)) => true,
        Ok(Ok(())) => record.is_of_another_machine() && is_fresh(path),
        // No locks here, or no right to them.
        Ok(Err(TryLockError::Error(_))) | Err(_) if record.is_of_another_machine() => is_fresh(path),
        Ok(Err(TryLockError::Error(_))) | Err(_) => {
            !record.process.is_empty() && process(record.pid) == Some(record.process.clone())
        }
    }
}

impl Record {
    /// That of this process, starting now.
    fn of_this_process(stage: &str) -> Self {
        let pid = std::process::id();
        Self {
            stage: stage.to_owned(),
            host: host(),
            pid,
            process: process(pid).unwrap_or_default(),
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            ..Self::default()
        }
    }

    fn is_of_another_machine(&self) -> bool {
        let machine = |process: &str| process.split(':').next().map(str::to_owned);
        !self.process.is_empty()
            && machine(&self.process) != process(std::process::id()).as_deref().and_then(machine)
    }
}

/// `process 4711 on host since 2026-11-29 08:12:03 UTC`
impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if self.pid == 0 {
            return write!(formatter, "another process");
        }
        let since = utc(self.started);
        write!(formatter, "process {} on {} since {since}", self.pid, self.host)
    }
}

/// One run of a stage, under way.
struct StageRun {
    recorder: Arc<Recorder>,
    heartbeat: Option<(Sender<()>, JoinHandle<()>)>,
    has_ended: bool,
}

/// Writes the records of one run.
#[derive(Debug)]
struct Recorder {
    folder: PathBuf,
    stage: &'static str,
    /// The running record, locked.
    running: File,
    record: Record,
    began: Instant,
    /// Files that this process had finished before.
    finished_before: u64,
    /// Whether the folder was made for this run.
    is_new_folder: bool,
}

impl StageRun {
    fn start(stage: &'static str, out: &Path) -> Result<Self, Error> {
        let is_new_folder = !out.exists();
        fs::create_dir_all(out).map_err(|error| Error::output(out, error))?;
        let recorder = Recorder {
            folder: out.to_path_buf(),
            stage,
            running: take_over(stage, out)?,
            record: Record::of_this_process(stage),
            began: Instant::now(),
            finished_before: files::finished(),
            is_new_folder,
        };
        if let Err(error) = recorder.write_running() {
            recorder.remove(&[RUNNING]);
            return Err(Error::output(recorder.path(RUNNING), error));
        }
        recorder.remove(&[FAILED, EXIT]);
        for kind in [DONE, FAILED] {
            // One that a killed run left half-written.
            drop(fs::remove_file(recorder.partial(kind)));
        }
        let recorder = Arc::new(recorder);
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&recorder));
        Ok(Self {
            heartbeat: start_heartbeat(Arc::clone(&recorder)),
            recorder,
            has_ended: false,
        })
    }

    /// Records how it ended.
    fn end(mut self, failure: Option<&anyhow::Error>) {
        self.stop();
        match failure {
            None => self.recorder.succeed(),
            Some(failure) => {
                let (status, message) = status_and_message(failure);
                self.recorder.fail(status, &message);
            }
        }
    }

    /// Stops what else writes records of this run.
    fn stop(&mut self) {
        self.has_ended = true;
        CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((channel, thread)) = self.heartbeat.take() {
            drop(channel);
            // Without the thread nothing is written any more, which is what is wanted.
            drop(thread.join());
        }
    }
}

/// A panic leaves a record too.
impl Drop for StageRun {
    fn drop(&mut self) {
        if !self.has_ended {
            self.stop();
            self.recorder.fail(
                PANICKED,
                "it panicked, which is a fault of the program; what it printed says where",
            );
        }
    }
}

/// Starts the thread that writes the record anew; without one, where the system gives none, the
/// record stays as it is.
fn start_heartbeat(recorder: Arc<Recorder>) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (channel, closed) = channel::<()>();
    let beat = move || {
        while closed.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            // A record that cannot be written is no failure of the work.
            drop(recorder.write_running());
        }
    };
    let thread = std::thread::Builder::new()
        .name("stage record".to_owned())
        .spawn(beat);
    thread.ok().map(|thread| (channel, thread))
}

impl Recorder {
    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{kind}{}", self.stage))
    }

    /// Where a record is written before it has its name.
    fn partial(&self, kind: &str) -> PathBuf {
        self.path(kind).with_added_extension("partial")
    }

    /// In place, for the lock is on the file: over what was there, blanks over what is left of it.
    fn write_running(&self) -> io::Result<()> {
        let record = Record {
            progress: progress::under_way(),
            ..self.record_so_far()
        };
        let mut text = toml::to_string(&record).map_err(io::Error::other)?;
        let before = usize::try_from(self.running.metadata()?.len()).unwrap_or(0);
        text.extend(std::iter::repeat_n('\n', before.saturating_sub(text.len())));
        self.running.write_all_at(text.as_bytes(), 0)
    }

    fn record_so_far(&self) -> Record {
        Record {
            seconds: self.began.elapsed().as_secs_f64(),
            ..self.record.clone()
        }
    }

    /// A run that made nothing, since all was up to date, leaves what is known of the one that did.
    fn succeed(&self) {
        let made_nothing = files::finished() == self.finished_before;
        if !(made_nothing && self.path(DONE).exists()) {
            let record = Record {
                cpu_seconds: cpu_seconds(),
                peak_memory_bytes: peak_memory(),
                ..self.record_so_far()
            };
            self.write(DONE, &record);
        }
        self.remove(&[FAILED, EXIT, RUNNING]);
    }

    /// A run that failed before it made anything, in a folder that there was not, leaves none.
    fn fail(&self, status: u8, message: &str) {
        if self.is_new_folder {
            self.remove(&[RUNNING]);
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
        }
        let record = Record {
            cpu_seconds: cpu_seconds(),
            peak_memory_bytes: peak_memory(),
            exit_status: Some(i32::from(status)),
            message: Some(message.to_owned()),
            ..self.record_so_far()
        };
        self.write(FAILED, &record);
        self.remove(&[DONE, RUNNING]);
    }

    /// Whole or not at all. Not synced: what is lost with the machine is a message, and make looks
    /// at none of it.
    fn write(&self, kind: &str, record: &Record) {
        let path = self.path(kind);
        let partial = self.partial(kind);
        let written = toml::to_string(record)
            .map_err(io::Error::other)
            .and_then(|text| fs::write(&partial, text))
            .and_then(|()| fs::rename(&partial, &path));
        if let Err(error) = written {
            drop(fs::remove_file(&partial));
            tracing::warn!(
                "cannot write {}: {error}; make status will not show how this ended",
                path.display()
            );
        }
    }

    /// Removes records that hold no longer; one that stays is outdated by its time.
    fn remove(&self, kinds: &[&str]) {
        for kind in kinds {
            drop(fs::remove_file(self.path(kind)));
        }
    }
}

/// Opens the running record of a stage in a folder and locks it.
///
/// # Errors
/// [`Error::Run`] where somebody has it who lives, [`Error::Output`] where it cannot be written.
fn take_over(stage: &str, folder: &Path) -> Result<File, Error> {
    let path = folder.join(format!("{RUNNING}{stage}"));
    let failed = |error| Error::output(&path, error);
    let began = Instant::now();
    loop {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let record = read(&path).unwrap_or_default();
        match file.try_lock() {
            // Whoever had it may have ended meanwhile, and taken the file away.
            Ok(()) if !is_at(&file, &path).map_err(failed)? => {}
            Ok(()) if record.is_of_another_machine() && is_fresh(&path) && is_written(&path) => {
                return Err(refused(stage, folder, &record));
            }
            Err(TryLockError::WouldBlock) if began.elapsed() < MAX_PROBE => {
                std::thread::sleep(MAX_PROBE / 10);
            }
            Err(TryLockError::WouldBlock) => return Err(refused(stage, folder, &record)),
            Err(TryLockError::Error(_)) if is_alive(&path, &record) => {
                return Err(refused(stage, folder, &record));
            }
            // Free, or on a file system without locks.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

fn refused(stage: &str, folder: &Path, record: &Record) -> Error {
    Error::Run(format!(
        "{}: {stage} is running in this folder already ({record}), and two would write the same files. Wait for it or stop it, or \
         write to another folder",
        folder.display()
    ))
}

/// Whether an open file is the one that has this name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a record was written within the last seconds, by the machine's clock.
fn is_fresh(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| distance(written, SystemTime::now()) <= FRESH)
}

/// Waits to see whether somebody writes a record. Locks may not reach from one machine to another,
/// and clocks may differ.
fn is_written(path: &Path) -> bool {
    let modified = || fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let (before, began) = (modified(), Instant::now());
    while began.elapsed() < 2 * HEARTBEAT {
        std::thread::sleep(Duration::from_millis(100));
        if modified() != before {
            return true;
        }
    }
    false
}

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other)
        .unwrap_or_else(|earlier| earlier.duration())
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME").map_err(io::Error::other));
    name.map_or_else(|_| "this machine".to_owned(), |name| name.trim().to_owned())
}

/// The start of the machine and that of a process; nothing where there is none, or it is not known.
fn process(pid: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything. Behind it come its state and, as the
    // 20th, its start.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let has_ended = matches!(fields.first(), Some(&("Z" | "X")));
    let started = fields.get(19).filter(|_| !has_ended)?;
    Some(format!("{}:{started}", boot.trim()))
}

/// Ticks of the clock that Linux tells programs the time of processes in, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of this process, as the system's clock of processes has it.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold anything. Behind it, utime and stime are the
    // 12th and 13th, in ticks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND)
}

fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `2026-11-29 08:12:03 UTC`
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days from 1 March of the year 0, in eras of 400 years (Hinnant, "chrono-compatible low-level
    // date algorithms").
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `date -u -d @SECONDS`.
    #[test]
    fn times_are_told_as_date_tells_them() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_795_939_923, "2026-11-29 08:12:03 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    /// A number that another process had before is not the process of the record.
    #[test]
    fn a_process_is_told_from_a_later_one_of_the_same_number() {
        let own = process(std::process::id()).unwrap();
        assert_eq!(process(std::process::id()), Some(own.clone()));
        // The kernel counts the start of a process in hundredths of a second.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_ne!(process(child.id()), Some(own));
        assert!(process(child.id()).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process(child.id()), None);
    }
}
