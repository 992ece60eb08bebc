//! Progress on standard error: a bar on a terminal, a line of the log every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is logged where standard error is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Progress of one piece of work with a known number of steps.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    label: String,
    unit: &'static str,
    terminal: bool,
    logged: Instant,
}

impl Progress {
    /// Begins `total` steps of `unit` (plural, as a person reads it: "documents"), under a short `label`.
    pub fn new(label: impl Into<String>, total: u64, unit: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let label = label.into();
        let bar = if terminal {
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        bar.set_length(total);
        let template = format!("{{prefix}} {{bar:32}} {{pos}}/{{len}} {unit}, {{eta}} left  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_prefix(label.clone());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self {
            bar,
            label,
            unit,
            terminal,
            logged: Instant::now(),
        }
    }

    /// Adds `steps` done, with a remark that stands beside the count (empty for none).
    pub fn advance(&mut self, steps: u64, remark: &str) {
        self.bar.inc(steps);
        if self.terminal {
            self.bar.set_message(remark.to_owned());
        } else if self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            tracing::info!("{}: {done}/{total} {} {remark}", self.label, self.unit);
        }
    }

    /// Sets the steps done so far, for work that resumes in the middle.
    pub fn set_position(&self, steps: u64) {
        self.bar.set_position(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
