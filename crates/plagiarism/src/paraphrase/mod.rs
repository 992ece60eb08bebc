//! Meaning: sentence vectors, similarities, and the confirmation of likely paraphrases.

pub mod classifier;
pub mod confirm;
pub mod encoder;
pub mod evidence;
pub mod exhaustive;
pub mod nominated;
mod pending;
mod round;
pub mod similarity;
