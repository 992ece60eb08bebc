//! Every committed input goes through its reader: those that fuzzing found interesting, and those that once made a reader fail.

use std::fs;
use std::path::Path;

#[test]
fn no_committed_input_makes_its_reader_fail() {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs");
    for (name, read) in fuzz::READERS {
        let mut files: Vec<_> = fs::read_dir(inputs.join(name))
            .unwrap_or_else(|error| panic!("inputs/{name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "inputs/{name} is empty");
        for file in files {
            // A panic names the reader's place; this names the input.
            println!("{}", file.display());
            read(&fs::read(&file).unwrap());
        }
    }
    let folders = fs::read_dir(&inputs).unwrap().count();
    assert_eq!(
        folders,
        fuzz::READERS.len(),
        "every folder of inputs belongs to a reader"
    );
}
