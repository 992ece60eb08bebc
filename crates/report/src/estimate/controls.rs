//! What a figure is held against: the untuned model after the same prompts, and the same generations against text that was never
//! trained on.

use contract::records::Split;
use measures::Interval;
use measures::control::carried_over;

use super::AnalysedCell;
use super::figure::{Confidence, Estimate};
use super::measure::Measure;
use super::tallies::Slice;

/// The control of a measure over some generations of a cell; none where held-out text was not looked at. Of personal details that are ranked
/// it is the same of held-out documents, and so it is of what goes on exactly as its document.
///
/// What is shared with any training document is carried over to as much text as there is training text
/// ([`carried_over`]); what is shared with the prompt's own document is compared as it was measured, since one document is less
/// text than the held-out text. Held-out documents that are near-duplicates of training documents are left out.
pub fn control(
    cell: &AnalysedCell<'_>,
    measure: Measure,
    at: Slice<'_>,
    copies: Option<i32>,
) -> Option<Estimate> {
    if measure.has_held_out_as_control() {
        let held_out = || cell.tallies.estimate(measure, of_held_out(at), None);
        return (at.split == Split::Train).then(held_out)?;
    }
    let (control, apart) = control_measure(cell, measure, at)?;
    let measured = cell.tallies.estimate(control, at, copies)?;
    match times_more_text(cell, measure, apart) {
        None => Some(measured),
        Some(times) => carried(measured, times),
    }
}

/// The same question about held-out documents.
pub(super) fn of_held_out(at: Slice<'_>) -> Slice<'_> {
    Slice {
        split: Split::Heldout,
        ..at
    }
}

/// The measure of the control, and whether it leaves near-duplicates out.
pub(super) fn control_measure(
    cell: &AnalysedCell<'_>,
    measure: Measure,
    at: Slice<'_>,
) -> Option<(Measure, bool)> {
    let control = measure.control()?;
    // Where every held-out document is a near-duplicate, none says what comes of text that was not trained on.
    if cell.corpus.has_near_duplicates() && !cell.corpus.has_text_apart() {
        return None;
    }
    let apart = control
        .apart()
        .filter(|apart| !cell.tallies.of(*apart, at, None).is_empty());
    Some(apart.map_or((control, false), |apart| (apart, true)))
}

/// How many times more training text there is than text of the control; none where nothing is carried over.
pub(super) fn times_more_text(cell: &AnalysedCell<'_>, measure: Measure, apart: bool) -> Option<f64> {
    if measure.is_of_own_document() || measure.is_similarity() {
        return None;
    }
    let chars = cell.corpus.chars;
    let held_out = if apart {
        chars.held_out_apart
    } else {
        chars.held_out
    };
    Some(chars.training as f64 / held_out as f64)
}

fn carried(estimate: Estimate, times: f64) -> Option<Estimate> {
    let carry = |share: f64| carried_over(share, times, 1.0).ok();
    let interval = match estimate.interval {
        Some(confidence) => Some(Confidence {
            ends: Interval {
                low: carry(confidence.ends.low)?,
                high: carry(confidence.ends.high)?,
            },
            ..confidence
        }),
        None => None,
    };
    Some(Estimate {
        value: carry(estimate.value)?,
        interval,
        ..estimate
    })
}
