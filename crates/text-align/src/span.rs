//! Where a passage lies in its text.

use serde::{Deserialize, Serialize};

/// A half-open range of a text, counted in Unicode scalar values (`char`s), not in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Index of the first character.
    pub start: usize,
    /// Index one past the last character.
    pub end: usize,
}

impl Span {
    /// The characters `start..end`. A span that ends before it starts counts as empty.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Number of characters.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether no character lies in it.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The characters that lie in both spans; `None` if there are none.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let common = Self::new(self.start.max(other.start), self.end.min(other.end));
        (!common.is_empty()).then_some(common)
    }

    /// The passage itself, or `None` if the span leaves `text`. Walks the text: linear in `end`.
    pub fn cut(self, text: &str) -> Option<&str> {
        let mut boundaries = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
        let first = boundaries.nth(self.start)?;
        let last = match self.len() {
            0 => first,
            length => boundaries.nth(length - 1)?,
        };
        text.get(first..last)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn cuts_by_characters_and_refuses_what_is_outside() {
        let text = "aé漢🦀z";
        for (start, end, expected) in [
            (0, 1, Some("a")),
            (1, 4, Some("é漢🦀")),
            (4, 5, Some("z")),
            (5, 5, Some("")),
            (0, 6, None),
            (6, 6, None),
        ] {
            assert_eq!(Span::new(start, end).cut(text), expected, "{start}..{end}");
        }
    }

    #[test]
    fn intersects_only_where_characters_are_shared() {
        let span = Span::new(3, 7);
        assert_eq!(span.intersection(Span::new(5, 9)), Some(Span::new(5, 7)));
        assert_eq!(span.intersection(Span::new(7, 9)), None);
        assert_eq!(Span::new(4, 2).len(), 0);
    }
}
