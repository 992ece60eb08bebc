//! Runs of other seeds as shadow models: the same way of tuning on training sets that hold a document, and on such that do not.

use std::collections::BTreeMap;

use contract::Cell;
use contract::records::Split;
use measures::membership::{lira, rmia, shadow_deviation};

use crate::read::{CellData, DocumentScore};

/// What other runs say of each document.
#[derive(Debug, Default)]
pub struct Shadows<'run> {
    /// Losses of each document, by its name and the number of its tokens.
    losses: BTreeMap<&'run str, BTreeMap<usize, Sides>>,
    /// How far losses of one document lie apart between runs that were trained with it, and without; none where no document has two.
    deviations: Option<[f64; 2]>,
}

/// Losses of one document, in nats per token.
#[derive(Debug, Default)]
struct Sides {
    /// Of the runs that were trained with it.
    with: Vec<f64>,
    /// Of those that were not.
    without: Vec<f64>,
}

impl<'run> Shadows<'run> {
    /// Of the cell at `index`: all that differ from it in their seed alone, at the same checkpoint.
    pub fn of(cells: &'run [CellData], index: usize) -> Self {
        let own = &cells[index];
        let way = way_of_tuning(&own.cell);
        let mut shadows = Self::default();
        // The untuned model is the same under every seed.
        if own.cell.mode == "base" {
            return shadows;
        }
        for other in cells.iter().filter(|other| {
            // Most cells differ in these, which cost little to compare.
            other.cell.seed != own.cell.seed
                && other.checkpoint == own.checkpoint
                && (&other.cell.model, &other.cell.mode) == (&own.cell.model, &own.cell.mode)
                && other.cell.learning_rate == own.cell.learning_rate
                && way_of_tuning(&other.cell) == way
        }) {
            let scores = other.scores.iter().flatten();
            for score in scores.filter(|score| score.is_whole_document()) {
                let of_document = shadows.losses.entry(&score.doc_id).or_default();
                let sides = of_document.entry(score.tokens).or_default();
                match score.split {
                    Split::Train => sides.with.push(score.loss()),
                    _ => sides.without.push(score.loss()),
                }
            }
        }
        let deviation = |of: fn(&Sides) -> &[f64]| {
            shadow_deviation(shadows.losses.values().flat_map(BTreeMap::values).map(of))
        };
        let [with, without] = [deviation(|sides| &sides.with), deviation(|sides| &sides.without)];
        // Where only one side shows how far they lie apart, it stands for both.
        shadows.deviations = with
            .or(without)
            .zip(without.or(with))
            .map(|(with, without)| [with, without]);
        shadows
    }

    /// LiRA's score; none without a run on either side.
    pub fn lira(&self, score: &DocumentScore) -> Option<f64> {
        let sides = self.sides(score)?;
        let [with, without] = self.deviations?;
        lira(score.loss(), (&sides.with, with), (&sides.without, without)).ok()
    }

    /// RMIA's ratio; none without a run that was not trained with the document. As for LiRA, only documents that some run was trained with: those
    /// that every seed holds out would have more shadow models than others.
    pub fn rmia(&self, score: &DocumentScore) -> Option<f64> {
        let sides = self.sides(score).filter(|sides| !sides.with.is_empty())?;
        rmia(score.loss(), &sides.without).ok()
    }

    fn sides(&self, score: &DocumentScore) -> Option<&Sides> {
        self.losses.get(score.doc_id.as_str())?.get(&score.tokens)
    }
}

/// All that is the same in runs that differ in their seed alone.
fn way_of_tuning(cell: &Cell) -> Cell {
    Cell {
        name: String::new(),
        corpus: String::new(),
        seed: 0,
        ..cell.clone()
    }
}
