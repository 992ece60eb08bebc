//! Times of files that are ahead of the clock, as after a clock that was wrong was set right, or on a disk from another machine.
//!
//! make compares times. A result that is dated tomorrow is newer than settings that are changed today, and would not be made again. So
//! files of a run that are ahead of the clock are dated back to the present, in their order, before any setting is written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The most that two files that follow one another are dated apart.
const STEP: Duration = Duration::from_millis(1);

/// Dates everything below a run folder that is ahead of the clock between the latest of the rest and now, in order; equal times stay equal.
/// A file whose time cannot be set keeps it: it cannot be written either, and whoever tries says so.
pub(crate) fn bring_to_present(run: &Path) {
    let now = SystemTime::now();
    let mut times = Vec::new();
    list(run, &mut times);
    let (mut ahead, present): (Vec<_>, Vec<_>) = times.into_iter().partition(|(time, _)| *time > now);
    if ahead.is_empty() {
        return;
    }
    ahead.sort();
    let by = ahead.last().and_then(|(time, _)| time.duration_since(now).ok());
    tracing::warn!(
        "{}: {} files and folders have times ahead of this machine's clock, the latest by {:.0} s: dated back in their order",
        run.display(),
        ahead.len(),
        by.unwrap_or_default().as_secs_f64()
    );
    let latest = present.iter().map(|(time, _)| *time).max();
    let room = latest.and_then(|latest| now.duration_since(latest).ok());
    let count = u32::try_from(ahead.len()).unwrap_or(u32::MAX);
    let step = room.map_or(STEP, |room| (room / count.saturating_add(1)).min(STEP));
    let mut dated = now;
    let mut later: Option<SystemTime> = None;
    for (time, path) in ahead.iter().rev() {
        if later.is_some_and(|later| later != *time) {
            dated -= step;
        }
        later = Some(*time);
        let set = File::open(path).and_then(|file| file.set_modified(dated));
        if let Err(error) = set {
            tracing::warn!("{}: its time cannot be set: {error}", path.display());
        }
    }
}

/// Files and folders below a folder with their times; links are not followed, and what cannot be looked at is left out.
fn list(folder: &Path, times: &mut Vec<(SystemTime, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_symlink() {
            continue;
        }
        if metadata.is_dir() {
            list(&entry.path(), times);
        }
        if let Ok(time) = metadata.modified() {
            times.push((time, entry.path()));
        }
    }
}
