//! Parquet: only the columns asked for are read, a batch of rows at a time.

use std::fs::File;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use contract::Error;
use contract::parquet::ParquetFile;
use contract::pipeline::CorpusFormat;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::table::{Rows, choose_columns};
use super::{Format, Opened, never};
use crate::columns::Columns;
use crate::discovery::CorpusFile;
use crate::document::{Fault, Position};
use crate::input::{Input, without_compression};
use crate::limits::rows_of;
use crate::size::FileSize;

pub(super) static PARQUET: Format = Format {
    name: "Parquet",
    setting: CorpusFormat::Parquet,
    endings: &[&["parquet", "pq"]],
    has_columns: true,
    is_certain: |beginning| beginning.starts_with(b"PAR1"),
    is_likely: never,
    open,
    size,
};

/// Most rows in one batch.
const BATCH_ROWS: usize = 4096;

/// Bytes that a batch may take, by the file's own account of its rows.
const BATCH_BYTES: usize = 32 << 20;

fn open(input: Input, file: &CorpusFile, columns: &Columns) -> Result<Opened, Fault> {
    let path = input.path().to_path_buf();
    let work = rows_of(&path, file.max_document_bytes);
    let damaged = |error| {
        Error::input(
            &path,
            format!("expected a Parquet file, found a damaged or foreign one: {error}"),
        )
    };
    let (file, guesses) = input.into_file()?;
    let file = ParquetFile::new(&path, file)?;
    let builder = work
        .run(|| ParquetRecordBatchReaderBuilder::try_new(file))?
        .map_err(damaged)?;
    contract::parquet::check_places(&path, builder.metadata())?;
    let chosen =
        choose_columns(columns, builder.schema()).map_err(|flaw| Fault::Document(Position::File, flaw))?;
    let projection = ProjectionMask::roots(builder.parquet_schema(), chosen);
    let rows = batch_rows(builder.metadata());
    let batches = builder
        .with_projection(projection)
        .with_batch_size(rows)
        .build()
        .map_err(damaged)?
        .map(|batch: Result<RecordBatch, ArrowError>| batch.map_err(|error| error.to_string()));
    Ok(Opened {
        items: Box::new(Rows::new(path, "Parquet", columns, work, batches)),
        guesses,
    })
}

/// Rows in one batch: fewer where they are long.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let groups = metadata.row_groups().iter();
    let longest = groups
        .map(|group| group.total_byte_size() / group.num_rows().max(1))
        .max()
        .unwrap_or(0);
    (BATCH_BYTES / usize::try_from(longest).unwrap_or(1).max(1)).clamp(1, BATCH_ROWS)
}

/// Rows and bytes of the text's columns, as the footer has them.
fn size(file: &CorpusFile, columns: &Columns) -> Result<Option<FileSize>, Error> {
    if without_compression(&file.path) != file.path {
        return Ok(None);
    }
    let opened = File::open(&file.path)
        .map_err(|error| Error::input(&file.path, format!("cannot be opened: {error}")))?;
    let opened = ParquetFile::new(&file.path, opened)?;
    let work = rows_of(&file.path, file.max_document_bytes);
    let builder = work.run(|| ParquetRecordBatchReaderBuilder::try_new(opened))?;
    let schema = builder.map(|builder| builder.schema().clone()).ok();
    let fields = schema.iter().flat_map(|schema| schema.fields());
    let found: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
    let has = |name: &str| found.contains(&name);
    let names = match columns.text_names(has, &found) {
        Ok(names) if !columns.takes_lists(has) => names,
        // Of conversations only reading tells how much text they are; and reading tells what is missing.
        _ => return Ok(None),
    };
    let (rows, bytes) = contract::parquet::extent(&file.path, &names)?;
    Ok(Some(FileSize {
        documents: rows as f64,
        text_bytes: bytes as f64,
        sampled: Vec::new(),
    }))
}
