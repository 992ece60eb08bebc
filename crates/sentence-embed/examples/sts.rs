//! How well cosines order pairs of sentences by likeness.
//!
//! ```text
//! cargo run -p sentence-embed --example sts -- ENCODER_FOLDER PAIRS.parquet [bfloat16]
//! ```
//!
//! The file has columns `a` and `b` (text) and `score` (number), as the STS benchmark (Cer et al., 2017). Printed are the
//! rank correlation of Spearman, which is that benchmark's measure, and the linear one of Pearson.

use std::error::Error;
use std::path::Path;

use contract::parquet;
use contract::records::{Column, ColumnType, Record};
use sentence_embed::{Encoder, Precision};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ScoredPair {
    a: String,
    b: String,
    score: f64,
}

impl Record for ScoredPair {
    const COLUMNS: &'static [Column] = &[
        Column {
            name: "a",
            kind: ColumnType::Text,
            nullable: false,
        },
        Column {
            name: "b",
            kind: ColumnType::Text,
            nullable: false,
        },
        Column {
            name: "score",
            kind: ColumnType::Float64,
            nullable: false,
        },
    ];
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (encoder_folder, file, precision) = match arguments.as_slice() {
        [folder, file] => (folder, file, Precision::Single),
        [folder, file, kind] if kind == "bfloat16" => (folder, file, Precision::BFloat16),
        _ => return Err("usage: sts ENCODER_FOLDER PAIRS.parquet [bfloat16]".into()),
    };
    let pairs: Vec<ScoredPair> = parquet::read_all(Path::new(file))?;
    let sentences: Vec<&str> = pairs
        .iter()
        .flat_map(|pair| [pair.a.as_str(), pair.b.as_str()])
        .collect();
    let threads = std::thread::available_parallelism()?.get();
    let encoder = Encoder::load_in(precision, encoder_folder, tch::Device::Cpu)?;
    let embeddings = encoder.encode_on(threads, &sentences, |_| ())?;
    let rows: Vec<&[f32]> = embeddings.rows().collect();
    let cosines: Vec<f64> = rows.chunks_exact(2).map(|pair| dot(pair[0], pair[1])).collect();
    let scores: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    println!("pairs     {}", pairs.len());
    println!("spearman  {:.5}", pearson(&ranks(&cosines), &ranks(&scores)));
    println!("pearson   {:.5}", pearson(&cosines, &scores));
    Ok(())
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(&left, &right)| f64::from(left) * f64::from(right))
        .sum()
}

/// The linear correlation.
fn pearson(left: &[f64], right: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let product = |left: &[f64], left_mean: f64, right: &[f64], right_mean: f64| -> f64 {
        let pairs = left.iter().zip(right);
        pairs
            .map(|(left, right)| (left - left_mean) * (right - right_mean))
            .sum()
    };
    let spread = product(left, left_mean, left, left_mean) * product(right, right_mean, right, right_mean);
    product(left, left_mean, right, right_mean) / spread.sqrt()
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&left, &right| values[left] == values[right]) {
        let shared = before as f64 + f64::midpoint(1.0, equal.len() as f64);
        for &index in equal {
            ranks[index] = shared;
        }
        before += equal.len();
    }
    ranks
}
