//! Labelled pairs of texts: does the detector see that one rewords the other?

use std::error::Error;
use std::path::Path;

use contract::parquet;
use contract::pipeline::{Detection, DetectorPreset};
use contract::records::{Column, ColumnType, Record, Verdict};
use plagiarism::alignment::{PairDetector, Side};
use plagiarism::corpus::sentences::SentenceTable;
use plagiarism::paraphrase::confirm::Confirmer;
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
        column("a", ColumnType::Text),
        column("b", ColumnType::Text),
        column("label", ColumnType::Int64),
    ];
}

const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column {
        name,
        kind,
        nullable: false,
    }
}

/// Prints precision, recall and F1 of each preset on every other pair of `file`, those that `calibrate` does not choose by: `a`
/// is aligned with `b`, and any passage counts as a rewording.
pub(crate) fn score(
    file: &Path,
    encoder_folder: &Path,
    presets: &[(&str, DetectorPreset)],
) -> Result<(), Box<dyn Error>> {
    let pairs = parquet::read_all::<LabelledPair>(file)?;
    let pairs: Vec<LabelledPair> = pairs.into_iter().skip(1).step_by(2).collect();
    let mut table = SentenceTable::default();
    let left = table.read(&pairs.iter().map(|pair| pair.a.as_str()).collect::<Vec<_>>());
    let right = table.read(&pairs.iter().map(|pair| pair.b.as_str()).collect::<Vec<_>>());
    let vectors = encoder::encode(encoder_folder, table.texts())?;
    println!("\n{}, {} pairs\n", file.display(), pairs.len());
    println!("| preset | precision | recall | F1 |\n|---|---|---|---|");
    for &(name, preset) in presets {
        let detection = Detection {
            preset,
            ..Detection::default()
        };
        let detector = PairDetector::new(&detection, Confirmer::new(&detection, &table, &vectors))?;
        let (mut hits, mut false_alarms, mut misses) = (0.0, 0.0, 0.0);
        for (pair, (left, right)) in pairs.iter().zip(left.iter().zip(&right)) {
            let (first, second) = (left.prepare(&pair.a)?, right.prepare(&pair.b)?);
            let side = |text, prepared, split| Side {
                text,
                prepared,
                split,
            };
            let finding = detector.compare(side(&pair.a, &first, left), 0, side(&pair.b, &second, right));
            let is_found = finding.is_some_and(|finding| finding.class != Verdict::None);
            match (is_found, pair.label == 1) {
                (true, true) => hits += 1.0,
                (true, false) => false_alarms += 1.0,
                (false, true) => misses += 1.0,
                (false, false) => {}
            }
        }
        println!(
            "| {name} | {:.3} | {:.3} | {:.3} |",
            hits / f64::max(hits + false_alarms, 1.0),
            hits / f64::max(hits + misses, 1.0),
            2.0 * hits / f64::max(2.0 * hits + false_alarms + misses, 1.0)
        );
    }
    Ok(())
}
