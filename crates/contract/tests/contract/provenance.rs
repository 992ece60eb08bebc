//! Finished work is recognised, and nothing else is.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use contract::files::AtomicFile;
use contract::provenance::digest;
use contract::records::HeldOutDocument;
use contract::{Provenance, parquet};

fn write(file: &Path, provenance: &Provenance) {
    parquet::write_all::<HeldOutDocument>(file, provenance, &[]).unwrap();
}

#[test]
fn the_facts_come_back_from_the_footer() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["input", "output"].map(|name| folder.path().join(name));
    fs::write(&input, "").unwrap();
    let provenance = Provenance::new("dupgen")
        .with_seed(u64::MAX)
        .with_configuration(&[("text", "ünï\"code\"")])
        .unwrap()
        .with_input("corpus", &input)
        .unwrap();
    write(&output, &provenance);
    let read = parquet::provenance(&output).unwrap();
    assert!(read.same_work(&provenance), "{read:?}");
    assert_eq!(
        read.places,
        [("corpus".to_owned(), "input".into())].into(),
        "as seen from the output"
    );
    // xxh3-128 of no bytes at all, from the algorithm's specification.
    assert_eq!(provenance.inputs["corpus"], "99aa06d3014798d86001c324468d497f");
    assert_eq!(provenance.configuration, r#"[["text","ünï\"code\""]]"#);
}

#[test]
fn work_is_done_only_where_all_that_it_depends_on_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("heldout.parquet");
    let made = Provenance::new("dupgen")
        .with_seed(1)
        .with_configuration(&"settings")
        .unwrap();
    write(&output, &made);
    // What a killed run with other settings was writing, and what a process is writing.
    let abandoned = folder.path().join("train.parquet.partial");
    fs::write(&abandoned, "half").unwrap();
    let written = AtomicFile::create(&folder.path().join("corpus.parquet")).unwrap();
    assert!(made.is_done(&[&output]));
    assert!(!abandoned.exists());
    assert!(written.path().exists());

    let later = Provenance {
        created: made.created + 1000,
        ..made.clone()
    };
    assert!(later.is_done(&[&output]), "the time does not matter");

    let same = || made.clone();
    let others = [
        (
            "stage",
            Provenance {
                stage: "tuner".to_owned(),
                ..same()
            },
        ),
        (
            "contract version",
            Provenance {
                contract_version: made.contract_version + 1,
                ..same()
            },
        ),
        (
            "configuration",
            Provenance {
                configuration: "{}".to_owned(),
                ..same()
            },
        ),
        (
            "inputs",
            Provenance {
                inputs: [("corpus".to_owned(), "0".repeat(32))].into(),
                ..same()
            },
        ),
        ("seed", Provenance { seed: 2, ..same() }),
        (
            "program version",
            Provenance {
                program_version: "0.0.0".to_owned(),
                ..same()
            },
        ),
    ];
    for (what, other) in others {
        assert!(!other.is_done(&[&output]), "another {what}");
    }
}

#[test]
fn work_is_done_only_where_every_output_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let provenance = Provenance::new("extractor");
    write(&first, &provenance);
    assert!(!provenance.is_done(&[&first, &second]), "one is missing");
    let whole = fs::read(&first).unwrap();
    fs::write(&second, &whole[..whole.len() - 1]).unwrap();
    assert!(!provenance.is_done(&[&first, &second]), "one is cut off");
    fs::write(&second, &whole).unwrap();
    assert!(provenance.is_done(&[&first, &second]));
}

/// make asks no more for an output that is newer than its inputs, and asks again for one that is
/// out of date.
#[test]
fn outputs_found_done_are_touched_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("heldout.parquet");
    let provenance = Provenance::new("dupgen");
    write(&output, &provenance);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options()
        .append(true)
        .open(&output)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let modified = || fs::metadata(&output).unwrap().modified().unwrap();

    assert!(!provenance.clone().with_seed(1).is_done(&[&output]));
    assert_eq!(modified(), long_ago);
    assert!(provenance.is_done(&[&output]));
    assert!(modified() > long_ago);
    assert_eq!(parquet::provenance(&output), Some(provenance));
}

/// Each folder holds the given files; no two have the same digest.
#[test]
fn a_folder_has_the_digest_of_its_names_and_contents() {
    let folders: [&[(&str, &str)]; 7] = [
        &[],
        &[("a", "")],
        &[("a", "bc")],
        &[("ab", "c")],
        &[("a", ""), ("bc", "")],
        &[("a/bc", "")],
        &[("a/b", "c")],
    ];
    let digests = folders.map(|files| {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        digest(folder.path()).unwrap()
    });
    for (index, first) in digests.iter().enumerate() {
        assert_eq!(first.len(), 32);
        assert!(!digests[index + 1..].contains(first), "{:?}", folders[index]);
    }
}

#[test]
fn an_input_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("corpus.jsonl");
    let (message, status) = crate::told(Provenance::new("dupgen").with_input("corpus", &missing));
    assert!(message.contains(missing.to_str().unwrap()), "{message}");
    assert_eq!(status, 3);
}
