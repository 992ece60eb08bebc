//! Cells brought together: seeds pooled into series, learning rates gathered into variants, variants set side by side.
//!
//! A [`Setting`] is one model on one layout of the corpus. Within it a [`Variant`] is a way of tuning (with LoRA's rank
//! and targets), and each of its [`Series`] one learning rate, over all seeds and, in a uniform layout, over all
//! numbers of copies. Variants are compared by the series with the best held-out loss, because a rate that ruins the
//! model is no rate that anybody would use; and each at the checkpoint of its training with the best held-out loss, where that was
//! asked, with the end of training beside it.

mod series;
mod setting;
mod variant;

use std::collections::{BTreeMap, BTreeSet};

use contract::Error;
use rayon::prelude::*;

pub use series::{Series, series_label};
pub use setting::{Setting, Strategy, View};
pub use variant::Variant;

use crate::checks::{self, CheckResult};
use crate::membership::{self, NonMembers, Separation};
use crate::observations::tallies_of;
use crate::rates::Bootstrap;
use crate::run::{CellData, Corpus, Run};
use crate::scores::DocumentScore;
use crate::tallies::Tallies;
use crate::utility::{HeldOutCourse, held_out_course};

/// One checkpoint of a cell with everything that is averaged or ranked over it.
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
    /// Whom members were told from.
    pub non_members: NonMembers,
    /// Held-out loss over training.
    pub course: Option<HeldOutCourse>,
    /// Whether its figures are about what they seem to be about.
    pub checks: Vec<CheckResult>,
}

/// Everything that the summary and the page are made of.
#[derive(Debug)]
pub struct Analysis<'run> {
    /// The checkpoints of the cells, by name; of a cell's two the best comes first.
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
        let mut cells = run
            .cells
            .par_iter()
            .map(|data| analyse(data, run, bootstrap))
            .collect::<Result<Vec<AnalysedCell<'run>>, Error>>()?;
        let checked: Vec<Vec<CheckResult>> = (0..cells.len())
            .into_par_iter()
            .map(|index| checks::check(&cells, index, bootstrap))
            .collect();
        for (cell, checks) in cells.iter_mut().zip(checked) {
            cell.checks = checks;
        }
        let mut groups: BTreeMap<(std::cmp::Reverse<i64>, &str, &str), Vec<usize>> = BTreeMap::new();
        let layouts: BTreeSet<(&str, &str)> = cells
            .iter()
            .map(|cell| &cell.data.cell)
            .filter(|cell| !cell.canaries_apart)
            .map(|cell| (cell.model.as_str(), layout(&cell.corpus)))
            .collect();
        let sizes = model_sizes(&cells);
        for (index, analysed) in cells.iter().enumerate() {
            let cell = &analysed.data.cell;
            let layout = if cell.canaries_apart {
                layout_beside(&cell.model, &cell.corpus, &layouts)
            } else {
                layout(&cell.corpus)
            };
            let setting = (
                std::cmp::Reverse(sizes[cell.model.as_str()]),
                cell.model.as_str(),
                layout,
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

    /// The names of the cells; both checkpoints of a cell have one.
    pub fn cell_names(&self) -> BTreeSet<&str> {
        self.cells
            .iter()
            .map(|cell| cell.data.cell.name.as_str())
            .collect()
    }
}

/// The parameters of each model: those of the fewest among its cells. An untied head or a grown vocabulary makes a tuned model
/// larger, and no other model of it.
fn model_sizes<'run>(cells: &[AnalysedCell<'run>]) -> BTreeMap<&'run str, i64> {
    let mut sizes: BTreeMap<&str, i64> = BTreeMap::new();
    for cell in cells.iter().map(|cell| &cell.data.cell) {
        let size = sizes.entry(&cell.model).or_insert(cell.parameters);
        *size = cell.parameters.min(*size);
    }
    sizes
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
    // A run of canaries apart says nothing of documents.
    let scores = data.scores.as_deref().filter(|_| !data.cell.canaries_apart);
    let scores = scores.unwrap_or_default();
    Ok(AnalysedCell {
        data,
        corpus,
        tallies: tallies_of(data, corpus)?,
        separations: membership::separations(scores, base, corpus, bootstrap)?,
        non_members: NonMembers::of(scores, corpus),
        course: data.metrics.as_deref().and_then(held_out_course),
        checks: Vec::new(),
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

/// The layout of documents that a run of canaries apart stands beside: the longest one of its model that its corpus is named after.
fn layout_beside<'a>(model: &str, corpus: &'a str, layouts: &BTreeSet<(&'a str, &'a str)>) -> &'a str {
    let beside = layouts
        .iter()
        .filter(|(other, layout)| *other == model && corpus.starts_with(layout))
        .map(|(_, layout)| *layout);
    beside.max_by_key(|layout| layout.len()).unwrap_or(layout(corpus))
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

    #[test]
    fn canaries_apart_go_with_the_layout_that_they_stand_beside() {
        let layouts = BTreeSet::from([("a", "bucketed"), ("a", "uniform"), ("b", "bucketed-canaries")]);
        let cases = [
            ("bucketed-canaries-s0", "bucketed"),
            ("uniform16-canaries-s1", "uniform"),
            ("elsewhere-s0", "elsewhere"),
        ];
        for (corpus, expected) in cases {
            assert_eq!(layout_beside("a", corpus, &layouts), expected);
        }
    }
}
