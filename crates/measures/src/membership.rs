//! Membership inference: does a document's score show that the model was trained on it?
//!
//! Every score here points the same way: lower = more likely a member. How well scores separate members from
//! held-out documents is the business of [`auc`], and of [`tpr_at`] a [`conservative_threshold`], each with its interval.

pub use against_untuned::{WINDOW_TOKENS, error_zone, loss_ratio, window_votes};
pub use roc::{
    MIN_PER_SIDE_AUC, MIN_PER_SIDE_AUC_DIFFERENCE, auc, auc_difference, auc_interval, conservative_threshold,
    tpr_at, tpr_at_fpr,
};
pub use scores::{
    MIN_K_SHARE, conditional_ratio, loss, lower_case_ratio, min_k, min_k_plus_plus, reference_difference,
    zlib_ratio,
};

pub use shadow::{lira, rmia, shadow_deviation};

mod against_untuned;
mod roc;
mod scores;
mod shadow;
