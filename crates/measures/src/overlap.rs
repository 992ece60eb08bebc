//! How alike are two texts, by the tokens or the characters they share?
//!
//! Everything here is total: every pair of inputs has a value between 0 and 1, and each docstring says what
//! it is for empty inputs. Functions over tokens are generic, so that words, token ids and characters can
//! all be compared.

pub use bleu::bleu;
pub use edit::{edit_distance, edit_similarity};
pub use rouge::{longest_common_subsequence, rouge_l};
pub use substring::{CommonSubstring, covered_length, longest_common_substring};
pub use words::words;

mod bleu;
mod edit;
mod rouge;
mod substring;
mod words;
