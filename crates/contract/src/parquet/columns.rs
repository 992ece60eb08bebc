//! The contract's columns in Arrow's types, and how columns of other types come to be them.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;

use crate::Error;
use crate::records::{Column, ColumnType};

/// The columns as a writer hands them to Arrow.
pub(super) fn fields(columns: &[Column]) -> Vec<FieldRef> {
    let field = |column: &Column| Arc::new(Field::new(column.name, data_type(column.kind), column.nullable));
    columns.iter().map(field).collect()
}

/// Whether a file has all of `columns` but those that are `optional`, each of a type that [`cast`]
/// takes.
pub(super) fn check(
    path: &Path,
    schema: &Schema,
    columns: &[Column],
    optional: &[&str],
) -> Result<(), Error> {
    for column in columns {
        let expected = column.kind.name();
        let problem = match schema.field_with_name(column.name) {
            Ok(field) if castable(field.data_type(), column) => continue,
            Ok(field) => format!(
                "column {}: expected {expected}, found {}",
                column.name,
                field.data_type()
            ),
            Err(_) if optional.contains(&column.name) => continue,
            Err(_) => format!(
                "column {} is missing: expected {expected}, found the columns {}",
                column.name,
                names(schema)
            ),
        };
        return Err(Error::input(path, problem));
    }
    Ok(())
}

fn names(schema: &Schema) -> String {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    names.join(", ")
}

/// One column of a batch in the contract's type, checked for values that are not there or do not
/// fit; all nulls where the file has no such column, which [`check`] allows for a few. `before` is
/// the number of rows in the batches before, so that a message can name the row.
pub(super) fn cast(
    path: &Path,
    batch: &RecordBatch,
    column: &Column,
    before: usize,
) -> Result<ArrayRef, Error> {
    let problem = |found: &dyn std::fmt::Display| {
        Error::input(
            path,
            format!("column {}: expected {}, {found}", column.name, column.kind.name()),
        )
    };
    let Some(array) = batch.column_by_name(column.name) else {
        return Ok(new_null_array(&data_type(column.kind), batch.num_rows()));
    };
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let array =
        cast_with_options(array, &data_type(column.kind), &options).map_err(|error| problem(&error))?;
    let missing = (0..array.len()).find(|&row| array.is_null(row) && !column.nullable);
    if let Some(row) = missing {
        return Err(problem(&format!("found no value in row {}", before + row + 1)));
    }
    if let Some(row) = list_without_value(&array) {
        return Err(problem(&format!(
            "found a list that lacks a value in row {}",
            before + row + 1
        )));
    }
    Ok(array)
}

/// The first list with a null in it; the contract's lists have none.
fn list_without_value(array: &ArrayRef) -> Option<usize> {
    let mut lists = array.as_list_opt::<i32>()?.iter();
    lists.position(|list| list.is_some_and(|values| values.null_count() > 0))
}

/// Whether a reader may cast: within text, whole numbers, real numbers, truth values, and lists of
/// these. A column of nulls alone has no type of its own and stands for any nullable one.
fn castable(found: &DataType, column: &Column) -> bool {
    match (found, data_type(column.kind)) {
        (DataType::Null, _) => column.nullable,
        (
            DataType::List(found)
            | DataType::LargeList(found)
            | DataType::ListView(found)
            | DataType::LargeListView(found),
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
        ColumnType::ListText => list(DataType::Utf8),
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
            Self::ListText => "list of string",
        }
    }
}
