//! Cells brought together: seeds pooled into series, learning rates gathered into variants, variants set side by side.
//!
//! A [`Setting`] is one model on one layout of the corpus. Within it a [`Variant`] is a way of tuning (with LoRA's rank
//! and targets), and each of its [`Series`] one learning rate, over all seeds and, in a uniform layout, over all
//! numbers of copies. Variants are compared by the series with the best held-out loss, because a rate that ruins the
//! model is no rate that anybody would use.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::Split;
use contract::{Cell, Error};
use rayon::prelude::*;

use crate::format::rate_name;
use crate::measure::Measure;
use crate::membership::{self, Attack, Separation};
use crate::observations::tallies_of;
use crate::rates::{Bootstrap, Estimate};
use crate::run::{CellData, Corpus, Run};
use crate::scores::DocumentScore;
use crate::tallies::{Tallies, Where};
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

/// One model on one layout of the corpus.
#[derive(Debug)]
pub struct Setting {
    /// The model's name.
    pub model: String,
    /// Its parameters.
    pub parameters: i64,
    /// The layout of copies.
    pub layout: String,
    /// The untuned model: the control.
    pub base: Option<Series>,
    /// The ways of tuning.
    pub variants: Vec<Variant>,
    /// Decoding strategies, in the order in which they appear.
    pub strategies: Vec<String>,
    /// The strategy that headline and plots speak of: the greedy one, or else the first.
    pub strategy: String,
    /// Numbers of copies, ascending.
    pub copies: Vec<i32>,
}

/// One way of tuning, at one or several learning rates.
#[derive(Debug)]
pub struct Variant {
    /// How it is called beside the others: "full", "LoRA r16".
    pub label: String,
    /// `full`, `head`, `lora`, …
    pub mode: String,
    /// The series, by ascending learning rate.
    pub series: Vec<Series>,
    /// Which of them has the best held-out loss.
    pub chosen: usize,
}

/// One way of tuning at one learning rate, over all seeds.
#[derive(Debug)]
pub struct Series {
    /// `base`, `full`, `head`, `lora`, …
    pub mode: String,
    /// The learning rate; none for the untuned model.
    pub learning_rate: Option<f64>,
    /// Parameters that tuning changed.
    pub trainable_parameters: i64,
    /// Its cells, by their place in [`Analysis::cells`].
    pub cells: Vec<usize>,
    /// The averages of its cells, pooled.
    pub tallies: Tallies,
    course: Option<HeldOutCourse>,
    bootstrap: Bootstrap,
}

impl Series {
    /// The estimate of a measure; `copies` none means all.
    pub fn estimate(&self, measure: Measure, at: Where<'_>, copies: Option<i32>) -> Option<Estimate> {
        Estimate::of(
            &self.tallies.of(measure, at, copies),
            measure.kind(),
            self.bootstrap,
        )
    }

    /// The held-out loss after tuning: scored if there was a scoring pass, else the last one logged.
    pub fn held_out_loss(&self) -> Option<Estimate> {
        let at = Where {
            split: Split::Heldout,
            strategy: None,
        };
        self.estimate(Measure::Loss, at, None).or_else(|| {
            let value = self.course?.last;
            Some(Estimate {
                value,
                interval: None,
                observations: 0,
                documents: 0,
            })
        })
    }

    /// Seeds that it was run with.
    pub fn seeds(&self, analysis: &Analysis<'_>) -> usize {
        self.cells
            .iter()
            .map(|&cell| analysis.cells[cell].data.cell.seed)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// The area under the ROC curve of an attack: of the one cell with its interval, of several their mean without.
    pub fn auc(&self, analysis: &Analysis<'_>, attack: Attack, copies: Option<i32>) -> Option<Estimate> {
        let found: Vec<Estimate> = self
            .separations(analysis, attack, copies)
            .map(|separation| separation.auc)
            .collect();
        match found.as_slice() {
            [] => None,
            [only] => Some(*only),
            several => Some(Estimate {
                value: several.iter().map(|auc| auc.value).sum::<f64>() / several.len() as f64,
                interval: None,
                ..several[0]
            }),
        }
    }

    /// The separations of an attack, one a cell.
    pub fn separations<'a>(
        &'a self,
        analysis: &'a Analysis<'_>,
        attack: Attack,
        copies: Option<i32>,
    ) -> impl Iterator<Item = &'a Separation> {
        self.cells
            .iter()
            .flat_map(|&cell| &analysis.cells[cell].separations)
            .filter(move |separation| separation.attack == attack && separation.copies == copies)
    }
}

impl Variant {
    /// The series with the best held-out loss.
    pub fn chosen(&self) -> &Series {
        &self.series[self.chosen]
    }
}

impl Setting {
    /// Training documents under the setting's own strategy.
    pub fn seen(&self) -> Where<'_> {
        Where {
            split: Split::Train,
            strategy: Some(&self.strategy),
        }
    }

    /// Held-out documents under the same strategy.
    pub fn unseen(&self) -> Where<'_> {
        Where {
            split: Split::Heldout,
            strategy: Some(&self.strategy),
        }
    }

    /// The largest number of copies.
    pub fn most_copies(&self) -> Option<i32> {
        self.copies.last().copied()
    }

    /// The untuned model, if it is there, and the chosen series of each variant, each with its label.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &Series)> {
        let base = self.base.iter().map(|base| ("untuned", base));
        base.chain(
            self.variants
                .iter()
                .map(|variant| (variant.label.as_str(), variant.chosen())),
        )
    }

    /// Whether some variant was run at more than one learning rate.
    pub fn has_sweep(&self) -> bool {
        self.variants.iter().any(|variant| variant.series.len() > 1)
    }
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
            .map(|data| analyse(data, run))
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
                setting(&cells, &members, (model, parameters, layout), bootstrap)
            })
            .collect();
        Ok(Self {
            cells,
            settings,
            bootstrap,
        })
    }
}

fn analyse<'run>(data: &'run CellData, run: &'run Run) -> Result<AnalysedCell<'run>, Error> {
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
        separations: membership::separations(data.scores.as_deref().unwrap_or_default(), base)?,
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

fn setting(
    cells: &[AnalysedCell<'_>],
    members: &[usize],
    (model, parameters, layout): (&str, i64, &str),
    bootstrap: Bootstrap,
) -> Setting {
    let facts = |index: usize| &cells[index].data.cell;
    let mut kinds: BTreeMap<(usize, &str, Option<i32>, Option<&str>), BTreeMap<u64, Vec<usize>>> =
        BTreeMap::new();
    for &index in members {
        let cell = facts(index);
        let kind = (
            mode_order(&cell.mode),
            cell.mode.as_str(),
            cell.rank,
            cell.targets.as_deref(),
        );
        // Learning rates are positive, and the bits of positive floats are in their order.
        let rate = cell.learning_rate.unwrap_or(0.0).to_bits();
        kinds
            .entry(kind)
            .or_default()
            .entry(rate)
            .or_default()
            .push(index);
    }
    let names: Vec<(&str, Option<i32>)> = kinds.keys().map(|&(_, mode, rank, _)| (mode, rank)).collect();
    let mut base = None;
    let mut variants = Vec::new();
    for ((_, mode, rank, targets), rates) in kinds {
        let mut series: Vec<Series> = rates
            .into_values()
            .map(|indices| pooled_series(cells, indices, bootstrap))
            .collect();
        if mode == "base" {
            base = series.pop();
            continue;
        }
        let twins = names.iter().filter(|(other, _)| *other == mode).count();
        let same_rank = names
            .iter()
            .filter(|(other, other_rank)| *other == mode && *other_rank == rank)
            .count();
        let label = variant_label(
            mode,
            rank.filter(|_| twins > 1),
            targets.filter(|_| same_rank > 1),
        );
        let chosen = best(&series);
        variants.push(Variant {
            label,
            mode: mode.to_owned(),
            series,
            chosen,
        });
    }
    let strategies = strategies(cells, members);
    let greedy = strategies
        .iter()
        .find(|(_, greedy)| *greedy)
        .or(strategies.first());
    let copies: BTreeSet<i32> = members
        .iter()
        .flat_map(|&index| cells[index].tallies.copies())
        .collect();
    Setting {
        model: model.to_owned(),
        parameters,
        layout: layout.to_owned(),
        base,
        variants,
        strategy: greedy.map(|(name, _)| name.clone()).unwrap_or_default(),
        strategies: strategies.into_iter().map(|(name, _)| name).collect(),
        copies: copies.into_iter().collect(),
    }
}

fn pooled_series(cells: &[AnalysedCell<'_>], indices: Vec<usize>, bootstrap: Bootstrap) -> Series {
    let first: &Cell = &cells[indices[0]].data.cell;
    let courses: Vec<HeldOutCourse> = indices.iter().filter_map(|&index| cells[index].course).collect();
    let mean =
        |field: fn(&HeldOutCourse) -> f64| courses.iter().map(field).sum::<f64>() / courses.len() as f64;
    let course = (!courses.is_empty()).then(|| HeldOutCourse {
        best: mean(|course| course.best),
        best_epoch: mean(|course| course.best_epoch),
        last: mean(|course| course.last),
        evaluations: courses[0].evaluations,
    });
    Series {
        mode: first.mode.clone(),
        learning_rate: first.learning_rate,
        trainable_parameters: first.trainable_parameters,
        tallies: Tallies::pooled(indices.iter().map(|&index| &cells[index].tallies)),
        cells: indices,
        course,
        bootstrap,
    }
}

/// The series with the lowest held-out loss; the first where none is known.
fn best(series: &[Series]) -> usize {
    let losses = series
        .iter()
        .map(|series| series.held_out_loss().map_or(f64::INFINITY, |loss| loss.value));
    losses
        .enumerate()
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .map_or(0, |(index, _)| index)
}

/// The strategies of some cells in the order in which they appear, each with whether it is greedy.
fn strategies(cells: &[AnalysedCell<'_>], members: &[usize]) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    for sample in members.iter().flat_map(|&index| &cells[index].data.samples) {
        if !found.iter().any(|(name, _)| *name == sample.strategy) {
            found.push((sample.strategy.clone(), sample.greedy));
        }
    }
    found
}

fn mode_order(mode: &str) -> usize {
    ["base", "full", "head", "lora"]
        .iter()
        .position(|known| *known == mode)
        .unwrap_or(4)
}

fn variant_label(mode: &str, rank: Option<i32>, targets: Option<&str>) -> String {
    let mut label = match mode {
        "head" => "head-only".to_owned(),
        "lora" => "LoRA".to_owned(),
        other => other.to_owned(),
    };
    if let Some(rank) = rank {
        label = format!("{label} r{rank}");
    }
    if let Some(targets) = targets {
        let count = targets.split(',').count();
        label = if count > 1 {
            format!("{label}, {count} modules")
        } else {
            format!("{label}, {targets}")
        };
    }
    label
}

/// "full, 3e-4": a series' name where several learning rates stand side by side.
pub fn series_label(variant: &str, series: &Series) -> String {
    match series.learning_rate {
        Some(rate) => format!("{variant}, {}", rate_name(rate)),
        None => variant.to_owned(),
    }
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
    fn variants_are_named_by_what_tells_them_apart() {
        assert_eq!(variant_label("lora", None, None), "LoRA");
        assert_eq!(
            variant_label("lora", Some(16), Some("c_attn")),
            "LoRA r16, c_attn"
        );
        assert_eq!(
            variant_label("lora", Some(16), Some("c_attn,c_fc,c_proj")),
            "LoRA r16, 3 modules"
        );
        assert_eq!(variant_label("head", None, None), "head-only");
    }
}
