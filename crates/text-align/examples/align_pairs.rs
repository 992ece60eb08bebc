//! How many pairs of texts are aligned in a second on one thread.
//!
//! ```sh
//! cargo run -p text-align --example align_pairs -- PAIRS.parquet [lee2023|pan2015] [fixed|exact]
//! ```
//!
//! PAIRS holds a generation `a` and a document `b` in each row (Parquet) or on each line (JSON). Each distinct text is
//! prepared once, as a stage does that aligns a generation with ten documents; preparing counts, reading the file does
//! not. Printed is one line of JSON: `pairs`, `texts`, `prepare_seconds`, `align_seconds`, `seconds`, `pairs_per_second`
//! and how many pairs there are of each class.

#![expect(clippy::print_stdout, reason = "the result of the example")]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde::Deserialize;
use text_align::{Aligner, Mode, PreparedText, Preset};

#[derive(Debug, Deserialize)]
struct Pair {
    a: String,
    b: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments
        .first()
        .ok_or("usage: align_pairs PAIRS.parquet|PAIRS.jsonl [PRESET] [MODE]")?;
    let pairs = read(Path::new(file))?;
    let preset: Preset = arguments.get(1).map_or(Ok(Preset::default()), |name| {
        serde_json::from_value(name.as_str().into())
    })?;
    let mode: Mode = arguments.get(2).map_or(Ok(Mode::default()), |name| {
        serde_json::from_value(name.as_str().into())
    })?;
    let aligner = Aligner::new(text_align::Parameters {
        mode,
        ..preset.parameters()
    })?;

    let start = Instant::now();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut prepared = Vec::new();
    let numbered: Vec<[usize; 2]> = pairs
        .iter()
        .map(|pair| {
            [&pair.a, &pair.b].map(|text| {
                *numbers.entry(text).or_insert_with(|| {
                    prepared.push(PreparedText::new(text));
                    prepared.len() - 1
                })
            })
        })
        .collect();
    let prepare_seconds = start.elapsed().as_secs_f64();
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    for &[generation, document] in &numbered {
        let alignment = aligner.align(&prepared[generation], &prepared[document]);
        *classes.entry(format!("{:?}", alignment.class)).or_default() += 1;
    }
    let seconds = start.elapsed().as_secs_f64();

    let result = serde_json::json!({
        "pairs": pairs.len(),
        "texts": prepared.len(),
        "prepare_seconds": prepare_seconds,
        "align_seconds": seconds - prepare_seconds,
        "seconds": seconds,
        "pairs_per_second": pairs.len() as f64 / seconds,
        "classes": classes,
    });
    println!("{result}");
    Ok(())
}

fn read(file: &Path) -> Result<Vec<Pair>, Box<dyn Error>> {
    if file.extension().is_some_and(|extension| extension == "parquet") {
        return read_parquet(file);
    }
    let lines = fs::read_to_string(file)?;
    Ok(lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

fn read_parquet(file: &Path) -> Result<Vec<Pair>, Box<dyn Error>> {
    let reader = SerializedFileReader::new(File::open(file)?)?;
    let mut pairs = Vec::new();
    for row in reader.get_row_iter(None)? {
        let mut texts: HashMap<String, String> = HashMap::new();
        for (name, field) in row?.into_columns() {
            if let Field::Str(text) = field {
                texts.insert(name, text);
            }
        }
        let mut take = |name: &str| {
            texts
                .remove(name)
                .ok_or(format!("expected a column {name:?} of texts"))
        };
        pairs.push(Pair {
            a: take("a")?,
            b: take("b")?,
        });
    }
    Ok(pairs)
}
