//! What a preset found, held against what was planted.

use std::collections::BTreeMap;
use std::error::Error;

use contract::records::{Column, ColumnType, PassageMatch, Record};
use plagiarism::Comparison;
use reuse_cases::{Case, Planted, Truth};
use serde::{Deserialize, Serialize};
use text_align::Span;
use text_align::case_measures::{Annotation, granularity, macro_average, plagdet};

/// The passages that were found in each generation.
pub(crate) struct Detected {
    by_generation: Vec<Vec<Annotation>>,
}

impl Detected {
    /// Reads the passages; identities of documents must be their numbers.
    pub(crate) fn of(comparisons: &[Comparison]) -> Result<Self, Box<dyn Error>> {
        let passages = |number: usize, comparison: &Comparison| {
            // A verbatim run is listed beside the edited copy that holds it: one detection, the longer one.
            let holds = |outer: &PassageMatch, inner: &PassageMatch| {
                let length = |passage: &PassageMatch| passage.gen_end - passage.gen_start;
                outer.doc_id == inner.doc_id
                    && outer.gen_start <= inner.gen_start
                    && inner.gen_end <= outer.gen_end
                    && length(outer) > length(inner)
            };
            let matches = &comparison.matches;
            let outermost = matches
                .iter()
                .filter(|inner| !matches.iter().any(|outer| holds(outer, inner)));
            let passages = outermost.map(|passage| {
                Ok(Annotation {
                    suspicious_document: number as u32,
                    source_document: passage.doc_id.parse()?,
                    suspicious: Span::new(passage.gen_start as usize, passage.gen_end as usize),
                    source: Span::new(passage.doc_start as usize, passage.doc_end as usize),
                })
            });
            passages.collect::<Result<Vec<Annotation>, Box<dyn Error>>>()
        };
        let by_generation = comparisons
            .iter()
            .enumerate()
            .map(|(number, comparison)| passages(number, comparison))
            .collect::<Result<_, _>>()?;
        Ok(Self { by_generation })
    }
}

/// The scores of one preset on one group of generations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ScoreRow {
    /// The preset.
    preset: String,
    /// What was done to the passages, or what else the generations are.
    kind: String,
    /// How strongly; empty for a whole kind.
    strength: String,
    /// Generations in the group.
    generations: i64,
    /// Generations in which anything was found.
    found: i64,
    /// F1 of precision and recall over log2(1 + granularity); null where nothing is planted, as are the next three.
    plagdet: Option<f64>,
    /// Macro-averaged, over characters.
    precision: Option<f64>,
    /// Macro-averaged, over characters.
    recall: Option<f64>,
    /// Detections for each detected case.
    granularity: Option<f64>,
}

impl Record for ScoreRow {
    const COLUMNS: &'static [Column] = &[
        column("preset", ColumnType::Text, false),
        column("kind", ColumnType::Text, false),
        column("strength", ColumnType::Text, false),
        column("generations", ColumnType::Int64, false),
        column("found", ColumnType::Int64, false),
        column("plagdet", ColumnType::Float64, true),
        column("precision", ColumnType::Float64, true),
        column("recall", ColumnType::Float64, true),
        column("granularity", ColumnType::Float64, true),
    ];
}

const fn column(name: &'static str, kind: ColumnType, nullable: bool) -> Column {
    Column { name, kind, nullable }
}

/// The scores of a preset: by kind and strength, by kind, over everything planted, over everything, and on what holds nothing.
pub(crate) fn rows(preset: &str, cases: &[Case], detected: &Detected) -> Vec<ScoreRow> {
    let mut groups = BTreeMap::<(u8, String, String), Vec<usize>>::new();
    let mut assign = |order: u8, kind: &str, strength: &str, generation: usize| {
        groups
            .entry((order, kind.to_owned(), strength.to_owned()))
            .or_default()
            .push(generation);
    };
    for (generation, case) in cases.iter().enumerate() {
        match &case.truth {
            Truth::Planted(planted) => {
                assign(0, planted.kind.name(), planted.strength.name(), generation);
                assign(1, planted.kind.name(), "", generation);
                assign(2, "all planted", "", generation);
            }
            Truth::Unrelated => assign(4, "unrelated", "", generation),
            Truth::SameSubject(_) => assign(4, "same subject", "", generation),
        }
        assign(3, "all", "", generation);
    }
    groups
        .into_iter()
        .map(|((_, kind, strength), members)| row(preset, kind, strength, &members, cases, detected))
        .collect()
}

fn row(
    preset: &str,
    kind: String,
    strength: String,
    members: &[usize],
    cases: &[Case],
    detected: &Detected,
) -> ScoreRow {
    let planted: Vec<Annotation> = members
        .iter()
        .filter_map(|&member| match &cases[member].truth {
            Truth::Planted(planted) => Some(annotation(member, planted)),
            Truth::Unrelated | Truth::SameSubject(_) => None,
        })
        .collect();
    let found: Vec<Annotation> = members
        .iter()
        .flat_map(|&member| &detected.by_generation[member])
        .copied()
        .collect();
    let quality = macro_average(&planted, &found);
    let granularity = granularity(&planted, &found);
    let known = |value: f64| (!planted.is_empty()).then_some(value);
    ScoreRow {
        preset: preset.to_owned(),
        kind,
        strength,
        generations: members.len() as i64,
        found: members
            .iter()
            .filter(|&&member| !detected.by_generation[member].is_empty())
            .count() as i64,
        plagdet: known(plagdet(quality, granularity)),
        precision: known(quality.precision),
        recall: known(quality.recall),
        granularity: known(granularity),
    }
}

fn annotation(generation: usize, planted: &Planted) -> Annotation {
    Annotation {
        suspicious_document: generation as u32,
        source_document: planted.document as u32,
        suspicious: Span::new(planted.in_generation.start, planted.in_generation.end),
        source: Span::new(planted.in_document.start, planted.in_document.end),
    }
}

/// Prints the scores, presets side by side: plagdet, precision, recall, granularity, and generations with a detection.
pub(crate) fn print(rows: &[ScoreRow]) {
    let mut presets: Vec<&str> = Vec::new();
    for row in rows {
        if !presets.contains(&row.preset.as_str()) {
            presets.push(&row.preset);
        }
    }
    println!("| kind | strength | n | {} |", presets.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(presets.len()));
    let of_first = rows.iter().filter(|row| row.preset == presets[0]);
    for first in of_first {
        let same = |row: &&ScoreRow| (&row.kind, &row.strength) == (&first.kind, &first.strength);
        let cells: Vec<String> = rows.iter().filter(same).map(cell).collect();
        println!(
            "| {} | {} | {} | {} |",
            first.kind,
            first.strength,
            first.generations,
            cells.join(" | ")
        );
    }
}

fn cell(row: &ScoreRow) -> String {
    match (row.plagdet, row.precision, row.recall, row.granularity) {
        (Some(plagdet), Some(precision), Some(recall), Some(granularity)) => {
            format!("**{plagdet:.3}** {precision:.3} {recall:.3} {granularity:.2}")
        }
        _ => format!("{} found", row.found),
    }
}
