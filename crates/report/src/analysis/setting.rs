//! One model on one layout of the corpus: its ways of tuning, side by side.

use std::collections::{BTreeMap, BTreeSet};

use contract::Cell;
use contract::records::{PromptForm, Split};

use super::series::Members;
use super::variant::variant_label;
use super::{AnalysedCell, Series, Variant};
use crate::rates::Bootstrap;
use crate::run::WhichCheckpoint;
use crate::tallies::Where;

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
    /// Strategies, in the order in which they appear.
    pub strategies: Vec<Strategy>,
    /// The strategy that headline and plots speak of: the greedy one, or else the first.
    pub strategy: String,
    /// Numbers of copies, ascending.
    pub copies: Vec<i32>,
}

/// The ways of tuning at one point of their training.
#[derive(Debug)]
pub struct View<'a> {
    /// Which; none where every way of tuning was asked at one checkpoint only.
    pub checkpoint: Option<WhichCheckpoint>,
    /// Each way of tuning there. One that was asked at one checkpoint only stands in both views.
    pub variants: Vec<(&'a Variant, &'a Series)>,
}

impl<'a> View<'a> {
    /// The untuned model, where it is there, and each way of tuning.
    pub fn with_base(&self, setting: &'a Setting) -> impl Iterator<Item = &'a Series> {
        let tuned = self.variants.iter().map(|(_, series)| *series);
        setting.base.iter().chain(tuned)
    }

    /// How a series is called inside the view, which says the checkpoint already.
    pub fn label(&self, series: &'a Series) -> &'a str {
        let mut variants = self.variants.iter();
        let found = variants.find(|(_, shown)| std::ptr::eq(*shown, series));
        found.map_or(series.label.as_str(), |(variant, _)| variant.label.as_str())
    }

    /// Which point of training it is, as the beginning of a sentence or the end of a caption; empty where there is one alone.
    pub fn name(&self) -> &'static str {
        match self.checkpoint {
            Some(WhichCheckpoint::Best) => "at the best checkpoint",
            Some(WhichCheckpoint::Last) => "at the end of training",
            None => "",
        }
    }
}

/// A form of prompt and a way of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// Its name.
    pub name: String,
    /// What its prompts are made of.
    pub form: PromptForm,
    /// Whether it takes the most probable token.
    pub greedy: bool,
}

impl Strategy {
    /// Whether it prompts with the first tokens of documents, or nothing.
    pub fn is_plain(&self) -> bool {
        matches!(self.form, PromptForm::Prefix | PromptForm::Nothing)
    }
}

impl Setting {
    /// Brings the `members` among `cells` together: seeds into series, learning rates into variants.
    pub(super) fn of(
        cells: &[AnalysedCell<'_>],
        members: &[usize],
        (model, parameters, layout): (&str, i64, &str),
        bootstrap: Bootstrap,
    ) -> Self {
        let kinds = kinds(cells, members);
        let names: Vec<Kind<'_>> = kinds.keys().copied().collect();
        let mut base = None;
        let mut variants = Vec::new();
        for (kind, rates) in kinds {
            if kind.mode == "base" {
                base = rates
                    .into_values()
                    .next_back()
                    .and_then(|members| Series::pooled(cells, members, "untuned".to_owned(), bootstrap));
                continue;
            }
            let label = kind.label(&names);
            let rates: Vec<(Series, Option<Series>)> = rates
                .into_values()
                .filter_map(|members| at_both_checkpoints(cells, &members, &label, bootstrap))
                .collect();
            if !rates.is_empty() {
                variants.push(Variant::of(label, kind.mode, rates));
            }
        }
        // A run of canaries apart has documents too; nothing is said of them.
        let with_rates: Vec<usize> = members
            .iter()
            .copied()
            .filter(|&index| !cells[index].data.cell.canaries_apart)
            .collect();
        let of_copies = if with_rates.is_empty() {
            members
        } else {
            &with_rates
        };
        let strategies = strategies(cells, &with_rates);
        let plain = || strategies.iter().filter(|strategy| strategy.is_plain());
        let headline = plain()
            .find(|strategy| strategy.greedy)
            .or(plain().next())
            .or(strategies.first());
        let copies: BTreeSet<i32> = of_copies
            .iter()
            .flat_map(|&index| cells[index].tallies.copies())
            .collect();
        Self {
            model: model.to_owned(),
            parameters,
            layout: layout.to_owned(),
            base,
            variants,
            strategy: headline.map(|strategy| strategy.name.clone()).unwrap_or_default(),
            strategies,
            copies: copies.into_iter().collect(),
        }
    }

    /// The names of the strategies that prompt with the first tokens of documents, or nothing: the usual attack.
    pub fn plain_strategies(&self) -> impl Iterator<Item = &str> {
        let plain = self.strategies.iter().filter(|strategy| strategy.is_plain());
        plain.map(|strategy| strategy.name.as_str())
    }

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

    /// The untuned model, if it is there, the chosen series of each variant, and then the ends of their training where their
    /// best checkpoints were asked too; each with its label.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &Series)> {
        let best = self.variants.iter().map(Variant::chosen);
        let last = self.variants.iter().filter_map(Variant::chosen_last);
        let all = self.base.iter().chain(best).chain(last);
        all.map(|series| (series.label.as_str(), series))
    }

    /// The untuned model, if it is there, and every series of every variant.
    pub fn every_series(&self) -> impl Iterator<Item = &Series> {
        let tuned = self.variants.iter().flat_map(Variant::every_series);
        self.base.iter().chain(tuned)
    }

    /// The ways of tuning at their best checkpoints, and at the end of their training where that was asked beside it.
    pub fn views(&self) -> Vec<View<'_>> {
        let view = |checkpoint, of: fn(&Variant) -> &Series| View {
            checkpoint,
            variants: self
                .variants
                .iter()
                .map(|variant| (variant, of(variant)))
                .collect(),
        };
        if self
            .variants
            .iter()
            .all(|variant| variant.chosen_last().is_none())
        {
            return vec![view(None, Variant::chosen)];
        }
        vec![
            view(Some(WhichCheckpoint::Best), Variant::chosen),
            view(Some(WhichCheckpoint::Last), |variant| {
                variant.chosen_last().unwrap_or(variant.chosen())
            }),
        ]
    }

    /// Whether nothing was tuned here: checkpoints are judged that were tuned elsewhere.
    pub fn is_audit(&self) -> bool {
        !self.variants.is_empty()
            && self
                .variants
                .iter()
                .all(|variant| variant.chosen().learning_rate.is_none())
    }

    /// Whether some variant was run at more than one learning rate.
    pub fn has_sweep(&self) -> bool {
        self.variants.iter().any(|variant| variant.series.len() > 1)
    }
}

/// What makes a way of tuning another one; ordered as the page shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    order: usize,
    mode: &'a str,
    rank: Option<i32>,
    targets: Option<&'a str>,
}

impl<'a> Kind<'a> {
    fn of(cell: &'a Cell) -> Self {
        let known = ["base", "full", "head", "lora"];
        Self {
            order: known
                .iter()
                .position(|mode| *mode == cell.mode)
                .unwrap_or(known.len()),
            mode: &cell.mode,
            rank: cell.rank,
            targets: cell.targets.as_deref(),
        }
    }

    /// Its name among `all`: rank and targets only where another of the same mode differs in them.
    fn label(&self, all: &[Self]) -> String {
        let mode = all.iter().filter(|other| other.mode == self.mode).count();
        let rank = all
            .iter()
            .filter(|other| other.mode == self.mode && other.rank == self.rank)
            .count();
        variant_label(
            self.mode,
            self.rank.filter(|_| mode > 1),
            self.targets.filter(|_| rank > 1),
        )
    }
}

/// The series of some cells at their best checkpoints, and at their last; where no best one was asked, the last alone.
fn at_both_checkpoints(
    cells: &[AnalysedCell<'_>],
    members: &Members,
    label: &str,
    bootstrap: Bootstrap,
) -> Option<(Series, Option<Series>)> {
    let is_best = |index: usize| cells[index].data.checkpoint == Some(WhichCheckpoint::Best);
    let last = members.filtered(|index| !is_best(index));
    let best = members.filtered(is_best);
    let asked = if members.rates.is_empty() {
        &best.canaries
    } else {
        &best.rates
    };
    if asked.is_empty() {
        return Some((Series::pooled(cells, last, label.to_owned(), bootstrap)?, None));
    }
    let named = |checkpoint| format!("{label}, {checkpoint}");
    Some((
        Series::pooled(cells, best, named(WhichCheckpoint::Best), bootstrap)?,
        Series::pooled(cells, last, named(WhichCheckpoint::Last), bootstrap),
    ))
}

/// Cells by way of tuning and, within it, by learning rate.
fn kinds<'a>(cells: &'a [AnalysedCell<'_>], members: &[usize]) -> BTreeMap<Kind<'a>, BTreeMap<u64, Members>> {
    let mut kinds: BTreeMap<Kind<'_>, BTreeMap<u64, Members>> = BTreeMap::new();
    for &index in members {
        let cell = &cells[index].data.cell;
        // Learning rates are positive, and the bits of positive floats are in their order.
        let rate = cell.learning_rate.unwrap_or(0.0).to_bits();
        let rates = kinds.entry(Kind::of(cell)).or_default();
        let alike = rates.entry(rate).or_default();
        if cell.canaries_apart {
            alike.canaries.push(index);
        } else {
            alike.rates.push(index);
        }
    }
    kinds
}

/// The strategies of some cells in the order in which they appear.
fn strategies(cells: &[AnalysedCell<'_>], members: &[usize]) -> Vec<Strategy> {
    let mut found: Vec<Strategy> = Vec::new();
    for sample in members.iter().flat_map(|&index| &cells[index].data.samples) {
        match found.iter_mut().find(|known| known.name == sample.strategy) {
            None => found.push(Strategy {
                name: sample.strategy.clone(),
                form: sample.form,
                greedy: sample.greedy,
            }),
            // A strategy that also goes with nothing is known by what it does with documents.
            Some(known) if known.form == PromptForm::Nothing => known.form = sample.form,
            Some(_) => {}
        }
    }
    found
}
