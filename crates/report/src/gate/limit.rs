//! A limit as the command line gives it.

use std::ops::RangeInclusive;
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
    /// Whether it was given in percent.
    pub is_percent: bool,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected MEASURE=NUMBER, as in own_verbatim=0.01 or own_verbatim=1%, found {text:?}");
        let (measure, max) = text.split_once('=').ok_or_else(expected)?;
        let max = max.trim();
        let percent = max.strip_suffix('%');
        let number: f64 = percent
            .unwrap_or(max)
            .trim_end()
            .parse()
            .map_err(|_| expected())?;
        if !number.is_finite() || measure.trim().is_empty() {
            return Err(expected());
        }
        Ok(Self {
            measure: measure.trim().to_owned(),
            max: if percent.is_some() { number / 100.0 } else { number },
            is_percent: percent.is_some(),
        })
    }
}

impl Limit {
    /// `own_verbatim at most 0.01`.
    pub(super) fn words(&self, is_increase: bool) -> String {
        let increase = if is_increase { "increase of " } else { "" };
        format!("{increase}{} at most {}", self.measure, self.max)
    }

    /// Refuses a limit that no value of the unit can exceed or keep: 30 for a share, where 30% was meant.
    pub(super) fn check_unit(&self, unit: &str, is_increase: bool) -> Result<(), Error> {
        let refused =
            |problem: String| Err(Error::Configuration(format!("--max {}: {problem}", self.measure)));
        let Some((kind, range)) = range_of(unit) else {
            return if self.is_percent {
                refused(format!("its unit is {unit}: expected a number without %"))
            } else {
                Ok(())
            };
        };
        let width = range.end() - range.start();
        let (change, range) = if is_increase {
            (" as the change of it", -width..=width)
        } else {
            ("", range)
        };
        if range.contains(&self.max) {
            return Ok(());
        }
        refused(format!(
            "expected {kind} between {} and {}{change}; 30% is written 0.3 or 30%. Found {}",
            range.start(),
            range.end(),
            self.max
        ))
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

/// What values of a unit are called, and between which they lie; none for one without such ends.
fn range_of(unit: &str) -> Option<(&'static str, RangeInclusive<f64>)> {
    match unit {
        "share" => Some(("a share", 0.0..=1.0)),
        "area" => Some(("an area", 0.0..=1.0)),
        "from 0 to 1" => Some(("a value", 0.0..=1.0)),
        "cosine" => Some(("a cosine", -1.0..=1.0)),
        _ => None,
    }
}
