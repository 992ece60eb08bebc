//! Progress on standard error: a bar on a terminal, elsewhere a line of the log after two seconds
//! and then every ten.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::log;

/// The variable of the environment that says which of how many cells a stage works on, such as
/// "cell 2 of 4". The rules of a run set it; it distinguishes what does several things at once.
pub const CELL_VARIABLE: &str = "TUNELEAK_CELL";

/// After how long the first line is logged where standard error is no terminal.
const FIRST_LINE: Duration = Duration::from_secs(2);

/// How long after a line the next one is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The work that is under way in this process, the latest last.
static UNDER_WAY: Mutex<Vec<Arc<Work>>> = Mutex::new(Vec::new());

/// Progress of one piece of work.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    work: Arc<Work>,
    /// Steps that were done before, in work that resumes: they say nothing of how long the rest
    /// takes.
    done_before: Arc<AtomicU64>,
    log: Option<Log>,
}

/// A piece of work as others see it.
#[derive(Debug)]
struct Work {
    label: String,
    /// What is counted, in the plural; nothing for work without steps.
    unit: Option<&'static str>,
    bar: ProgressBar,
}

/// How far this process is with what it began last: `training: 24/147 steps, loss 4.280`. Nothing
/// between pieces of work.
pub(crate) fn under_way() -> Option<String> {
    let under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    let Work { label, unit, bar } = &**under_way.last()?;
    match unit {
        Some(unit) => {
            let count = format!("{}/{} {unit}", bar.position(), bar.length().unwrap_or(0));
            Some(line(label, &count, &bar.message(), None))
        }
        None => Some(label.clone()),
    }
}

/// A thread that logs how far the work is, until its channel closes.
#[derive(Debug)]
struct Log {
    channel: Sender<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Begins `total` steps of `unit` (plural, as a person reads it: "documents"), under a short
    /// `label`.
    pub fn new(label: impl Into<String>, total: u64, unit: &'static str) -> Self {
        let template = format!("{{prefix}} {{bar:32}} {{pos}}/{{len}} {unit}, {{eta}} left  {{msg}}");
        Self::start(label.into(), Some(total), unit, &template)
    }

    /// Begins work that has no countable steps; it ends when this is dropped.
    pub fn of_task(label: impl Into<String>) -> Self {
        Self::start(label.into(), None, "", "{prefix} {spinner} {elapsed}  {msg}")
    }

    fn start(label: String, total: Option<u64>, unit: &'static str, template: &str) -> Self {
        let own_label = label.clone();
        let label = match std::env::var(CELL_VARIABLE) {
            Ok(cell) if !cell.is_empty() => format!("{cell}, {label}"),
            _ => label,
        };
        let terminal = std::io::stderr().is_terminal() && !log::is_json();
        let bar = match (terminal, total) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(total)) => ProgressBar::new(total),
            (true, None) => ProgressBar::new_spinner(),
        };
        if let Some(total) = total {
            bar.set_length(total);
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(label.clone());
        let done_before = Arc::new(AtomicU64::new(0));
        let log = if terminal {
            bar.enable_steady_tick(Duration::from_millis(250));
            None
        } else {
            Log::start(
                label,
                unit,
                bar.clone(),
                total.is_some(),
                Arc::clone(&done_before),
            )
        };
        let work = Arc::new(Work {
            label: own_label,
            unit: total.map(|_| unit),
            bar: bar.clone(),
        });
        UNDER_WAY
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&work));
        Self {
            bar,
            work,
            done_before,
            log,
        }
    }

    /// Adds `steps` done, with a remark beside the count (empty for none).
    pub fn advance(&mut self, steps: u64, remark: &str) {
        self.bar.inc(steps);
        self.bar.set_message(remark.to_owned());
    }

    /// Sets the steps done so far, for work that resumes in the middle.
    pub fn set_position(&mut self, steps: u64) {
        self.bar.set_position(steps);
        self.done_before.store(steps, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        UNDER_WAY
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|work| !Arc::ptr_eq(work, &self.work));
        if let Some(Log { channel, thread }) = self.log.take() {
            drop(channel);
            // A line less is no failure of the work.
            drop(thread.join());
        }
        self.bar.finish_and_clear();
    }
}

impl Log {
    /// Starts the thread; without one, where the system gives none, nothing is logged.
    fn start(
        label: String,
        unit: &'static str,
        bar: ProgressBar,
        counted: bool,
        done_before: Arc<AtomicU64>,
    ) -> Option<Self> {
        let (channel, closed) = channel::<()>();
        let started = Instant::now();
        // The log of the thread that works, which in a test is its own.
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let work = move || {
            let _log = tracing::dispatcher::set_default(&dispatch);
            let mut wait = FIRST_LINE;
            while closed.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = LOG_EVERY;
                let (elapsed, remark) = (started.elapsed(), bar.message());
                let (count, left) = if counted {
                    let (done, total) = (bar.position(), bar.length().unwrap_or(0));
                    let now = done.saturating_sub(done_before.load(Ordering::Relaxed));
                    let left = time_left(elapsed, now, total.saturating_sub(done));
                    (format!("{done}/{total} {unit}"), left)
                } else {
                    (format!("{} so far", duration(elapsed)), None)
                };
                tracing::info!("{}", line(&label, &count, &remark, left));
            }
        };
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(work);
        thread.ok().map(|thread| Self { channel, thread })
    }
}

/// How long `left` further steps take when `done` took `elapsed`; nothing before the first.
fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    (done > 0).then(|| elapsed.mul_f64(left as f64 / done as f64))
}

/// `training: 24/147 steps, loss 4.280, 40 s left`
fn line(label: &str, count: &str, remark: &str, left: Option<Duration>) -> String {
    let mut line = format!("{label}: {count}");
    if !remark.is_empty() {
        line.push_str(", ");
        line.push_str(remark);
    }
    if let Some(left) = left {
        line.push_str(", ");
        line.push_str(&duration(left));
        line.push_str(" left");
    }
    line
}

/// A length of time in the one unit that a person would use.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        seconds if seconds < 100.0 => format!("{seconds:.0} s"),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_count_remark_and_time_left() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (remark, left, expected) in [
            (
                "loss 4.280, 9509 tokens/s",
                seconds(40),
                "training: 24/147 steps, loss 4.280, 9509 tokens/s, 40 s left",
            ),
            ("", seconds(600), "training: 24/147 steps, 10 min left"),
            ("", seconds(7200), "training: 24/147 steps, 2.0 h left"),
            ("", None, "training: 24/147 steps"),
        ] {
            assert_eq!(line("training", "24/147 steps", remark, left), expected);
        }
    }

    #[test]
    fn time_left_is_that_of_the_rest_at_the_speed_so_far() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(time_left(elapsed, 5, 15), Some(Duration::from_secs(30)));
        assert_eq!(time_left(elapsed, 5, 0), Some(Duration::ZERO));
        assert_eq!(time_left(elapsed, 0, 15), None);
    }
}
