//! What each document contributes to each measure.
//!
//! Every average of the report is Σ part ÷ Σ whole over documents: samples with a class ÷ samples, matched ÷ generated
//! characters, nats ÷ tokens. Contributions come in row by row, one or many a document; polars groups them by document;
//! and whatever is asked afterwards (a rate at 16 copies, at all copies) is a sum of the same tallies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::Error;
use contract::records::Split;
use measures::Tally;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::figure::Estimate;
use super::measure::Measure;
use crate::read::TrainingDocuments;

const KEYS: [&str; 5] = ["measure", "split", "strategy", "copies", "document"];

/// Contributions under way to [`Tallies`].
#[derive(Debug, Default)]
pub struct Contributions {
    measures: Vec<Measure>,
    splits: Vec<Split>,
    strategies: Vec<Option<String>>,
    copies: Vec<i32>,
    documents: Vec<String>,
    parts: Vec<f64>,
    wholes: Vec<f64>,
}

/// Which documents a contribution or a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice<'a> {
    /// Where the documents stand.
    pub split: Split,
    /// The decoding strategy; none for measures that need no decoding.
    pub strategy: Option<&'a str>,
}

impl Contributions {
    /// Adds what one sample or score of `document` contributes. What is not finite is left out: it was not measured.
    pub fn add(&mut self, measure: Measure, at: Slice<'_>, copies: i32, document: &str, tally: Tally) {
        if !(tally.part.is_finite() && tally.whole.is_finite()) {
            return;
        }
        self.measures.push(measure);
        self.splits.push(at.split);
        self.strategies.push(at.strategy.map(str::to_owned));
        self.copies.push(copies);
        self.documents.push(document.to_owned());
        self.parts.push(tally.part);
        self.wholes.push(tally.whole);
    }

    /// Sums them up by document.
    ///
    /// # Errors
    /// [`Error::Run`] where polars refuses the frame.
    pub fn tallies(self) -> Result<Tallies, Error> {
        let catalogue: Vec<Measure> = self
            .measures
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let number = |measure: &Measure| catalogue.partition_point(|known| known < measure) as i32;
        let columns = vec![
            column(KEYS[0], self.measures.iter().map(number).collect::<Vec<i32>>()),
            column(
                KEYS[1],
                self.splits
                    .iter()
                    .map(|split| *split as i32)
                    .collect::<Vec<i32>>(),
            ),
            Column::from(Series::new(KEYS[2].into(), &self.strategies)),
            column(KEYS[3], self.copies),
            Column::from(Series::new(KEYS[4].into(), &self.documents)),
            column("part", self.parts),
            column("whole", self.wholes),
        ];
        let frame = DataFrame::new_infer_height(columns).map_err(refused)?;
        Tallies::index(&sum_by_document(&frame).map_err(refused)?, &catalogue).map_err(refused)
    }
}

fn column<T>(name: &str, values: Vec<T>) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Column::from(<Series as NamedFrom<_, [T]>>::new(name.into(), values))
}

#[expect(
    deprecated,
    reason = "the lazy engine that should take its place costs minutes of build time"
)]
fn sum_by_document(frame: &DataFrame) -> polars::prelude::PolarsResult<DataFrame> {
    frame.group_by_stable(KEYS)?.select(["part", "whole"]).sum()
}

fn refused(error: polars::prelude::PolarsError) -> Error {
    Error::Run(format!("contributions cannot be grouped by document: {error}"))
}

/// Sums by document, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    groups: BTreeMap<Group, BTreeMap<String, Tally>>,
    emitted: Option<Emitted>,
}

/// The training documents that came out of one cell's generations, by strategy, among all that there are.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// All training documents.
    pub training: Arc<TrainingDocuments>,
    /// Those that came out at least once.
    pub by_strategy: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    measure: Measure,
    split: Split,
    strategy: Option<String>,
    copies: i32,
}

impl Tallies {
    fn index(sums: &DataFrame, catalogue: &[Measure]) -> polars::prelude::PolarsResult<Self> {
        let (measures, splits, copies) = (
            sums.column(KEYS[0])?.i32()?,
            sums.column(KEYS[1])?.i32()?,
            sums.column(KEYS[3])?.i32()?,
        );
        let (strategies, documents) = (sums.column(KEYS[2])?.str()?, sums.column(KEYS[4])?.str()?);
        let (parts, wholes) = (sums.column("part_sum")?.f64()?, sums.column("whole_sum")?.f64()?);
        let mut tallies = Self::default();
        for row in 0..sums.height() {
            let group = Group {
                measure: catalogue[measures.get(row).unwrap_or(0) as usize],
                split: match splits.get(row) {
                    Some(split) if split == Split::Train as i32 => Split::Train,
                    Some(split) if split == Split::Heldout as i32 => Split::Heldout,
                    _ => Split::None,
                },
                strategy: strategies.get(row).map(str::to_owned),
                copies: copies.get(row).unwrap_or(0),
            };
            let tally = Tally::new(parts.get(row).unwrap_or(0.0), wholes.get(row).unwrap_or(0.0));
            let document = documents.get(row).unwrap_or_default().to_owned();
            tallies.groups.entry(group).or_default().insert(document, tally);
        }
        Ok(tallies)
    }

    /// The same with the documents that came out, from which [`Measure::DocumentsEmitted`] is read.
    #[must_use]
    pub fn with_emitted(mut self, emitted: Emitted) -> Self {
        self.emitted = Some(emitted);
        self
    }

    /// One tally per document; `copies` none means documents of every number of copies.
    pub fn of(&self, measure: Measure, at: Slice<'_>, copies: Option<i32>) -> Vec<Tally> {
        self.by_document(measure, at, copies).into_values().collect()
    }

    /// The same by the documents' identities.
    pub fn by_document(&self, measure: Measure, at: Slice<'_>, copies: Option<i32>) -> BTreeMap<&str, Tally> {
        if measure == Measure::DocumentsEmitted {
            return self.emitted(at, copies);
        }
        let mut documents: BTreeMap<&str, Tally> = BTreeMap::new();
        for (group, found) in self.groups_of(measure, at) {
            if copies.is_some_and(|copies| copies != group.copies) {
                continue;
            }
            for (document, tally) in found {
                let sum = documents.entry(document).or_insert(Tally::new(0.0, 0.0));
                *sum = Tally::new(sum.part + tally.part, sum.whole + tally.whole);
            }
        }
        documents.retain(|_, tally| tally.whole > 0.0);
        documents
    }

    /// The figure of a measure with its interval; none where nothing was observed.
    pub fn estimate(&self, measure: Measure, at: Slice<'_>, copies: Option<i32>) -> Option<Estimate> {
        Estimate::of_documents(&self.of(measure, at, copies), measure.kind(), measure.bounds())
    }

    /// One tally per training document that the strategy prompted with: whether it came out. Of a strategy without documents, all of them.
    fn emitted(&self, at: Slice<'_>, copies: Option<i32>) -> BTreeMap<&str, Tally> {
        let of_strategy = self.emitted.as_ref().and_then(|emitted| {
            let strategy = at.strategy.filter(|_| at.split == Split::Train)?;
            Some((emitted, emitted.by_strategy.get(strategy)?))
        });
        let Some((emitted, came_out)) = of_strategy else {
            return BTreeMap::new();
        };
        // Those that nobody asked for say nothing: what did not come out of them could not.
        let asked = self.by_document(Measure::TrainingTextEmitted, at, copies);
        if !asked.is_empty() {
            return asked
                .into_keys()
                .map(|document| {
                    let part = if came_out.contains(document) { 1.0 } else { 0.0 };
                    (document, Tally::new(part, 1.0))
                })
                .collect();
        }
        let alike = emitted
            .training
            .iter()
            .filter(|(found, _)| copies.is_none_or(|copies| copies == **found));
        alike
            .flat_map(|(_, alike)| alike)
            .map(|document| {
                let part = if came_out.contains(document) { 1.0 } else { 0.0 };
                (document.as_str(), Tally::new(part, 1.0))
            })
            .collect()
    }

    /// The measures that have a value somewhere, with the places where they have.
    pub fn questions(&self) -> BTreeSet<(Measure, Split, Option<&str>)> {
        let strategies = self.emitted.iter().flat_map(|cell| cell.by_strategy.keys());
        let emitted =
            strategies.map(|strategy| (Measure::DocumentsEmitted, Split::Train, Some(strategy.as_str())));
        self.groups
            .keys()
            .map(|group| (group.measure, group.split, group.strategy.as_deref()))
            .chain(emitted)
            .collect()
    }

    /// The numbers of copies of the training documents and canaries that the tallies are about, ascending.
    pub fn copies(&self) -> BTreeSet<i32> {
        self.copies_where(|_| true)
    }

    /// Those of documents.
    pub fn document_copies(&self) -> BTreeSet<i32> {
        self.copies_where(|measure| !measure.is_of_canaries())
    }

    /// Those of planted canaries, which a manifest may have planted more often than any document occurs.
    pub fn canary_copies(&self) -> BTreeSet<i32> {
        self.copies_where(Measure::is_of_canaries)
    }

    fn copies_where(&self, is_wanted: fn(Measure) -> bool) -> BTreeSet<i32> {
        self.groups
            .keys()
            .filter(|group| group.split == Split::Train && is_wanted(group.measure))
            .map(|group| group.copies)
            .collect()
    }

    fn groups_of(
        &self,
        measure: Measure,
        at: Slice<'_>,
    ) -> impl Iterator<Item = (&Group, &BTreeMap<String, Tally>)> {
        let first = Group {
            measure,
            split: at.split,
            strategy: at.strategy.map(str::to_owned),
            copies: i32::MIN,
        };
        let last = Group {
            copies: i32::MAX,
            ..first.clone()
        };
        self.groups.range(first..=last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAIN: Slice<'_> = Slice {
        split: Split::Train,
        strategy: Some("greedy"),
    };

    #[test]
    fn contributions_of_a_document_add_up() {
        let mut contributions = Contributions::default();
        for (copies, document, part) in [
            (1, "a", 1.0),
            (1, "a", 0.0),
            (1, "b", 0.0),
            (4, "c", 1.0),
            (4, "d", f64::NAN),
        ] {
            contributions.add(Measure::Verbatim, TRAIN, copies, document, Tally::new(part, 1.0));
        }
        let tallies = contributions.tallies().unwrap();
        assert_eq!(
            tallies.of(Measure::Verbatim, TRAIN, Some(1)),
            [Tally::new(1.0, 2.0), Tally::new(0.0, 1.0)]
        );
        assert_eq!(
            tallies.of(Measure::Verbatim, TRAIN, None).len(),
            3,
            "the NaN is no measurement"
        );
        assert_eq!(tallies.of(Measure::Idea, TRAIN, None), []);
        assert_eq!(tallies.copies(), BTreeSet::from([1, 4]));
    }
}
