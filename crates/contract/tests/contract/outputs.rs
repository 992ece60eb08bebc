//! An output is whole or not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use contract::files::{AtomicFile, write_atomic, write_if_changed};
use contract::records::{DocumentKind, HeldOutDocument};
use contract::{Provenance, parquet};

use crate::{names_in, told};

/// Tells a copy of this program, started for one test, which file to write.
const CHILD_OUTPUT: &str = "CONTRACT_TEST_CHILD_OUTPUT";

fn document(text: String) -> HeldOutDocument {
    HeldOutDocument {
        doc_id: "a".to_owned(),
        text,
        prompt_chars: 0,
        kind: DocumentKind::Document,
        role: None,
        near_duplicate_of: None,
        shared_8grams: None,
        canary_format: None,
        assistant_spans: None,
        secret_span: None,
    }
}

#[test]
fn an_output_dropped_unfinished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/samples.parquet");
    let output_file = AtomicFile::create(&file).unwrap();
    fs::write(output_file.path(), "half").unwrap();
    assert_eq!(names_in(&folder.path().join("new")), ["samples.parquet.partial"]);
    drop(output_file);
    assert!(names_in(&folder.path().join("new")).is_empty());

    let output_file = AtomicFile::create_folder(&folder.path().join("checkpoint")).unwrap();
    fs::write(output_file.path().join("config.json"), "{}").unwrap();
    drop(output_file);
    assert_eq!(names_in(folder.path()), ["new"]);
}

#[test]
fn a_writer_dropped_unfinished_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    fs::write(&file, "as it was").unwrap();
    let mut writer = parquet::Writer::create(&file, &Provenance::new("test")).unwrap();
    writer.write(&document("text".to_owned())).unwrap();
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(names_in(folder.path()), ["heldout.parquet"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
}

/// A process that was killed leaves its partial behind, file or folder; the next one does not
/// stumble over it.
#[test]
fn a_partial_left_behind_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let [file, checkpoint] = ["a.parquet", "checkpoint"].map(|name| folder.path().join(name));
    fs::create_dir(folder.path().join("a.parquet.partial")).unwrap();
    fs::write(folder.path().join("a.parquet.partial/stale"), "").unwrap();
    fs::write(folder.path().join("checkpoint.partial"), "stale").unwrap();
    fs::create_dir(folder.path().join("checkpoint.replaced")).unwrap();
    fs::write(folder.path().join("checkpoint.replaced/old"), "put aside").unwrap();

    write_atomic(&file, b"new").unwrap();
    let output_file = AtomicFile::create_folder(&checkpoint).unwrap();
    fs::write(output_file.path().join("config.json"), "{}").unwrap();
    output_file.commit().unwrap();
    assert_eq!(names_in(folder.path()), ["a.parquet", "checkpoint"]);
    assert_eq!(names_in(&checkpoint), ["config.json"]);
}

#[test]
fn a_finished_folder_replaces_the_old_one_entirely() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    for name in ["old.safetensors", "new.safetensors"] {
        let output_file = AtomicFile::create_folder(&checkpoint).unwrap();
        fs::create_dir(output_file.path().join("inner")).unwrap();
        let weights = output_file.path().join("inner").join(name);
        fs::write(&weights, "weights").unwrap();
        // A copy of a read-only file is read-only, and must be synced all the same.
        let mut permissions = fs::metadata(&weights).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&weights, permissions).unwrap();
        output_file.commit().unwrap();
    }
    assert_eq!(names_in(folder.path()), ["checkpoint"]);
    assert_eq!(names_in(&checkpoint.join("inner")), ["new.safetensors"]);
}

#[test]
fn an_unchanged_file_keeps_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cell.toml");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    write_if_changed(&file, b"seed = 1").unwrap();
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();

    write_if_changed(&file, b"seed = 1").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), long_ago);
    write_if_changed(&file, b"seed = 2").unwrap();
    assert_ne!(fs::metadata(&file).unwrap().modified().unwrap(), long_ago);
    assert_eq!(fs::read(&file).unwrap(), b"seed = 2");
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let (message, status) = told(write_atomic(&file.join("below.parquet"), b""));
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    assert_eq!(status, 1);
}

/// Starts a copy of this program that runs the one test `name` as the child, through `shell`.
#[cfg(unix)]
fn child(name: &str, output: &Path, shell: &str) -> Child {
    Command::new("sh")
        .args(["-c", shell, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("outputs::{name}"), "--exact", "--nocapture"])
        .env(CHILD_OUTPUT, output)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// In the child, the file to write.
fn child_output() -> Option<PathBuf> {
    std::env::var_os(CHILD_OUTPUT).map(PathBuf::from)
}

/// A limit on the size of files stands for a full device: with the signal ignored, writing past it
/// is an error.
#[cfg(unix)]
#[test]
fn a_full_device_leaves_no_half_file() {
    if let Some(output) = child_output() {
        // Digits that zstd cannot make less than 40 kB of.
        let digits =
            |number: u64| format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_pow(3));
        let documents: Vec<_> = (0..500)
            .map(|row| document((row * 64..row * 64 + 64).map(digits).collect()))
            .collect();
        let (message, status) = told(parquet::write_all(&output, &Provenance::new("test"), &documents));
        assert!(message.contains("cannot write"), "{message}");
        assert_eq!(status, 1);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    // Blocks of 512 or 1024 bytes: at most 40 kB.
    let shell = r#"trap "" XFSZ; ulimit -f 40; exec "$@""#;
    let name = "a_full_device_leaves_no_half_file";
    assert!(child(name, &file, shell).wait().unwrap().success());
    assert!(names_in(folder.path()).is_empty());

    fs::write(&file, "as it was").unwrap();
    assert!(child(name, &file, shell).wait().unwrap().success());
    assert_eq!(names_in(folder.path()), ["heldout.parquet"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
}

/// By Ctrl-C and by SIGTERM, which schedulers send: the status that shells have for it, a message,
/// and nothing half-written.
#[cfg(unix)]
#[test]
fn an_interrupted_program_leaves_no_half_file() {
    if let Some(output) = child_output() {
        contract::arguments::start_program();
        let output_file = AtomicFile::create_folder(&output).unwrap();
        fs::write(output_file.path().join("half"), "half").unwrap();
        std::thread::sleep(Duration::from_mins(1));
        drop(output_file);
        return;
    }
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("checkpoint.partial/half");
        let said = folder.path().join("said");
        let shell = format!(r#"exec "$@" 2>{}"#, said.display());
        let mut child = child(
            "an_interrupted_program_leaves_no_half_file",
            &folder.path().join("checkpoint"),
            &shell,
        );
        wait_for(&partial, &mut child);
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(status));
        assert_eq!(names_in(folder.path()), ["said"]);
        let said = fs::read_to_string(said).unwrap();
        assert!(
            said.contains(&format!("error: stopped by SIG{signal}.")),
            "{said}"
        );
    }
}

#[cfg(unix)]
fn wait_for(file: &Path, child: &mut Child) {
    while !file.exists() {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "the child ended before {}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A second process would rename what the first has written of it.
#[cfg(unix)]
#[test]
fn an_output_that_another_process_writes_is_refused() {
    let name = "an_output_that_another_process_writes_is_refused";
    if let Some(output) = child_output() {
        let output_file = AtomicFile::create(&output).unwrap();
        fs::write(output_file.path(), "half").unwrap();
        std::thread::sleep(Duration::from_mins(1));
        drop(output_file);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.parquet");
    let partial = folder.path().join("train.parquet.partial");
    let mut child = child(name, &file, r#"exec "$@""#);
    while fs::read(&partial).unwrap_or_default() != b"half" {
        assert!(child.try_wait().unwrap().is_none(), "the child ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (message, status) = told(write_atomic(&file, b"new"));
    assert!(message.contains(partial.to_str().unwrap()), "{message}");
    assert!(message.contains("another process is writing it"), "{message}");
    assert_eq!(status, 1);
    assert_eq!(
        fs::read(&partial).unwrap(),
        b"half",
        "what it writes is left alone"
    );
    // Under a name of its own it can be written.
    let shared = AtomicFile::create_shared(&file).unwrap();
    fs::write(shared.path(), "shared").unwrap();
    shared.commit().unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"shared");
    assert_eq!(
        names_in(folder.path()),
        ["train.parquet", "train.parquet.partial"]
    );

    child.kill().unwrap();
    child.wait().unwrap();
    write_atomic(&file, b"new").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"new");
    assert_eq!(names_in(folder.path()), ["train.parquet"]);
}

/// Each process has another name for them, so that nobody would ever write over what was left.
#[test]
fn what_processes_left_that_are_gone_is_removed_from_a_shared_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vectors");
    fs::write(folder.path().join("vectors.1.partial"), "half").unwrap();
    fs::create_dir(folder.path().join("exact.1.partial")).unwrap();
    fs::write(folder.path().join("exact.1.partial/words"), "half").unwrap();
    let written = AtomicFile::create_shared(&folder.path().join("tokens-")).unwrap();
    assert_eq!(names_in(folder.path()).len(), 1, "that which is written");
    written.commit_as(&file).unwrap();
    let index = AtomicFile::create_shared_folder(&folder.path().join("exact")).unwrap();
    index.commit().unwrap();
    assert_eq!(names_in(folder.path()), ["exact", "vectors"]);
}
