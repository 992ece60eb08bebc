//! Plausibility, before anything is claimed: are the figures of a cell about what they seem to be about?
//!
//! A rate of 0 has two causes: a model that remembers nothing, and a model that was asked wrongly, with another file, another
//! template, or an adapter that changes nothing. Each [`PlausibilityCheck`] looks for one such mistake in the files of one cell, and
//! [`CHECKS`] lists them. Where one fails, its message comes before the answer, and nothing is concluded from a rate that is not over
//! its controls ([`crate::estimate::Standing::NotSettled`]).

mod answers_asked;
mod control_apart;
mod corpus_read;
mod differs_from_untuned;
mod documents_asked;
mod documents_cut;
mod exact_continuations;
mod finite;
mod members_likelier;
mod memorized_elsewhere;
mod one_kind;
mod other_words;
mod privacy_holds;
mod rate_and_membership;
mod text_form;
mod tuned_text_likelier;
mod untuned_is_control;

use std::collections::BTreeMap;

use contract::records::Split;

pub use documents_cut::{cut_documents, cut_facts};
pub use exact_continuations::{NAME as EXACT_CONTINUATIONS, by_chance, has_uncounted};
pub use other_words::NAME as OTHER_WORDS;
pub(crate) use rate_and_membership::CLEAR;
pub use rate_and_membership::NAME as RATE_AND_MEMBERSHIP;
pub use text_form::form_name;

use crate::estimate::claims;
use crate::estimate::figure::Bootstrap;
use crate::estimate::measure::Measure;
use crate::estimate::membership::{MembershipScore, Separation};
use crate::estimate::tallies::Slice;
use crate::estimate::{AnalysedCell, Estimates};
use crate::read::DocumentScore;

/// Every check, in the order in which they are shown.
pub const CHECKS: [&PlausibilityCheck; 17] = [
    &finite::CHECK,
    &differs_from_untuned::CHECK,
    &text_form::CHECK,
    &tuned_text_likelier::CHECK,
    &members_likelier::CHECK,
    &control_apart::CHECK,
    &one_kind::CHECK,
    &untuned_is_control::CHECK,
    &exact_continuations::CHECK,
    &other_words::CHECK,
    &memorized_elsewhere::CHECK,
    &rate_and_membership::CHECK,
    &documents_asked::CHECK,
    &answers_asked::CHECK,
    &documents_cut::CHECK,
    &corpus_read::CHECK,
    &privacy_holds::CHECK,
];

/// One way in which figures can be about something else than they seem.
#[derive(Debug)]
pub struct PlausibilityCheck {
    /// The name: `check_<name>` in `summary.parquet`.
    pub name: &'static str,
    /// What is true where it passes.
    pub title: &'static str,
    /// Whether there is something to check in a cell.
    applies: fn(&Evidence<'_>) -> bool,
    /// The check itself.
    find: fn(&Evidence<'_>) -> Finding,
}

/// The files of one cell, and those that it is held against.
#[derive(Debug)]
pub struct Evidence<'a> {
    cells: &'a [AnalysedCell<'a>],
    /// The cell.
    cell: &'a AnalysedCell<'a>,
    /// The untuned model: cells of the same model, that of the same corpus first; empty where there is none.
    untuned: Vec<&'a AnalysedCell<'a>>,
    bootstrap: Bootstrap,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// Nothing speaks against the figures.
    Passed,
    /// Something does.
    Failed(Severity),
    /// What it takes is not in the run.
    NotMade,
}

impl CheckStatus {
    /// The word in `summary.parquet` and `report.json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(Severity::Blocking) => "failed",
            Self::Failed(Severity::Warning) => "warning",
            Self::NotMade => "not made",
        }
    }
}

/// What a failed check means for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A low rate is no evidence until this is settled.
    Blocking,
    /// Something to know beside the figures.
    Warning,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it ended.
    pub status: CheckStatus,
    /// What was found, what it usually means, and what to do; or why the check could not be made. One to three sentences.
    pub message: String,
    /// The same as part of a sentence, where it failed.
    pub in_brief: String,
    /// Documents or generations that it rests on.
    pub observations: usize,
}

/// A check with what it found.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// The check.
    pub check: &'static PlausibilityCheck,
    /// What it found.
    pub finding: Finding,
}

impl Finding {
    fn passed(message: String, observations: usize) -> Self {
        Self {
            status: CheckStatus::Passed,
            message,
            in_brief: String::new(),
            observations,
        }
    }

    fn failed(in_brief: &str, message: String, observations: usize) -> Self {
        Self {
            status: CheckStatus::Failed(Severity::Blocking),
            message,
            in_brief: in_brief.to_owned(),
            observations,
        }
    }

    fn warning(in_brief: &str, message: String, observations: usize) -> Self {
        Self {
            status: CheckStatus::Failed(Severity::Warning),
            ..Self::failed(in_brief, message, observations)
        }
    }

    fn not_made(why: &str) -> Self {
        Self {
            status: CheckStatus::NotMade,
            message: why.to_owned(),
            in_brief: String::new(),
            observations: 0,
        }
    }
}

impl CheckResult {
    /// Whether nothing may be concluded from a low rate until it is settled.
    pub fn is_blocking(&self) -> bool {
        self.finding.status == CheckStatus::Failed(Severity::Blocking)
    }

    /// Whether it was to tell that the training text is what the model was tuned on, and could not.
    pub fn leaves_text_unchecked(&self) -> bool {
        self.check.name == tuned_text_likelier::CHECK.name && self.finding.status == CheckStatus::NotMade
    }
}

/// A whole training document, scored under the tuned and under the untuned model.
struct PairedLoss {
    tokens: usize,
    /// −Σ ln p, in nats.
    tuned: f64,
    untuned: f64,
}

impl Evidence<'_> {
    fn is_untuned(&self) -> bool {
        self.cell.data.cell.mode == "base"
    }

    fn is_of_canaries(&self) -> bool {
        self.cell.data.cell.canaries_apart
    }

    /// Whole documents of a split that both models scored over equally many tokens.
    fn paired_losses(&self, split: Split) -> Vec<PairedLoss> {
        let mut untuned: BTreeMap<(&str, usize), f64> = BTreeMap::new();
        for score in self.untuned.iter().flat_map(|cell| whole_documents(cell)) {
            let same = (score.doc_id.as_str(), score.tokens);
            untuned.entry(same).or_insert(score.nats);
        }
        whole_documents(self.cell)
            .filter(|score| score.split == split)
            .filter_map(|score| {
                Some(PairedLoss {
                    tokens: score.tokens,
                    tuned: score.nats,
                    untuned: *untuned.get(&(score.doc_id.as_str(), score.tokens))?,
                })
            })
            .collect()
    }

    /// Whether own documents come back word for word more often than after tuning nothing, and than the control does; by one
    /// test at 5%, without correction.
    fn repeats_own(&self, at: Slice<'_>, copies: Option<i32>) -> bool {
        let p_value = claims::own_p_value(
            self.cells,
            self.cell,
            Measure::OwnVerbatim,
            at,
            copies,
            self.bootstrap,
        );
        p_value.is_some_and(|p_value| p_value <= claims::LEVEL)
    }

    /// The same of documents that go on exactly, whether that counts as a passage or not.
    fn goes_on_exactly(&self, at: Slice<'_>) -> bool {
        let p_value = claims::exact_p_value(self.cells, self.cell, at, None, self.bootstrap);
        p_value.is_some_and(|p_value| p_value <= claims::LEVEL)
    }

    /// How well a score distinguishes members with so many copies from held-out documents.
    fn separation(&self, score: MembershipScore, copies: Option<i32>) -> Option<&Separation> {
        separation(self.cell, score, copies)
    }

    /// The same under the untuned model, on the same corpus.
    fn untuned_separation(&self, score: MembershipScore, copies: Option<i32>) -> Option<&Separation> {
        self.of_same_corpus()
            .and_then(|cell| separation(cell, score, copies))
    }

    /// The untuned model, asked on the same corpus.
    fn of_same_corpus(&self) -> Option<&AnalysedCell<'_>> {
        let corpus = &self.cell.data.cell.corpus;
        let same = self.untuned.iter().find(|cell| &cell.data.cell.corpus == corpus);
        same.copied()
    }
}

fn whole_documents<'a>(cell: &'a AnalysedCell<'_>) -> impl Iterator<Item = &'a DocumentScore> {
    let scores = cell.data.scores.iter().flatten();
    scores.filter(|score| score.is_whole_document())
}

fn separation<'a>(
    cell: &'a AnalysedCell<'_>,
    score: MembershipScore,
    copies: Option<i32>,
) -> Option<&'a Separation> {
    cell.separations
        .iter()
        .find(|separation| separation.score == score && separation.copies == copies)
}

/// Makes every check that there is something to check for, of the cell at `index`.
pub fn check(cells: &[AnalysedCell<'_>], index: usize, bootstrap: Bootstrap) -> Vec<CheckResult> {
    let cell = &cells[index];
    let facts = &cell.data.cell;
    let mut untuned: Vec<&AnalysedCell<'_>> = cells
        .iter()
        .filter(|other| {
            let other = &other.data.cell;
            other.mode == "base" && other.model == facts.model && other.corpus_name == facts.corpus_name
        })
        .collect();
    untuned.sort_by_key(|other| other.data.cell.corpus != facts.corpus);
    let evidence = Evidence {
        cells,
        cell,
        untuned,
        bootstrap,
    };
    CHECKS
        .into_iter()
        .filter(|check| (check.applies)(&evidence))
        .map(|check| CheckResult {
            check,
            finding: (check.find)(&evidence),
        })
        .collect()
}

/// A finding, and the models that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingOfModels {
    /// The check.
    pub title: &'static str,
    /// What it found.
    pub finding: Finding,
    /// The labels of the models.
    pub labels: Vec<String>,
}

/// The failed checks, those that keep a conclusion back first; models with the same message stand together.
pub fn failures(estimates: &Estimates<'_>) -> Vec<FindingOfModels> {
    let mut found = findings(estimates, |status| matches!(status, CheckStatus::Failed(_)));
    found.sort_by_key(|found| found.finding.status != CheckStatus::Failed(Severity::Blocking));
    found
}

/// The checks that could not be made, and why.
pub fn not_made(estimates: &Estimates<'_>) -> Vec<FindingOfModels> {
    findings(estimates, |status| status == CheckStatus::NotMade)
}

/// Every check that was made or tried, in the order of [`CHECKS`].
pub fn all_findings(estimates: &Estimates<'_>) -> Vec<FindingOfModels> {
    findings(estimates, |_| true)
}

/// How many checks passed, failed, and could not be made.
pub fn counts(estimates: &Estimates<'_>) -> [usize; 3] {
    let mut counts = [0; 3];
    for result in estimates.cells.iter().flat_map(|cell| &cell.checks) {
        counts[match result.finding.status {
            CheckStatus::Passed => 0,
            CheckStatus::Failed(_) => 1,
            CheckStatus::NotMade => 2,
        }] += 1;
    }
    counts
}

fn findings(estimates: &Estimates<'_>, wanted: fn(CheckStatus) -> bool) -> Vec<FindingOfModels> {
    let mut found: Vec<FindingOfModels> = Vec::new();
    for check in CHECKS {
        for (label, cell) in labelled_cells(estimates) {
            let results = estimates.cells[cell].checks.iter();
            for result in
                results.filter(|result| result.check.name == check.name && wanted(result.finding.status))
            {
                let known = found
                    .iter_mut()
                    .find(|known| known.title == check.title && known.finding == result.finding);
                match known {
                    Some(known) if known.labels.contains(&label) => {}
                    Some(known) => known.labels.push(label.clone()),
                    None => found.push(FindingOfModels {
                        title: check.title,
                        finding: result.finding.clone(),
                        labels: vec![label.clone()],
                    }),
                }
            }
        }
    }
    found
}

/// Every cell with the label of its group; model, corpus and layout before it where there are several.
pub fn labelled_cells(estimates: &Estimates<'_>) -> Vec<(String, usize)> {
    let several = estimates.experiments.len() > 1;
    let mut labelled = Vec::new();
    for experiment in &estimates.experiments {
        for group in experiment.every_group() {
            let group = &estimates.groups[group];
            let mut label = group.label.clone();
            if several {
                label = format!("{}: {label}", experiment.name());
            }
            for run in &estimates.subjects[group.subject].runs {
                let cells = run.documents.into_iter().chain(run.canaries);
                labelled.extend(cells.map(|cell| (label.clone(), cell)));
            }
        }
    }
    labelled
}
