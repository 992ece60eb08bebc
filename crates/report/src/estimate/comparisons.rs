//! Figures against each other: with the untuned model on the same documents, between ways of tuning, between numbers of copies, and
//! at equal held-out loss.

use std::collections::{BTreeMap, BTreeSet};

use contract::records::Split;
use measures::Tally;
use measures::interval::{mover_difference, paired_difference, paired_mean_difference, ratio};
use measures::propensity::propensity;
use measures::test::{exceeds_p_value, holm, paired_exceeds};
use measures::tradeoff::{SweepPoint, at_loss, joint_bootstrap};

use super::claims::{most_copies, pairs};
use super::figure::{Confidence, Estimate, IntervalKind, UnitOf};
use super::groups::{Experiment, Family, RunGroup};
use super::measure::{Against, Kind, Measure};
use super::membership::MembershipScore;
use super::table::{Key, Row};
use super::tallies::Slice;
use super::{AnalysedCell, Estimates, HELD_OUT, TRAINED};
use crate::read::WhichCheckpoint;

/// What a difference from the untuned model is against.
pub const UNTUNED: &str = "untuned";
/// The held-out loss that every way of tuning reaches.
pub const EQUAL_LOSS: &str = "equal_loss";
/// Own documents word for word at that loss, while loss falls: the least of the family's learning rates.
pub const AT_EQUAL_LOSS_FALLING: &str = "own_verbatim_at_equal_loss_falling";
/// The same while loss rises again.
pub const AT_EQUAL_LOSS_RISING: &str = "own_verbatim_at_equal_loss_rising";
/// The largest share of own documents, word for word, that any strategy found; a maximum over strategies, as is the untuned model's.
pub const LARGEST_OWN_VERBATIM: &str = "largest_own_verbatim";
/// The largest area under the ROC curve of any membership score; a maximum over scores, as is the untuned model's.
pub const LARGEST_AUC: &str = "largest_membership_auc";
/// Propensity (arXiv 2606.06286).
pub const PROPENSITY: &str = "propensity";

/// Adds every comparison.
pub(super) fn add_all(estimates: &mut Estimates<'_>) {
    let mut rows = Vec::new();
    for experiment in &estimates.experiments {
        for group in experiment.every_group() {
            let found = &estimates.groups[group];
            rows.extend(over_copies(estimates, experiment, found));
            if found.method.is_untuned() {
                continue;
            }
            rows.extend(from_untuned(estimates, experiment, found));
            rows.extend(maxima(estimates, experiment, found));
            rows.extend(propensities(estimates, experiment, found));
        }
        for checkpoint in experiment.checkpoints() {
            rows.extend(between_families(estimates, experiment, checkpoint));
        }
        rows.extend(at_equal_loss(estimates, experiment));
    }
    for row in rows {
        estimates.table.add(row);
    }
}

/// What is compared with the untuned model: by headline strategy and number of copies, and without decoding.
fn from_untuned(estimates: &Estimates<'_>, experiment: &Experiment, group: &RunGroup) -> Vec<Row> {
    let mut asked: Vec<(Measure, Slice<'_>, Option<i32>)> = vec![
        (Measure::Loss, HELD_OUT, None),
        (Measure::OtherLoss, HELD_OUT, None),
    ];
    let copies: Vec<Option<i32>> = match group.uniform_copies {
        Some(_) => vec![None],
        None => experiment.copies.iter().copied().map(Some).collect(),
    };
    for copies in copies {
        asked.push((Measure::OwnVerbatim, experiment.seen(), copies));
        asked.push((Measure::Similarity(Against::Own), experiment.seen(), copies));
    }
    asked
        .into_iter()
        .filter_map(|(measure, at, copies)| {
            let untuned = |cell: &AnalysedCell<'_>| cell.untuned;
            let estimate = difference(estimates, group, measure, at, copies, &untuned)?;
            let key = Key::new(group.subject, &measure, at, group.uniform_copies.or(copies)).against(UNTUNED);
            Some(Row::plain(key, measure.unit(), estimate))
        })
        .collect()
}

/// The mean difference of a measure on the same documents, over the runs of a group; `other` gives the cell that each of its cells is
/// compared with.
fn difference(
    estimates: &Estimates<'_>,
    group: &RunGroup,
    measure: Measure,
    at: Slice<'_>,
    copies: Option<i32>,
    other: &dyn Fn(&AnalysedCell<'_>) -> Option<usize>,
) -> Option<Estimate> {
    let runs = &estimates.subjects[group.subject].runs;
    let found: Vec<Estimate> = runs
        .iter()
        .filter_map(|run| {
            let cell = &estimates.cells[run.documents?];
            let other = &estimates.cells[other(cell)?];
            let first = cell.tallies.by_document(measure, at, copies);
            let second = other.tallies.by_document(measure, at, copies);
            paired_estimate(&pairs(&first, &second), measure.kind())
        })
        .collect();
    // A difference lies between the two differences of the ends.
    let bounds = measure.bounds().map(|(low, high)| (low - high, high - low));
    Estimate::of_runs(&found, bounds)
}

/// Shares by the interval for paired shares, means by that for paired means.
pub(crate) fn paired_estimate(pairs: &[(Tally, Tally)], kind: Kind) -> Option<Estimate> {
    let side = |pick: fn(&(Tally, Tally)) -> Tally| ratio(&pairs.iter().map(pick).collect::<Vec<_>>()).ok();
    let value = side(|pair| pair.0)? - side(|pair| pair.1)?;
    let ends = match kind {
        Kind::Mean => paired_mean_difference(pairs).ok(),
        Kind::Rate | Kind::Count => paired_difference(pairs).ok(),
    };
    let interval = ends.map(|ends| Confidence {
        ends,
        kind: IntervalKind::Paired,
    });
    Some(Estimate {
        interval,
        ..Estimate::exact(value, pairs.len(), UnitOf::Documents)
    })
}

/// Every two ways of tuning at a point of training, on the same documents with the most copies, and their held-out losses.
fn between_families(
    estimates: &Estimates<'_>,
    experiment: &Experiment,
    checkpoint: WhichCheckpoint,
) -> Vec<Row> {
    let chosen: Vec<usize> = experiment.chosen(checkpoint).map(|(_, group)| group).collect();
    let mut rows = Vec::new();
    for &first in &chosen {
        for &second in &chosen {
            let (group, other) = (&estimates.groups[first], &estimates.groups[second]);
            if first == second || group.uniform_copies != other.uniform_copies {
                continue;
            }
            let partner = |cell: &AnalysedCell<'_>| same_run(estimates, other, cell);
            let copies = most_copies(experiment, group);
            for (measure, at, copies) in [
                (Measure::OwnVerbatim, experiment.seen(), copies),
                (Measure::Loss, HELD_OUT, None),
            ] {
                let Some(estimate) = difference(estimates, group, measure, at, copies, &partner) else {
                    continue;
                };
                let key = Key::new(group.subject, &measure, at, group.uniform_copies.or(copies));
                let mut row = Row::plain(key.against(&other.label), measure.unit(), estimate);
                if measure == Measure::OwnVerbatim {
                    row.p_value = exceeds_p(estimates, group, at, copies, &partner);
                }
                rows.push(row);
            }
        }
    }
    correct_together(&mut rows);
    rows
}

/// Holm's correction over the rows of one comparison.
fn correct_together(rows: &mut [Row]) {
    let tested: Vec<f64> = rows.iter().filter_map(|row| row.p_value).collect();
    let mut adjusted = holm(&tested).unwrap_or_default().into_iter();
    for row in rows.iter_mut().filter(|row| row.p_value.is_some()) {
        row.p_holm = adjusted.next();
    }
}

/// One-sided p-value that a group's own documents come back more often than another's: with one run on the same documents, with
/// several the largest over the runs, which is strict.
fn exceeds_p(
    estimates: &Estimates<'_>,
    group: &RunGroup,
    at: Slice<'_>,
    copies: Option<i32>,
    partner: &dyn Fn(&AnalysedCell<'_>) -> Option<usize>,
) -> Option<f64> {
    let runs = &estimates.subjects[group.subject].runs;
    let p_values = runs.iter().filter_map(|run| {
        let cell = &estimates.cells[run.documents?];
        let other = &estimates.cells[partner(cell)?];
        let first = cell.tallies.by_document(Measure::OwnVerbatim, at, copies);
        let second = other.tallies.by_document(Measure::OwnVerbatim, at, copies);
        let bootstrap = estimates.bootstrap;
        paired_exceeds(&pairs(&first, &second), bootstrap.resamples, bootstrap.seed).ok()
    });
    p_values.reduce(f64::max)
}

/// The cell of a group that was tuned on the same corpus.
fn same_run(estimates: &Estimates<'_>, group: &RunGroup, cell: &AnalysedCell<'_>) -> Option<usize> {
    let runs = &estimates.subjects[group.subject].runs;
    let mut cells = runs.iter().filter_map(|run| run.documents);
    cells.find(|&other| estimates.cells[other].data.cell.corpus == cell.data.cell.corpus)
}

/// Documents with the most copies against those with the fewest, in one training set.
fn over_copies(estimates: &Estimates<'_>, experiment: &Experiment, group: &RunGroup) -> Option<Row> {
    let (&fewest, &most) = (experiment.copies.first()?, experiment.copies.last()?);
    if fewest == most || group.uniform_copies.is_some() {
        return None;
    }
    let find = |copies| {
        estimates.table.find(
            group.subject,
            Measure::OwnVerbatim,
            experiment.seen(),
            Some(copies),
        )
    };
    let (low, high) = (find(fewest)?.estimate(), find(most)?.estimate());
    let key = Key::new(
        group.subject,
        &Measure::OwnVerbatim,
        experiment.seen(),
        Some(most),
    );
    let mut row = Row::plain(
        key.against(&copies_name(fewest)),
        Measure::OwnVerbatim.unit(),
        independent_difference(high, low)?,
    );
    row.p_value = unpaired_p(estimates, group, experiment.seen(), (Some(most), Some(fewest)));
    row.p_holm = row.p_value;
    Some(row)
}

/// "1 copy", "16 copies": what a difference over copies is against.
pub fn copies_name(copies: i32) -> String {
    format!("{copies} {}", if copies == 1 { "copy" } else { "copies" })
}

/// The difference of two figures of different documents.
pub(super) fn independent_difference(first: &Estimate, second: &Estimate) -> Option<Estimate> {
    let (around_first, around_second) = (first.ends()?, second.ends()?);
    let ends = mover_difference((first.value, around_first), (second.value, around_second));
    Some(Estimate {
        interval: Some(Confidence {
            ends,
            kind: IntervalKind::Mover,
        }),
        ..Estimate::exact(first.value - second.value, first.n + second.n, first.n_of)
    })
}

fn unpaired_p(
    estimates: &Estimates<'_>,
    group: &RunGroup,
    at: Slice<'_>,
    (first, second): (Option<i32>, Option<i32>),
) -> Option<f64> {
    let runs = &estimates.subjects[group.subject].runs;
    let touched = |cell: &AnalysedCell<'_>, copies: Option<i32>| {
        let tallies = cell.tallies.of(Measure::OwnVerbatim, at, copies);
        let found = tallies.iter().filter(|tally| tally.part > 0.0).count();
        (found as u64, tallies.len() as u64)
    };
    let p_values = runs.iter().filter_map(|run| {
        let cell = &estimates.cells[run.documents?];
        exceeds_p_value(touched(cell, first), touched(cell, second)).ok()
    });
    p_values.reduce(f64::max)
}

/// The largest of several figures, beside the untuned model's largest.
fn maxima(estimates: &Estimates<'_>, experiment: &Experiment, group: &RunGroup) -> Vec<Row> {
    let copies = most_copies(experiment, group);
    let strategies = experiment.strategies.iter().filter_map(|strategy| {
        let at = Slice {
            split: Split::Train,
            strategy: Some(&strategy.name),
        };
        let shown = estimates
            .table
            .find(group.subject, Measure::OwnVerbatim, at, copies)?;
        Some((strategy.name.clone(), shown.row))
    });
    let scores = MembershipScore::ALL
        .into_iter()
        // The untuned model has no shadow models: its maximum would be over fewer scores.
        .filter(|score| score.is_of_model() && !score.takes_shadows())
        .filter_map(|score| {
            let shown = estimates
                .table
                .find(group.subject, score.auc(), TRAINED, copies)?;
            Some((score.title().to_owned(), shown.row))
        });
    let repeated = maximum(
        &strategies.collect::<Vec<_>>(),
        LARGEST_OWN_VERBATIM,
        group,
        copies,
    );
    let told = maximum(&scores.collect::<Vec<_>>(), LARGEST_AUC, group, copies);
    repeated.into_iter().chain(told).collect()
}

fn maximum(candidates: &[(String, &Row)], name: &str, group: &RunGroup, copies: Option<i32>) -> Option<Row> {
    let value = |row: &Row| row.estimate.value;
    let (of, largest) = candidates
        .iter()
        .max_by(|left, right| value(left.1).total_cmp(&value(right.1)))?;
    let untuned = candidates
        .iter()
        .filter_map(|(_, row)| row.untuned)
        .max_by(|left, right| left.value.total_cmp(&right.value));
    // The interval of a maximum is not that of the figure which happened to be it.
    let bare = |estimate: Estimate| Estimate {
        interval: None,
        ..estimate
    };
    Some(Row {
        untuned: untuned.map(bare),
        word: Some(of.clone()),
        ..Row::plain(
            Key::new(group.subject, &name, TRAINED, copies),
            largest.unit,
            bare(largest.estimate),
        )
    })
}

/// For each ordinary strategy how its rate stands to that of the prompts that force recall.
fn propensities(estimates: &Estimates<'_>, experiment: &Experiment, group: &RunGroup) -> Vec<Row> {
    let copies = most_copies(experiment, group);
    let rate = |strategy: &str| {
        let at = Slice {
            split: Split::Train,
            strategy: Some(strategy),
        };
        let shown = estimates
            .table
            .find(group.subject, Measure::OwnVerbatim, at, copies)?;
        Some(*shown.estimate())
    };
    let Some(forced) = rate(&experiment.strategy) else {
        return Vec::new();
    };
    let ordinary = experiment
        .strategies
        .iter()
        .filter(|strategy| strategy.form.is_ordinary());
    ordinary
        .filter_map(|strategy| {
            let found = rate(&strategy.name)?;
            let value = propensity(found.value, forced.value).ok().flatten()?;
            let at = Slice {
                split: Split::Train,
                strategy: Some(&strategy.name),
            };
            let key = Key::new(group.subject, &PROPENSITY, at, copies);
            Some(Row::plain(
                key,
                "from 0 to 1",
                Estimate::exact(value, found.n, found.n_of),
            ))
        })
        .collect()
}

/// What the documents of some runs contributed, in the order of a list of documents.
struct Observed {
    loss: Vec<Option<Tally>>,
    memory: Vec<Option<Tally>>,
}

impl Observed {
    /// The point of the path that a resample of documents gives; none where it has none of them.
    fn point(&self, trained: &[usize], held_out: &[usize]) -> Option<SweepPoint> {
        Some(SweepPoint {
            held_out_loss: resampled(&self.loss, held_out)?,
            memorization: resampled(&self.memory, trained)?,
        })
    }
}

fn resampled(documents: &[Option<Tally>], drawn: &[usize]) -> Option<f64> {
    let (mut part, mut whole) = (0.0, 0.0);
    for tally in drawn.iter().filter_map(|&index| documents[index]) {
        part += tally.part;
        whole += tally.whole;
    }
    (whole > 0.0).then(|| part / whole)
}

/// Memorization at equal held-out loss, at the best loss of the family whose best is worst, on both branches.
///
/// The path of a learning rate begins with the untuned model and goes through the checkpoints that were asked. Loss and memorization
/// are resampled together, the same documents for all.
fn at_equal_loss(estimates: &Estimates<'_>, experiment: &Experiment) -> Vec<Row> {
    let Some(paths) = Paths::of(estimates, experiment) else {
        return Vec::new();
    };
    let every = |count: usize| (0..count).collect::<Vec<usize>>();
    let (trained, held_out) = (paths.trained, paths.held_out);
    let values = paths.statistics(&every(trained), &every(held_out));
    let bootstrap = estimates.bootstrap;
    let resampled = joint_bootstrap(
        trained,
        held_out,
        bootstrap.resamples,
        bootstrap.seed,
        |trained, held_out| paths.statistics(trained, held_out),
    );
    let Ok(resampled) = resampled else {
        return Vec::new();
    };
    let estimate = |index: usize| {
        let value = values[index]?;
        let interval = resampled[index]
            .interval
            .filter(|ends| resampled[index].share_with_value >= MIN_WITH_VALUE && ends.width() > 0.0)
            .map(|ends| Confidence {
                ends,
                kind: IntervalKind::Bootstrap,
            })
            // A share of 0 or 1 in every resample is no certainty.
            .or_else(|| {
                let is_extreme = index > 0 && (value == 0.0 || value == 1.0);
                let k = (value * trained as f64) as usize;
                Estimate::share(k, trained, UnitOf::Documents)
                    .filter(|_| is_extreme)?
                    .interval
            });
        Some(Estimate {
            interval,
            ..Estimate::exact(value, trained, UnitOf::Documents)
        })
    };
    let mut rows = Vec::new();
    for (number, path) in paths.families.iter().enumerate() {
        let group = &estimates.groups[path.group];
        let copies = most_copies(experiment, group);
        let mut add = |name: &str, unit, at: Slice<'_>, index: usize| {
            if let Some(estimate) = estimate(index) {
                rows.push(Row::plain(
                    Key::new(group.subject, &name, at, copies),
                    unit,
                    estimate,
                ));
            }
        };
        add(EQUAL_LOSS, "nats per token", HELD_OUT, 0);
        add(AT_EQUAL_LOSS_FALLING, "share", experiment.seen(), 1 + 2 * number);
        add(AT_EQUAL_LOSS_RISING, "share", experiment.seen(), 2 + 2 * number);
    }
    rows
}

/// The least share of resamples that have the equal loss: where many never have it, the others are no sample of what might be.
const MIN_WITH_VALUE: f64 = 0.9;

/// The paths of all families.
struct Paths {
    untuned: Observed,
    families: Vec<FamilyPaths>,
    /// Training documents, and held-out documents.
    trained: usize,
    held_out: usize,
}

/// The paths of a family, one for each learning rate, in the order of training.
struct FamilyPaths {
    /// The group that the rows are told of: the end of training at the chosen rate.
    group: usize,
    rates: Vec<Vec<Observed>>,
}

impl Paths {
    fn of(estimates: &Estimates<'_>, experiment: &Experiment) -> Option<Self> {
        if experiment.families.len() < 2 {
            return None;
        }
        let copies = experiment.most_copies();
        let of_copies = |group: &usize| {
            let uniform = estimates.groups[*group].uniform_copies;
            uniform.is_none() || uniform == copies
        };
        let untuned = experiment
            .untuned
            .iter()
            .copied()
            .find(|group| of_copies(group))?;
        let at = |family: &Family, rate: usize| -> Vec<usize> {
            let groups = &family.rates[rate];
            groups
                .best
                .iter()
                .chain(&groups.last)
                .copied()
                .filter(|group| of_copies(group))
                .collect()
        };
        let all: Vec<usize> = experiment
            .families
            .iter()
            .flat_map(|family| {
                (0..family.rates.len())
                    .flat_map(|rate| at(family, rate))
                    .collect::<Vec<_>>()
            })
            .chain([untuned])
            .collect();
        let documents = |measure: Measure, slice: Slice<'_>, copies: Option<i32>| -> Vec<String> {
            let found: BTreeSet<String> = all
                .iter()
                .flat_map(|&group| of_group(estimates, group, measure, slice, copies).into_keys())
                .collect();
            found.into_iter().collect()
        };
        let (loss, held_out_copies) = (Measure::Loss, None);
        let trained = documents(Measure::OwnVerbatim, experiment.seen(), copies);
        let held_out = documents(loss, HELD_OUT, held_out_copies);
        let observed = |group: usize| {
            let aligned = |names: &[String], found: &BTreeMap<String, Tally>| {
                names
                    .iter()
                    .map(|name| found.get(name).copied())
                    .collect::<Vec<_>>()
            };
            Observed {
                loss: aligned(&held_out, &of_group(estimates, group, loss, HELD_OUT, None)),
                memory: aligned(
                    &trained,
                    &of_group(estimates, group, Measure::OwnVerbatim, experiment.seen(), copies),
                ),
            }
        };
        let families = experiment
            .families
            .iter()
            .filter_map(|family| {
                let group = *at(family, family.chosen).last()?;
                let rates = (0..family.rates.len())
                    .map(|rate| at(family, rate).into_iter().map(&observed).collect())
                    .collect();
                Some(FamilyPaths { group, rates })
            })
            .collect::<Vec<_>>();
        (families.len() >= 2 && !trained.is_empty() && !held_out.is_empty()).then(|| Self {
            untuned: observed(untuned),
            families,
            trained: trained.len(),
            held_out: held_out.len(),
        })
    }

    /// The equal loss, and for each family memorization there while loss falls and while it rises.
    fn statistics(&self, trained: &[usize], held_out: &[usize]) -> Vec<Option<f64>> {
        let untuned = self.untuned.point(trained, held_out);
        let paths: Vec<Vec<Vec<SweepPoint>>> = self
            .families
            .iter()
            .map(|family| {
                let path = |rate: &Vec<Observed>| {
                    let points = rate
                        .iter()
                        .filter_map(|observed| observed.point(trained, held_out));
                    untuned.into_iter().chain(points).collect()
                };
                family.rates.iter().map(path).collect()
            })
            .collect();
        let best = |family: &Vec<Vec<SweepPoint>>| {
            let losses = family.iter().flatten().map(|point| point.held_out_loss);
            losses.reduce(f64::min)
        };
        let loss = paths.iter().filter_map(best).reduce(f64::max);
        let mut statistics = vec![loss];
        for family in &paths {
            let (mut falling, mut rising): (Option<f64>, Option<f64>) = (None, None);
            for path in family {
                let Some(branches) = loss.and_then(|loss| at_loss(path, loss).ok()) else {
                    continue;
                };
                let least =
                    |sofar: Option<f64>, found: &[f64]| found.iter().copied().chain(sofar).reduce(f64::min);
                falling = least(falling, &branches.falling);
                rising = least(rising, &branches.rising);
            }
            statistics.extend([falling, rising]);
        }
        statistics
    }
}

/// What the documents of all runs of a group contributed, together.
fn of_group(
    estimates: &Estimates<'_>,
    group: usize,
    measure: Measure,
    at: Slice<'_>,
    copies: Option<i32>,
) -> BTreeMap<String, Tally> {
    let mut sums: BTreeMap<String, Tally> = BTreeMap::new();
    for run in &estimates.subjects[estimates.groups[group].subject].runs {
        let Some(cell) = run.documents.map(|cell| &estimates.cells[cell]) else {
            continue;
        };
        for (document, tally) in cell.tallies.by_document(measure, at, copies) {
            let sum = sums.entry(document.to_owned()).or_insert(Tally::new(0.0, 0.0));
            *sum = Tally::new(sum.part + tally.part, sum.whole + tally.whole);
        }
    }
    sums
}
