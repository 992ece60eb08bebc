//! How fast sentences are encoded.
//!
//! ```text
//! cargo run -p sentence-embed --example encode_sentences -- ENCODER_FOLDER SENTENCES --threads 2
//! ```
//!
//! SENTENCES is a text file with a sentence on each line, or a Parquet file with a column `text`. One line of JSON a round
//! goes to the output: the sentences, the seconds that encoding took (tokenizing with it, loading without), and the
//! sentences per second. `--out vectors.safetensors` writes the vectors, so that other programs can compare theirs.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use contract::parquet;
use contract::records::{Column, ColumnType, Record};
use safetensors::tensor::{Dtype, TensorView};
use sentence_embed::{Embeddings, Encoder, Precision};
use serde::{Deserialize, Serialize};

/// Encodes sentences and says how long it took
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of config.json, model.safetensors and tokenizer.json
    encoder: PathBuf,

    /// Text file with a sentence on each line, or Parquet file with a column `text`
    sentences: PathBuf,

    /// Threads, each on sentences of its own; by default one for each core
    #[arg(long)]
    threads: Option<usize>,

    /// How often to encode all of them
    #[arg(long, default_value_t = 1)]
    rounds: usize,

    /// Compute matrix products in bfloat16
    #[arg(long)]
    bfloat16: bool,

    /// Where to write the vectors, as the tensor `vectors`
    #[arg(long, value_name = "FILE.safetensors")]
    out: Option<PathBuf>,
}

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

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let texts = read(&arguments.sentences)?;
    let sentences: Vec<&str> = texts.iter().map(String::as_str).collect();
    let precision = if arguments.bfloat16 {
        Precision::BFloat16
    } else {
        Precision::Single
    };
    let encoder = Encoder::load_in(precision, &arguments.encoder, tch::Device::Cpu)?;
    for _ in 0..arguments.rounds {
        let start = Instant::now();
        let embeddings = encoder.encode_on(threads, &sentences, |_| ())?;
        let seconds = start.elapsed().as_secs_f64();
        let line = serde_json::json!({
            "threads": threads,
            "precision": format!("{precision:?}"),
            "sentences": sentences.len(),
            "seconds": seconds,
            "sentences_per_second": sentences.len() as f64 / seconds,
        });
        println!("{line}");
        if let Some(path) = &arguments.out {
            write(path, &embeddings)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        let rows: Vec<Text> = parquet::read_all(path)?;
        return Ok(rows.into_iter().map(|row| row.text).collect());
    }
    Ok(std::fs::read_to_string(path)?
        .lines()
        .map(str::to_owned)
        .collect())
}

fn write(path: &Path, embeddings: &Embeddings) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = embeddings
        .values()
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let shape = vec![embeddings.len(), embeddings.dimensions()];
    let vectors = TensorView::new(Dtype::F32, shape, &bytes)?;
    safetensors::serialize_to_file([("vectors", vectors)], None::<HashMap<String, String>>, path)?;
    Ok(())
}
