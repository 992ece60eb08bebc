//! Sentences that are split at clauses, and joined with their neighbours.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::text::{capitalized, sentences, uncapitalized};

/// Where a sentence can be split: the text that gives way, and what the new sentence begins with.
const SPLITS: [(&str, &str); 8] = [
    (", and ", ""),
    (", but ", "But "),
    (", which ", "This "),
    (", while ", "Meanwhile, "),
    (", where ", "There "),
    (", so ", "So "),
    (", because ", "The reason is that "),
    ("; ", ""),
];

/// Minimum number of characters of either half of a split sentence.
const MIN_HALF: usize = 20;

/// With the chance `share` each, sentences are split at clauses, and then two that were neighbours before are joined.
pub(super) fn split_and_fuse(passage: &str, share: f64, random: &mut ChaCha8Rng) -> String {
    let mut changed = String::new();
    for sentence in sentences(passage) {
        let sentence = split(sentence.text, share, random);
        if changed.is_empty() {
            changed = sentence;
        } else if random.random_bool(share) {
            let open = changed.trim_end_matches('.').len();
            changed.truncate(open);
            changed.push_str(", and ");
            changed.push_str(&uncapitalized(&sentence));
        } else {
            changed.push(' ');
            changed.push_str(&sentence);
        }
    }
    changed
}

fn split(sentence: &str, share: f64, random: &mut ChaCha8Rng) -> String {
    for (given, beginning) in SPLITS {
        let Some(place) = sentence.find(given) else {
            continue;
        };
        let (first, rest) = (&sentence[..place], &sentence[place + given.len()..]);
        if first.len() < MIN_HALF || rest.len() < MIN_HALF || !random.random_bool(share) {
            continue;
        }
        let second = if beginning.is_empty() {
            capitalized(rest)
        } else {
            format!("{beginning}{rest}")
        };
        return format!("{first}. {second}");
    }
    sentence.to_owned()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn splits_at_clauses_and_joins_neighbours() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        for (passage, expected) in [
            (
                "The lamp burned all night, which nobody had expected.",
                "The lamp burned all night. This nobody had expected.",
            ),
            (
                "The lamp burned. Nobody came.",
                "The lamp burned, and nobody came.",
            ),
            ("Short, and sweet.", "Short, and sweet."),
        ] {
            assert_eq!(split_and_fuse(passage, 1.0, &mut random), expected);
            assert_eq!(split_and_fuse(passage, 0.0, &mut random), passage);
        }
    }
}
