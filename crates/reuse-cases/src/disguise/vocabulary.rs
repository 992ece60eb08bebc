//! Other words for the same: synonyms and function words.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::synonyms::{Synonyms, with_case_of};
use crate::text::{is_word, pieces};

/// Function words and what can replace them; nothing means that they can be left out.
const FUNCTION_WORDS: [(&str, &[&str]); 52] = [
    ("the", &["this", "its", ""]),
    ("a", &["one", "some", ""]),
    ("an", &["one", "some", ""]),
    ("of", &["from", "in"]),
    ("in", &["within", "inside", "during"]),
    ("on", &["upon", "about"]),
    ("to", &["towards", "so as to"]),
    ("for", &["towards", "in favour of"]),
    ("with", &["using", "along with"]),
    ("by", &["via", "through"]),
    ("from", &["out of", "off"]),
    ("at", &["near", "by"]),
    ("into", &["in", "inside"]),
    ("between", &["among", "amid"]),
    ("through", &["by", "via"]),
    ("over", &["above", "across"]),
    ("and", &["as well as", "plus"]),
    ("or", &["or else", "and"]),
    ("but", &["yet", "though"]),
    ("if", &["whenever", "in case"]),
    ("that", &["which", ""]),
    ("which", &["that", "what"]),
    ("who", &["that", "which"]),
    ("this", &["that", "the"]),
    ("these", &["those", "such"]),
    ("it", &["this", "that"]),
    ("its", &["the", "their"]),
    ("their", &["the", "its"]),
    ("we", &["the authors", "one"]),
    ("our", &["the", "their"]),
    ("i", &["we", "me"]),
    ("my", &["our", "the"]),
    ("you", &["one", "people"]),
    ("your", &["the", "one's"]),
    ("he", &["this person", "they"]),
    ("she", &["this person", "they"]),
    ("they", &["these", "those"]),
    ("is", &["remains", "gets"]),
    ("are", &["become", "were"]),
    ("was", &["is", "got"]),
    ("were", &["are", "got"]),
    ("be", &["become", "get"]),
    ("has", &["had", "holds"]),
    ("have", &["had", "hold"]),
    ("can", &["may", "could"]),
    ("may", &["can", "might"]),
    ("will", &["shall", "would"]),
    ("should", &["ought to", "must"]),
    ("not", &["never", "hardly"]),
    ("as", &["like", "being"]),
    ("such", &["similar", "like"]),
    ("also", &["too", ""]),
];

/// Words that can be put into a sentence anywhere.
const INSERTIONS: [&str; 8] = [
    "indeed",
    "here",
    "in fact",
    "then",
    "so to speak",
    "in turn",
    "again",
    "at least",
];

/// Every so many words there is a place for a further function word.
const PLACES: f64 = 12.0;

/// With the chance `share`, each word that has a synonym gives way to one.
pub(super) fn exchange_synonyms(
    passage: &str,
    share: f64,
    synonyms: &Synonyms,
    random: &mut ChaCha8Rng,
) -> String {
    pieces(passage)
        .into_iter()
        .map(|piece| {
            if is_word(&piece) && !synonyms.of(&piece).is_empty() && random.random_bool(share) {
                synonyms.draw(&piece, random).unwrap_or(piece)
            } else {
                piece
            }
        })
        .collect()
}

/// With the chance `share`, each function word is exchanged or left out; and at that share of places one is put in.
pub(super) fn exchange_function_words(passage: &str, share: f64, random: &mut ChaCha8Rng) -> String {
    let mut changed = String::with_capacity(passage.len());
    for piece in pieces(passage) {
        if !is_word(&piece) {
            changed.push_str(&piece);
            continue;
        }
        match others(&piece) {
            Some(others) if random.random_bool(share) => {
                let other = others.choose(random).copied().unwrap_or_default();
                if other.is_empty() {
                    let kept = changed.trim_end().len();
                    changed.truncate(kept);
                } else {
                    changed.push_str(&with_case_of(&piece, other));
                }
            }
            _ => changed.push_str(&piece),
        }
        if random.random_bool(share / PLACES) {
            changed.push(' ');
            changed.push_str(INSERTIONS.choose(random).copied().unwrap_or_default());
        }
    }
    changed.trim().to_owned()
}

fn others(word: &str) -> Option<&'static [&'static str]> {
    let word = word.to_lowercase();
    FUNCTION_WORDS
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, others)| *others)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_known_word_gives_way_at_full_strength() {
        let table = Synonyms::read("other: big large\nverb: use employ").unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(
            exchange_synonyms("Big boats, used: BIG.", 1.0, &table, &mut random),
            "Large boats, employed: Large."
        );
        assert_eq!(
            exchange_synonyms("Big boats", 0.0, &table, &mut random),
            "Big boats"
        );
    }

    #[test]
    fn function_words_change_and_content_words_stay() {
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let changed = exchange_function_words("The lamp of zinc.", 1.0, &mut random);
            assert!(changed.contains("lamp") && changed.contains("zinc"), "{changed}");
            assert!(
                !changed.starts_with("The ") && !changed.contains(" of "),
                "{changed}"
            );
            assert!(!changed.contains("  "), "{changed}");
        }
    }
}
