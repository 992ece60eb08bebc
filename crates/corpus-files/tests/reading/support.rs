//! A folder with corpus files, and what is read of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, RecordBatch};
use contract::Error;
use contract::pipeline::{Corpus, OneOrMany};
use corpus_files::{Columns, Fault, Found, RawDocument, documents, find_files};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, creating the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn find(&self, corpus: &Corpus) -> Result<Found, Error> {
        find_files(corpus, self.0.path())
    }

    /// All documents of a corpus, and what was guessed; the first fault is the error.
    pub(crate) fn read(&self, corpus: &Corpus) -> Result<Reading, Error> {
        let found = self.find(corpus)?;
        let columns = Columns::of(corpus)?;
        let mut reading = Reading {
            guesses: found
                .guesses
                .iter()
                .map(|guess| format!("{}: {}", guess.what, guess.taken))
                .collect(),
            ..Reading::default()
        };
        for passed in &found.passed_over {
            let below = passed.path.strip_prefix(self.0.path()).unwrap();
            reading
                .passed_over
                .push(format!("{} ({})", below.display(), passed.reason));
        }
        for file in &found.files {
            let items = documents(file, &columns)?;
            let guesses = items.guesses().iter();
            reading
                .guesses
                .extend(guesses.map(|guess| format!("{}: {}", guess.what, guess.taken)));
            for item in items {
                let document = item.map_err(|fault| fault.into_error(&file.path))?;
                reading.documents.push(document);
            }
        }
        Ok(reading)
    }

    /// The texts of the documents that can be used, and the faults of the others.
    pub(crate) fn read_skipping(&self, corpus: &Corpus) -> (Vec<String>, Vec<String>) {
        let columns = Columns::of(corpus).unwrap();
        let (mut texts, mut faults) = (Vec::new(), Vec::new());
        for file in &self.find(corpus).unwrap().files {
            for item in documents(file, &columns).unwrap() {
                match item {
                    Ok(document) => texts.push(document.text),
                    Err(fault @ Fault::Document(..)) => faults.push(fault.into_error(&file.path).to_string()),
                    Err(Fault::File(error)) => panic!("{error}"),
                }
            }
        }
        (texts, faults)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) documents: Vec<RawDocument>,
    pub(crate) guesses: Vec<String>,
    pub(crate) passed_over: Vec<String>,
}

impl Reading {
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.documents
            .iter()
            .map(|document| document.text.as_str())
            .collect()
    }
}

pub(crate) fn corpus(files: &str) -> Corpus {
    Corpus {
        files: OneOrMany::One(files.to_owned()),
        ..Corpus::default()
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

pub(crate) fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    let bytes = units.map(|unit| {
        if big_endian {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        }
    });
    bytes.flatten().collect()
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// An Arrow stream with these batches, as `save_to_disk` writes one.
pub(crate) fn arrow_stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// An Arrow file with these batches, as Feather is.
pub(crate) fn arrow_file(
    batches: &[RecordBatch],
    compression: Option<arrow_ipc::CompressionType>,
) -> Vec<u8> {
    let options = arrow_ipc::writer::IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        arrow_ipc::writer::FileWriter::try_new_with_options(&mut bytes, &batches[0].schema(), options)
            .unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// `count` JSON objects, one a line.
pub(crate) fn lines(from: usize, count: usize) -> String {
    (from..from + count)
        .map(|number| format!("{{\"id\": {number}, \"text\": \"Letter number {number}.\"}}\n"))
        .collect()
}

/// The texts of `lines`.
pub(crate) fn letters(from: usize, count: usize) -> Vec<String> {
    (from..from + count)
        .map(|number| format!("Letter number {number}."))
        .collect()
}
