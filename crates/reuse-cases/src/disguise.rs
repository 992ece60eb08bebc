//! What is done to a passage before it is planted.

mod condensation;
mod order;
mod sentence_bounds;
mod surface;
mod vocabulary;

use rand_chacha::ChaCha8Rng;

use crate::kinds::{Kind, Strength};
use crate::synonyms::Synonyms;
use crate::text::{sentences, word_count};

/// Disguises `passage`. Truncation is no disguise: it plants a shorter passage as it is.
pub(crate) fn disguise(
    passage: &str,
    kind: Kind,
    strength: Strength,
    synonyms: &Synonyms,
    random: &mut ChaCha8Rng,
) -> String {
    let share = strength.of(0.3, 0.6, 1.0);
    match kind {
        Kind::Copy | Kind::Truncation => passage.to_owned(),
        Kind::WordShuffle => by_sentence(passage, |sentence| {
            order::shuffle_words(sentence, strength.of(3, 6, usize::MAX), random)
        }),
        Kind::Synonyms => vocabulary::exchange_synonyms(passage, share, synonyms, random),
        Kind::FunctionWords => vocabulary::exchange_function_words(passage, share, random),
        Kind::SplitAndFusion => sentence_bounds::split_and_fuse(passage, strength.of(0.35, 0.7, 1.0), random),
        Kind::Reorder => order::reorder(passage, strength, random),
        Kind::CaseAndPunctuation => surface::change(passage, strength.of(0.1, 0.4, 1.0), random),
        Kind::Condensation => {
            let words = word_count(passage) as f64 * strength.of(0.6, 0.4, 0.25);
            let summary = condensation::condense(passage, words as usize);
            let summary = vocabulary::exchange_synonyms(&summary, 0.3, synonyms, random);
            vocabulary::exchange_function_words(&summary, 0.2, random)
        }
        Kind::Rewording => {
            let split = sentence_bounds::split_and_fuse(passage, share, random);
            let turned = by_sentence(&split, |sentence| order::turn_clauses(sentence, share, random));
            let reworded = vocabulary::exchange_synonyms(&turned, share, synonyms, random);
            vocabulary::exchange_function_words(&reworded, share, random)
        }
    }
}

/// Applies `change` to each sentence and joins the results with blanks.
fn by_sentence(passage: &str, mut change: impl FnMut(&str) -> String) -> String {
    let changed: Vec<String> = sentences(passage)
        .iter()
        .map(|sentence| change(sentence.text))
        .collect();
    changed.join(" ")
}
