//! Step 8 as the published program takes it, for [`Mode::Exact`](crate::Mode::Exact).
//!
//! It differs from [`verbatim`](crate::verbatim) in what a word is, how far a passage reaches, and which passages stay;
//! the table at [`Mode`](crate::Mode) has the list.

use std::collections::HashMap;

use crate::Span;
use crate::lexicon::Lexicon;
use crate::parameters::Sides;
use crate::prepared::{PreparedText, Word};

/// The published program compares every word of a passage with every word of the other. So does this module with equal
/// words, but only up to so many pairs of them: some hundred kilobytes of ordinary text on either side. Longer passages,
/// which would take it minutes or hours, are left to [`verbatim`](crate::verbatim).
const MAX_PAIRS: usize = 1 << 26;

/// A word of a passage.
#[derive(Debug, Clone, Copy)]
struct PassageWord {
    /// Equal for equal words of both sides.
    number: usize,
    start: usize,
    end: usize,
}

/// All maximal common word sequences of the two passages of `case` that are longer than `minimum` characters in the
/// suspicious text, in order; without those that lie within another one on the source side, or are another one there.
///
/// `None` where the passages are too long for this.
pub(crate) fn passages(
    texts: Sides<&PreparedText>,
    case: Sides<Span>,
    minimum: usize,
) -> Option<Vec<Sides<Span>>> {
    let mut numbers = Numbers::of(texts);
    let suspicious = passage_words(texts.suspicious, case.suspicious, |word| numbers.suspicious(word));
    let source = passage_words(texts.source, case.source, |word| numbers.source(word));
    let runs = common_runs(&suspicious, &source, minimum)?;
    let mut passages = without_contained(runs);
    passages.sort_unstable_by_key(|passage| (passage.suspicious, passage.source));
    Some(passages)
}

/// A word of a text, or the part of one that the end of a case leaves.
enum Surface<'a> {
    Whole(Word),
    Part(&'a str),
}

/// The words of `span`, sentence by sentence. Those of punctuation marks alone do not count; the first one reaches back
/// to the start of its sentence and the last one to its end.
fn passage_words(
    text: &PreparedText,
    span: Span,
    mut number: impl FnMut(Surface) -> usize,
) -> Vec<PassageWord> {
    let mut found: Vec<PassageWord> = Vec::new();
    for (sentence, words) in text.sentence_words(span) {
        let Some(sentence) = sentence.intersection(span) else {
            continue;
        };
        let mut is_first = true;
        for &word in words.iter().take_while(|word| word.start() < sentence.end) {
            let letters = text.surfaces.word(word.surface as usize);
            let is_cut = word.end() > sentence.end;
            let letters = if is_cut {
                first_letters(letters, sentence.end - word.start())
            } else {
                letters
            };
            if letters.chars().all(|letter| letter.is_ascii_punctuation()) {
                continue;
            }
            let number = number(if is_cut {
                Surface::Part(letters)
            } else {
                Surface::Whole(word)
            });
            let start = if is_first { sentence.start } else { word.start() };
            is_first = false;
            found.push(PassageWord {
                number,
                start,
                end: word.end().min(sentence.end),
            });
        }
        // As published, a sentence of no word at all lengthens the word before it.
        if let Some(last) = found.last_mut() {
            last.end = sentence.end;
        }
    }
    found
}

fn first_letters(word: &str, count: usize) -> &str {
    word.char_indices()
        .nth(count)
        .map_or(word, |(byte, _)| &word[..byte])
}

/// Common numbers for the words of a pair: those of the suspicious text as there, then those of the source alone, then
/// the parts of words that are no word in either.
struct Numbers<'a> {
    lexicons: Sides<&'a Lexicon>,
    source: Vec<u32>,
    parts: Vec<String>,
}

impl<'a> Numbers<'a> {
    fn of(texts: Sides<&'a PreparedText>) -> Self {
        let lexicons = Sides {
            suspicious: &texts.suspicious.surfaces,
            source: &texts.source.surfaces,
        };
        Self {
            source: lexicons.suspicious.numbers_of(lexicons.source),
            lexicons,
            parts: Vec::new(),
        }
    }

    fn suspicious(&mut self, surface: Surface) -> usize {
        match surface {
            Surface::Whole(word) => word.surface as usize,
            Surface::Part(letters) => self.part(letters),
        }
    }

    fn source(&mut self, surface: Surface) -> usize {
        match surface {
            Surface::Whole(word) => self.source[word.surface as usize] as usize,
            Surface::Part(letters) => self.part(letters),
        }
    }

    fn part(&mut self, letters: &str) -> usize {
        if let Some(number) = self.lexicons.suspicious.number(letters) {
            return number;
        }
        if let Some(number) = self.lexicons.source.number(letters) {
            return self.source[number] as usize;
        }
        let first_part = self.lexicons.suspicious.len() + self.source.len();
        let known = self.parts.iter().position(|part| part == letters);
        first_part
            + known.unwrap_or_else(|| {
                self.parts.push(letters.to_owned());
                self.parts.len() - 1
            })
    }
}

/// The runs of equal words that no equal words continue on either end, and that are longer than `minimum`.
fn common_runs(
    suspicious: &[PassageWord],
    source: &[PassageWord],
    minimum: usize,
) -> Option<Vec<Sides<Span>>> {
    let mut places: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, word) in source.iter().enumerate() {
        places.entry(word.number).or_default().push(place);
    }
    let mut pairs = 0;
    let mut runs = Vec::new();
    for (first, word) in suspicious.iter().enumerate() {
        let Some(places) = places.get(&word.number) else {
            continue;
        };
        pairs += places.len();
        if pairs > MAX_PAIRS {
            return None;
        }
        for &place in places {
            let continues =
                first > 0 && place > 0 && suspicious[first - 1].number == source[place - 1].number;
            if continues {
                continue;
            }
            let equal = suspicious[first..]
                .iter()
                .zip(&source[place..])
                .take_while(|(left, right)| left.number == right.number);
            let Some((last, last_in_source)) = equal.last() else {
                continue;
            };
            if last.end - word.start > minimum {
                runs.push(Sides {
                    suspicious: Span::new(word.start, last.end),
                    source: Span::new(source[place].start, last_in_source.end),
                });
            }
        }
    }
    Some(runs)
}

fn without_contained(mut runs: Vec<Sides<Span>>) -> Vec<Sides<Span>> {
    // The longest first of those that start together: what contains a run precedes it, unless it is equal to it.
    runs.sort_unstable_by_key(|run| (run.source.start, std::cmp::Reverse(run.source.end)));
    let mut furthest = 0;
    let mut kept = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let is_repeated = runs.get(index + 1).is_some_and(|next| next.source == run.source);
        if run.source.end > furthest && !is_repeated {
            kept.push(*run);
        }
        furthest = furthest.max(run.source.end);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparisons::tests::text;

    fn whole(text: &PreparedText) -> Span {
        Span::new(0, text.characters())
    }

    fn found(
        suspicious: &PreparedText,
        source: &PreparedText,
        minimum: usize,
    ) -> Vec<(usize, usize, usize, usize)> {
        let case = Sides {
            suspicious: whole(suspicious),
            source: whole(source),
        };
        passages(Sides { suspicious, source }, case, minimum)
            .expect("short texts")
            .iter()
            .map(|passage| {
                let Sides { suspicious, source } = passage;
                (suspicious.start, suspicious.end, source.start, source.end)
            })
            .collect()
    }

    #[test]
    fn punctuation_is_no_word_but_belongs_to_the_ends_of_a_sentence() {
        // "(lamp, zinc moon!" of 17 characters against "lamp zinc; moon" within a sentence of its own.
        let suspicious = text(&["(Lamp, zinc moon!", "?!"]);
        let source = text(&["horn lamp zinc; moon fish"]);
        // The bare marks at 19..21 lengthen the sentence before them.
        assert_eq!(found(&suspicious, &source, 20), [(0, 21, 5, 20)]);
        assert_eq!(found(&suspicious, &source, 21), []);
        // Only the suspicious side is measured.
        assert_eq!(found(&source, &suspicious, 14), [(5, 20, 0, 21)]);
        assert_eq!(found(&source, &suspicious, 15), []);
    }

    #[test]
    fn repetitions_in_the_suspicious_text_cancel_each_other() {
        let (once, twice) = (
            text(&["lamp zinc moon"]),
            text(&["lamp zinc moon horn lamp zinc moon"]),
        );
        assert_eq!(found(&twice, &once, 5), []);
        assert_eq!(found(&once, &twice, 5), [(0, 14, 0, 14), (0, 14, 20, 34)]);
        // What lies within a longer passage of the source goes, wherever it occurs in the suspicious text.
        let (left, right) = (
            text(&["zinc moon horn lamp zinc moon"]),
            text(&["lamp zinc moon"]),
        );
        assert_eq!(found(&left, &right, 5), [(15, 29, 0, 14)]);
    }

    #[test]
    fn a_case_that_ends_within_a_word_has_part_of_it() {
        let (left, right) = (
            text(&["lamp zinc moonlight"]),
            text(&["lamp zinc moon", "lamp zinc mood"]),
        );
        let texts = Sides {
            suspicious: &left,
            source: &right,
        };
        let ends = |suspicious, source| {
            let case = Sides {
                suspicious: Span::new(0, suspicious),
                source: Span::new(0, source),
            };
            passages(texts, case, 4)
                .expect("short texts")
                .iter()
                .map(|passage| (passage.suspicious.end, passage.source.end))
                .collect::<Vec<_>>()
        };
        // lamp zinc moon / lamp zinc moon
        assert_eq!(ends(14, 14), [(14, 14)]);
        // lamp zinc moo / lamp zinc moo
        assert_eq!(ends(13, 13), [(13, 13)]);
        // lamp zinc mooo / lamp zinc moon: the last words differ.
        assert_eq!(ends(15, 14), [(9, 9)]);
    }
}
