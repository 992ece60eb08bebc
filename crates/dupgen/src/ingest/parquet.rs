//! Parquet: only the columns asked for are read, a batch of rows at a time.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use contract::Error;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::columns::{Cell, Columns, missing, no_value};
use super::{Fault, Item, Position, cannot_open};

/// Most rows in one batch.
const BATCH_ROWS: usize = 4096;

/// Bytes that a batch may take, by the file's own account of its rows.
const BATCH_BYTES: usize = 32 << 20;

pub(super) fn open(path: &Path, columns: &Columns) -> Result<impl Iterator<Item = Item> + use<>, Error> {
    let file = File::open(path).map_err(cannot_open(path))?;
    let damaged = |error| {
        Error::input(
            path,
            format!("expected a Parquet file, found a damaged or foreign one: {error}"),
        )
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    let chosen = choose_columns(path, columns, builder.schema())?;
    let projection = ProjectionMask::roots(builder.parquet_schema(), chosen);
    let rows = batch_rows(builder.metadata());
    let batches = builder
        .with_projection(projection)
        .with_batch_size(rows)
        .build()
        .map_err(damaged)?;
    Ok(Rows {
        path: path.to_path_buf(),
        columns: columns.clone(),
        batches,
        batch: Batch::default(),
        next: 0,
        before: 0,
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

/// The places of the columns in the schema, each checked for its type.
fn choose_columns(path: &Path, columns: &Columns, schema: &Schema) -> Result<Vec<usize>, Error> {
    let texts = columns.text_names().into_iter().map(|name| (name, "string"));
    let identity = columns
        .identity
        .as_deref()
        .map(|name| (name, "string or integer"));
    texts
        .chain(identity)
        .map(|(name, expected)| {
            let Some((index, field)) = schema.column_with_name(name) else {
                let found = schema.fields().iter().map(|field| field.name().as_str());
                return Err(Error::input(path, missing(name, found)));
            };
            let found = field.data_type();
            if is_text(found) || (expected != "string" && found.is_integer()) {
                return Ok(index);
            }
            Err(Error::input(
                path,
                format!("column {name}: expected {expected}, found {found}"),
            ))
        })
        .collect()
}

fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

struct Rows {
    path: PathBuf,
    columns: Columns,
    batches: ParquetRecordBatchReader,
    batch: Batch,
    /// The next row of the batch.
    next: usize,
    /// Rows before the batch.
    before: usize,
}

/// The columns of a batch by name, whatever they were, as strings.
#[derive(Default)]
struct Batch {
    columns: Vec<(String, LargeStringArray)>,
    rows: usize,
}

impl Batch {
    fn new(batch: &RecordBatch) -> Result<Self, String> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
            let strings = cast(array, &DataType::LargeUtf8).map_err(|error| error.to_string())?;
            let strings = strings.as_any().downcast_ref::<LargeStringArray>();
            Ok((
                field.name().clone(),
                strings.cloned().ok_or("a cast gave no strings")?,
            ))
        });
        Ok(Self {
            columns: columns.collect::<Result<_, String>>()?,
            rows: batch.num_rows(),
        })
    }
}

impl Iterator for Rows {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        while self.next == self.batch.rows {
            self.before += self.batch.rows;
            self.next = 0;
            let batch = self.batches.next()?.map_err(|error| error.to_string());
            match batch.and_then(|batch| Batch::new(&batch)) {
                Ok(batch) => self.batch = batch,
                Err(problem) => {
                    let problem = format!(
                        "expected a whole Parquet file, found damage after row {}: {problem}",
                        self.before
                    );
                    return Some(Err(Fault::File(Error::input(&self.path, problem))));
                }
            }
        }
        let row = self.next;
        self.next += 1;
        let position = Position::Row((self.before + row + 1) as u64);
        Some(self.columns.document(position, |name| {
            let column = self.batch.columns.iter().find(|(column, _)| column == name);
            match column {
                Some((_, strings)) if strings.is_valid(row) => {
                    Ok(Cell::Text(Cow::Borrowed(strings.value(row))))
                }
                _ => Err(no_value(name)),
            }
        }))
    }
}
