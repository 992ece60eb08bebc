//! Sentences as spans: the unit that everything up to the verbatim step counts in.

use sentencex::get_sentence_boundaries;
use thiserror::Error;

use crate::Span;

/// Bytes handed to the splitter at once. Its time grows with the square of the number of sentences in a paragraph
/// once the text leaves ASCII (a megabyte of Chinese takes a minute), so longer texts go through a window.
const WINDOW: usize = 16 * 1024;

/// Why given sentence spans do not fit their text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SentenceError {
    /// A span reaches past the last character.
    #[error("sentence {index} ends at character {end}, but the text has {characters} characters")]
    OutOfRange {
        /// Position of the sentence in the list.
        index: usize,
        /// Where it ends.
        end: usize,
        /// Length of the text.
        characters: usize,
    },
    /// A span ends before it starts, or starts before its predecessor ends.
    #[error(
        "sentence {index} spans {start}..{end}, but a sentence here must start at {earliest} or later and not end before it starts"
    )]
    Disordered {
        /// Position of the sentence in the list.
        index: usize,
        /// Where it starts.
        start: usize,
        /// Where it ends.
        end: usize,
        /// Where its predecessor ends.
        earliest: usize,
    },
}

/// A piece of more bytes than this is split once more, with less regard for what encloses it: to the splitter
/// everything from a list marker such as "(3)" to the end of the paragraph, or from a stray quotation mark to the next
/// one, is a single sentence.
const LONG_SENTENCE: usize = 300;

/// Splits English text into sentences, in order, white space trimmed from both ends, blank ones left out.
///
/// The rules are those of the `sentencex` library, except that list items and quotations of several hundred characters
/// are split too. Up to 16 KiB a text is split as a whole; a longer one is split window by window, and each window goes
/// on from the last sentence that the one before may have cut.
pub fn split(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut position = Position::default();
    let mut start = 0;
    let mut window = WINDOW;
    while start < text.len() {
        let end = text.ceil_char_boundary(start.saturating_add(window));
        let mut starts = sentence_starts(&text[start..end]);
        let mut next = end;
        if end < text.len() {
            // The window may end within its last sentence, which the next one therefore reads again.
            match starts.pop() {
                Some(last) if last > 0 => next = start + last,
                _ => {
                    window = window.saturating_mul(2);
                    continue;
                }
            }
        }
        let ends = starts.iter().skip(1).map(|&first| start + first).chain([next]);
        for (&first, end) in starts.iter().zip(ends) {
            let sentence = &text[start + first..end];
            let trimmed = sentence.trim_start();
            let first = end - trimmed.len();
            let trimmed = trimmed.trim_end();
            if !trimmed.is_empty() {
                let from = position.advance(text, first);
                let to = position.advance(text, first + trimmed.len());
                spans.push(Span::new(from, to));
            }
        }
        start = next;
        window = WINDOW;
    }
    spans
}

/// Byte offsets at which the sentences of `text`, and the blank pieces between its paragraphs, start.
fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    for boundary in get_sentence_boundaries("en", text) {
        starts.push(boundary.start_byte);
        if boundary.text.len() > LONG_SENTENCE {
            let plain = without_enclosures(boundary.text);
            let inner = get_sentence_boundaries("en", &plain)
                .into_iter()
                .map(|inner| inner.start_byte);
            // The first starts where the sentence does, and the others come after the character put before it.
            starts.extend(inner.skip(1).map(|inner| boundary.start_byte + inner - 1));
        }
    }
    starts
}

/// `sentence` after one filling character, with white space of the same number of bytes for each mark that encloses or
/// itemizes.
fn without_enclosures(sentence: &str) -> String {
    let mut plain = String::with_capacity(sentence.len() + 1);
    // A list marker counts at the start of a line, and this is none any more.
    plain.push('x');
    plain.extend(sentence.chars().map(|character| match character {
        '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '"' | '\'' | '`' | '\n' | '\r' => ' ',
        '«' | '»' => '\u{a0}',
        // Typographic quotation marks, bullets, geometric shapes, East Asian brackets: three bytes each.
        '\u{2018}'..='\u{201f}'
        | '\u{2022}'
        | '\u{2023}'
        | '\u{2039}'
        | '\u{203a}'
        | '\u{25a0}'..='\u{25ff}'
        | '\u{3008}'..='\u{3011}'
        | '（'
        | '）' => '\u{2003}',
        other => other,
    }));
    plain
}

/// Refuses spans that are out of order, overlap, or leave a text of `characters` characters.
pub(crate) fn check(spans: &[Span], characters: usize) -> Result<(), SentenceError> {
    let mut earliest = 0;
    for (index, &Span { start, end }) in spans.iter().enumerate() {
        if start < earliest || end < start {
            return Err(SentenceError::Disordered {
                index,
                start,
                end,
                earliest,
            });
        }
        if end > characters {
            return Err(SentenceError::OutOfRange {
                index,
                end,
                characters,
            });
        }
        earliest = end;
    }
    Ok(())
}

/// Counts characters up to byte offsets that only grow, so that a text is walked once.
#[derive(Default)]
struct Position {
    byte: usize,
    character: usize,
}

impl Position {
    fn advance(&mut self, text: &str, byte: usize) -> usize {
        self.character += text[self.byte..byte].chars().count();
        self.byte = byte;
        self.character
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        split(text)
            .into_iter()
            .map(|span| span.cut(text).expect("a span of the text"))
            .collect()
    }

    #[test]
    fn trims_white_space_and_skips_blank_paragraphs() {
        let text = "  Dr. Müller saw it.  It was — 🦀!\n\n \n\nA new paragraph ";
        assert_eq!(
            sentences(text),
            ["Dr. Müller saw it.", "It was — 🦀!", "A new paragraph"]
        );
        assert!(split(" \n\n\t ").is_empty());
        assert!(split("").is_empty());
    }

    #[test]
    fn a_long_paragraph_splits_as_its_parts_do() {
        let count = 3 * WINDOW / 20;
        let text = "The wind was cold, é. ".repeat(count);
        let found = sentences(&text);
        assert_eq!(found.len(), count);
        assert!(found.iter().all(|&sentence| sentence == "The wind was cold, é."));
    }

    #[test]
    fn a_sentence_longer_than_the_window_stays_whole() {
        let long = format!("{}end.", "word ".repeat(WINDOW));
        let text = format!("A start here. {long} And the close.");
        assert_eq!(
            sentences(&text),
            ["A start here.", long.as_str(), "And the close."]
        );
    }

    #[test]
    fn list_items_and_stray_quotation_marks_do_not_swallow_a_text() {
        let sentence = "The keeper climbed the stairs to the lamp.";
        for opening in [
            "(ii) Nobody knew.",
            "1. Nobody knew.",
            "* Nobody knew.",
            "He said \"nobody knew.",
            "«Nobody knew.",
        ] {
            let text = format!(
                "{opening} {}And {sentence}\" An end.",
                format!("{sentence} ").repeat(20)
            );
            let found = sentences(&text);
            assert!(found.len() >= 22, "{opening}: {} sentences", found.len());
            assert!(
                found.iter().all(|found| found.len() <= 2 * sentence.len()),
                "{opening}"
            );
        }
    }

    #[test]
    fn ill_fitting_spans_are_refused() {
        let spans =
            |pairs: &[(usize, usize)]| pairs.iter().map(|&(a, b)| Span::new(a, b)).collect::<Vec<_>>();
        assert_eq!(check(&spans(&[(0, 4), (4, 4), (6, 9)]), 9), Ok(()));
        assert_eq!(
            check(&spans(&[(0, 4), (3, 5)]), 9),
            Err(SentenceError::Disordered {
                index: 1,
                start: 3,
                end: 5,
                earliest: 4
            })
        );
        assert_eq!(
            check(&spans(&[(0, 4), (5, 10)]), 9),
            Err(SentenceError::OutOfRange {
                index: 1,
                end: 10,
                characters: 9
            })
        );
        assert!(check(&spans(&[(4, 2)]), 9).is_err());
    }
}
