//! The log on standard error. As a person reads it: a message alone where it informs, its level
//! before a warning or an error, and where in the program it comes from only at the levels that are
//! for programmers. Or as programs do: a JSON object on a line.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use serde_json::json;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::Error;

/// The crates whose information is shown; of all others only warnings are.
const TALKING: &str = "warn,contract=info,dupgen=info,causal_lm=info,model_folder=info,tuner=info,extractor=info,plagiarism=info,\
                       report=info,plan=info";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for a person.
    Plain,
    /// A JSON object on each line, with `timestamp`, `level`, `message` and `target`.
    Json,
}

impl Format {
    /// The names of the formats on a command line.
    pub(crate) const NAMES: [&str; 2] = ["plain", "json"];

    /// The format of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The format that the program began with.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// Whether the log is for a program.
pub(crate) fn is_json() -> bool {
    FORMAT.get() == Some(&Format::Json)
}

/// Sets the log up, at the level of `RUST_LOG` where that is given.
pub(crate) fn start(format: Format) {
    let format = *FORMAT.get_or_init(|| format);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(TALKING));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is no reason to stop, and there is nowhere to say so.
        .log_internal_errors(false);
    let started = match format {
        Format::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
        Format::Plain => log
            .with_ansi(std::io::stderr().is_terminal())
            .event_format(PlainLines)
            .try_init(),
    };
    // A second call, or a log that the caller set up himself, is no reason to stop.
    drop(started);
}

/// Writes a line to standard error, however high the level of the log. Where that cannot be
/// written, as on a full disk, the line is lost.
pub fn say(line: impl fmt::Display) {
    let mut output = std::io::stderr().lock();
    let _ = if is_json() {
        writeln!(output, "{}", json_line(&line.to_string()))
    } else {
        writeln!(output, "{line}")
    };
}

/// What is said as the log would write it, an error or a warning where it begins with that word.
fn json_line(text: &str) -> serde_json::Value {
    let mut timestamp = String::new();
    // A time that cannot be written is left empty.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let (level, message) = match text.split_once(": ") {
        Some(("error", message)) => ("ERROR", message),
        Some(("warning", message)) => ("WARN", message),
        _ => ("INFO", text),
    };
    json!({ "timestamp": timestamp, "level": level, "message": message, "target": "contract::log" })
}

/// Writes a text to standard output. Whoever reads it may stop before its end, as `head` does.
///
/// # Errors
/// [`Error::Output`] where it cannot be written for another reason, such as a full disk.
pub fn print(text: impl fmt::Display) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::output("standard output", error)),
        _ => Ok(()),
    }
}

/// One line for each event: `training: 24/147 steps`, `warning: …`, `error: …`,
/// `debug plagiarism::clock: …`.
#[derive(Debug, Clone, Copy)]
pub struct PlainLines;

impl<S, N> FormatEvent<S, N> for PlainLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let target = event.metadata().target();
        match *event.metadata().level() {
            Level::INFO => {}
            Level::WARN => write_level(&mut writer, "warning", "33")?,
            Level::ERROR => write_level(&mut writer, "error", "31")?,
            Level::DEBUG => write!(writer, "debug {target}: ")?,
            Level::TRACE => write!(writer, "trace {target}: ")?,
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// `warning: `, in a colour where the terminal has any.
fn write_level(writer: &mut Writer<'_>, level: &str, colour: &str) -> fmt::Result {
    if writer.has_ansi_escapes() {
        write!(writer, "\x1b[1;{colour}m{level}\x1b[0m: ")
    } else {
        write!(writer, "{level}: ")
    }
}
