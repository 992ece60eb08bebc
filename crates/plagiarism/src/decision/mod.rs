//! From what was found in single documents to the class of a generation.

pub mod classification;
pub mod classifier;
pub mod tally;
