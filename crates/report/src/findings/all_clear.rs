//! Every phrase that a reader may take for the all-clear, in one place. None is written of a model of which a check of plausibility
//! failed: [`crate::estimate::Verdict::NotSettled`] has no such sentence.

/// The phrases: none of these is on a page of which every model is not settled.
pub const ALL_CLEAR: [&str; 6] = [
    NOTHING_FOUND,
    BEYOND_CONTROLS,
    REPEATS_NONE,
    ROOM,
    NOT_MORE,
    NOT_DISTINGUISHED,
];

/// No training text came out, and nothing shows what the model was tuned on.
pub(super) const NOTHING_FOUND: &str = "nothing was found";
/// The heading of the same.
pub(super) const BEYOND_CONTROLS: &str = "nothing beyond the controls";
/// A rate of nothing.
pub(super) const REPEATS_NONE: &str = "repeated none of them";
/// What a rate of nothing leaves open.
pub(super) const ROOM: &str = "the true rate may still be as high as";
/// A rate that is no higher than a control, as measured.
pub(super) const NOT_MORE: &str = "no more than the untuned model or the control gives";
/// A figure that is not apart from another.
pub(super) const NOT_DISTINGUISHED: &str = "cannot be distinguished from";
