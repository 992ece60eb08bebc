//! One way of tuning at one learning rate, asked at one of its checkpoints, pooled over seeds.

use std::collections::{BTreeMap, BTreeSet};

use contract::Cell;
use contract::records::Split;

use super::{AnalysedCell, Analysis};
use crate::checks::CheckResult;
use crate::format::rate_name;
use crate::measure::Measure;
use crate::membership::{Attack, Separation};
use crate::rates::{Bootstrap, Estimate};
use crate::run::{TextSizes, WhichCheckpoint};
use crate::tallies::{Tallies, Where};
use crate::utility::HeldOutCourse;

/// One way of tuning at one learning rate, asked at one of its checkpoints, over all seeds.
#[derive(Debug)]
pub struct Series {
    /// How it is called beside the others: "full", or "full, best" where its last checkpoint was asked too.
    pub label: String,
    /// `base`, `full`, `head`, `lora`, …
    pub mode: String,
    /// Which checkpoint was asked; none where there is only one.
    pub checkpoint: Option<WhichCheckpoint>,
    /// The learning rate; none for the untuned model.
    pub learning_rate: Option<f64>,
    /// Parameters that tuning changed.
    pub trainable_parameters: i64,
    /// Its cells, by their place in [`Analysis::cells`].
    pub cells: Vec<usize>,
    /// Its runs of canaries apart, likewise: they give exposure, and no rate.
    pub canary_cells: Vec<usize>,
    /// The averages of its cells, pooled.
    pub tallies: Tallies,
    /// Characters on either side of the split, summed over its corpora.
    pub chars: TextSizes,
    /// Whether similarities are lower bounds.
    pub similarity_at_least: bool,
    /// What keeps a conclusion from its low rates, in brief: the checks of plausibility that failed in one of its cells, each once.
    pub failed_checks: Vec<String>,
    /// Whether nothing tells that the training text is what the model was tuned on.
    pub text_unchecked: bool,
    course: Option<HeldOutCourse>,
    bootstrap: Bootstrap,
}

/// The cells of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    pub(super) rates: Vec<usize>,
    pub(super) canaries: Vec<usize>,
}

impl Members {
    /// Those of which `wanted` is true.
    pub(super) fn filtered(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let kept = |cells: &[usize]| cells.iter().copied().filter(|&cell| wanted(cell)).collect();
        Self {
            rates: kept(&self.rates),
            canaries: kept(&self.canaries),
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.rates.iter().chain(&self.canaries).copied()
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.all().next()
    }
}

impl Series {
    /// Pools cells that differ in seed, or in a uniform layout's copies, alone; `None` for no cells.
    pub(super) fn pooled(
        cells: &[AnalysedCell<'_>],
        members: Members,
        label: String,
        bootstrap: Bootstrap,
    ) -> Option<Self> {
        let first = cells[members.first()?].data;
        let rates = || members.rates.iter().map(|&index| &cells[index]);
        let courses: Vec<HeldOutCourse> = rates().filter_map(|cell| cell.course).collect();
        let mean =
            |field: fn(&HeldOutCourse) -> f64| courses.iter().map(field).sum::<f64>() / courses.len() as f64;
        let course = courses.first().map(|first| HeldOutCourse {
            best: mean(|course| course.best),
            best_epoch: mean(|course| course.best_epoch),
            last: mean(|course| course.last),
            evaluations: first.evaluations,
        });
        let corpora: BTreeMap<&str, TextSizes> = rates()
            .map(|cell| (cell.data.cell.corpus.as_str(), cell.corpus.chars))
            .collect();
        let chars = corpora
            .values()
            .fold(TextSizes::default(), |sum, chars| TextSizes {
                training: sum.training + chars.training,
                held_out: sum.held_out + chars.held_out,
                held_out_apart: sum.held_out_apart + chars.held_out_apart,
            });
        let facts: &Cell = &first.cell;
        let mut failed_checks: Vec<String> = Vec::new();
        for result in members.all().flat_map(|index| &cells[index].checks) {
            if result.is_blocking() && !failed_checks.contains(&result.finding.in_brief) {
                failed_checks.push(result.finding.in_brief.clone());
            }
        }
        let text_unchecked = members
            .all()
            .any(|index| cells[index].checks.iter().any(CheckResult::leaves_text_unchecked));
        Some(Self {
            failed_checks,
            text_unchecked,
            label,
            mode: facts.mode.clone(),
            checkpoint: first.checkpoint,
            learning_rate: facts.learning_rate,
            trainable_parameters: facts.trainable_parameters,
            tallies: Tallies::pooled(members.all().map(|index| &cells[index].tallies)),
            chars,
            similarity_at_least: rates()
                .flat_map(|cell| &cell.data.samples)
                .any(|sample| sample.verdict.similarity_at_least == Some(true)),
            cells: members.rates,
            canary_cells: members.canaries,
            course,
            bootstrap,
        })
    }

    /// The estimate of a measure; `copies` none means all.
    pub fn estimate(&self, measure: Measure, at: Where<'_>, copies: Option<i32>) -> Option<Estimate> {
        self.tallies.estimate(measure, at, copies, self.bootstrap)
    }

    /// How its intervals are drawn.
    pub(crate) fn bootstrap(&self) -> Bootstrap {
        self.bootstrap
    }

    /// The held-out loss that says how useful it is: over the held-out documents that chose nothing. Over those that chose where
    /// there are no others; the one logged where nothing was scored.
    pub fn held_out_loss(&self) -> Option<Estimate> {
        self.loss([Measure::Loss, Measure::ValidationLoss])
    }

    /// The held-out loss that learning rates are chosen by: over the validation documents, where they are told apart.
    pub fn validation_loss(&self) -> Option<Estimate> {
        self.loss([Measure::ValidationLoss, Measure::Loss])
    }

    fn loss(&self, measures: [Measure; 2]) -> Option<Estimate> {
        let at = Where {
            split: Split::Heldout,
            strategy: None,
        };
        let scored = measures
            .into_iter()
            .find_map(|measure| self.estimate(measure, at, None));
        scored.or_else(|| {
            let course = self.course?;
            let value = match self.checkpoint {
                Some(WhichCheckpoint::Best) => course.best,
                Some(WhichCheckpoint::Last) | None => course.last,
            };
            Some(Estimate {
                value,
                interval: None,
                observations: 0,
                documents: 0,
            })
        })
    }

    /// All of its cells, those with canaries apart included.
    pub fn all_cells(&self) -> impl Iterator<Item = usize> {
        self.cells.iter().chain(&self.canary_cells).copied()
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

/// "full, best, 3e-4": a series' name where several learning rates stand side by side.
pub fn series_label(series: &Series) -> String {
    match series.learning_rate {
        Some(rate) => format!("{}, {}", series.label, rate_name(rate)),
        None => series.label.clone(),
    }
}
