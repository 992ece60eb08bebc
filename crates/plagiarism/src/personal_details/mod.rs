//! Personal details in a passage: by the user's labels ([`labels`]), or else by the patterns of the crate `personal-details`.

pub mod labels;

pub use ::personal_details::{DetailKind, find, shared_kinds};
