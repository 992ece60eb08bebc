//! One row that is not in a file of the corpus: a JSON object with the columns of one.

use serde_json::{Map, Value as Json};

use crate::columns::{Columns, Row, Value, no_value, number_key, wrong_type};
use crate::document::{Flaw, Position, RawDocument};

impl Columns {
    /// Makes a document out of an object whose members are columns, as a row of a file is made one. Where the object does not have
    /// the columns that the settings name, `otherwise` reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn record(&self, object: &Map<String, Json>, otherwise: &Self) -> Result<RawDocument, Flaw> {
        let row = Record(object);
        let names = row.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let columns = match self.text_names(|name| row.has(name), &names) {
            Ok(_) => self,
            Err(_) => otherwise,
        };
        // What identifies a document of the corpus is no column of a record that was made beside it.
        let columns = Self {
            identity: None,
            ..columns.clone()
        };
        columns.document(Position::Row(0), &row)
    }
}

struct Record<'a>(&'a Map<String, Json>);

impl Row for Record<'_> {
    fn value(&self, column: &str) -> Result<Value<'_>, Flaw> {
        match self.0.get(column) {
            None | Some(Json::Null) => Err(no_value(column)),
            Some(Json::String(text)) => Ok(Value::text(text.as_str())),
            Some(Json::Number(number)) => Ok(Value::Key {
                key: number.as_f64().map_or_else(|| number.to_string(), number_key),
                is: "a number",
            }),
            Some(Json::Bool(_)) => Err(wrong_type(column, "a string", "true or false")),
            Some(Json::Array(_)) => Err(wrong_type(column, "a string", "a list")),
            Some(Json::Object(_)) => Err(wrong_type(column, "a string", "an object")),
        }
    }

    fn has(&self, column: &str) -> bool {
        self.0.contains_key(column)
    }

    fn nested(&self, column: &str) -> Result<(Json, bool), Flaw> {
        self.0
            .get(column)
            .map(|value| (value.clone(), false))
            .ok_or_else(|| no_value(column))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
