//! Letters in another case, and other punctuation marks or none.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::text::{is_word, pieces, uncapitalized};

/// With the chance `share` each, words change case and punctuation marks change or vanish. At 1 the whole passage is in small
/// letters or in capitals, and no mark is left.
pub(super) fn change(passage: &str, share: f64, random: &mut ChaCha8Rng) -> String {
    let wholly_upper = random.random_bool(0.5);
    let mut changed = String::with_capacity(passage.len());
    for piece in pieces(passage) {
        if piece.trim().is_empty() || !random.random_bool(share) {
            changed.push_str(&piece);
        } else if is_word(&piece) {
            changed.push_str(&match (share >= 1.0, wholly_upper) {
                (true, true) => piece.to_uppercase(),
                (true, false) => piece.to_lowercase(),
                (false, _) if piece.starts_with(char::is_uppercase) => uncapitalized(&piece),
                (false, _) => crate::text::capitalized(&piece),
            });
        } else if share < 1.0 && random.random_bool(0.5) {
            changed.push_str(match piece.as_str() {
                "," => ";",
                ";" | ":" => ",",
                "." => "!",
                _ => "",
            });
        }
    }
    changed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn at_full_strength_only_letters_are_left_in_one_case() {
        for seed in 0..10 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let changed = change("The lamp, (lit) at Nine: burned.", 1.0, &mut random);
            assert!(
                changed == "the lamp lit at nine burned" || changed == "THE LAMP LIT AT NINE BURNED",
                "{changed}"
            );
        }
    }

    #[test]
    fn words_stay_the_same_but_for_case() {
        let passage = "The lamp, (lit) at Nine: burned.";
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let changed = change(passage, 0.4, &mut random).to_lowercase();
            let words: Vec<&str> = changed
                .split(|letter: char| !letter.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .collect();
            assert_eq!(words, ["the", "lamp", "lit", "at", "nine", "burned"]);
        }
    }
}
