//! Texts from a file, in an order drawn at random.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use contract::parquet;
use contract::records::{Column, ColumnType, Record};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    text: String,
}

impl Record for Text {
    const COLUMNS: &'static [Column] = &[Column {
        name: "text",
        kind: ColumnType::Text,
        nullable: false,
    }];
}

/// The texts of a Parquet file, or else of a file of JSON lines; the order follows from `seed` and from their places.
pub(crate) fn read(file: &Path, seed: u64) -> Result<Vec<String>, Box<dyn Error>> {
    let texts: Vec<Text> = if file.extension().is_some_and(|extension| extension == "parquet") {
        parquet::read_all(file)?
    } else {
        std::fs::read_to_string(file)?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?
    };
    let draw = |place: usize| {
        let mut hasher = DefaultHasher::new();
        (seed, place).hash(&mut hasher);
        hasher.finish()
    };
    let mut drawn: Vec<(u64, String)> = texts
        .into_iter()
        .enumerate()
        .map(|(place, text)| (draw(place), text.text))
        .collect();
    drawn.sort_unstable();
    Ok(drawn.into_iter().map(|(_, text)| text).collect())
}
