//! Which ways of tuning are dominated: another fits unseen text as well and repeats as little, and is better in one of both.

use super::claims::most_copies;
use super::groups::Experiment;
use super::measure::Measure;
use super::table::{Key, Row};
use super::{Estimate, Estimates, TRAINED};

/// 1 where another group of the experiment dominates this one, which its row names, 0 where none does. By the figures themselves, whatever
/// their intervals.
pub const DOMINATED: &str = "dominated";

/// A group at its place between usefulness and leakage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    /// The group.
    pub group: usize,
    /// Its loss on unseen text.
    pub loss: f64,
    /// The share of its documents, of the most copies, that came back word for word.
    pub share: f64,
}

impl Placed {
    /// Whether it is as good on both counts, and better on one.
    fn dominates(self, other: Self) -> bool {
        self.loss <= other.loss
            && self.share <= other.share
            && (self.loss < other.loss || self.share < other.share)
    }
}

/// Every group that has both figures, in order of loss: the untuned model too, which dominates where tuning was of no use.
pub fn placed(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Placed> {
    let of_group = |group: usize| {
        let copies = most_copies(experiment, &estimates.groups[group]);
        Some(Placed {
            group,
            loss: estimates.held_out_loss(group)?.estimate().value,
            share: estimates
                .find(group, Measure::OwnVerbatim, experiment.seen(), copies)?
                .estimate()
                .value,
        })
    };
    let mut found: Vec<Placed> = experiment
        .every_group()
        .into_iter()
        .filter_map(of_group)
        .collect();
    found.sort_by(|left, right| left.loss.total_cmp(&right.loss));
    found
}

/// The group that dominates another: of several the one that repeats least, and then the one with the lowest loss. Groups of other numbers of
/// copies were tuned on other text.
pub fn dominating(estimates: &Estimates<'_>, placed: &[Placed], one: Placed) -> Option<usize> {
    let copies = |placed: &Placed| estimates.groups[placed.group].uniform_copies;
    placed
        .iter()
        .filter(|other| copies(other) == copies(&one) && other.dominates(one))
        .min_by(|left, right| {
            left.share
                .total_cmp(&right.share)
                .then(left.loss.total_cmp(&right.loss))
        })
        .map(|other| other.group)
}

/// Adds a row for each tuned group, where several were tuned here.
pub(super) fn add_all(estimates: &mut Estimates<'_>) {
    let mut rows = Vec::new();
    for experiment in estimates
        .experiments
        .iter()
        .filter(|experiment| !experiment.is_audit())
    {
        let placed = placed(estimates, experiment);
        let tuned = placed
            .iter()
            .filter(|one| !estimates.groups[one.group].method.is_untuned());
        if tuned.clone().count() < 2 {
            continue;
        }
        for one in tuned {
            let group = &estimates.groups[one.group];
            let by = dominating(estimates, &placed, *one);
            let copies = most_copies(experiment, group);
            let Some(shown) = estimates.find(one.group, Measure::OwnVerbatim, experiment.seen(), copies)
            else {
                continue;
            };
            let share = shown.estimate();
            rows.push(Row {
                word: by.map(|by| estimates.groups[by].label.clone()),
                ..Row::plain(
                    Key::new(group.subject, &DOMINATED, TRAINED, copies),
                    "0 or 1",
                    Estimate::exact(f64::from(u8::from(by.is_some())), share.n, share.n_of),
                )
            });
        }
    }
    for row in rows {
        estimates.table.add(row);
    }
}
