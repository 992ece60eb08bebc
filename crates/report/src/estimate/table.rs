//! The table of estimates: every figure of the report, once.
//!
//! `summary.parquet`, the page, the findings and the terminal are views of it, and compute nothing. The number of a row here is
//! its number in `summary.parquet`, so that each figure on the page can name the row that it shows.

use std::collections::BTreeMap;
use std::fmt;

use contract::records::{Split, SummaryRow};

use super::figure::Estimate;
use super::groups::{RunGroup, Subject};
use super::tallies::Slice;

/// What a figure is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Number of the subject: a cell, or runs that differ in their seed alone.
    pub subject: usize,
    /// Name of the measure.
    pub measure: String,
    /// Where the documents stand.
    pub split: Option<Split>,
    /// The decoding strategy; none for measures that need no decoding.
    pub strategy: Option<String>,
    /// Copies of the documents; none: all.
    pub copies: Option<i32>,
    /// What is subtracted, where the figure is a difference.
    pub against: Option<String>,
    /// Passes after which it was measured, as the bits of a positive number; none: at the checkpoint.
    pub epoch: Option<u64>,
}

impl Key {
    /// The key of a plain figure at the checkpoint.
    pub fn new(subject: usize, measure: &impl ToString, at: Slice<'_>, copies: Option<i32>) -> Self {
        Self {
            subject,
            measure: measure.to_string(),
            split: Some(at.split),
            strategy: at.strategy.map(str::to_owned),
            copies,
            against: None,
            epoch: None,
        }
    }

    /// The key of the same as a difference.
    #[must_use]
    pub fn against(self, what: &str) -> Self {
        Self {
            against: Some(what.to_owned()),
            ..self
        }
    }

    /// The key of the same after so many passes.
    #[must_use]
    pub fn after(self, epochs: f64) -> Self {
        Self {
            epoch: Some(epochs.to_bits()),
            ..self
        }
    }
}

/// How a figure stands to its controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Over every control, by more than chance.
    Exceeds,
    /// Not higher than a control, as measured.
    NotOver,
    /// Higher as measured, but perhaps by chance.
    Inconclusive,
    /// There is no control.
    NoControl,
    /// Not over every control, and a check of plausibility failed: the figure may be about something else than it seems to be, and
    /// nothing is concluded from it.
    NotSettled,
}

/// The word in `summary.parquet`.
impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Exceeds => "exceeds",
            Self::NotOver => "not over",
            Self::Inconclusive => "inconclusive",
            Self::NoControl => "no control",
            Self::NotSettled => "not settled",
        })
    }
}

/// One figure with what it is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is about.
    pub key: Key,
    /// Unit of the value.
    pub unit: &'static str,
    /// The figure.
    pub estimate: Estimate,
    /// The untuned model's figure on the same documents.
    pub untuned: Option<Estimate>,
    /// The same generations against text that was never trained on.
    pub control: Option<Estimate>,
    /// One-sided p-value that the figure exceeds its controls.
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all claims of the report, or of the sentence that compares methods.
    pub p_holm: Option<f64>,
    /// What may be said of it.
    pub standing: Option<Standing>,
    /// What a row says in words: the verdict on a model, which of several figures is the largest.
    pub word: Option<String>,
}

impl Row {
    /// A figure with nothing beside it.
    pub fn plain(key: Key, unit: &'static str, estimate: Estimate) -> Self {
        Self {
            key,
            unit,
            estimate,
            untuned: None,
            control: None,
            p_value: None,
            p_holm: None,
            standing: None,
            word: None,
        }
    }
}

/// A row, with its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown<'a> {
    /// The number of the row, in `summary.parquet` too.
    pub number: usize,
    /// The row.
    pub row: &'a Row,
}

impl<'a> Shown<'a> {
    /// Its figure.
    pub fn estimate(&self) -> &'a Estimate {
        &self.row.estimate
    }
}

/// Every figure of the report.
#[derive(Debug, Default)]
pub struct EstimateTable {
    rows: Vec<Row>,
    index: BTreeMap<Key, usize>,
}

impl EstimateTable {
    /// Adds a row; of two with the same key the first stays.
    pub(super) fn add(&mut self, row: Row) {
        if !self.index.contains_key(&row.key) {
            self.index.insert(row.key.clone(), self.rows.len());
            self.rows.push(row);
        }
    }

    pub(super) fn row_mut(&mut self, key: &Key) -> Option<&mut Row> {
        let number = *self.index.get(key)?;
        self.rows.get_mut(number)
    }

    /// All rows, in the order of `summary.parquet`.
    pub fn rows(&self) -> impl Iterator<Item = Shown<'_>> {
        let rows = self.rows.iter().enumerate();
        rows.map(|(number, row)| Shown { number, row })
    }

    /// The row with a key.
    pub fn get(&self, key: &Key) -> Option<Shown<'_>> {
        let number = *self.index.get(key)?;
        Some(Shown {
            number,
            row: &self.rows[number],
        })
    }

    /// The figure of a measure; none where nothing was observed.
    pub fn find(
        &self,
        subject: usize,
        measure: impl ToString,
        at: Slice<'_>,
        copies: Option<i32>,
    ) -> Option<Shown<'_>> {
        self.get(&Key::new(subject, &measure, at, copies))
    }

    /// All rows of a subject.
    pub fn of_subject(&self, subject: usize) -> impl Iterator<Item = Shown<'_>> {
        self.rows().filter(move |shown| shown.row.key.subject == subject)
    }

    /// A subject's figures of a measure over training, by ascending epoch.
    pub fn over_training(
        &self,
        subject: usize,
        measure: &str,
        split: Split,
        copies: Option<i32>,
    ) -> Vec<(f64, Shown<'_>)> {
        let mut found: Vec<(f64, Shown<'_>)> = self
            .of_subject(subject)
            .filter(|shown| {
                let key = &shown.row.key;
                key.measure == measure && key.split == Some(split) && key.copies == copies
            })
            .filter_map(|shown| Some((f64::from_bits(shown.row.key.epoch?), shown)))
            .collect();
        found.sort_by(|left, right| left.0.total_cmp(&right.0));
        found
    }

    /// The rows of `summary.parquet`.
    pub fn summary(&self, subjects: &[Subject], groups: &[RunGroup]) -> Vec<SummaryRow> {
        self.rows
            .iter()
            .map(|row| {
                let subject = &subjects[row.key.subject];
                summary_row(row, subject, &groups[subject.group])
            })
            .collect()
    }
}

fn summary_row(row: &Row, subject: &Subject, group: &RunGroup) -> SummaryRow {
    let (key, method) = (&row.key, &group.method);
    let estimate = &row.estimate;
    let low = |estimate: &Estimate| estimate.ends().map(|ends| ends.low);
    let high = |estimate: &Estimate| estimate.ends().map(|ends| ends.high);
    SummaryRow {
        cell: subject.cell.clone(),
        corpus: group.corpus.clone(),
        model: group.model.clone(),
        parameters: group.parameters,
        trainable_parameters: group.trainable_parameters,
        method: group.method_label.clone(),
        mode: method.mode.clone(),
        rank: method.rank,
        alpha: method.alpha,
        dropout: method.dropout,
        targets: method.targets.clone(),
        dora: method.dora,
        rslora: method.rslora,
        learning_rate: method.learning_rate,
        epochs: method.epochs,
        checkpoint: group.checkpoint.map(|checkpoint| checkpoint.to_string()),
        layout: group.layout.clone(),
        copies: key.copies,
        seed: subject.seed,
        runs: subject.runs.len() as i64,
        split: key.split,
        strategy: key.strategy.clone(),
        epoch: key.epoch.map(f64::from_bits),
        measure: key.measure.clone(),
        against: key.against.clone(),
        unit: row.unit.to_owned(),
        value: estimate.value,
        ci_low: low(estimate),
        ci_high: high(estimate),
        interval: estimate.interval.map(|confidence| confidence.kind.to_string()),
        at_least: estimate.at_least,
        k: estimate.k,
        observations: estimate.observations as i64,
        n: estimate.n as i64,
        n_of: estimate.n_of.to_string(),
        untuned: row.untuned.map(|untuned| untuned.value),
        untuned_low: row.untuned.as_ref().and_then(low),
        untuned_high: row.untuned.as_ref().and_then(high),
        untuned_k: row.untuned.and_then(|untuned| untuned.k),
        control: row.control.map(|control| control.value),
        control_low: row.control.as_ref().and_then(low),
        control_high: row.control.as_ref().and_then(high),
        p_value: row.p_value,
        p_holm: row.p_holm,
        verdict: row
            .word
            .clone()
            .or_else(|| row.standing.map(|standing| standing.to_string())),
    }
}
