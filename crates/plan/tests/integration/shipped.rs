use std::path::Path;

use contract::PipelineFile;

/// Every pipeline file that comes with the project can be read, and asks for something.
#[test]
fn shipped_pipelines_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // The checkpoint to audit is the reader's; the base model stands for it.
        let stands_in = text
            .contains("[[checkpoint]]")
            .then(|| "checkpoint.0.path=../data/models/4m".to_owned());
        let overrides: Vec<String> = stands_in.into_iter().collect();
        let pipeline = PipelineFile::load(&path, &overrides).unwrap_or_else(|error| panic!("{error}"));
        let cells = plan::combinations(&pipeline).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            !cells.is_empty() && !pipeline.corpora.as_slice()[0].files.as_slice().is_empty(),
            "{}",
            path.display()
        );
        assert_eq!(
            path.file_stem().unwrap().to_str(),
            Some(pipeline.name.as_str()),
            "the run folder has the file's name"
        );
        names.push(pipeline.name.clone());
    }
    for expected in [
        "demo", "test", "paper", "ladder", "study", "audit", "attacks", "check",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} is missing among {names:?}"
        );
    }
}
