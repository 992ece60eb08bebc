//! Reading and writing the contract's Parquet files.
//!
//! Writers put rows into zstd groups of a few thousand and give the file its name only when it is
//! whole. Readers stream batches, find columns by name in any order, ignore further ones, and cast
//! what other programs write (large and view strings, wider or narrower integers) to the contract's
//! types.

mod columns;
mod file;
mod footer;

pub use file::{EndingReader, ParquetFile};

use std::collections::BTreeMap;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData, RowGroupMetaData};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::FileReader;
use ::parquet::file::serialized_reader::SerializedFileReader;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{FieldRef, Int64Type, Schema};
use arrow::record_batch::RecordBatch;

use crate::files::AtomicFile;
use crate::foreign::Work;
use crate::records::{Column, ColumnType, Record};
use crate::seal::{self, Seal};
use crate::{Error, Provenance};

/// What a file's footer says of the program that wrote it. What begins so has a seal.
const WRITTEN_BY: &str = concat!("contract version ", env!("CARGO_PKG_VERSION"));
const WRITER: &str = "contract version ";

/// Key of the seal in a file's footer.
const SEAL: &str = "seal";

/// Rows in one row group.
const GROUP_ROWS: usize = 4096;

/// Bytes of rows that a reader holds at once, about: fewer rows where they are long.
const BATCH_BYTES: i64 = 64 << 20;

/// The column of a part's file that says what each row is about, by its number in the whole.
const PLACE: Column = Column {
    name: "place",
    kind: ColumnType::Int64,
    nullable: false,
};

/// Memory that the next rows of a file may take, beside so many times its length, and the time for
/// them in seconds. Another program may write all rows as one group.
const GROUP_MAX_BYTES: u64 = 4 << 30;
const TIMES_IN_MEMORY: u64 = 8;
const MAX_SECONDS: u64 = 600;

/// Writes records of one kind to a Parquet file that appears whole or not at all.
pub struct Writer<R> {
    output: AtomicFile,
    destination: PathBuf,
    rows: ArrowWriter<File>,
    fields: Vec<FieldRef>,
    pending: Vec<R>,
    /// Of a part's file, the places of the pending rows.
    places: Option<Vec<i64>>,
}

impl<R: Record + Clone> Writer<R> {
    /// Begins the file that will be `destination`, with `provenance` in its footer.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be created.
    pub fn create(destination: &Path, provenance: &Provenance) -> Result<Self, Error> {
        Self::create_with(destination, provenance, false)
    }

    /// Begins a file with or without places.
    fn create_with(destination: &Path, provenance: &Provenance, has_places: bool) -> Result<Self, Error> {
        let failed = |error| Error::output(destination, error);
        let output = AtomicFile::create(destination)?;
        let file = File::create(output.path()).map_err(|error| Error::output(destination, error))?;
        let folder = destination
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let facts = provenance
            .to_key_values(folder.unwrap_or(Path::new(".")))
            .into_iter()
            .map(|(key, value)| KeyValue::new(key, value))
            .chain([KeyValue::new(SEAL.to_owned(), seal::open())])
            .collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(WRITTEN_BY.to_owned())
            .set_key_value_metadata(Some(facts))
            .build();
        let fields = columns::fields(R::COLUMNS);
        let further = if has_places {
            columns::fields(&[PLACE])
        } else {
            Vec::new()
        };
        let schema = Arc::new(Schema::new([&fields[..], &further].concat()));
        let rows = ArrowWriter::try_new(file, schema, Some(properties)).map_err(failed)?;
        Ok(Self {
            output,
            destination: destination.to_path_buf(),
            rows,
            fields,
            pending: Vec::new(),
            places: has_places.then(Vec::new),
        })
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
        self.rows
            .close()
            .map_err(|error| Error::output(&self.destination, error))?;
        let written = self.output.path();
        let footer = seal::parquet_footer(written).map_err(|error| Error::output(written, error))?;
        seal::close(written, footer)?;
        self.output.commit()
    }

    /// Writes the rows so far as a row group, for rows so long that a few thousand of them should
    /// not wait in memory.
    ///
    /// # Errors
    /// [`Error::Output`] where the group cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut batch = serde_arrow::to_record_batch(&self.fields, &self.pending)
            .map_err(|error| Error::output(&self.destination, error))?;
        self.pending.clear();
        if let Some(places) = &mut self.places {
            batch = with_places(&batch, std::mem::take(places))
                .map_err(|error| Error::output(&self.destination, error))?;
        }
        self.rows
            .write(&batch)
            .map_err(|error| Error::output(&self.destination, error))?;
        self.rows
            .flush()
            .map_err(|error| Error::output(&self.destination, error))
    }
}

/// Writes all `records` to `destination` at once.
///
/// # Errors
/// As [`Writer`].
pub fn write_all<R: Record + Clone>(
    destination: &Path,
    provenance: &Provenance,
    records: &[R],
) -> Result<(), Error> {
    let mut writer = Writer::create(destination, provenance)?;
    writer.write_all(records)?;
    writer.finish()
}

/// Writes rows to `destination` at once, each of which comes with its place: the number of what it
/// is about among all that the stage works on, ascending. The file has the places only where
/// `provenance` is that of a part, which is going to be put together with others.
///
/// # Errors
/// As [`Writer`].
pub fn write_placed<'a, R: Record + Clone + 'a>(
    destination: &Path,
    provenance: &Provenance,
    rows: impl IntoIterator<Item = (i64, &'a R)>,
) -> Result<(), Error> {
    let mut writer = Writer::create_with(destination, provenance, provenance.part.is_some())?;
    for (place, row) in rows {
        if let Some(places) = &mut writer.places {
            places.push(place);
        }
        writer.write(row)?;
    }
    writer.finish()
}

/// A batch with a column of places after the others.
fn with_places(batch: &RecordBatch, places: Vec<i64>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
    let schema = Schema::new([fields, columns::fields(&[PLACE])].concat());
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(places)));
    RecordBatch::try_new(Arc::new(schema), columns)
}

/// Reads records of one kind, batch by batch.
pub struct Reader<R> {
    path: PathBuf,
    work: Arc<Work>,
    batches: ParquetRecordBatchReader,
    rows: usize,
    read: usize,
    record: PhantomData<R>,
}

impl<R: Record> Reader<R> {
    /// Opens a file, checks its columns, and where one of our stages wrote it, that its bytes are
    /// those that were written.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is missing, damaged or no Parquet, a missing column, or one
    /// of the wrong type.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, &[])
    }

    /// The same, with columns beside those of the record, all of which the file must have.
    fn open_with(path: &Path, further: &[Column]) -> Result<Self, Error> {
        let file =
            File::open(path).map_err(|error| Error::input(path, format!("cannot be opened: {error}")))?;
        let file = ParquetFile::new(path, file)?;
        let work = reading(path);
        let builder = work
            .run(|| ParquetRecordBatchReaderBuilder::try_new(file))?
            .map_err(|error| no_parquet(path, &error))?;
        check_places(path, builder.metadata())?;
        seal_of(path, builder.metadata())?.unbroken(path)?;
        columns::check(path, builder.schema(), R::COLUMNS, R::OPTIONAL_COLUMNS)?;
        columns::check(path, builder.schema(), further, &[])?;
        let wanted = R::COLUMNS
            .iter()
            .chain(further)
            .filter_map(|column| builder.schema().index_of(column.name).ok());
        let projection = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batch_rows = batch_rows(builder.metadata());
        let batches = builder
            .with_projection(projection)
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| Error::input(path, format!("cannot be read as Parquet: {error}")))?;
        Ok(Self {
            path: path.to_path_buf(),
            work,
            batches,
            rows,
            read: 0,
            record: PhantomData,
        })
    }

    /// Number of rows in the file.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch, Error>> {
        let batch = self.batches.next()?;
        Some(batch.map_err(|error| {
            Error::input(
                &self.path,
                format!(
                    "damaged after row {}: {error}. Make it again with the stage that writes it",
                    self.read
                ),
            )
        }))
    }

    fn records(&mut self, batch: &RecordBatch) -> Result<Vec<R>, Error> {
        let columns = R::COLUMNS
            .iter()
            .map(|column| columns::cast(&self.path, batch, column, self.read))
            .collect::<Result<Vec<ArrayRef>, Error>>()?;
        let schema = Arc::new(Schema::new(columns::fields(R::COLUMNS)));
        let damaged = |error: &dyn std::fmt::Display| {
            Error::input(
                &self.path,
                format!(
                    "rows {} to {}: {error}",
                    self.read + 1,
                    self.read + batch.num_rows()
                ),
            )
        };
        let batch = RecordBatch::try_new(schema, columns).map_err(|error| damaged(&error))?;
        let records = serde_arrow::from_record_batch(&batch).map_err(|error| damaged(&error))?;
        self.read += batch.num_rows();
        Ok(records)
    }
}

impl<R: Record> Iterator for Reader<R> {
    type Item = Result<Vec<R>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let work = Arc::clone(&self.work);
        let records = work.run(|| {
            let batch = self.next_batch()?;
            Some(batch.and_then(|batch| self.records(&batch)))
        });
        records.unwrap_or_else(|error| Some(Err(error)))
    }
}

/// Reads the rows of a part's file, each with its place.
pub(crate) struct PlacedReader<R> {
    reader: Reader<R>,
}

impl<R: Record> PlacedReader<R> {
    /// As [`Reader::open`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            reader: Reader::open_with(path, &[PLACE])?,
        })
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<(i64, R)>, Error> {
        let places = columns::cast(&self.reader.path, batch, &PLACE, self.reader.read)?;
        let places = places.as_primitive::<Int64Type>().values().to_vec();
        let records = self.reader.records(batch)?;
        Ok(places.into_iter().zip(records).collect())
    }
}

impl<R: Record> Iterator for PlacedReader<R> {
    type Item = Result<Vec<(i64, R)>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let work = Arc::clone(&self.reader.work);
        let rows = work.run(|| {
            let batch = self.reader.next_batch()?;
            Some(batch.and_then(|batch| self.rows(&batch)))
        });
        rows.unwrap_or_else(|error| Some(Err(error)))
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

/// Rows to read at once, so that no row group's rows take much more than [`BATCH_BYTES`].
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let rows = metadata.row_groups().iter().map(|group| {
        let bytes_of_row = group.total_byte_size() / group.num_rows().max(1);
        BATCH_BYTES / bytes_of_row.max(1)
    });
    rows.min()
        .map_or(GROUP_ROWS, |rows| (rows as usize).clamp(1, GROUP_ROWS))
}

/// The seal of a file with this footer: what says that it was written here, and has no seal, has a
/// broken one; what another program wrote has none, even where that program took over our facts
/// from a file that it read.
fn seal_of(path: &Path, metadata: &ParquetMetaData) -> Result<Seal, Error> {
    let written_by = metadata.file_metadata().created_by();
    if !written_by.is_some_and(|writer| writer.starts_with(WRITER)) {
        return Ok(Seal::None);
    }
    let footer =
        seal::parquet_footer(path).map_err(|error| Error::input(path, format!("cannot be read: {error}")))?;
    Ok(match seal::check(path, footer)? {
        Seal::Whole => Seal::Whole,
        Seal::Broken | Seal::None => Seal::Broken,
    })
}

/// What a file says of its bytes.
///
/// # Errors
/// [`Error::Input`] for a file that is missing or no Parquet.
pub fn check_seal(path: &Path) -> Result<Seal, Error> {
    seal_of(path, opened(path)?.metadata())
}

/// A file whose footer was read.
fn opened(path: &Path) -> Result<SerializedFileReader<ParquetFile>, Error> {
    let file = File::open(path).map_err(|error| Error::input(path, format!("cannot be opened: {error}")))?;
    let file = ParquetFile::new(path, file)?;
    reading(path)
        .run(|| SerializedFileReader::new(file))?
        .map_err(|error| no_parquet(path, &error))
}

fn no_parquet(path: &Path, error: &ParquetError) -> Error {
    let problem = format!("expected a Parquet file, found a damaged or foreign one: {error}");
    Error::input(path, problem)
}

/// Reading a file, within what it may take: a group of rows is held as Parquet has it, as Arrow has
/// it and as records.
fn reading(path: &Path) -> Arc<Work> {
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let max_bytes = GROUP_MAX_BYTES.saturating_add(length.saturating_mul(TIMES_IN_MEMORY));
    Work::new(path, "reading its rows", max_bytes, MAX_SECONDS)
}

/// The provenance in a file's footer; `None` where the file is missing, damaged, or written by
/// another program.
pub fn provenance(path: &Path) -> Option<Provenance> {
    let reader = opened(path).ok()?;
    if seal_of(path, reader.metadata()).ok()? == Seal::Broken {
        return None;
    }
    let facts = reader.metadata().file_metadata().key_value_metadata()?;
    let facts: BTreeMap<String, String> = facts
        .iter()
        .filter_map(|fact| Some((fact.key.clone(), fact.value.clone()?)))
        .collect();
    Provenance::from_key_values(&facts)
}

/// Rows of any Parquet file, and the uncompressed bytes of those of `columns` that it has, from its
/// footer alone.
///
/// # Errors
/// [`Error::Input`] for a file that is missing or no Parquet.
pub fn extent(path: &Path, columns: &[&str]) -> Result<(u64, u64), Error> {
    let reader = opened(path)?;
    let rows = reader.metadata().file_metadata().num_rows();
    let chunks = reader
        .metadata()
        .row_groups()
        .iter()
        .flat_map(RowGroupMetaData::columns);
    let bytes = chunks
        .filter(|chunk| columns.contains(&chunk.column_path().string().as_str()))
        .map(|chunk| chunk.uncompressed_size().max(0) as u64)
        .fold(0, u64::saturating_add);
    Ok((rows.max(0) as u64, bytes))
}

/// Whether the places that the footer gives can be places in the file. The library takes them on
/// trust, and stops the program where one is negative.
///
/// # Errors
/// [`Error::Input`] where they cannot.
pub fn check_places(path: &Path, metadata: &ParquetMetaData) -> Result<(), Error> {
    let mut chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let possible = |chunk: &ColumnChunkMetaData| {
        chunk.data_page_offset() >= 0
            && chunk.dictionary_page_offset().is_none_or(|place| place >= 0)
            && chunk.compressed_size() >= 0
    };
    match chunks.find(|chunk| !possible(chunk)) {
        Some(chunk) => Err(Error::input(
            path,
            format!(
                "damaged: its footer places column {} outside the file",
                chunk.column_path().string()
            ),
        )),
        None => Ok(()),
    }
}
