//! A limit as the command line gives it.

use std::str::FromStr;

use contract::Error;
use contract::records::SummaryRow;

/// The largest value of a measure that passes.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Name of the measure in `summary.parquet`.
    pub measure: String,
    /// The largest value, in the measure's unit.
    pub max: f64,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected MEASURE=NUMBER, as in own_verbatim=0.01, found {text:?}");
        let (measure, max) = text.split_once('=').ok_or_else(expected)?;
        let max: f64 = max.trim().parse().map_err(|_| expected())?;
        if !max.is_finite() || measure.trim().is_empty() {
            return Err(expected());
        }
        Ok(Self {
            measure: measure.trim().to_owned(),
            max,
        })
    }
}

impl Limit {
    /// `own_verbatim at most 0.01`.
    pub(super) fn words(&self, is_increase: bool) -> String {
        let increase = if is_increase { "increase of " } else { "" };
        format!("{increase}{} at most {}", self.measure, self.max)
    }

    /// That a run has no such measure, with those that it has.
    pub(super) fn unknown(&self, rows: &[SummaryRow]) -> Error {
        let mut names: Vec<&str> = rows
            .iter()
            .filter(|row| row.ci_high.is_some() && row.against.is_none() && row.epoch.is_none())
            .map(|row| row.measure.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        Error::Configuration(format!(
            "--max {}: no tuned model of this run has that measure. The run has {}",
            self.measure,
            names.join(", ")
        ))
    }
}
