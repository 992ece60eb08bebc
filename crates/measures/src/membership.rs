//! Membership inference: does a document's score tell that the model was trained on it?
//!
//! Every score here points the same way: lower = more likely a member. How well scores separate members from
//! held-out documents is the business of [`auc`] and [`tpr_at_fpr`], each with its interval.

pub use roc::{auc, auc_interval, tpr_at_fpr, tpr_interval};
pub use scores::{
    MIN_K_SHARE, loss, lower_case_ratio, min_k, min_k_plus_plus, reference_difference, zlib_ratio,
};

mod roc;
mod scores;
