//! Every sentence that a reader may take for the all-clear, in one place. None is written of a model of which a check of plausibility
//! failed: [`crate::claims::Standing::Unsettled`] has no such sentence.

use crate::format::{about, percent};
use crate::rates::Estimate;

/// What the sentences have in common: none of these stands on a page of which every model is unsettled.
pub const ALL_CLEAR: [&str; 8] = [
    NO_WAY_OF_TUNING,
    NO_RATE_CLEAR,
    NOT_MORE,
    NOT_DISTINGUISHED,
    CANNOT_TELL,
    STILL_ALLOWS,
    NOT_OVER,
    NO_RISE,
];

const NO_WAY_OF_TUNING: &str = "No way of tuning can be shown to repeat";
const NO_RATE_CLEAR: &str = "no rate stands clear of its controls";
const NOT_MORE: &str = "not more than a control";
const NOT_DISTINGUISHED: &str = "cannot be distinguished from";
const CANNOT_TELL: &str = "documents cannot tell this rate from the controls";
const STILL_ALLOWS: &str = "still allows";
const NOT_OVER: &str = "not over its floor";
const NO_RISE: &str = "no rise with the copies can be shown";

/// No rate of so many documents is over its controls; `which` documents they are.
pub(super) fn no_way_of_tuning(documents: usize, which: &str) -> String {
    format!(
        "{NO_WAY_OF_TUNING} word for word the documents that it is prompted with: on {documents} {which}, {NO_RATE_CLEAR}."
    )
}

/// A rate that is not over a control, as measured, with the room that it leaves.
pub(super) fn not_more(rate: &Estimate) -> String {
    let room = room_left(rate).map_or(String::new(), |room| format!(" ({room})"));
    format!("{NOT_MORE}{room}")
}

/// A figure that is not apart from another.
pub(super) fn not_distinguished(from: &str) -> String {
    format!("{NOT_DISTINGUISHED} {from}")
}

/// A rate that is over its controls, perhaps by chance, and how many documents a side would tell.
pub(super) fn cannot_tell(rate: &Estimate, needed: f64) -> String {
    format!(
        "{} {CANNOT_TELL}, about {} on each side would",
        rate.documents,
        about(needed)
    )
}

/// How many documents a rate of nothing leaves room for: "0 of 40 still allows 8.8%".
pub fn room_left(rate: &Estimate) -> Option<String> {
    let interval = rate.interval?;
    (rate.value == 0.0).then(|| {
        format!(
            "0 of {} {STILL_ALLOWS} {}",
            rate.observations,
            percent(interval.high)
        )
    })
}

/// A remark on a rate that is not over its controls.
pub fn not_over() -> &'static str {
    NOT_OVER
}

/// Ways of tuning whose rates do not rise with the copies.
pub(super) fn no_rise(labels: &str) -> String {
    format!("For {labels} {NO_RISE}.")
}
