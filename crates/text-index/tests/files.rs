//! Indexes in folders: saved, opened, and refused where they are not what was saved.

use std::fs;
use std::path::Path;

use text_index::{
    CandidateIndex, CandidateIndexBuilder, ExactIndex, ExactIndexBuilder, IndexError, TokenIndex,
};

const CORPUS: [&str; 3] = ["the whale and the ship", "", "a ship at sea"];

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn save_exact(folder: &Path) {
    ExactIndex::build(&CORPUS).unwrap().save(folder).unwrap();
}

/// Opens the folder as each kind of index, and says how each went.
fn kinds(folder: &Path) -> [Option<IndexError>; 3] {
    [
        ExactIndex::open(folder).err(),
        TokenIndex::open(folder).err(),
        CandidateIndex::open(folder).err(),
    ]
}

#[test]
fn each_kind_opens_as_itself_only() {
    let [exact, tokens, candidates] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    save_exact(exact.path());
    TokenIndex::build(&[&[1, 2, 3], &[2, 3]])
        .unwrap()
        .save(tokens.path())
        .unwrap();
    CandidateIndex::build(&CORPUS)
        .unwrap()
        .save(candidates.path())
        .unwrap();
    for (right, folder) in [exact, tokens, candidates].iter().enumerate() {
        for (kind, error) in kinds(folder.path()).into_iter().enumerate() {
            if kind == right {
                assert!(error.is_none(), "{error:?}");
            } else {
                assert!(matches!(error, Some(IndexError::NotAnIndex { .. })), "{error:?}");
            }
        }
    }
}

#[test]
fn empty_corpora_are_saved_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    ExactIndex::build(&[]).unwrap().save(folder.path()).unwrap();
    assert_eq!(ExactIndex::open(folder.path()).unwrap().longest_match("a"), None);
    TokenIndex::build(&[]).unwrap().save(folder.path()).unwrap();
    assert_eq!(TokenIndex::open(folder.path()).unwrap().longest_match(&[0]), None);
    CandidateIndex::build(&[""]).unwrap().save(folder.path()).unwrap();
    assert_eq!(
        CandidateIndex::open(folder.path())
            .unwrap()
            .candidates("a whale", 3)
            .unwrap(),
        []
    );
}

#[test]
fn every_changed_byte_of_every_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    save_exact(folder.path());
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let sound = fs::read(&file).unwrap();
        for place in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[place] ^= 0b100;
            fs::write(&file, &damaged).unwrap();
            assert!(
                ExactIndex::open(folder.path()).is_err(),
                "byte {place} of {}",
                file.display()
            );
        }
        for length in [0, sound.len() / 2, sound.len() - 2] {
            fs::write(&file, &sound[..length]).unwrap();
            assert!(
                ExactIndex::open(folder.path()).is_err(),
                "{length} bytes of {}",
                file.display()
            );
        }
        fs::write(&file, &sound).unwrap();
        assert!(ExactIndex::open(folder.path()).is_ok());
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let open = || ExactIndex::open(folder.path()).err().unwrap();
    assert!(matches!(open(), IndexError::NotAnIndex { .. }));

    save_exact(folder.path());
    let header = folder.path().join("header.json");
    let text = fs::read_to_string(&header).unwrap();
    fs::write(&header, text.replace("\"version\": 1", "\"version\": 7")).unwrap();
    assert!(
        matches!(open(), IndexError::Version { found: 7, .. }),
        "{:?}",
        open()
    );
    fs::write(&header, text.replace("\"documents\": 3", "\"documents\": 4")).unwrap();
    assert!(matches!(open(), IndexError::Damaged { .. }), "{:?}", open());
    fs::write(&header, "{}").unwrap();
    assert!(matches!(open(), IndexError::NotAnIndex { .. }), "{:?}", open());
    fs::write(&header, &text).unwrap();

    let shard = folder.path().join("shard-00000");
    let sound = fs::read(&shard).unwrap();
    fs::write(&shard, b"something else").unwrap();
    assert!(
        open()
            .to_string()
            .contains(&format!("expected {} bytes, found 14", sound.len())),
        "{}",
        open()
    );
    fs::remove_file(&shard).unwrap();
    assert!(matches!(open(), IndexError::File { .. }), "{:?}", open());
}

#[test]
fn an_index_that_was_not_finished_is_none_and_the_old_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    save_exact(folder.path());
    let mut builder = ExactIndexBuilder::new(folder.path(), 0).unwrap();
    for document in CORPUS {
        builder.push(document).unwrap();
    }
    drop(builder);
    assert!(matches!(
        ExactIndex::open(folder.path()).err(),
        Some(IndexError::NotAnIndex { .. })
    ));
    // Many shards, then one: nothing of the many is left.
    let mut builder = ExactIndexBuilder::new(folder.path(), 0).unwrap();
    for document in CORPUS {
        builder.push(document).unwrap();
    }
    builder.finish().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    save_exact(folder.path());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn reopened_candidates_score_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let built = CandidateIndex::build(&CORPUS).unwrap();
    let mut builder = CandidateIndexBuilder::new(folder.path()).unwrap();
    for document in CORPUS {
        builder.push(document).unwrap();
    }
    let streamed = builder.finish().unwrap();
    let opened = CandidateIndex::open(folder.path()).unwrap();
    for query in ["a ship", "WHALE whale ship", "sea", "captain"] {
        let expected = built.candidates(query, 10).unwrap();
        assert_eq!(streamed.candidates(query, 10).unwrap(), expected);
        assert_eq!(opened.candidates(query, 10).unwrap(), expected);
    }
    assert_eq!(opened.corpus_digest(), ExactIndex::digest_of(CORPUS));
    assert_eq!(opened.documents(), 3);
}
