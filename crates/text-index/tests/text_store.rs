//! Texts come back as they were given, from memory and from the mapped file.

use proptest::prelude::*;
use text_index::{StoredText, TextStore};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn texts_come_back_whatever_the_room(
        texts in prop::collection::vec("\\PC{0,30}", 0..20),
        room in 0..200_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = TextStore::new(folder.path(), room);
        let stored: Vec<StoredText> = texts
            .iter()
            .map(|text| store.add(text.clone().into()).unwrap())
            .collect();
        store.finish().unwrap();
        for (stored, text) in stored.iter().zip(&texts) {
            prop_assert_eq!(&**stored, text.as_str());
            prop_assert_eq!(stored.len(), text.len());
            prop_assert_eq!(stored, &StoredText::from(text.clone()));
        }
        // The file has no name, so nothing is left whatever happens.
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut store = TextStore::new(&file, 3);
    assert!(store.add("abc".to_owned().into()).is_ok(), "kept in memory");
    let error = store.add("d".to_owned().into()).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}
