//! What a person reads on standard error.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::Progress;
use contract::log::PlainLines;
use tracing::Level;

/// A log that is kept in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    /// What is logged meanwhile, with or without colours.
    fn of(colours: bool, work: impl FnOnce()) -> String {
        let kept = Self::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(move || writer.clone())
            .with_ansi(colours)
            .event_format(PlainLines)
            .finish();
        tracing::subscriber::with_default(log, work);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn lines_begin_with_their_level_and_name_the_program_only_for_programmers() {
    let said = Kept::of(false, || {
        tracing::info!("asking the model");
        tracing::warn!("{} documents are cut", 3);
        tracing::error!("no space left");
        tracing::debug!(target: "plagiarism::clock", "indexing: 0.1 s");
    });
    assert_eq!(
        said,
        "asking the model\nwarning: 3 documents are cut\nerror: no space left\ndebug plagiarism::clock: indexing: 0.1 s\n"
    );
}

#[test]
fn colours_are_for_terminals() {
    let said = Kept::of(true, || tracing::warn!("slow"));
    assert!(said.contains("\x1b[1;33mwarning\x1b[0m: slow"), "{said:?}");
}

/// Nothing goes on for long without a word, also where no step ends.
#[test]
fn progress_is_logged_after_two_seconds() {
    if std::io::stderr().is_terminal() {
        // There it is a bar.
        return;
    }
    let said = Kept::of(false, || {
        let mut counted = Progress::new("training", 10, "steps");
        counted.set_position(4);
        counted.advance(2, "loss 4.280");
        let whole = Progress::of_task("indexing");
        let short = Progress::of_task("reading");
        drop(short);
        std::thread::sleep(Duration::from_millis(2400));
        drop((counted, whole));
    });
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    // Two of six steps took two seconds: the other four take four.
    assert_eq!(
        lines,
        [
            "indexing: 2 s so far",
            "training: 6/10 steps, loss 4.280, 4 s left"
        ]
    );
}

/// On a full disk nothing can be told; what was to be done is done all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    const CHILD: &str = "CONTRACT_TEST_FULL_LOG";
    if std::env::var_os(CHILD).is_some() {
        contract::arguments::start_program();
        tracing::warn!("nobody reads this");
        contract::log::say("nor this");
        let failed = anyhow::anyhow!("nor why it failed");
        assert_eq!(
            contract::error::exit_code(Err(failed)),
            std::process::ExitCode::from(1)
        );
        return;
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "log::a_log_that_cannot_be_written_stops_nothing",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert!(ended.success(), "{ended}");
}
