//! Words, clauses and sentences that change places.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::kinds::Strength;
use crate::text::{capitalized, is_word, pieces, sentences, uncapitalized};

/// Shuffles the words of a sentence within windows of `window` words; what is between words stays where it is.
pub(super) fn shuffle_words(sentence: &str, window: usize, random: &mut ChaCha8Rng) -> String {
    let mut pieces = pieces(sentence);
    let places: Vec<usize> = (0..pieces.len())
        .filter(|&place| is_word(&pieces[place]))
        .collect();
    for places in places.chunks(window) {
        let mut shuffled: Vec<usize> = places.to_vec();
        shuffled.shuffle(random);
        let words: Vec<String> = shuffled.iter().map(|&place| pieces[place].clone()).collect();
        for (&place, word) in places.iter().zip(words) {
            pieces[place] = word;
        }
    }
    pieces.concat()
}

/// Sentences in another order: two neighbours, all, or all and the clauses within them.
pub(super) fn reorder(passage: &str, strength: Strength, random: &mut ChaCha8Rng) -> String {
    let mut order: Vec<String> = sentences(passage)
        .iter()
        .map(|sentence| sentence.text.to_owned())
        .collect();
    if order.len() > 1 {
        if strength == Strength::Light {
            let first = random.random_range(0..order.len() - 1);
            order.swap(first, first + 1);
        } else {
            let before = order.clone();
            order.shuffle(random);
            if order == before {
                order.rotate_left(1);
            }
        }
    }
    if strength == Strength::Heavy {
        for sentence in &mut order {
            *sentence = turn_clauses(sentence, 1.0, random);
        }
    }
    order.join(" ")
}

/// With the chance `share`, what follows one of a sentence's commas comes first: "A, B, C." becomes "C, A, B.".
pub(super) fn turn_clauses(sentence: &str, share: f64, random: &mut ChaCha8Rng) -> String {
    let body = sentence.trim_end_matches(['.', '!', '?']);
    let end = &sentence[body.len()..];
    let mut clauses: Vec<&str> = body.split(", ").collect();
    if clauses.len() < 2 || !random.random_bool(share) {
        return sentence.to_owned();
    }
    let first = random.random_range(1..clauses.len());
    clauses.rotate_left(first);
    let turned: Vec<String> = clauses.into_iter().map(uncapitalized).collect();
    format!("{}{end}", capitalized(&turned.join(", ")))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn sorted_words(text: &str) -> Vec<String> {
        let mut words: Vec<String> = text
            .split(|letter: char| !letter.is_alphanumeric())
            .map(str::to_lowercase)
            .collect();
        words.sort();
        words
    }

    #[test]
    fn words_move_within_their_window_only() {
        let sentence = "one two three, four five (six).";
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let shuffled = shuffle_words(sentence, 3, &mut random);
            let (first, second) = shuffled.split_once(", ").unwrap();
            assert_eq!(sorted_words(first), ["one", "three", "two"]);
            assert_eq!(sorted_words(second), ["", "", "", "five", "four", "six"]);
            assert!(second.ends_with(").") && second.contains(" ("), "{shuffled}");
        }
    }

    #[test]
    fn reordering_keeps_every_sentence_and_changes_their_order() {
        let passage = "The lamp is lit. The ship is near. The harbour sleeps.";
        for seed in 0..20 {
            for strength in Strength::ALL {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let reordered = reorder(passage, strength, &mut random);
                assert_ne!(reordered, passage);
                assert_eq!(reordered.len(), passage.len());
                for sentence in ["The lamp is lit.", "The ship is near.", "The harbour sleeps."] {
                    assert!(reordered.contains(sentence), "{reordered}");
                }
            }
        }
    }

    #[test]
    fn clauses_turn_around_a_comma() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(
            turn_clauses("When it rains, the DNA stays dry!", 1.0, &mut random),
            "The DNA stays dry, when it rains!"
        );
        assert_eq!(turn_clauses("No comma here.", 1.0, &mut random), "No comma here.");
        assert_eq!(turn_clauses("One, two.", 0.0, &mut random), "One, two.");
    }
}
