//! Cells brought together: seeds pooled into series, learning rates gathered into variants, variants set side by side.
//!
//! A [`Setting`] is one model on one layout of the corpus. Within it a [`Variant`] is a way of tuning (with LoRA's rank
//! and targets), and each of its [`Series`] one learning rate, over all seeds and, in a uniform layout, over all
//! numbers of copies. Variants are compared by the series with the best held-out loss, because a rate that ruins the
//! model is no rate that anybody would use.

mod series;
mod setting;
mod variant;

use std::collections::BTreeMap;

use contract::Error;
use rayon::prelude::*;

pub use series::{Series, series_label};
pub use setting::{Setting, Strategy};
pub use variant::Variant;

use crate::membership::{self, Separation};
use crate::observations::tallies_of;
use crate::rates::Bootstrap;
use crate::run::{CellData, Corpus, Run};
use crate::scores::DocumentScore;
use crate::tallies::Tallies;
use crate::utility::{HeldOutCourse, held_out_course};

/// One cell with everything that is averaged or ranked over it.
#[derive(Debug)]
pub struct AnalysedCell<'run> {
    /// The cell as read.
    pub data: &'run CellData,
    /// The corpus it stands on.
    pub corpus: &'run Corpus,
    /// Averages, by document.
    pub tallies: Tallies,
    /// Membership inference.
    pub separations: Vec<Separation>,
    /// Held-out loss over training.
    pub course: Option<HeldOutCourse>,
}

/// Everything that the summary and the page are made of.
#[derive(Debug)]
pub struct Analysis<'run> {
    /// The cells, by name.
    pub cells: Vec<AnalysedCell<'run>>,
    /// The settings, largest model first.
    pub settings: Vec<Setting>,
    /// How intervals are drawn.
    pub bootstrap: Bootstrap,
}

impl<'run> Analysis<'run> {
    /// Averages every cell and brings the cells together.
    ///
    /// # Errors
    /// [`Error::Run`] where polars refuses to group or join.
    pub fn of(run: &'run Run, bootstrap: Bootstrap) -> Result<Self, Error> {
        let cells = run
            .cells
            .par_iter()
            .map(|data| analyse(data, run, bootstrap))
            .collect::<Result<Vec<AnalysedCell<'run>>, Error>>()?;
        let mut groups: BTreeMap<(std::cmp::Reverse<i64>, &str, &str), Vec<usize>> = BTreeMap::new();
        for (
            index,
            AnalysedCell {
                data: CellData { cell, .. },
                ..
            },
        ) in cells.iter().enumerate()
        {
            let setting = (
                std::cmp::Reverse(cell.parameters),
                cell.model.as_str(),
                layout(&cell.corpus),
            );
            groups.entry(setting).or_default().push(index);
        }
        let settings = groups
            .into_iter()
            .map(|((std::cmp::Reverse(parameters), model, layout), members)| {
                Setting::of(&cells, &members, (model, parameters, layout), bootstrap)
            })
            .collect();
        Ok(Self {
            cells,
            settings,
            bootstrap,
        })
    }
}

fn analyse<'run>(
    data: &'run CellData,
    run: &'run Run,
    bootstrap: Bootstrap,
) -> Result<AnalysedCell<'run>, Error> {
    let corpus = run.corpus_of(&data.cell);
    let base: Vec<DocumentScore> = run
        .cells
        .iter()
        .filter(|other| other.cell.mode == "base" && other.cell.model == data.cell.model)
        .flat_map(|other| other.scores.iter().flatten().cloned())
        .collect();
    let base = Some(base.as_slice()).filter(|base| !base.is_empty() && data.cell.mode != "base");
    Ok(AnalysedCell {
        data,
        corpus,
        tallies: tallies_of(data, corpus)?,
        separations: membership::separations(data.scores.as_deref().unwrap_or_default(), base, bootstrap)?,
        course: data.metrics.as_deref().and_then(held_out_course),
    })
}

/// The layout that a corpus folder is one of: `uniform1-s0` and `uniform16-s1` are both `uniform`, with other copies and
/// another seed.
fn layout(corpus: &str) -> &str {
    let digits = |character: char| character.is_ascii_digit();
    let without_seed = match corpus.rsplit_once("-s") {
        Some((layout, seed)) if !seed.is_empty() && seed.chars().all(digits) => layout,
        _ => corpus,
    };
    without_seed.trim_end_matches(digits).trim_end_matches(['-', '_'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corpora_of_one_layout_go_together() {
        let cases = [
            ("bucketed", "bucketed"),
            ("bucketed-s0", "bucketed"),
            ("uniform16-s0", "uniform"),
            ("uniform-1", "uniform"),
            ("my-set", "my-set"),
        ];
        for (corpus, expected) in cases {
            assert_eq!(layout(corpus), expected);
        }
    }
}
