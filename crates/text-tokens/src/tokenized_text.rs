//! A text as tokens, each with its characters.

use std::ops::Range;

/// The tokens of a text, without any before or behind it, and for each the characters of the text that it stands for.
///
/// Several tokens may stand for one character, and some characters belong to no token: blanks that a tokenizer trims, say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizedText {
    /// Token ids.
    pub ids: Vec<i64>,
    /// For each token its first character, and the one behind its last. As many as `ids`.
    pub characters: Vec<Range<usize>>,
}

impl TokenizedText {
    /// How many tokens begin within the first `characters` characters: those of a prompt of that length.
    pub fn beginning_within(&self, characters: usize) -> usize {
        let begins_within = |token: &&Range<usize>| token.start < characters;
        self.characters.iter().take_while(begins_within).count()
    }

    /// Which tokens stand for spans of the text: `spans` are characters, where the first begins and ends, then the second, and so on;
    /// the ranges are of tokens, in the same order, those without any left out. A token belongs to a span where any of its characters
    /// do, as in the masks of transformers.
    pub fn spans(&self, spans: &[i32]) -> Vec<Range<usize>> {
        let tokens = spans.as_chunks::<2>().0.iter().map(|&[start, end]| {
            let (start, end) = (start.max(0) as usize, end.max(0) as usize);
            let first = self.characters.partition_point(|token| token.end <= start);
            let behind = self.characters.partition_point(|token| token.start < end);
            first..behind.max(first)
        });
        tokens.filter(|tokens| !tokens.is_empty()).collect()
    }
}
