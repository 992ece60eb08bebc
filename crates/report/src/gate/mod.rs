//! `report check`: whether what models give back stays within limits, for a release or a pipeline of continuous integration.
//!
//! A limit is on a figure of `summary.parquet`, or, against another run, on its increase over that run. The whole 95% interval
//! decides: a figure passes whose interval ends at or below the limit, and fails where it begins above. What lies between says that there
//! are too few data, and how many would do. A figure that is only a lower bound never passes, and neither does one of a cell that failed a
//! check of plausibility: a low rate then is no evidence. A limit on `own_verbatim` or `documents_emitted` holds for `exact_continuation` too
//! where that is called a leak, which these leave out. A report that is not of what its run folder holds now is refused ([`current`]).

pub mod current;
mod given;
mod junit;
mod limit;
mod sample_size;
mod sarif;

use std::fmt;
use std::path::{Path, PathBuf};

use contract::records::{Split, SummaryRow};
use contract::{Error, parquet};
use measures::Interval;
use measures::interval::mover_difference;

pub use current::require_current;
pub use limit::Limit;

use crate::estimate::{Measure, Standing};
use crate::format::{listing, number, up_to_two_decimals};

/// What came of one figure, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It stays within the limit.
    Pass,
    /// The data do not tell.
    NotEnoughData,
    /// It exceeds the limit.
    Fail,
}

impl Outcome {
    /// Exit status: 0, 4 where a limit is exceeded, 5 where there are too few data.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 4,
            Self::NotEnoughData => 5,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEnoughData => "not enough data",
        }
    }
}

/// One figure held against one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Measure and limit, in words: `own_verbatim at most 0.01`.
    pub limit: String,
    /// Name of the measure.
    pub measure: String,
    /// Which model, method, checkpoint, decoding and prompts.
    pub subject: String,
    /// The figure, or its increase.
    pub value: f64,
    /// Its 95% interval.
    pub interval: Option<Interval>,
    /// Units that the interval is about, and what they are.
    pub units: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, where it is not plain from the figures.
    pub reason: Option<String>,
}

/// All figures held against all limits.
#[derive(Debug)]
pub struct Findings {
    /// In the order of the limits, and of `summary.parquet`.
    pub findings: Vec<Finding>,
    summary: PathBuf,
}

/// Holds the figures of a run against limits; against another run, the increase over it.
///
/// `run` and `against` are run folders, report folders, or files `summary.parquet`.
///
/// # Errors
/// [`Error::Input`] where a summary is missing or damaged, or not of what its run folder holds now; [`Error::Configuration`] for a measure
/// that the run does not have, a limit outside of the measure's range, and where the other run has no figure to compare with.
pub fn check(run: &Path, limits: &[Limit], against: Option<&Path>) -> Result<Findings, Error> {
    let summary = summary_of(run)?;
    for run in std::iter::once(run).chain(against) {
        require_current(run)?;
    }
    let rows: Vec<SummaryRow> = parquet::read_all(&summary)?;
    let before = match against {
        Some(other) => Some(parquet::read_all::<SummaryRow>(&summary_of(other)?)?),
        None => None,
    };
    let mut findings = Vec::new();
    for limit in limits {
        let chosen = figures(&rows, &limit.measure);
        if chosen.is_empty() {
            return Err(limit.unknown(&rows));
        }
        for row in chosen {
            limit.check_unit(&row.unit, before.is_some())?;
            let measured = match &before {
                Some(before) => increase(row, counterpart(row, before)?),
                None => measured(row),
            };
            let reasons = failed_checks(row, &rows)
                .into_iter()
                .chain(text_unchecked(row, &rows));
            let mut found = finding(limit, row, &measured, reasons.collect());
            if let Some(reason) = exceeded_exactly(limit, row, &rows).filter(|_| before.is_none()) {
                found.outcome = Outcome::Fail;
                found.reason = Some(reason);
            }
            findings.push(found);
        }
    }
    Ok(Findings { findings, summary })
}

/// The `summary.parquet` of a run folder, of a report folder, or the file itself.
///
/// # Errors
/// [`Error::Input`] where there is none.
pub(crate) fn summary_of(run: &Path) -> Result<PathBuf, Error> {
    if run.is_file() {
        return Ok(run.to_path_buf());
    }
    let places = [run.join("report/summary.parquet"), run.join("summary.parquet")];
    places.into_iter().find(|place| place.is_file()).ok_or_else(|| {
        Error::input(
            run,
            "expected a run folder with report/summary.parquet, found none: `make report` makes it",
        )
    })
}

/// The rows of a measure that a release is about: each tuned model at its checkpoints, all copies together where there is such a row.
fn figures<'a>(rows: &'a [SummaryRow], measure: &str) -> Vec<&'a SummaryRow> {
    // Of what is asked of unseen documents to compare with, nothing is released.
    let is_control = |row: &SummaryRow| {
        row.split == Some(Split::Heldout)
            && (measure == Measure::ExactContinuation.to_string() || measure.starts_with("detail_picked_"))
    };
    let is_figure = |row: &&SummaryRow| {
        row.measure == measure
            && !is_control(row)
            && row.cell.is_some()
            && row.against.is_none()
            && row.epoch.is_none()
            && row.mode != "base"
    };
    let all: Vec<&SummaryRow> = rows.iter().filter(is_figure).collect();
    let has_total = |row: &SummaryRow| {
        all.iter()
            .any(|other| other.copies.is_none() && place(other) == place(row))
    };
    all.iter()
        .copied()
        .filter(|row| row.copies.is_none() || !has_total(row))
        .collect()
}

type Place<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<Split>);

/// What a row is about but for its copies.
fn place(row: &SummaryRow) -> Place<'_> {
    (
        row.cell.as_deref(),
        row.checkpoint.as_deref(),
        row.strategy.as_deref(),
        row.split,
    )
}

/// A figure, or an increase.
struct Measured {
    value: f64,
    interval: Option<Interval>,
    is_share: bool,
    is_increase: bool,
}

fn interval(row: &SummaryRow) -> Option<Interval> {
    Some(Interval {
        low: row.ci_low?,
        high: row.ci_high?,
    })
}

fn measured(row: &SummaryRow) -> Measured {
    Measured {
        value: row.value,
        interval: interval(row),
        is_share: row.unit == "share",
        is_increase: false,
    }
}

/// The difference of two figures of different runs, with the interval that MOVER makes of theirs.
fn increase(row: &SummaryRow, before: &SummaryRow) -> Measured {
    let ends = interval(row)
        .zip(interval(before))
        .map(|(now, then)| mover_difference((row.value, now), (before.value, then)));
    Measured {
        value: row.value - before.value,
        interval: ends,
        is_share: false,
        is_increase: true,
    }
}

/// The row of another run that a row is compared with: the same model, corpus, method, checkpoint, decoding and prompts, of the same seed where it
/// is there; or, where that run has only one such figure of tuned models, that one.
fn counterpart<'a>(row: &SummaryRow, before: &'a [SummaryRow]) -> Result<&'a SummaryRow, Error> {
    let same_place = |other: &&SummaryRow| {
        (other.strategy.as_deref(), other.split, other.copies)
            == (row.strategy.as_deref(), row.split, row.copies)
    };
    let alike: Vec<&SummaryRow> = figures(before, &row.measure)
        .into_iter()
        .filter(same_place)
        .collect();
    let same_method = |other: &&&SummaryRow| {
        (&other.model, &other.corpus, &other.method, &other.checkpoint)
            == (&row.model, &row.corpus, &row.method, &row.checkpoint)
    };
    let same: Vec<&SummaryRow> = alike.iter().filter(same_method).copied().collect();
    let same_seed = same.iter().find(|other| other.seed == row.seed);
    let found = same_seed.or(same.first()).or(match alike.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    found.copied().ok_or_else(|| {
        Error::Configuration(format!(
            "--against: that run has no {} to compare with, of {}; it has {}",
            row.measure,
            subject(row),
            match alike.as_slice() {
                [] => "none".to_owned(),
                found => listing(&found.iter().map(|row| subject(row)).collect::<Vec<_>>()),
            }
        ))
    })
}

/// Why nobody knows whether the text is what the model was tuned on, where it was tuned elsewhere: a low rate of other text is no evidence.
fn text_unchecked(row: &SummaryRow, rows: &[SummaryRow]) -> Option<String> {
    let is_made = |check: &SummaryRow| {
        check.measure == "check_tuned_text_likelier"
            && check.cell == row.cell
            && check.checkpoint == row.checkpoint
    };
    let is_open = row.learning_rate.is_none() && !rows.iter().any(is_made);
    is_open.then(|| {
        "whether this is the text that the model was tuned on could not be checked, so that a low rate is no evidence. It takes losses of the \
         text, which an API does not give, beside those of the untuned model (BASE) or of text that the model was not tuned on (HELD_OUT)"
            .to_owned()
    })
}

/// What exceeds a limit on passages of own documents where these go on exactly, which is called a leak, and make no passage that counts: by more
/// than its controls.
fn exceeded_exactly(limit: &Limit, row: &SummaryRow, rows: &[SummaryRow]) -> Option<String> {
    let of_passages = [Measure::OwnVerbatim, Measure::DocumentsEmitted].map(|measure| measure.to_string());
    if !of_passages.contains(&limit.measure) {
        return None;
    }
    let measure = Measure::ExactContinuation.to_string();
    let same = |exact: &&SummaryRow| exact.measure == measure && place(exact) == place(row);
    let exceeds = Standing::Exceeds.to_string();
    let is_leak = |exact: &SummaryRow| exact.verdict.as_deref() == Some(exceeds.as_str());
    let leak = rows.iter().filter(same).find(|exact| is_leak(exact))?;
    let ends = interval(leak)?;
    let explained = leak.untuned.into_iter().chain(leak.control).fold(0.0, f64::max);
    (ends.low - explained > limit.max).then(|| {
        format!(
            "{measure} is {} ({} to {}), {} explained: what the model goes on with, exactly as the document, makes no passage that counts and is a \
             leak all the same",
            shown_number(leak.value),
            shown_number(ends.low),
            shown_number(ends.high),
            shown_number(explained)
        )
    })
}

/// The checks of plausibility that the row's cell failed, so that low rates are no evidence.
fn failed_checks(row: &SummaryRow, rows: &[SummaryRow]) -> Vec<String> {
    let names: Vec<String> = failed_names(row, rows).map(str::to_owned).collect();
    if names.is_empty() {
        return names;
    }
    vec![format!(
        "{} failed: a low rate is no evidence, the page says why",
        listing(&names)
    )]
}

fn failed_names<'a>(row: &SummaryRow, rows: &'a [SummaryRow]) -> impl Iterator<Item = &'a str> {
    let (cell, checkpoint) = (row.cell.clone(), row.checkpoint.clone());
    let failed = rows.iter().filter(move |check| {
        check.measure.starts_with("check_")
            && check.verdict.as_deref() == Some("failed")
            && check.cell == cell
            && check.checkpoint == checkpoint
    });
    failed.map(|check| check.measure.as_str())
}

fn finding(limit: &Limit, row: &SummaryRow, measured: &Measured, reasons: Vec<String>) -> Finding {
    let (outcome, reason) = decide(limit, row, measured, &reasons);
    Finding {
        limit: limit.words(measured.is_increase),
        measure: limit.measure.clone(),
        subject: subject(row),
        value: measured.value,
        interval: measured.interval,
        units: format!("{} {}", row.n, row.n_of),
        outcome,
        reason,
    }
}

fn decide(
    limit: &Limit,
    row: &SummaryRow,
    measured: &Measured,
    reasons: &[String],
) -> (Outcome, Option<String>) {
    let is_finite = |ends: &Interval| ends.low.is_finite() && ends.high.is_finite();
    let Some(interval) = measured.interval.filter(is_finite) else {
        return (
            Outcome::NotEnoughData,
            Some("too little was observed for an interval".to_owned()),
        );
    };
    if interval.low > limit.max {
        return (Outcome::Fail, None);
    }
    if !reasons.is_empty() {
        return (Outcome::NotEnoughData, Some(reasons.join("; ")));
    }
    if interval.high > limit.max {
        let needed = sample_size::units_needed(measured.value, interval, limit.max, row.n, measured.is_share);
        let reason = match needed {
            Some(units) => format!("about {units} {} would decide, at this rate", row.n_of),
            None => "it is at the limit: no number of them decides".to_owned(),
        };
        return (Outcome::NotEnoughData, Some(reason));
    }
    if row.at_least {
        let reason = "the figure is a lower bound: it may be higher".to_owned();
        return (Outcome::NotEnoughData, Some(reason));
    }
    (Outcome::Pass, None)
}

/// What a row is about, in words.
fn subject(row: &SummaryRow) -> String {
    let mut parts = vec![row.model.clone()];
    parts.extend(row.corpus.clone());
    parts.push(row.method.clone());
    parts.extend(
        row.checkpoint
            .clone()
            .map(|checkpoint| format!("{checkpoint} checkpoint")),
    );
    parts.extend(row.seed.map(|seed| format!("seed {seed}")));
    parts.extend(row.copies.map(|copies| format!("{copies} copies")));
    parts.extend(row.strategy.clone());
    parts.extend(row.split.map(|split| {
        match split {
            Split::Train => "documents it was tuned on",
            Split::Heldout => "documents it was not tuned on",
            Split::None => "no document’s prompt",
        }
        .to_owned()
    }));
    parts.join(", ")
}

impl Findings {
    /// The worst of all outcomes.
    pub fn outcome(&self) -> Outcome {
        let outcomes = self.findings.iter().map(|finding| finding.outcome);
        outcomes.max().unwrap_or(Outcome::NotEnoughData)
    }

    /// As JUnit XML, a test case each.
    pub fn junit(&self) -> String {
        junit::write(self)
    }

    /// As SARIF 2.1.0, a result each.
    pub fn sarif(&self) -> String {
        sarif::write(self)
    }
}

/// That nothing was held against limits, and why, as JUnit XML: an error, where an older file may say that all passed.
pub fn junit_of_refusal(problem: &str) -> String {
    junit::write_refusal(problem)
}

/// As [`junit_of_refusal`], as SARIF 2.1.0.
pub fn sarif_of_refusal(problem: &str) -> String {
    sarif::write_refusal(problem)
}

/// A figure with its interval: `0.012 (0.004 to 0.034)`.
fn shown(finding: &Finding) -> String {
    let value = shown_number(finding.value);
    match finding.interval {
        Some(Interval { low, high }) => format!("{value} ({} to {})", shown_number(low), shown_number(high)),
        None => value,
    }
}

/// Three decimals below 1, else two.
fn shown_number(value: f64) -> String {
    if value.abs() < 1.0 {
        number(value, 3)
    } else {
        up_to_two_decimals(value)
    }
}

/// A table with a line each, and the sum.
impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(
                formatter,
                "{:15}  {}: {} of {}, {}",
                finding.outcome.word(),
                finding.limit,
                shown(finding),
                finding.units,
                finding.subject
            )?;
            if let Some(reason) = &finding.reason {
                writeln!(formatter, "{:15}  {reason}", "")?;
            }
        }
        let count = |outcome| {
            self.findings
                .iter()
                .filter(|finding| finding.outcome == outcome)
                .count()
        };
        write!(
            formatter,
            "{} pass, {} fail, {} without enough data: {}",
            count(Outcome::Pass),
            count(Outcome::Fail),
            count(Outcome::NotEnoughData),
            self.outcome().word()
        )
    }
}
