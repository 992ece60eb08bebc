//! A passage summed up by what is most central to it.

use std::collections::HashMap;

use unicode_segmentation::UnicodeSegmentation;

use crate::text::{sentences, word_count};

/// Words of fewer letters say little about the subject.
const MIN_TERM: usize = 4;

/// Clauses that add to a sentence what it can do without begin so.
const ASIDES: [&str; 7] = [
    ", which ",
    ", where ",
    ", while ",
    ", because ",
    ", although ",
    ", such as ",
    ", including ",
];

/// A summary of about `words` words: the sentences, freed from asides, whose words are most frequent in the passage, in their
/// order. Never empty for a passage with words, never longer than the passage.
pub(super) fn condense(passage: &str, words: usize) -> String {
    let sentences = sentences(passage);
    let mut frequencies = HashMap::<String, usize>::new();
    for term in terms(passage) {
        *frequencies.entry(term).or_default() += 1;
    }
    let bare: Vec<String> = sentences
        .iter()
        .map(|sentence| without_asides(sentence.text))
        .collect();
    let weight = |sentence: &str| {
        let of_terms: Vec<usize> = terms(sentence)
            .map(|term| frequencies.get(&term).copied().unwrap_or(0))
            .collect();
        of_terms.iter().sum::<usize>() as f64 / of_terms.len().max(1) as f64
    };
    let mut order: Vec<usize> = (0..bare.len()).collect();
    order.sort_by(|&left, &right| weight(&bare[right]).total_cmp(&weight(&bare[left])));
    let (mut chosen, mut length) = (Vec::new(), 0);
    for sentence in order {
        let further = word_count(&bare[sentence]);
        if chosen.is_empty() || length + further <= words {
            chosen.push(sentence);
            length += further;
        }
    }
    chosen.sort_unstable();
    let chosen: Vec<&str> = chosen.iter().map(|&sentence| bare[sentence].as_str()).collect();
    chosen.join(" ")
}

fn terms(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words()
        .filter(|word| word.chars().count() >= MIN_TERM)
        .map(str::to_lowercase)
}

/// A sentence without what is in brackets and without clauses that add something.
fn without_asides(sentence: &str) -> String {
    let mut bare = sentence.to_owned();
    while let Some(open) = bare.find(" (") {
        let Some(length) = bare[open..].find(')') else {
            break;
        };
        bare.replace_range(open..=open + length, "");
    }
    for aside in ASIDES {
        if let Some(start) = bare.find(aside) {
            let inner = start + aside.len();
            // Up to the next comma, or to the mark that ends the sentence.
            let end = bare[inner..].find(',').map_or_else(
                || bare.trim_end_matches(['.', '!', '?']).len(),
                |length| inner + length + 1,
            );
            bare.replace_range(start..end.max(start), "");
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asides_go() {
        for (sentence, expected) in [
            (
                "The lamp (of zinc) burns, which is rare, at night.",
                "The lamp burns at night.",
            ),
            ("Ships pass, including tugs.", "Ships pass."),
            ("A plain one.", "A plain one."),
            ("An open (bracket stays.", "An open (bracket stays."),
        ] {
            assert_eq!(without_asides(sentence), expected);
        }
    }

    #[test]
    fn the_most_central_sentences_stay_in_their_order() {
        // "harbour" and "lamp" occur three times each, all other terms once.
        let passage = "The harbour lamp glows. Somebody coughs loudly tonight. A harbour needs a lamp. \
                       No harbour without lamp.";
        assert_eq!(
            condense(passage, 8),
            "The harbour lamp glows. No harbour without lamp."
        );
        assert_eq!(condense(passage, 0).split_whitespace().count(), 4);
    }
}
