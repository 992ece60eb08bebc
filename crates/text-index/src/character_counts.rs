//! From places in the text to character offsets, without counting from the beginning each time.

use crate::section::Section;
use crate::symbol::Symbol;

/// Symbols between two recorded counts.
pub(crate) const STRIDE: usize = 256;

/// How many characters (or tokens) begin before every [`STRIDE`]-th symbol of a text.
pub(crate) struct CharacterCounts {
    pub(crate) before_stride: Section<u32>,
}

impl CharacterCounts {
    /// `text` has fewer than 2³² symbols.
    pub(crate) fn of<S: Symbol>(text: &[S]) -> Self {
        let mut total = 0;
        let before_stride: Vec<u32> = text
            .chunks(STRIDE)
            .map(|chunk| {
                let before = total;
                total += units(chunk) as u32;
                before
            })
            .collect();
        Self {
            before_stride: before_stride.into(),
        }
    }

    /// Characters that begin before the symbol `offset` of `text`, the same text as in
    /// [`Self::of`].
    pub(crate) fn before<S: Symbol>(&self, text: &[S], offset: usize) -> usize {
        // One past the last chunk there is no count; the chunk before it then is counted whole.
        let chunk = (offset / STRIDE).min(self.before_stride.len().saturating_sub(1));
        let recorded = self.before_stride.get(chunk).copied().unwrap_or(0);
        recorded as usize + units(&text[chunk * STRIDE..offset])
    }
}

/// How many characters (or tokens) begin within `symbols`.
pub(crate) fn units<S: Symbol>(symbols: &[S]) -> usize {
    symbols.iter().filter(|symbol| symbol.begins_unit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_agrees_with_counting_from_the_beginning() {
        for text in [
            "",
            "a",
            "aé😀",
            &"é".repeat(128),
            &"x".repeat(256),
            &"naïve 😀 e\u{301} ".repeat(100),
        ] {
            let counts = CharacterCounts::of(text.as_bytes());
            let ends = text.char_indices().map(|(offset, _)| offset).chain([text.len()]);
            for (expected, offset) in ends.enumerate() {
                assert_eq!(
                    counts.before(text.as_bytes(), offset),
                    expected,
                    "{text:?} at {offset}"
                );
            }
        }
    }
}
