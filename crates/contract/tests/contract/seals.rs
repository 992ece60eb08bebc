//! No bit of a file that a stage wrote can be turned so that somebody reads other things from it
//! than were written.

use std::fs;
use std::path::Path;

use contract::records::HeldOutDocument;
use contract::seal::{self, Seal};
use contract::{Cell, PipelineFile, Provenance, parquet};

use crate::{assert_tells, damaged_files, told};

fn documents() -> Vec<HeldOutDocument> {
    damaged_files::documents().into_iter().take(3).collect()
}

/// The contents of a file with each of its bits turned, `step` bits apart.
fn turned(whole: &[u8], step: usize) -> impl Iterator<Item = (usize, Vec<u8>)> + '_ {
    (0..whole.len() * 8).step_by(step).map(|bit| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (bit, bytes)
    })
}

#[test]
fn a_turned_bit_of_parquet_is_found_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let provenance = Provenance::new("test").with_configuration(&"settings").unwrap();
    parquet::write_all(&file, &provenance, &documents()).unwrap();
    let whole = fs::read(&file).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for (bit, bytes) in turned(&whole, 3) {
        fs::write(&file, &bytes).unwrap();
        match parquet::read_all::<HeldOutDocument>(&file) {
            Err(_) => found += 1,
            Ok(read) => {
                harmless += 1;
                assert_eq!(read, documents(), "bit {bit} of {}", whole.len() * 8);
            }
        }
        if let Some(read) = parquet::provenance(&file) {
            assert!(read.same_work(&provenance), "bit {bit}");
        }
    }
    // What no reader looks at: how the writer is called.
    assert!(harmless * 20 < found, "{harmless} of {found} were not found");
}

#[test]
fn damage_is_told_with_what_to_do_and_is_no_finished_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    let provenance = Provenance::new("test");
    parquet::write_all(&file, &provenance, &documents()).unwrap();
    assert_eq!(parquet::check_seal(&file).unwrap(), Seal::Whole);
    assert!(provenance.is_done(&[&file]));
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 4;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(parquet::check_seal(&file).unwrap(), Seal::Broken);
    assert!(!provenance.is_done(&[&file]));
    let (message, status) = told(parquet::read_all::<HeldOutDocument>(&file));
    assert_tells(
        &message,
        &[
            "heldout.parquet",
            "damaged",
            "Make it again with the stage that writes it",
        ],
    );
    assert_eq!(status, 3);
}

/// Settings may hold any text, one that looks like a seal among them.
#[test]
fn a_text_that_looks_like_a_seal_seals_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heldout.parquet");
    for text in [seal::open(), seal::open().replace('0', "7")] {
        let provenance = Provenance::new("test").with_configuration(&text).unwrap();
        parquet::write_all(&file, &provenance, &documents()).unwrap();
        assert_eq!(parquet::check_seal(&file).unwrap(), Seal::Whole);
        assert_eq!(parquet::read_all::<HeldOutDocument>(&file).unwrap(), documents());
        assert!(parquet::provenance(&file).unwrap().same_work(&provenance));
    }
}

#[test]
fn a_turned_bit_of_settings_is_found_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tuner.toml");
    let text = "name = \"x\"\nseeds = [1, 2]\n[tuning]\nepochs = 3.5\n";
    fs::write(&file, seal::sealed_text(text)).unwrap();
    let load = || {
        PipelineFile::load(&file, &[]).map(|pipeline| {
            (
                pipeline.name.clone(),
                pipeline.seeds.clone(),
                pipeline.tuning.epochs,
            )
        })
    };
    let expected = load().unwrap();
    assert_eq!(expected, ("x".to_owned(), vec![1, 2], 3.5));
    let whole = fs::read(&file).unwrap();
    for (bit, bytes) in turned(&whole, 1) {
        fs::write(&file, &bytes).unwrap();
        if let Ok(read) = load() {
            assert_eq!(read, expected, "bit {bit}");
        }
    }
    // What somebody wrote has no seal.
    fs::write(&file, text.replace("3.5", "4")).unwrap();
    assert_eq!(load().unwrap().2, 4.0);
    fs::write(&file, seal::sealed_text(text).replace("3.5", "4.0")).unwrap();
    let (message, status) = told(load());
    assert_tells(
        &message,
        &["tuner.toml", "changed by hand", "remove the first line"],
    );
    assert_eq!(status, 2);
}

#[test]
fn facts_of_a_cell_are_sealed_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cell.toml");
    let text = "name = \"c\"\ncorpus = \"d\"\nmodel = \"m\"\nparameters = 5\ntrainable_parameters = 5\nmode = \"full\"\nseed = 1\n";
    fs::write(&file, seal::sealed_text(text)).unwrap();
    assert_eq!(Cell::load(&file).unwrap().seed, 1);
    fs::write(&file, seal::sealed_text(text).replace("seed = 1", "seed = 3")).unwrap();
    assert_tells(&told(Cell::load(&file)).0, &["cell.toml", "damaged"]);
}

fn model_folder(folder: &Path) {
    fs::write(folder.join("config.json"), "{\"layers\": 2}").unwrap();
    fs::write(folder.join("tokenizer.json"), "{\"model\": {}}").unwrap();
    fs::write(folder.join("model.safetensors"), "not listed").unwrap();
    seal::write_checksums(folder).unwrap();
}

#[test]
fn a_turned_bit_of_a_listed_file_or_of_the_list_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model_folder(folder);
    seal::check_folder(folder).unwrap();
    let mut silent = 0;
    for name in ["config.json", "tokenizer.json", seal::CHECKSUMS] {
        let file = folder.join(name);
        let whole = fs::read(&file).unwrap();
        for (bit, bytes) in turned(&whole, 1) {
            fs::write(&file, &bytes).unwrap();
            let found = seal::check_folder(folder);
            // Blanks of the list may turn into others.
            if found.is_ok() {
                assert_eq!(name, seal::CHECKSUMS, "bit {bit} of {name}");
                silent += 1;
            }
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(silent < 20, "{silent}");
    seal::check_folder(folder).unwrap();
    fs::write(folder.join("model.safetensors"), "another").unwrap();
    fs::write(folder.join("README.md"), "a card").unwrap();
    seal::check_folder(folder).unwrap();
    fs::write(folder.join("config.json"), "{\"layers\": 3}").unwrap();
    let (message, status) = told(seal::check_folder(folder));
    assert_tells(
        &message,
        &["config.json", "damaged", "remove its line from checksums.json"],
    );
    assert_eq!(status, 3);
    fs::remove_file(folder.join("config.json")).unwrap();
    assert_tells(
        &told(seal::check_folder(folder)).0,
        &["config.json", "is listed in checksums.json"],
    );
}

#[test]
fn a_list_that_lost_its_end_is_damaged_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model_folder(folder);
    let list = folder.join(seal::CHECKSUMS);
    let whole = fs::read(&list).unwrap();
    for end in 0..whole.len() {
        fs::write(&list, &whole[..end]).unwrap();
        assert_tells(
            &told(seal::check_folder(folder)).0,
            &["checksums.json", "damaged"],
        );
    }
}

#[test]
fn a_list_names_files_of_its_folder_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("secret"), "x").unwrap();
    let folder = place.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(seal::CHECKSUMS), "{\"../secret\": \"00\"}\n").unwrap();
    assert_tells(
        &told(seal::check_folder(&folder)).0,
        &["checksums.json", "../secret", "not in its folder"],
    );
}
