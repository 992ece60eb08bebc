//! The sentences of the page. None is written that the sample cannot carry.

mod answer;
mod content;
mod equal_loss;
mod limits;
mod no_leak;
mod rises;
mod ruined;
mod scored;

pub use answer::{Answer, answer, control_sentence};
pub use content::content_sentences;
pub use equal_loss::{AtEqualLoss, at_equal_loss};
pub use limits::limits;
pub use no_leak::{ALL_CLEAR, not_over, room_left};
pub use rises::{similarity_sentences, trend_sentences, without_sentence};
pub use ruined::ruined_sentence;
pub use scored::{cut_sentence, loss_sentence, non_members_sentence};

/// What stands in place of a conclusion where a check of plausibility failed.
fn nothing_concluded(failed_checks: &[String]) -> String {
    format!(
        "nothing can be concluded from this until it is settled: {}",
        failed_checks.join("; ")
    )
}

/// A label as the first word of a sentence.
fn capital(label: &str) -> String {
    let mut characters = label.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}
