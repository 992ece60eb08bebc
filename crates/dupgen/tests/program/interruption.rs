//! Whole results or none, and no work done twice.

use std::fs;

use crate::support::{Folder, numbered};

#[test]
fn a_second_run_has_nothing_to_do_until_something_changes() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(60))
        .pipeline("corpus.files = \"a.jsonl\"");
    assert!(folder.succeed(&[]).contains("60 documents in 1 file"));
    assert!(folder.succeed(&[]).contains("corpus is up to date"));
    // What only later stages read changes nothing here.
    assert!(
        folder
            .succeed(&["--set", "tuning.epochs=9"])
            .contains("is up to date")
    );
    assert!(!folder.succeed(&["--force"]).contains("is up to date"));
    assert!(!folder.succeed(&["--seed", "1"]).contains("is up to date"));
    assert!(
        !folder
            .succeed(&["--set", "corpus.held_out=0.3"])
            .contains("is up to date")
    );
    folder.write("a.jsonl", numbered(61));
    assert!(
        folder
            .succeed(&["--set", "corpus.held_out=0.3"])
            .contains("61 documents")
    );
    fs::remove_file(folder.path("corpus/heldout.parquet")).unwrap();
    assert!(
        folder
            .succeed(&["--set", "corpus.held_out=0.3"])
            .contains("61 documents")
    );
    assert_eq!(
        folder.results(),
        ["corpus.parquet", "heldout.parquet", "train.parquet"]
    );
}

#[test]
fn an_error_leaves_an_earlier_result_as_it_was() {
    let folder = Folder::new();
    folder
        .write("a.jsonl", numbered(60))
        .pipeline("corpus.files = \"a.jsonl\"");
    folder.succeed(&[]);
    let before = folder.train();
    folder.write("a.jsonl", numbered(60) + "{\n");
    assert_eq!(folder.run(&[]).status.code(), Some(3));
    assert_eq!(
        folder.results(),
        ["corpus.parquet", "heldout.parquet", "train.parquet"]
    );
    assert_eq!(folder.train(), before);
}

/// Killed while a partial file is there, the program leaves nothing that looks like a result, and the next run gives what an
/// undisturbed one gives.
#[test]
fn a_killed_run_leaves_no_half_result() {
    let undisturbed = Folder::new();
    let killed = Folder::new();
    for folder in [&undisturbed, &killed] {
        folder
            .write("a.jsonl", numbered(20_000))
            .pipeline("corpus.files = \"a.jsonl\"\ncanaries.per_copies = 3");
    }
    undisturbed.succeed(&[]);
    for partial in [
        "documents.partial",
        "heldout.parquet.partial",
        "train.parquet.partial",
    ] {
        let mut child = killed.command(&["--force"]).spawn().unwrap();
        while !killed.path("corpus").join(partial).exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let results = killed.results();
        if results.contains(&"train.parquet".to_owned()) {
            assert_eq!(killed.train(), undisturbed.train());
        }
        if results.contains(&"heldout.parquet".to_owned()) {
            assert_eq!(killed.held_out(), undisturbed.held_out());
        }
    }
    killed.succeed(&[]);
    assert_eq!(
        killed.results(),
        ["corpus.parquet", "heldout.parquet", "train.parquet"]
    );
    assert_eq!(killed.train(), undisturbed.train());
    assert_eq!(killed.held_out(), undisturbed.held_out());
}

/// What is in the files counts, and which of them are held out; not where they lie.
#[test]
fn a_corpus_that_was_moved_is_the_same_work_and_a_file_on_the_other_side_is_not() {
    let folder = Folder::new();
    let texts = |name: &str| numbered(12).replace("Letter", name);
    for name in ["a", "b", "c"] {
        folder.write(&format!("texts/{name}.jsonl"), texts(name));
    }
    let pipeline = |files: &[&str], held_out: &[&str]| {
        folder.pipeline(&format!(
            "[corpus]\nfiles = {files:?}\nheld_out_files = {held_out:?}\nheld_out = 0.0\n\
             [duplication]\nlayout = \"uniform\"\ncopies = [1]\n"
        ));
        folder.succeed(&[]).contains("up to date")
    };
    assert!(!pipeline(&["texts/a.jsonl", "texts/b.jsonl"], &["texts/c.jsonl"]));
    std::fs::rename(folder.path("texts"), folder.path("elsewhere")).unwrap();
    assert!(pipeline(
        &["elsewhere/a.jsonl", "elsewhere/b.jsonl"],
        &["elsewhere/c.jsonl"]
    ));
    assert!(!pipeline(
        &["elsewhere/a.jsonl"],
        &["elsewhere/b.jsonl", "elsewhere/c.jsonl"]
    ));
}
