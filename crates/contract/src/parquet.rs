//! Reading and writing the contract's Parquet files.
//!
//! Writers put rows into zstd groups of a few thousand and give the file its name only when it is whole. Readers stream
//! batches, find columns by name in any order, ignore further ones, and cast what other programs write (large and view
//! strings, wider or narrower integers) to the contract's types.

use std::collections::BTreeMap;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::FileReader;
use ::parquet::file::serialized_reader::SerializedFileReader;
use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;

use crate::files::Unfinished;
use crate::records::{Column, ColumnType, Record};
use crate::{Error, Provenance};

/// Rows in one row group.
const GROUP_ROWS: usize = 4096;

/// Writes records of one kind to a Parquet file that appears whole or not at all.
pub struct Writer<R> {
    output: Unfinished,
    destination: PathBuf,
    writer: ArrowWriter<File>,
    fields: Vec<FieldRef>,
    pending: Vec<R>,
}

impl<R: Record + Clone> Writer<R> {
    /// Begins the file that will be `destination`, with `provenance` in its footer.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be created.
    pub fn create(destination: &Path, provenance: &Provenance) -> Result<Self, Error> {
        let failed = |error| Error::output(destination, error);
        let output = Unfinished::file(destination)?;
        let file = File::create(output.path()).map_err(|error| Error::output(destination, error))?;
        let facts = provenance.to_key_values().into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_key_value_metadata(Some(facts))
            .build();
        let fields = arrow_fields(R::COLUMNS);
        let schema = Arc::new(Schema::new(fields.clone()));
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(failed)?;
        Ok(Self { output, destination: destination.to_path_buf(), writer, fields, pending: Vec::new() })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`Error::Output`] where a full group cannot be written.
    pub fn write(&mut self, record: &R) -> Result<(), Error> {
        self.pending.push(record.clone());
        if self.pending.len() >= GROUP_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds rows.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_all<'a>(&mut self, records: impl IntoIterator<Item = &'a R>) -> Result<(), Error>
    where
        R: 'a,
    {
        records.into_iter().try_for_each(|record| self.write(record))
    }

    /// Writes what is left, syncs, and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Output`] where any of that fails; the file then does not exist.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        self.writer.close().map_err(|error| Error::output(&self.destination, error))?;
        self.output.finish()
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = serde_arrow::to_record_batch(&self.fields, &self.pending)
            .map_err(|error| Error::output(&self.destination, error))?;
        self.pending.clear();
        self.writer.write(&batch).map_err(|error| Error::output(&self.destination, error))?;
        self.writer.flush().map_err(|error| Error::output(&self.destination, error))
    }
}

/// Writes all `records` to `destination` at once.
///
/// # Errors
/// As [`Writer`].
pub fn write_all<R: Record + Clone>(destination: &Path, provenance: &Provenance, records: &[R]) -> Result<(), Error> {
    let mut writer = Writer::create(destination, provenance)?;
    writer.write_all(records)?;
    writer.finish()
}

/// Reads records of one kind, batch by batch.
pub struct Reader<R> {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    rows: usize,
    read: usize,
    record: PhantomData<R>,
}

impl<R: Record> Reader<R> {
    /// Opens a file and checks its columns.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is missing or no Parquet, a missing column, or one of the wrong type.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::input(path, format!("cannot be opened: {error}")))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| Error::input(path, format!("expected a Parquet file, found a damaged or foreign one: {error}")))?;
        check_columns(path, R::COLUMNS, builder.schema())?;
        let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batches = builder
            .with_batch_size(GROUP_ROWS)
            .build()
            .map_err(|error| Error::input(path, format!("cannot be read as Parquet: {error}")))?;
        Ok(Self { path: path.to_path_buf(), batches, rows, read: 0, record: PhantomData })
    }

    /// Number of rows in the file.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn records(&mut self, batch: &RecordBatch) -> Result<Vec<R>, Error> {
        let columns = R::COLUMNS
            .iter()
            .map(|column| self.cast(batch, column))
            .collect::<Result<Vec<ArrayRef>, Error>>()?;
        let schema = Arc::new(Schema::new(arrow_fields(R::COLUMNS)));
        let damaged = |error: &dyn std::fmt::Display| {
            Error::input(&self.path, format!("rows {} to {}: {error}", self.read + 1, self.read + batch.num_rows()))
        };
        let batch = RecordBatch::try_new(schema, columns).map_err(|error| damaged(&error))?;
        let records = serde_arrow::from_record_batch(&batch).map_err(|error| damaged(&error))?;
        self.read += batch.num_rows();
        Ok(records)
    }

    fn cast(&self, batch: &RecordBatch, column: &Column) -> Result<ArrayRef, Error> {
        let expected = data_type(column.kind);
        let problem = |found: &dyn std::fmt::Display| {
            Error::input(&self.path, format!("column {}: expected {}, {found}", column.name, column.kind.name()))
        };
        let array = batch.column_by_name(column.name).ok_or_else(|| problem(&"found no such column"))?;
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let array = cast_with_options(array, &expected, &options).map_err(|error| problem(&error))?;
        if !column.nullable
            && let Some(row) = (0..array.len()).find(|&row| array.is_null(row))
        {
            return Err(problem(&format!("found no value in row {}", self.read + row + 1)));
        }
        Ok(array)
    }
}

impl<R: Record> Iterator for Reader<R> {
    type Item = Result<Vec<R>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(match batch {
            Ok(batch) => self.records(&batch),
            Err(error) => Err(Error::input(
                &self.path,
                format!("damaged after row {}: {error}. Make it again with the stage that writes it", self.read),
            )),
        })
    }
}

/// Reads a whole file of records.
///
/// # Errors
/// As [`Reader`].
pub fn read_all<R: Record>(path: &Path) -> Result<Vec<R>, Error> {
    let mut records = Vec::new();
    for batch in Reader::open(path)? {
        records.extend(batch?);
    }
    Ok(records)
}

/// The provenance in a file's footer; `None` where the file is missing, damaged, or written by another program.
pub fn provenance(path: &Path) -> Option<Provenance> {
    let reader = SerializedFileReader::new(File::open(path).ok()?).ok()?;
    let facts = reader.metadata().file_metadata().key_value_metadata()?;
    let facts: BTreeMap<String, String> =
        facts.iter().filter_map(|fact| Some((fact.key.clone(), fact.value.clone()?))).collect();
    Provenance::from_key_values(&facts)
}

fn check_columns(path: &Path, columns: &[Column], schema: &Schema) -> Result<(), Error> {
    for column in columns {
        let Ok(field) = schema.field_with_name(column.name) else {
            let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            return Err(Error::input(
                path,
                format!("column {} is missing: expected {}, found the columns {found}", column.name, column.kind.name()),
            ));
        };
        if !castable(field.data_type(), column) {
            return Err(Error::input(
                path,
                format!("column {}: expected {}, found {}", column.name, column.kind.name(), field.data_type()),
            ));
        }
    }
    Ok(())
}

/// Whether a reader may cast: within text, whole numbers, real numbers, truth values, and lists of these. A column of nulls
/// alone has no type of its own and stands for any nullable one.
fn castable(found: &DataType, column: &Column) -> bool {
    match (found, data_type(column.kind)) {
        (DataType::Null, _) => column.nullable,
        (
            DataType::List(found) | DataType::LargeList(found) | DataType::ListView(found) | DataType::LargeListView(found),
            DataType::List(expected),
        ) => same_family(found.data_type(), expected.data_type()) || found.data_type() == &DataType::Null,
        (found, expected) => same_family(found, &expected),
    }
}

fn same_family(found: &DataType, expected: &DataType) -> bool {
    match expected {
        DataType::Utf8 => match found {
            DataType::Dictionary(_, values) => same_family(values, expected),
            found => matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        },
        DataType::Int32 | DataType::Int64 => found.is_integer(),
        DataType::Float32 | DataType::Float64 => found.is_floating(),
        DataType::Boolean => found == &DataType::Boolean,
        _ => false,
    }
}

impl ColumnType {
    /// The type's name as messages and the documentation write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::ListInt32 => "list of int32",
            Self::ListFloat32 => "list of float32",
            Self::ListBool => "list of bool",
        }
    }
}

fn data_type(kind: ColumnType) -> DataType {
    let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
    match kind {
        ColumnType::Text => DataType::Utf8,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float32 => DataType::Float32,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::ListInt32 => list(DataType::Int32),
        ColumnType::ListFloat32 => list(DataType::Float32),
        ColumnType::ListBool => list(DataType::Boolean),
    }
}

fn arrow_fields(columns: &[Column]) -> Vec<FieldRef> {
    columns.iter().map(|column| Arc::new(Field::new(column.name, data_type(column.kind), column.nullable))).collect()
}
