//! One way of tuning at one learning rate, pooled over seeds.

use std::collections::BTreeSet;

use contract::Cell;
use contract::records::Split;

use super::{AnalysedCell, Analysis};
use crate::format::rate_name;
use crate::measure::Measure;
use crate::membership::{Attack, Separation};
use crate::rates::{Bootstrap, Estimate};
use crate::tallies::{Tallies, Where};
use crate::utility::HeldOutCourse;

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
    /// Pools cells that differ in seed, or in a uniform layout's copies, alone.
    pub(super) fn pooled(cells: &[AnalysedCell<'_>], indices: Vec<usize>, bootstrap: Bootstrap) -> Self {
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
        Self {
            mode: first.mode.clone(),
            learning_rate: first.learning_rate,
            trainable_parameters: first.trainable_parameters,
            tallies: Tallies::pooled(indices.iter().map(|&index| &cells[index].tallies)),
            cells: indices,
            course,
            bootstrap,
        }
    }

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

/// "full, 3e-4": a series' name where several learning rates stand side by side.
pub fn series_label(variant: &str, series: &Series) -> String {
    match series.learning_rate {
        Some(rate) => format!("{variant}, {}", rate_name(rate)),
        None => variant.to_owned(),
    }
}
