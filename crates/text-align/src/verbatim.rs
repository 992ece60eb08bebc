//! Step 8: passages of a case that occur word for word on both sides.

use std::ops::Range;

use crate::Span;
use crate::parameters::Sides;
use crate::prepared::{PreparedText, Word};
use crate::suffix_automaton::SuffixAutomaton;

/// The words of a pair of texts under common numbers.
pub(crate) struct CommonWords<'a> {
    texts: Sides<&'a PreparedText>,
    /// For each distinct word of the source its number; those of the suspicious text have the numbers they have there.
    source_numbers: Vec<u32>,
}

impl<'a> CommonWords<'a> {
    pub(crate) fn of(suspicious: &'a PreparedText, source: &'a PreparedText) -> Self {
        Self {
            texts: Sides { suspicious, source },
            source_numbers: suspicious.surfaces.numbers_of(&source.surfaces),
        }
    }

    /// The longest word sequences that occur in both passages and are longer than `minimum` characters on both sides,
    /// from the start of the first word to the end of the last, in the order of the suspicious text.
    ///
    /// Words are equal if they are in lower case; white space between them does not count. Listed is each sequence
    /// that lies in no longer one on the suspicious side, with its first occurrence on the source side; then what that
    /// leaves out of the source: each sequence that lies in none listed nor in any longer one on that side, with its
    /// first occurrence on the suspicious side. So every word that is part of a common sequence is covered, yet
    /// a passage repeated a hundred times on both sides makes two hundred passages and not ten thousand.
    pub(crate) fn passages(&self, case: Sides<Span>, minimum: usize) -> Vec<Sides<Span>> {
        let left_words = words_within(&self.texts.suspicious.words, case.suspicious);
        let right_words = words_within(&self.texts.source.words, case.source);
        let left: Vec<u32> = left_words.iter().map(|word| word.surface).collect();
        let right: Vec<u32> = right_words
            .iter()
            .map(|word| self.source_numbers[word.surface as usize])
            .collect();
        let is_long =
            |passage: &Sides<Span>| passage.suspicious.len() > minimum && passage.source.len() > minimum;
        let passage = |suspicious: &Range<usize>, source: &Range<usize>| Sides {
            suspicious: cover(&left_words[suspicious.clone()]),
            source: cover(&right_words[source.clone()]),
        };

        let mut passages: Vec<Sides<Span>> = SuffixAutomaton::of(&right)
            .longest_runs(&left)
            .iter()
            .map(|run| passage(&run.searched, &run.indexed))
            .collect();
        if passages.iter().all(|passage| passage.suspicious.len() <= minimum) {
            // Every common sequence lies in one of these on the suspicious side, so there is none that is long enough.
            return Vec::new();
        }
        passages.retain(is_long);
        let covered = Coverage::of(passages.iter().map(|passage| passage.source));
        let left_out = SuffixAutomaton::of(&left)
            .longest_runs(&right)
            .into_iter()
            .map(|run| passage(&run.indexed, &run.searched))
            .filter(|passage| is_long(passage) && !covered.contains(passage.source));
        passages.extend(left_out);
        passages.sort_unstable_by_key(|passage| (passage.suspicious, passage.source));
        passages
    }
}

/// The words that lie wholly in `span`.
fn words_within(words: &[Word], span: Span) -> &[Word] {
    let first = words.partition_point(|word| word.start() < span.start);
    let end = words.partition_point(|word| word.end() <= span.end);
    &words[first..end.max(first)]
}

/// From the start of the first word to the end of the last.
fn cover(words: &[Word]) -> Span {
    match words {
        [] => Span::new(0, 0),
        [first, .., last] => Span::new(first.start(), last.end()),
        [only] => only.span(),
    }
}

/// Tells whether a span lies in one of many.
struct Coverage {
    /// By start; each with the furthest end so far.
    spans: Vec<Span>,
}

impl Coverage {
    fn of(spans: impl Iterator<Item = Span>) -> Self {
        let mut spans: Vec<Span> = spans.collect();
        spans.sort_unstable();
        let mut furthest = 0;
        for span in &mut spans {
            furthest = furthest.max(span.end);
            span.end = furthest;
        }
        Self { spans }
    }

    fn contains(&self, span: Span) -> bool {
        let starting_before = self.spans.partition_point(|other| other.start <= span.start);
        starting_before > 0 && self.spans[starting_before - 1].end >= span.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passages<'a>(suspicious: &'a str, source: &'a str, minimum: usize) -> Vec<(&'a str, &'a str)> {
        let (left, right) = (PreparedText::new(suspicious), PreparedText::new(source));
        let whole = |text: &PreparedText| Span::new(0, text.characters());
        let case = Sides {
            suspicious: whole(&left),
            source: whole(&right),
        };
        CommonWords::of(&left, &right)
            .passages(case, minimum)
            .into_iter()
            .map(|passage| {
                let cut = |span: Span, text: &'a str| span.cut(text).expect("a span of the text");
                (cut(passage.suspicious, suspicious), cut(passage.source, source))
            })
            .collect()
    }

    #[test]
    fn case_and_white_space_do_not_count_but_punctuation_does() {
        let (suspicious, source) = ("He said: The  LAMP,\nit burned.", "so the lamp, it burned; out");
        assert_eq!(
            passages(suspicious, source, 5),
            [("The  LAMP,\nit burned", "the lamp, it burned")]
        );
    }

    #[test]
    fn a_passage_is_longer_than_the_minimum_on_both_sides() {
        // 11 characters in the source, 14 in the suspicious text.
        let (suspicious, source) = ("a lamp    zinc b", "c lamp zincs d lamp zinc e");
        assert_eq!(passages(suspicious, source, 8), [("lamp    zinc", "lamp zinc")]);
        assert_eq!(passages(suspicious, source, 9), []);
    }

    #[test]
    fn passages_may_overlap_but_not_lie_in_longer_ones_on_both_sides() {
        // "zinc moon" lies in longer passages of the suspicious text, but not where it occurs last in the source.
        let (suspicious, source) = (
            "lamp zinc moon fish",
            "zinc moon fish horn lamp zinc moon bark zinc moon",
        );
        let expected = ["lamp zinc moon", "zinc moon", "zinc moon fish"];
        assert_eq!(
            passages(suspicious, source, 3),
            expected.map(|passage| (passage, passage))
        );
    }

    #[test]
    fn repetitions_are_covered_on_either_side() {
        let (suspicious, source) = ("lamp zinc moon", "lamp zinc moon. bark lamp zinc moon");
        assert_eq!(
            passages(suspicious, source, 5),
            [("lamp zinc moon", "lamp zinc moon"); 2]
        );
        assert_eq!(
            passages(source, suspicious, 5),
            [("lamp zinc moon", "lamp zinc moon"); 2]
        );
    }

    #[test]
    fn words_half_in_a_case_are_left_out() {
        let text = PreparedText::new("lamp zinc moon");
        let found = |start, end| cover(words_within(&text.words, Span::new(start, end)));
        assert_eq!(found(1, 14), Span::new(5, 14));
        assert_eq!(found(0, 13), Span::new(0, 9));
        assert_eq!(found(6, 8), Span::new(0, 0));
    }
}
