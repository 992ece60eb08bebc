//! Arrow IPC: the stream format, as `save_to_disk` of Hugging Face's datasets writes it, and the file format (Feather).

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use contract::Error;
use contract::pipeline::CorpusFormat;

use super::table::{Rows, choose_columns};
use super::{Format, Opened, unknown_size};
use crate::columns::Columns;
use crate::discovery::CorpusFile;
use crate::document::{Fault, Position};
use crate::input::Input;
use crate::limits::rows_of;

pub(super) static ARROW: Format = Format {
    name: "Arrow",
    setting: CorpusFormat::Arrow,
    endings: &[&["arrow", "feather", "ipc", "arrows"]],
    has_columns: true,
    is_certain: |beginning| beginning.starts_with(FILE_MAGIC),
    is_likely: |beginning| beginning.starts_with(&CONTINUATION),
    open,
    size: unknown_size,
};

const FILE_MAGIC: &[u8] = b"ARROW1";

/// What each message of a stream begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What a stream ends with: a message of no length.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

fn open(input: Input, file: &CorpusFile, columns: &Columns) -> Result<Opened, Fault> {
    let path = input.path().to_path_buf();
    let work = rows_of(&path, file.max_document_bytes);
    if input.beginning().starts_with(FILE_MAGIC) {
        let (file, guesses) = input.into_file()?;
        let reader = BufReader::new(file);
        let whole = work
            .run(|| FileReader::try_new(reader, None))?
            .map_err(|error| damaged(&path, &error))?;
        let chosen =
            choose_columns(columns, &whole.schema()).map_err(|flaw| Fault::Document(Position::File, flaw))?;
        let batches = whole.map(move |batch| project(batch, &chosen));
        return Ok(Opened {
            items: Box::new(Rows::new(path, "Arrow", columns, work, batches)),
            guesses,
        });
    }
    let (bytes, guesses) = input.into_stream();
    let tail = Tail::default();
    let watched = Watched {
        inner: bytes,
        tail: tail.clone(),
    };
    let mut reader = work
        .run(|| StreamReader::try_new(watched, None))?
        .map_err(|error| damaged(&path, &error))?;
    let chosen =
        choose_columns(columns, &reader.schema()).map_err(|flaw| Fault::Document(Position::File, flaw))?;
    let mut ended = false;
    let batches = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        match reader.next() {
            Some(batch) => Some(project(batch, &chosen)),
            None => {
                ended = true;
                // The reader takes the end of the file for the end of the stream; one that was cut short ends otherwise.
                (!tail.is_end()).then(|| Err("the file ends before the stream does".to_owned()))
            }
        }
    });
    Ok(Opened {
        items: Box::new(Rows::new(path, "Arrow", columns, work, batches)),
        guesses,
    })
}

fn project(batch: Result<RecordBatch, ArrowError>, chosen: &[usize]) -> Result<RecordBatch, String> {
    batch
        .and_then(|batch| batch.project(chosen))
        .map_err(|error| error.to_string())
}

fn damaged(path: &Path, error: &ArrowError) -> Error {
    Error::input(
        path,
        format!("expected an Arrow file, found a damaged or foreign one: {error}"),
    )
}

/// The last bytes that were read.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    fn add(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(END.len())..]);
        let surplus = tail.len().saturating_sub(END.len());
        tail.drain(..surplus);
    }

    fn is_end(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == END
    }
}

struct Watched<R> {
    inner: R,
    tail: Tail,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.tail.add(&buffer[..count]);
        Ok(count)
    }
}
