//! Rows of Arrow batches, as Parquet and Arrow files give them.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Float64Array, LargeBinaryArray, LargeStringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use contract::Error;
use contract::foreign::Work;
use serde_json::Value as Json;

use crate::columns::{CHAT, Columns, Row, Value, missing, no_value, number_key, wrong_type};
use crate::document::{Fault, Flaw, Item, Position};
use crate::encoding::decode;

/// The places of the columns in a schema, each checked for its type.
pub(super) fn choose_columns(columns: &Columns, schema: &Schema) -> Result<Vec<usize>, Flaw> {
    let found: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let has = |name: &str| found.contains(&name);
    let takes_lists = columns.takes_lists(has);
    let texts = columns.text_names(has, &found)?;
    let texts = texts.into_iter().map(|name| (name, "string"));
    let identity = columns
        .identity
        .as_deref()
        .map(|name| (name, "string, number or UUID"));
    let required = texts.chain(identity).map(|(name, expected)| {
        let Some((index, field)) = schema.column_with_name(name) else {
            return Err(missing(name, found.iter().copied()));
        };
        let found = field.data_type();
        match kind_of(found) {
            Some(Kind::Strings | Kind::Bytes) => Ok(index),
            Some(Kind::Lists) if takes_lists && expected == "string" => Ok(index),
            Some(Kind::Lists) if is_chat(found) => Err(wrong_type(name, expected, CHAT)),
            Some(Kind::Lists) => Err(wrong_type(name, expected, &found.to_string())),
            Some(_) if expected != "string" => Ok(index),
            _ => Err(wrong_type(name, expected, &found.to_string())),
        }
    });
    let mut chosen = required.collect::<Result<Vec<usize>, Flaw>>()?;
    let readable = |name: &str| {
        let (index, field) = schema.column_with_name(name)?;
        let kind = kind_of(field.data_type());
        let is_list = takes_lists && kind == Some(Kind::Lists);
        (is_list || matches!(kind, Some(Kind::Strings | Kind::Bytes))).then_some(index)
    };
    chosen.extend(columns.optional_names(has).into_iter().filter_map(readable));
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
    /// Lists and structures, which may be conversations.
    Lists,
}

fn kind_of(found: &DataType) -> Option<Kind> {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Some(Kind::Strings),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Kind::Bytes),
        DataType::FixedSizeBinary(_) => Some(Kind::FixedBytes),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(Kind::Reals),
        found if found.is_integer() => Some(Kind::Integers),
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Struct(_) => {
            Some(Kind::Lists)
        }
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
    work: Arc<Work>,
    batches: B,
    batch: Batch,
    /// The next row of the batch.
    next: usize,
    /// Rows before the batch.
    before: usize,
}

impl<B: Iterator<Item = Result<RecordBatch, String>>> Rows<B> {
    /// What the libraries do with the rows is done within `work`.
    pub(super) fn new(
        path: PathBuf,
        format: &'static str,
        columns: &Columns,
        work: Arc<Work>,
        batches: B,
    ) -> Self {
        Self {
            path,
            format,
            columns: columns.clone(),
            work,
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
    Lists(ArrayRef),
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
            Kind::Lists => Self::Lists(array),
        }))
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Strings(array) | Self::Integers(array) => array,
            Self::Bytes(array) => array,
            Self::Reals(array) => array,
            Self::FixedBytes(array) => array,
            Self::Lists(array) => array,
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
            let work = Arc::clone(&self.work);
            let batch = work.run(|| {
                let batch = self.batches.next()?;
                Some(batch.and_then(|batch| Batch::new(&batch)))
            });
            match batch {
                Ok(None) => return None,
                Ok(Some(Ok(batch))) => self.batch = batch,
                Err(error) => return Some(Err(Fault::File(error))),
                Ok(Some(Err(problem))) => {
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
            work: &self.work,
        };
        self.next += 1;
        let position = Position::Row((self.before + self.next) as u64);
        let document = self.columns.document(position, &row);
        Some(document.map_err(|flaw| Fault::of_document(&self.path, position, flaw)))
    }
}

struct BatchRow<'a> {
    batch: &'a Batch,
    row: usize,
    work: &'a Arc<Work>,
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
            Values::Lists(list) => return Err(wrong_type(name, "a string", &list.data_type().to_string())),
        })
    }

    fn nested(&self, name: &str) -> Result<(Json, bool), Flaw> {
        let column = self.batch.columns.iter().find(|(column, _)| column == name);
        match column {
            Some((_, Values::Lists(list))) => {
                let value = self.work.run(|| json_of(list, self.row));
                let value = value
                    .map_err(|error| error.to_string())
                    .flatten()
                    .map_err(|problem| wrong_type(name, "text or a list of messages", &problem));
                Ok((value?, false))
            }
            _ => match self.value(name)? {
                Value::Text { text, replaced } => Ok((Json::String(text.into_owned()), replaced)),
                Value::Key { is, .. } => Err(wrong_type(name, "text or a list of messages", is)),
            },
        }
    }

    fn has(&self, name: &str) -> bool {
        self.batch.columns.iter().any(|(column, _)| column == name)
    }

    fn names(&self) -> Vec<String> {
        self.batch
            .columns
            .iter()
            .map(|(column, _)| column.clone())
            .collect()
    }
}

/// The value of a row with all that it holds; what is neither text, number, list nor structure is null.
fn json_of(array: &dyn Array, row: usize) -> Result<Json, String> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    let all = |list: ArrayRef| {
        (0..list.len())
            .map(|row| json_of(&list, row))
            .collect::<Result<_, _>>()
    };
    let one = || array.slice(row, 1);
    Ok(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = cast(&one(), &DataType::LargeUtf8).map_err(|error| error.to_string())?;
            Json::String(text.as_string::<i64>().value(0).to_owned())
        }
        DataType::Dictionary(_, values) => {
            json_of(&cast(&one(), values).map_err(|error| error.to_string())?, 0)?
        }
        DataType::List(_) => Json::Array(all(array.as_list::<i32>().value(row))?),
        DataType::LargeList(_) => Json::Array(all(array.as_list::<i64>().value(row))?),
        DataType::FixedSizeList(..) => Json::Array(all(array.as_fixed_size_list().value(row))?),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| json_of(column, row).map(|value| (field.name().clone(), value)));
            Json::Object(members.collect::<Result<_, _>>()?)
        }
        DataType::Boolean => Json::Bool(array.as_boolean().value(row)),
        number if number.is_numeric() => {
            let kind = if number.is_integer() {
                DataType::Int64
            } else {
                DataType::Float64
            };
            let number = cast(&one(), &kind).map_err(|error| error.to_string())?;
            match kind {
                DataType::Int64 => number.as_primitive::<Int64Type>().value(0).into(),
                _ => number.as_primitive::<Float64Type>().value(0).into(),
            }
        }
        _ => Json::Null,
    })
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
