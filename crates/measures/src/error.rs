//! Questions that have no answer, and the checks that find them.

use std::ops::RangeInclusive;

/// The result of a measure that some inputs leave undefined.
pub type Result<T> = std::result::Result<T, MeasureError>;

/// Why a measure has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// Nothing, or too little, to measure.
    #[error("{what}: expected at least {needed}, found {found}")]
    TooFew {
        /// What there is too little of.
        what: &'static str,
        /// The smallest number with which the measure is defined.
        needed: usize,
        /// How many there were.
        found: usize,
    },
    /// All values agree, so that nothing says how far another might lie: no interval can be given.
    #[error("{what}: all agree, so their spread is unknown and there is no interval")]
    NoVariation {
        /// What does not vary.
        what: &'static str,
    },
    /// Two lists that must pair up one to one do not.
    #[error("{left} and {right} must pair up, found {left_length} and {right_length}")]
    LengthMismatch {
        /// The list that sets the length.
        left: &'static str,
        /// Its length.
        left_length: usize,
        /// The list that should follow it.
        right: &'static str,
        /// Its length.
        right_length: usize,
    },
    /// A number outside the measure's domain; NaN is outside every domain.
    #[error("{what}: expected {expected}, found {found}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// The domain, in words.
        expected: &'static str,
        /// The number.
        found: f64,
    },
}

/// By how much a log-probability may exceed zero and still pass for the rounding of a 32-bit softmax.
const LOG_PROBABILITY_ROUNDING: f32 = 1e-3;

pub(crate) fn require_count(what: &'static str, found: usize, needed: usize) -> Result<()> {
    if found < needed {
        return Err(MeasureError::TooFew { what, needed, found });
    }
    Ok(())
}

pub(crate) fn require_same_length(
    (left, left_length): (&'static str, usize),
    (right, right_length): (&'static str, usize),
) -> Result<()> {
    if left_length != right_length {
        return Err(MeasureError::LengthMismatch {
            left,
            left_length,
            right,
            right_length,
        });
    }
    Ok(())
}

pub(crate) fn require(holds: bool, what: &'static str, expected: &'static str, found: f64) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(MeasureError::OutOfRange {
            what,
            expected,
            found,
        })
    }
}

pub(crate) fn require_finite(what: &'static str, value: f64) -> Result<()> {
    require(value.is_finite(), what, "a finite number", value)
}

pub(crate) fn require_share(what: &'static str, value: f64) -> Result<()> {
    const SHARES: RangeInclusive<f64> = 0.0..=1.0;
    require(SHARES.contains(&value), what, "a share between 0 and 1", value)
}

/// At least one score, none of them NaN; infinite scores can be ranked, so they pass.
pub(crate) fn require_scores(what: &'static str, scores: &[f64]) -> Result<()> {
    require_count(what, scores.len(), 1)?;
    scores
        .iter()
        .try_for_each(|&score| require(!score.is_nan(), what, "a number", score))
}

/// At least one log-probability, none of them NaN or positive; -inf, an impossible token, passes.
pub(crate) fn require_log_probabilities(what: &'static str, values: &[f32]) -> Result<()> {
    require_count(what, values.len(), 1)?;
    values.iter().try_for_each(|&value| {
        require(
            value <= LOG_PROBABILITY_ROUNDING,
            what,
            "a log-probability, at most 0",
            value.into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_was_expected_and_found() {
        let cases: [(Result<()>, &str); 4] = [
            (
                require_count("documents", 1, 2),
                "documents: expected at least 2, found 1",
            ),
            (
                require_same_length(("logprobs", 3), ("vocab_mean", 2)),
                "logprobs and vocab_mean must pair up, found 3 and 2",
            ),
            (
                require_share("share", f64::NAN),
                "share: expected a share between 0 and 1, found NaN",
            ),
            (
                require_log_probabilities("logprobs", &[-1.0, 0.5]),
                "logprobs: expected a log-probability, at most 0, found 0.5",
            ),
        ];
        for (result, message) in cases {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn impossible_tokens_and_rounding_pass() {
        assert_eq!(
            require_log_probabilities("logprobs", &[f32::NEG_INFINITY, 1e-6]),
            Ok(())
        );
    }
}
