//! Chooses `detection.confirm_cosine` on labelled pairs of texts.
//!
//! ```text
//! cargo run -p plagiarism --example calibrate -- ENCODER_FOLDER PAIRS.parquet …
//! ```
//!
//! Each file has columns `a` and `b` (text) and `label` (1: one rewords the other, 0: it does not). A pair scores what
//! confirmation looks at: the largest cosine between a sentence of one and an unequal sentence of the other. Of each file
//! every other pair is for choosing, the rest for checking; the threshold is the one with the best F1 on all pairs for
//! choosing, each file with the same weight.

use std::error::Error;
use std::path::Path;

use contract::parquet;
use contract::records::{Column, ColumnType, Record};
use plagiarism::corpus::sentences::SentenceTable;
use plagiarism::paraphrase::encoder;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LabelledPair {
    a: String,
    b: String,
    label: i64,
}

impl Record for LabelledPair {
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
            name: "label",
            kind: ColumnType::Int64,
            nullable: false,
        },
    ];
}

/// The score of a pair and whether it is labelled a rewording.
type Scored = (f64, bool);

/// Weighted counts of right and wrong decisions.
#[derive(Debug, Clone, Copy, Default)]
struct Decisions {
    hits: f64,
    false_alarms: f64,
    misses: f64,
}

impl Decisions {
    /// Decisions at `threshold`, each file with the same weight.
    fn at(threshold: f64, files: &[&[Scored]]) -> Self {
        let mut decisions = Self::default();
        for pairs in files {
            let weight = 1.0 / pairs.len().max(1) as f64;
            for &(score, label) in *pairs {
                match (score >= threshold, label) {
                    (true, true) => decisions.hits += weight,
                    (true, false) => decisions.false_alarms += weight,
                    (false, true) => decisions.misses += weight,
                    (false, false) => {}
                }
            }
        }
        decisions
    }

    fn precision(self) -> f64 {
        self.hits / (self.hits + self.false_alarms)
    }

    fn recall(self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    fn f1(self) -> f64 {
        2.0 * self.hits / (2.0 * self.hits + self.false_alarms + self.misses)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [encoder_folder, files @ ..] = arguments.as_slice() else {
        return Err("usage: calibrate ENCODER_FOLDER PAIRS.parquet …".into());
    };
    let scored: Vec<Vec<Scored>> = files
        .iter()
        .map(|file| score(Path::new(encoder_folder), Path::new(file)))
        .collect::<Result<_, _>>()?;
    let every_other = |first: usize| -> Vec<Vec<Scored>> {
        scored
            .iter()
            .map(|pairs| pairs.iter().copied().skip(first).step_by(2).collect())
            .collect()
    };
    let (choosing, checking) = (every_other(0), every_other(1));

    println!("threshold  file  precision  recall  f1");
    for hundredths in (50..=95).step_by(5) {
        print_row("all, for choosing", f64::from(hundredths) / 100.0, &choosing);
    }
    for (file, pairs) in files.iter().zip(&choosing) {
        print_row(
            file,
            best(std::slice::from_ref(pairs)),
            std::slice::from_ref(pairs),
        );
    }
    let threshold = best(&choosing);
    println!("chosen {threshold:.2}, on the pairs for checking:");
    for (file, pairs) in files.iter().zip(&checking) {
        print_row(file, threshold, std::slice::from_ref(pairs));
    }
    print_row("all", threshold, &checking);
    Ok(())
}

/// The threshold, in hundredths, with the best F1; the lowest of equal ones.
fn best(files: &[Vec<Scored>]) -> f64 {
    let files: Vec<&[Scored]> = files.iter().map(Vec::as_slice).collect();
    let f1 = |threshold: f64| Decisions::at(threshold, &files).f1();
    (0..=100)
        .map(|hundredths| f64::from(hundredths) / 100.0)
        .fold(
            0.0,
            |best, threshold| if f1(threshold) > f1(best) { threshold } else { best },
        )
}

fn print_row(what: &str, threshold: f64, files: &[Vec<Scored>]) {
    let files: Vec<&[Scored]> = files.iter().map(Vec::as_slice).collect();
    let decisions = Decisions::at(threshold, &files);
    println!(
        "{threshold:.2}  {what}  {:.3}  {:.3}  {:.3}",
        decisions.precision(),
        decisions.recall(),
        decisions.f1()
    );
}

/// Scores the pairs of one file. Pairs without unequal sentences of three words are left out: they cannot be confirmed.
fn score(encoder_folder: &Path, file: &Path) -> Result<Vec<Scored>, Box<dyn Error>> {
    let pairs = parquet::read_all::<LabelledPair>(file)?;
    let mut table = SentenceTable::default();
    let left = table.read(&pairs.iter().map(|pair| pair.a.as_str()).collect::<Vec<_>>());
    let right = table.read(&pairs.iter().map(|pair| pair.b.as_str()).collect::<Vec<_>>());
    let vectors = encoder::encode(encoder_folder, table.texts())?;
    let scored: Vec<Scored> = pairs
        .iter()
        .zip(left.iter().zip(&right))
        .filter_map(|(pair, (left, right))| {
            let score = vectors.largest_unequal(&table, &left.sentences, &right.sentences)?;
            Some((f64::from(score), pair.label == 1))
        })
        .collect();
    println!(
        "{}: {} of {} pairs scored",
        file.display(),
        scored.len(),
        pairs.len()
    );
    Ok(scored)
}
