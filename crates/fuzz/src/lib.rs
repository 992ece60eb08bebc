//! What each fuzz target does with its bytes: it gives them to a reader as a file, and what was read to whatever works on it.
//!
//! `make fuzz` runs the targets (`scripts/fuzz.sh`; cargo-fuzz, libFuzzer, AddressSanitizer). Inputs that they found interesting, and all
//! that once failed, are in `inputs/<reader>`; the tests give each to its reader. Seals of Parquet files and the digest of an
//! index's header are not compared in a fuzz target (`cfg(fuzzing)`), so that what they protect is reached.
//!
//! A reader may refuse anything. It may not panic, overflow, hang or take memory without bound: libFuzzer sees to that. Where a reader
//! accepts, what it says must hold; that is asserted here.

#![allow(
    clippy::expect_used,
    clippy::missing_errors_doc,
    reason = "a harness: what fails here is its own"
)]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use chat_template::{ChatTemplate, Message, SpecialTokens};
use contract::PipelineFile;
use contract::parquet::read_all;
use contract::pipeline::Corpus;
use contract::records::{
    CorpusFact, DecodedDocument, HeldOutDocument, PassageMatch, Sample, SampleVerdict, Score, TextForm,
    TrainingInstance, TrainingMetric,
};
use corpus_files::{Columns, documents, find_files};
use model_folder::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Checkpoint, Config, Model};
use text_index::{CandidateIndex, ExactIndex, TokenIndex};
use text_tokens::TextTokenizer;

/// A small model of ours, whose files are beside those that are fuzzed.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/models/4m");

/// Values of a pipeline file that no reader is asked about.
const WITHOUT_OVERRIDES: &[String] = &[];

/// Every reader, by the name of its fuzz target and of the folder of its inputs.
pub const READERS: &[(&str, fn(&[u8]))] = &[
    ("adapter", adapter),
    ("chat_template", chat_template),
    ("config", config),
    ("corpus", corpus),
    ("index", index),
    ("pipeline", pipeline),
    ("records", records),
    ("safetensors", safetensors),
    ("tokenizer", tokenizer),
];

thread_local! {
    static SCRATCH: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// A folder of this process, in memory where the system has such a place, and empty.
fn scratch() -> PathBuf {
    SCRATCH.with_borrow_mut(|kept| {
        let folder = kept.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let place = if memory.is_dir() {
                memory.to_owned()
            } else {
                std::env::temp_dir()
            };
            place.join(format!("fuzz-{}", std::process::id()))
        });
        // Left over from the input before this one.
        let _ = fs::remove_dir_all(&*folder);
        fs::create_dir_all(&*folder).expect("a folder for the input");
        folder.clone()
    })
}

/// The bytes as a file in a folder where nothing else is.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    fs::write(&path, bytes).expect("the input written");
    path
}

fn beside(folder: &Path, name: &str, from: &Path) {
    fs::copy(from, folder.join(name)).expect("a file of the model");
}

/// `config.json` of a model.
pub fn config(bytes: &[u8]) {
    let path = file("config.json", bytes);
    if let Ok(config) = Config::load(path.parent().expect("a folder")) {
        assert!(config.vocabulary > 0 && config.width > 0);
        assert!(!config.eos_token_ids.is_empty());
        config.modules();
    }
}

/// A header of safetensors, and the tensors that it claims.
pub fn safetensors(bytes: &[u8]) {
    let path = file("model.safetensors", bytes);
    let folder = path.parent().expect("a folder");
    beside(folder, "config.json", &Path::new(MODEL).join("config.json"));
    if let Ok(model) = Model::open(folder) {
        assert!(model.parameters() > 0);
    }
}

/// `adapter_config.json`, beside no weights: its settings are read first.
pub fn adapter(bytes: &[u8]) {
    let path = file(ADAPTER_CONFIG, bytes);
    let folder = path.parent().expect("a folder");
    fs::write(folder.join(ADAPTER_WEIGHTS), b"\x02\0\0\0\0\0\0\0{}").expect("empty weights");
    let _ = Checkpoint::open(folder, Some(Path::new(MODEL)));
}

/// `tokenizer.json`, and a text there and back.
pub fn tokenizer(bytes: &[u8]) {
    let path = file("tokenizer.json", bytes);
    let Ok(tokenizer) = TextTokenizer::load(path.parent().expect("a folder")) else {
        return;
    };
    for text in ["", "Résumé of Ann Smith, 42.\n", "e\u{301}\u{200d}\u{1f469}\0"] {
        if let Ok(tokens) = tokenizer.tokenize(text) {
            assert_eq!(tokens.ids.len(), tokens.characters.len());
            let _ = tokenizer.decode(&tokens.ids);
        }
    }
}

/// A chat template, with a conversation.
pub fn chat_template(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else {
        return;
    };
    let messages = [
        Message::new("system", "Be brief."),
        Message::new("user", "Who is <b>Ann</b>?"),
        Message::new("assistant", "A nurse.\n"),
    ];
    let template = ChatTemplate::new("fuzzed", source, SpecialTokens::default());
    let _ = template.render_prompt(&messages[..2]);
    if let Ok(rendered) = template.render(&messages) {
        assert!(
            rendered
                .assistant
                .iter()
                .all(|span| rendered.text.get(span.clone()).is_some())
        );
    }
}

/// A pipeline file.
pub fn pipeline(bytes: &[u8]) {
    let path = file("pipeline.toml", bytes);
    if let Ok(pipeline) = PipelineFile::load(&path, WITHOUT_OVERRIDES) {
        let _ = pipeline.check_whole();
        let _ = pipeline.single_cell();
    }
}

/// A corpus: the first byte says of which ending, the rest is the file.
pub fn corpus(bytes: &[u8]) {
    const ENDINGS: &[&str] = &[
        "txt",
        "md",
        "json",
        "jsonl",
        "csv",
        "tsv",
        "feather",
        "parquet",
        "txt.gz",
        "jsonl.gz",
        "csv.gz",
        "txt.zst",
        "jsonl.zst",
        "json.gz",
    ];
    let Some((ending, bytes)) = bytes.split_first() else {
        return;
    };
    let name = format!("corpus.{}", ENDINGS[usize::from(*ending) % ENDINGS.len()]);
    let path = file(&name, bytes);
    let settings: Corpus =
        serde_json::from_value(serde_json::json!({ "files": path })).expect("settings of a corpus");
    let Ok(columns) = Columns::of_models(&settings, Path::new("."), &[]) else {
        return;
    };
    let Ok(found) = find_files(&settings, Path::new(".")) else {
        return;
    };
    for file in &found.files {
        let Ok(documents) = documents(file, &columns) else {
            continue;
        };
        // A reader that went round in circles would give documents without end.
        let read = documents.take(1_000_000).flatten().count();
        assert!(read < 1_000_000);
    }
}

/// Parquet files, as every kind of record.
pub fn records(bytes: &[u8]) {
    let path = file("records.parquet", bytes);
    let _ = contract::parquet::provenance(&path);
    let _ = contract::parquet::check_seal(&path);
    let _ = read_all::<TrainingInstance>(&path);
    let _ = read_all::<HeldOutDocument>(&path);
    let _ = read_all::<CorpusFact>(&path);
    let _ = read_all::<TrainingMetric>(&path);
    let _ = read_all::<TextForm>(&path);
    let _ = read_all::<DecodedDocument>(&path);
    let _ = read_all::<Sample>(&path);
    let _ = read_all::<Score>(&path);
    let _ = read_all::<PassageMatch>(&path);
    let _ = read_all::<SampleVerdict>(&path);
}

/// The header of an index and, after a zero byte, the file of its first shard. What opens is searched.
pub fn index(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (header, shard) = bytes.split_at(end);
    let path = file("header.json", header);
    let folder = path.parent().expect("a folder");
    fs::write(folder.join("shard-00000"), shard.get(1..).unwrap_or_default()).expect("a shard written");
    if let Ok(index) = ExactIndex::open(folder) {
        let _ = index.longest_match("the whale and the ship");
        let _ = index.matches_at_least("a ship at sea", 3);
    }
    if let Ok(index) = TokenIndex::open(folder) {
        let _ = index.longest_match(&[1, 2, 3]);
    }
    if let Ok(index) = CandidateIndex::open(folder) {
        let _ = index.candidates("the whale and the ship", 3);
    }
}
