//! The sentences of the page. None is written that the sample cannot carry.

mod answer;
mod content;
mod equal_loss;
mod limits;
mod rises;
mod ruined;
mod scored;

pub use answer::{Answer, answer, control_sentence, room_left};
pub use content::content_sentences;
pub use equal_loss::{AtEqualLoss, at_equal_loss};
pub use limits::limits;
pub use rises::{similarity_sentences, trend_sentences, without_sentence};
pub use ruined::ruined_sentence;
pub use scored::{cut_sentence, loss_sentence, non_members_sentence};

/// A label as the first word of a sentence.
fn capital(label: &str) -> String {
    let mut characters = label.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}
