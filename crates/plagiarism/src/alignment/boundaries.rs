//! Where a passage begins and ends: sentences found it, words delimit it.
//!
//! A copy may begin in the middle of a sentence, and the sentence before it may lack its full stop. So each side is trimmed to
//! the run of words with the largest sum, where a word that occurs on the other side too counts 1 and another one
//! −[`COST`]: the densest part of a local alignment (Smith and Waterman, 1981), but whatever the order of the words.

use std::collections::HashSet;

use text_align::Span;
use unicode_segmentation::UnicodeSegmentation;

/// What a word costs that does not occur on the other side. At one half, text is trimmed where fewer than one word in three
/// is shared.
const COST: f64 = 0.5;

/// Words of fewer characters occur in every text: they count a fifth.
const CONTENT_CHARACTERS: usize = 4;

/// What such words count.
const SHORT_WORD_WEIGHT: f64 = 0.2;

/// Words that share so many letters at their beginning count as the same: most inflections do.
const STEM_CHARACTERS: usize = 5;

/// A word of a passage.
struct Word {
    span: Span,
    stem: String,
    weight: f64,
}

/// Trims both sides of a passage, generation and document, to where words are shared, but not within the spans `kept`.
pub(crate) fn trim(texts: (&str, &str), passage: (Span, Span), kept: &[(Span, Span)]) -> (Span, Span) {
    let (left, right) = (words(texts.0, passage.0), words(texts.1, passage.1));
    let left_kept = kept.iter().map(|kept| kept.0);
    let right_kept = kept.iter().map(|kept| kept.1);
    (
        trim_side(passage.0, &left, &right, left_kept),
        trim_side(passage.1, &right, &left, right_kept),
    )
}

fn trim_side(span: Span, words: &[Word], others: &[Word], kept: impl Iterator<Item = Span>) -> Span {
    let others: HashSet<&str> = others.iter().map(|word| word.stem.as_str()).collect();
    let Some((first, last)) = densest(words, &others) else {
        return span;
    };
    // Marks at either end belong to the passage if its outermost word does.
    let start = if first == 0 {
        span.start
    } else {
        words[first].span.start
    };
    let end = if last + 1 == words.len() {
        span.end
    } else {
        words[last].span.end
    };
    kept.fold(Span::new(start, end), |trimmed, kept| {
        Span::new(trimmed.start.min(kept.start), trimmed.end.max(kept.end))
    })
}

/// The first and the last word of the run with the largest sum, the first of equally good ones (Kadane's algorithm).
fn densest(words: &[Word], others: &HashSet<&str>) -> Option<(usize, usize)> {
    let mut best: Option<(f64, (usize, usize))> = None;
    let (mut start, mut sum) = (0, 0.0);
    for (index, word) in words.iter().enumerate() {
        if sum <= 0.0 {
            (start, sum) = (index, 0.0);
        }
        let sign = if others.contains(word.stem.as_str()) {
            1.0
        } else {
            -COST
        };
        sum += sign * word.weight;
        if best.is_none_or(|(best, _)| sum > best) {
            best = Some((sum, (start, index)));
        }
    }
    best.map(|(_, run)| run)
}

fn words(text: &str, span: Span) -> Vec<Word> {
    let passage = span.cut(text).unwrap_or_default();
    let (mut byte, mut character) = (0, span.start);
    passage
        .unicode_word_indices()
        .map(|(start, word)| {
            character += passage[byte..start].chars().count();
            byte = start;
            let length = word.chars().count();
            Word {
                span: Span::new(character, character + length),
                stem: word.to_lowercase().chars().take(STEM_CHARACTERS).collect(),
                weight: if length < CONTENT_CHARACTERS {
                    SHORT_WORD_WEIGHT
                } else {
                    1.0
                },
            }
        })
        .collect()
}

/// Whether two passages are the same but for white space and the case of letters.
pub(crate) fn is_copy(texts: (&str, &str), passage: (Span, Span)) -> bool {
    match (passage.0.cut(texts.0), passage.1.cut(texts.1)) {
        (Some(left), Some(right)) => letters(left).eq(letters(right)),
        _ => false,
    }
}

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|character| !character.is_whitespace())
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, passage: &str) -> Span {
        let byte = text.find(passage).expect("a passage of the text");
        let start = text[..byte].chars().count();
        Span::new(start, start + passage.chars().count())
    }

    /// Trims the whole of both texts, with `kept` on either side, and cuts out what is left.
    fn trimmed<'a>(texts: (&'a str, &'a str), kept: &[(&str, &str)]) -> (&'a str, &'a str) {
        let kept: Vec<_> = kept
            .iter()
            .map(|kept| (span(texts.0, kept.0), span(texts.1, kept.1)))
            .collect();
        let found = trim(texts, (span(texts.0, texts.0), span(texts.1, texts.1)), &kept);
        (
            found.0.cut(texts.0).expect("within the text"),
            found.1.cut(texts.1).expect("within the text"),
        )
    }

    #[test]
    fn foreign_words_at_the_ends_go_and_marks_stay_with_their_words() {
        assert_eq!(
            trimmed(
                (
                    "Né 🗼 before anything else: (small lights burned, all night)",
                    "(A light burned all night; small.)"
                ),
                &[]
            ),
            (
                "small lights burned, all night)",
                "light burned all night; small.)"
            )
        );
        let same = ("Everything stands here.", "Everything stands here.");
        assert_eq!(trimmed(same, &[]), same);
    }

    #[test]
    fn foreign_words_between_shared_ones_stay_as_long_as_they_pay() {
        let document = "lamps burned zinc horn";
        // Two shared words, three foreign ones at −½ each, two shared ones: 2 − 1.5 is above 0, so all are one run.
        assert_eq!(
            trimmed(("lamps burned aaaa bbbb cccc zinc horn", document), &[]).0,
            "lamps burned aaaa bbbb cccc zinc horn"
        );
        // With four it is 0: the run begins anew, and of equally good ones the first stays.
        assert_eq!(
            trimmed(("lamps burned aaaa bbbb cccc dddd zinc horn", document), &[]).0,
            "lamps burned"
        );
    }

    #[test]
    fn what_is_kept_is_not_trimmed() {
        let texts = ("He was late. Lamps burned.", "Nobody came. Lamps burned.");
        assert_eq!(trimmed(texts, &[]), ("Lamps burned.", "Lamps burned."));
        assert_eq!(
            trimmed(texts, &[("was late.", "came.")]),
            ("was late. Lamps burned.", "came. Lamps burned.")
        );
        assert_eq!(
            trimmed(("🗼 !", "?"), &[]),
            ("🗼 !", "?"),
            "no words, nothing to trim by"
        );
    }

    #[test]
    fn copies_have_the_same_words_in_the_same_order() {
        for (left, right, expected) in [
            ("The lamp\n burned.", "the LAMP burned.", true),
            ("The lamp, burned.", "the lamp burned.", false),
            ("The lamp burned.", "The lamp", false),
            ("lamp the", "the lamp", false),
        ] {
            assert_eq!(
                is_copy((left, right), (span(left, left), span(right, right))),
                expected
            );
        }
    }
}
