//! Rows of Arrow batches, as Parquet and Arrow files give them.

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray, Float64Array, LargeBinaryArray, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use contract::Error;

use crate::columns::{CHAT, Columns, Row, Value, missing, no_value, number_key, wrong_type};
use crate::document::{Fault, Flaw, Item, Position};
use crate::encoding::decode;

/// The places of the columns in a schema, each checked for its type.
pub(super) fn choose_columns(columns: &Columns, schema: &Schema) -> Result<Vec<usize>, Flaw> {
    let texts = columns.text_names().into_iter().map(|name| (name, "string"));
    let identity = columns
        .identity
        .as_deref()
        .map(|name| (name, "string, number or UUID"));
    let required = texts.chain(identity).map(|(name, expected)| {
        let Some((index, field)) = schema.column_with_name(name) else {
            let found = schema.fields().iter().map(|field| field.name().as_str());
            return Err(missing(name, found));
        };
        let found = field.data_type();
        match kind_of(found) {
            Some(Kind::Strings | Kind::Bytes) => Ok(index),
            Some(_) if expected != "string" => Ok(index),
            _ if is_chat(found) => Err(wrong_type(name, expected, CHAT)),
            _ => Err(wrong_type(name, expected, &found.to_string())),
        }
    });
    let mut chosen = required.collect::<Result<Vec<usize>, Flaw>>()?;
    let readable = |name: &str| {
        let (index, field) = schema.column_with_name(name)?;
        matches!(kind_of(field.data_type()), Some(Kind::Strings | Kind::Bytes)).then_some(index)
    };
    chosen.extend(columns.optional_names().into_iter().filter_map(readable));
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// How the values of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Strings,
    /// Bytes that may be UTF-8.
    Bytes,
    Integers,
    Reals,
    /// Bytes of one length, which name something.
    FixedBytes,
}

fn kind_of(found: &DataType) -> Option<Kind> {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Some(Kind::Strings),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Kind::Bytes),
        DataType::FixedSizeBinary(_) => Some(Kind::FixedBytes),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(Kind::Reals),
        found if found.is_integer() => Some(Kind::Integers),
        DataType::Dictionary(_, values) => kind_of(values),
        _ => None,
    }
}

/// Whether a column holds the turns of conversations: lists of structures with a role.
fn is_chat(found: &DataType) -> bool {
    match found {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            matches!(item.data_type(), DataType::Struct(fields)
                if fields.find("role").or(fields.find("from")).is_some())
        }
        // As older versions of Hugging Face's datasets write lists of structures.
        DataType::Struct(fields) => {
            let role = fields.find("role").or(fields.find("from"));
            role.is_some_and(|(_, role)| {
                matches!(role.data_type(), DataType::List(_) | DataType::LargeList(_))
            })
        }
        _ => false,
    }
}

/// Rows of batches, one after another. What a batch reports as damaged is a fault of the file.
pub(super) struct Rows<B> {
    path: PathBuf,
    format: &'static str,
    columns: Columns,
    batches: B,
    batch: Batch,
    /// The next row of the batch.
    next: usize,
    /// Rows before the batch.
    before: usize,
}

impl<B: Iterator<Item = Result<RecordBatch, String>>> Rows<B> {
    pub(super) fn new(path: PathBuf, format: &'static str, columns: &Columns, batches: B) -> Self {
        Self {
            path,
            format,
            columns: columns.clone(),
            batches,
            batch: Batch::default(),
            next: 0,
            before: 0,
        }
    }
}

/// The columns of a batch by name.
#[derive(Default)]
struct Batch {
    columns: Vec<(String, Values)>,
    rows: usize,
}

enum Values {
    Strings(LargeStringArray),
    Bytes(LargeBinaryArray),
    Integers(LargeStringArray),
    Reals(Float64Array),
    FixedBytes(FixedSizeBinaryArray),
}

impl Values {
    fn of(array: &ArrayRef) -> Result<Option<Self>, String> {
        let Some(kind) = kind_of(array.data_type()) else {
            return Ok(None);
        };
        let array = match array.data_type() {
            DataType::Dictionary(_, values) => to(array, values)?,
            _ => ArrayRef::clone(array),
        };
        Ok(Some(match kind {
            Kind::Strings => Self::Strings(cast_to(&array, &DataType::LargeUtf8)?),
            Kind::Integers => Self::Integers(cast_to(&array, &DataType::LargeUtf8)?),
            Kind::Bytes => Self::Bytes(cast_to(&array, &DataType::LargeBinary)?),
            Kind::Reals => Self::Reals(cast_to(&array, &DataType::Float64)?),
            Kind::FixedBytes => Self::FixedBytes(cast_to(&array, array.data_type())?),
        }))
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Strings(array) | Self::Integers(array) => array,
            Self::Bytes(array) => array,
            Self::Reals(array) => array,
            Self::FixedBytes(array) => array,
        }
    }
}

fn to(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef, String> {
    cast(array, kind).map_err(|error| error.to_string())
}

fn cast_to<A: Array + Clone + 'static>(array: &ArrayRef, kind: &DataType) -> Result<A, String> {
    let array = to(array, kind)?;
    let array = array.as_any().downcast_ref::<A>().cloned();
    array.ok_or_else(|| format!("a cast gave no {kind}"))
}

impl Batch {
    fn new(batch: &RecordBatch) -> Result<Self, String> {
        let schema = batch.schema();
        let mut columns = Vec::new();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            if let Some(values) = Values::of(array)? {
                columns.push((field.name().clone(), values));
            }
        }
        Ok(Self {
            columns,
            rows: batch.num_rows(),
        })
    }
}

impl<B: Iterator<Item = Result<RecordBatch, String>>> Iterator for Rows<B> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        while self.next == self.batch.rows {
            self.before += self.batch.rows;
            self.next = 0;
            self.batch = Batch::default();
            match self.batches.next()?.and_then(|batch| Batch::new(&batch)) {
                Ok(batch) => self.batch = batch,
                Err(problem) => {
                    let problem = format!(
                        "expected a whole {} file, found damage after row {}: {problem}",
                        self.format, self.before
                    );
                    return Some(Err(Fault::File(Error::input(&self.path, problem))));
                }
            }
        }
        let row = BatchRow {
            batch: &self.batch,
            row: self.next,
        };
        self.next += 1;
        let position = Position::Row((self.before + self.next) as u64);
        let document = self.columns.document(position, &row);
        Some(document.map_err(|flaw| Fault::Document(position, flaw)))
    }
}

struct BatchRow<'a> {
    batch: &'a Batch,
    row: usize,
}

impl Row for BatchRow<'_> {
    fn value(&self, name: &str) -> Result<Value<'_>, Flaw> {
        let column = self.batch.columns.iter().find(|(column, _)| column == name);
        let Some((_, values)) = column.filter(|(_, values)| values.array().is_valid(self.row)) else {
            return Err(no_value(name));
        };
        Ok(match values {
            Values::Strings(strings) => Value::text(strings.value(self.row)),
            Values::Integers(integers) => Value::Key {
                key: integers.value(self.row).to_owned(),
                is: "a number",
            },
            Values::Reals(reals) if reals.value(self.row).is_nan() => return Err(no_value(name)),
            Values::Reals(reals) => Value::Key {
                key: number_key(reals.value(self.row)),
                is: "a number",
            },
            Values::Bytes(bytes) => {
                let bytes = bytes.value(self.row);
                match decode(bytes) {
                    Ok(text) => Value::text(text),
                    // A UUID is good for an identity.
                    Err(_) if bytes.len() == 16 => Value::Key {
                        key: hexadecimal(bytes),
                        is: "bytes that are no text",
                    },
                    Err(flaw) => return Err(flaw.at(format_args!("column {name}, "))),
                }
            }
            Values::FixedBytes(bytes) => Value::Key {
                key: hexadecimal(bytes.value(self.row)),
                is: "bytes of a fixed length",
            },
        })
    }

    fn has(&self, name: &str) -> bool {
        self.batch.columns.iter().any(|(column, _)| column == name)
    }
}

/// Bytes in hexadecimal; sixteen of them as a UUID is written.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len() + 4);
    for (number, byte) in bytes.iter().enumerate() {
        if bytes.len() == 16 && [4, 6, 8, 10].contains(&number) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
