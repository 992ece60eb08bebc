//! The table of estimates in sentences. Nothing is computed here: each figure in a sentence is a row of the table.

mod all_clear;
mod answer;
mod more;
mod sentence;

pub use all_clear::ALL_CLEAR;
pub use answer::{Answer, ModelAnswer, answer, asked_documents, passes};
pub use more::{equal_loss, over_copies, overtrained, usefulness};
pub use sentence::{FigureOf, Part, Sentence};

/// A label as a sentence begins.
pub fn capital(label: &str) -> String {
    let mut characters = label.chars();
    let first = characters.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect()
}
