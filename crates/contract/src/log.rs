//! The log on standard error as a person reads it: a message alone where it informs, its level
//! before a warning or an error, and where in the program it comes from only at the levels that are
//! for programmers.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::Error;

/// The crates whose information is shown; of all others only warnings are.
const TALKING: &str = "warn,contract=info,dupgen=info,causal_lm=info,model_folder=info,tuner=info,extractor=info,plagiarism=info,\
                       report=info,plan=info";

/// Sets the log up, at the level of `RUST_LOG` where that is given.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(TALKING));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is no reason to stop, and there is nowhere to say so.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(PlainLines)
        .try_init();
    // A second call, or a log that the caller set up himself, is no reason to stop.
    drop(started);
}

/// Writes a line to standard error, however high the level of the log. Where that cannot be
/// written, as on a full disk, the line is lost.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
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
