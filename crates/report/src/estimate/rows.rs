//! The figures of each subject, beside the untuned model's and the control's.

use std::collections::BTreeSet;

use contract::progress::Progress;
use contract::records::{CorpusFact, CorpusFactKind, PromptForm, Split};

use super::checks::{CheckStatus, cut_facts};
use super::figure::{Estimate, UnitOf};
use super::groups::{RunCells, Subject};
use super::measure::{Measure, RankedDetail};
use super::membership::{FALSE_POSITIVE_RATES, MembershipScore, NonMembers, Separation};
use super::ranking::precisions;
use super::table::{Key, Row};
use super::tallies::Slice;
use super::{AnalysedCell, Estimates, HELD_OUT, TRAINED, canaries, controls, privacy};
use crate::read::WhichCheckpoint;

/// The validation loss that training logged at the checkpoint.
pub const LOGGED_VALIDATION_LOSS: &str = "logged_validation_loss";
/// Passes over the training set done at the checkpoint.
pub const EPOCHS_TRAINED: &str = "epochs_trained";
/// Training loss, as logged over training.
pub const TRAINING_LOSS: &str = "logged_training_loss";
/// Share of documents that greedy decoding gives back, at each checkpoint that was kept.
pub const EXTRACTABLE_OVER_TRAINING: &str = "extractable_over_training";
/// Share of tokens that are the most probable ones, at each checkpoint that was kept.
pub const EXACT_OVER_TRAINING: &str = "exact_memorization_over_training";
/// Mean exposure of canaries that were never planted.
pub const EXPOSURE_BY_CHANCE: &str = "exposure_by_chance";
/// The most that the canaries' mean exposure can be shown to be.
pub const EXPOSURE_HIGHEST: &str = "exposure_highest";
/// Personal details that were not ranked.
pub const DETAILS_NOT_RANKED: &str = "details_not_ranked";
/// The ε of differential privacy that tuning promises a text.
pub const EPSILON: &str = "epsilon_at_delta_1e-5";
/// The ε that canaries by coin flip show it to be at least.
pub const EPSILON_AT_LEAST: &str = "epsilon_lower_bound_at_delta_1e-5";
/// The most that these canaries could show.
pub const EPSILON_HIGHEST: &str = "epsilon_highest_at_delta_1e-5";
/// Held-out documents that members are distinguished from.
pub const NON_MEMBERS: &str = "membership_non_members";
/// Where the generations come from nothing, unranked: the share of the distinct ones that repeats training text.
pub const UNRANKED: &str = "unranked_distinct";

/// The measure of what chance gives of one of personal details.
pub fn detail_chance(measure: &impl ToString) -> String {
    format!("{}_by_chance", measure.to_string())
}

/// Adds every figure of every subject.
pub(super) fn add_all(estimates: &mut Estimates<'_>) {
    let mut progress = Progress::new("estimates", estimates.subjects.len() as u64, "cells");
    for subject in 0..estimates.subjects.len() {
        let rows = SubjectRows::new(estimates, subject).rows();
        progress.advance(1, "");
        for row in rows {
            estimates.table.add(row);
        }
    }
}

/// A subject whose rows are being made.
struct SubjectRows<'a, 'run> {
    number: usize,
    subject: &'a Subject,
    cells: &'a [AnalysedCell<'run>],
    uniform_copies: Option<i32>,
}

impl<'a, 'run> SubjectRows<'a, 'run> {
    fn new(estimates: &'a Estimates<'run>, number: usize) -> Self {
        let subject = &estimates.subjects[number];
        Self {
            number,
            subject,
            cells: &estimates.cells,
            uniform_copies: estimates.groups[subject.group].uniform_copies,
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = self.averages();
        rows.extend(self.membership());
        if let [only] = self.subject.runs.as_slice() {
            if let Some(cell) = only.documents {
                rows.extend(self.of_one_cell(&self.cells[cell]));
            }
            rows.extend(self.canary_bounds(*only));
            rows.extend(self.privacy(*only));
        }
        rows.extend(self.training());
        rows
    }

    /// The cells with documents.
    fn documents(&self) -> impl Iterator<Item = &'a AnalysedCell<'run>> + '_ {
        let cells = self.cells;
        self.subject
            .runs
            .iter()
            .filter_map(move |run| Some(&cells[run.documents?]))
    }

    fn key(&self, measure: impl ToString, at: Slice<'_>, copies: Option<i32>) -> Key {
        Key::new(self.number, &measure, at, self.uniform_copies.or(copies))
    }

    fn plain(&self, measure: &str, unit: &'static str, at: Slice<'_>, estimate: Estimate) -> Row {
        Row::plain(self.key(measure, at, None), unit, estimate)
    }

    /// The numbers of copies that a measure is given by; none stands for all.
    fn copies(&self, measure: Measure, split: Split) -> Vec<Option<i32>> {
        if self.uniform_copies.is_some() {
            return vec![None];
        }
        let mut copies = vec![None];
        if split == Split::Train && measure.is_by_copies() {
            let found: BTreeSet<i32> = self.all_cells().flat_map(|cell| cell.tallies.copies()).collect();
            copies.extend(found.into_iter().map(Some));
        }
        copies
    }

    fn all_cells(&self) -> impl Iterator<Item = &'a AnalysedCell<'run>> + '_ {
        let cells = self.cells;
        let numbers = self
            .subject
            .runs
            .iter()
            .flat_map(|run| run.documents.into_iter().chain(run.canaries));
        numbers.map(move |cell| &cells[cell])
    }

    /// Every measure that is an average over documents.
    fn averages(&self) -> Vec<Row> {
        let questions: BTreeSet<(Measure, Split, Option<&str>)> = self
            .all_cells()
            .flat_map(|cell| cell.tallies.questions())
            .collect();
        let mut rows = Vec::new();
        for (measure, split, strategy) in questions {
            let at = Slice { split, strategy };
            for copies in self.copies(measure, split) {
                rows.extend(self.average(measure, at, copies));
            }
        }
        rows
    }

    fn average(&self, measure: Measure, at: Slice<'_>, copies: Option<i32>) -> Vec<Row> {
        let cell_of = |run: &RunCells| {
            let canaries = run.canaries.filter(|_| measure.is_of_canaries());
            canaries.or(run.documents)
        };
        let cells: Vec<usize> = self.subject.runs.iter().filter_map(cell_of).collect();
        let over_runs = |cells: &[usize], of_cell: &dyn Fn(&AnalysedCell<'run>) -> Option<Estimate>| {
            let found: Vec<Estimate> = cells
                .iter()
                .filter_map(|&cell| of_cell(&self.cells[cell]))
                .collect();
            Estimate::of_runs(&found, measure.bounds())
        };
        let Some(estimate) = over_runs(&cells, &|cell| of_cell(cell, measure, at, copies)) else {
            return Vec::new();
        };
        let row = Row {
            untuned: over_runs(&self.untuned_of(&cells), &|cell| {
                of_cell(cell, measure, at, copies)
            }),
            control: over_runs(&cells, &|cell| controls::control(cell, measure, at, copies)),
            ..Row::plain(self.key(measure, at, copies), measure.unit(), estimate)
        };
        let mut rows = vec![row];
        if measure == Measure::Loss {
            rows.push(Row::plain(
                self.key("perplexity", at, copies),
                "per token",
                estimate.map(f64::exp),
            ));
        }
        rows
    }

    /// The untuned models' cells of some cells, each once: runs on one corpus share theirs.
    fn untuned_of(&self, cells: &[usize]) -> Vec<usize> {
        let untuned: BTreeSet<usize> = cells
            .iter()
            .filter_map(|&cell| self.cells[cell].untuned)
            .collect();
        untuned.into_iter().collect()
    }

    /// How well each score distinguishes members.
    fn membership(&self) -> Vec<Row> {
        let mut keys: Vec<(MembershipScore, Option<i32>)> = Vec::new();
        for separation in self.documents().flat_map(|cell| &cell.separations) {
            let key = (separation.score, separation.copies);
            if !keys.contains(&key) && (self.uniform_copies.is_none() || separation.copies.is_none()) {
                keys.push(key);
            }
        }
        let cells: Vec<usize> = self.subject.runs.iter().filter_map(|run| run.documents).collect();
        let untuned = self.untuned_of(&cells);
        let mut rows = Vec::new();
        for (score, copies) in keys {
            let over_runs = |cells: &[usize], of: &dyn Fn(&Separation) -> Option<Estimate>| {
                let found: Vec<Estimate> = cells
                    .iter()
                    .filter_map(|&cell| {
                        let mut separations = self.cells[cell].separations.iter();
                        of(separations.find(|found| found.score == score && found.copies == copies)?)
                    })
                    .collect();
                Estimate::of_runs(&found, Some((0.0, 1.0)))
            };
            let mut add = |name: String, unit, of: &dyn Fn(&Separation) -> Option<Estimate>| {
                let Some(mut estimate) = over_runs(&cells, of) else {
                    return;
                };
                // Each run's losses are the others' shadow models: runs are not independent then.
                if score.takes_shadows() && cells.len() > 1 {
                    estimate.interval = None;
                }
                rows.push(Row {
                    untuned: over_runs(&untuned, of),
                    ..Row::plain(self.key(name, TRAINED, copies), unit, estimate)
                });
            };
            add(score.auc(), "area", &|separation| Some(separation.auc));
            for (index, rate) in FALSE_POSITIVE_RATES.into_iter().enumerate() {
                add(score.tpr(rate), "share", &|separation| {
                    separation.true_positive_rates[index]
                });
            }
        }
        rows
    }

    /// What exposure comes to by chance, and how high it can go.
    fn canary_bounds(&self, run: RunCells) -> Vec<Row> {
        let cell = run.canaries.or(run.documents).map(|cell| &self.cells[cell]);
        let bounds = cell
            .and_then(|cell| canaries::bounds(cell.data.scores.as_deref().unwrap_or_default(), cell.corpus));
        let Some(bounds) = bounds else { return Vec::new() };
        [
            (EXPOSURE_BY_CHANCE, bounds.chance),
            (EXPOSURE_HIGHEST, bounds.highest),
        ]
        .map(|(name, value)| {
            let estimate = Estimate::exact(value, bounds.fewest, UnitOf::Canaries);
            self.plain(name, "bits", HELD_OUT, estimate)
        })
        .to_vec()
    }

    /// What privacy was promised, and what canaries show of it.
    fn privacy(&self, run: RunCells) -> Vec<Row> {
        let Some(cell) = run.canaries.or(run.documents).map(|cell| &self.cells[cell]) else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        let copies: BTreeSet<i32> = cell.corpus.training.keys().copied().chain([1]).collect();
        for copies in copies {
            if let Some(epsilon) = privacy::stated_epsilon(cell.data, copies) {
                let key = Key::new(self.number, &EPSILON, TRAINED, Some(copies));
                let documents = cell.corpus.training.get(&copies).map_or(0, BTreeSet::len);
                let estimate = Estimate::exact(epsilon, documents, UnitOf::Documents);
                rows.push(Row::plain(key, "nats", estimate));
            }
        }
        let Some(audit) = privacy::audit(cell) else {
            return rows;
        };
        let estimate = |value, guesses| Estimate::exact(value, guesses, UnitOf::Canaries);
        let untuned = cell
            .untuned
            .and_then(|untuned| privacy::audit(&self.cells[untuned]));
        // Whatever the layout, these canaries occur once.
        let key = |measure: &str| Key::new(self.number, &measure, TRAINED, Some(1));
        let shown = Estimate {
            at_least: true,
            k: Some(audit.correct as f64),
            ..estimate(audit.epsilon, audit.guesses)
        };
        rows.push(Row {
            untuned: untuned.map(|audit| estimate(audit.epsilon, audit.guesses)),
            ..Row::plain(key(EPSILON_AT_LEAST), "nats", shown)
        });
        let canaries = audit.canaries;
        rows.push(Row::plain(
            key(EPSILON_HIGHEST),
            "nats",
            estimate(audit.highest, canaries),
        ));
        rows
    }

    /// What can be said of one cell alone.
    fn of_one_cell(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let mut rows = self.texts(cell);
        rows.extend(self.reading(cell));
        rows.extend(self.checks(cell));
        rows.extend(self.non_members(cell));
        rows.extend(self.rankings(cell));
        rows.extend(self.details(cell));
        rows
    }

    /// How much text there is on either side of the split, and how many documents were asked.
    fn texts(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let (chars, counts) = (cell.corpus.chars, cell.corpus.held_out);
        let near_duplicates = counts.near_duplicates;
        let trained = cell.corpus.training_documents();
        let apart = near_duplicates.map(|_| chars.held_out_apart as f64);
        let sizes = [
            (TRAINED, "text_chars", Some(chars.training as f64), trained),
            (
                HELD_OUT,
                "text_chars",
                Some(chars.held_out as f64),
                counts.documents,
            ),
            (
                HELD_OUT,
                "text_chars_without_near_duplicates",
                apart,
                counts.documents - near_duplicates.unwrap_or(0),
            ),
        ];
        let counted = [
            (TRAINED, "documents", Some(trained)),
            (HELD_OUT, "documents", Some(counts.documents)),
            (HELD_OUT, "validation_documents", Some(counts.validation)),
            (HELD_OUT, "test_documents", Some(counts.test)),
            (HELD_OUT, "near_duplicates", near_duplicates),
            (TRAINED, "canaries", Some(cell.corpus.canaries)),
            (TRAINED, "documents_prompted", Some(prompted(cell, Split::Train))),
            (
                HELD_OUT,
                "documents_prompted",
                Some(prompted(cell, Split::Heldout)),
            ),
        ];
        let sizes = sizes.into_iter().filter_map(|(at, name, value, documents)| {
            let estimate = Estimate::exact(value?, documents, UnitOf::Documents);
            Some(self.plain(name, "characters", at, estimate))
        });
        let counted = counted.into_iter().filter_map(|(at, name, count)| {
            let estimate = Estimate::exact(count? as f64, count?, UnitOf::Documents);
            Some(self.plain(name, "documents", at, estimate))
        });
        let by_copies = cell.corpus.training.iter().map(|(copies, alike)| {
            let estimate = Estimate::exact(alike.len() as f64, alike.len(), UnitOf::Documents);
            Row::plain(
                self.key("documents", TRAINED, Some(*copies)),
                "documents",
                estimate,
            )
        });
        sizes.chain(counted).chain(by_copies).collect()
    }

    /// Whether each check of plausibility passed, 1, or failed, 0; one that could not be made has no row.
    fn checks(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let made = cell.checks.iter().filter_map(|result| {
            let value = match result.finding.status {
                CheckStatus::Passed => 1.0,
                CheckStatus::Failed(_) => 0.0,
                CheckStatus::NotMade => return None,
            };
            let name = format!("check_{}", result.check.name);
            let estimate = Estimate::exact(value, result.finding.observations, UnitOf::Documents);
            Some(Row {
                word: Some(result.finding.status.word().to_owned()),
                ..self.plain(&name, "passed", TRAINED, estimate)
            })
        });
        made.collect()
    }

    /// What reading the corpus left out, passed over, guessed or changed, by the side that the documents were to go to.
    fn reading(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        const COUNTED: [(CorpusFactKind, &str); 8] = [
            (CorpusFactKind::Read, "documents_read"),
            (CorpusFactKind::LeftOut, "documents_left_out"),
            (CorpusFactKind::Replaced, "documents_with_replaced_characters"),
            (CorpusFactKind::Copies, "documents_repeated"),
            (CorpusFactKind::Renamed, "documents_renamed"),
            (CorpusFactKind::Cut, "documents_over_context"),
            (CorpusFactKind::PassedOver, "files_passed_over"),
            (CorpusFactKind::Guessed, "guessed_in_reading"),
        ];
        if cell.corpus.facts.is_none() {
            return Vec::new();
        }
        let mut rows = Vec::new();
        for split in [Split::Train, Split::Heldout, Split::None] {
            let at = Slice {
                split,
                strategy: None,
            };
            for (kind, name) in COUNTED {
                let facts: Vec<&CorpusFact> = match kind {
                    CorpusFactKind::Cut => cut_facts(cell).collect(),
                    _ => cell.corpus.facts_of(kind).collect(),
                };
                let facts: Vec<&CorpusFact> = facts
                    .into_iter()
                    .filter(|fact| fact.split.unwrap_or(Split::None) == split)
                    .collect();
                let counted = match kind {
                    CorpusFactKind::PassedOver | CorpusFactKind::Guessed => facts.len() as f64,
                    _ => facts.iter().filter_map(|fact| fact.documents).sum::<i64>() as f64,
                };
                if !facts.is_empty() {
                    let estimate = Estimate::exact(counted, counted as usize, UnitOf::Documents);
                    rows.push(self.plain(name, "count", at, estimate));
                }
            }
        }
        let all = Slice {
            split: Split::None,
            strategy: None,
        };
        let read = cell
            .corpus
            .documents_of(CorpusFactKind::Read)
            .filter(|read| *read > 0);
        if let Some(read) = read {
            let left_out = cell.corpus.documents_of(CorpusFactKind::LeftOut).unwrap_or(0);
            for (name, documents) in [
                ("share_left_out", left_out),
                ("share_unreadable", cell.corpus.unreadable_documents()),
            ] {
                let value = documents as f64 / read as f64;
                let estimate = Estimate {
                    k: Some(documents as f64),
                    ..Estimate::exact(value, read as usize, UnitOf::Documents)
                };
                rows.push(self.plain(name, "share", all, estimate));
            }
        }
        rows
    }

    /// What picking out personal details comes to where the model knows none, and how many were not ranked.
    fn details(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let mut rows = Vec::new();
        let details = &cell.data.details;
        for of_kind in RankedDetail::all() {
            let ranked = details.iter().filter(|detail| {
                detail.split == Split::Train
                    && detail.not_ranked.is_none()
                    && (detail.detail.as_str(), detail.in_loss) == (of_kind.kind.name(), of_kind.in_loss)
            });
            let chances: Vec<f64> = ranked
                .map(|detail| 1.0 / detail.nats.len().max(1) as f64)
                .collect();
            if !chances.is_empty() {
                let mean = chances.iter().sum::<f64>() / chances.len() as f64;
                let estimate = Estimate::exact(mean, chances.len(), UnitOf::Documents);
                rows.push(self.plain(&detail_chance(&of_kind), "share", TRAINED, estimate));
            }
        }
        for at in [TRAINED, HELD_OUT] {
            let of_split = || details.iter().filter(|detail| detail.split == at.split);
            let not_ranked = of_split().filter(|detail| detail.not_ranked.is_some()).count();
            if of_split().next().is_some() {
                let estimate = Estimate::exact(not_ranked as f64, of_split().count(), UnitOf::Documents);
                rows.push(self.plain(DETAILS_NOT_RANKED, "details", at, estimate));
            }
        }
        rows
    }

    /// The scored held-out documents, by whether they are fair non-members.
    fn non_members(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        if cell.separations.is_empty() {
            return Vec::new();
        }
        let NonMembers {
            used,
            validation,
            near_duplicates,
        } = cell.scored.non_members;
        [
            (NON_MEMBERS, used),
            ("membership_left_out_as_validation", validation),
            ("membership_left_out_as_near_duplicates", near_duplicates),
        ]
        .map(|(name, count)| {
            let estimate = Estimate::exact(count as f64, count, UnitOf::Documents);
            self.plain(name, "documents", HELD_OUT, estimate)
        })
        .to_vec()
    }

    /// What the best ranked of the generations from nothing come to.
    fn rankings(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let unprompted = || {
            cell.data
                .samples
                .iter()
                .filter(|sample| sample.form == PromptForm::Nothing)
        };
        let strategies: BTreeSet<&str> = unprompted().map(|sample| sample.strategy.as_str()).collect();
        let mut rows = Vec::new();
        for strategy in strategies {
            let at = Slice {
                split: Split::None,
                strategy: Some(strategy),
            };
            for precision in precisions(unprompted().filter(|sample| sample.strategy == strategy)) {
                let name = match precision.ranking {
                    Some(ranking) => format!("ranked_by_{ranking}_best{}", precision.looked_at),
                    None => UNRANKED.to_owned(),
                };
                rows.push(self.plain(&name, "share", at, precision.share));
            }
        }
        rows
    }

    /// The training log and the checkpoints that were kept, which are one for both checkpoints: they are told of the last.
    fn training(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let epochs: Vec<Estimate> = self
            .documents()
            .filter_map(AnalysedCell::epochs_trained)
            .map(|epochs| Estimate::exact(epochs, 1, UnitOf::Runs))
            .collect();
        if let Some(epochs) = mean_of_runs(&epochs) {
            rows.push(self.plain(EPOCHS_TRAINED, "epochs", TRAINED, epochs));
        }
        let logged: Vec<Estimate> = self.documents().filter_map(logged_loss).collect();
        if let Some(logged) = mean_of_runs(&logged) {
            rows.push(self.plain(LOGGED_VALIDATION_LOSS, "nats per token", HELD_OUT, logged));
        }
        let [only] = self.subject.runs.as_slice() else {
            return rows;
        };
        let cell = only.documents.map(|cell| &self.cells[cell]);
        if let Some(cell) = cell.filter(|cell| cell.data.checkpoint != Some(WhichCheckpoint::Best)) {
            rows.extend(self.log(cell));
            rows.extend(self.kept_checkpoints(cell));
        }
        rows
    }

    /// Validation loss at each evaluation, and the training loss that was logged last before it.
    fn log(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let metrics = cell.data.metrics.as_deref().unwrap_or_default();
        let finite = || metrics.iter().filter(|metric| metric.loss.is_finite());
        let mut rows = Vec::new();
        for evaluation in finite().filter(|metric| metric.split == Split::Heldout) {
            let before = finite()
                .filter(|metric| metric.split == Split::Train && metric.step <= evaluation.step)
                .max_by_key(|metric| metric.step);
            let points = [
                (LOGGED_VALIDATION_LOSS, HELD_OUT, Some(evaluation.loss)),
                (TRAINING_LOSS, TRAINED, before.map(|metric| metric.loss)),
            ];
            for (name, at, loss) in points {
                let Some(loss) = loss else { continue };
                let key = self.key(name, at, None).after(evaluation.epoch);
                let estimate = Estimate::exact(loss, 1, UnitOf::Evaluations);
                rows.push(Row::plain(key, "nats per token", estimate));
            }
        }
        rows
    }

    fn kept_checkpoints(&self, cell: &AnalysedCell<'_>) -> Vec<Row> {
        let metrics = cell.data.metrics.as_deref().unwrap_or_default();
        // Steps mean little; the log says how many epochs they are.
        let epoch_of = |step: i64| {
            let mut logged = metrics.iter().filter(|metric| metric.step == step);
            logged.next().map(|metric| metric.epoch)
        };
        let mut rows = Vec::new();
        for point in cell.data.course.iter().flatten() {
            let Some(epoch) = point.step.and_then(epoch_of) else {
                continue;
            };
            let at = Slice {
                split: point.split,
                strategy: None,
            };
            let copies = (point.split == Split::Train).then_some(point.copies);
            let shares = [
                (EXTRACTABLE_OVER_TRAINING, point.extractable),
                (EXACT_OVER_TRAINING, point.exact_memorization),
            ];
            for (name, share) in shares {
                let Some(share) = share else { continue };
                let continuations = usize::try_from(point.continuations).unwrap_or(0);
                let estimate = Estimate::exact(share, continuations, UnitOf::Documents);
                let key = self.key(name, at, copies).after(epoch);
                rows.push(Row::plain(key, "share", estimate));
            }
        }
        rows
    }
}

/// A measure of one cell, with what makes it a lower bound.
fn of_cell(
    cell: &AnalysedCell<'_>,
    measure: Measure,
    at: Slice<'_>,
    copies: Option<i32>,
) -> Option<Estimate> {
    let mut estimate = cell.tallies.estimate(measure, at, copies)?;
    if measure.is_similarity() {
        let mut samples = cell.data.samples.iter();
        estimate.at_least = samples.any(|sample| sample.verdict.similarity_at_least == Some(true));
    }
    if matches!(measure, Measure::NearlyDiscoverable(_)) {
        estimate.at_least = true;
    }
    if measure.is_of_canaries() {
        estimate.n_of = UnitOf::Canaries;
    }
    if measure == Measure::Exposure {
        let scores = cell.data.scores.as_deref().unwrap_or_default();
        estimate.at_least = canaries::reaches_ceiling(scores, cell.corpus, copies);
    }
    Some(estimate)
}

/// The mean over runs, without an interval.
fn mean_of_runs(runs: &[Estimate]) -> Option<Estimate> {
    let (first, _) = runs.split_first()?;
    let sum: f64 = runs.iter().map(|run| run.value).sum();
    Some(Estimate {
        value: sum / runs.len() as f64,
        observations: runs.iter().map(|run| run.observations).sum(),
        n: if runs.len() > 1 { runs.len() } else { first.n },
        n_of: if runs.len() > 1 { UnitOf::Runs } else { first.n_of },
        ..*first
    })
}

/// The validation loss that was logged at a cell's checkpoint: the lowest of the best one, the last of the last one.
fn logged_loss(cell: &AnalysedCell<'_>) -> Option<Estimate> {
    let metrics = cell.data.metrics.as_deref()?;
    let evaluations = || {
        metrics
            .iter()
            .filter(|metric| metric.split == Split::Heldout && metric.loss.is_finite())
    };
    let found = if cell.data.checkpoint == Some(WhichCheckpoint::Best) {
        evaluations().min_by(|left, right| left.loss.total_cmp(&right.loss))
    } else {
        evaluations().next_back()
    };
    let count = evaluations().count();
    found.map(|metric| Estimate::exact(metric.loss, count, UnitOf::Evaluations))
}

fn prompted(cell: &AnalysedCell<'_>, split: Split) -> usize {
    let samples = cell.data.samples.iter().filter(|sample| sample.split == split);
    let documents: BTreeSet<&str> = samples.filter_map(|sample| sample.doc_id.as_deref()).collect();
    documents.len()
}
