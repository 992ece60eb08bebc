//! JSONL: one JSON object a line. Blank lines are passed over.

use std::borrow::Cow;
use std::path::Path;

use contract::Error;
use serde_json::{Map, Value};

use super::columns::{Cell, Columns, missing, no_value, wrong_type};
use super::lines::Lines;
use super::{Fault, Flaw, Item, Position, Reason, decode};

pub(super) fn open(path: &Path, columns: &Columns) -> Result<impl Iterator<Item = Item> + use<>, Error> {
    let columns = columns.clone();
    Ok(Lines::open(path)?.filter_map(move |line| match line {
        Err(error) => Some(Err(Fault::File(error))),
        Ok(line) if line.bytes.trim_ascii().is_empty() => None,
        Ok(line) => Some(document(&line.bytes, Position::Line(line.number), &columns)),
    }))
}

fn document(line: &[u8], position: Position, columns: &Columns) -> Item {
    let object = object(line).map_err(|flaw| Fault::Document(position, flaw))?;
    columns.document(position, |name| cell(&object, name))
}

fn object(line: &[u8]) -> Result<Map<String, Value>, Flaw> {
    let malformed = |problem: String| Flaw::new(Reason::Malformed, problem);
    match serde_json::from_str(decode(line)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(malformed(format!(
            "expected one JSON object a line, found {}",
            type_name(&other)
        ))),
        Err(error) => {
            let message = error.to_string();
            // serde_json counts lines within the line that it was given; only the byte means something here.
            let message = message.split(" at line ").next().unwrap_or_default();
            Err(malformed(format!(
                "byte {}: expected one JSON object a line: {message}",
                error.column()
            )))
        }
    }
}

fn cell<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Cell<'a>, Flaw> {
    match object.get(name) {
        None => Err(Flaw::new(
            Reason::NoValue,
            missing(name, object.keys().map(String::as_str)),
        )),
        Some(Value::Null) => Err(no_value(name)),
        Some(Value::String(text)) => Ok(Cell::Text(Cow::Borrowed(text))),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
            Ok(Cell::Integer(number.to_string()))
        }
        Some(other) => Err(wrong_type(name, "a string", type_name(other))),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
