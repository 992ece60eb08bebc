//! `report compare`: two runs on the same documents, such as a model before and after a remedy, pair by pair of cells.
//!
//! Each measure is compared on the documents that both runs have with the same text, and its difference has the interval for paired
//! documents. Documents with any success (a sample with the class, a passage that came out) are counted apart: those of the first run
//! alone no longer come out, those of both still do, those of the second alone are new.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use contract::Error;
use contract::records::Split;
use measures::Tally;
use serde::Serialize;

use crate::estimate::comparisons::paired_estimate;
use crate::estimate::contributions::tallies_of;
use crate::estimate::measure::Kind;
use crate::estimate::{Estimate, Measure, Slice, Tallies};
use crate::format::{listing, number};
use crate::gate::require_current;
use crate::read::{CellData, Run, RunFiles};

/// Measures that the terminal shows where they were measured; the file has all.
const SHOWN: [Measure; 7] = [
    Measure::OwnVerbatim,
    Measure::ExactContinuation,
    Measure::OwnAny,
    Measure::DocumentsEmitted,
    Measure::TrainingTextEmitted,
    Measure::ExactMemorization,
    Measure::Loss,
];

/// A measure of two cells.
#[derive(Debug, Clone, Serialize)]
pub struct ComparedMeasure {
    /// The first run's cell.
    pub before_cell: String,
    /// The second run's.
    pub after_cell: String,
    /// Which checkpoint of them.
    pub checkpoint: Option<String>,
    /// Name of the measure.
    pub measure: String,
    /// Split of the documents.
    pub split: Split,
    /// The decoding strategy; none for measures that need no decoding.
    pub strategy: Option<String>,
    /// Unit of the values.
    pub unit: &'static str,
    /// The first run's value.
    pub before: f64,
    /// The second run's.
    pub after: f64,
    /// Second less first.
    pub difference: f64,
    /// Lower end of its 95% interval for paired documents; none for too few.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// Documents that both have, which all figures of the row are about.
    pub documents: usize,
    /// Documents that one of the two has alone, or with another text: they are in no figure.
    pub documents_left_out: usize,
    /// Shares only: documents with any success before, and none after.
    pub only_before: Option<usize>,
    /// Shares only: documents with any success in both.
    pub both: Option<usize>,
    /// Shares only: documents with any success after, and none before.
    pub only_after: Option<usize>,
    #[serde(skip)]
    is_shown: bool,
}

/// Two runs compared.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Pair by pair of cells, measure by measure.
    pub measures: Vec<ComparedMeasure>,
    /// What a reader has to know: documents left out, settings that differ.
    pub notes: Vec<String>,
}

/// Compares the tuned models of two run folders.
///
/// Cells are paired by name and checkpoint; where no name is in both, and each run has one tuned model, these are.
///
/// # Errors
/// Those of reading a run, [`Error::Input`] where its outputs do not belong together, and [`Error::Configuration`] where no two cells belong together.
pub fn compare(before: &Path, after: &Path) -> Result<Comparison, Error> {
    require_current(before)?;
    require_current(after)?;
    let (first, second) = (
        Run::load(&RunFiles::find(before)?)?,
        Run::load(&RunFiles::find(after)?)?,
    );
    let pairs = pairs(&first, &second);
    if pairs.is_empty() {
        let names = |run: &Run| listing(&tuned(run).map(|cell| cell.cell.name.clone()).collect::<Vec<_>>());
        return Err(Error::Configuration(format!(
            "no two tuned models belong together: {} has {}, {} has {}",
            before.display(),
            names(&first),
            after.display(),
            names(&second)
        )));
    }
    let mut comparison = Comparison::default();
    comparison.note_unpaired(before, &first, pairs.iter().map(|(left, _)| *left));
    comparison.note_unpaired(after, &second, pairs.iter().map(|(_, right)| *right));
    for (left, right) in pairs {
        comparison.add(&first, left, &second, right)?;
    }
    Ok(comparison)
}

fn tuned(run: &Run) -> impl Iterator<Item = &CellData> {
    run.cells.iter().filter(|cell| cell.cell.mode != "base")
}

fn pairs<'a>(first: &'a Run, second: &'a Run) -> Vec<(&'a CellData, &'a CellData)> {
    let same_name = |left: &CellData, right: &CellData| {
        (&left.cell.name, left.checkpoint) == (&right.cell.name, right.checkpoint)
    };
    let named: Vec<_> = tuned(first)
        .filter_map(|left| Some((left, tuned(second).find(|right| same_name(left, right))?)))
        .collect();
    if !named.is_empty() {
        return named;
    }
    let only = |run: &'a Run| {
        let mut cells = tuned(run);
        let cell = cells.next()?;
        cells.next().is_none().then_some(cell)
    };
    only(first).zip(only(second)).into_iter().collect()
}

impl Comparison {
    fn add(&mut self, first: &Run, left: &CellData, second: &Run, right: &CellData) -> Result<(), Error> {
        let corpora = (first.corpus_of(&left.cell), second.corpus_of(&right.cell));
        let has_same_text = |document: &str| {
            match (
                corpora.0.documents.get(document),
                corpora.1.documents.get(document),
            ) {
                (Some(left), Some(right)) => left.text == right.text,
                // Texts that a run did not read are known by their names alone.
                _ => true,
            }
        };
        let differing = corpora
            .0
            .documents
            .keys()
            .filter(|document| !has_same_text(document))
            .count();
        if differing > 0 {
            self.note(format!(
                "{differing} documents have one name and two texts; they are left out of {}",
                left.cell.name
            ));
        }
        let settings = |cell: &CellData| Some(cell.origins.get("samples.parquet")?.configuration.clone());
        if settings(left) != settings(right) {
            self.note(format!(
                "{}: the generations were drawn with other settings, so that a difference may be theirs",
                left.cell.name
            ));
        }
        let tallies = (tallies_of(left, corpora.0)?, tallies_of(right, corpora.1)?);
        let (asked_before, asked_after) = (tallies.0.questions(), tallies.1.questions());
        let in_one: BTreeSet<String> = asked_before
            .symmetric_difference(&asked_after)
            .map(|(measure, ..)| measure.to_string())
            .collect();
        if !in_one.is_empty() {
            let names: Vec<String> = in_one.into_iter().collect();
            self.note(format!(
                "{}: measured in one of the two alone, for some prompts or decoding: {}",
                left.cell.name,
                listing(&names)
            ));
        }
        for &(measure, split, strategy) in asked_before.intersection(&asked_after) {
            let at = Slice { split, strategy };
            let row = compared(&tallies, measure, at, &has_same_text);
            self.measures.extend(row.map(|row| ComparedMeasure {
                before_cell: left.cell.name.clone(),
                after_cell: right.cell.name.clone(),
                checkpoint: left.checkpoint.map(|checkpoint| checkpoint.to_string()),
                ..row
            }));
        }
        Ok(())
    }

    /// The tuned models of a run that none of the other is compared with.
    fn note_unpaired<'a>(&mut self, run: &Path, of: &Run, paired: impl Iterator<Item = &'a CellData>) {
        let paired: Vec<*const CellData> = paired.map(std::ptr::from_ref).collect();
        let left_out: BTreeSet<String> = tuned(of)
            .filter(|cell| !paired.contains(&std::ptr::from_ref(*cell)))
            .map(|cell| cell.cell.name.clone())
            .collect();
        if !left_out.is_empty() {
            let names: Vec<String> = left_out.into_iter().collect();
            self.note(format!(
                "{}: not compared, for the other run has no such model or checkpoint: {}",
                run.display(),
                listing(&names)
            ));
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// A measure on the documents that both have; none where there are none.
fn compared(
    tallies: &(Tallies, Tallies),
    measure: Measure,
    at: Slice<'_>,
    has_same_text: &dyn Fn(&str) -> bool,
) -> Option<ComparedMeasure> {
    let before = tallies.0.by_document(measure, at, None);
    let after = tallies.1.by_document(measure, at, None);
    let pairs = joined(&before, &after, has_same_text);
    // Second less first.
    let turned: Vec<(Tally, Tally)> = pairs.iter().map(|(left, right)| (*right, *left)).collect();
    let difference = paired_estimate(&turned, measure.kind())?;
    let value = |pick: fn(&(Tally, Tally)) -> Tally| {
        measures::interval::ratio(&pairs.iter().map(pick).collect::<Vec<_>>()).ok()
    };
    let count = |wanted: (bool, bool)| {
        let found = pairs
            .iter()
            .filter(|(left, right)| (left.part > 0.0, right.part > 0.0) == wanted);
        (measure.kind() != Kind::Mean).then(|| found.count())
    };
    let Estimate { value: change, .. } = difference;
    Some(ComparedMeasure {
        before_cell: String::new(),
        after_cell: String::new(),
        checkpoint: None,
        measure: measure.to_string(),
        split: at.split,
        strategy: at.strategy.map(str::to_owned),
        unit: measure.unit(),
        before: value(|pair| pair.0)?,
        after: value(|pair| pair.1)?,
        difference: change,
        ci_low: difference.ends().map(|ends| ends.low),
        ci_high: difference.ends().map(|ends| ends.high),
        documents: pairs.len(),
        documents_left_out: before.keys().chain(after.keys()).collect::<BTreeSet<_>>().len() - pairs.len(),
        only_before: count((true, false)),
        both: count((true, true)),
        only_after: count((false, true)),
        is_shown: SHOWN.contains(&measure),
    })
}

fn joined(
    before: &BTreeMap<&str, Tally>,
    after: &BTreeMap<&str, Tally>,
    has_same_text: &dyn Fn(&str) -> bool,
) -> Vec<(Tally, Tally)> {
    let in_both = before.iter().filter(|(document, _)| has_same_text(document));
    in_both
        .filter_map(|(document, tally)| Some((*tally, *after.get(document)?)))
        .collect()
}

impl Comparison {
    /// Every measure as CSV.
    ///
    /// # Errors
    /// [`Error::Run`] where a row has no CSV form.
    pub fn csv(&self) -> Result<String, Error> {
        crate::csv(&self.measures)
    }
}

/// A table for each pair of cells.
impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |row: &ComparedMeasure| {
            (
                row.before_cell.clone(),
                row.after_cell.clone(),
                row.checkpoint.clone(),
            )
        };
        for rows in self.measures.chunk_by(|left, right| pair(left) == pair(right)) {
            let Some(first) = rows.first() else { continue };
            let checkpoint = first
                .checkpoint
                .as_ref()
                .map_or(String::new(), |name| format!(", {name} checkpoint"));
            writeln!(
                formatter,
                "{} → {}{checkpoint}",
                first.before_cell, first.after_cell
            )?;
            writeln!(
                formatter,
                "  {:22} {:38} {:>7} {:>7}  {:26} {:>9} {:>8} {:>9} {:>5} {:>4}",
                "measure",
                "of",
                "before",
                "after",
                "difference (95%)",
                "documents",
                "left out",
                "no longer",
                "still",
                "new"
            )?;
            for row in rows.iter().filter(|row| row.is_shown) {
                writeln!(formatter, "  {}", line(row))?;
            }
        }
        for note in &self.notes {
            writeln!(formatter, "note: {note}")?;
        }
        Ok(())
    }
}

fn line(row: &ComparedMeasure) -> String {
    let split = match row.split {
        Split::Train => "training documents",
        Split::Heldout => "held-out documents",
        Split::None => "no document’s prompt",
    };
    let of = row
        .strategy
        .as_ref()
        .map_or(split.to_owned(), |strategy| format!("{split}, {strategy}"));
    let mut change = number(row.difference, 3);
    if let (Some(low), Some(high)) = (row.ci_low, row.ci_high) {
        change = format!("{change} ({} to {})", number(low, 3), number(high, 3));
    }
    let count = |count: Option<usize>| count.map_or("–".to_owned(), |count| count.to_string());
    format!(
        "{:22} {of:38} {:>7} {:>7}  {change:26} {:>9} {:>8} {:>9} {:>5} {:>4}",
        row.measure,
        number(row.before, 3),
        number(row.after, 3),
        row.documents,
        row.documents_left_out,
        count(row.only_before),
        count(row.both),
        count(row.only_after)
    )
}
