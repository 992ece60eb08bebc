//! What a stage leaves of its runs, who may start beside whom, and how those end that cannot say so
//! themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use contract::files::write_atomic;
use contract::stage_run::{LastRun, Record, is_record, last_run, recorded};
use contract::{Error, Progress};

use crate::{assert_tells, names_in};

/// Tells a copy of this program, started for one test, in which folder it is to run.
const CHILD_FOLDER: &str = "CONTRACT_TEST_STAGE_RUN_FOLDER";

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands for the work of a stage, which may fail"
)]
fn nothing() -> Result<(), Error> {
    Ok(())
}

/// Work that makes a file.
fn make(folder: &Path) -> Result<(), Error> {
    write_atomic(&folder.join("metrics.parquet"), b"made")
}

fn failing() -> Result<(), Error> {
    Err(Error::input("train.parquet", "row 3 has no text"))
}

#[track_caller]
fn failed(folder: &Path) -> Record {
    match last_run(folder, "tuner") {
        Some(LastRun::Failed(record)) => record,
        other => panic!("expected a failed run, found {other:?}"),
    }
}

#[track_caller]
fn done(folder: &Path) -> Record {
    match last_run(folder, "tuner") {
        Some(LastRun::Done(record)) => record,
        other => panic!("expected a run that is done, found {other:?}"),
    }
}

#[test]
fn a_run_leaves_how_it_ended_and_the_next_one_replaces_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("tuner.toml"), "").unwrap();
    assert_eq!(last_run(folder, "tuner"), None);

    let error = recorded("tuner", folder, failing).unwrap_err();
    assert_eq!(error.to_string(), "train.parquet: row 3 has no text");
    let record = failed(folder);
    assert_eq!(
        (record.stage.as_str(), record.exit_status, record.pid),
        ("tuner", Some(3), std::process::id())
    );
    assert_eq!(
        record.message.as_deref(),
        Some("train.parquet: row 3 has no text")
    );
    assert_eq!(names_in(folder), [".failed-tuner", "tuner.toml"]);

    recorded("tuner", folder, || {
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 100 {}
        make(folder)
    })
    .unwrap();
    let record = done(folder);
    assert_eq!((record.exit_status, record.message), (None, None));
    // A busy machine may have given it a part of that time alone.
    assert!(record.cpu_seconds.unwrap() >= 0.01, "{:?}", record.cpu_seconds);
    assert!(
        record.peak_memory_bytes.unwrap() > 1_000_000,
        "{:?}",
        record.peak_memory_bytes
    );
    assert_eq!(names_in(folder), [".done-tuner", "metrics.parquet", "tuner.toml"]);

    recorded("tuner", folder, failing).unwrap_err();
    failed(folder);
    assert_eq!(
        last_run(folder, "extractor"),
        None,
        "of another stage nothing is known"
    );
}

#[test]
fn a_run_that_made_nothing_leaves_the_time_of_the_one_that_did() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("cell");
    recorded("tuner", &folder, || {
        std::thread::sleep(Duration::from_millis(30));
        make(&folder)
    })
    .unwrap();
    let first = done(&folder);
    assert!(first.seconds >= 0.03, "{}", first.seconds);
    let record = fs::read(folder.join(".done-tuner")).unwrap();
    // Other tests of this process make files meanwhile, after which a run cannot know that it made
    // none.
    for _ in 0..50 {
        recorded("tuner", &folder, nothing).unwrap();
        if fs::read(folder.join(".done-tuner")).unwrap() == record {
            return;
        }
        fs::write(folder.join(".done-tuner"), &record).unwrap();
    }
    panic!("the record was written anew each time");
}

#[test]
fn a_run_that_failed_at_once_leaves_no_new_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new");
    recorded("tuner", &folder, failing).unwrap_err();
    assert!(names_in(place.path()).is_empty());

    // But what it made stays, and so does the reason.
    recorded("tuner", &folder, || make(&folder).and_then(|()| failing())).unwrap_err();
    assert_eq!(names_in(&folder), [".failed-tuner", "metrics.parquet"]);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_work() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let error = recorded("tuner", &file.join("cell"), || -> Result<(), Error> {
        panic!("it began")
    })
    .unwrap_err();
    let error = error.downcast::<Error>().unwrap();
    assert_eq!(error.exit_status(), 1);
    assert_tells(&error.to_string(), &["cannot write", file.to_str().unwrap()]);
}

#[test]
fn the_same_stage_is_refused_beside_itself_and_another_is_not() {
    let place = tempfile::tempdir().unwrap();
    let (folder, other) = (place.path().join("cell"), place.path().join("other"));
    recorded("tuner", &folder, || {
        assert!(matches!(last_run(&folder, "tuner"), Some(LastRun::Running(_))));
        let error = recorded("tuner", &folder, nothing).unwrap_err();
        let error = error.downcast::<Error>().unwrap();
        assert_eq!(error.exit_status(), 1);
        let own = format!("process {} on ", std::process::id());
        assert_tells(
            &error.to_string(),
            &[
                folder.to_str().unwrap(),
                "tuner is running",
                &own,
                "since 2",
                "UTC",
            ],
        );
        recorded("extractor", &folder, nothing)?;
        recorded("tuner", &other, nothing)?;
        let still = last_run(&folder, "tuner");
        assert!(
            matches!(&still, Some(LastRun::Running(record)) if record.pid == std::process::id()),
            "{still:?}"
        );
        Ok::<_, anyhow::Error>(())
    })
    .unwrap();
    done(&folder);
}

#[test]
fn of_many_that_start_at_once_one_runs() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("cell");
    // Those before were killed, or ended well: whatever they left, one of the next runs.
    for round in 0..5 {
        if round % 2 == 1 {
            fs::write(folder.join(".running-tuner"), "stage = \"tuner\"\npid = 1\n").unwrap();
        }
        let (barrier, began, refused) = (Barrier::new(4), AtomicUsize::new(0), AtomicUsize::new(0));
        let start = || {
            barrier.wait();
            let ran = recorded("tuner", &folder, || {
                began.fetch_add(1, Ordering::SeqCst);
                // Until the others were refused, or one of them was not.
                while refused.load(Ordering::SeqCst) < 3 && began.load(Ordering::SeqCst) == 1 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                nothing()
            });
            refused.fetch_add(usize::from(ran.is_err()), Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(start);
            }
        });
        assert_eq!((began.into_inner(), refused.into_inner()), (1, 3));
        done(&folder);
    }
}

#[test]
fn a_running_stage_says_how_far_it_is() {
    let place = tempfile::tempdir().unwrap();
    let mut progress = Progress::new("training", 147, "steps");
    progress.advance(24, "loss 4.280");
    let shown = || {
        recorded("tuner", place.path(), || match last_run(place.path(), "tuner") {
            Some(LastRun::Running(record)) => Ok::<_, Error>(record.progress.unwrap()),
            other => panic!("it should be running: {other:?}"),
        })
        .unwrap()
    };
    // What other tests of this process began later is shown while it lasts.
    let began = Instant::now();
    while shown() != "training: 24/147 steps, loss 4.280" {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", shown());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_panic_leaves_a_record() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("tuner.toml"), "").unwrap();
    let panicking = || -> Result<(), Error> { panic!("as it should in this test") };
    let caught = std::panic::catch_unwind(|| recorded("tuner", folder, panicking));
    assert!(caught.is_err());
    let record = failed(folder);
    assert_eq!(record.exit_status, Some(101));
    assert_tells(&record.message.unwrap(), &["panicked"]);
}

/// All that the rules of a run know of another program is its exit status.
#[test]
fn an_exit_status_alone_is_a_failed_run() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for (status, fragment) in [(1, "no message"), (127, "no such program"), (137, "signal 9")] {
        fs::write(folder.join(".exit-tuner"), format!("{status}\n")).unwrap();
        let record = failed(folder);
        assert_eq!(record.exit_status, Some(status));
        assert_tells(&record.message.unwrap(), &[fragment]);
    }
    // Beside the record of the same run, that one says more.
    recorded("tuner", folder, failing).unwrap_err();
    fs::write(folder.join(".exit-tuner"), "3\n").unwrap();
    assert_tells(&failed(folder).message.unwrap(), &["row 3 has no text"]);
    // Beside that of an earlier run, or of another exit status, it does not.
    set_time(
        &folder.join(".failed-tuner"),
        SystemTime::now() - Duration::from_mins(1),
    );
    assert_tells(&failed(folder).message.unwrap(), &["no message"]);
    set_time(&folder.join(".failed-tuner"), SystemTime::now());
    fs::write(folder.join(".exit-tuner"), "1\n").unwrap();
    assert_eq!(failed(folder).exit_status, Some(1));
    recorded("tuner", folder, nothing).unwrap();
    assert_eq!(names_in(folder), [".done-tuner"]);
}

#[test]
fn names_of_records_are_told_from_those_of_results() {
    for name in [".running-tuner", ".done-report", ".failed-check", ".exit-mine"] {
        assert!(is_record(name), "{name}");
    }
    for name in ["tuner.toml", "done-report", ".hidden", "samples.parquet"] {
        assert!(!is_record(name), "{name}");
    }
}

fn set_time(path: &Path, time: SystemTime) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Locks may not reach another machine: what a stage there writes every few seconds says that it
/// lives.
#[test]
fn a_stage_on_another_machine_lives_while_its_record_is_written() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let path = folder.join(".running-tuner");
    let elsewhere =
        "stage = \"tuner\"\nhost = \"elsewhere\"\npid = 7\nprocess = \"another:1\"\nstarted = 1795939923\n";
    fs::write(&path, elsewhere).unwrap();
    assert!(
        matches!(last_run(folder, "tuner"), Some(LastRun::Running(record)) if record.host == "elsewhere")
    );
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| recorded("tuner", folder, nothing));
        while !starting.is_finished() {
            set_time(&path, SystemTime::now());
            std::thread::sleep(Duration::from_millis(20));
        }
        let message = starting.join().unwrap().unwrap_err().to_string();
        assert_tells(
            &message,
            &["process 7 on elsewhere since 2026-11-29 08:12:03 UTC"],
        );
    });

    set_time(&path, SystemTime::now() - Duration::from_mins(5));
    assert_tells(&failed(folder).message.unwrap(), &["without a message"]);
    let began = Instant::now();
    recorded("tuner", folder, nothing).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "nobody is waited for");
    done(folder);
}

/// Starts a copy of this program that runs `name` as a stage in a folder, and waits until it has
/// begun.
fn child(name: &str, folder: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("stage_runs::{name}"), "--exact", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !folder.join("begun").exists() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the child ended before it began"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// In the child, runs the stage; it ends by a signal.
fn is_child() -> bool {
    let Some(folder) = std::env::var_os(CHILD_FOLDER).map(PathBuf::from) else {
        return false;
    };
    contract::arguments::start_program();
    let stage = || -> Result<(), Error> {
        fs::write(folder.join("begun"), "").unwrap();
        std::thread::sleep(Duration::from_mins(1));
        nothing()
    };
    recorded("tuner", &folder, stage).unwrap();
    true
}

#[test]
fn a_killed_stage_is_told_from_one_that_runs_and_hinders_none() {
    if is_child() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("cell");
    let mut child = child(
        "a_killed_stage_is_told_from_one_that_runs_and_hinders_none",
        &folder,
    );
    let running = last_run(&folder, "tuner");
    assert!(
        matches!(&running, Some(LastRun::Running(record)) if record.pid == child.id()),
        "{running:?}"
    );
    let message = recorded("tuner", &folder, nothing).unwrap_err().to_string();
    assert_tells(&message, &[&format!("process {} on ", child.id())]);

    // In a copy of the folder nothing runs.
    let copy = place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(folder.join(".running-tuner"), copy.join(".running-tuner")).unwrap();
    assert_eq!(failed(&copy).exit_status, None);

    child.kill().unwrap();
    child.wait().unwrap();
    let record = failed(&folder);
    assert_eq!((record.exit_status, record.pid), (None, child.id()));
    assert_tells(&record.message.unwrap(), &["without a message", "killed"]);
    // What make saw of it.
    fs::write(folder.join(".exit-tuner"), "137\n").unwrap();
    assert_eq!(failed(&folder).exit_status, Some(137));
    recorded("tuner", &folder, nothing).unwrap();
    assert_eq!(names_in(&folder), [".done-tuner", "begun"]);
}

#[test]
fn an_interrupted_stage_says_so() {
    if is_child() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("cell");
    let mut child = child("an_interrupted_stage_says_so", &folder);
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let record = failed(&folder);
    assert_eq!(
        (record.exit_status, record.message.as_deref()),
        (Some(130), Some("stopped by SIGINT"))
    );
}
