//! From what a run left to the table of estimates: contributions, intervals, controls, comparisons, claims.
//!
//! [`Estimates::of`] computes every figure of the report once. Nothing behind it computes or resamples anything: `summary.parquet`,
//! the page, the findings and the terminal are views of [`EstimateTable`].
//!
//! 1. [`contributions`]: what each document of a cell contributes to each measure.
//!    `words_alone`: whether training and held-out documents differ by their words.
//! 2. [`checks`]: whether the figures of a cell are about what they seem to be about.
//! 3. [`groups`]: cells that differ in their seed alone, ways of tuning over their learning rates, models on one layout of copies.
//! 4. [`rows`]: each figure, beside the untuned model's and the control's.
//! 5. [`claims`]: which figures exceed their controls, after Holm's correction over all claims; the verdict on each model.
//! 6. [`comparisons`]: ways of tuning against each other, on the same documents, at each one's best, and at equal loss;
//!    [`frontier`]: which of them are dominated.
//! 7. [`paper`]: the four claims of the paper.
//! 8. [`passages`] and [`facts`]: texts to look at, and what was tested, for the page.

pub mod canaries;
pub mod checks;
pub mod claims;
pub mod comparisons;
pub mod contributions;
pub mod controls;
pub mod facts;
pub mod figure;
pub mod frontier;
pub mod groups;
pub mod measure;
pub mod membership;
pub mod method;
pub mod paper;
pub mod passages;
pub mod privacy;
pub mod ranking;
pub mod rows;
pub mod shadows;
pub mod table;
pub mod tallies;
mod words_alone;

use std::collections::BTreeMap;

use contract::Error;
use contract::records::Split;
use rayon::prelude::*;

pub use checks::CheckResult;
pub use claims::{GroupVerdict, Verdict};
pub use facts::Facts;
pub use figure::{Bootstrap, Estimate, IntervalKind};
pub use groups::{Experiment, Family, RunGroup, Strategy, Subject};
pub use measure::{Against, Measure};
pub use membership::MembershipScore;
pub use method::Method;
pub use paper::PaperClaim;
pub use passages::LeakedDocument;
pub use table::{EstimateTable, Key, Row, Shown, Standing};
pub use tallies::{Slice, Tallies};

use crate::read::{CellData, Corpus, DocumentScore, Run, WhichCheckpoint};
use membership::Scored;
use shadows::Shadows;

/// One checkpoint of a cell with everything that is averaged or ranked over it.
#[derive(Debug)]
pub struct AnalysedCell<'run> {
    /// The cell as read.
    pub data: &'run CellData,
    /// The corpus that it was tuned on.
    pub corpus: &'run Corpus,
    /// What each document contributes to each average.
    pub tallies: Tallies,
    /// Members' and non-members' scores.
    pub scored: Scored<'run>,
    /// How well they are distinguished.
    pub separations: Vec<membership::Separation>,
    /// Whether its figures are about what they seem to be about.
    pub checks: Vec<CheckResult>,
    /// Number of the untuned model's cell on the same corpus.
    pub untuned: Option<usize>,
}

impl AnalysedCell<'_> {
    /// Passes over the training set that were done at this checkpoint; none where nobody logged them.
    pub fn epochs_trained(&self) -> Option<f64> {
        let metrics = self.data.metrics.as_deref()?;
        let last = metrics.iter().map(|metric| metric.epoch).reduce(f64::max);
        if self.data.checkpoint != Some(WhichCheckpoint::Best) {
            return last;
        }
        let evaluations = metrics
            .iter()
            .filter(|metric| metric.split == Split::Heldout && metric.loss.is_finite());
        let best = evaluations.min_by(|left, right| left.loss.total_cmp(&right.loss));
        best.map(|metric| metric.epoch).or(last)
    }
}

/// Every figure of the report, and what they are about.
#[derive(Debug)]
pub struct Estimates<'run> {
    /// The table.
    pub table: EstimateTable,
    /// What its rows are about.
    pub subjects: Vec<Subject>,
    /// Training runs that differ in their seed alone.
    pub groups: Vec<RunGroup>,
    /// Models on one layout of copies, largest model first.
    pub experiments: Vec<Experiment>,
    /// The verdict on each group; none on the untuned model.
    pub verdicts: BTreeMap<usize, GroupVerdict>,
    /// The paper's claims.
    pub paper: Vec<PaperClaim>,
    /// The training documents of which a passage came out.
    pub passages: Vec<LeakedDocument>,
    /// What was tested, and how.
    pub facts: Facts,
    /// The checkpoints of the cells, by name; of a cell's two the best comes first.
    pub cells: Vec<AnalysedCell<'run>>,
    /// How resamples are drawn.
    pub bootstrap: Bootstrap,
}

impl<'run> Estimates<'run> {
    /// Computes every figure of a run.
    ///
    /// # Errors
    /// [`Error::Run`] where polars refuses to group.
    pub fn of(run: &'run Run, bootstrap: Bootstrap) -> Result<Self, Error> {
        let words: BTreeMap<&str, BTreeMap<&str, f64>> = run
            .corpora
            .par_iter()
            .map(|(name, corpus)| {
                // A run of canaries apart says nothing of documents.
                let cells = run
                    .cells
                    .iter()
                    .filter(|cell| &cell.cell.corpus == name && !cell.cell.canaries_apart);
                (name.as_str(), words_alone::of_corpus(cells, corpus))
            })
            .collect();
        let mut cells = (0..run.cells.len())
            .into_par_iter()
            .map(|index| analyse(run, index, &words))
            .collect::<Result<Vec<AnalysedCell<'run>>, Error>>()?;
        let checked: Vec<Vec<CheckResult>> = (0..cells.len())
            .into_par_iter()
            .map(|index| checks::check(&cells, index, bootstrap))
            .collect();
        for (cell, checks) in cells.iter_mut().zip(checked) {
            cell.checks = checks;
        }
        let grouping = groups::Grouping::of(&cells)?;
        let mut estimates = Self {
            table: EstimateTable::default(),
            subjects: grouping.subjects,
            groups: grouping.groups,
            experiments: grouping.experiments,
            verdicts: BTreeMap::new(),
            paper: Vec::new(),
            passages: Vec::new(),
            facts: Facts::default(),
            cells,
            bootstrap,
        };
        rows::add_all(&mut estimates);
        estimates.choose_rates();
        claims::add_all(&mut estimates);
        comparisons::add_all(&mut estimates);
        frontier::add_all(&mut estimates);
        estimates.paper = paper::claims(&mut estimates);
        estimates.passages = passages::leaked_documents(&estimates);
        estimates.facts = Facts::of(&estimates);
        Ok(estimates)
    }

    /// The group that a subject is about.
    pub fn group_of(&self, subject: usize) -> &RunGroup {
        &self.groups[self.subjects[subject].group]
    }

    /// The figure of a measure of a group, over all of its runs.
    pub fn find(
        &self,
        group: usize,
        measure: impl ToString,
        at: Slice<'_>,
        copies: Option<i32>,
    ) -> Option<Shown<'_>> {
        let found = &self.groups[group];
        // In a uniform layout every row has the copies of its training set.
        let copies = found.uniform_copies.or(copies);
        self.table.find(found.subject, measure, at, copies)
    }

    /// The groups that a reader must see: those at the chosen learning rates, and whatever leaks at another one, which its loss on unseen
    /// text does not excuse.
    pub fn shown(&self, experiment: &Experiment) -> Vec<usize> {
        let mut shown = experiment.shown();
        let leaks = |group: &usize| {
            let verdict = self.verdicts.get(group);
            verdict.is_some_and(|verdict| verdict.verdict == Verdict::Leaks)
        };
        let others: Vec<usize> = experiment
            .every_group()
            .into_iter()
            .filter(|group| leaks(group) && !shown.contains(group))
            .collect();
        shown.extend(others);
        shown
    }

    /// The held-out loss that says how useful a group's model is: over the held-out documents that chose nothing, or over all of
    /// them where none were kept for that.
    pub fn held_out_loss(&self, group: usize) -> Option<Shown<'_>> {
        let find = |measure: Measure| self.find(group, measure, HELD_OUT, None);
        find(Measure::Loss).or_else(|| find(Measure::ValidationLoss))
    }

    /// The one score by which membership is told of an experiment, everywhere: the loss compared with the untuned model where there
    /// is one, else the loss; none where nothing was scored.
    pub fn membership_score(&self, experiment: &Experiment) -> Option<MembershipScore> {
        experiment.shown().into_iter().find_map(|group| {
            let key = self.verdicts.get(&group)?.membership.as_ref()?;
            MembershipScore::ALL
                .into_iter()
                .find(|score| score.auc() == key.measure)
        })
    }

    /// Tokens of a continuation that a group's generations are compared with at most: part of the names of ROUGE-L, BLEU and their
    /// like.
    pub fn compared_tokens(&self, group: usize) -> measure::Length {
        let runs = &self.subjects[self.groups[group].subject].runs;
        runs.iter()
            .find_map(|run| self.cells[run.documents?].data.new_tokens)
    }

    /// The names of the cells; both checkpoints of a cell have one.
    pub fn cell_names(&self) -> std::collections::BTreeSet<&str> {
        let names = self.cells.iter().map(|cell| cell.data.cell.name.as_str());
        names.collect()
    }

    /// Of each family the learning rate with the lowest validation loss at its best checkpoint, over the runs and numbers of copies. Where
    /// that is the untuned model for several rates, they are equal there, and the loss at the end of training decides.
    fn choose_rates(&mut self) {
        let chosen: Vec<Vec<usize>> = self
            .experiments
            .iter()
            .map(|experiment| {
                experiment
                    .families
                    .iter()
                    .map(|family| self.best_rate(family))
                    .collect()
            })
            .collect();
        for (experiment, chosen) in self.experiments.iter_mut().zip(chosen) {
            for (family, chosen) in experiment.families.iter_mut().zip(chosen) {
                family.chosen = chosen;
            }
        }
    }

    fn best_rate(&self, family: &Family) -> usize {
        let loss = |group: &usize| {
            let find = |measure: Measure| self.find(*group, measure, HELD_OUT, None);
            let scored = find(Measure::ValidationLoss).or_else(|| find(Measure::Loss));
            scored
                .map(|found| found.estimate().value)
                .or_else(|| self.logged_loss(*group))
        };
        let mean_loss = |groups: &[usize]| {
            let losses: Vec<f64> = groups.iter().filter_map(loss).collect();
            if losses.is_empty() {
                f64::INFINITY
            } else {
                losses.iter().sum::<f64>() / losses.len() as f64
            }
        };
        let losses = family.rates.iter().map(|rate| {
            [WhichCheckpoint::Best, WhichCheckpoint::Last].map(|point| mean_loss(rate.at(point)))
        });
        losses
            .enumerate()
            .min_by(|(_, left), (_, right)| left[0].total_cmp(&right[0]).then(left[1].total_cmp(&right[1])))
            .map_or(0, |(index, _)| index)
    }

    /// The validation loss that training logged at a group's checkpoint.
    fn logged_loss(&self, group: usize) -> Option<f64> {
        let group = &self.groups[group];
        let at = self.find_logged(group.subject)?;
        Some(at.estimate().value)
    }

    fn find_logged(&self, subject: usize) -> Option<Shown<'_>> {
        self.table.find(
            subject,
            rows::LOGGED_VALIDATION_LOSS,
            HELD_OUT,
            self.group_of(subject).uniform_copies,
        )
    }
}

/// Held-out documents, without decoding.
pub const HELD_OUT: Slice<'static> = Slice {
    split: Split::Heldout,
    strategy: None,
};

/// Training documents, without decoding.
pub const TRAINED: Slice<'static> = Slice {
    split: Split::Train,
    strategy: None,
};

fn analyse<'run>(
    run: &'run Run,
    index: usize,
    words: &BTreeMap<&str, BTreeMap<&str, f64>>,
) -> Result<AnalysedCell<'run>, Error> {
    let data = &run.cells[index];
    let corpus = run.corpus_of(&data.cell);
    let untuned = run.untuned[index];
    // A run of canaries apart says nothing of documents.
    let scores: &[DocumentScore] = match &data.scores {
        Some(scores) if !data.cell.canaries_apart => scores,
        _ => &[],
    };
    let base = untuned.and_then(|untuned| run.cells[untuned].scores.as_deref());
    let shadows = Shadows::of(&run.cells, index);
    let scored = Scored::of(scores, base, &shadows, corpus, &words[data.cell.corpus.as_str()]);
    Ok(AnalysedCell {
        data,
        corpus,
        tallies: contributions::tallies_of(data, corpus)?,
        separations: scored.separations(),
        scored,
        checks: Vec::new(),
        untuned,
    })
}
